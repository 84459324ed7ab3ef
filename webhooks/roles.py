"""Everything the viewer is eligible for, and from there to the page of a ticket. Nothing is started here."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from flask import Blueprint, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from integration.elevation import LABELS
from integration.records import people, roles, signins
from integration.records.people import Link
from integration.records.roles import Known
from integration.tickets import HelpdeskError, ListedTicket, ListsTickets, clean
from webhooks import current, role_list
from webhooks.people import Viewer, signed_in
from webhooks.problems import page
from webhooks.role_list import Ours, Row, Section
from webhooks.role_words import titles
from webhooks.sessions import BY_ITSELF
from workers import at_once
from workers import roles as work
from workers.app import wake_roles

log = logging.getLogger(__name__)
blueprint = Blueprint("roles", __name__)
QUERY_LIMIT = 100  # visible characters
MOST_TICKETS = 20  # of one helpdesk
PATIENCE = timedelta(seconds=3)  # with all helpdesks together: the number can be typed as well


class Reading(StrEnum):
    """Whether what is kept is being read again."""

    NO = "no"
    YES = "yes"
    AWAY = "away"  # it should be, and the queue is not answering


@blueprint.get("/roles")
@signed_in
def show(viewer: Viewer) -> str:
    now = datetime.now(UTC)
    known, ours, signed_in_at = _look(viewer)
    reading = _have_read(viewer, known, signed_in_at, now)
    query = clean(request.args.get("q", ""), limit=QUERY_LIMIT)
    deployment = current.deployment()
    kinds = work.kinds(deployment)
    found = role_list.sections(known, ours, deployment.rules, kinds, query, now=now)
    return render_template(
        "roles.html",
        sections=found,
        query=query,
        shown=sum(len(it.rows) for it in found),
        total=sum(it.total for it in found),
        failures=role_list.failures(found),
        unread=[it.title for it in found if it.source.read_at is None and it.source.trouble is None],
        not_read=[title for kind, title in titles().items() if kind not in kinds],
        as_of=_as_of(found),
        now=now,
        reading=reading,
        version=_version(known),
        labels=LABELS,
        by_itself=BY_ITSELF,
        help_contact=deployment.settings.help_contact,
    )


@blueprint.get("/roles/status")
@signed_in
def status(viewer: Viewer) -> Response:
    """What an open page asks while it waits: whether there is anything new to show."""
    known, _ours, _signed_in_at = _look(viewer)
    return jsonify(reading=known.is_being_read(datetime.now(UTC)), version=_version(known))


def _look(viewer: Viewer) -> tuple[Known, Ours, datetime | None]:
    """What is kept, what our own tables know, and when the viewer's sign-in was stored."""
    with current.deployment().records.read() as connection:
        known = roles.known(connection, viewer.tid, viewer.oid)
        times = [source.active_at for source in known.sources.values() if source.active_at]
        running = roles.running(connection, viewer.tid, viewer.oid)
        ended = roles.ended_since(connection, viewer.tid, viewer.oid, min(times)) if times else {}
        kept = signins.of(connection, viewer.tid, viewer.oid)
    return known, Ours(running, ended), kept.signed_in_at if kept else None


def _have_read(viewer: Viewer, known: Known, signed_in_at: datetime | None, now: datetime) -> Reading:
    """Ask a worker for what is missing or old, and do not wait for it."""
    if known.is_being_read(now):
        return Reading.YES
    if not work.is_old(current.deployment(), known, now=now, signed_in_at=signed_in_at):
        return Reading.NO
    records = current.deployment().records
    with records.write() as tx:
        roles.want(tx, viewer.tid, viewer.oid, now=now)
    if wake_roles(viewer.tid, viewer.oid):
        return Reading.YES
    with records.write() as tx:
        roles.done(tx, viewer.tid, viewer.oid)
    return Reading.AWAY


def _as_of(found: list[Section]) -> datetime | None:
    """The age of the oldest of what is shown."""
    times = [at for it in found for at in (it.source.read_at, it.source.active_at) if at]
    return min(times, default=None)


def _version(known: Known) -> str:
    times = [told.read_at for told in known.policies.values()]
    for source in known.sources.values():
        failed = source.trouble.at if source.trouble else None
        times += [at for at in (source.read_at, source.active_at, failed) if at]
    return max(times).isoformat() if times else ""


@dataclass(frozen=True)
class Listed:
    """The viewer's open tickets in one helpdesk; `failed`: it could not be asked."""

    connection: str
    tickets: tuple[ListedTicket, ...]
    failed: bool = False


@blueprint.get("/roles/ticket")
@signed_in
def choose(viewer: Viewer) -> Response | str:
    """Which ticket a role is wanted for. With `ticket` it goes on to that ticket's page, where the rules decide."""
    if "role" not in request.args:  # a sign-in on the way here keeps the address, not what was asked with it
        return redirect(url_for("roles.show"), code=303)
    known, ours, _signed_in_at = _look(viewer)
    held = role_list.find(known, request.args["role"])
    if held is None:
        sentence = _("You are not eligible for this role, or not any more.")
        return page(404, _("Not a role of yours"), sentence, link=(_("My roles"), url_for("roles.show")))
    deployment = current.deployment()
    row = role_list.single(held, known, ours, deployment.rules, now=datetime.now(UTC))
    with deployment.records.read() as connection:
        links = [it for it in people.links_of_user(connection, viewer.tid, viewer.oid) if it.suspended_at is None]
    if "ticket" not in request.args:
        return _choose_page(row, links)
    number = clean(request.args["ticket"], limit=64).removeprefix("#").strip()
    desk = request.args.get("connection", "")
    if not _may_be(desk, number):
        return Response(_choose_page(row, links, wrong=number or " ", desk=desk), 400, mimetype="text/html")
    return redirect(url_for("elevate.ask", connection=desk, ticket=number, role=row.target.key), code=303)


def _may_be(desk: str, number: str) -> bool:
    """Whether it looks like a ticket number of that helpdesk."""
    helpdesk = current.deployment().helpdesks.get(desk)
    try:
        return helpdesk is not None and bool(helpdesk.ticket_url(number))
    except HelpdeskError:
        return False


def _choose_page(row: Row, links: list[Link], wrong: str = "", desk: str = "") -> str:
    deployment = current.deployment()
    mine = [it.connection for it in links if it.connection in deployment.helpdesks]
    return render_template(
        "roles_ticket.html",
        row=row,
        listed=_listed(links),
        desks=list(deployment.helpdesks),
        desk=desk or next(iter(mine), ""),
        wrong=wrong,
        labels=LABELS,
        help_contact=deployment.settings.help_contact,
    )


def _listed(links: list[Link]) -> list[Listed]:
    """The open tickets of each helpdesk that can list them, all asked at once."""
    helpdesks = current.deployment().helpdesks
    known: list[tuple[Link, object]] = [(it, helpdesks.get(it.connection)) for it in links]
    asked = [(it, desk) for it, desk in known if isinstance(desk, ListsTickets)]
    if not asked:
        return []
    found = []
    with at_once.reading(_open_tickets, asked, patience=PATIENCE, most=len(asked)) as answers:
        for (it, _desk), answer in answers:
            try:
                tickets = answer()
            except (at_once.TookTooLong, HelpdeskError) as error:
                log.info("tickets_not_listed", extra={"connection": it.connection, "raised": type(error).__name__})
                found.append(Listed(it.connection, (), failed=True))
            else:
                found.append(Listed(it.connection, tuple(tickets)))
    return found


def _open_tickets(of: tuple[Link, ListsTickets]) -> Sequence[ListedTicket]:
    link, desk = of
    return desk.open_tickets(link.account, limit=MOST_TICKETS)


def came_for(viewer_tid: str, viewer_oid: str, key: str) -> tuple[str, str] | None:
    """(key, name) of a role of theirs that somebody chose on the list before they came to a ticket's page."""
    with current.deployment().records.read() as connection:
        known = roles.known(connection, viewer_tid, viewer_oid)
    held = role_list.find(known, key)
    if held is None:
        return None
    row = role_list.single(held, known, Ours({}, {}), current.deployment().rules, now=datetime.now(UTC))
    return row.target.key, row.name
