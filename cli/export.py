"""`ticket-elevate export`: the journal as JSON Lines, for the offline verifier and for keeping elsewhere."""

from typing import TextIO

import click

from integration import settings
from integration.deployment import Deployment
from integration.records import journal


@click.command()
@click.option(
    "--output", type=click.File("w", encoding="utf-8", atomic=True), default="-", help="A file, or - (stdout)"
)
def export(output: TextIO) -> None:
    """Write the whole journal, one entry a line."""
    deployment = Deployment(settings.load())
    with deployment.records.read() as connection:
        for line in journal.export(connection):
            output.write(line + "\n")
