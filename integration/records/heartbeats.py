"""When something that must happen again and again last did. Written at most every few seconds, read by /metrics."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from integration.records.tables import heartbeats as table

SWEEP = "sweep"


def last(connection: sa.Connection, name: str) -> datetime | None:
    at: datetime | None = connection.execute(sa.select(table.c.at).where(table.c.name == name)).scalar()
    return at


def beat(tx: sa.Connection, name: str, *, now: datetime) -> None:
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(name=name, at=now)
    tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"at": now}))
