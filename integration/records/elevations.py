"""Elevations and activations: reading, claiming and compare-and-set saving."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from integration.elevation import (
    HOLDING,
    LEASE,
    OPEN,
    OPEN_ACTIVATION,
    SIGN_IN_MISSING,
    Activation,
    ActivationState,
    Elevation,
    State,
)
from integration.records import due
from integration.records.tables import activations, elevations
from integration.targets import TargetKind
from integration.tickets import UNTOLD


@dataclass(frozen=True)
class Account:
    """Somebody by their account in a helpdesk."""

    account: str


@dataclass(frozen=True)
class User:
    """Somebody by their user in a tenant."""

    tid: str
    oid: str


class Overtaken(Exception):
    """Somebody else changed the row since it was read: undo the transaction, look again."""


def _elevation(row: sa.Row[Any]) -> Elevation:
    return Elevation(**{**row._mapping, "state": State(row.state)})


def _activation(row: sa.Row[Any]) -> Activation:
    return Activation(**{**row._mapping, "state": ActivationState(row.state)})


def _by_id(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).where(table.c.id == sa.bindparam("row_id"))


def _open_on(*where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(elevations).where(*where, elevations.c.state.in_(sorted(OPEN))).order_by(elevations.c.created_at)


_ELEVATION, _ACTIVATION = _by_id(elevations), _by_id(activations)
_LOCK_ELEVATION, _LOCK_ACTIVATION = _ELEVATION.with_for_update(), _ACTIVATION.with_for_update()
_CLAIM_ELEVATION, _CLAIM_ACTIVATION = due.claiming(elevations), due.claiming(activations)
_SAVE_ELEVATION, _SAVE_ACTIVATION = due.saving(elevations), due.saving(activations)
_INSERT_ELEVATION, _INSERT_ACTIVATION = elevations.insert(), activations.insert()
# Without emergencies: a ticket that was named for one afterwards neither starts nor ends it.
_ON_TICKET = _open_on(
    elevations.c.connection == sa.bindparam("desk"),
    elevations.c.ticket == sa.bindparam("number"),
    elevations.c.emergency.is_(False),
)
_OF_PICK = sa.select(elevations).where(
    elevations.c.connection == sa.bindparam("desk"),
    elevations.c.ticket == sa.bindparam("number"),
    elevations.c.account == sa.bindparam("of_account"),
    elevations.c.pick == sa.bindparam("by_pick"),
)
_ON_ACTIVATION = _open_on(elevations.c.activation == sa.bindparam("held"))
_OPEN_ACTIVATION_OF = sa.select(activations).where(
    activations.c.tid == sa.bindparam("tid"),
    activations.c.oid == sa.bindparam("oid"),
    activations.c.target == sa.bindparam("target"),
    activations.c.state.in_(sorted(OPEN_ACTIVATION)),
)
_LOCK_OPEN_ACTIVATION_OF = _OPEN_ACTIVATION_OF.with_for_update()


def open_elevation(tx: sa.Connection, elevation: Elevation) -> None:
    """Raises sqlalchemy's IntegrityError where this pick has one already."""
    tx.execute(_INSERT_ELEVATION, vars(elevation))


def open_activation(tx: sa.Connection, activation: Activation) -> None:
    """Raises sqlalchemy's IntegrityError where this technician has an open one for this target."""
    tx.execute(_INSERT_ACTIVATION, vars(activation))


def elevation(connection: sa.Connection, elevation_id: str) -> Elevation | None:
    row = connection.execute(_ELEVATION, {"row_id": elevation_id}).first()
    return None if row is None else _elevation(row)


def activation(connection: sa.Connection, activation_id: str) -> Activation | None:
    row = connection.execute(_ACTIVATION, {"row_id": activation_id}).first()
    return None if row is None else _activation(row)


def lock_activation(tx: sa.Connection, activation_id: str) -> Activation | None:
    """As it is now, and nobody else's until `tx` ends.

    Whoever decides by who holds an activation takes this lock first, before elevations and before the journal: all
    transactions lock in this one order, so that none waits for another in a circle.
    """
    row = tx.execute(_LOCK_ACTIVATION, {"row_id": activation_id}).first()
    return None if row is None else _activation(row)


def lock_elevation(tx: sa.Connection, elevation_id: str) -> Elevation | None:
    """As it is now, and nobody else's until `tx` ends; an activation that it holds is locked before it."""
    row = tx.execute(_LOCK_ELEVATION, {"row_id": elevation_id}).first()
    return None if row is None else _elevation(row)


def claim_elevation(tx: sa.Connection, elevation_id: str, *, now: datetime) -> Elevation | None:
    row = due.claim(tx, _CLAIM_ELEVATION, row_id=elevation_id, now=now)
    return None if row is None else _elevation(row)


def claim_activation(tx: sa.Connection, activation_id: str, *, now: datetime) -> Activation | None:
    row = due.claim(tx, _CLAIM_ACTIVATION, row_id=activation_id, now=now)
    return None if row is None else _activation(row)


def save_elevation(tx: sa.Connection, it: Elevation) -> Elevation:
    """Write `it` over the version it was read at. Raises Overtaken."""
    saved = replace(it, version=it.version + 1)
    if not due.save(tx, _SAVE_ELEVATION, it.id, vars(saved), seen=it.version):
        raise Overtaken(it.id)
    return saved


def save_activation(tx: sa.Connection, it: Activation) -> Activation:
    """Write `it` over the version it was read at. Raises Overtaken."""
    saved = replace(it, version=it.version + 1)
    if not due.save(tx, _SAVE_ACTIVATION, it.id, vars(saved), seen=it.version):
        raise Overtaken(it.id)
    return saved


def open_on_ticket(connection: sa.Connection, desk: str, ticket: str) -> list[Elevation]:
    return [_elevation(row) for row in connection.execute(_ON_TICKET, {"desk": desk, "number": ticket})]


def told_on_ticket(connection: sa.Connection, desk: str, ticket: str, *, of: Account | User) -> list[Elevation]:
    """What stands on the ticket for `of`: what is open, or else what was opened last. Without emergencies."""
    if isinstance(of, Account):
        theirs = elevations.c.account == of.account
    else:
        theirs = sa.and_(elevations.c.tid == of.tid, elevations.c.oid == of.oid)
    query = sa.select(elevations).where(
        elevations.c.connection == desk, elevations.c.ticket == ticket, elevations.c.emergency.is_(False), theirs
    )
    newest = query.order_by(elevations.c.created_at.desc(), elevations.c.part).limit(20)
    found = [_elevation(row) for row in connection.execute(newest)]
    return [it for it in found if it.state in OPEN] or found[:1]


def emergency_of(connection: sa.Connection, tid: str, oid: str) -> Elevation | None:
    """The open elevation that this technician began without a ticket, unless it is ending already."""
    mine = sa.and_(elevations.c.tid == tid, elevations.c.oid == oid)
    query = _open_on(mine, elevations.c.emergency, elevations.c.state != State.ENDING)
    row = connection.execute(query).first()
    return None if row is None else _elevation(row)


def of_pick(connection: sa.Connection, desk: str, ticket: str, account: str, pick: str) -> Elevation | None:
    named = {"desk": desk, "number": ticket, "of_account": account, "by_pick": pick}
    row = connection.execute(_OF_PICK, named).first()
    return None if row is None else _elevation(row)


def untold_click(connection: sa.Connection, desk: str, ticket: str, account: str, *, since: datetime) -> bool:
    """Whether the account's holder clicked here since then for an assignment that the history did not tell."""
    on = (elevations.c.connection == desk, elevations.c.ticket == ticket, elevations.c.account == account)
    click = (elevations.c.clicked.is_(True), elevations.c.acted_at >= since, elevations.c.pick.startswith(UNTOLD))
    return connection.execute(sa.select(elevations.c.id).where(*on, *click).limit(1)).first() is not None


_PARTS = sa.and_(
    elevations.c.connection == sa.bindparam("desk"),
    elevations.c.ticket == sa.bindparam("number"),
    elevations.c.account == sa.bindparam("of_account"),
    elevations.c.pick == sa.bindparam("by_pick"),
)


def _of_parts(it: Elevation) -> dict[str, str]:
    return {"desk": it.connection, "number": it.ticket, "of_account": it.account, "by_pick": it.pick}


def parts_of(connection: sa.Connection, it: Elevation) -> list[Elevation]:
    """All elevations of the same pick, `it` among them, in the order of the rule's targets."""
    rows = connection.execute(sa.select(elevations).where(_PARTS).order_by(elevations.c.part), _of_parts(it))
    return [_elevation(row) for row in rows]


def wake_parts(tx: sa.Connection, it: Elevation, *, now: datetime) -> list[str]:
    """The other open elevations of the same pick: due now. One that somebody works on now is left alone."""
    others = sa.and_(_PARTS, elevations.c.id != it.id, elevations.c.due_at > now + LEASE)
    rows = tx.execute(elevations.update().where(others).values(due_at=now).returning(elevations.c.id), _of_parts(it))
    return list(rows.scalars())


def parked_for(connection: sa.Connection, desk: str, account: str) -> list[Elevation]:
    query = sa.select(elevations).where(
        elevations.c.connection == desk,
        elevations.c.account == account,
        elevations.c.state == State.SIGN_IN_NEEDED,
    )
    return [_elevation(row) for row in connection.execute(query)]


def open_activation_of(connection: sa.Connection, tid: str, oid: str, target: str) -> Activation | None:
    row = connection.execute(_OPEN_ACTIVATION_OF, {"tid": tid, "oid": oid, "target": target}).first()
    return None if row is None else _activation(row)


def lock_open_activation_of(tx: sa.Connection, tid: str, oid: str, target: str) -> Activation | None:
    """Locked until `tx` ends, so that it is not given back while somebody joins it."""
    row = tx.execute(_LOCK_OPEN_ACTIVATION_OF, {"tid": tid, "oid": oid, "target": target}).first()
    return None if row is None else _activation(row)


def open_activation_by_request(connection: sa.Connection, request_id: str) -> Activation | None:
    """The open activation that this request of the tenant is for."""
    is_open = activations.c.state.in_(sorted(OPEN_ACTIVATION))
    query = sa.select(activations).where(activations.c.request_id == request_id, is_open)
    row = connection.execute(query).first()
    return None if row is None else _activation(row)


def request_is_known(connection: sa.Connection, request_id: str) -> bool:
    query = sa.select(activations.c.id).where(activations.c.request_id == request_id)
    return connection.execute(query).first() is not None


def on_activation(connection: sa.Connection, activation_id: str) -> list[Elevation]:
    """The open elevations that hold this activation or are letting go of it, the oldest first."""
    return [_elevation(row) for row in connection.execute(_ON_ACTIVATION, {"held": activation_id})]


def holders(connection: sa.Connection, activation_id: str) -> list[Elevation]:
    return [it for it in on_activation(connection, activation_id) if it.state in HOLDING]


def wake_waiting(tx: sa.Connection, tid: str, oid: str, *, now: datetime) -> list[str]:
    """The activations of a technician who just signed in that wait for it: due now. One at work now is left alone."""
    waits = sa.and_(
        activations.c.tid == tid,
        activations.c.oid == oid,
        activations.c.state.in_([ActivationState.ASKED, ActivationState.PENDING, ActivationState.GIVING_BACK]),
        activations.c.due_at > now + LEASE,
    )
    missed = sa.case((activations.c.outcome == SIGN_IN_MISSING, None), else_=activations.c.outcome)
    now_due = activations.update().where(waits).values(due_at=now, outcome=missed)
    return list(tx.execute(now_due.returning(activations.c.id)).scalars())


def lists_pending(connection: sa.Connection) -> int:
    """How many lists tell of all requests that wait for approvers: one of each technician and kind of target."""
    kind = sa.func.substr(activations.c.target, 1, 7)  # of the key: enough to tell the kinds apart
    each = sa.select(activations.c.tid, activations.c.oid, kind)
    return _different(connection, each.where(activations.c.state == ActivationState.PENDING))


def wait_longer(
    tx: sa.Connection, it: Activation, requests: frozenset[str], *, before: datetime, until: datetime
) -> None:
    """The other `requests` of this technician that wait and would be due `before` long: they were just looked for."""
    others = sa.and_(
        activations.c.tid == it.tid,
        activations.c.oid == it.oid,
        activations.c.state == ActivationState.PENDING,
        activations.c.id != it.id,
        activations.c.due_at <= before,
    )
    names = sorted(requests)
    for start in range(0, len(names), 500):
        named = activations.c.request_id.in_(names[start : start + 500])
        tx.execute(activations.update().where(others, named).values(due_at=until))


def lists_active(connection: sa.Connection, kind: TargetKind) -> int:
    """How many lists tell of all active roles of this kind: one of each technician."""
    return _different(connection, sa.select(activations.c.tid, activations.c.oid).where(*_active(kind)))


def _different(connection: sa.Connection, rows: sa.Select[Any]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(rows.distinct().subquery())).scalar_one())


def active_of(connection: sa.Connection, tid: str, oid: str, kind: TargetKind) -> list[Activation]:
    """What a technician has active of this kind, in one order for all who change several of it."""
    query = sa.select(activations).where(activations.c.tid == tid, activations.c.oid == oid, *_active(kind))
    found = (_activation(row) for row in connection.execute(query))
    return sorted(found, key=lambda it: it.id)  # not by the database, which would walk along all ids


def _active(kind: TargetKind) -> tuple[sa.ColumnElement[bool], ...]:
    waits = activations.c.due_at.is_not(None)  # as all that is open does; there is an index for that
    return waits, activations.c.state == ActivationState.ACTIVE, activations.c.target.startswith(f"{kind}:")


def look_later(tx: sa.Connection, it: Activation, until: datetime) -> None:
    """It was looked for just now. One that was changed since it was read is left alone."""
    same = sa.and_(activations.c.id == it.id, activations.c.version == it.version)
    tx.execute(activations.update().where(same).values(due_at=until))


def others_open(connection: sa.Connection, it: Activation) -> bool:
    """Whether this technician has another open activation than `it`."""
    theirs = sa.and_(activations.c.tid == it.tid, activations.c.oid == it.oid, activations.c.id != it.id)
    query = sa.select(activations.c.id).where(theirs, activations.c.state.in_(sorted(OPEN_ACTIVATION)))
    return connection.execute(query).first() is not None


def was_asked_by_us(connection: sa.Connection, schedule_id: str) -> bool:
    """Whether an activation of ours made this schedule, whatever became of it."""
    query = sa.select(activations.c.id).where(
        sa.or_(activations.c.schedule_id == schedule_id, activations.c.request_id == schedule_id),
        activations.c.by_hand.is_(False),
    )
    return bool(schedule_id) and connection.execute(query).first() is not None
