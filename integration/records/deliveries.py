"""Stored deliveries."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from ulid import ULID

from integration.elevation import LEASE
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


def store(tx: sa.Connection, connection: str, event: TicketEvent, *, now: datetime) -> str | None:
    """Keep a delivery; its new id, or None where the same one was kept before."""
    row_id = str(ULID())
    kept = tx.execute(
        _insert_once(tx).returning(deliveries.c.id),
        {
            "id": row_id,
            "connection": connection,
            "delivery_id": event.delivery_id,
            "ticket": event.ticket,
            "kind": event.kind[:128],
            "secret": event.secret,
            "revision": event.revision,
            "received_at": now,
            "due_at": None if event.own else now,
            "version": 1,
            "attempts": 0,
        },
    ).first()
    return None if kept is None else row_id


def _insert_once(tx: sa.Connection) -> postgresql.Insert | sqlite.Insert:
    if tx.dialect.name == "postgresql":
        return postgresql.insert(deliveries).on_conflict_do_nothing()
    return sqlite.insert(deliveries).on_conflict_do_nothing()


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Delivery | None:
    """Take the row if it is due; whoever comes second gets None."""
    due = sa.and_(deliveries.c.id == row_id, deliveries.c.due_at <= now)
    values = {"due_at": now + LEASE, "version": deliveries.c.version + 1, "attempts": deliveries.c.attempts + 1}
    row = tx.execute(deliveries.update().where(due).values(values).returning(*deliveries.c)).first()
    return None if row is None else Delivery(**row._mapping)


def finish(tx: sa.Connection, delivery: Delivery, outcome: str) -> bool:
    return _settle(tx, delivery, due_at=None, outcome=outcome)


def postpone(tx: sa.Connection, delivery: Delivery, *, now: datetime, by: timedelta, outcome: str) -> bool:
    return _settle(tx, delivery, due_at=now + by, outcome=outcome)


def _settle(tx: sa.Connection, delivery: Delivery, *, due_at: datetime | None, outcome: str) -> bool:
    mine = sa.and_(deliveries.c.id == delivery.id, deliveries.c.version == delivery.version)
    return bool(tx.execute(deliveries.update().where(mine).values(due_at=due_at, outcome=outcome[:200])).rowcount)
