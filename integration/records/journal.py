"""The journal's rows: appending is the last statement of the transaction that changes state."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
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
    """Where the next entry goes.

    `tail` is None where the last entry was changed or moved; a new log then says `old` of where it goes on from.
    `strays`: how many entries stand out of the order (`_look`).
    """

    standing: Standing
    place: int
    tail: chain.Tail | None
    old: Mapping[str, chain.Fact]
    strays: int


@dataclass(frozen=True)
class Written:
    seq: int
    hash: str
    end: End = field(repr=False)  # where the journal ends now, for as long as the transaction lasts

    @property
    def witness(self) -> str:
        return chain.witness(self.seq, self.hash)


# An entry this far above the one before it was moved there. No honest journal leaps, or comes to so many entries soon;
# and who would leave no such gap among 2^63 places has to move thousands of millions of entries.
LEAP = 10**9
_TOP = 2**63 - 1


def _as_stored(dialect: str, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The value, NULL where it is not of its column's type, text as bytes: SQLite keeps anything in any column, and
    its driver raises for text that is not UTF-8."""
    if dialect != "sqlite":
        return column
    whole = isinstance(column.type, sa.Integer | sa.Boolean | sa.BigInteger)
    fits = sa.func.typeof(column) == ("integer" if whole else "text")
    return sa.case((fits, sa.type_coerce(column, sa.Integer) if whole else sa.cast(column, sa.LargeBinary))).label(
        column.name
    )


def _left_behind(end: sa.ColumnElement[int]) -> sa.Select[Any]:
    """The last place of private values above the end: those of entries that were moved away or cut off."""
    place = journal_private.c.place
    return sa.select(sa.func.max(place)).where(place > end, place < end + LEAP // 2)


def _make_last(dialect: str) -> sa.Select[Any]:
    columns = [_as_stored(dialect, journal.c[name]) for name in ("log", "seq", "entry", "hash", "held", "strays")]
    count = sa.select(sa.func.count()).select_from(journal.alias("other"))
    other = count.get_final_froms()[0].c.place
    beyond = count.where(other >= sa.bindparam("below")).scalar_subquery()
    before = count.where(other < 1).scalar_subquery()
    left = _left_behind(journal.c.place).scalar_subquery()
    return (
        sa.select(journal.c.place, *columns, (beyond + before).label("outside"), left.label("left"))
        .where(journal.c.place < sa.bindparam("below"), journal.c.place > 0)
        .order_by(journal.c.place.desc())
        .limit(1)
    )


# Made once: SQLAlchemy spends longer on building a statement than a database on running it.
_LAST = {dialect: _make_last(dialect) for dialect in ("sqlite", "postgresql")}
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
    to = replace(end, place=end.place + 1)
    _insert(tx, made, to, kind=kind, elevation=elevation, activation=activation, held=held)
    standing = Standing.HELD if held else Standing.WHOLE
    return Written(made.seq, made.hash, End(standing, to.place, made.tail, {}, end.strays))


def lock_end(tx: sa.Connection) -> End:
    """The journal's end, and nobody else's until `tx` ends."""
    if tx.dialect.name == "postgresql":
        # Its own statement, under READ COMMITTED: the tail below is then read after the lock was got.
        tx.execute(_WAIT_FOR_TURN)
    return _look(tx)


def _look(connection: sa.Connection) -> End:
    """The end of the order of places: the entry before the first leap. One read, unless somebody moved entries.

    What stands above that leap, or below 1, is a stray: had it a say, an entry moved to the highest place there is
    would leave no room for another one.
    """
    below = LEAP
    while True:
        row = connection.execute(_LAST[connection.dialect.name], {"below": below}).first()
        if row is None:
            return _look_at_nothing(connection)
        further = min(row.place + LEAP, _TOP)
        if not row.outside or further == below:
            return _judge(row)
        below = further


def _look_at_nothing(connection: sa.Connection) -> End:
    """No entry stands in the order: there was none yet, or all were taken out of it."""
    strays = connection.execute(sa.select(sa.func.count()).select_from(journal)).scalar_one()
    if strays or connection.execute(_left_behind(sa.literal(0))).scalar_one():
        return End(Standing.BROKEN, 0, None, chain.continuation(None, None, None), strays)
    return End(Standing.WHOLE, 0, chain.empty(chain.new_log()), {}, 0)


def _judge(row: sa.Row[Any]) -> End:
    entry, digest, name = _text(row.entry), _text(row.hash), _text(row.log)
    try:
        if entry is None or digest is None:
            raise chain.TailBroken
        tail = chain.tail_of(entry, digest)
    except chain.TailBroken:
        old = chain.continuation(name, row.seq, digest)
        return End(Standing.BROKEN, row.place, None, old, row.outside)
    known = (name, row.seq, row.strays) == (tail.log, tail.seq, row.outside) and row.held in (0, 1)
    if row.left is not None or not known:
        old = chain.continuation(tail.log, tail.seq, tail.hash)
        return End(Standing.BROKEN, row.place, None, old, row.outside)
    return End(Standing.HELD if row.held else Standing.WHOLE, row.place, tail, {}, row.outside)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def _continue(tx: sa.Connection, end: End, *, now: datetime, cause: str) -> End:
    """Begin a new log, whose first entry names the one that was changed as it stands."""
    log.critical("journal_continued", extra={"place": end.place})
    begin = chain.empty(chain.new_log())
    made = chain.append(begin, at=now, kind=Kind.LOG_CONTINUED, cause=cause, facts=end.old)
    # The private values of entries that are gone still have their places.
    taken = tx.execute(_left_behind(sa.literal(end.place))).scalar_one()
    to = End(Standing.HELD, max(end.place, taken or 0) + 1, made.tail, {}, end.strays)
    _insert(tx, made, to, kind=Kind.LOG_CONTINUED, held=True)
    return to


def _insert(
    tx: sa.Connection,
    made: chain.Appended,
    to: End,
    *,
    kind: Kind,
    held: bool,
    elevation: str | None = None,
    activation: str | None = None,
) -> None:
    values = {
        "place": to.place,
        "seq": made.seq,
        "log": made.tail.log,
        "at": made.at,
        "kind": kind,
        "elevation": elevation,
        "activation": activation,
        "entry": made.entry_json,
        "hash": made.hash,
        "held": held,
        "strays": to.strays,
    }
    tx.execute(_INSERT, values)
    if made.opened:
        rows = [{"place": to.place, "name": o.name, "salt": o.salt, "value": o.value} for o in made.opened]
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
    """The whole journal as JSON Lines, for the offline verifier. Whatever stands in a row, it has its line."""
    opened: dict[int, dict[str, tuple[str | bytes | None, str | bytes]]] = {}
    for row in connection.execute(_PRIVATE[connection.dialect.name]):
        name = _whole(row.name, row.name_fits)
        shown = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
        salt = None if row.salt_fits else row.salt
        opened.setdefault(row.place, {})[shown] = (salt, _whole(row.value, row.value_fits))
    for row in connection.execute(_EVERY[connection.dialect.name]):
        entry, digest = _whole(row.entry, row.entry_fits), _whole(row.hash, row.hash_fits)
        yield chain.export_line(entry, digest, opened.get(row.place, {}))


def _make_export(dialect: str, table: sa.Table, names: tuple[str, ...]) -> sa.Select[Any]:
    """Each of `names` as bytes where that is SQLite, with whether it is text as `..._fits`."""
    columns: list[sa.ColumnElement[Any]] = [table.c.place]
    for name in names:
        column, fits = table.c[name], f"{name}_fits"
        if dialect == "sqlite":
            columns.append(sa.cast(column, sa.LargeBinary).label(name))
            columns.append(sa.type_coerce(sa.func.typeof(column) == "text", sa.Integer).label(fits))
        else:
            columns += [column, sa.literal(int(name != "salt"), sa.Integer).label(fits)]
    return sa.select(*columns).order_by(table.c.place)


_EVERY = {dialect: _make_export(dialect, journal, ("entry", "hash")) for dialect in _LAST}
_PRIVATE = {dialect: _make_export(dialect, journal_private, ("name", "salt", "value")) for dialect in _LAST}


def _whole(value: str | bytes | None, is_text: int) -> str | bytes:
    """Text where it is that. Otherwise the bytes."""
    if isinstance(value, str):
        return value
    text = _text(value) if is_text else None
    return (value or b"") if text is None else text


def decided_by(connection: sa.Connection, oid: str, *, limit: int) -> list[sa.Row[Any]]:
    """What this approver decided, the newest first: `at`, `elevation`, `activation`, `entry`, and, unless erased, their
    `words`, and the `role` of a request that was made outside.
    """
    actor, said, about = (journal_private.alias(name) for name in ("actor", "said", "about"))
    theirs = sa.and_(actor.c.place == journal.c.place, actor.c.name == "actor", actor.c.value == oid)
    words = sa.and_(said.c.place == journal.c.place, said.c.name == "words")
    role = sa.and_(about.c.place == journal.c.place, about.c.name == "role")
    columns = (journal.c.at, journal.c.elevation, journal.c.activation, journal.c.entry)
    values = (said.c.value.label("words"), about.c.value.label("role"))
    joined = journal.join(actor, theirs).outerjoin(said, words).outerjoin(about, role)
    query = sa.select(*columns, *values).select_from(joined).where(journal.c.kind == Kind.APPROVAL_DECIDED)
    return list(connection.execute(query.order_by(journal.c.place.desc()).limit(limit)))
