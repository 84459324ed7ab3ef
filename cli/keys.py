"""`ticket-elevate keys`: the key ring that seals sign-ins, and the key that signs checkpoints."""

import os
import tempfile
from pathlib import Path

import click

from integration import checkpoints, settings
from integration.entra import seal
from integration.entra.errors import SetupWrong
from integration.journal import JournalError


@click.group()
def keys() -> None:
    """The key ring that seals technicians' sign-ins, and the key that signs checkpoints."""


@keys.command()
@click.option("--checkpoint", is_flag=True, help="A key that signs checkpoints, for checkpoint_key_file.")
def generate(checkpoint: bool) -> None:
    """Print one fresh line for a key file, or a fresh checkpoint key. Nothing is kept."""
    click.echo(checkpoints.generate() if checkpoint else seal.generate(), nl=not checkpoint)


@keys.command()
def public() -> None:
    """Print the public half of the checkpoint key: what an auditor checks checkpoints with."""
    try:
        key = checkpoints.read_key(settings.load().checkpoint_key_file)
    except JournalError as error:
        raise click.ClickException(str(error)) from None
    click.echo(checkpoints.public_pem(key), nl=False)


@keys.command()
def rotate() -> None:
    """Put a fresh key before the others: it seals from now on, and the older ones still open what they sealed."""
    path = settings.load().key_file
    try:
        seal.read_keys(path)
        _put(path, f"{seal.generate()}\n{path.read_text(encoding='ascii')}")
    except (SetupWrong, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path} seals with a fresh key. Restart Ticket Elevate, and keep the older lines.")


def _put(path: Path, text: str) -> None:
    """Whole or not at all: a half-written key ring would lose every sign-in."""
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=".keys-")
    with os.fdopen(handle, "w", encoding="ascii") as out:
        os.fchmod(out.fileno(), 0o400)
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    Path(fresh).replace(path)
