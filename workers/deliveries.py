"""A stored delivery becomes elevations, offers, ends, or nothing. The payload is a hint; the ticket is read back."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa
from ulid import ULID

from integration import comments as words
from integration.comments import Step
from integration.elevation import PATIENCE, PICK_FRESHNESS, Elevation, EndReason, State, backoff
from integration.journal import Kind, StartsStopped
from integration.records import comments, deliveries, elevations, journal, people
from integration.records.deliveries import Delivery
from integration.records.elevations import Overtaken
from integration.rules import Refusal, RefusalCode, Rule, Start, analysis_to_json
from integration.tickets import HelpdeskError, HelpdeskUnavailable, Status, Ticket, TicketGone
from workers.ending import let_go
from workers.run import Due, Run, What

log = logging.getLogger(__name__)
UNSTARTED = frozenset({State.OFFERED, State.REQUESTED, State.SIGN_IN_NEEDED})
CLICK = "click:"  # how the pick of a click is named when its assignment was used up before


def step(run: Run, delivery_id: str) -> Iterable[Due]:
    with run.deployment.records.write() as tx:
        delivery = deliveries.claim(tx, delivery_id, now=run.now)
    if delivery is None:
        return []
    run.cause = f"delivery:{delivery.delivery_id}"
    try:
        ticket = run.ticket(delivery.connection, delivery.ticket, revision=delivery.revision)
    except TicketGone:
        return _finish(run, delivery, "the ticket is gone", list(_end_all(run, delivery, EndReason.TICKET_GONE)))
    except HelpdeskError as error:
        return _postpone(run, delivery, error)
    try:
        return _finish(run, delivery, "done", list(consider(run, ticket)))
    except Overtaken:
        log.info("delivery_overtaken", extra={"delivery": delivery.id})
        return _again(run, delivery)


def _finish(run: Run, delivery: Delivery, outcome: str, due: list[Due]) -> list[Due]:
    with run.deployment.records.write() as tx:
        deliveries.finish(tx, delivery, outcome)
    return due


def _again(run: Run, delivery: Delivery) -> list[Due]:
    with run.deployment.records.write() as tx:
        deliveries.postpone(tx, delivery, now=run.now, by=timedelta(seconds=1), outcome="others were at it too")
    return []


def _postpone(run: Run, delivery: Delivery, error: HelpdeskError) -> list[Due]:
    wait = backoff(delivery.attempts) if error.try_again else timedelta(hours=1)
    if isinstance(error, HelpdeskUnavailable) and error.after is not None:
        wait = timedelta(seconds=max(error.after, 0.2))
    with run.deployment.records.write() as tx:
        deliveries.postpone(tx, delivery, now=run.now, by=wait, outcome=str(error))
    return []


def _end_all(run: Run, delivery: Delivery, reason: EndReason) -> Iterator[Due]:
    with run.deployment.records.read() as connection:
        held = elevations.open_on_ticket(connection, delivery.connection, delivery.ticket)
    for it in held:
        yield from let_go(run, it.id, reason)


def consider(run: Run, ticket: Ticket) -> Iterator[Due]:
    """What this ticket, as it stands now, ends and starts."""
    with run.deployment.records.read() as connection:
        held = elevations.open_on_ticket(connection, ticket.connection, ticket.number)
    for it in held:
        reason = reason_to_end(ticket, it)
        if reason is not None:
            yield from let_go(run, it.id, reason)
    if ticket.status is Status.SOLVED or ticket.assignee is None or ticket.change is None:
        return
    going_on = (it for it in held if it.state is not State.ENDING and reason_to_end(ticket, it) is None)
    if any(it.account == ticket.assignee.account for it in going_on):
        return
    found = run.deployment.rules.match(ticket)
    if isinstance(found, Refusal) and found.code is RefusalCode.NO_RULE:
        return
    yield from _open(run, ticket, found)


def reason_to_end(ticket: Ticket, it: Elevation) -> EndReason | None:
    """Why `it` may not go on for this ticket; None when it may."""
    if ticket.status is Status.SOLVED:
        return EndReason.SOLVED
    if ticket.assignee is None or ticket.assignee.account != it.account:
        return EndReason.HANDED_OVER
    if it.state in UNSTARTED and not it.pick.startswith(CLICK) and it.pick != (ticket.change or "")[:128]:
        # Assigned away and back, perhaps by somebody else: the act that this one rests on was undone.
        return EndReason.HANDED_OVER
    return None


def _open(run: Run, ticket: Ticket, found: Rule | Refusal) -> list[Due]:
    """One elevation for this pick; nothing when the pick has one already."""
    assert ticket.assignee is not None
    assert ticket.change is not None
    it = Elevation(
        id=str(ULID()),
        connection=ticket.connection,
        ticket=ticket.number,
        account=ticket.assignee.account,
        address=ticket.assignee.address,
        pick=ticket.change[:128],
        state=State.REFUSED if isinstance(found, Refusal) else _first_state(run, ticket, found),
        version=1,
        due_at=run.now,
        created_at=run.now,
        rule=found.rule if isinstance(found, Refusal) else found.name,
    )
    try:
        with run.deployment.records.write() as tx:
            return _record(run, tx, it, ticket, found)
    except sa.exc.IntegrityError:
        log.info("pick_seen_before", extra={"ticket": ticket.number})
        return []
    except StartsStopped as error:
        refusal = Refusal(rule=it.rule, code=RefusalCode.JOURNAL_BROKEN, reason=str(error), analysis=())
        return _open(run, ticket, refusal)


def _first_state(run: Run, ticket: Ticket, rule: Rule) -> State:
    """A fresh pick by the technician's own hand starts at once; anything else only offers the link."""
    own_act = ticket.assignee is not None and ticket.assigned_by == ticket.assignee.account
    fresh = ticket.assigned_at is not None and run.now - ticket.assigned_at <= PICK_FRESHNESS
    return State.REQUESTED if own_act and fresh and rule.start is Start.ON_PICK else State.OFFERED


def _record(run: Run, tx: sa.Connection, it: Elevation, ticket: Ticket, found: Rule | Refusal) -> list[Due]:
    link = people.link_of(tx, it.connection, it.account)
    if link is not None:
        it = replace(it, tid=link.tid, oid=link.oid, technician=link.technician)
    text, kind, told = None, Kind.PICK_PLANNED, Step.OFFERED
    if isinstance(found, Refusal):
        it = replace(it, due_at=None, ended_at=run.now, outcome=found.reason, analysis=analysis_to_json(found.analysis))
        text, kind, told = words.refused(found.reason), Kind.PICK_REFUSED, Step.REFUSED
    elif it.state is State.OFFERED:
        it = replace(it, due_at=run.now + PATIENCE)
        by_other = ticket.assigned_by != it.account
        text, kind = words.offered(run.deployment.link(it.id), by_other=by_other), Kind.PICK_OFFERED
    elevations.open_elevation(tx, it)
    facts = {"ticket": f"{it.connection}/{it.ticket}", "rule": it.rule, "rules_digest": run.deployment.rules.digest}
    written = journal.append(
        tx,
        kind,
        now=run.now,
        cause=run.cause,
        elevation=it.id,
        facts=facts,
        private={"actor": it.oid, "account": it.account},
    )
    if text is None:
        return [Due(What.ELEVATION, it.id)]
    comment = comments.add(tx, it, told, words.with_witness(text, it.id, told, written.witness), now=run.now)
    return [Due(What.COMMENT, comment)] if comment else []
