"""`ticket-elevate export`: the journal as JSON Lines, for the offline verifier and for keeping elsewhere."""

from datetime import UTC, datetime
from typing import TextIO

import click

from cli.deployment import opened
from integration import checkpoints
from integration.journal import JournalError
from integration.records import journal


@click.command()
@click.option(
    "--output", type=click.File("w", encoding="utf-8", atomic=True), default="-", help="A file, or - (stdout)"
)
def export(output: TextIO) -> None:
    """Sign a checkpoint, then write the whole journal, one entry a line."""
    now = datetime.now(UTC)
    with opened() as deployment:
        try:
            checkpoints.sign(deployment, now=now, cause="cli")
            checkpoints.copy(deployment, now=now)
        except JournalError as error:
            # A journal that is broken must be exported all the more.
            click.echo(f"The checkpoint of this export is missing: {error}", err=True)
        with deployment.records.read() as connection:
            for line in journal.export(connection):
                output.write(line + "\n")
