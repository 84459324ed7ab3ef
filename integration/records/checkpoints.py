"""Checkpoints that were signed. Each is kept here whole; the copies outside are made from these rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from integration import journal as chain
from integration.journal import Checkpoint, Kind
from integration.records import journal
from integration.records.tables import journal as entries
from integration.records.tables import journal_checkpoints as table


@dataclass(frozen=True)
class Note:
    """`place` and `hash` are of the last entry it covers; `number` counts from 1."""

    number: int
    place: int
    hash: str
    note: str
    signed_at: datetime
    stored_at: datetime | None

    @property
    def file_name(self) -> str:
        """Sorts by number, so that a directory listing is the order in which they were signed."""
        return f"{self.number:08}-{self.signed_at:%Y-%m-%d}.txt"


def sign(
    tx: sa.Connection,
    key: Ed25519PrivateKey,
    *,
    host: str,
    now: datetime,
    cause: str,
    due: Callable[[Note | None], bool] = lambda before: True,
) -> Note | None:
    """Sign where the journal stands, and write that down in it. Raises TailBroken.

    None while it is empty, or where `due` says so of the newest checkpoint: of several that come at once, one signs.
    """
    end = journal.lock_end(tx)
    if end.tail is None:
        raise chain.TailBroken
    before = last(tx)
    if not end.tail.seq or not due(before):
        return None
    previous = chain.checkpoint_hash(before.note) if before else chain.NO_CHECKPOINT
    stands = Checkpoint(end.tail.log, end.tail.seq, end.tail.hash, now, previous)
    text = chain.sign_checkpoint(stands, key, name=chain.key_name(host, end.tail.log))
    made = Note(before.number + 1 if before else 1, end.place, end.tail.hash, text, now, None)
    tx.execute(table.insert().values(**made.__dict__))
    facts: dict[str, chain.Fact] = {"number": made.number, "digest": chain.checkpoint_hash(text)}
    journal.append(tx, Kind.CHECKPOINT_SIGNED, now=now, cause=cause, facts=facts)
    return made


def last(connection: sa.Connection) -> Note | None:
    row = connection.execute(sa.select(table).order_by(table.c.number.desc()).limit(1)).first()
    return None if row is None else Note(**row._mapping)


def every(connection: sa.Connection) -> list[Note]:
    return [Note(**row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.number))]


def unstored(connection: sa.Connection) -> int:
    """How many have no copy outside yet."""
    query = sa.select(sa.func.count()).select_from(table).where(table.c.stored_at.is_(None))
    return int(connection.execute(query).scalar_one())


def mark_stored(tx: sa.Connection, notes: list[Note], *, now: datetime) -> None:
    numbers = [note.number for note in notes]
    tx.execute(table.update().where(table.c.number.in_(numbers), table.c.stored_at.is_(None)).values(stored_at=now))


def covers(connection: sa.Connection, log: str, seq: int, head: str) -> bool:
    """Whether the journal has the entry that a checkpoint names. Looks through all of it."""
    query = sa.select(entries.c.place).where(entries.c.hash == head, entries.c.log == log, entries.c.seq == seq)
    return connection.execute(query).first() is not None
