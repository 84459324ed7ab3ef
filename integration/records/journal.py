"""The journal's rows: appending is the last statement of the transaction that changes state."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from integration import journal as chain
from integration.journal import Kind
from integration.records.tables import journal, journal_private

_LOCK = 0x7E1E7A7E  # any constant: the advisory lock that makes appenders queue on PostgreSQL


class JournalBroken(Exception):
    """The newest entry does not hash to what stands beside it: somebody wrote into the table. Nothing may be appended."""


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
    """Append one entry inside `tx`. Raises JournalBroken, which must undo the whole transaction."""
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
            log=json.loads(made.entry_json)["log"],
            at=made.at,
            kind=kind,
            elevation=elevation,
            activation=activation,
            entry=made.entry_json,
            hash=made.hash,
        )
    )
    if made.opened:
        rows = [{"seq": made.seq, "name": name, "salt": salt, "value": value} for name, salt, value in made.opened]
        tx.execute(journal_private.insert(), rows)
    return Written(made.seq, made.hash)


def _tail(tx: sa.Connection) -> chain.Tail:
    row = tx.execute(sa.select(journal).order_by(journal.c.seq.desc()).limit(1)).first()
    if row is None:
        log = chain.new_log()
        return chain.Tail(log=log, seq=0, hash=chain.genesis(log), at=None)
    if chain.entry_hash(row.entry) != row.hash:
        raise JournalBroken(
            f"Journal entry {row.seq} was changed after it was written. Run `ticket-elevate journal verify`."
        )
    return chain.Tail(log=row.log, seq=row.seq, hash=row.hash, at=row.at)


def export(connection: sa.Connection) -> Iterator[str]:
    """The whole journal as JSON Lines, for the offline verifier."""
    opened: dict[int, dict[str, object]] = {}
    for row in connection.execute(sa.select(journal_private)):
        opened.setdefault(row.seq, {})[row.name] = {"salt": row.salt.hex(), "value": row.value}
    for row in connection.execute(sa.select(journal).order_by(journal.c.seq)):
        line = {"entry": json.loads(row.entry), "hash": row.hash, "private": opened.get(row.seq, {})}
        yield json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def of_elevation(connection: sa.Connection, elevation: str, activation: str | None) -> list[sa.Row[tuple[object, ...]]]:
    mine = journal.c.elevation == elevation
    either = sa.or_(mine, journal.c.activation == activation) if activation else mine
    return list(connection.execute(sa.select(journal).where(either).order_by(journal.c.seq)))
