"""Until when each helpdesk was asked what changed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from integration.records import due
from integration.records.tables import UtcDateTime, polls


@dataclass(frozen=True)
class Poll:
    """`since` is by the helpdesk's clock; `page` is over 1 while more tickets changed at that very time."""

    id: str  # the connection's name
    due_at: datetime | None
    version: int
    attempts: int
    since: datetime
    page: int
    asked_at: datetime | None
    outcome: str | None  # of the last try, where it failed


FURTHEST = timedelta(days=3)  # after a longer outage nobody waits for an answer to an older change
LEASE = timedelta(minutes=4)  # some helpdesks are asked many times for one answer; a task is ended before
_CLAIM, _SAVE = due.claiming(polls), due.saving(polls)


def begin(tx: sa.Connection, connections: Collection[str], *, now: datetime) -> None:
    """Ask these helpdesks from now on. A connection that is new begins with now: what was before is not our business.

    One that was not to be asked for a while goes on where it stopped, or begins anew after FURTHEST.
    """
    insert = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(polls)
    since = sa.case((polls.c.asked_at < now - FURTHEST, sa.literal(now, UtcDateTime())), else_=polls.c.since)
    goes_on = {"due_at": now, "since": since, "page": 1}
    again = insert.on_conflict_do_update(index_elements=["id"], set_=goes_on, where=polls.c.due_at.is_(None))
    for connection in sorted(connections):
        tx.execute(again, {"id": connection, "due_at": now, "since": now})


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Poll | None:
    row = due.claim(tx, _CLAIM, row_id=row_id, now=now, lease=LEASE)
    return None if row is None else Poll(**row._mapping)


def went_on(tx: sa.Connection, it: Poll, *, since: datetime, page: int, due_at: datetime, now: datetime) -> bool:
    """False when another worker has taken it over: then nothing that came of it may be kept."""
    values = {"since": since, "page": page, "due_at": due_at, "attempts": 0, "asked_at": now, "outcome": None}
    return due.save(tx, _SAVE, it.id, values, seen=it.version)


def postpone(tx: sa.Connection, it: Poll, *, due_at: datetime | None, outcome: str) -> bool:
    """Try later what failed; with no `due_at` it is not asked any more until `begin`."""
    return due.save(tx, _SAVE, it.id, {"due_at": due_at, "outcome": outcome[:200]}, seen=it.version)


def of(connection: sa.Connection, desk: str) -> Poll | None:
    row = connection.execute(sa.select(polls).where(polls.c.id == desk)).first()
    return None if row is None else Poll(**row._mapping)
