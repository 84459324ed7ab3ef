"""Erasing a person from what is kept of ended elevations. The chain holds commitments only, and still verifies."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from integration.elevation import OPEN, OPEN_ACTIVATION
from integration.journal import Kind
from integration.records import journal, views
from integration.records.tables import activations, comments, elevations, journal_private, saved_views, tenant_answers
from integration.records.tables import journal as entries

ERASED = "erased"


class StillOpen(Exception):
    """Something about this person goes on; str() says what to wait for. Nothing was erased."""


@dataclass(frozen=True)
class Erased:
    elevations: int
    values: int  # private values of the journal


def of_elevation(tx: sa.Connection, elevation: str, *, now: datetime) -> Erased:
    """Erase who held one elevation. Raises StillOpen."""
    return _erase(tx, elevations.c.id == elevation, sa.false(), now=now)


def of_technician(tx: sa.Connection, oid: str, *, now: datetime) -> Erased:
    """Erase one technician: every elevation of theirs, and every entry that names them. Raises StillOpen.

    Their link and their sign-in are not records of the past, and stay.
    """
    tx.execute(tenant_answers.delete().where(tenant_answers.c.oid == oid))
    tx.execute(saved_views.delete().where(saved_views.c.oid == oid))
    did = sa.select(journal_private.c.place).where(journal_private.c.value == oid)
    return _erase(tx, elevations.c.oid == oid, entries.c.place.in_(did), now=now)


def _erase(tx: sa.Connection, whose: sa.ColumnElement[bool], acts: sa.ColumnElement[bool], *, now: datetime) -> Erased:
    known = elevations.c.account.not_like(f"{ERASED}:%")
    found = tx.execute(
        sa.select(
            elevations.c.id,
            elevations.c.state,
            elevations.c.activation,
            elevations.c.technician,
            elevations.c.oid,
        ).where(whose, known)
    ).all()
    if any(row.state in OPEN for row in found):
        raise StillOpen("An elevation is still open. End it first, or wait until it has ended.")
    mine = [row.id for row in found]
    held = _no_one_elses(tx, mine, {row.activation for row in found if row.activation})
    open_ones = sa.select(activations.c.id).where(activations.c.id.in_(held), activations.c.state.in_(OPEN_ACTIVATION))
    if tx.execute(open_ones).first():
        raise StillOpen("A role is still being given back. Wait until it is gone.")
    if tx.execute(
        sa.select(comments.c.id).where(comments.c.elevation.in_(mine), comments.c.due_at.is_not(None))
    ).first():
        raise StillOpen("A comment is still to be written on a ticket. Wait until the helpdesk has taken it.")
    about = sa.or_(entries.c.elevation.in_(mine), entries.c.activation.in_(held), acts)
    places = sa.select(entries.c.place).where(about)
    values = tx.execute(journal_private.delete().where(journal_private.c.place.in_(places))).rowcount
    _empty_rows(tx, mine, held)
    views.forget(tx, {it for row in found for it in (row.technician, row.oid) if it})
    if mine or values:
        facts = {"elevations": len(mine), "values": values}
        journal.append(tx, Kind.PRIVACY_ERASED, now=now, cause="cli", facts=facts)
    return Erased(len(mine), values)


def _no_one_elses(tx: sa.Connection, mine: list[str], held: set[str]) -> list[str]:
    """Those of the activations `held` that no other elevation shares."""
    others = sa.select(elevations.c.activation).where(elevations.c.activation.in_(held), elevations.c.id.not_in(mine))
    return sorted(held - {row.activation for row in tx.execute(others)})


def _empty_rows(tx: sa.Connection, mine: list[str], held: list[str]) -> None:
    tx.execute(
        elevations.update()
        .where(elevations.c.id.in_(mine))
        .values(
            # One ticket may have been picked by several, and none may take another's place in the key.
            account=sa.literal(f"{ERASED}:") + elevations.c.id,
            version=elevations.c.version + 1,
            address=None,
            tid=None,
            oid=None,
            technician=None,
            justification=None,
            outcome=None,
            analysis=None,
            reason=None,
        )
    )
    gone = {"tid": ERASED, "oid": ERASED, "justification": ERASED, "outcome": None}
    tx.execute(activations.update().where(activations.c.id.in_(held)).values(version=activations.c.version + 1, **gone))
    tx.execute(comments.update().where(comments.c.elevation.in_(mine)).values(text=ERASED))
