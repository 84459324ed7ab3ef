"""`ticket-elevate app`: the app that shows our button beside a ticket, ready to be uploaded to the helpdesk."""

from pathlib import Path

import click

from cli.connect import check_name
from integration import settings
from integration.helpdesks import apps
from integration.settings import Settings


@click.command()
@click.argument("kind", type=click.Choice(apps.kinds()))
@click.option("--url", help="Where browsers reach us, where there are no settings; default: their public_url.")
@click.option("--connection", help="The connection's name in the settings; default: KIND.")
@click.option("--to", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".", help="A directory.")
def app(kind: str, url: str | None, connection: str | None, to: Path) -> None:
    """Write the app for a helpdesk of this KIND as a zip file."""
    name = connection or kind
    check_name(name)
    if url is None:
        found = settings.load()
        _check_connection(found, name, kind)
        address = found.public_url
    else:
        try:
            address = settings.public_address(url)
        except ValueError as error:
            raise click.ClickException(str(error).replace("public_url", "--url")) from None
    made = to / f"{kind}_app.zip"
    again = made.exists()
    try:
        made.write_bytes(apps.pack(kind, url=address, connection=name))
    except OSError as error:
        raise click.ClickException(f"Cannot write {made} ({error.strerror}).") from None
    if again:
        click.echo("In place of the one that was there:", err=True)
    click.echo(made)


def _check_connection(found: Settings, name: str, kind: str) -> None:
    """The button asks for the page of the connection by its name: with a wrong one it would never show anything."""
    of_kind = sorted(it for it, table in found.helpdesks.items() if table.get("kind", "generic") == kind)
    if name not in of_kind:
        there = f"There are: {', '.join(of_kind)}. Name one with --connection." if of_kind else "There is none."
        raise click.ClickException(f"The settings have no connection {name} of the kind {kind}. {there}")
