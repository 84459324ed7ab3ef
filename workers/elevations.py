"""One elevation, one step further: plan it, hold an activation for it, or park it for its technician."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa
from ulid import ULID

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
    move,
)
from integration.entra.errors import EntraError, EntraUnavailable, SignInNeeded
from integration.journal import Kind, StartsStopped
from integration.records import elevations, journal, people
from integration.records.elevations import Overtaken
from integration.rules import Plan, Refusal, RefusalCode, analysis_to_json
from integration.targets import Eligibility, Target
from integration.tickets import HelpdeskError, Ticket, TicketGone
from workers.deliveries import reason_to_end
from workers.ending import let_go
from workers.run import Due, Run, What
from workers.saying import settle

log = logging.getLogger(__name__)
GIVING_BACK_PAUSE = timedelta(seconds=3)


def step(run: Run, elevation_id: str) -> Iterable[Due]:
    with run.deployment.records.write() as tx:
        it = elevations.claim_elevation(tx, elevation_id, now=run.now)
    if it is None:
        return []
    try:
        if it.state is State.REQUESTED:
            return _start(run, it)
        if it.state in (State.OFFERED, State.SIGN_IN_NEEDED):
            return let_go(run, it.id, EndReason.UNUSED)
        return _follow_activation(run, it)
    except Overtaken:
        log.info("elevation_overtaken", extra={"elevation": it.id})
        return []
    except StartsStopped as error:
        return _end_badly(run, it, State.FAILED, str(error), code=RefusalCode.JOURNAL_BROKEN)


def _start(run: Run, it: Elevation) -> Iterable[Due]:
    try:
        ticket = run.ticket(it.connection, it.ticket)
    except TicketGone:
        return let_go(run, it.id, EndReason.TICKET_GONE)
    except HelpdeskError as error:
        return _postpone(run, it, str(error), backoff(it.attempts))
    reason = reason_to_end(ticket, it)
    if reason is not None:
        return let_go(run, it.id, reason)
    linked = _linked(run, it, ticket)
    if linked is None:
        return park(run, it)
    try:
        decision = decide(run, linked, ticket)
    except SignInNeeded:
        return park(run, linked)
    except EntraUnavailable as error:
        return _postpone(run, linked, str(error), backoff(it.attempts, first=error.after or 1.0))
    except EntraError as error:
        return _end_badly(run, linked, State.FAILED, str(error))
    if isinstance(decision, Refusal):
        return _refuse(run, linked, decision)
    return _hold(run, linked, decision)


def _linked(run: Run, it: Elevation, ticket: Ticket) -> Elevation | None:
    """`it` with the Entra user that its helpdesk account belongs to; None while it belongs to nobody.

    A link whose address is no longer the account's is suspended: the address may have been given to somebody else.
    """
    assert ticket.assignee is not None
    with run.deployment.records.read() as connection:
        link = people.link_of(connection, it.connection, it.account)
    if link is None or link.suspended_at is not None:
        return None
    if (ticket.assignee.address or "").casefold() != link.address.casefold():
        with run.deployment.records.write() as tx:
            people.suspend_link(tx, link, now=run.now)
            journal.append(
                tx,
                Kind.LINK_SUSPENDED,
                now=run.now,
                cause=run.cause,
                elevation=it.id,
                private={"actor": link.oid, "account": it.account},
            )
        return None
    return replace(it, tid=link.tid, oid=link.oid, technician=link.technician)


def decide(run: Run, it: Elevation, ticket: Ticket) -> Plan | Refusal:
    """The rules' answer for this technician. Raises EntraError where the tenant must be asked and does not answer."""
    assert it.tid is not None
    assert it.oid is not None
    own = _files_for_self(run, it, ticket)
    if own is not None:
        return own
    rules, asked = run.deployment.rules, timedelta(seconds=it.duration_seconds) if it.duration_seconds else None
    known, fresh = _eligibilities(run, it.tid, it.oid)
    maximum = _Maximum(run, it.tid, it.oid)
    decision = rules.plan(ticket, eligibilities=known, maximum=maximum, duration=asked)
    if isinstance(decision, Refusal) and decision.code is RefusalCode.NOT_ELIGIBLE and not fresh:
        known, _ = _eligibilities(run, it.tid, it.oid, again=True)
        decision = rules.plan(ticket, eligibilities=known, maximum=maximum, duration=asked)
    return decision


def _files_for_self(run: Run, it: Elevation, ticket: Ticket) -> Refusal | None:
    """The technician filed this ticket under another helpdesk account that is linked to the same Entra user."""
    with run.deployment.records.read() as connection:
        for requester in ticket.requesters:
            link = people.link_of(connection, it.connection, requester.account)
            if link is not None and (link.tid, link.oid) == (it.tid, it.oid):
                return Refusal(
                    rule=it.rule,
                    code=RefusalCode.OWN_TICKET,
                    reason="You filed this ticket yourself. Somebody else must work on it.",
                    analysis=(),
                )
    return None


def _eligibilities(run: Run, tid: str, oid: str, *, again: bool = False) -> tuple[Sequence[Eligibility], bool]:
    key = f"eligibilities:{tid}:{oid}"
    kept_for = timedelta(seconds=run.deployment.settings.eligibilities_seconds)
    if not again:
        with run.deployment.records.read() as connection:
            kept = people.answer(connection, key, newer_than=run.now - kept_for)
        if kept is not None:
            return [Eligibility(Target.from_key(e["target"]), e["name"]) for e in json.loads(kept)], False
    read = run.deployment.tenant.eligibilities(tid, oid, run.now)
    text = json.dumps([{"target": e.target.key, "name": e.name} for e in read])
    with run.deployment.records.write() as tx:
        people.keep_answer(tx, key, text, now=run.now)
    return read, True


class _Maximum:
    """The longest activation that the tenant's policy allows for a target; None where it does not tell."""

    def __init__(self, run: Run, tid: str, oid: str) -> None:
        self._run, self._tid, self._oid = run, tid, oid

    def __call__(self, target: Target) -> timedelta | None:
        run, key = self._run, f"policy:{target.key}"
        kept_for = timedelta(seconds=run.deployment.settings.eligibilities_seconds)
        with run.deployment.records.read() as connection:
            kept = people.answer(connection, key, newer_than=run.now - kept_for)
        if kept is None:
            policy = run.deployment.tenant.policy(self._tid, self._oid, run.now, target)
            kept = str(int(policy.maximum.total_seconds())) if policy and policy.maximum else ""
            with run.deployment.records.write() as tx:
                people.keep_answer(tx, key, kept, now=run.now)
        return timedelta(seconds=int(kept)) if kept else None


def _hold(run: Run, it: Elevation, plan: Plan) -> Iterable[Due]:
    """Join the open activation of this technician and target, or commit the intent to ask for one."""
    assert it.tid is not None
    assert it.oid is not None
    planned = replace(
        it,
        target=plan.target.key,
        target_name=plan.target_name,
        rule=plan.rule,
        duration_seconds=int(plan.duration.total_seconds()),
        justification=plan.justification,
        analysis=analysis_to_json(plan.analysis),
    )
    try:
        with run.deployment.records.write() as tx:
            open_one = elevations.open_activation_of(tx, it.tid, it.oid, plan.target.key)
            if open_one is None:
                return _intend(run, tx, planned, plan)
            if open_one.state is not ActivationState.GIVING_BACK:
                return _join(run, tx, planned, open_one)
            # It is on its way out and cannot be stopped: ask for a new one when it is gone.
            elevations.save_elevation(tx, replace(planned, due_at=run.now + GIVING_BACK_PAUSE, attempts=0))
            return []
    except (sa.exc.IntegrityError, Overtaken):
        # Another ticket opened it in this very moment; the row is still claimed by us: look again at once.
        return _postpone(run, it, "another ticket was first", timedelta(0))


def _intend(run: Run, tx: sa.Connection, it: Elevation, plan: Plan) -> list[Due]:
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
        ticket_number=plan.ticket_number,
    )
    elevations.open_activation(tx, activation)
    held = move(replace(it, activation=activation.id), State.WAITING, due_at=run.now + PATIENCE)
    elevations.save_elevation(tx, held)
    journal.append(
        tx,
        Kind.ACTIVATION_INTENDED,
        now=run.now,
        cause=run.cause,
        elevation=it.id,
        activation=activation.id,
        facts={
            "target": activation.target,
            "duration_seconds": activation.duration_seconds,
            "rule": plan.rule,
            "rules_digest": run.deployment.rules.digest,
            "ticket": f"{it.connection}/{it.ticket}",
        },
        private={"actor": it.oid, "technician": it.technician, "justification": plan.justification},
    )
    return [Due(What.ACTIVATION, activation.id)]


def _join(run: Run, tx: sa.Connection, it: Elevation, activation: Activation) -> list[Due]:
    """Hold `activation`, which `tx` has locked: a give-back that is being decided right now waits and sees us."""
    held = replace(it, activation=activation.id)
    if activation.state is ActivationState.ASKED:
        waiting = move(held, State.WAITING, due_at=run.now + PATIENCE)
        elevations.save_elevation(tx, waiting)
        journal.append(
            tx,
            Kind.ACTIVATION_JOINED,
            now=run.now,
            cause=run.cause,
            elevation=it.id,
            activation=activation.id,
            private={"actor": it.oid},
        )
        return []
    held = replace(held, active_at=run.now, until=activation.ends_at)
    text = words.active(held, activation, run.deployment.settings.zone)
    _, due = settle(
        run,
        tx,
        held,
        State.ACTIVE,
        kind=Kind.ACTIVATION_JOINED,
        due_at=(activation.ends_at or run.now) + PATIENCE,
        step=Step.ACTIVE,
        text=text,
        facts={"target": activation.target},
    )
    return due


def park(run: Run, it: Elevation) -> list[Due]:
    """Wait for the technician to sign in; the ticket shows where."""
    text = words.sign_in(run.deployment.link(it.id))
    with run.deployment.records.write() as tx:
        _, due = settle(
            run,
            tx,
            it,
            State.SIGN_IN_NEEDED,
            kind=Kind.SIGNIN_NEEDED,
            due_at=run.now + PATIENCE,
            step=Step.SIGN_IN,
            text=text,
        )
    return due


def _refuse(run: Run, it: Elevation, refusal: Refusal) -> list[Due]:
    it = replace(it, analysis=analysis_to_json(refusal.analysis))
    return _end_badly(run, it, State.REFUSED, refusal.reason, code=refusal.code)


def _end_badly(run: Run, it: Elevation, to: State, sentence: str, *, code: str | None = None) -> list[Due]:
    kind, said = (Kind.PICK_REFUSED, Step.REFUSED) if to is State.REFUSED else (Kind.ELEVATION_FAILED, Step.FAILED)
    with run.deployment.records.write() as tx:
        _, due = settle(
            run,
            tx,
            replace(it, outcome=sentence[:600]),
            to,
            kind=kind,
            due_at=None,
            step=said,
            text=words.refused(sentence),
            facts={"code": code},
        )
    return due


def _postpone(run: Run, it: Elevation, outcome: str, by: timedelta) -> list[Due]:
    with run.deployment.records.write() as tx:
        elevations.save_elevation(tx, replace(it, due_at=run.now + by, outcome=outcome[:600]))
    return [Due(What.ELEVATION, it.id)] if not by else []


def _follow_activation(run: Run, it: Elevation) -> list[Due]:
    """A backstop: an elevation that waits for an activation makes sure that the activation is being looked after."""
    with run.deployment.records.write() as tx:
        activation = elevations.lock_activation(tx, it.activation) if it.activation else None
        if activation is None or activation.due_at is None:
            # It is gone without us: nothing that was granted can be left, so nothing may seem to go on.
            to = State.FAILED if it.state is State.WAITING else State.ENDED
            it = replace(it, end_reason=it.end_reason or EndReason.OUTSIDE)
            return settle(run, tx, it, to, kind=Kind.ELEVATION_ENDED, due_at=None)[1]
        elevations.save_elevation(tx, replace(it, due_at=run.now + timedelta(minutes=5), attempts=0))
        if activation.state is not ActivationState.ACTIVE:
            return []  # it is looked at all the time, and must not be disturbed in the middle
        elevations.save_activation(tx, replace(activation, due_at=run.now))
    return [Due(What.ACTIVATION, activation.id)]
