"""When something that must happen again and again last did. Written at most every few seconds, read by /metrics."""

from datetime import datetime

import sqlalchemy as sa

from integration.records.store import put
from integration.records.tables import heartbeats as table

SWEEP = "sweep"


def last(connection: sa.Connection, name: str) -> datetime | None:
    at: datetime | None = connection.execute(sa.select(table.c.at).where(table.c.name == name)).scalar()
    return at


def beat(tx: sa.Connection, name: str, *, now: datetime) -> None:
    put(tx, table, {"name": name}, {"at": now})
