"""What the pages list and the metrics count. Nothing here changes a row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from integration.elevation import OPEN, State
from integration.records.tables import activations, comments, deliveries, elevations

DUE = {"deliveries": deliveries, "elevations": elevations, "activations": activations, "comments": comments}
Rows = Iterator[sa.Row[Any]]


@dataclass(frozen=True)
class Filter:
    """Which elevations: those of a technician and a role whose names hold these words, created in [since, before)."""

    technician: str = ""
    role: str = ""
    ticket: str = ""
    state: State | None = None
    since: datetime | None = None
    before: datetime | None = None

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        for words, column in ((self.technician, elevations.c.technician), (self.role, elevations.c.target_name)):
            if words:
                yield column.icontains(words, autoescape=True)
        if self.ticket:
            yield elevations.c.ticket == self.ticket
        if self.state:
            yield elevations.c.state == self.state
        if self.since:
            yield elevations.c.created_at >= self.since
        if self.before:
            yield elevations.c.created_at < self.before


def open_of(connection: sa.Connection, tid: str, oid: str) -> list[sa.Row[Any]]:
    """What is not over of a technician, the newest first; the roles of one task in the order of its rule."""
    query = _of(tid, oid).where(elevations.c.state.in_(sorted(OPEN)))
    return list(connection.execute(query.order_by(elevations.c.created_at.desc(), elevations.c.part)))


def done_of(
    connection: sa.Connection,
    tid: str,
    oid: str,
    *,
    since: datetime | None = None,
    before: str = "",
    limit: int,
) -> list[sa.Row[Any]]:
    """What is over of a technician, the newest first: what was begun or ended `since`, or is older than the elevation
    with the id `before`.
    """
    query = _of(tid, oid).where(elevations.c.state.not_in(sorted(OPEN)))
    if since:
        query = query.where(sa.or_(elevations.c.created_at >= since, elevations.c.ended_at >= since))
    if before:
        query = query.where(elevations.c.id < before)
    return list(connection.execute(query.order_by(elevations.c.id.desc()).limit(limit)))


def _of(tid: str, oid: str) -> sa.Select[Any]:
    return sa.select(elevations).where(elevations.c.tid == tid, elevations.c.oid == oid)


def page(connection: sa.Connection, asked: Filter, *, limit: int, offset: int) -> list[sa.Row[Any]]:
    """The newest first."""
    query = sa.select(elevations).where(*asked.conditions()).order_by(elevations.c.created_at.desc())
    return list(connection.execute(query.limit(limit).offset(offset)))


def each(connection: sa.Connection, asked: Filter) -> Rows:
    """The oldest first, however many there are, some hundred at a time."""
    query = sa.select(elevations).where(*asked.conditions()).order_by(elevations.c.created_at)
    yield from connection.execution_options(yield_per=500).execute(query)


def emergencies(connection: sa.Connection, *, limit: int) -> list[sa.Row[Any]]:
    """Those without a ticket: what nobody has reviewed first, then the newest first."""
    query = sa.select(elevations).where(elevations.c.emergency)
    order = (elevations.c.reviewed_at.is_not(None), elevations.c.created_at.desc())
    return list(connection.execute(query.order_by(*order).limit(limit)))


def unreviewed(connection: sa.Connection) -> int:
    """How many emergencies nobody has reviewed."""
    waits = sa.and_(elevations.c.emergency, elevations.c.reviewed_at.is_(None))
    return int(connection.execute(sa.select(sa.func.count()).select_from(elevations).where(waits)).scalar_one())


def watched(connection: sa.Connection, rule: str, *, limit: int) -> list[sa.Row[Any]]:
    """What rules would have done that only watch, the newest first; of one rule, or ("") of all."""
    query = sa.select(elevations).where(elevations.c.state == State.WATCHED)
    query = query.where(elevations.c.rule == rule) if rule else query
    return list(connection.execute(query.order_by(elevations.c.created_at.desc()).limit(limit)))


def watched_by_rule(connection: sa.Connection) -> list[sa.Row[Any]]:
    """Rows of (rule, all, activated): how often each would have done something, and have activated a role."""
    rule, planned = elevations.c.rule, sa.func.count(elevations.c.justification)
    query = sa.select(rule, sa.func.count().label("all"), planned.label("activated"))
    return list(connection.execute(query.where(elevations.c.state == State.WATCHED).group_by(rule).order_by(rule)))


def states(connection: sa.Connection) -> Mapping[State, int]:
    """How many elevations are in each state that there is."""
    counted = connection.execute(sa.select(elevations.c.state, sa.func.count()).group_by(elevations.c.state))
    found = {str(state): int(number) for state, number in counted}
    return {state: found.get(str(state), 0) for state in State}


def late(connection: sa.Connection, *, now: datetime) -> Mapping[str, int]:
    """How many rows of each kind should have been worked on by now."""
    return {
        kind: connection.execute(sa.select(sa.func.count()).select_from(table).where(table.c.due_at < now)).scalar_one()
        for kind, table in DUE.items()
    }
