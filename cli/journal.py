"""`ticket-elevate journal`: what an auditor and an administrator do with the journal."""

import getpass
import sys
from datetime import UTC, datetime

import click

from cli.deployment import opened
from integration import checkpoints
from integration import verify as verifier
from integration.journal import JournalError
from integration.records import erasure
from integration.records import journal as rows


@click.group()
def journal() -> None:
    """Verify the journal, sign checkpoints of it, erase persons from it."""


@journal.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--anchor", "anchors", multiple=True, metavar="SEQ:HEAD", help="A number and head that you noted.")
@click.option("--checkpoint", "notes", multiple=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--checkpoints", "directory", type=click.Path(exists=True, file_okay=False), help="All in a directory.")
@click.option(
    "--comments", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Text of ticket comments."
)
@click.option("--public-key", type=click.Path(exists=True, dir_okay=False), help="PEM, base64 or hex.")
def verify(
    file: str,
    anchors: tuple[str, ...],
    notes: tuple[str, ...],
    directory: str | None,
    comments: tuple[str, ...],
    public_key: str | None,
) -> None:
    """Verify the export FILE against itself and against what you kept. Exit 0: fits, 1: does not, 2: unreadable."""
    try:
        report = verifier.verify_files(
            file,
            anchors=anchors,
            checkpoints=notes,
            checkpoint_dir=directory,
            comments=comments,
            public_key=public_key,
        )
    except (verifier.Unreadable, OSError) as e:
        raise click.UsageError(str(e)) from None
    click.echo(verifier.render(report))
    sys.exit(0 if report.ok else 1)


@journal.command()
def checkpoint() -> None:
    """Sign a checkpoint now, whenever the last one was."""
    now = datetime.now(UTC)
    with opened() as deployment:
        try:
            made = checkpoints.sign(deployment, now=now, cause="cli")
            if made is None:
                raise click.ClickException("The journal has no entry yet.")
            checkpoints.copy(deployment, now=now)
        except JournalError as error:
            raise click.ClickException(str(error)) from None
        click.echo(f"{deployment.settings.checkpoint_dir / made.file_name} covers the journal up to its end.")


@journal.command()
@click.option("--reason", required=True, help="What happened, as far as you know. It goes into the journal.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_break(reason: str, yes: bool) -> None:
    """Let elevations start again after the journal's last entry was changed. Export and verify it first."""
    if not yes:
        click.confirm("Have you exported the journal and kept the export apart?", abort=True)
    with opened() as deployment, deployment.records.write() as tx:
        written = rows.accept_break(tx, now=datetime.now(UTC), reason=reason, actor=getpass.getuser())
    if written is None:
        raise click.ClickException("The journal is whole; there is nothing to accept.")
    click.echo(f"Elevations start again. {written.witness}")


@journal.command()
@click.option("--elevation", metavar="ID", help="Who held this elevation.")
@click.option("--technician", metavar="OID", help="Everything that this Entra user (object id) did.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(elevation: str | None, technician: str | None, yes: bool) -> None:
    """Erase a person from the records of what has ended. The journal verifies as before."""
    if (elevation is None) == (technician is None):
        raise click.UsageError("Say --elevation or --technician.")
    if not yes:
        click.confirm("Names, accounts and justifications are gone for ever then. Go on?", abort=True)
    now = datetime.now(UTC)
    try:
        with opened() as deployment, deployment.records.write() as tx:
            if elevation is not None:
                done = erasure.of_elevation(tx, elevation, now=now)
            else:
                done = erasure.of_technician(tx, technician or "", now=now)
    except erasure.StillOpen as error:
        raise click.ClickException(str(error)) from None
    if not done.elevations and not done.values:
        raise click.ClickException("Nothing is kept about that.")
    click.echo(f"Erased {done.values} values of the journal, and who held {done.elevations} elevations.")
    click.echo(
        "Not erased: comments on tickets, the tenant's log, copies and backups of the database, and exports of the "
        "journal. The technician's link and sign-in stay."
    )
