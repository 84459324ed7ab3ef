"""Stored deliveries."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from ulid import ULID

from integration.records import due
from integration.records.tables import UtcDateTime, deliveries
from integration.tickets import ChangedTicket, TicketEvent

READ, ALIKE, SAME = "done", "read together with another one", "it shows what was read before"  # outcomes
POLL = "poll"  # the kind of a delivery that nobody sent
PANEL = "panel"  # and of a press in a panel, which says nothing of whether webhooks arrive
# A change that a poll found is read a moment later: by then its webhook call was worked, where one came.
SETTLE = timedelta(seconds=5)


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
    changed_at: datetime | None = None
    fingerprint: str | None = None


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
        "changed_at": None,
        "fingerprint": event.fingerprint,
    }


def found(connection: str, ticket: ChangedTicket, *, now: datetime) -> Row:
    """A delivery that nobody sent: the change was found by asking. One change makes one, however often it is found."""
    event = TicketEvent(f"{POLL}:{ticket.number}:{ticket.at.isoformat()}", ticket.number, POLL, secret=POLL)
    return {**row(connection, event, now=now), "due_at": now + SETTLE, "changed_at": ticket.at}


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
_OF = deliveries.c.connection == sa.bindparam("of")
_OLDEST = sa.select(deliveries.c.id).where(_OF, due.is_due(deliveries)).order_by(deliveries.c.due_at).limit(1)
_CLAIM_NEXT = due.taking(deliveries, deliveries.c.id == _OLDEST.with_for_update(skip_locked=True).scalar_subquery())


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Delivery | None:
    """Take the row if it is due; whoever comes second gets None."""
    row = due.claim(tx, _CLAIM, row_id=row_id, now=now)
    return None if row is None else Delivery(**row._mapping)


def claim_next(tx: sa.Connection, turns: Iterable[str], *, now: datetime) -> Delivery | None:
    """Take what has been due for longest, of the first of these connections that has any; None when none has."""
    for connection in turns:
        row = due.claim(tx, _CLAIM_NEXT, now=now, of=connection)
        if row is not None:
            return Delivery(**row._mapping)
    return None


def alike(connection: sa.Connection, it: Delivery, *, now: datetime) -> list[tuple[str, int]]:
    """Others that are due and that a reading which begins now answers too: ids with the versions seen."""
    on = sa.and_(deliveries.c.connection == it.connection, deliveries.c.ticket == it.ticket)
    same = sa.or_(deliveries.c.revision.is_(None), deliveries.c.revision == it.revision)
    query = sa.select(deliveries.c.id, deliveries.c.version)
    rows = connection.execute(query.where(on, same, deliveries.c.due_at <= now, deliveries.c.id != it.id))
    return [(row.id, row.version) for row in rows]


def shown_before(connection: sa.Connection, it: Delivery) -> bool:
    """Whether the delivery before it showed the same ticket, and was worked: one that is still under way may be about
    a change that was undone by this one.
    """
    if it.fingerprint is None:
        return False
    on = sa.and_(deliveries.c.connection == it.connection, deliveries.c.ticket == it.ticket, deliveries.c.id < it.id)
    counts = sa.or_(deliveries.c.due_at.is_not(None), deliveries.c.outcome.is_not(None))  # idle ones do not
    wanted = sa.select(deliveries.c.due_at, deliveries.c.outcome, deliveries.c.fingerprint).where(on, counts)
    last = connection.execute(wanted.order_by(deliveries.c.id.desc()).limit(1)).first()
    worked = last is not None and last.due_at is None and last.outcome in (READ, ALIKE, SAME)
    return worked and last is not None and last.fingerprint == it.fingerprint


def seen_to(connection: sa.Connection, desk: str, tickets: Collection[str]) -> dict[str, datetime]:
    """The newest change of each of these tickets that was read and worked, by the helpdesk's clock."""
    newest = sa.func.max(deliveries.c.changed_at, type_=UtcDateTime())
    on = sa.and_(deliveries.c.connection == desk, deliveries.c.ticket.in_(tickets))
    worked = sa.and_(deliveries.c.due_at.is_(None), deliveries.c.changed_at.is_not(None))
    rows = connection.execute(sa.select(deliveries.c.ticket, newest).where(on, worked).group_by(deliveries.c.ticket))
    return {row.ticket: row[1] for row in rows}


def finish(tx: sa.Connection, delivery: Delivery, outcome: str, *, changed_at: datetime | None = None) -> bool:
    """False when another worker has taken it over: then nothing that came of it may be kept."""
    told = {"changed_at": changed_at} if changed_at else {}
    return _settle(tx, delivery.id, delivery.version, due_at=None, outcome=outcome, **told)


def finish_alike(tx: sa.Connection, others: Sequence[tuple[str, int]]) -> None:
    """What `alike` found is answered, except what another worker has taken meanwhile."""
    for row_id, version in others:
        _settle(tx, row_id, version, due_at=None, outcome=ALIKE)


def postpone(tx: sa.Connection, delivery: Delivery, *, now: datetime, by: timedelta, outcome: str) -> bool:
    return _settle(tx, delivery.id, delivery.version, due_at=now + by, outcome=outcome)


def _settle(tx: sa.Connection, row_id: str, version: int, *, outcome: str, **values: datetime | None) -> bool:
    return due.save(tx, _SETTLE, row_id, {**values, "outcome": outcome[:200]}, seen=version)
