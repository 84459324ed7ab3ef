"""Letting go of an elevation: before anything is active it is cancelled; after that the role is given back."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from integration import comments as words
from integration.elevation import (
    END_WORDS,
    WITHDRAWING,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    State,
    give_back_at,
    move_activation,
)
from integration.journal import Kind
from integration.records import elevations
from integration.records.elevations import Overtaken
from workers.change import Change, change
from workers.run import Due, Run, What

TRIES = 5
NOT_STARTED = frozenset({State.OFFERED, State.REQUESTED, State.SIGN_IN_NEEDED})


def let_go(run: Run, elevation_id: str, reason: EndReason, *, why: str = "") -> Iterable[Due]:
    """End one elevation; repeating it does nothing. The activation is given back only when nobody holds it.

    `why` is said with the reason, if its role was active.
    Raises Overtaken where others change it again and again: whatever asked for the end must ask later.
    """
    for _ in range(TRIES):
        try:
            with change(run) as changed:
                seen = elevations.elevation(changed.tx, elevation_id)
                let_go_of(changed, [(seen, reason)] if seen else [], why=why)
            return changed.due
        except Overtaken:
            continue
    raise Overtaken(elevation_id)


def let_go_of(changed: Change, leaving: Sequence[tuple[Elevation, EndReason]], *, why: str = "") -> None:
    """End these elevations, as they were seen, in the transaction of `changed`. Raises Overtaken."""
    tx = changed.tx
    held = {it.activation for it, _ in leaving if it.activation}
    locked = {name: elevations.lock_activation(tx, name) for name in sorted(held)}
    for seen, reason in sorted(leaving, key=lambda each: each[0].id):
        it = elevations.lock_elevation(tx, seen.id)
        if it is None or it.activation != seen.activation:
            raise Overtaken(seen.id)
        if it.state in NOT_STARTED:
            _cancel(changed, _because(it, reason), reason)
        elif it.state in (State.WAITING, State.PENDING, State.ACTIVE):
            activation = locked[it.activation] if it.activation else None
            assert activation is not None
            locked[activation.id] = _release(changed, _because(it, reason, why), activation, reason, why)


def _because(it: Elevation, reason: EndReason, why: str = "") -> Elevation:
    return replace(it, end_reason=reason, outcome=f"Ended: {END_WORDS[reason]}. {why}".strip()[:600])


def _cancel(changed: Change, it: Elevation, reason: EndReason) -> None:
    # An offer that nobody took needs no second comment.
    text = None if it.state is State.OFFERED else words.cancelled(reason)
    changed.settle(it, State.CANCELLED, text=text, facts={"reason": reason})


def _release(changed: Change, it: Elevation, activation: Activation, reason: EndReason, why: str) -> Activation:
    """`it` leaves; the activation as it is then."""
    others = any(held.id != it.id for held in elevations.holders(changed.tx, activation.id))
    if it.state in (State.WAITING, State.PENDING) and others:
        _cancel(changed, it, reason)
        return activation
    if it.state is State.ACTIVE and (others or activation.by_hand):
        _part(changed, it, activation, reason, shared=others, why=why)
    else:
        _leave(changed, it, activation, reason, why)
    # While the tenant is being asked, its step must not be disturbed: a second one would look before the first is
    # through, see nothing, and take the role for never asked. The step itself sees that nobody holds it any more.
    if activation.state is ActivationState.PENDING and not others:
        withdrawing = elevations.save_activation(
            changed.tx, replace(activation, due_at=changed.run.now, outcome=WITHDRAWING)
        )
        changed.due.append(Due(What.ACTIVATION, withdrawing.id))
        return withdrawing
    if others or activation.state is not ActivationState.ACTIVE:
        return activation
    return give_back_unheld(changed, activation)


def _part(changed: Change, it: Elevation, activation: Activation, reason: EndReason, *, shared: bool, why: str) -> None:
    """The elevation ends, the role stays: others hold it, or it was never ours."""
    run = changed.run
    it = replace(it, ended_at=run.now)
    text = words.ended(it, activation, shared=shared, zone=run.deployment.settings.zone)
    changed.settle(it, State.ENDED, text=f"{text} {why}".strip(), facts={"reason": reason})


def _leave(changed: Change, it: Elevation, activation: Activation, reason: EndReason, why: str) -> None:
    """The last one to leave waits until the role is given back."""
    run = changed.run
    minimum = run.deployment.settings.give_back_minimum
    at = give_back_at(activation, minimum=minimum)
    wait = activation.state is ActivationState.ACTIVE and at > run.now
    zone = run.deployment.settings.zone
    text = words.letting_go(reason, at, zone) if wait else None
    if why and it.state is State.ACTIVE:
        text = words.ready_no_more(why, at, run.now, zone)
    changed.settle(it, State.ENDING, due_at=max(at, run.now) + minimum, text=text, facts={"reason": reason})


def give_back_unheld(changed: Change, it: Activation) -> Activation:
    """Nobody holds this active role any more, and its lock is ours: the intent to give it back, as soon as allowed."""
    run, tx = changed.run, changed.tx
    if it.by_hand:
        left = move_activation(replace(it, ended_at=run.now), ActivationState.LEFT, due_at=None)
        changed.record(Kind.ACTIVATION_LEFT, activation=it.id, facts={"target": it.target})
        return elevations.save_activation(tx, left)
    at = give_back_at(it, minimum=run.deployment.settings.give_back_minimum)
    if at > run.now:
        return elevations.save_activation(tx, replace(it, due_at=at, attempts=0))
    leaving = run.at_once(move_activation(it, ActivationState.GIVING_BACK, due_at=run.now))
    saved = elevations.save_activation(tx, leaving)
    changed.record(Kind.GIVEBACK_INTENDED, activation=it.id, facts={"target": it.target})
    changed.due.append(run.due(What.ACTIVATION, saved))
    return saved
