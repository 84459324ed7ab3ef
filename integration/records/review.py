"""What reviewers list: elevations by filter, the newest first, a page from where the last one ended.

A page is found in two steps: the ids by an index, and then their rows. Words in a name are looked for among the names
that there are, which are few, so that no filter reads every elevation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from integration.elevation import State
from integration.marks import CONDITIONS, Condition, Is, Mark, Of, marks
from integration.month import Held
from integration.records.tables import UtcDateTime, activations, comments, elevations

NONE = "-"  # instead of words: those that have no such name
MOST_NAMES = 5_000
CHUNK = 500  # rows at a time of a list without end
_TABLES = {Of.ELEVATION: elevations, Of.ACTIVATION: activations, Of.NOTE: comments}
# Without what no list shows, and what makes a row long.
_COLUMNS = [column for column in elevations.c if column.name not in ("analysis", "challenge")]
_ORDER = (elevations.c.created_at, elevations.c.id)


@dataclass(frozen=True)
class Filter:
    """Which elevations: created in [since, before), and with these words in their names.

    Words in quotes are the whole name, and NONE is no name. `person` and `target` are one of each, whatever others are
    called: as `person` below says it, and a target's key. `marks`: with one of these.
    """

    technician: str = ""
    role: str = ""
    rule: str = ""
    ticket: str = ""
    person: str = ""
    target: str = ""
    state: State | None = None
    marks: frozenset[Mark] = frozenset()
    became_active: bool | None = None
    since: datetime | None = None
    before: datetime | None = None
    emergencies: bool = False


@dataclass(frozen=True)
class Marked:
    """A row of `elevations`, and what is unusual about it."""

    row: sa.Row[Any]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Page:
    """The newest first. `older` and `newer`: whether there are such rows before and after these."""

    rows: tuple[Marked, ...]
    older: bool
    newer: bool


def page(connection: sa.Connection, asked: Filter, *, limit: int, older_than: str = "", newer_than: str = "") -> Page:
    """At most `limit` rows: the newest, or those next to the elevation with this id. An unknown id counts as none."""
    where = list(_where(connection, asked))
    edge = _edge(connection, newer_than or older_than)
    upwards = bool(newer_than) and edge is not None
    if edge is not None:
        where.append(sa.tuple_(*_ORDER) > edge if upwards else sa.tuple_(*_ORDER) < edge)
    order = [column.asc() if upwards else column.desc() for column in _ORDER]
    query = sa.select(elevations.c.id).where(*where).order_by(*order).limit(limit + 1)
    ids = list(connection.execute(query).scalars())
    more, ids = len(ids) > limit, ids[:limit]
    if upwards:
        return Page(_rows(connection, ids[::-1]), older=True, newer=more)
    return Page(_rows(connection, ids), older=more, newer=edge is not None)


def _edge(connection: sa.Connection, elevation: str) -> sa.ColumnElement[Any] | None:
    if not elevation:
        return None
    row = connection.execute(sa.select(*_ORDER).where(elevations.c.id == elevation)).first()
    return None if row is None else _at(*row)


def _at(created: datetime, elevation: str) -> sa.ColumnElement[Any]:
    return sa.tuple_(sa.literal(created, UtcDateTime), sa.literal(elevation))


def each(connection: sa.Connection, asked: Filter) -> Iterator[Marked]:
    """The oldest first, however many there are, some hundred at a time."""
    query = sa.select(*_ORDER).where(*_where(connection, asked))
    following = query.order_by(*_ORDER).limit(CHUNK)
    while found := connection.execute(following).all():
        yield from _rows(connection, [row.id for row in found])
        following = query.where(sa.tuple_(*_ORDER) > _at(*found[-1])).order_by(*_ORDER).limit(CHUNK)


def one(connection: sa.Connection, elevation: str) -> Marked | None:
    return next(iter(_rows(connection, [elevation])), None)


def _rows(connection: sa.Connection, ids: Sequence[str]) -> tuple[Marked, ...]:
    rows = {row.id: row for row in connection.execute(sa.select(*_COLUMNS).where(elevations.c.id.in_(ids)))}
    held = {row.activation for row in rows.values() if row.activation}
    found = {row.id: row for row in connection.execute(sa.select(activations).where(activations.c.id.in_(held)))}
    notes = _missing_notes(connection, ids)
    both = ((rows[name], name) for name in ids if name in rows)
    return tuple(Marked(row, marks(row, found.get(row.activation), notes.get(name, ()))) for row, name in both)


def _missing_notes(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[object]]:
    query = sa.select(comments.c.elevation, comments.c.written_at, comments.c.due_at)
    where = (_asked(it) for it in CONDITIONS[Mark.NOTE_MISSING])
    found: dict[str, list[object]] = {}
    for row in connection.execute(query.where(comments.c.elevation.in_(ids), *where)):
        found.setdefault(row.elevation, []).append(row)
    return found


def _where(connection: sa.Connection, asked: Filter) -> Iterator[sa.ColumnElement[bool]]:
    named = ((asked.technician, elevations.c.technician), (asked.role, elevations.c.target_name))
    for words, column in (*named, (asked.rule, elevations.c.rule)):
        if words:
            yield _named(connection, words, column)
    if asked.person:
        tid, _, oid = asked.person.partition("/")
        nobody = sa.or_(elevations.c.tid.is_(None), elevations.c.oid.is_(None))
        yield nobody if asked.person == NONE else sa.and_(elevations.c.tid == tid, elevations.c.oid == oid)
    if asked.target:
        yield elevations.c.target.is_(None) if asked.target == NONE else elevations.c.target == asked.target
    if asked.ticket:
        yield elevations.c.ticket == asked.ticket
    if asked.state:
        yield elevations.c.state == asked.state
    if asked.became_active is not None:
        at = elevations.c.active_at
        yield at.is_not(None) if asked.became_active else at.is_(None)
    if asked.emergencies:
        yield elevations.c.emergency.is_(True)
    if asked.marks:
        yield elevations.c.id.in_(sa.union_all(*(_marked(it) for it in sorted(asked.marks))))
    if asked.since:
        yield elevations.c.created_at >= asked.since
    if asked.before:
        yield elevations.c.created_at < asked.before


def person(tid: str | None, oid: str | None) -> str | None:
    """How a filter names somebody; None for nobody that we know."""
    return f"{tid}/{oid}" if tid is not None and oid is not None else None


def _named(connection: sa.Connection, words: str, column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    if words == NONE:
        return column.is_(None)
    if len(words) > 2 and words[0] == words[-1] == '"':
        return column == words[1:-1]
    known = names(connection, column, limit=MOST_NAMES)
    if len(known) == MOST_NAMES:
        return column.icontains(words, autoescape=True)
    return column.in_([name for name in known if words.casefold() in name.casefold()])


def names(connection: sa.Connection, column: sa.Column[Any], *, limit: int) -> list[str]:
    """The different values of a column that an index begins with: one look into it for each, not one for each row."""
    following = column.table.alias()
    found = sa.select(sa.func.min(column).label("name")).cte(recursive=True)
    the_next = sa.select(sa.func.min(following.c[column.name])).where(following.c[column.name] > found.c.name)
    found = found.union_all(sa.select(the_next.scalar_subquery()).where(found.c.name.is_not(None)))
    query = sa.select(found.c.name).where(found.c.name.is_not(None)).limit(limit)
    return list(connection.execute(query).scalars())


def _marked(mark: Mark) -> sa.Select[Any]:
    """The ids of the elevations with this mark."""
    conditions = CONDITIONS[mark]
    tables = {it.of for it in conditions}
    where = [_asked(it) for it in conditions]
    if Of.NOTE in tables:
        return sa.select(comments.c.elevation).where(*where)
    query = sa.select(elevations.c.id).where(*where)
    if Of.ACTIVATION in tables:
        query = query.join(activations, activations.c.id == elevations.c.activation)
    return query


def _asked(it: Condition) -> sa.ColumnElement[bool]:
    """In the words of the indexes of `tables`, values and all: a partial index is used for the same words only."""
    table = _TABLES[it.of]
    column = table.c[it.column]
    if isinstance(it.than, bool):
        return column.is_(it.than)
    if it.what is Is.NOT_BEFORE:
        later: sa.ColumnElement[bool] = column >= table.c[str(it.than)]
        return later
    if it.what in (Is.KNOWN, Is.UNKNOWN):
        return column.is_not(None) if it.what is Is.KNOWN else column.is_(None)
    value = sa.bindparam(None, it.than, type_=sa.String(), literal_execute=True)
    return column == value if it.what is Is.EQUAL else column != value


def unreviewed(connection: sa.Connection) -> int:
    """How many emergencies nobody has reviewed."""
    waits = (_asked(it) for it in CONDITIONS[Mark.NOT_REVIEWED])
    return int(connection.execute(sa.select(sa.func.count()).select_from(elevations).where(*waits)).scalar_one())


def watched_by_rule(connection: sa.Connection) -> list[sa.Row[Any]]:
    """Rows of (rule, all, activated): how often each would have done something, and have activated a role."""
    rule, planned = elevations.c.rule, sa.func.count(elevations.c.justification)
    query = sa.select(rule, sa.func.count().label("all"), planned.label("activated"))
    return list(connection.execute(query.where(elevations.c.state == State.WATCHED).group_by(rule).order_by(rule)))


def held(connection: sa.Connection, since: datetime, before: datetime) -> Iterator[Held]:
    """Those created in [since, before) that became active."""
    # PostgreSQL's own EXTRACT gives numbers of any length, which are slow to read.
    epoch = sa.func.date_part if connection.dialect.name == "postgresql" else sa.extract
    seconds = {
        name: epoch("epoch", elevations.c[name]) for name in ("created_at", "active_at", "let_go_at", "ended_at")
    }
    began, ended = seconds["active_at"], seconds["ended_at"]
    who = (elevations.c.tid, elevations.c.oid, elevations.c.technician, elevations.c.account, elevations.c.address)
    what = (elevations.c.target, elevations.c.target_name, elevations.c.rule)
    spans = (sa.func.coalesce(seconds["let_go_at"], ended) - began, ended - began)
    query = sa.select(seconds["created_at"], *spans, *who, *what).where(
        elevations.c.created_at >= since, elevations.c.created_at < before, elevations.c.active_at.is_not(None)
    )
    for created, used, length, tid, oid, technician, account, address, target, role, rule in connection.execute(query):
        whose = (person(tid, oid), technician, address or account)
        yield Held(int(created), *whose, target, role, rule, _whole(used), _whole(length))


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else max(int(seconds), 0)
