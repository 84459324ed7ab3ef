"""Stored deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from ulid import ULID

from integration.records import due
from integration.records.tables import deliveries
from integration.tickets import TicketEvent


@dataclass(frozen=True)
class Delivery:
    id: str
    connection: str
    delivery_id: str
    ticket: str
    kind: str
    secret: str
    revision: str | None
    received_at: datetime
    due_at: datetime | None
    version: int
    attempts: int
    outcome: str | None


Row = dict[str, Any]  # what is inserted for a delivery


def row(connection: str, event: TicketEvent, *, now: datetime) -> Row:
    return {
        "id": str(ULID()),
        "connection": connection,
        "delivery_id": event.delivery_id,
        "ticket": event.ticket,
        "kind": event.kind[:128],
        "secret": event.secret,
        "revision": event.revision,
        "received_at": now,
        "due_at": None if event.idle else now,
        "version": 1,
        "attempts": 0,
    }


def store(tx: sa.Connection, connection: str, event: TicketEvent, *, now: datetime) -> str | None:
    """Keep a delivery; its new id, or None where the same one was kept before."""
    return next(iter(store_all(tx, [row(connection, event, now=now)])), None)


def store_all(tx: sa.Connection, rows: Sequence[Row]) -> set[str]:
    """Keep deliveries; the ids of those that were not kept before. Of two alike the first one is kept."""
    # Always in the same order: two processes that store the same two deliveries must not wait for each other.
    ordered = sorted(rows, key=lambda it: (it["connection"], it["delivery_id"]))
    return set(tx.execute(_INSERT_ONCE[tx.dialect.name], ordered).scalars())


_INSERT_ONCE = {
    "postgresql": postgresql.insert(deliveries).on_conflict_do_nothing().returning(deliveries.c.id),
    "sqlite": sqlite.insert(deliveries).on_conflict_do_nothing().returning(deliveries.c.id),
}


_CLAIM, _SETTLE = due.claiming(deliveries), due.saving(deliveries)
_OLDEST = sa.select(deliveries.c.id).where(due.is_due(deliveries)).order_by(deliveries.c.due_at).limit(1)
_CLAIM_NEXT = due.taking(deliveries, deliveries.c.id == _OLDEST.with_for_update(skip_locked=True).scalar_subquery())


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Delivery | None:
    """Take the row if it is due; whoever comes second gets None."""
    row = due.claim(tx, _CLAIM, row_id=row_id, now=now)
    return None if row is None else Delivery(**row._mapping)


def claim_next(tx: sa.Connection, *, now: datetime) -> Delivery | None:
    """Take the one that has been due for longest; None when nothing is due."""
    row = due.claim(tx, _CLAIM_NEXT, now=now)
    return None if row is None else Delivery(**row._mapping)


def finish(tx: sa.Connection, delivery: Delivery, outcome: str) -> bool:
    """False when another worker has taken it over: then nothing that came of it may be kept."""
    return _settle(tx, delivery, due_at=None, outcome=outcome)


def postpone(tx: sa.Connection, delivery: Delivery, *, now: datetime, by: timedelta, outcome: str) -> bool:
    return _settle(tx, delivery, due_at=now + by, outcome=outcome)


def _settle(tx: sa.Connection, delivery: Delivery, *, due_at: datetime | None, outcome: str) -> bool:
    values = {"due_at": due_at, "outcome": outcome[:200]}
    return due.save(tx, _SETTLE, delivery.id, values, seen=delivery.version)
