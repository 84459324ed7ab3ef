"""`ticket-elevate keys`: fresh lines for the key ring."""

import os
import tempfile
from pathlib import Path

import click

from integration import settings
from integration.entra import seal
from integration.entra.errors import SetupWrong


@click.group()
def keys() -> None:
    """The key ring that seals technicians' sign-ins."""


@keys.command()
def generate() -> None:
    """Print one fresh line for a key file. Nothing is kept."""
    click.echo(seal.generate())


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
