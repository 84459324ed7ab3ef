"""One elevation, one step further: plan it, hold an activation for it, or park it for its technician."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa
from ulid import ULID

from integration import comments as words
from integration.comments import Offer
from integration.elevation import (
    ACT_FRESHNESS,
    LEAST_LEFT,
    PATIENCE,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    State,
    backoff,
    move,
)
from integration.entra.errors import EntraError, EntraUnavailable, SignInNeeded
from integration.journal import Fact, Kind, StartsStopped
from integration.records import elevations, people
from integration.records.elevations import Overtaken
from integration.rules import Mode, Plan, Refusal, RefusalCode, Start, analysis_to_json
from integration.tickets import HelpdeskError, NotConnected, Ticket, TicketGone
from workers import approvals, bundles, recheck
from workers.activations import gone_outside, is_there
from workers.change import Change, change
from workers.deciding import decide, decide_emergency
from workers.deliveries import reason_to_end, refusal_text
from workers.ending import let_go
from workers.parking import park, woken_meanwhile
from workers.parts import open_parts
from workers.run import ENOUGH, Due, Run, What, claimed_at, lease_left

log = logging.getLogger(__name__)
GIVING_BACK_PAUSE = timedelta(seconds=3)
SURE_LOOKS, NOT_SEEN_PAUSE = 2, timedelta(seconds=2)


def step(run: Run, due: Due) -> Iterable[Due]:
    it = run.take(due, Elevation, elevations.claim_elevation)
    if it is None:
        return []
    try:
        if bundles.is_lost(run, it):
            return let_go(run, it.id, EndReason.BUNDLE)
        if it.state is State.REQUESTED:
            return _start_emergency(run, it) if it.emergency else _start(run, it)
        if it.state in (State.OFFERED, State.SIGN_IN_NEEDED):
            return let_go(run, it.id, EndReason.UNUSED)
        if recheck.is_due(it):
            return recheck.after_approval(run, it)
        return _follow_activation(run, it)
    except Overtaken:
        log.info("elevation_overtaken", extra={"elevation": it.id})
        return []
    except StartsStopped as error:
        return _fail(run, it, str(error), code=RefusalCode.JOURNAL_BROKEN)


def _start(run: Run, it: Elevation) -> Iterable[Due]:
    try:
        ticket = run.ticket(it.connection, it.ticket)
    except (TicketGone, NotConnected):
        return let_go(run, it.id, EndReason.TICKET_GONE)
    except HelpdeskError as error:
        return _postpone(run, it, str(error), backoff(it.attempts))
    reason = reason_to_end(ticket, it)
    if reason is not None:
        return let_go(run, it.id, reason)
    if run.now - (it.acted_at or it.created_at) > ACT_FRESHNESS:
        return _offer(run, it, Offer.TOO_LATE)
    linked = _linked(run, it, ticket)
    if linked is None and _only_watches(run, ticket):
        return _watched(run, it, None)
    if linked is None:
        return _park(run, replace(it, tid=None, oid=None, technician=None))
    return _plan_and_hold(run, linked, lambda: decide(run, linked, ticket))


def _start_emergency(run: Run, it: Elevation) -> Iterable[Due]:
    """Break glass: its technician pressed the button themselves, and no ticket has to be read."""
    assert it.target is not None
    wanted = it.target
    if run.now - (it.acted_at or it.created_at) > ACT_FRESHNESS:
        return _fail(run, it, "It could not be started within a quarter of an hour.", code="too_late")
    return _plan_and_hold(run, it, lambda: decide_emergency(run, it, wanted))


def _plan_and_hold(run: Run, linked: Elevation, decided: Callable[[], Plan | Refusal]) -> Iterable[Due]:
    try:
        decision = decided()
        if decision.mode is Mode.WATCH:
            return _watched(run, linked, decision)
        if isinstance(decision, Refusal):
            others = open_parts(run, linked, bundles.parts_in_spite_of(run, linked, decision))
            return [*others, *_refuse(run, linked, decision)]
        if decision.start is Start.ON_CLICK and not linked.clicked:
            return _offer(run, linked, Offer.ON_CLICK)  # the rules changed since the pick
        parts = open_parts(run, linked, decision.parts)
        return [*parts, *_hold(run, linked, decision)]
    except SignInNeeded as error:
        return _park(run, linked, error.claims)
    except EntraUnavailable as error:
        return _postpone(run, linked, str(error), backoff(linked.attempts, first=error.after or 1.0))
    except EntraError as error:
        return _fail(run, linked, str(error))


def _linked(run: Run, it: Elevation, ticket: Ticket) -> Elevation | None:
    """`it` with the Entra user that its helpdesk account belongs to; None while it belongs to nobody.

    A link whose address is no longer the account's is suspended: the address may have been given to somebody else.
    """
    assert ticket.assignee is not None
    with run.deployment.records.read() as connection:
        link = people.link_of(connection, it.connection, it.account)
    if link is None or link.suspended_at is not None:
        return None
    if link.is_of(ticket.assignee.address):
        return replace(it, tid=link.tid, oid=link.oid, technician=link.technician)
    nobodys = replace(it, oid=None)  # whoever owned the account did not do this
    with change(run) as changed:
        if people.suspend_link(changed.tx, link, now=run.now):
            private = {"account": it.account, "linked_to": link.oid}
            changed.record(Kind.LINK_SUSPENDED, elevation=nobodys, private=private)
    return None


def _hold(run: Run, it: Elevation, plan: Plan) -> Iterable[Due]:
    """Join the open activation of this technician and target, or commit the intent to ask for one."""
    assert it.tid is not None
    assert it.oid is not None
    planned = _planned(it, plan)
    with run.deployment.records.read() as connection:
        seen = elevations.open_activation_of(connection, it.tid, it.oid, plan.target.key)
    if seen is not None and lease_left(run, it) < ENOUGH:
        # What was read is kept: with a new lease there is time to look for the role, and nobody takes over meanwhile.
        return _postpone(run, replace(it, attempts=0), "the tenant was slow", timedelta(0))
    closed: list[Due] = []
    if seen is not None and not is_there(run, seen):
        if it.attempts < SURE_LOOKS:  # Entra does not agree with itself at each moment
            return _postpone(run, it, "the role was not seen", NOT_SEEN_PAUSE)
        closed = gone_outside(run, seen)
    try:
        with change(run) as changed:
            open_one = elevations.lock_open_activation_of(changed.tx, it.tid, it.oid, plan.target.key)
            if open_one is None:
                _intend(changed, planned, plan)
            elif _lasts(run, open_one):
                _join(changed, planned, open_one)
            else:
                # It is on its way out and cannot be stopped: ask for a new one when it is gone.
                waiting = replace(planned, due_at=run.now + GIVING_BACK_PAUSE, attempts=0)
                elevations.save_elevation(changed.tx, waiting)
        return [*closed, *changed.due]
    except (sa.exc.IntegrityError, Overtaken):
        # Another ticket opened it in this very moment; the row is still claimed by us: look again at once.
        return [*closed, *_postpone(run, it, "another ticket was first", timedelta(0))]


def _planned(it: Elevation, plan: Plan) -> Elevation:
    return replace(
        it,
        target=plan.target.key,
        target_name=plan.target_name,
        rule=plan.rule,
        duration_seconds=int(plan.duration.total_seconds()),
        justification=plan.justification,
        analysis=analysis_to_json(plan.analysis),
    )


def _lasts(run: Run, it: Activation) -> bool:
    """Whether it is worth joining: it is not being given back, and does not end in a moment."""
    ending = it.state is ActivationState.GIVING_BACK
    return not ending and (it.ends_at is None or it.ends_at - run.now >= LEAST_LEFT)


def _intend(changed: Change, it: Elevation, plan: Plan) -> None:
    run = changed.run
    assert it.tid is not None
    assert it.oid is not None
    activation = Activation(
        id=str(ULID()),
        tid=it.tid,
        oid=it.oid,
        target=plan.target.key,
        target_name=plan.target_name,
        state=ActivationState.ASKED,
        version=1,
        due_at=run.now,
        created_at=run.now,
        duration_seconds=int(plan.duration.total_seconds()),
        justification=plan.justification,
        ticket_number=plan.ticket_number or f"BG-{it.id}",
        probe=plan.probe,
        revoke_sessions=plan.revoke_sessions,
    )
    activation = run.at_once(activation)
    elevations.open_activation(changed.tx, activation)
    held = move(replace(it, activation=activation.id), State.WAITING, due_at=run.now + PATIENCE)
    elevations.save_elevation(changed.tx, held)
    facts: dict[str, Fact] = {
        "target": activation.target,
        "duration_seconds": activation.duration_seconds,
        "rule": plan.rule,
        "rules_digest": run.deployment.rules.digest,
        "ticket": f"{it.connection}/{it.ticket}",
    }
    names = {"technician": it.technician, "justification": plan.justification}
    changed.record(Kind.ACTIVATION_INTENDED, elevation=it, activation=activation.id, facts=facts, private=names)
    changed.due.append(run.due(What.ACTIVATION, activation))


def _join(changed: Change, it: Elevation, activation: Activation) -> None:
    """Hold `activation`, which is locked: a give-back that is being decided right now waits and sees us."""
    run, held = changed.run, replace(it, activation=activation.id)
    if activation.state is ActivationState.ASKED:
        elevations.save_elevation(changed.tx, move(held, State.WAITING, due_at=run.now + PATIENCE))
        changed.record(Kind.ACTIVATION_JOINED, elevation=it, activation=activation.id)
        return
    if activation.state is ActivationState.PENDING:
        approvals.tell(changed, held, activation)
        return
    held = replace(held, active_at=run.now, until=activation.ends_at)
    changed.settle(
        held,
        State.ACTIVE,
        due_at=(activation.ends_at or run.now) + PATIENCE,
        text=words.active(held, activation, run.deployment.settings.zone),
        facts={"target": activation.target},
        kind=Kind.ACTIVATION_JOINED,
    )


def _offer(run: Run, it: Elevation, why: Offer) -> list[Due]:
    """Not without a click of the technician, who finds the link on the ticket."""
    text = words.offered(run.deployment.link(it.id), why)
    with change(run) as changed:
        changed.settle(it, State.OFFERED, due_at=run.now + PATIENCE, text=text)
    return changed.due


def _park(run: Run, it: Elevation, challenge: str | None = None) -> list[Due]:
    """Wait for the technician to sign in; the ticket shows where."""
    with change(run) as changed:
        park(changed, it, challenge)
    return [*changed.due, *woken_meanwhile(run, [it], since=claimed_at(it))]


def _only_watches(run: Run, ticket: Ticket) -> bool:
    return run.deployment.rules.match(ticket).mode is Mode.WATCH


def _watched(run: Run, it: Elevation, decision: Plan | Refusal | None) -> list[Due]:
    """Shadow mode: write down what would have been done. None: for want of a sign-in that cannot be known."""
    if decision is None:
        seen = replace(it, outcome=words.watched_unknown())
    elif isinstance(decision, Refusal):
        seen = replace(it, outcome=words.watched_refusal(decision.reason), analysis=analysis_to_json(decision.analysis))
    else:
        seen = replace(_planned(it, decision), outcome=words.watched_plan(decision.target_name, decision.duration))
    facts: dict[str, Fact] = {"target": seen.target, "rule": seen.rule, "duration_seconds": seen.duration_seconds}
    with change(run) as changed:
        changed.settle(seen, State.WATCHED, facts=facts)
    return changed.due


def _refuse(run: Run, it: Elevation, refusal: Refusal) -> list[Due]:
    refused = replace(it, analysis=analysis_to_json(refusal.analysis), outcome=refusal.reason[:600])
    with change(run) as changed:
        text = refusal_text(run, it, refusal)
        changed.settle(refused, State.REFUSED, text=text, facts={"code": refusal.code})
    return changed.due


def _fail(run: Run, it: Elevation, sentence: str, *, code: str = "setup") -> list[Due]:
    with change(run) as changed:
        failed = replace(it, outcome=sentence[:600])
        changed.settle(failed, State.FAILED, text=words.refused(sentence), facts={"code": code})
    return changed.due


def _postpone(run: Run, it: Elevation, outcome: str, by: timedelta) -> list[Due]:
    with run.deployment.records.write() as tx:
        elevations.save_elevation(tx, replace(it, due_at=run.now + by, outcome=outcome[:600]))
    return [Due(What.ELEVATION, it.id)] if not by else []


def _follow_activation(run: Run, it: Elevation) -> list[Due]:
    """A backstop: an elevation that waits for an activation makes sure that the activation is being looked after."""
    with change(run) as changed:
        activation = elevations.lock_activation(changed.tx, it.activation) if it.activation else None
        if activation is None or activation.due_at is None:
            # It is gone without us: nothing that was granted can be left, so nothing may seem to go on.
            it = replace(it, end_reason=it.end_reason or EndReason.OUTSIDE)
            changed.settle(it, State.FAILED if it.state is State.WAITING else State.ENDED)
            return changed.due
        elevations.save_elevation(changed.tx, replace(it, due_at=run.now + timedelta(minutes=5), attempts=0))
        if activation.state is ActivationState.ACTIVE:  # the others are looked at all the time: not to be disturbed
            elevations.save_activation(changed.tx, replace(activation, due_at=run.now))
            changed.due.append(Due(What.ACTIVATION, activation.id))
    return changed.due
