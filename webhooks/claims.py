"""Whether a ticket is the viewer's. Who has no claim on it, and is no technician of its helpdesk, learns nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import abort
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from integration.records import people
from integration.tickets import HelpdeskError, Person, Status, Ticket
from webhooks import current
from webhooks.people import Viewer
from webhooks.problems import page
from workers.run import Run


@dataclass(frozen=True)
class Claim:
    """An open ticket of the viewer. `linked`: by a live link; else the directory has the technician's address for them,
    and a link may be made.
    """

    run: Run
    ticket: Ticket
    technician: Person
    linked: bool


@dataclass(frozen=True)
class NoClaim:
    """Why a ticket is no use to the viewer, in words."""

    status: int  # of a page that says so
    title: str
    sentence: str
    next_step: str = ""
    link: tuple[str, str] | None = None

    def page(self) -> Response:
        return page(self.status, self.title, self.sentence, next_step=self.next_step, link=self.link)


def claim(viewer: Viewer, connection: str, number: str) -> Claim | Response:
    """As `look_up`, with a page for who has none."""
    must_be_connected(connection)
    found = look_up(viewer, connection, number)
    return found.page() if isinstance(found, NoClaim) else found


def must_be_connected(connection: str) -> None:
    """To nobody is there a page of a helpdesk that the settings do not name."""
    if connection not in current.deployment().helpdesks:
        abort(404)


def look_up(viewer: Viewer, connection: str, number: str) -> Claim | NoClaim:
    """Read the ticket, and say whether it is the viewer's to elevate for.

    Raises EntraError where the directory has to be asked and does not answer.
    """
    run = Run(current.deployment(), cause="click")
    colleague = is_technician(viewer, connection)
    try:
        ticket = run.ticket(connection, number)
    except HelpdeskError as error:
        if error.try_again:
            return NoClaim(502, _("The ticket could not be read"), helpdesk_said(error, connection))
        return NoClaim(404, _("The ticket could not be read"), str(error)) if colleague else _not_theirs()
    technician = ticket.assignee
    if technician is None:
        return _nobodys(ticket) if colleague else _not_theirs()
    linked = _is_linked(viewer, ticket, technician)
    if not linked and not is_address_of(viewer, technician.address):
        return _another_technicians(ticket) if colleague else _not_theirs()
    if ticket.status is Status.SOLVED:
        return _solved(ticket)
    return Claim(run, ticket, technician, linked)


def is_address_of(viewer: Viewer, address: str | None) -> bool:
    """Whether the directory has this address for the viewer. Raises EntraError."""
    known = current.deployment().tenant.addresses(viewer.tid, viewer.oid, datetime.now(UTC))
    return bool(address) and (address or "").casefold() in {a.casefold() for a in known}


def not_theirs() -> Response:
    """One page for each ticket that a stranger asks for, assigned, solved or not there at all."""
    return _not_theirs().page()


def _not_theirs() -> NoClaim:
    return NoClaim(
        403,
        _("This is not a ticket of yours"),
        _("Ticket Elevate knows of no ticket with this number that is assigned to you."),
        next_step=_(
            "If you work on it, assign it to yourself in the helpdesk. If it is assigned to you already, your "
            "address in the helpdesk must become one that your Microsoft account has."
        ),
    )


def helpdesk_said(error: HelpdeskError, connection: str) -> str:
    """What went wrong there, for a page. A worker tries again by itself, and says so; nobody repeats a page."""
    if error.try_again:
        return str(_("The helpdesk %(name)s is not answering. Try again in a minute.", name=connection))
    return str(error)


def is_technician(viewer: Viewer, connection: str) -> bool:
    """Whether they work in this helpdesk, by any live link: they may see there what its tickets say."""
    with current.deployment().records.read() as reading:
        links = people.links_of_user(reading, viewer.tid, viewer.oid)
    return any(link.connection == connection and link.suspended_at is None for link in links)


def _is_linked(viewer: Viewer, ticket: Ticket, technician: Person) -> bool:
    with current.deployment().records.read() as reading:
        link = people.link_of(reading, ticket.connection, technician.account)
    # Another address may mean that the account is somebody else's by now: then the directory has to be asked again.
    return link is not None and (link.tid, link.oid) == (viewer.tid, viewer.oid) and link.is_of(technician.address)


def _back(ticket: Ticket) -> tuple[str, str]:
    helpdesk = current.deployment().helpdesks[ticket.connection]
    return _("Back to ticket %(number)s", number=ticket.number), helpdesk.ticket_url(ticket.number)


def _solved(ticket: Ticket) -> NoClaim:
    sentence = _("This ticket is solved. A role is only activated for a ticket that somebody is working on.")
    return NoClaim(
        409, _("The ticket is solved"), sentence, next_step=_("Reopen the ticket first."), link=_back(ticket)
    )


def _nobodys(ticket: Ticket) -> NoClaim:
    if ticket.status is Status.SOLVED:
        return _solved(ticket)
    sentence = _("Nobody is assigned to this ticket yet. A role is only activated for the technician who works on it.")
    step = _("Assign it to yourself first.")
    return NoClaim(409, _("The ticket is nobody's"), sentence, next_step=step, link=_back(ticket))


def _another_technicians(ticket: Ticket) -> NoClaim:
    sentence = _("This ticket is assigned to another technician. Only they can elevate for it.")
    step = _("If it is yours, your address in the helpdesk must become one that your Microsoft account has.")
    return NoClaim(403, _("This is another technician's ticket"), sentence, next_step=step, link=_back(ticket))
