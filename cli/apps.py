"""`ticket-elevate app`: the app that shows our button beside a ticket, ready to be uploaded to the helpdesk."""

from pathlib import Path

import click

from integration import settings
from integration.helpdesks import apps


@click.command()
@click.argument("kind", type=click.Choice(apps.kinds()))
@click.option("--url", help="Where browsers reach us; default: public_url of the settings.")
@click.option("--connection", help="The connection's name in the settings; default: KIND.")
@click.option("--to", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".", help="A directory.")
def app(kind: str, url: str | None, connection: str | None, to: Path) -> None:
    """Write the app for a helpdesk of this KIND as a zip file."""
    made = to / f"{kind}_app.zip"
    address = (url or settings.load().public_url).rstrip("/")
    made.write_bytes(apps.pack(kind, url=address, connection=connection or kind))
    click.echo(made)
