"""Asking the tenant for a role: look whether it was asked before, ask once, see what came of it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

from integration import comments as words
from integration.comments import Offer
from integration.elevation import (
    ACT_FRESHNESS,
    PATIENCE,
    TICKET_FRESHNESS,
    Activation,
    Elevation,
    EndReason,
    State,
    backoff,
)
from integration.entra.errors import (
    EntraError,
    EntraRefused,
    EntraUnavailable,
    PendingRequestExists,
    RoleAssignmentExists,
    SignInNeeded,
)
from integration.entra.pim import Request, RequestKind
from integration.journal import StartsStopped
from integration.records import elevations, journal, people
from integration.rules import Refusal, RefusalCode
from integration.targets import Target
from integration.tickets import HelpdeskError
from workers import approvals, recheck
from workers.change import Change, change
from workers.deciding import eligibility_of, learn_too_long
from workers.ending import let_go
from workers.outcomes import (
    CLOCK_SKEW,
    drop,
    fail,
    is_it,
    later,
    look_again,
    pause,
    record_asked,
    seen,
    shown,
    surely_over,
)
from workers.run import ENOUGH, Due, Run, lease_left

LOOK_AGAIN = timedelta(seconds=0.5)  # first look for an instance that Entra has not shown yet; doubled each time
SLOWEST_LOOK = 15.0
SURELY_ASKED = 8  # tries after which a request with a lost answer would show: the last pause was over a minute
ROOM = timedelta(seconds=15)  # of the lease, for the tenant to answer our request in
AGREEMENT = timedelta(minutes=5)  # within which Entra shows what it says is there


def ask(run: Run, it: Activation) -> Iterable[Due]:
    target = Target.from_key(it.target)
    if it.request_id is not None:
        return _see(run, it, target)
    # After an unknown outcome the request may stand there already.
    request = _own_request(run, it, target, since=it.created_at - CLOCK_SKEW) if it.attempts > 1 else None
    if request is None:
        hindered = _hindered(run, it)
        if hindered is not None:
            return hindered
        if lease_left(run, it) < ROOM:
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
    late = run.now - it.created_at > ACT_FRESHNESS
    strict = any(recheck.requires(run, elevation) for elevation in held)
    if run.now - it.created_at <= TICKET_FRESHNESS and not strict:
        return None
    found, unread = [], []
    for elevation in held:
        try:
            found.append((elevation, recheck.look(run, elevation, since=it.created_at)))
        except HelpdeskError:
            unread.append(elevation)
    if unread and not found:
        return _too_late(run, it) if late else _wait_for_ticket(run, it)
    if unread:
        return _without(run, it, unread)
    leaving = [(elevation, what) for elevation, what in found if isinstance(what, EndReason)]
    if leaving:
        told = [due for elevation, reason in leaving for due in let_go(run, elevation.id, reason)]
        return [*told, *look_again(run, it)]  # who is left of them is seen then
    if any(isinstance(what, Refusal) for _elevation, what in found):
        return _plan_anew(run, it)
    return _too_late(run, it) if late else None


def _without(run: Run, it: Activation, unread: Sequence[Elevation]) -> list[Due]:
    """Tickets that cannot be read hold up no other that needs the same role: each of them is planned once more."""
    with change(run) as changed:
        for elevation in unread:
            approvals.ask_anew(changed, elevation)
    return [*changed.due, *look_again(run, it)]


def _wait_for_ticket(run: Run, it: Activation) -> list[Due]:
    """A rule requires something of a ticket that cannot be read now: for as long again, a minute at most."""
    wait = min(max(run.now - it.created_at, timedelta(seconds=1)), timedelta(minutes=1))
    # A try that asked the tenant for nothing is none: else the next would look for a request of ours there.
    return later(run, it if it.attempts > 1 else replace(it, attempts=0), wait)


def _plan_anew(run: Run, it: Activation) -> list[Due]:
    """A ticket changed since the plan was made. Each is planned again: the rules say in words what is missing."""
    if 1 < it.attempts < SURELY_ASKED:
        return later(run, it, pause(it))
    sentence = "A ticket changed before the role was asked for."
    return drop(run, it, sentence, approvals.ask_anew, code=RefusalCode.NOT_READY)


def _never_asked(run: Run, it: Activation, why: str, *, code: str) -> list[Due]:
    """It may not be asked for any more. It may have been asked in a try whose answer never came."""
    if 1 < it.attempts < SURELY_ASKED:
        return later(run, it, pause(it))
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
            eligibility=eligibility_of(run, it),
        )
    except RoleAssignmentExists as error:
        return _adopt(run, it, target, error)
    except PendingRequestExists as error:
        request = _own_request(run, it, target, since=run.now - PATIENCE)
        return request if request is not None else _adopt_waiting(run, it, target, error)
    except EntraRefused as error:
        if "ExpirationRule" in error.rules:
            shorter = learn_too_long(run, it)
            if shorter and len(error.rules) == 1:
                return _plan_again(run, it, error)
        else:
            with run.deployment.records.write() as tx:
                people.forget_answers(tx, it.tid, it.oid)
        return fail(run, it, str(error), code=error.code)
    except (SignInNeeded, EntraUnavailable):
        raise
    except EntraError as error:
        return fail(run, it, str(error), code="setup")


def _plan_again(run: Run, it: Activation, error: EntraRefused) -> list[Due]:
    """The policy was cut since it was read, and nothing was granted. What is planned now keeps to it: should that be
    refused as well the policy says no shorter one, and there it ends.
    """
    return drop(run, it, str(error), approvals.ask_anew, code=error.code)


def _adopt_waiting(run: Run, it: Activation, target: Target, error: PendingRequestExists) -> Iterable[Due]:
    """The technician asked for it by hand before, and an approver has to decide: that will do for the ticket."""
    request = run.deployment.tenant.waiting(it.tid, it.oid, run.now, target)
    if request is None or request.kind is not RequestKind.HUMAN:
        return fail(run, it, str(error), code=error.code)
    theirs = replace(it, by_hand=True, request_id=request.id, schedule_id=request.schedule_id)
    return approvals.wait(run, theirs, request, asked=False)


def _adopt(run: Run, it: Activation, target: Target, error: RoleAssignmentExists) -> Iterable[Due]:
    """The role is active already: by an answer of ours that got lost, or by the technician's own hand."""
    request = _own_request(run, it, target, since=run.now - PATIENCE)
    active = shown(run, it, target)
    if active is None or (active.end is not None and active.end <= run.now):
        # It was active a moment ago and is not shown any more, or not yet: Entra needs a while to agree with itself.
        if run.now - it.created_at > AGREEMENT:
            return fail(run, it, str(error), code=error.code)
        return later(run, it, backoff(it.attempts, first=2, most=60))
    if request is not None and active.schedule_id == request.schedule_id:
        return seen(run, replace(it, request_id=request.id), active, asked=request)
    with run.deployment.records.read() as connection:
        ours = elevations.was_asked_by_us(connection, active.schedule_id)
    return seen(run, replace(it, by_hand=not ours), active)


def _see_asked(run: Run, it: Activation, request: Request, target: Target) -> Iterable[Due]:
    """The first look right after asking. However it comes out, what was asked is written down."""
    if request.kind is RequestKind.HUMAN:
        return approvals.wait(run, it, request, asked=True)
    try:
        active = shown(run, it, target) if lease_left(run, it) > ENOUGH else None
    except EntraError:
        active = None
    if active is not None and is_it(it, active):
        return seen(run, it, active, asked=request)
    with change(run) as changed:
        elevations.save_activation(changed.tx, replace(it, attempts=1, due_at=run.now + LOOK_AGAIN))
        record_asked(changed, it, request)
    return []


def _see(run: Run, it: Activation, target: Target) -> Iterable[Due]:
    active = shown(run, it, target)
    if active is not None and is_it(it, active):
        return seen(run, it, active)
    if it.attempts > 1 and it.request_id is not None:
        request = run.deployment.tenant.request(it.tid, it.oid, run.now, target, it.request_id)
        if request is not None and request.kind in (RequestKind.ENDED_BAD, RequestKind.ENDED_OK):
            return fail(run, it, f"Entra answered {request.status}.", code=request.status)
        if request is not None and request.kind is RequestKind.HUMAN:
            return approvals.wait(run, it, request, asked=False)
        if request is not None and request.kind is RequestKind.ACTIVE:
            it = replace(it, started_at=it.started_at or run.now)
            if surely_over(it, run.now):
                return fail(run, it, "Entra granted it, but it was over before we saw it.", code="over")
        if run.now - it.created_at > PATIENCE:
            return fail(run, it, "Entra did not decide within a day.", code="no_answer")
    wait = backoff(it.attempts, first=LOOK_AGAIN.total_seconds(), most=SLOWEST_LOOK)
    return later(run, it, wait)


def _too_late(run: Run, it: Activation) -> list[Due]:
    """Entra was away for so long that its technician may be doing something else: not without another click."""

    def offer(changed: Change, elevation: Elevation) -> None:
        if elevation.emergency:  # there is no ticket that could show a link
            failed = replace(elevation, outcome="It could not be started within a quarter of an hour.")
            changed.settle(failed, State.FAILED, facts={"code": "too_late"})
            return
        text = words.offered(run.deployment.link(elevation.id), Offer.TOO_LATE)
        parked = replace(elevation, activation=None)
        changed.settle(parked, State.OFFERED, due_at=run.now + PATIENCE, text=text)

    return drop(run, it, Offer.TOO_LATE, offer, code="too_late")
