"""How a step of an activation comes out: it goes on later, it is seen active, nothing came of it, or it is gone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from integration import comments as words
from integration.elevation import (
    PATIENCE,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    State,
    backoff,
    move_activation,
)
from integration.entra.pim import Active, Request
from integration.journal import Fact, Kind
from integration.records import elevations
from integration.targets import Target
from workers import longer, usable
from workers.change import Change, change
from workers.ending import give_back_unheld
from workers.recheck import requires
from workers.run import Due, Run, What

SLOWEST_GIVE_BACK = 60.0  # a role that nobody holds must not stay for long after the tenant answers again
CLOCK_SKEW = timedelta(minutes=5)  # how far the tenant's clock may be from ours when we look for our own request


def pause(it: Activation) -> timedelta:
    most = SLOWEST_GIVE_BACK if it.state is ActivationState.GIVING_BACK else 3600.0
    return backoff(it.attempts, most=most)


def look_again(run: Run, it: Activation) -> list[Due]:
    """An elevation let go while we were at work: go on at once. Another worker that took the row over is left alone."""
    with run.deployment.records.write() as tx:
        now = elevations.lock_activation(tx, it.id)
        if now is None or now.due_at is None or now.attempts != it.attempts:
            return []
        elevations.save_activation(tx, replace(now, due_at=run.now))  # locked: nobody changes it before us
    return [Due(What.ACTIVATION, it.id)]


def later(run: Run, it: Activation, by: timedelta) -> list[Due]:
    with run.deployment.records.write() as tx:
        elevations.save_activation(tx, replace(it, due_at=run.now + by))
    return []


def shown(run: Run, it: Activation, target: Target) -> Active | None:
    # A look that belongs to giving back stands behind no activation when the tenant slows us down.
    urgent = it.state is ActivationState.GIVING_BACK
    return run.deployment.tenant.active(it.tid, it.oid, run.now, target, schedule_id=it.schedule_id, urgent=urgent)


def is_it(it: Activation, active: Active) -> bool:
    """Whether this is what we asked for, and not what was there before and is still shown for a while."""
    return not it.schedule_id or not active.schedule_id or it.schedule_id == active.schedule_id


def is_shown(run: Run, it: Activation) -> bool:
    there = shown(run, it, Target.from_key(it.target))
    return there is not None and is_it(it, there)


def record_asked(changed: Change, it: Activation, request: Request) -> None:
    facts = {"request": request.id, "status": request.status}
    changed.record(Kind.ACTIVATION_ASKED, activation=it.id, facts=facts)


def seen(run: Run, it: Activation, active: Active, *, asked: Request | None = None) -> list[Due]:
    """It is there. `asked`: our request, where it is not written down yet."""
    seen = replace(
        it, schedule_id=active.schedule_id, started_at=active.start or run.now, ends_at=active.end, outcome=None
    )
    due_at = usable.due_at(run, seen)
    with change(run) as changed:
        elevations.lock_activation(changed.tx, it.id)  # whoever joins does so before this, or joins an active one
        held = elevations.holders(changed.tx, it.id)
        seen = elevations.save_activation(changed.tx, move_activation(seen, ActivationState.ACTIVE, due_at=due_at))
        if asked is not None:
            record_asked(changed, it, asked)
        for elevation in held:
            _tell_active(changed, elevation, seen)
        if not held:
            changed.record(Kind.ACTIVATION_SEEN, activation=it.id, facts=_facts(seen))
            give_back_unheld(changed, seen)
    return changed.due


def _tell_active(changed: Change, it: Elevation, activation: Activation) -> None:
    run, end = changed.run, activation.ends_at
    # While an approver took their time the ticket may have changed.
    check = activation.pending_at is not None and requires(run, it)
    on = replace(it, active_at=run.now, until=end, unchecked=check)
    if check:
        changed.due.append(Due(What.ELEVATION, it.id))
    changed.settle(
        on,
        State.ACTIVE,
        # Else a backstop: the activation itself is looked at when it ends.
        due_at=run.now if check else (end or run.now) + PATIENCE,
        text=words.active(on, activation, run.deployment.settings.zone),
        facts=_facts(activation),
    )


def _facts(it: Activation) -> dict[str, Fact]:
    return {"target": it.target, "until": it.ends_at.isoformat() if it.ends_at else None, "by_hand": it.by_hand}


def fail(run: Run, it: Activation, sentence: str, *, code: str, on_ticket: str | None = None) -> list[Due]:
    """The tenant did not give it: every elevation that waits for it ends, with the tenant's reason on its ticket, or
    with what is said `on_ticket` where that knows the reason already.
    """

    def end(changed: Change, elevation: Elevation) -> None:
        failed = replace(elevation, outcome=sentence[:600])
        changed.settle(failed, State.FAILED, text=words.refused(on_ticket or sentence), facts={"code": code})

    return drop(run, it, sentence, end, code=code)


def drop(
    run: Run, it: Activation, outcome: str, unless_leaving: Callable[[Change, Elevation], None], *, code: str
) -> list[Due]:
    """Nothing came of it. Who was letting go has ended; what becomes of the others `unless_leaving` says."""
    with change(run) as changed:
        failed = replace(it, outcome=outcome[:600], ended_at=run.now)
        elevations.save_activation(changed.tx, move_activation(failed, ActivationState.FAILED, due_at=None))
        changed.record(Kind.ACTIVATION_FAILED, activation=it.id, facts={"code": code})
        for elevation in elevations.on_activation(changed.tx, it.id):
            if elevation.state is State.ENDING:
                why = EndReason(elevation.end_reason or EndReason.END_NOW)
                changed.settle(elevation, State.ENDED, text=words.cancelled(why))
            else:
                unless_leaving(changed, elevation)
    return changed.due


def surely_over(it: Activation, now: datetime) -> bool:
    """Whether a role that was granted no later than `started_at` has run out, so that it cannot be left behind."""
    return it.started_at is not None and now > it.started_at + timedelta(seconds=it.duration_seconds) + CLOCK_SKEW


def close(run: Run, it: Activation, to: ActivationState, unless_said: EndReason) -> list[Due]:
    """The role is gone: say so on every ticket that still held it or was letting go of it."""
    kind, facts = Kind.GIVEBACK_DONE, dict[str, Fact](target=it.target)
    if to is ActivationState.EXPIRED:
        kind, facts = Kind.ACTIVATION_EXPIRED, {**facts, "reason": unless_said}
    with change(run) as changed:
        gone = replace(move_activation(it, to, due_at=None), ended_at=run.now)
        gone = elevations.save_activation(changed.tx, gone)
        changed.record(kind, activation=it.id, facts=facts)
        for elevation in elevations.on_activation(changed.tx, it.id):
            _end(changed, elevation, gone, unless_said)
    return changed.due


def _end(changed: Change, it: Elevation, activation: Activation, unless_said: EndReason) -> None:
    run = changed.run
    it = replace(it, ended_at=run.now, end_reason=it.end_reason or unless_said)
    again = longer.goes_on(changed, it)
    text = words.ended(it, activation, shared=False, zone=run.deployment.settings.zone, again=again)
    changed.settle(it, State.FAILED if it.state in (State.WAITING, State.PENDING) else State.ENDED, text=text)
    if again:
        longer.follow(changed, it)
