"""Stored deliveries."""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from ulid import ULID

from integration.brake import OF_HELPDESK
from integration.elevation import ACT_FRESHNESS, OPEN
from integration.records import due
from integration.records.tables import UtcDateTime, brakes, deliveries, elevations
from integration.tickets import ChangedTicket, TicketEvent

READ, ALIKE, SAME = "done", "read together with another one", "it shows what was read before"  # outcomes
LET_GO = "no rule is for what it shows, and there was no time to look"
POLL = "poll"  # the kind of a delivery that nobody sent
PANEL = "panel"  # and of a press in a panel, which says nothing of whether webhooks arrive
# A change that a poll found is read a moment later: by then its webhook call was worked, where one came.
SETTLE = timedelta(seconds=5)
NEAREST, NEAR = 10, timedelta(seconds=10)  # of a ticket's deliveries, for `shown_before`
KEPT, UNREAD_KEPT = timedelta(days=35), timedelta(days=4)
AT_ONCE, LET_GO_AT_ONCE = 5_000, 20_000


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
    found: bool = False
    waits: bool = False


Row = dict[str, Any]  # what is inserted for a delivery


def row(connection: str, event: TicketEvent, *, now: datetime, waits: bool = False) -> Row:
    """`waits`: as far as the call shows its ticket, no rule is for it. Such calls stand behind the others, except where
    something is open for their ticket.
    """
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
        "changed_at": event.shown_at,
        "fingerprint": event.fingerprint,
        "found": False,
        "waits": waits,
    }


def found(connection: str, ticket: ChangedTicket, *, now: datetime) -> Row:
    """A delivery that nobody sent: the change was found by asking. One change makes one, however often it is found."""
    change = hashlib.sha256(f"{ticket.number}:{ticket.at.isoformat()}".encode()).hexdigest()
    event = TicketEvent(f"{POLL}:{change[:32]}", ticket.number, POLL, secret=POLL, shown_at=ticket.at)
    return {**row(connection, event, now=now), "due_at": now + SETTLE, "found": True}


def store(tx: sa.Connection, connection: str, event: TicketEvent, *, now: datetime, waits: bool = False) -> str | None:
    """Keep a delivery; its new id, or None where the same one was kept before."""
    return next(iter(store_all(tx, [row(connection, event, now=now, waits=waits)])), None)


def store_all(tx: sa.Connection, rows: Sequence[Row]) -> set[str]:
    """Keep deliveries; the ids of those that were not kept before. Of two alike the first one is kept."""
    # Always in the same order: two processes that store the same two deliveries must not wait for each other.
    ordered = sorted(rows, key=lambda it: (it["connection"], it["delivery_id"]))
    ids, waiting = {it["id"] for it in ordered}, [it["id"] for it in ordered if it["waits"]]
    if tx.dialect.name == "postgresql":
        given = json.dumps(ordered, default=_in_utc, ensure_ascii=False)
        kept = tx.execute(_INSERT_WAITING_THERE if waiting else _INSERT_ONCE_THERE, {"rows": given}).rowcount
    else:
        kept = tx.execute(_INSERT_ONCE, ordered).rowcount  # half the work of asking which
        if waiting:
            tx.execute(_COUNTING.where(deliveries.c.id.in_(waiting), _COUNTS))
    if kept == len(ids):
        return ids
    # Among them may be what an earlier try kept, whose answer was lost on its way.
    return set(tx.execute(sa.select(deliveries.c.id).where(deliveries.c.id.in_(ids))).scalars())


def _in_utc(time: datetime) -> str:
    utc = UtcDateTime().process_bind_param(time, None)
    assert utc is not None
    return utc.isoformat()


def _counts(of: sa.FromClause) -> sa.Exists:
    """Of what waits, the calls that something may follow from by now: there is something open for their ticket."""
    same = (elevations.c.connection == of.c.connection, elevations.c.ticket == of.c.ticket)
    return sa.exists().where(*same, elevations.c.state.in_(sorted(OPEN)))


_INSERT_ONCE = sqlite.insert(deliveries).on_conflict_do_nothing()
# One statement for however many, with one parameter: SQLAlchemy makes a new one for each number of rows otherwise, and
# the driver has 15 parameters a row to make ready.
_ROWS = sa.func.json_to_recordset(sa.bindparam("rows", type_=sa.Text).cast(sa.JSON))
_NAMES = [it.name for it in deliveries.c if it.name != "outcome"]
_GIVEN = _ROWS.table_valued(*(sa.column(it, deliveries.c[it].type) for it in _NAMES)).render_derived(with_types=True)


def _insert_once_there(waits: sa.ColumnElement[bool]) -> sa.Insert:
    given = sa.select(*(waits if it == "waits" else _GIVEN.c[it] for it in _NAMES))
    insert = postgresql.insert(deliveries).from_select(_NAMES, given).on_conflict_do_nothing()
    return insert.execution_options(preserve_rowcount=True)


_INSERT_ONCE_THERE = _insert_once_there(_GIVEN.c.waits)
_INSERT_WAITING_THERE = _insert_once_there(sa.and_(_GIVEN.c.waits, ~_counts(_GIVEN)))

_COUNTS = _counts(deliveries)
_COUNTING = deliveries.update().values(waits=False)


_CLAIM, _SETTLE = due.claiming(deliveries), due.saving(deliveries)
_NOW: sa.BindParameter[datetime] = sa.bindparam("now")
_HELD = sa.select(brakes.c.name).where(sa.or_(brakes.c.until > _NOW, brakes.c.probe_until > _NOW))


def _claiming_next(*where: sa.ColumnElement[bool]) -> due.Claim:
    of = deliveries.c.connection == sa.bindparam("of")
    oldest = sa.select(deliveries.c.id).where(of, *where, due.is_due(deliveries)).order_by(deliveries.c.due_at)
    first = oldest.limit(1).with_for_update(skip_locked=True)
    return due.taking(deliveries, deliveries.c.id == first.scalar_subquery())


_CALLED, _WAITS = deliveries.c.found.is_(False), deliveries.c.waits.is_(True)
# What something may follow from; other calls; what polls found.
_TURNS = (
    _claiming_next(_CALLED, deliveries.c.waits.is_(False)),
    _claiming_next(_CALLED, _WAITS),
    _claiming_next(deliveries.c.found.is_(True)),
)


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Delivery | None:
    """Take the row if it is due; whoever comes second gets None."""
    row = due.claim(tx, _CLAIM, row_id=row_id, now=now)
    return None if row is None else Delivery(**row._mapping)


def claim_next(
    tx: sa.Connection, turns: Collection[str], *, now: datetime, found_first: bool = False
) -> Delivery | None:
    """Take what has been due for longest, of the first of these connections that has any; None when none has.

    A connection whose brake is on has none: whoever is claimed while its helpdesk asks us to wait is put off in vain,
    and loses its place and one of its tries. A call that `waits` does so until no other call is due, and what polls
    found until no call is, as long as calls do not come without end: see `found_first`.
    """
    held = set(tx.execute(_HELD, {"now": now}).scalars())
    for connection in turns:  # what comes first on one connection must not hold up another
        if f"{OF_HELPDESK}{connection}" in held:
            continue
        for statement in reversed(_TURNS) if found_first else _TURNS:
            row = due.claim(tx, statement, now=now, of=connection)
            if row is not None:
                return Delivery(**row._mapping)
    return None


@dataclass(frozen=True)
class Alike:
    """Another delivery of the same ticket that waits. `change`: what it tells of, if it says when that was."""

    id: str
    version: int
    change: datetime | None


def alike(connection: sa.Connection, it: Delivery, *, now: datetime) -> list[Alike]:
    """Others that are due and that a reading which begins now answers too."""
    on = sa.and_(deliveries.c.connection == it.connection, deliveries.c.ticket == it.ticket)
    same = sa.or_(deliveries.c.revision.is_(None), deliveries.c.revision == it.revision)
    query = sa.select(deliveries.c.id, deliveries.c.version, deliveries.c.changed_at)
    rows = connection.execute(query.where(on, same, deliveries.c.due_at <= now, deliveries.c.id != it.id))
    return [Alike(row.id, row.version, row.changed_at) for row in rows]


def shown_before(connection: sa.Connection, it: Delivery) -> bool:
    """Whether the last delivery of this ticket that was worked showed the same, and none near it shows anything else.

    One that is still under way, or that another receiver kept at about the same time, may be about a change that was
    undone by this one.
    """
    if it.fingerprint is None:
        return False
    on = sa.and_(deliveries.c.connection == it.connection, deliveries.c.ticket == it.ticket, deliveries.c.id != it.id)
    counts = sa.or_(deliveries.c.due_at.is_not(None), deliveries.c.outcome.is_not(None))  # idle ones do not
    rows = connection.execute(sa.select(deliveries).where(on, counts).order_by(deliveries.c.id.desc()).limit(NEAREST))
    others = [Delivery(**row._mapping) for row in rows]
    worked = next((other for other in others if other.due_at is None), None)
    if worked is None or worked.outcome not in (READ, ALIKE, SAME):
        return False
    near = [other for other in others if other.due_at is not None or abs(other.received_at - it.received_at) < NEAR]
    return all(other.fingerprint == it.fingerprint for other in (worked, *near))


def unread(
    connection: sa.Connection, desk: str, changes: Collection[ChangedTicket], *, told: bool = False
) -> list[ChangedTicket]:
    """Those of the changes up to which no delivery of their ticket was read and worked, by the helpdesk's clock.

    With `told`, those that no delivery tells of either which still waits.
    """
    newest = sa.func.max(deliveries.c.changed_at, type_=UtcDateTime())
    on = sa.and_(deliveries.c.connection == desk, deliveries.c.ticket.in_([it.number for it in changes]))
    counts: sa.ColumnElement[bool] = deliveries.c.changed_at.is_not(None)
    if not told:
        counts = sa.and_(deliveries.c.due_at.is_(None), counts)
    rows = connection.execute(sa.select(deliveries.c.ticket, newest).where(on, counts).group_by(deliveries.c.ticket))
    read: dict[str, datetime] = {row.ticket: row[1] for row in rows}
    return [it for it in changes if it.number not in read or read[it.number] < it.at]


def finish(tx: sa.Connection, delivery: Delivery, outcome: str, *, read: datetime | None = None) -> bool:
    """`read`: up to which change the ticket was read, if it was. False when another worker has taken the delivery over:
    then nothing that came of it may be kept.
    """
    told = {"changed_at": read} if outcome == READ else {}
    return _settle(tx, delivery.id, delivery.version, due_at=None, outcome=outcome, **told)


def finish_alike(tx: sa.Connection, others: Iterable[Alike], *, read: datetime | None) -> None:
    """These are answered, except what another worker has taken, and changes that the reading does not show yet."""
    for it in others:
        if it.change is None or (read is not None and read >= it.change):
            _settle(tx, it.id, it.version, due_at=None, outcome=ALIKE, changed_at=read)


def let_go(tx: sa.Connection, *, now: datetime) -> int:
    """Let go of calls that waited in vain, the oldest first, some at a time; how many. Their helpdesk leaves no time to
    read what no rule is for, and by now no pick that such a call tells of would start by itself. It ends as if the
    ticket had been read when the call came: with nothing.

    Those that something may follow from by now wait no longer.
    """
    due_ones = sa.select(deliveries.c.id).where(_WAITS, deliveries.c.due_at <= now)
    counting = due_ones.where(_COUNTS).with_for_update(skip_locked=True)
    tx.execute(_COUNTING.where(deliveries.c.id.in_(counting.scalar_subquery())))
    old = due_ones.where(deliveries.c.received_at <= now - ACT_FRESHNESS, ~_COUNTS).order_by(deliveries.c.due_at)
    some = old.limit(LET_GO_AT_ONCE).with_for_update(skip_locked=True)
    # Nothing was read, up to whatever time the call told.
    ended = {"due_at": None, "outcome": LET_GO, "changed_at": None, "version": deliveries.c.version + 1}
    return tx.execute(deliveries.update().where(deliveries.c.id.in_(some.scalar_subquery())).values(ended)).rowcount


def forget(tx: sa.Connection, connected: Collection[str], *, now: datetime) -> int:
    """Delete what nobody looks at any more, some at a time, and end what is due for nobody.

    A call that cost no reading says nothing after a few days; the others are what pages compare rules by. Gives how
    many were deleted.
    """
    tx.execute(
        deliveries.update()
        .where(deliveries.c.due_at.is_not(None), deliveries.c.connection.not_in(connected))
        .values(due_at=None, outcome="its helpdesk is not connected any more", version=deliveries.c.version + 1)
    )
    # An id begins with its time, and has an index.
    unread = sa.or_(deliveries.c.outcome.is_(None), deliveries.c.outcome.in_((ALIKE, SAME, LET_GO)))
    old = sa.or_(
        deliveries.c.id < str(ULID.from_datetime(now - KEPT)),
        sa.and_(deliveries.c.id < str(ULID.from_datetime(now - UNREAD_KEPT)), unread),
    )
    some = sa.select(deliveries.c.id).where(deliveries.c.due_at.is_(None), old).order_by(deliveries.c.id).limit(AT_ONCE)
    return tx.execute(deliveries.delete().where(deliveries.c.id.in_(some.scalar_subquery()))).rowcount


def postpone(tx: sa.Connection, delivery: Delivery, *, now: datetime, by: timedelta, outcome: str) -> bool:
    return _settle(tx, delivery.id, delivery.version, due_at=now + by, outcome=outcome)


def _settle(tx: sa.Connection, row_id: str, version: int, *, outcome: str, **values: datetime | None) -> bool:
    return due.save(tx, _SETTLE, row_id, {**values, "outcome": outcome[:200]}, seen=version)
