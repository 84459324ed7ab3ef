"""Comments that are due on tickets, or were written."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from ulid import ULID

from integration.elevation import LEASE, Elevation
from integration.records.tables import comments


@dataclass(frozen=True)
class Comment:
    id: str
    connection: str
    ticket: str
    elevation: str
    step: str
    text: str
    created_at: datetime
    due_at: datetime | None
    version: int
    attempts: int
    written_at: datetime | None
    outcome: str | None


def add(tx: sa.Connection, elevation: Elevation, step: str, text: str, *, now: datetime) -> str | None:
    """Make a comment due; None where this elevation said this already."""
    row_id = str(ULID())
    said = sa.select(comments.c.id).where(comments.c.elevation == elevation.id, comments.c.step == step)
    if tx.execute(said).first():
        return None
    tx.execute(
        comments.insert().values(
            id=row_id,
            connection=elevation.connection,
            ticket=elevation.ticket,
            elevation=elevation.id,
            step=step,
            text=text,
            created_at=now,
            due_at=now,
            version=1,
            attempts=0,
        )
    )
    return row_id


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Comment | None:
    due = sa.and_(comments.c.id == row_id, comments.c.due_at <= now)
    values = {"due_at": now + LEASE, "version": comments.c.version + 1, "attempts": comments.c.attempts + 1}
    row = tx.execute(comments.update().where(due).values(values).returning(*comments.c)).first()
    return None if row is None else Comment(**row._mapping)


def settle(
    tx: sa.Connection, comment: Comment, *, written_at: datetime | None, due_at: datetime | None, outcome: str
) -> bool:
    mine = sa.and_(comments.c.id == comment.id, comments.c.version == comment.version)
    values = {"written_at": written_at, "due_at": due_at, "outcome": outcome[:200]}
    return bool(tx.execute(comments.update().where(mine).values(values)).rowcount)


def postpone(tx: sa.Connection, comment: Comment, *, now: datetime, by: timedelta, outcome: str) -> bool:
    return settle(tx, comment, written_at=None, due_at=now + by, outcome=outcome)


def of_elevation(connection: sa.Connection, elevation: str) -> list[Comment]:
    query = sa.select(comments).where(comments.c.elevation == elevation).order_by(comments.c.created_at)
    return [Comment(**row._mapping) for row in connection.execute(query)]
