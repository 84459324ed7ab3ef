"""A request that waits for an approver: look how it stands, and take it back when nobody needs it any more.

The tenant tells nobody when a request is decided, so it is asked: once for all requests of one technician, and the more
technicians wait the less often, so that the calls of a minute have a limit however many approvals wait.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from integration import comments as words
from integration.comments import Step
from integration.elevation import (
    APPROVAL_PATIENCE,
    WITHDRAWING,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    State,
    backoff,
    move,
    move_activation,
)
from integration.entra.errors import EntraRefused
from integration.entra.pim import Request, RequestKind
from integration.journal import Fact, Kind
from integration.notices import NoticeKind
from integration.records import comments, elevations
from integration.targets import Target
from integration.tickets import clean
from workers.change import Change, change
from workers.outcomes import drop, fail, is_it, later, record_asked, seen, shown, surely_over
from workers.pacing import fair, next_moment
from workers.run import Due, Run, What

# A decision is looked for this often, by the age of its request.
SOON, THEN, LATE = timedelta(seconds=15), timedelta(minutes=1), timedelta(minutes=5)
# And never more often than this, where many technicians wait: each step is a multiple of the one before, so that all
# requests of one technician come due in the same moment.
STEPS = (SOON, THEN, LATE, *(LATE * 2**power for power in range(1, 9)))
CALLS_PER_MINUTE = 300  # of all technicians together; Graph allows a small tenant 21,000
# The others come due a little behind the one that was looked for, which moves them on again before that.
BEHIND = timedelta(seconds=10)
GRACE = timedelta(minutes=10)  # after the tenant should have let a request expire


def wait(run: Run, it: Activation, request: Request, *, asked: bool) -> list[Due]:
    """An approver has to decide. `asked`: whether we asked just now and have not written that down yet."""
    since = request.created if request.created and request.created <= run.now else run.now
    waiting = replace(it, pending_at=since, approval_id=request.approval_id, attempts=0)
    with change(run) as changed:
        elevations.lock_activation(changed.tx, it.id)
        held = elevations.holders(changed.tx, it.id)
        waiting = waiting if held else replace(waiting, outcome=WITHDRAWING)
        due_at = next_look(run, waiting) if held else run.now
        waiting = elevations.save_activation(
            changed.tx, move_activation(waiting, ActivationState.PENDING, due_at=due_at)
        )
        if asked:
            record_asked(changed, it, request)
        for elevation in held:
            tell(changed, elevation, waiting)
        if not held:
            changed.record(Kind.APPROVAL_ASKED, activation=it.id, facts={"target": it.target})
    return changed.due


def tell(changed: Change, it: Elevation, activation: Activation) -> None:
    """`it` waits for the approver that `activation` waits for: on the ticket, the page, and wherever it is told."""
    until = until_when(activation)
    settings = changed.run.deployment.settings
    text = words.approval(activation, until, settings.zone, f"{settings.public_url}/approvals")
    facts = {"target": activation.target, "until": until.isoformat()}
    changed.settle(replace(it, until=until), State.PENDING, due_at=until + GRACE + GRACE, text=text, facts=facts)
    changed.notify(NoticeKind.APPROVAL, it)


def until_when(it: Activation) -> datetime:
    return (it.pending_at or it.created_at) + APPROVAL_PATIENCE


def look(run: Run, it: Activation) -> Iterable[Due]:
    """One step of an activation that waits for an approver."""
    with run.deployment.records.read() as connection:
        held = elevations.holders(connection, it.id)
    if not held:
        return _withdraw(run, it)
    target = Target.from_key(it.target)
    assert it.request_id is not None
    waiting = run.deployment.tenant.pending(it.tid, it.oid, run.now, target.kind)
    if it.request_id in waiting and run.now < until_when(it) + GRACE:
        return _look_later(run, it, waiting)
    request = run.deployment.tenant.request(it.tid, it.oid, run.now, target, it.request_id)
    return _go_on(run, it, target, request)


def _look_later(run: Run, it: Activation, waiting: frozenset[str]) -> list[Due]:
    """It waits, and so do the others of this technician that the same answer names: no need to ask for each."""
    at = next_look(run, it)
    with run.deployment.records.write() as tx:
        elevations.save_activation(tx, replace(it, due_at=at, attempts=0, outcome=None))
        elevations.wait_longer(tx, it, waiting, before=run.now + BEHIND, until=at + BEHIND)
    return []


def next_look(run: Run, it: Activation) -> datetime:
    """When to ask for this technician's requests again: a moment that all of them share, and few other technicians."""
    age = run.now - (it.pending_at or it.created_at)
    pause = SOON if age < timedelta(minutes=15) else THEN if age < timedelta(hours=2) else LATE
    with run.deployment.records.read() as connection:
        lists = elevations.lists_pending(connection)
    least = max(pause, fair(lists, a_minute=CALLS_PER_MINUTE))
    step = next((step for step in STEPS if step >= least), STEPS[-1])
    return next_moment(run.now, f"{it.tid} {it.oid}", step)


def _go_on(run: Run, it: Activation, target: Target, request: Request | None) -> Iterable[Due]:
    """What came of it, as the request itself says."""
    if request is None:
        return fail(run, it, "Entra does not know the request any more.", code="gone")
    if request.kind is RequestKind.ACTIVE:
        active = shown(run, it, target)
        if active is not None and is_it(it, active):
            return seen(run, it, active)
        granted = replace(it, started_at=it.started_at or run.now)
        if surely_over(granted, run.now):
            return fail(run, granted, "It was approved, and was over before it was seen.", code="over")
        return later(run, granted, backoff(it.attempts, first=0.5, most=SOON.total_seconds()))
    if request.kind is RequestKind.ENDED_OK:
        return _cancelled(run, it)
    if request.kind is RequestKind.ENDED_BAD:
        return _decided(run, it, target, request)
    if run.now > until_when(it) + GRACE and request.kind is not RequestKind.IN_FLIGHT:
        return _expired(run, it)
    return later(run, it, SOON)


def _decided(run: Run, it: Activation, target: Target, request: Request) -> list[Due]:
    said = None
    if it.approval_id is not None:
        said = run.deployment.tenant.decision(it.tid, it.oid, run.now, target, it.approval_id)
    was_denied = said is not None and not said.approved
    if was_denied or request.status in ("Denied", "AdminDenied"):
        who, why = (clean(said.who, limit=100), clean(said.words, limit=300)) if said and was_denied else ("", "")
        on_ticket = words.denied("", "") if _was_told(run, it) else None
        return fail(run, it, words.denied(who, why), code="denied", on_ticket=on_ticket)
    if run.now >= until_when(it):
        return _expired(run, it)
    return fail(run, it, f"Entra answered {clean(request.status, limit=40)}.", code="refused")


def _was_told(run: Run, it: Activation) -> bool:
    """Whether the tickets say already who denied it, and why: it was decided on our page."""
    with run.deployment.records.read() as connection:
        waiting = elevations.holders(connection, it.id)
        return bool(waiting) and all(comments.said(connection, each.id, Step.DECIDED) for each in waiting)


def _expired(run: Run, it: Activation) -> list[Due]:
    return fail(run, it, "Nobody approved it within 24 hours, so Entra let the request expire.", code="expired")


def _cancelled(run: Run, it: Activation) -> list[Due]:
    """The technician took the request back at Microsoft, or we did so and did not get to writing it down."""
    if it.outcome == WITHDRAWING:
        return _withdrawn(run, it)

    def end(changed: Change, elevation: Elevation) -> None:
        why = EndReason.WITHDRAWN
        gone = replace(elevation, end_reason=why, outcome="The request was withdrawn in Entra.")
        changed.settle(gone, State.CANCELLED, text=words.cancelled(why), facts={"reason": why})

    return drop(run, it, "The request was withdrawn in Entra.", end, code="cancelled")


def _withdraw(run: Run, it: Activation) -> Iterable[Due]:
    """Nobody needs it any more. A request that the technician made by hand is theirs to take back."""
    target = Target.from_key(it.target)
    assert it.request_id is not None
    if not it.by_hand:
        try:
            run.deployment.tenant.withdraw(it.tid, it.oid, run.now, target, it.request_id)
        except EntraRefused:
            request = run.deployment.tenant.request(it.tid, it.oid, run.now, target, it.request_id)
            if request is not None and request.kind not in (RequestKind.ENDED_OK, RequestKind.HUMAN):
                return _go_on(run, it, target, request)  # decided in this very moment
            if request is not None and request.kind is RequestKind.HUMAN:
                return later(run, it, SOON)
    return _withdrawn(run, it)


def _withdrawn(run: Run, it: Activation) -> list[Due]:
    """The request is gone. A ticket that joined in the meantime asks for one of its own."""
    with change(run) as changed:
        elevations.lock_activation(changed.tx, it.id)
        gone = replace(move_activation(it, ActivationState.WITHDRAWN, due_at=None), ended_at=run.now)
        elevations.save_activation(changed.tx, gone)
        facts: dict[str, Fact] = {"target": it.target, "by_hand": it.by_hand}
        changed.record(Kind.ACTIVATION_WITHDRAWN, activation=it.id, facts=facts)
        for elevation in elevations.on_activation(changed.tx, it.id):
            if elevation.state is State.ENDING:
                why = EndReason(elevation.end_reason or EndReason.END_NOW)
                changed.settle(elevation, State.ENDED, text=words.withdrawn(why))
            else:
                ask_anew(changed, elevation)
    return changed.due


def ask_anew(changed: Change, it: Elevation) -> None:
    """Nothing came of what `it` waited for, and that says nothing against it: it is planned once more."""
    run = changed.run
    anew = move(replace(it, activation=None, until=None), State.REQUESTED, due_at=run.now)
    saved = elevations.save_elevation(changed.tx, run.at_once(anew))
    facts = {"from": it.state, "to": saved.state, "after": it.activation}
    changed.record(Kind.PICK_PLANNED, elevation=saved, facts=facts)
    changed.due.append(run.due(What.ELEVATION, saved))
