"""Comments that are due on tickets, or were written."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from ulid import ULID

from integration.elevation import LEASE, Elevation
from integration.records import due
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


_SAID = sa.select(sa.func.count()).where(
    comments.c.elevation == sa.bindparam("of"),
    sa.or_(comments.c.step == sa.bindparam("name"), comments.c.step.like(sa.bindparam("numbered"))),
)
_INSERT = comments.insert()
_CLAIM, _SETTLE = due.claiming(comments), due.saving(comments)


def said(connection: sa.Connection, elevation: str, step: str) -> int:
    """How often this elevation said this."""
    found = connection.execute(_SAID, {"of": elevation, "name": step, "numbered": f"{step}-%"}).scalar_one()
    return int(found)


def name_of(connection: sa.Connection, elevation: str, step: str) -> str:
    """`sign-in`, and when it is said again `sign-in-2`, ...: each comment has a marker of its own."""
    before = said(connection, elevation, step)
    return f"{step}-{before + 1}" if before else step


def add(tx: sa.Connection, elevation: Elevation, step: str, text: str, *, now: datetime, claimed: bool) -> Comment:
    """Make a comment due, or `claimed` by whoever adds it. `step` comes from `name_of`."""
    comment = Comment(
        id=str(ULID()),
        connection=elevation.connection,
        ticket=elevation.ticket,
        elevation=elevation.id,
        step=step,
        text=text,
        created_at=now,
        due_at=now + LEASE if claimed else now,
        version=1,
        attempts=1 if claimed else 0,
        written_at=None,
        outcome=None,
    )
    tx.execute(_INSERT, vars(comment))
    return comment


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Comment | None:
    row = due.claim(tx, _CLAIM, row_id=row_id, now=now)
    return None if row is None else Comment(**row._mapping)


def settle(
    tx: sa.Connection, comment: Comment, *, written_at: datetime | None, due_at: datetime | None, outcome: str
) -> bool:
    found = {"written_at": written_at, "due_at": due_at, "outcome": outcome[:200]}
    return due.save(tx, _SETTLE, comment.id, found, seen=comment.version)


def postpone(tx: sa.Connection, comment: Comment, *, now: datetime, by: timedelta, outcome: str) -> bool:
    return settle(tx, comment, written_at=None, due_at=now + by, outcome=outcome)


def of_elevation(connection: sa.Connection, elevation: str) -> list[Comment]:
    query = sa.select(comments).where(comments.c.elevation == elevation).order_by(comments.c.created_at)
    return [Comment(**row._mapping) for row in connection.execute(query)]
