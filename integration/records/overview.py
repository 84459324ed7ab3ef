"""What a technician's page lists and the metrics count. Nothing here changes a row."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from integration.elevation import State
from integration.records.tables import activations, comments, deliveries, elevations

DUE = {"deliveries": deliveries, "elevations": elevations, "activations": activations, "comments": comments}


def of_technician(connection: sa.Connection, tid: str, oid: str, *, limit: int) -> list[sa.Row[Any]]:
    """The newest first."""
    query = sa.select(elevations).where(elevations.c.tid == tid, elevations.c.oid == oid)
    return list(connection.execute(query.order_by(elevations.c.created_at.desc()).limit(limit)))


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
