"""Signed checkpoints: the key's file, when one is due, and the copies in a directory that may be an auditor's.

The key is in a file of its own, which only whoever signs need read: workers and the `ticket-elevate` command. A store
that is away delays copies and raises an alarm; nothing waits for it, since a copy is made outside any transaction and
by a thread that is left behind when it hangs.
"""

import contextlib
import logging
import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from integration.deployment import Deployment
from integration.journal import JournalError
from integration.records import checkpoints
from integration.records.checkpoints import Note

log = logging.getLogger(__name__)
STORE_SECONDS = 10.0  # a store that takes longer is taken for dead


class KeyUnusable(JournalError):
    """There is no checkpoint key, or not one that is safe to use; str() says how to mend it."""


class StoreAway(JournalError):
    """The checkpoints could not be copied to checkpoint_dir; they are kept and copied later."""


def generate() -> str:
    """A fresh key, as the PEM that the key file holds."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()).decode()


def public_pem(key: Ed25519PrivateKey) -> str:
    """What an auditor gets before day one."""
    return key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo).decode()


def read_key(path: Path) -> Ed25519PrivateKey:
    """The key from a file that nobody but us (or root) can read. Raises KeyUnusable."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            raw = file.read(65536)
    except FileNotFoundError:
        raise KeyUnusable(f"There is no checkpoint key {path}. `ticket-elevate init` makes one.") from None
    except OSError:
        raise KeyUnusable(f"The checkpoint key {path} cannot be read.") from None
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise KeyUnusable(f"The checkpoint key {path} can be read by others. Make it yours alone: chmod 400.")
    if facts.st_uid not in (0, os.geteuid()):
        raise KeyUnusable(f"The checkpoint key {path} belongs to another user.")
    try:
        key = forms.load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} is not what `ticket-elevate keys generate --checkpoint` prints.")
    return key


def make_key(path: Path) -> bool:
    """Make the key and, beside it as `.pub`, its public half, where there is none. Whether it was made."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as out:
        out.write(generate())
    public = path.with_name(path.name + ".pub")
    public.write_text(public_pem(read_key(path)), encoding="ascii")
    public.chmod(0o444)
    return True


def is_due(before: Note | None, now: datetime) -> bool:
    """Once a day (UTC), also when nothing happened: a cut is then noticed within a day."""
    return before is None or before.signed_at.astimezone(UTC).date() < now.astimezone(UTC).date()


def sign(deployment: Deployment, *, now: datetime, cause: str, only_if_due: bool = False) -> Note | None:
    """Sign a checkpoint now. None while the journal is empty, or none is due. Raises KeyUnusable and TailBroken."""

    def due(before: Note | None) -> bool:
        return not only_if_due or is_due(before, now)

    with deployment.records.read() as connection:
        if not due(checkpoints.last(connection)):
            return None
    key = read_key(deployment.settings.checkpoint_key_file)
    host = urlsplit(deployment.settings.public_url).hostname or ""
    with deployment.records.write() as tx:
        return checkpoints.sign(tx, key, host=host, now=now, cause=cause, due=due)


def copy(deployment: Deployment, *, now: datetime, seconds: float = STORE_SECONDS) -> None:
    """Bring every checkpoint that checkpoint_dir does not have into it. Raises StoreAway."""
    with deployment.records.read() as connection:
        if not checkpoints.unstored(connection):
            return
        notes = checkpoints.every(connection)
    directory = deployment.settings.checkpoint_dir
    try:
        _within(seconds, directory, notes)
    except OSError as error:
        raise StoreAway(f"{directory} does not take the checkpoints ({error.strerror or error}).") from None
    with deployment.records.write() as tx:
        checkpoints.mark_stored(tx, notes, now=now)


_at_work = threading.Lock()  # at most one thread of a process hangs at a dead store


def _within(seconds: float, directory: Path, notes: list[Note]) -> None:
    failed: list[OSError] = []

    def work() -> None:
        try:
            _put_all(directory, notes)
        except OSError as error:
            failed.append(error)
        finally:
            _at_work.release()

    if not _at_work.acquire(blocking=False):
        raise TimeoutError("an earlier copy still hangs")
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    if failed:
        raise failed[0]


def _put_all(directory: Path, notes: list[Note]) -> None:
    # Not made here: a mount point that is not there is a store that is away.
    there = set(os.listdir(directory))
    for note in notes:
        if note.file_name not in there:
            _put(directory / note.file_name, note.note)
    newest = directory / notes[-1].file_name
    if newest.read_text(encoding="utf-8") != notes[-1].note:
        raise FileExistsError(f"{newest.name} there says something else")


def _put(path: Path, text: str) -> None:
    """Whole or not at all, and never over a file that is there."""
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as out:
            os.fchmod(out.fileno(), 0o444)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def newest_copy(directory: Path) -> str | None:
    """The newest checkpoint in `directory`. Raises OSError, UnicodeDecodeError."""
    names = sorted(name for name in os.listdir(directory) if name.endswith(".txt"))
    return (directory / names[-1]).read_text(encoding="utf-8") if names else None


def keep(deployment: Deployment, *, now: datetime) -> None:
    """What beat asks for again and again: sign when one is due, then copy. Says in the log what hinders it."""
    try:
        sign(deployment, now=now, cause="sweep", only_if_due=True)
    except JournalError as error:
        log.warning("no_checkpoint", extra={"reason": str(error)})
    try:
        copy(deployment, now=now)
    except StoreAway as error:
        log.error("checkpoint_store_away", extra={"reason": str(error)})
