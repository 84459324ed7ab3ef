"""What a technician's page lists and the metrics count. Nothing here changes a row."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from integration.elevation import OPEN, State
from integration.records.due import is_late
from integration.records.tables import activations, comments, deliveries, elevations

DUE = {"deliveries": deliveries, "elevations": elevations, "activations": activations, "comments": comments}


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


def newest_tickets(connection: sa.Connection, *, limit: int) -> list[sa.Row[Any, Any, Any]]:
    """Rows of (connection, ticket, rule): each of the tickets that the newest elevations are for once."""
    query = sa.select(elevations.c.connection, elevations.c.ticket, elevations.c.rule).where(elevations.c.ticket != "")
    found: dict[tuple[str, str], sa.Row[Any, Any, Any]] = {}
    for row in connection.execute(query.order_by(elevations.c.created_at.desc()).limit(4 * limit)):
        found.setdefault((row.connection, row.ticket), row)
    return list(found.values())[:limit]


def states(connection: sa.Connection) -> Mapping[State, int]:
    """How many elevations are in each state that there is."""
    counted = connection.execute(sa.select(elevations.c.state, sa.func.count()).group_by(elevations.c.state))
    found = {str(state): int(number) for state, number in counted}
    return {state: found.get(str(state), 0) for state in State}


def late(connection: sa.Connection, *, now: datetime) -> Mapping[str, int]:
    """How many rows of each kind should have been worked on by now."""
    return {
        kind: connection.execute(sa.select(sa.func.count()).select_from(table).where(is_late(table, now))).scalar_one()
        for kind, table in DUE.items()
    }
