"""`ticket-elevate links`: which helpdesk account belongs to which Entra user, and how an administrator ends that."""

from datetime import UTC, datetime

import click

from integration import settings
from integration.deployment import Deployment
from integration.records import people
from integration.records.people import Link
from integration.tickets import clean


@click.group()
def links() -> None:
    """The links between helpdesk accounts and Entra users."""


@links.command("list")
def show() -> None:
    """Print every link, one a line: CONNECTION, ACCOUNT, the address there, the user, since when."""
    with Deployment(settings.load()).records.read() as connection:
        found = people.all_links(connection)
    for link in found:
        click.echo(_line(link))
    if not found:
        click.echo("No helpdesk account is linked yet.", err=True)


@links.command()
@click.argument("connection")
@click.argument("account")
def remove(connection: str, account: str) -> None:
    """End the link of ACCOUNT in the helpdesk CONNECTION. Its technician makes the next one by signing in."""
    deployment, now = Deployment(settings.load()), datetime.now(UTC)
    with deployment.records.write() as tx:
        link = people.link_of(tx, connection, account)
        if link is None or not people.end_link(tx, link, now=now, cause="cli", why="removed"):
            raise click.ClickException(_unknown(deployment, connection, account))
    click.echo(
        f"{clean(account)} in {clean(connection)} is no longer linked to {clean(link.technician)}. Roles that are "
        "active stay active until their ticket is done or their time is up."
    )


def _line(link: Link) -> str:
    state = f"suspended {link.suspended_at:%Y-%m-%d}" if link.suspended_at else "in use"
    who = f"{clean(link.technician)} ({link.oid})"
    return "\t".join(
        (clean(link.connection), clean(link.account), clean(link.address), who, f"{link.made_at:%Y-%m-%d}", state)
    )


def _unknown(deployment: Deployment, connection: str, account: str) -> str:
    known = ", ".join(sorted(deployment.settings.helpdesks))
    if connection not in deployment.settings.helpdesks:
        return f"No link in {connection!r}, and no helpdesk of that name in the settings: they have {known}."
    return f"The account {account!r} in {connection} is not linked. `ticket-elevate links list` shows those that are."
