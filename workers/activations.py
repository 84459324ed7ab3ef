"""One activation, one step further: ask the tenant, see it active, give it back, see it gone.

The tenant is asked outside any transaction. After an unknown outcome the step first looks whether it was done.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from integration import comments as words
from integration.comments import Step
from integration.elevation import (
    PATIENCE,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    State,
    backoff,
    give_back_at,
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
from integration.entra.roles import Active, Request, RequestKind
from integration.journal import Kind, StartsStopped
from integration.records import comments, elevations, journal, people
from integration.records.elevations import Overtaken
from integration.targets import Target
from workers.run import Due, Run, What
from workers.saying import settle

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=0.5)  # first look for an instance that Entra has not shown yet; doubled each time
SLOWEST_LOOK = 15.0
SLOWEST_GIVE_BACK = 60.0  # a role that nobody holds must not stay for long after the tenant answers again
SURELY_ASKED = 8  # tries after which a request with a lost answer would show: the last pause was over a minute
ROOM = timedelta(seconds=15)  # of the lease, for the tenant to answer our request in
CLOCK_SKEW = timedelta(minutes=5)  # how far the tenant's clock may be from ours when we look for our own request


def step(run: Run, activation_id: str) -> Iterable[Due]:
    with run.deployment.records.write() as tx:
        it = elevations.claim_activation(tx, activation_id, now=run.now)
    if it is None:
        return []
    steps = {
        ActivationState.ASKED: _ask,
        ActivationState.ACTIVE: _watch,
        ActivationState.GIVING_BACK: _give_back,
    }
    try:
        return steps[it.state](run, it)
    except Overtaken:
        log.info("activation_overtaken", extra={"activation": it.id})
        return _look_again(run, it)
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
        elevations.save_activation(tx, replace(now, due_at=run.now))
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
        with run.deployment.records.read() as connection:
            needed = bool(elevations.holders(connection, it.id))
            recorded = journal.standing(connection) is journal.Standing.WHOLE
        if not needed:
            return _never_asked(run, it, "Nobody needed it any more before it was asked for.", code="not_needed")
        if not recorded:
            return _never_asked(run, it, str(StartsStopped()), code="journal_broken")
        if it.due_at is None or it.due_at - run.now < ROOM:
            # Our lease is nearly over: whoever takes the row next would not see what we are about to ask.
            raise EntraUnavailable("There was no time left to ask.")
        outcome = _post(run, it, target)
        if not isinstance(outcome, Request):
            return outcome
        request = outcome
    if request.kind is RequestKind.ENDED_BAD:
        failed = replace(it, request_id=request.id)
        return fail(run, failed, f"Entra answered {request.status}.", code=request.status)
    return _asked(run, it, request)


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
    )
    if found is None:
        return None
    with run.deployment.records.read() as connection:
        return None if elevations.request_is_known(connection, found.id) else found


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
        )
    except RoleAssignmentExists:
        return _adopt(run, it, target)
    except PendingRequestExists as error:
        request = _own_request(run, it, target, since=run.now - PATIENCE)
        return request if request is not None else fail(run, it, str(error), code=error.code)
    except EntraRefused as error:
        with run.deployment.records.write() as tx:
            people.forget_answer(tx, f"eligibilities:{it.tid}:{it.oid}")
            people.forget_answer(tx, f"policy:{it.target}")
        return fail(run, it, str(error), code=error.code)
    except (SignInNeeded, EntraUnavailable):
        raise
    except EntraError as error:
        return fail(run, it, str(error), code="setup")


def _adopt(run: Run, it: Activation, target: Target) -> Iterable[Due]:
    """The role is active already: by an answer of ours that got lost, or by the technician's own hand."""
    request = _own_request(run, it, target, since=run.now - PATIENCE)
    active = run.deployment.tenant.active(it.tid, it.oid, run.now, target)
    if active is None:
        return _later(run, it, timedelta(seconds=2))
    ours = request is not None and request.id == active.schedule_id
    known = replace(it, request_id=request.id if ours and request else None, by_hand=not ours)
    return _seen(run, known, active)


def _asked(run: Run, it: Activation, request: Request) -> list[Due]:
    with run.deployment.records.write() as tx:
        elevations.save_activation(tx, replace(it, request_id=request.id, attempts=0, due_at=run.now))
        journal.append(
            tx,
            Kind.ACTIVATION_ASKED,
            now=run.now,
            cause=run.cause,
            activation=it.id,
            facts={"request": request.id, "status": request.status},
        )
    return [Due(What.ACTIVATION, it.id)]


def _see(run: Run, it: Activation, target: Target) -> Iterable[Due]:
    active = run.deployment.tenant.active(it.tid, it.oid, run.now, target)
    if active is not None:
        return _seen(run, it, active)
    if it.attempts > 1 and it.request_id is not None:
        request = run.deployment.tenant.request(it.tid, it.oid, run.now, it.request_id)
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


def _seen(run: Run, it: Activation, active: Active) -> list[Due]:
    due: list[Due] = []
    with run.deployment.records.write() as tx:
        seen = replace(it, schedule_id=active.schedule_id, started_at=active.start or run.now, ends_at=active.end)
        elevations.lock_activation(tx, it.id)  # whoever joins does so before this, or joins an active one
        held = elevations.holders(tx, it.id)
        next_look = run.now if not held else (active.end or run.now + PATIENCE)
        seen = elevations.save_activation(tx, move_activation(seen, ActivationState.ACTIVE, due_at=next_look))
        for elevation in held:
            on = replace(elevation, active_at=run.now, until=active.end)
            text = words.active(on, seen, run.deployment.settings.zone)
            facts = {
                "target": it.target,
                "until": active.end.isoformat() if active.end else None,
                "by_hand": it.by_hand,
            }
            backstop = (active.end or run.now) + PATIENCE
            due += settle(
                run,
                tx,
                on,
                State.ACTIVE,
                kind=Kind.ACTIVATION_SEEN,
                due_at=backstop,
                step=Step.ACTIVE,
                text=text,
                facts=facts,
            )[1]
    return due if held else [Due(What.ACTIVATION, it.id), *due]


def fail(run: Run, it: Activation, sentence: str, *, code: str) -> list[Due]:
    """The tenant did not give it: every elevation that waits for it ends, with the tenant's reason on its ticket."""
    due: list[Due] = []
    with run.deployment.records.write() as tx:
        failed = replace(it, outcome=sentence[:600], ended_at=run.now)
        elevations.save_activation(tx, move_activation(failed, ActivationState.FAILED, due_at=None))
        journal.append(tx, Kind.ACTIVATION_FAILED, now=run.now, cause=run.cause, activation=it.id, facts={"code": code})
        for elevation in elevations.on_activation(tx, it.id):
            if elevation.state is State.ENDING:
                _, said = settle(run, tx, elevation, State.ENDED, kind=Kind.ELEVATION_ENDED, due_at=None)
            else:
                _, said = settle(
                    run,
                    tx,
                    replace(elevation, outcome=sentence[:600]),
                    State.FAILED,
                    kind=Kind.ELEVATION_FAILED,
                    due_at=None,
                    step=Step.FAILED,
                    text=words.refused(sentence),
                    facts={"code": code},
                )
            due += said
    return due


def _watch(run: Run, it: Activation) -> Iterable[Due]:
    """Give it back when nobody holds it and the tenant lets us; see it expire when its time is up."""
    if it.ends_at is not None and run.now >= it.ends_at:
        return _expire(run, it)
    with run.deployment.records.write() as tx:
        elevations.lock_activation(tx, it.id)  # nobody joins between the look at the holders and the decision
        held = elevations.holders(tx, it.id)
        at = give_back_at(it, minimum=run.deployment.settings.give_back_minimum)
        if held:
            kept = elevations.save_activation(tx, replace(it, due_at=it.ends_at or run.now + PATIENCE, attempts=0))
            return _keep(run, tx, kept)
        if it.by_hand:
            left = move_activation(replace(it, ended_at=run.now), ActivationState.LEFT, due_at=None)
            elevations.save_activation(tx, left)
            return []
        if at > run.now:
            elevations.save_activation(tx, replace(it, due_at=at, attempts=0))
            return []
        leaving = move_activation(it, ActivationState.GIVING_BACK, due_at=run.now)
        elevations.save_activation(tx, leaving)
        journal.append(
            tx, Kind.GIVEBACK_INTENDED, now=run.now, cause=run.cause, activation=it.id, facts={"target": it.target}
        )
    return [Due(What.ACTIVATION, it.id)]


def _keep(run: Run, tx: sa.Connection, it: Activation) -> list[Due]:
    """Somebody joined after the last one had let go: who waits for the give-back has nothing to wait for any more."""
    due: list[Due] = []
    for leaving in elevations.on_activation(tx, it.id, (State.ENDING,)):
        gone = replace(leaving, ended_at=run.now)
        text = words.ended(gone, it, shared=True, zone=run.deployment.settings.zone)
        kind, said = Kind.ELEVATION_ENDED, Step.ENDED
        due += settle(run, tx, gone, State.ENDED, kind=kind, due_at=None, step=said, text=text)[1]
    return due


def _is_there(run: Run, it: Activation) -> bool:
    """Whether this very activation is still there; one that the technician made after it is none of ours."""
    there = run.deployment.tenant.active(it.tid, it.oid, run.now, Target.from_key(it.target))
    return there is not None and it.schedule_id in (None, "", there.schedule_id)


def _expire(run: Run, it: Activation) -> Iterable[Due]:
    if _is_there(run, it):
        return _later(run, it, backoff(it.attempts, most=30))
    return close(run, it, ActivationState.EXPIRED, EndReason.TIME_UP)


def _give_back(run: Run, it: Activation) -> Iterable[Due]:
    target = Target.from_key(it.target)
    if it.attempts > 1 and not _is_there(run, it):
        return close(run, it, ActivationState.GIVEN_BACK, EndReason.OUTSIDE)
    try:
        run.deployment.tenant.give_back(it.tid, it.oid, run.now, target)
    except TooEarlyToGiveBack:
        return _later(run, it, timedelta(seconds=5))
    except NotActive:
        if _is_there(run, it):  # Entra answers the same for one that not all of it can see yet
            return _later(run, it, timedelta(seconds=5))
    except EntraRefused as error:
        log.warning("give_back_refused", extra={"activation": it.id, "code": error.code})
        return _later(run, it, backoff(it.attempts, first=10, most=SLOWEST_GIVE_BACK))
    return close(run, it, ActivationState.GIVEN_BACK, EndReason.OUTSIDE)


def close(run: Run, it: Activation, to: ActivationState, unless_said: EndReason) -> list[Due]:
    """The role is gone: say so on every ticket that still held it or was letting go of it."""
    due: list[Due] = []
    kind = Kind.GIVEBACK_DONE if to is ActivationState.GIVEN_BACK else Kind.ACTIVATION_EXPIRED
    with run.deployment.records.write() as tx:
        gone = elevations.save_activation(tx, replace(move_activation(it, to, due_at=None), ended_at=run.now))
        journal.append(tx, kind, now=run.now, cause=run.cause, activation=it.id, facts={"target": it.target})
        for elevation in elevations.on_activation(tx, it.id):
            due += _end(run, tx, elevation, gone, unless_said, run.now)
    return due


def _end(
    run: Run, tx: sa.Connection, it: Elevation, activation: Activation, unless_said: EndReason, now: datetime
) -> list[Due]:
    it = replace(it, ended_at=now, end_reason=it.end_reason or unless_said)
    text = words.ended(it, activation, shared=False, zone=run.deployment.settings.zone)
    to = State.ENDED if it.state is not State.WAITING else State.FAILED
    return settle(run, tx, it, to, kind=Kind.ELEVATION_ENDED, due_at=None, step=Step.ENDED, text=text)[1]


def _sign_in_needed(run: Run, it: Activation, error: SignInNeeded) -> list[Due]:
    """Asking: the elevations wait for their technician. Giving back: say that the role ends by itself."""
    if it.state is not ActivationState.ASKED:
        return _stuck(run, it)
    due: list[Due] = []
    with run.deployment.records.write() as tx:
        failed = replace(it, outcome=str(error)[:600], ended_at=run.now)
        elevations.save_activation(tx, move_activation(failed, ActivationState.FAILED, due_at=None))
        journal.append(
            tx, Kind.ACTIVATION_FAILED, now=run.now, cause=run.cause, activation=it.id, facts={"code": "sign_in_needed"}
        )
        for elevation in elevations.on_activation(tx, it.id):
            if elevation.state is State.ENDING:
                due += settle(run, tx, elevation, State.ENDED, kind=Kind.ELEVATION_ENDED, due_at=None)[1]
                continue
            text = words.sign_in(run.deployment.link(elevation.id))
            due += settle(
                run,
                tx,
                replace(elevation, activation=None),
                State.SIGN_IN_NEEDED,
                kind=Kind.SIGNIN_NEEDED,
                due_at=run.now + PATIENCE,
                step=Step.SIGN_IN,
                text=text,
            )[1]
    return due


def _stuck(run: Run, it: Activation) -> list[Due]:
    """We cannot give it back without the technician; it ends by itself. Look again when it does."""
    due: list[Due] = []
    later = it.ends_at if it.ends_at and it.ends_at > run.now else run.now + timedelta(minutes=5)
    if it.ends_at is not None and run.now >= it.ends_at:
        return close(run, it, ActivationState.EXPIRED, EndReason.TIME_UP)
    with run.deployment.records.write() as tx:
        elevations.save_activation(tx, replace(it, due_at=later))
        for elevation in elevations.on_activation(tx, it.id, (State.ENDING,)):
            due += _say_stuck(run, tx, it, elevation)
    return due


def _say_stuck(run: Run, tx: sa.Connection, it: Activation, elevation: Elevation) -> list[Due]:
    written = journal.append(
        tx, Kind.SIGNIN_NEEDED, now=run.now, cause=run.cause, elevation=elevation.id, activation=it.id
    )
    text = words.with_witness(words.stuck(it, run.deployment.settings.zone), elevation.id, Step.STUCK, written.witness)
    row = comments.add(tx, elevation, Step.STUCK, text, now=run.now)
    return [Due(What.COMMENT, row)] if row else []
