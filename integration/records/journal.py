"""The journal's rows: appending is the last statement of the transaction that changes state."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from integration import journal as chain
from integration.journal import Kind
from integration.records.tables import journal, journal_private

_LOCK = 0x7E1E7A7E  # any constant: the advisory lock that makes appenders queue on PostgreSQL


@dataclass(frozen=True)
class Written:
    seq: int
    hash: str

    @property
    def witness(self) -> str:
        return chain.witness(self.seq, self.hash)


def append(
    tx: sa.Connection,
    kind: Kind,
    *,
    now: datetime,
    cause: str,
    elevation: str | None = None,
    activation: str | None = None,
    facts: Mapping[str, str | int | bool | None] | None = None,
    private: Mapping[str, str | None] | None = None,
) -> Written:
    """Append one entry inside `tx`. Raises TailBroken, which must undo it all."""
    if tx.dialect.name == "postgresql":
        # Its own statement, under READ COMMITTED: the tail below is then read after the lock was got.
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    made = chain.append(
        _tail(tx),
        at=now,
        kind=kind,
        elevation=elevation,
        activation=activation,
        cause=cause,
        facts=facts or {},
        private={name: value for name, value in (private or {}).items() if value},
    )
    tx.execute(
        journal.insert().values(
            seq=made.seq,
            log=made.tail.log,
            at=made.at,
            kind=kind,
            elevation=elevation,
            activation=activation,
            entry=made.entry_json,
            hash=made.hash,
        )
    )
    if made.opened:
        rows = [{"seq": made.seq, "name": o.name, "salt": o.salt, "value": o.value} for o in made.opened]
        tx.execute(journal_private.insert(), rows)
    return Written(made.seq, made.hash)


def _tail(tx: sa.Connection) -> chain.Tail:
    row = tx.execute(sa.select(journal).order_by(journal.c.seq.desc()).limit(1)).first()
    if row is None:
        return chain.empty(chain.new_log())
    return chain.tail_of(row.entry, row.hash)


def export(connection: sa.Connection) -> Iterator[str]:
    """The whole journal as JSON Lines, for the offline verifier."""
    opened: dict[int, dict[str, tuple[bytes, str]]] = {}
    for row in connection.execute(sa.select(journal_private)):
        opened.setdefault(row.seq, {})[row.name] = (row.salt, row.value)
    for row in connection.execute(sa.select(journal).order_by(journal.c.seq)):
        yield chain.export_line(row.entry, row.hash, opened.get(row.seq, {}))


def of_elevation(connection: sa.Connection, elevation: str, activation: str | None) -> list[sa.Row[Any]]:
    mine = journal.c.elevation == elevation
    either = sa.or_(mine, journal.c.activation == activation) if activation else mine
    return list(connection.execute(sa.select(journal).where(either).order_by(journal.c.seq)))
