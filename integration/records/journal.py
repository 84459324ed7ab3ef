"""The journal's rows: appending is the last statement of the transaction that changes state."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from integration import journal as chain
from integration.journal import Kind
from integration.records.tables import journal, journal_private

log = logging.getLogger(__name__)
_LOCK = 0x7E1E7A7E  # any constant: the advisory lock that makes appenders queue on PostgreSQL


class Standing(StrEnum):
    """What the end of the journal says of the whole."""

    WHOLE = "whole"
    BROKEN = "broken"  # the last entry was changed; nothing was written since
    HELD = "held"  # it goes on in a new log, and nobody has accepted the break yet


@dataclass(frozen=True)
class End:
    """Where the next entry goes. `tail` is None where the last one was changed, `row` where there is none."""

    standing: Standing
    place: int
    tail: chain.Tail | None
    row: sa.Row[Any] | None


@dataclass(frozen=True)
class Written:
    seq: int
    hash: str
    end: End = field(repr=False)  # where the journal ends now, for as long as the transaction lasts

    @property
    def witness(self) -> str:
        return chain.witness(self.seq, self.hash)


# Made once: SQLAlchemy spends longer on building a statement than a database on running it.
_LAST = (
    sa.select(*(journal.c[name] for name in ("place", "log", "seq", "entry", "hash", "held")))
    .order_by(journal.c.place.desc())
    .limit(1)
)
_INSERT, _INSERT_PRIVATE = journal.insert(), journal_private.insert()
_WAIT_FOR_TURN = sa.select(sa.func.pg_advisory_xact_lock(_LOCK))


def append(
    tx: sa.Connection,
    kind: Kind,
    *,
    now: datetime,
    cause: str,
    elevation: str | None = None,
    activation: str | None = None,
    facts: Mapping[str, chain.Fact] | None = None,
    private: Mapping[str, str | None] | None = None,
    after: Written | None = None,
) -> Written:
    """Append one entry inside `tx`. Raises EntryRefused and StartsStopped, which must undo it all.

    `after`: what this transaction appended last, so that the end need not be read again.

    Where the last entry was changed, what gives a role back or says that one is gone goes on in a new log.
    """
    end = after.end if after else lock_end(tx)
    if kind in chain.STARTS and end.standing is not Standing.WHOLE:
        log.critical("journal_broken", extra={"place": end.place})
        raise chain.StartsStopped
    if end.tail is None:
        end = _continue(tx, end, now=now, cause=cause)
    assert end.tail is not None
    made = chain.append(
        end.tail,
        at=now,
        kind=kind,
        elevation=elevation,
        activation=activation,
        cause=cause,
        facts=facts or {},
        private={name: value for name, value in (private or {}).items() if value},
    )
    held = end.standing is Standing.HELD and kind is not Kind.LOG_ACCEPTED
    _insert(tx, made, place=end.place + 1, kind=kind, elevation=elevation, activation=activation, held=held)
    standing = Standing.HELD if held else Standing.WHOLE
    return Written(made.seq, made.hash, End(standing, end.place + 1, made.tail, None))


def lock_end(tx: sa.Connection) -> End:
    """The journal's end, and nobody else's until `tx` ends."""
    if tx.dialect.name == "postgresql":
        # Its own statement, under READ COMMITTED: the tail below is then read after the lock was got.
        tx.execute(_WAIT_FOR_TURN)
    return _look(tx)


def _look(connection: sa.Connection) -> End:
    row = connection.execute(_LAST).first()
    if row is None:
        return End(Standing.WHOLE, 0, chain.empty(chain.new_log()), None)
    try:
        tail = chain.tail_of(str(row.entry), str(row.hash))
    except chain.TailBroken:
        return End(Standing.BROKEN, row.place, None, row)
    return End(Standing.HELD if row.held else Standing.WHOLE, row.place, tail, row)


def _continue(tx: sa.Connection, end: End, *, now: datetime, cause: str) -> End:
    """Begin a new log, whose first entry names the one that was changed as it stands."""
    assert end.row is not None
    log.critical("journal_continued", extra={"place": end.place})
    facts = chain.continuation(end.row.log, end.row.seq, end.row.hash)
    begin = chain.empty(chain.new_log())
    made = chain.append(begin, at=now, kind=Kind.LOG_CONTINUED, cause=cause, facts=facts)
    _insert(tx, made, place=end.place + 1, kind=Kind.LOG_CONTINUED, held=True)
    return End(Standing.HELD, end.place + 1, made.tail, None)


def _insert(
    tx: sa.Connection,
    made: chain.Appended,
    *,
    place: int,
    kind: Kind,
    held: bool,
    elevation: str | None = None,
    activation: str | None = None,
) -> None:
    values = {
        "place": place,
        "seq": made.seq,
        "log": made.tail.log,
        "at": made.at,
        "kind": kind,
        "elevation": elevation,
        "activation": activation,
        "entry": made.entry_json,
        "hash": made.hash,
        "held": held,
    }
    tx.execute(_INSERT, values)
    if made.opened:
        rows = [{"place": place, "name": o.name, "salt": o.salt, "value": o.value} for o in made.opened]
        tx.execute(_INSERT_PRIVATE, rows)


def standing(connection: sa.Connection) -> Standing:
    """Whether elevations may start, by the journal's last entry. One read."""
    return _look(connection).standing


def accept_break(tx: sa.Connection, *, now: datetime, reason: str, actor: str) -> Written | None:
    """Let elevations start again after a break; `actor` is who says so, for `reason`. None where nothing is broken."""
    if lock_end(tx).standing is Standing.WHOLE:
        return None
    private = {"reason": reason, "actor": actor}
    return append(tx, Kind.LOG_ACCEPTED, now=now, cause="cli", private=private)


def export(connection: sa.Connection) -> Iterator[str]:
    """The whole journal as JSON Lines, for the offline verifier."""
    opened: dict[int, dict[str, tuple[bytes, str]]] = {}
    for row in connection.execute(sa.select(journal_private)):
        opened.setdefault(row.place, {})[row.name] = (row.salt, row.value)
    for row in connection.execute(sa.select(journal).order_by(journal.c.place)):
        yield chain.export_line(row.entry, row.hash, opened.get(row.place, {}))


def of_elevation(connection: sa.Connection, elevation: str, activation: str | None) -> list[sa.Row[Any]]:
    mine = journal.c.elevation == elevation
    either = sa.or_(mine, journal.c.activation == activation) if activation else mine
    return list(connection.execute(sa.select(journal).where(either).order_by(journal.c.place)))
