"""Notices that are due, or were sent: a row for each address, so that a dead one holds up no other."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from ulid import ULID

from integration.elevation import Elevation
from integration.notices import NoticeKind
from integration.records import due
from integration.records.tables import notices

SENDING, WAITING = "being sent", "waits for the address"


@dataclass(frozen=True)
class Notice:
    id: str
    kind: str  # the kind and the place of the address in its list, from 1: `approval-1`
    elevation: str
    title: str
    text: str
    created_at: datetime
    due_at: datetime | None
    version: int
    attempts: int
    sent_at: datetime | None
    outcome: str | None

    @property
    def address(self) -> tuple[NoticeKind, int]:
        """The kind, and the place of the address in its list, from 1."""
        kind, _, place = self.kind.rpartition("-")
        return NoticeKind(kind), int(place)


_INSERT = notices.insert()
_CLAIM, _SETTLE = due.claiming(notices), due.saving(notices)
_IN_HAND = sa.select(notices.c.id).where(
    notices.c.outcome == SENDING, notices.c.due_at > sa.bindparam("now"), notices.c.id != sa.bindparam("own")
)
_NEXT_TRY = (
    sa.select(notices.c.due_at)
    .where(
        notices.c.kind == sa.bindparam("address"),
        notices.c.due_at > sa.bindparam("now"),
        notices.c.id != sa.bindparam("own"),
        notices.c.outcome.not_in((SENDING, WAITING)),
    )
    .order_by(notices.c.due_at)
    .limit(1)
)


def add(
    tx: sa.Connection, elevation: Elevation, kind: NoticeKind, place: int, *, title: str, text: str, now: datetime
) -> Notice:
    """Make a notice due, for the address at `place` (from 1) of its kind."""
    notice = Notice(
        id=str(ULID()),
        kind=f"{kind}-{place}",
        elevation=elevation.id,
        title=title,
        text=text,
        created_at=now,
        due_at=now,
        version=1,
        attempts=0,
        sent_at=None,
        outcome=None,
    )
    tx.execute(_INSERT, vars(notice))
    return notice


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Notice | None:
    row = due.claim(tx, _CLAIM, row_id=row_id, now=now)
    return None if row is None else Notice(**row._mapping)


def hold_until(tx: sa.Connection, notice: Notice, *, now: datetime) -> datetime | None:
    """When `notice` may be tried; None for now. One is sent at a time, and an address that failed is left alone.

    So a chat server that is slow or dead takes one worker at most, and that one seldom.
    """
    given = {"now": now, "own": notice.id}
    if tx.execute(_IN_HAND, given).first() is not None:
        return now + timedelta(seconds=1)
    found: datetime | None = tx.execute(_NEXT_TRY, {**given, "address": notice.kind}).scalar()
    return found


def begin(tx: sa.Connection, notice: Notice) -> None:
    """Say that `notice`, which was just claimed, is under way; its version stays."""
    due.save(tx, _SETTLE, notice.id, {"outcome": SENDING}, seen=notice.version)


def wait(tx: sa.Connection, notice: Notice, until: datetime) -> None:
    """Give back a claim without a try."""
    found = {"due_at": until, "outcome": WAITING, "attempts": notice.attempts - 1}
    due.save(tx, _SETTLE, notice.id, found, seen=notice.version)


def postpone(tx: sa.Connection, notice: Notice, *, now: datetime, by: timedelta, outcome: str) -> bool:
    return due.save(tx, _SETTLE, notice.id, {"due_at": now + by, "outcome": outcome[:200]}, seen=notice.version)


def finish(tx: sa.Connection, notice: Notice, *, sent_at: datetime | None, outcome: str) -> bool:
    """Sent, or given up. Its text goes: it may hold what somebody wrote, and nobody needs it any more."""
    found = {"sent_at": sent_at, "due_at": None, "outcome": outcome[:200], "text": ""}
    return due.save(tx, _SETTLE, notice.id, found, seen=notice.version)


def of_elevation(connection: sa.Connection, elevation: str) -> list[Notice]:
    query = sa.select(notices).where(notices.c.elevation == elevation).order_by(notices.c.created_at, notices.c.kind)
    return [Notice(**row._mapping) for row in connection.execute(query)]
