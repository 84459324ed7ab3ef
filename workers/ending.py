"""Letting go of an elevation: before anything is active it is cancelled; after that the role is given back.

Locks are taken in one order everywhere: activation, elevation, journal.
"""

from collections.abc import Iterable
from dataclasses import replace

import sqlalchemy as sa

from integration import comments as words
from integration.comments import Step
from integration.elevation import (
    END_WORDS,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    State,
    give_back_at,
)
from integration.journal import Kind
from integration.records import elevations
from integration.records.elevations import Overtaken
from workers.run import Due, Run, What
from workers.saying import settle

TRIES = 5
NOT_STARTED = frozenset({State.OFFERED, State.REQUESTED, State.SIGN_IN_NEEDED})


def let_go(run: Run, elevation_id: str, reason: EndReason) -> Iterable[Due]:
    """End one elevation; repeating it does nothing. The activation is given back only when nobody holds it.

    Raises Overtaken where others change it again and again: whatever asked for the end must ask later.
    """
    for _ in range(TRIES):
        try:
            return _let_go(run, elevation_id, reason)
        except Overtaken:
            continue
    raise Overtaken(elevation_id)


def _let_go(run: Run, elevation_id: str, reason: EndReason) -> list[Due]:
    with run.deployment.records.write() as tx:
        seen = elevations.elevation(tx, elevation_id)
        if seen is None:
            return []
        activation = elevations.lock_activation(tx, seen.activation) if seen.activation else None
        it = elevations.lock_elevation(tx, elevation_id)
        if it is None or it.activation != seen.activation:
            raise Overtaken(elevation_id)
        if it.state not in NOT_STARTED | {State.WAITING, State.ACTIVE}:
            return []
        it = replace(it, end_reason=reason, outcome=f"Ended: {END_WORDS[reason]}.")
        if it.state in NOT_STARTED:
            return _cancel(run, tx, it, reason)
        assert activation is not None
        return _release(run, tx, it, activation, reason)


def _cancel(run: Run, tx: sa.Connection, it: Elevation, reason: EndReason) -> list[Due]:
    # An offer that nobody took needs no second comment.
    text = None if it.state is State.OFFERED else words.cancelled(reason)
    _, due = settle(
        run,
        tx,
        it,
        State.CANCELLED,
        kind=Kind.ELEVATION_CANCELLED,
        due_at=None,
        step=Step.CANCELLED,
        text=text,
        facts={"reason": reason},
    )
    return due


def _release(run: Run, tx: sa.Connection, it: Elevation, activation: Activation, reason: EndReason) -> list[Due]:
    others = any(held.id != it.id for held in elevations.holders(tx, activation.id))
    if it.state is State.WAITING and others:
        return _cancel(run, tx, it, reason)
    woken: list[Due] = []
    # While the tenant is being asked, its step must not be disturbed: a second one would look before the first is
    # through, see nothing, and take the role for never asked. The step itself sees that nobody holds it any more.
    if not others and activation.state is not ActivationState.ASKED:
        elevations.save_activation(tx, replace(activation, due_at=run.now))
        woken = [Due(What.ACTIVATION, activation.id)]
    if it.state is State.ACTIVE and (others or activation.by_hand):
        return [*woken, *_part(run, tx, it, activation, reason, shared=others)]
    return [*woken, *_leave(run, tx, it, activation, reason)]


def _part(
    run: Run, tx: sa.Connection, it: Elevation, activation: Activation, reason: EndReason, *, shared: bool
) -> list[Due]:
    """The elevation ends, the role stays: others hold it, or it was never ours."""
    it = replace(it, ended_at=run.now)
    text = words.ended(it, activation, shared=shared, zone=run.deployment.settings.zone)
    _, due = settle(
        run,
        tx,
        it,
        State.ENDED,
        kind=Kind.ELEVATION_ENDED,
        due_at=None,
        step=Step.ENDED,
        text=text,
        facts={"reason": reason},
    )
    return due


def _leave(run: Run, tx: sa.Connection, it: Elevation, activation: Activation, reason: EndReason) -> list[Due]:
    """The last one to leave waits until the role is given back."""
    minimum, now = run.deployment.settings.give_back_minimum, run.now
    at = give_back_at(activation, minimum=minimum)
    wait = activation.state is ActivationState.ACTIVE and at > now
    _, due = settle(
        run,
        tx,
        it,
        State.ENDING,
        kind=Kind.ELEVATION_ENDING,
        due_at=max(at, now) + minimum,
        step=Step.LETTING_GO,
        text=words.letting_go(reason, at, run.deployment.settings.zone) if wait else None,
        facts={"reason": reason},
    )
    return due
