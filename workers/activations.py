"""One activation, one step further: ask the tenant, see it active, give it back, see it gone.

The tenant is asked outside any transaction. After an unknown outcome the step first looks whether it was done.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

from integration import comments as words
from integration.comments import Offer, Step
from integration.elevation import (
    ACT_FRESHNESS,
    PATIENCE,
    TICKET_FRESHNESS,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    State,
    backoff,
    move_activation,
)
from integration.entra.errors import (
    EntraError,
    EntraRefused,
    EntraUnavailable,
    NotActive,
    PendingRequestExists,
    RoleAssignmentExists,
    SignInNeeded,
    TooEarlyToGiveBack,
)
from integration.entra.pim import Active, Request, RequestKind
from integration.journal import Fact, Kind, StartsStopped
from integration.records import comments, elevations, journal, people
from integration.records.elevations import Overtaken
from integration.targets import Target
from integration.tickets import HelpdeskError, TicketGone
from workers.change import Change, change
from workers.deliveries import reason_to_end
from workers.ending import give_back_unheld, let_go
from workers.parking import park, woken_meanwhile
from workers.run import Due, Run, What, claimed_at

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=0.5)  # first look for an instance that Entra has not shown yet; doubled each time
SLOWEST_LOOK = 15.0
SLOWEST_GIVE_BACK = 60.0  # a role that nobody holds must not stay for long after the tenant answers again
SURELY_ASKED = 8  # tries after which a request with a lost answer would show: the last pause was over a minute
ROOM = timedelta(seconds=15)  # of the lease, for the tenant to answer our request in
AGREEMENT = timedelta(minutes=5)  # within which Entra shows what it says is there
UNSEEN_PAUSE = timedelta(minutes=5)
CLOCK_SKEW = timedelta(minutes=5)  # how far the tenant's clock may be from ours when we look for our own request


def step(run: Run, due: Due) -> Iterable[Due]:
    it = run.take(due, Activation, elevations.claim_activation)
    if it is None:
        return []
    try:
        return _step(run, it)
    except Overtaken:
        log.info("activation_overtaken", extra={"activation": it.id})
        return _look_again(run, it)
    except StartsStopped as error:
        return fail(run, it, str(error), code="journal_broken")


def _step(run: Run, it: Activation) -> Iterable[Due]:
    steps = {
        ActivationState.ASKED: _ask,
        ActivationState.ACTIVE: _watch,
        ActivationState.GIVING_BACK: _give_back,
    }
    try:
        return steps[it.state](run, it)
    except SignInNeeded as error:
        return _sign_in_needed(run, it, error)
    except EntraUnavailable as error:
        return _later(run, it, max(_pause(it), timedelta(seconds=error.after or 0)))
    except EntraError as error:
        log.warning("activation_hindered", extra={"activation": it.id, "error": type(error).__name__})
        if it.state is ActivationState.ASKED and run.now - it.created_at > PATIENCE:
            return fail(run, it, str(error), code="setup")
        return _later(run, it, _pause(it))


def _pause(it: Activation) -> timedelta:
    most = SLOWEST_GIVE_BACK if it.state is ActivationState.GIVING_BACK else 3600.0
    return backoff(it.attempts, most=most)


def _look_again(run: Run, it: Activation) -> list[Due]:
    """An elevation let go while we were at work: go on at once. Another worker that took the row over is left alone."""
    with run.deployment.records.write() as tx:
        now = elevations.lock_activation(tx, it.id)
        if now is None or now.due_at is None or now.attempts != it.attempts:
            return []
        elevations.save_activation(tx, replace(now, due_at=run.now))  # locked: nobody changes it before us
    return [Due(What.ACTIVATION, it.id)]


def _later(run: Run, it: Activation, by: timedelta) -> list[Due]:
    with run.deployment.records.write() as tx:
        elevations.save_activation(tx, replace(it, due_at=run.now + by))
    return []


def _ask(run: Run, it: Activation) -> Iterable[Due]:
    target = Target.from_key(it.target)
    if it.request_id is not None:
        return _see(run, it, target)
    # After an unknown outcome the request may stand there already.
    request = _own_request(run, it, target, since=it.created_at - CLOCK_SKEW) if it.attempts > 1 else None
    if request is None:
        hindered = _hindered(run, it)
        if hindered is not None:
            return hindered
        if it.due_at is None or it.due_at - run.now < ROOM:
            # Our lease is nearly over: whoever takes the row next would not see what we are about to ask.
            raise EntraUnavailable("There was no time left to ask.")
        outcome = _post(run, it, target)
        if not isinstance(outcome, Request):
            return outcome
        request = outcome
    asked = replace(it, request_id=request.id, schedule_id=request.schedule_id)
    if request.kind is RequestKind.ENDED_BAD:
        return fail(run, asked, f"Entra answered {request.status}.", code=request.status)
    return _see_asked(run, asked, request, target)


def _hindered(run: Run, it: Activation) -> list[Due] | None:
    """What to do instead of asking: nobody needs it any more, nothing may start, it was too long ago. None: ask."""
    with run.deployment.records.read() as connection:
        held = elevations.holders(connection, it.id)
        recorded = journal.standing(connection) is journal.Standing.WHOLE
    if not held:
        return _never_asked(run, it, "Nobody needed it any more before it was asked for.", code="not_needed")
    if not recorded:
        return _never_asked(run, it, str(StartsStopped()), code="journal_broken")
    if run.now - it.created_at <= TICKET_FRESHNESS:
        return None
    reasons = [(elevation, _reason(run, elevation)) for elevation in held]
    leaving = [(elevation, reason) for elevation, reason in reasons if reason is not None]
    if leaving:
        told = [due for elevation, reason in leaving for due in let_go(run, elevation.id, reason)]
        return [*told, *_look_again(run, it)]  # who is left of them is seen then
    return _too_late(run, it) if run.now - it.created_at > ACT_FRESHNESS else None


def _reason(run: Run, it: Elevation) -> EndReason | None:
    """The pick is a while ago: is the ticket still what it was? A helpdesk that is away delays no activation."""
    try:
        return reason_to_end(run.ticket(it.connection, it.ticket), it)
    except TicketGone:
        return EndReason.TICKET_GONE
    except HelpdeskError:
        return None


def _never_asked(run: Run, it: Activation, why: str, *, code: str) -> list[Due]:
    """It may not be asked for any more. It may have been asked in a try whose answer never came."""
    if 1 < it.attempts < SURELY_ASKED:
        return _later(run, it, _pause(it))
    return fail(run, it, why, code=code)


def _own_request(run: Run, it: Activation, target: Target, *, since: datetime) -> Request | None:
    """The request that an answer of ours got lost for; not one that an earlier activation is known to have made."""
    found = run.deployment.tenant.find_own_request(
        it.tid,
        it.oid,
        run.now,
        target=target,
        ticket_number=it.ticket_number,
        ticket_system=run.deployment.settings.ticket_system,
        justification=it.justification,
        since=since,
        asked_as=_asked_as(it),
    )
    if found is None:
        return None
    with run.deployment.records.read() as connection:
        return None if elevations.request_is_known(connection, found.id) else found


def _asked_as(it: Activation) -> str:
    """The same for every try of one activation, which Azure then takes as one request."""
    return str(uuid5(NAMESPACE_OID, it.id))


def _post(run: Run, it: Activation, target: Target) -> Request | Iterable[Due]:
    try:
        return run.deployment.tenant.activate(
            it.tid,
            it.oid,
            run.now,
            target=target,
            duration=timedelta(seconds=it.duration_seconds),
            justification=it.justification,
            ticket_number=it.ticket_number,
            ticket_system=run.deployment.settings.ticket_system,
            asked_as=_asked_as(it),
        )
    except RoleAssignmentExists as error:
        return _adopt(run, it, target, error)
    except PendingRequestExists as error:
        request = _own_request(run, it, target, since=run.now - PATIENCE)
        return request if request is not None else fail(run, it, str(error), code=error.code)
    except EntraRefused as error:
        with run.deployment.records.write() as tx:
            people.forget_answers(tx, it.tid, it.oid)
        return fail(run, it, str(error), code=error.code)
    except (SignInNeeded, EntraUnavailable):
        raise
    except EntraError as error:
        return fail(run, it, str(error), code="setup")


def _adopt(run: Run, it: Activation, target: Target, error: RoleAssignmentExists) -> Iterable[Due]:
    """The role is active already: by an answer of ours that got lost, or by the technician's own hand."""
    request = _own_request(run, it, target, since=run.now - PATIENCE)
    active = _shown(run, it, target)
    if active is None:
        # It was active a moment ago and is not shown any more, or not yet: Entra needs a while to agree with itself.
        if run.now - it.created_at > AGREEMENT:
            return fail(run, it, str(error), code=error.code)
        return _later(run, it, backoff(it.attempts, first=2, most=60))
    if request is not None and active.schedule_id == request.schedule_id:
        return _seen(run, replace(it, request_id=request.id), active, asked=request)
    with run.deployment.records.read() as connection:
        ours = elevations.was_asked_by_us(connection, active.schedule_id)
    return _seen(run, replace(it, by_hand=not ours), active)


def _see_asked(run: Run, it: Activation, request: Request, target: Target) -> Iterable[Due]:
    """The first look right after asking. However it comes out, what was asked is written down."""
    try:
        active = _shown(run, it, target)
    except EntraError:
        active = None
    if active is not None and _is_it(it, active):
        return _seen(run, it, active, asked=request)
    with change(run) as changed:
        elevations.save_activation(changed.tx, replace(it, attempts=1, due_at=run.now + LOOK_AGAIN))
        _record_asked(changed, it, request)
    return []


def _record_asked(changed: Change, it: Activation, request: Request) -> None:
    facts = {"request": request.id, "status": request.status}
    changed.record(Kind.ACTIVATION_ASKED, activation=it.id, facts=facts)


def _shown(run: Run, it: Activation, target: Target) -> Active | None:
    return run.deployment.tenant.active(it.tid, it.oid, run.now, target, schedule_id=it.schedule_id)


def _is_it(it: Activation, active: Active) -> bool:
    """Whether this is what we asked for, and not what was there before and is still shown for a while."""
    return not it.schedule_id or not active.schedule_id or it.schedule_id == active.schedule_id


def _see(run: Run, it: Activation, target: Target) -> Iterable[Due]:
    active = _shown(run, it, target)
    if active is not None and _is_it(it, active):
        return _seen(run, it, active)
    if it.attempts > 1 and it.request_id is not None:
        request = run.deployment.tenant.request(it.tid, it.oid, run.now, target, it.request_id)
        if request is not None and request.kind in (RequestKind.ENDED_BAD, RequestKind.ENDED_OK):
            return fail(run, it, f"Entra answered {request.status}.", code=request.status)
        if request is not None and request.kind is RequestKind.ACTIVE:
            it = replace(it, started_at=it.started_at or run.now)
            if _surely_over(it, run.now):
                return fail(run, it, "Entra granted it, but it was over before we saw it.", code="over")
        if run.now - it.created_at > PATIENCE:
            return fail(run, it, "Entra did not decide within a day.", code="no_answer")
    wait = backoff(it.attempts, first=LOOK_AGAIN.total_seconds(), most=SLOWEST_LOOK)
    return _later(run, it, wait)


def _surely_over(it: Activation, now: datetime) -> bool:
    """Whether a role that was granted no later than `started_at` has run out, so that it cannot be left behind."""
    return it.started_at is not None and now > it.started_at + timedelta(seconds=it.duration_seconds) + CLOCK_SKEW


def _seen(run: Run, it: Activation, active: Active, *, asked: Request | None = None) -> list[Due]:
    """It is there. `asked`: our request, where it is not written down yet."""
    seen = replace(it, schedule_id=active.schedule_id, started_at=active.start or run.now, ends_at=active.end)
    end = active.end or run.now + PATIENCE
    with change(run) as changed:
        elevations.lock_activation(changed.tx, it.id)  # whoever joins does so before this, or joins an active one
        held = elevations.holders(changed.tx, it.id)
        seen = elevations.save_activation(changed.tx, move_activation(seen, ActivationState.ACTIVE, due_at=end))
        if asked is not None:
            _record_asked(changed, it, asked)
        for elevation in held:
            _tell_active(changed, elevation, seen)
        if not held:
            changed.record(Kind.ACTIVATION_SEEN, activation=it.id, facts=_facts(seen))
            give_back_unheld(changed, seen)
    return changed.due


def _tell_active(changed: Change, it: Elevation, activation: Activation) -> None:
    run, end = changed.run, activation.ends_at
    on = replace(it, active_at=run.now, until=end)
    changed.settle(
        on,
        State.ACTIVE,
        due_at=(end or run.now) + PATIENCE,  # a backstop: the activation itself is looked at when it ends
        text=words.active(on, activation, run.deployment.settings.zone),
        facts=_facts(activation),
    )


def _facts(it: Activation) -> dict[str, Fact]:
    return {"target": it.target, "until": it.ends_at.isoformat() if it.ends_at else None, "by_hand": it.by_hand}


def fail(run: Run, it: Activation, sentence: str, *, code: str) -> list[Due]:
    """The tenant did not give it: every elevation that waits for it ends, with the tenant's reason on its ticket."""

    def end(changed: Change, elevation: Elevation) -> None:
        failed = replace(elevation, outcome=sentence[:600])
        changed.settle(failed, State.FAILED, text=words.refused(sentence), facts={"code": code})

    return _drop(run, it, sentence, end, code=code)


def _too_late(run: Run, it: Activation) -> list[Due]:
    """Entra was away for so long that its technician may be doing something else: not without another click."""

    def offer(changed: Change, elevation: Elevation) -> None:
        text = words.offered(run.deployment.link(elevation.id), Offer.TOO_LATE)
        parked = replace(elevation, activation=None)
        changed.settle(parked, State.OFFERED, due_at=run.now + PATIENCE, text=text)

    return _drop(run, it, Offer.TOO_LATE, offer, code="too_late")


def _sign_in_needed(run: Run, it: Activation, error: SignInNeeded) -> list[Due]:
    """Surely not asked yet: the elevations wait for their technician. Else it goes on when they have signed in."""
    if it.state is not ActivationState.ASKED:
        return _stuck(run, it)
    if it.request_id is not None or it.attempts > 1:
        return _unseen(run, it, error)
    parked: list[Elevation] = []

    def wait(changed: Change, elevation: Elevation) -> None:
        park(changed, replace(elevation, activation=None), error.claims)
        parked.append(elevation)

    due = _drop(run, it, str(error), wait, code="sign_in_needed")
    return [*due, *woken_meanwhile(run, parked, since=claimed_at(it))]


def _unseen(run: Run, it: Activation, error: SignInNeeded) -> list[Due]:
    """Entra may have granted it, and only its technician's sign-in can show that, or give it back."""
    if run.now > it.created_at + timedelta(seconds=it.duration_seconds) + CLOCK_SKEW:
        sentence = "It may have been active for a while: without the technician's sign-in nobody could see it."
        return fail(run, it, sentence, code="over")
    with change(run) as changed:
        elevations.save_activation(changed.tx, replace(it, due_at=run.now + UNSEEN_PAUSE))
        for elevation in elevations.holders(changed.tx, it.id):
            link = run.deployment.link(elevation.id)
            text = words.step_up(link) if error.claims else words.sign_in_to_see(link)
            if elevation.challenge != error.claims:
                elevation = elevations.save_elevation(changed.tx, replace(elevation, challenge=error.claims))
            if not comments.said(changed.tx, elevation.id, Step.UNSEEN):
                changed.record(Kind.SIGNIN_NEEDED, elevation=elevation, activation=it.id, step=Step.UNSEEN, text=text)
    return changed.due


def _drop(
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


def _watch(run: Run, it: Activation) -> Iterable[Due]:
    """Give it back when nobody holds it and the tenant lets us; see it expire when its time is up."""
    if it.ends_at is not None and run.now >= it.ends_at:
        return _expire(run, it)
    with change(run) as changed:
        elevations.lock_activation(changed.tx, it.id)  # nobody joins between the look at the holders and the decision
        if elevations.holders(changed.tx, it.id):
            kept = replace(it, due_at=it.ends_at or run.now + PATIENCE, attempts=0)
            _keep(changed, elevations.save_activation(changed.tx, kept))
        else:
            give_back_unheld(changed, it)
    return changed.due


def _keep(changed: Change, it: Activation) -> None:
    """Somebody joined after the last one had let go: who waits for the give-back has nothing to wait for any more."""
    for leaving in elevations.on_activation(changed.tx, it.id):
        if leaving.state is State.ENDING:
            gone = replace(leaving, ended_at=changed.run.now)
            text = words.ended(gone, it, shared=True, zone=changed.run.deployment.settings.zone)
            changed.settle(gone, State.ENDED, text=text)


def is_there(run: Run, it: Activation) -> bool:
    """Whether this very activation may still be joined; one that the technician made after it is none of ours.

    Raises EntraError, which also tells that a role on its way out cannot be given back without a sign-in.
    """
    if it.state is ActivationState.ASKED:
        return True
    return _is_shown(run, it) or it.state is ActivationState.GIVING_BACK


def gone_outside(run: Run, it: Activation) -> list[Due]:
    """The technician ended it in the portal."""
    try:
        return close(run, it, ActivationState.EXPIRED, EndReason.OUTSIDE)
    except Overtaken:
        return []


def _is_shown(run: Run, it: Activation) -> bool:
    there = _shown(run, it, Target.from_key(it.target))
    return there is not None and _is_it(it, there)


def _expire(run: Run, it: Activation) -> Iterable[Due]:
    if _is_shown(run, it):
        return _later(run, it, backoff(it.attempts, most=30))
    return close(run, it, ActivationState.EXPIRED, EndReason.TIME_UP)


def _give_back(run: Run, it: Activation) -> Iterable[Due]:
    target = Target.from_key(it.target)
    there = _shown(run, it, target)
    if there is not None and not _is_it(it, there):
        # The technician ended ours and made one by hand, which is theirs.
        return close(run, it, ActivationState.GIVEN_BACK, EndReason.OUTSIDE)
    try:
        run.deployment.tenant.give_back(it.tid, it.oid, run.now, target)
    except TooEarlyToGiveBack:
        return _later(run, it, timedelta(seconds=5))
    except NotActive:
        if _is_shown(run, it):  # Entra answers the same for one that not all of it can see yet
            return _later(run, it, timedelta(seconds=5))
    except EntraRefused as error:
        log.warning("give_back_refused", extra={"activation": it.id, "code": error.code})
        return _later(run, it, backoff(it.attempts, first=10, most=SLOWEST_GIVE_BACK))
    return close(run, it, ActivationState.GIVEN_BACK, EndReason.OUTSIDE)


def close(run: Run, it: Activation, to: ActivationState, unless_said: EndReason) -> list[Due]:
    """The role is gone: say so on every ticket that still held it or was letting go of it."""
    kind = Kind.GIVEBACK_DONE if to is ActivationState.GIVEN_BACK else Kind.ACTIVATION_EXPIRED
    with change(run) as changed:
        gone = replace(move_activation(it, to, due_at=None), ended_at=run.now)
        gone = elevations.save_activation(changed.tx, gone)
        changed.record(kind, activation=it.id, facts={"target": it.target})
        for elevation in elevations.on_activation(changed.tx, it.id):
            _end(changed, elevation, gone, unless_said)
    return changed.due


def _end(changed: Change, it: Elevation, activation: Activation, unless_said: EndReason) -> None:
    run = changed.run
    it = replace(it, ended_at=run.now, end_reason=it.end_reason or unless_said)
    text = words.ended(it, activation, shared=False, zone=run.deployment.settings.zone)
    changed.settle(it, State.FAILED if it.state is State.WAITING else State.ENDED, text=text)


def _stuck(run: Run, it: Activation) -> list[Due]:
    """We cannot give it back without the technician; it ends by itself. Look again when it does."""
    if it.ends_at is not None and run.now >= it.ends_at:
        return close(run, it, ActivationState.EXPIRED, EndReason.TIME_UP)
    with change(run) as changed:
        elevations.save_activation(changed.tx, replace(it, due_at=it.ends_at or run.now + timedelta(minutes=5)))
        for elevation in elevations.on_activation(changed.tx, it.id):
            if elevation.state is State.ENDING and not comments.said(changed.tx, elevation.id, Step.STUCK):
                text = words.stuck(it, run.deployment.settings.zone)
                changed.record(Kind.SIGNIN_NEEDED, elevation=elevation, activation=it.id, step=Step.STUCK, text=text)
    return changed.due
