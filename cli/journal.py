"""`ticket-elevate journal`: what an auditor does with the journal."""

import sys

import click

from integration import verify as verifier


@click.group()
def journal() -> None:
    """Verify the journal."""


@journal.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--anchor", "anchors", multiple=True, metavar="SEQ:HEAD", help="A number and head that you noted.")
@click.option("--checkpoint", "checkpoints", multiple=True, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--comments", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Text of ticket comments."
)
@click.option("--public-key", type=click.Path(exists=True, dir_okay=False), help="PEM, base64 or hex.")
def verify(
    file: str, anchors: tuple[str, ...], checkpoints: tuple[str, ...], comments: tuple[str, ...], public_key: str | None
) -> None:
    """Verify the export FILE against itself and against what you kept. Exit 0: fits, 1: does not, 2: unreadable."""
    try:
        report = verifier.verify_files(
            file, anchors=anchors, checkpoints=checkpoints, comments=comments, public_key=public_key
        )
    except (verifier.Unreadable, OSError) as e:
        raise click.UsageError(str(e)) from None
    click.echo(verifier.render(report))
    sys.exit(0 if report.ok else 1)
