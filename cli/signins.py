"""`ticket-elevate signins`: whose Microsoft sign-in is kept, how each is, and how an administrator deletes it."""

from collections.abc import Mapping
from datetime import UTC, datetime

import click

from cli.deployment import opened
from integration.deployment import Deployment
from integration.records import signins as records
from integration.records.signins import Health, Kept, Person
from integration.tickets import clean

Who = tuple[str, str]


@click.group()
def signins() -> None:
    """The Microsoft sign-ins that are kept, sealed, to act in their technicians' names."""


@signins.command("list")
def show() -> None:
    """Print every sign-in, one a line: who, their addresses, signed in when, last accepted when, how it is."""
    now = datetime.now(UTC)
    with opened() as deployment, deployment.records.read() as connection:
        found, people = records.everybodys(connection), records.people(connection)
    for it in found:
        click.echo(_line(it, people.get((it.tid, it.oid), Person()), now))
    if not found:
        click.echo("No sign-in is kept.", err=True)


@signins.command()
@click.argument("who", required=False)
@click.option("--all", "everybody", is_flag=True, help="Of everybody.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(who: str | None, everybody: bool, yes: bool) -> None:
    """Delete the sign-in of WHO (an address or an object id) and end their page sessions. Revokes nothing at Entra."""
    if everybody == bool(who):
        raise click.UsageError("Name one person, by an address or an object id, or say --all.")
    with opened() as deployment:
        chosen = _chosen(deployment, who)
        _say_what_ends_by_itself(deployment, chosen)
        if not yes:
            click.confirm(f"Delete what is kept of {len(chosen)} and end their page sessions?", abort=True)
        purged = 0
        for tid, oid in chosen:
            with deployment.records.write() as tx:
                purged += records.purge(tx, tid, oid, now=datetime.now(UTC))
    click.echo(
        f"{_counted(purged, 'sign-in')} deleted, with the page sessions. Nothing was revoked at Entra: whoever may "
        "still sign in there can come back. To shut somebody out, disable the account there."
    )


def _line(it: Kept, person: Person, now: datetime) -> str:
    who = f"{clean(person.name)} ({it.oid})" if person.name else it.oid
    addresses = ", ".join(sorted(map(clean, person.addresses))) or "-"
    signed_in, used = (f"{at:%Y-%m-%d %H:%M}Z" for at in (it.signed_in_at, it.used_at))
    health = it.health(now)
    if health is Health.LOST:
        said = f"ended {it.ended_at:%Y-%m-%d %H:%M}Z: {clean(it.why)}"
    else:
        said = f"ends {it.ends_at:%Y-%m-%d} unless used" if health is Health.ENDING else "in order"
    return "\t".join((who, addresses, signed_in, used, said))


def _chosen(deployment: Deployment, who: str | None) -> list[Who]:
    """Whose sign-in, or page session, is meant; everybody's where nobody is named."""
    with deployment.records.read() as connection:
        kept = [(it.tid, it.oid) for it in records.everybodys(connection)]
        people = records.people(connection)
    everybody = list(dict.fromkeys([*kept, *people]))
    if who is None:
        return everybody
    found = [each for each in everybody if _is(each, people, who.casefold())]
    if not found:
        raise click.ClickException(
            f"No sign-in of {who!r} is kept. `ticket-elevate signins list` shows those that are; where no address is "
            "shown, name the object id."
        )
    return found


def _is(each: Who, people: Mapping[Who, Person], named: str) -> bool:
    return each[1].casefold() == named or named in people.get(each, Person()).addresses


def _say_what_ends_by_itself(deployment: Deployment, chosen: list[Who]) -> None:
    with deployment.records.read() as connection:
        left = sum(records.roles_left_alone(connection, tid, oid) for tid, oid in chosen)
    if left:
        verb = "is" if left == 1 else "are"
        click.echo(
            f"{_counted(left, 'role')} {verb} active or being asked for and can then not be given back early: what is "
            "active ends when its time is up."
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
