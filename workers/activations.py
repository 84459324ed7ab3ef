"""One activation, one step further: ask the tenant, see it active, give it back, see it gone.

The tenant is asked outside any transaction. After an unknown outcome the step first looks whether it was done.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from integration import comments as words
from integration.comments import Step
from integration.elevation import (
    PATIENCE,
    SIGN_IN_MISSING,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    State,
    backoff,
    by_its_end,
)
from integration.entra.errors import (
    EntraError,
    EntraRefused,
    EntraUnavailable,
    NotActive,
    SignInNeeded,
    StepUpNeeded,
    TooEarlyToGiveBack,
)
from integration.entra.pim import Active
from integration.journal import Kind, StartsStopped
from integration.records import comments, elevations
from integration.records.elevations import Overtaken
from integration.targets import Target
from workers import approvals, outside, usable
from workers.asking import SURELY_ASKED, ask
from workers.change import Change, change
from workers.ending import give_back_unheld
from workers.outcomes import (
    CLOCK_SKEW,
    SLOWEST_GIVE_BACK,
    close,
    drop,
    fail,
    is_it,
    is_shown,
    later,
    look_again,
    pause,
    shown,
)
from workers.parking import park, woken_meanwhile
from workers.run import Due, Run, claimed_at

log = logging.getLogger(__name__)
SIGN_IN_PAUSE = timedelta(minutes=5)  # the tenant may stop asking for it, too


def step(run: Run, due: Due) -> Iterable[Due]:
    it = run.take(due, Activation, elevations.claim_activation)
    if it is None:
        return []
    try:
        return _step(run, it)
    except Overtaken:
        log.info("activation_overtaken", extra={"activation": it.id})
        return look_again(run, it)
    except StartsStopped as error:
        return fail(run, it, str(error), code="journal_broken")


def _step(run: Run, it: Activation) -> Iterable[Due]:
    steps = {
        ActivationState.ASKED: ask,
        ActivationState.PENDING: approvals.look,
        ActivationState.ACTIVE: _watch,
        ActivationState.GIVING_BACK: _give_back,
    }
    try:
        return steps[it.state](run, it)
    except SignInNeeded as error:
        return _sign_in_needed(run, it, error)
    except EntraUnavailable as error:
        return later(run, it, max(pause(it), timedelta(seconds=error.after or 0)))
    except EntraError as error:
        log.warning("activation_hindered", extra={"activation": it.id, "raised": type(error).__name__})
        if it.state is ActivationState.ASKED and run.now - it.created_at > PATIENCE:
            return fail(run, it, str(error), code="setup")
        return later(run, it, pause(it))


def _sign_in_needed(run: Run, it: Activation, error: SignInNeeded) -> list[Due]:
    """Surely not asked yet: the elevations wait for their technician. Else it goes on when they have signed in."""
    if it.state in (ActivationState.ACTIVE, ActivationState.GIVING_BACK):
        return _stuck(run, it, error)
    if isinstance(error, StepUpNeeded) and error.final and it.request_id is None:
        # What was asked for was given a moment ago: to send the technician there again would be a circle.
        surely = it.attempts == 1 or it.attempts >= SURELY_ASKED
        return fail(run, it, str(error), code="step_up") if surely else later(run, it, pause(it))
    if it.request_id is not None or it.attempts > 1:
        return _unseen(run, it, error)
    parked: list[Elevation] = []

    def wait(changed: Change, elevation: Elevation) -> None:
        park(changed, replace(elevation, activation=None), error.claims)
        parked.append(elevation)

    due = drop(run, it, str(error), wait, code="sign_in_needed")
    return [*due, *woken_meanwhile(run, parked, since=claimed_at(it))]


def _unseen(run: Run, it: Activation, error: SignInNeeded) -> list[Due]:
    """Entra may have granted it, and only its technician's sign-in can show that, or give it back."""
    latest = approvals.until_when(it) if it.state is ActivationState.PENDING else it.created_at
    if run.now > latest + timedelta(seconds=it.duration_seconds) + CLOCK_SKEW:
        sentence = "It may have been active for a while: without the technician's sign-in nobody could see it."
        return fail(run, it, sentence, code="over")
    with change(run) as changed:
        elevations.save_activation(changed.tx, replace(it, due_at=run.now + SIGN_IN_PAUSE, outcome=SIGN_IN_MISSING))
        for elevation in elevations.holders(changed.tx, it.id):
            link = run.deployment.link(elevation.id)
            text = words.step_up(link) if error.claims else words.sign_in_to_see(link)
            _ask_for_sign_in(changed, elevation, it, error, Step.UNSEEN, text)
    return changed.due


def _ask_for_sign_in(
    changed: Change, elevation: Elevation, it: Activation, error: SignInNeeded, step: Step, text: str
) -> None:
    """On the ticket, once; the page has the button, and its sign-in answers what the tenant asks for now."""
    if elevation.challenge != error.claims:
        elevation = elevations.save_elevation(changed.tx, replace(elevation, challenge=error.claims))
    if not comments.said(changed.tx, elevation.id, step):
        changed.record(Kind.SIGNIN_NEEDED, elevation=elevation, activation=it.id, step=step, text=text)


def _watch(run: Run, it: Activation) -> Iterable[Due]:
    """Give it back when nobody holds it and the tenant lets us; see it expire, or that it was ended outside."""
    if it.ends_at is not None and run.now >= it.ends_at:
        return _expire(run, it)
    if _is_held_by_all(run, it):
        return usable.look(run, it) if usable.wanted(it) else outside.look(run, it)
    due_at = usable.due_at(run, it)
    with change(run) as changed:
        elevations.lock_activation(changed.tx, it.id)  # nobody joins between the look at the holders and the decision
        if elevations.holders(changed.tx, it.id):
            kept = replace(it, due_at=due_at, attempts=0)
            _keep(changed, elevations.save_activation(changed.tx, kept))
        else:
            give_back_unheld(changed, it)
    return changed.due


def _is_held_by_all(run: Run, it: Activation) -> bool:
    """Whether somebody holds it, and nobody waits for it to be given back."""
    with run.deployment.records.read() as connection:
        states = {each.state for each in elevations.on_activation(connection, it.id)}
    return bool(states) and State.ENDING not in states


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
    if it.state in (ActivationState.ASKED, ActivationState.PENDING):
        return True
    return is_shown(run, it) or it.state is ActivationState.GIVING_BACK


def gone_outside(run: Run, it: Activation) -> list[Due]:
    """The technician ended it in the portal."""
    try:
        return close(run, it, ActivationState.EXPIRED, EndReason.OUTSIDE)
    except Overtaken:
        return []


def _expire(run: Run, it: Activation) -> Iterable[Due]:
    if is_shown(run, it):
        return later(run, it, backoff(it.attempts, most=30))
    _end_sessions(run, it)
    return close(run, it, ActivationState.EXPIRED, EndReason.TIME_UP)


def _end_sessions(run: Run, it: Activation) -> None:
    """What the rule may ask for: the technician's sign-ins end with the role, so that no cached access outlives it.

    Not while another role of theirs is active: it could not be given back without the sign-in that is kept here.
    """
    if not it.revoke_sessions or it.by_hand:
        return
    with run.deployment.records.read() as connection:
        if elevations.others_open(connection, it):
            return
    try:
        run.deployment.tenant.revoke_sessions(it.tid, it.oid, run.now)
    except EntraUnavailable:
        raise
    except EntraError as error:
        log.warning("sessions_not_revoked", extra={"activation": it.id, "raised": type(error).__name__})
        return
    with change(run) as changed:
        changed.record(Kind.SESSIONS_REVOKED, activation=it.id)


def _give_back(run: Run, it: Activation) -> Iterable[Due]:
    target = Target.from_key(it.target)
    looked, there = _look_before_giving_back(run, it, target)
    if there is not None and not is_it(it, there):
        # The technician ended ours and made one by hand, which is theirs.
        return close(run, it, ActivationState.GIVEN_BACK, EndReason.OUTSIDE)
    try:
        run.deployment.tenant.give_back(it.tid, it.oid, run.now, target)
    except TooEarlyToGiveBack:
        return later(run, it, timedelta(seconds=5))
    except NotActive:
        if there is not None or not looked:  # Entra answers the same for one that not all of it can see yet
            return later(run, it, backoff(it.attempts, first=5, most=SLOWEST_GIVE_BACK))
    except EntraRefused as error:
        log.warning("give_back_refused", extra={"activation": it.id, "code": error.code})
        return later(run, it, backoff(it.attempts, first=10, most=SLOWEST_GIVE_BACK))
    _end_sessions(run, it)
    return close(run, it, ActivationState.GIVEN_BACK, EndReason.OUTSIDE)


def _look_before_giving_back(run: Run, it: Activation, target: Target) -> tuple[bool, Active | None]:
    """Whether the tenant let us look, and what is there. That it did not must not keep a role that nobody needs."""
    try:
        return True, shown(run, it, target)
    except EntraError as error:
        log.warning("give_back_unseen", extra={"activation": it.id, "raised": type(error).__name__})
        return False, None


def _stuck(run: Run, it: Activation, error: SignInNeeded) -> list[Due]:
    """We cannot give it back without the technician, who is asked to sign in; it may also end by itself."""
    if it.ends_at is not None and run.now >= it.ends_at:
        return close(run, it, ActivationState.EXPIRED, EndReason.TIME_UP)
    with change(run) as changed:
        kept = replace(it, due_at=by_its_end(it, run.now + SIGN_IN_PAUSE))
        if it.state is ActivationState.GIVING_BACK:
            kept = replace(kept, outcome=SIGN_IN_MISSING)
        elevations.save_activation(changed.tx, kept)
        for elevation in elevations.on_activation(changed.tx, it.id):
            if elevation.state is State.ENDING:
                text = words.stuck(it, run.deployment.link(elevation.id), run.deployment.settings.zone)
                _ask_for_sign_in(changed, elevation, it, error, Step.STUCK, text)
    return changed.due
