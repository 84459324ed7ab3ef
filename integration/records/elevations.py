"""Elevations and activations: reading, claiming and compare-and-set saving."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from integration.elevation import HOLDING, LEASE, OPEN, OPEN_ACTIVATION, Activation, ActivationState, Elevation, State
from integration.records.tables import activations, elevations


class Overtaken(Exception):
    """Somebody else changed the row since it was read: undo the transaction, look again."""


def _elevation(row: sa.Row[Any]) -> Elevation:
    return Elevation(**{**row._mapping, "state": State(row._mapping["state"])})


def _activation(row: sa.Row[Any]) -> Activation:
    return Activation(**{**row._mapping, "state": ActivationState(row._mapping["state"])})


def open_elevation(tx: sa.Connection, elevation: Elevation) -> None:
    """Raises sqlalchemy's IntegrityError where this pick has one already."""
    tx.execute(elevations.insert().values(asdict(elevation)))


def open_activation(tx: sa.Connection, activation: Activation) -> None:
    """Raises sqlalchemy's IntegrityError where this technician has an open one for this target."""
    tx.execute(activations.insert().values(asdict(activation)))


def elevation(connection: sa.Connection, elevation_id: str) -> Elevation | None:
    row = connection.execute(sa.select(elevations).where(elevations.c.id == elevation_id)).first()
    return None if row is None else _elevation(row)


def activation(connection: sa.Connection, activation_id: str) -> Activation | None:
    row = connection.execute(sa.select(activations).where(activations.c.id == activation_id)).first()
    return None if row is None else _activation(row)


def lock_activation(tx: sa.Connection, activation_id: str) -> Activation | None:
    """As it is now, and nobody else's until `tx` ends.

    Whoever decides by who holds an activation takes this lock first, before elevations and before the journal: all
    transactions lock in this one order, so that none waits for another in a circle.
    """
    query = sa.select(activations).where(activations.c.id == activation_id).with_for_update()
    row = tx.execute(query).first()
    return None if row is None else _activation(row)


def lock_elevation(tx: sa.Connection, elevation_id: str) -> Elevation | None:
    """As it is now, and nobody else's until `tx` ends; an activation that it holds is locked before it."""
    row = tx.execute(sa.select(elevations).where(elevations.c.id == elevation_id).with_for_update()).first()
    return None if row is None else _elevation(row)


def claim_elevation(tx: sa.Connection, elevation_id: str, *, now: datetime) -> Elevation | None:
    due = sa.and_(elevations.c.id == elevation_id, elevations.c.due_at <= now)
    values = {"due_at": now + LEASE, "version": elevations.c.version + 1, "attempts": elevations.c.attempts + 1}
    row = tx.execute(elevations.update().where(due).values(values).returning(*elevations.c)).first()
    return None if row is None else _elevation(row)


def claim_activation(tx: sa.Connection, activation_id: str, *, now: datetime) -> Activation | None:
    due = sa.and_(activations.c.id == activation_id, activations.c.due_at <= now)
    values = {"due_at": now + LEASE, "version": activations.c.version + 1, "attempts": activations.c.attempts + 1}
    row = tx.execute(activations.update().where(due).values(values).returning(*activations.c)).first()
    return None if row is None else _activation(row)


def save_elevation(tx: sa.Connection, it: Elevation) -> Elevation:
    """Write `it` over the version it was read at. Raises Overtaken."""
    seen = sa.and_(elevations.c.id == it.id, elevations.c.version == it.version)
    it = replace(it, version=it.version + 1)
    if not tx.execute(elevations.update().where(seen).values(asdict(it))).rowcount:
        raise Overtaken(it.id)
    return it


def save_activation(tx: sa.Connection, it: Activation) -> Activation:
    seen = sa.and_(activations.c.id == it.id, activations.c.version == it.version)
    it = replace(it, version=it.version + 1)
    if not tx.execute(activations.update().where(seen).values(asdict(it))).rowcount:
        raise Overtaken(it.id)
    return it


def open_on_ticket(connection: sa.Connection, desk: str, ticket: str) -> list[Elevation]:
    query = sa.select(elevations).where(
        elevations.c.connection == desk, elevations.c.ticket == ticket, elevations.c.state.in_(OPEN)
    )
    return [_elevation(row) for row in connection.execute(query.order_by(elevations.c.created_at))]


def of_pick(connection: sa.Connection, desk: str, ticket: str, account: str, pick: str) -> Elevation | None:
    key = (elevations.c.connection == desk, elevations.c.ticket == ticket, elevations.c.account == account)
    row = connection.execute(sa.select(elevations).where(*key, elevations.c.pick == pick)).first()
    return None if row is None else _elevation(row)


def parked_for(connection: sa.Connection, desk: str, account: str) -> list[Elevation]:
    query = sa.select(elevations).where(
        elevations.c.connection == desk,
        elevations.c.account == account,
        elevations.c.state == State.SIGN_IN_NEEDED,
    )
    return [_elevation(row) for row in connection.execute(query)]


def open_activation_of(tx: sa.Connection, tid: str, oid: str, target: str) -> Activation | None:
    """Locked until `tx` ends, so that it is not given back while somebody joins it."""
    query = sa.select(activations).where(
        activations.c.tid == tid,
        activations.c.oid == oid,
        activations.c.target == target,
        activations.c.state.in_(OPEN_ACTIVATION),
    )
    row = tx.execute(query.with_for_update()).first()
    return None if row is None else _activation(row)


def request_is_known(connection: sa.Connection, request_id: str) -> bool:
    query = sa.select(activations.c.id).where(activations.c.request_id == request_id)
    return connection.execute(query).first() is not None


def on_activation(
    connection: sa.Connection, activation_id: str, states: Sequence[State] | None = None
) -> list[Elevation]:
    query = sa.select(elevations).where(elevations.c.activation == activation_id)
    query = query.where(elevations.c.state.in_(states if states is not None else OPEN))
    return [_elevation(row) for row in connection.execute(query.order_by(elevations.c.created_at))]


def holders(connection: sa.Connection, activation_id: str) -> list[Elevation]:
    return on_activation(connection, activation_id, tuple(HOLDING))


def due(connection: sa.Connection, table: sa.Table, *, now: datetime, limit: int) -> list[str]:
    query = sa.select(table.c.id).where(table.c.due_at <= now).order_by(table.c.due_at).limit(limit)
    return [row.id for row in connection.execute(query)]
