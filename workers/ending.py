"""Letting go of an elevation: before anything is active it is cancelled; after that the role is given back."""

from collections.abc import Iterable
from dataclasses import replace

import sqlalchemy as sa

from integration import comments as words
from integration.comments import Step
from integration.elevation import (
    END_WORDS,
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

TRIES = 5  # a row that is overtaken this often is left to the sweep


def let_go(run: Run, elevation_id: str, reason: EndReason) -> Iterable[Due]:
    """End one elevation; repeating it does nothing. The activation is given back only when nobody holds it."""
    for _ in range(TRIES):
        try:
            return _let_go(run, elevation_id, reason)
        except Overtaken:
            continue
    return []


def _let_go(run: Run, elevation_id: str, reason: EndReason) -> list[Due]:
    with run.deployment.records.write() as tx:
        it = elevations.elevation(tx, elevation_id)
        if it is None or it.state not in (
            State.OFFERED,
            State.REQUESTED,
            State.SIGN_IN_NEEDED,
            State.WAITING,
            State.ACTIVE,
        ):
            return []
        it = replace(it, end_reason=reason, outcome=f"Ended: {END_WORDS[reason]}.")
        if it.state in (State.OFFERED, State.REQUESTED, State.SIGN_IN_NEEDED):
            # An offer that nobody took needs no second comment.
            silent = it.state is State.OFFERED
            text = None if silent else words.cancelled(reason)
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
        return _release(run, tx, it, reason)


def _release(run: Run, tx: sa.Connection, it: Elevation, reason: EndReason) -> list[Due]:
    assert it.activation is not None
    activation = elevations.activation(tx, it.activation)
    assert activation is not None
    others = [held for held in elevations.holders(tx, it.activation) if held.id != it.id]
    if it.state is State.WAITING and others:
        text = words.cancelled(reason)
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
    if it.state is State.ACTIVE and (others or activation.by_hand):
        it = replace(it, ended_at=run.now)
        text = words.ended(it, activation, shared=bool(others), zone=run.deployment.settings.zone)
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
        if not others:
            elevations.save_activation(tx, replace(activation, due_at=run.now))
        return due
    at = give_back_at(activation, minimum=run.deployment.settings.give_back_minimum)
    wait = activation.state is ActivationState.ACTIVE and at > run.now
    waiting = words.letting_go(reason, at, run.deployment.settings.zone) if wait else None
    backstop = max(at, run.now) + run.deployment.settings.give_back_minimum
    _, due = settle(
        run,
        tx,
        it,
        State.ENDING,
        kind=Kind.ELEVATION_ENDING,
        due_at=backstop,
        step=Step.LETTING_GO,
        text=waiting,
        facts={"reason": reason},
    )
    if not others:
        elevations.save_activation(tx, replace(activation, due_at=run.now))
        due = [Due(What.ACTIVATION, activation.id), *due]
    return due
