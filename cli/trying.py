"""`ticket-elevate try`: the whole verdict about one ticket, from reading it to the plan. Nothing is changed."""

from collections.abc import Mapping
from datetime import UTC, datetime

import click
import sqlalchemy as sa

from cli.deployment import opened
from cli.rules import show_answer
from integration.deployment import Deployment
from integration.rules import RulesInvalid
from integration.tickets import HelpdeskError, Person, Ticket, clean
from workers import trying
from workers.run import Run
from workers.trying import Eligible, Hand, Linked, Tried

_ELIGIBLE: Mapping[Eligible, str] = {
    Eligible.TOLD: "as Entra told",
    Eligible.STRANGER: "not known before they sign in, so all that the rules name is supposed",
    Eligible.SILENT: "Entra does not tell them now, so all that the rules name is supposed",
}
_HANDS: Mapping[Hand, str] = {
    Hand.OWN: "the assignee's own hand, just now: a pick",
    Hand.STALE: "the assignee's own hand, but too long ago: the ticket gets the Elevate link",
    Hand.OTHER: "somebody else: the ticket gets the Elevate link",
    Hand.UNTOLD: "not told, or a rule of the helpdesk: the ticket gets the Elevate link",
    Hand.NOBODY: "nobody has the ticket",
}
_LINKED: Mapping[Linked, str] = {
    Linked.LIVE: "linked to {}",
    Linked.SUSPENDED: "linked to {}, and suspended",
    Linked.MOVED: "linked to {} by another address than the account has now: it does not count",
    Linked.NO: "not linked: the first sign-in links it",
}


@click.command("try")
@click.argument("connection")
@click.argument("ticket")
@click.option("--as", "address", metavar="ADDRESS", help="As if the technician with this address had just taken it.")
def try_ticket(connection: str, ticket: str, address: str | None) -> None:
    """Say what becomes of TICKET in the helpdesk CONNECTION: who has it, who gave it to them, and what the rules plan.

    It is only read: nothing is started, and nothing is written on it.
    """
    now = datetime.now(UTC)
    with opened() as deployment:
        try:
            read = _read(deployment, connection, ticket)
            it = trying.picked_by(deployment, read, clean(address), now=now) if address else read
            tried = trying.one(deployment, it, None, now=now)
        except (HelpdeskError, RulesInvalid) as error:
            raise click.ClickException(str(error)) from None
        except sa.exc.SQLAlchemyError as error:
            raise click.ClickException(
                f"The database does not answer, or has no tables yet ({type(error).__name__}). `ticket-elevate doctor` "
                "says more, and `ticket-elevate init` makes the tables."
            ) from None
        url = deployment.helpdesks[connection].ticket_url(read.number)
    _show(tried, url, supposed=bool(address))


def _read(deployment: Deployment, connection: str, number: str) -> Ticket:
    try:
        known = sorted(deployment.helpdesks)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if not known:
        raise click.ClickException("No helpdesk is connected yet: `ticket-elevate connect` walks you through it.")
    if connection not in known:
        raise click.ClickException(f"There is no connection {connection!r}. There are: {', '.join(known)}.")
    return Run(deployment, cause="click").ticket(connection, number)


def _show(tried: Tried, url: str, *, supposed: bool) -> None:
    it = tried.ticket
    click.echo(f"Ticket {it.number}: {it.subject}\n{url}\n")
    solved = " (answered as if it were open)" if tried.solved else ""
    rows = {
        "read": f"at {it.read_at:%Y-%m-%d %H:%M:%S}Z, {it.status.words}{solved}",
        "category": it.category or "none: the settings of this connection say where it stands",
        "queue": it.queue or "none",
        "requester": ", ".join(map(_person, it.requesters)) or "none: a pick only offers the link",
        "assignee": f"{_person(it.assignee)}{' (supposed)' if supposed else ''}" if it.assignee else "nobody",
        "actor": _actor(tried, supposed),
        "link": _LINKED[tried.linked].format(f"{tried.link.technician} ({tried.link.oid})" if tried.link else ""),
        "eligible": _ELIGIBLE[tried.eligible],
    }
    for name, words in rows.items():
        click.echo(f"{name:<10} {words}")
    for answer in tried.before:
        click.echo()
        show_answer(answer)


def _actor(tried: Tried, supposed: bool) -> str:
    if supposed:
        return "supposed: their own hand, just now"
    by, at = tried.ticket.assigned_by, tried.ticket.assigned_at
    named = f"{by}, " if by else ""
    when = f" ({at:%Y-%m-%d %H:%M:%S}Z)" if at else ""
    return f"{named}{_HANDS[tried.hand]}{when}"


def _person(it: Person | None) -> str:
    if it is None:
        return ""
    return f"{it.name or it.account} <{it.address}>" if it.address else f"{it.name or it.account} (no address)"
