"""A stored delivery becomes elevations, offers, ends, or nothing. The payload is a hint; the ticket is read back."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from ulid import ULID

from integration import comments as words
from integration.comments import Offer, Step
from integration.elevation import ACT_FRESHNESS, PATIENCE, Elevation, EndReason, State, backoff
from integration.journal import Kind, StartsStopped
from integration.records import deliveries, elevations, people
from integration.records.deliveries import Delivery
from integration.records.elevations import Overtaken
from integration.rules import Mode, Refusal, RefusalCode, Rule, Start, analysis_to_json
from integration.tickets import UNTOLD, ChangedTicket, HelpdeskError, HelpdeskUnavailable, Status, Ticket, TicketGone
from workers.change import Change, change
from workers.ending import let_go_of
from workers.run import Due, Run, What

log = logging.getLogger(__name__)
UNSTARTED = frozenset({State.OFFERED, State.REQUESTED, State.SIGN_IN_NEEDED})
CLICK = "click:"  # how the pick of a click is named when its assignment was used up before
CLOCKS = timedelta(minutes=5)  # by which a helpdesk's clock may be ahead of ours
QUICK_LOOKS = 5  # for a state that the helpdesk is about to show, before we become slower
REVISION_PATIENCE = timedelta(minutes=5)  # after which the ticket is taken as it stands


def step(run: Run, due: Due) -> Iterable[Due]:
    delivery = run.take(due, Delivery, deliveries.claim)
    if delivery is None:
        return []
    run.cause = f"delivery:{delivery.delivery_id}"
    with run.deployment.records.read() as connection:
        told = _told_before(connection, delivery)
        # Before the ticket is read: whoever comes later may tell of something that this reading does not see.
        alike = [] if told else deliveries.alike(connection, delivery, now=run.now)
    if told:
        return _finish(run, delivery, told)
    ticket: Ticket | None
    try:
        ticket = run.ticket(delivery.connection, delivery.ticket, revision=_revision(run, delivery))
    except TicketGone:
        ticket = None
    except HelpdeskError as error:
        return _postpone(run, delivery, error)
    behind = delivery.attempts <= QUICK_LOOKS and ticket is not None and _is_behind(run, ticket)
    if ticket is not None and (behind or _is_older(run, delivery, ticket)):
        return _postpone(run, delivery, HelpdeskUnavailable(delivery.connection, after=1))
    try:
        return _work_or_refuse(run, delivery, ticket, alike)
    except (Overtaken, sa.exc.IntegrityError):
        # Somebody else picked, clicked or ended in this very moment: look at what is there now.
        log.info("delivery_overtaken", extra={"delivery": delivery.id})
        return _again(run, delivery)


def _work_or_refuse(
    run: Run, delivery: Delivery, ticket: Ticket | None, alike: Sequence[deliveries.Alike]
) -> list[Due]:
    """While the journal is broken what ends still ends, and a pick is refused in words."""
    try:
        return _work(run, delivery, ticket, alike)
    except StartsStopped as error:
        return _work(run, delivery, ticket, alike, stopped=error)


def _work(
    run: Run,
    delivery: Delivery,
    ticket: Ticket | None,
    alike: Sequence[deliveries.Alike],
    stopped: StartsStopped | None = None,
) -> list[Due]:
    """Everything that follows from the delivery, and that it was worked: in one transaction."""
    with change(run) as changed:
        if ticket is not None:
            consider(changed, ticket, stopped)
        else:
            held = elevations.open_on_ticket(changed.tx, delivery.connection, delivery.ticket)
            let_go_of(changed, [(it, EndReason.TICKET_GONE) for it in held])
        outcome, read = (deliveries.READ, _read_up_to(ticket)) if ticket is not None else ("the ticket is gone", None)
        if not deliveries.finish(changed.tx, delivery, outcome, read=read):
            raise Overtaken(delivery.id)
        deliveries.finish_alike(changed.tx, alike, read=read)
    return changed.due


def _read_up_to(ticket: Ticket) -> datetime | None:
    """Up to which change the ticket is known. Where its history says nothing of its assignee it may do so later."""
    return None if ticket.assignee is not None and ticket.change is None else ticket.updated_at


def _is_older(run: Run, delivery: Delivery, ticket: Ticket) -> bool:
    """Whether this reading does not show the change yet of which the delivery tells."""
    if delivery.changed_at is None or ticket.updated_at is None:
        return False
    return ticket.updated_at < delivery.changed_at and run.now - delivery.received_at < REVISION_PATIENCE


def _is_known(connection: sa.Connection, delivery: Delivery) -> bool:
    """Whether what a poll found has been read meanwhile, because a call told of it."""
    if not delivery.found or delivery.changed_at is None:
        return False
    change = ChangedTicket(delivery.ticket, delivery.changed_at)
    return not deliveries.unread(connection, delivery.connection, [change])


def _told_before(connection: sa.Connection, delivery: Delivery) -> str | None:
    """Why there is no need to read the ticket for it; None where there is."""
    if deliveries.shown_before(connection, delivery):
        return deliveries.SAME
    return "a call told it before" if _is_known(connection, delivery) else None


def _finish(run: Run, delivery: Delivery, outcome: str) -> list[Due]:
    with run.deployment.records.write() as tx:
        deliveries.finish(tx, delivery, outcome)
    return []


def _revision(run: Run, delivery: Delivery) -> str | None:
    """A state that never comes (the change was undone, the helpdesk was restored) must not be waited for for ever."""
    return delivery.revision if run.now - delivery.received_at < REVISION_PATIENCE else None


def _is_behind(run: Run, ticket: Ticket) -> bool:
    """Whether the history may tell in a moment who made the assignee the assignee, and something follows from it."""
    if ticket.status is Status.SOLVED or ticket.assignee is None or ticket.change is not None:
        return False
    if not run.deployment.rules.concern(ticket):
        return False
    with run.deployment.records.read() as connection:
        account = ticket.assignee.account
        return elevations.of_pick(connection, ticket.connection, ticket.number, account, ticket.pick) is None


def _again(run: Run, delivery: Delivery) -> list[Due]:
    with run.deployment.records.write() as tx:
        deliveries.postpone(tx, delivery, now=run.now, by=timedelta(seconds=1), outcome="others were at it too")
    return []


def _postpone(run: Run, delivery: Delivery, error: HelpdeskError) -> list[Due]:
    wait = backoff(delivery.attempts) if error.try_again else timedelta(hours=1)
    if isinstance(error, HelpdeskUnavailable) and error.after is not None:
        asked = timedelta(seconds=max(error.after, 0.2))
        slower = backoff(delivery.attempts - QUICK_LOOKS, most=60)
        wait = asked if delivery.attempts <= QUICK_LOOKS else max(asked, slower)
    with run.deployment.records.write() as tx:
        deliveries.postpone(tx, delivery, now=run.now, by=wait, outcome=str(error))
    return []


def consider(changed: Change, ticket: Ticket, stopped: StartsStopped | None = None) -> None:
    """What this ticket, as it stands now, ends and starts; with `stopped`, why it starts nothing."""
    held = elevations.open_on_ticket(changed.tx, ticket.connection, ticket.number)
    reasons = [(it, reason_to_end(ticket, it)) for it in held]
    let_go_of(changed, [(it, reason) for it, reason in reasons if reason is not None])
    if ticket.status is Status.SOLVED or ticket.assignee is None:
        return
    going_on = (it for it, reason in reasons if it.state is not State.ENDING and reason is None)
    if any(it.account == ticket.assignee.account for it in going_on):
        return
    found = changed.run.deployment.rules.match(ticket)
    if isinstance(found, Refusal) and found.code is RefusalCode.NO_RULE:
        return
    if stopped is not None and not isinstance(found, Refusal):
        code, mode = RefusalCode.JOURNAL_BROKEN, found.mode
        found = Refusal(rule=found.name, code=code, reason=str(stopped), analysis=(), mode=mode)
    _open(changed, ticket, found)


def reason_to_end(ticket: Ticket, it: Elevation) -> EndReason | None:
    """Why `it` may not go on for this ticket; None when it may."""
    if ticket.status is Status.SOLVED:
        return EndReason.SOLVED
    if ticket.assignee is None or ticket.assignee.account != it.account:
        return EndReason.HANDED_OVER
    clicked = it.pick.startswith(CLICK) or (it.clicked and it.pick.startswith(UNTOLD))
    if it.state in UNSTARTED and not clicked and it.pick != ticket.pick:
        # Assigned away and back, perhaps by somebody else: the act that this one rests on was undone.
        return EndReason.HANDED_OVER
    return None


def _open(changed: Change, ticket: Ticket, found: Rule | Refusal) -> None:
    """One elevation for this pick; nothing when the pick has one already. Raises IntegrityError in a race for it."""
    assert ticket.assignee is not None
    run, tx, pick = changed.run, changed.tx, ticket.pick
    if elevations.of_pick(tx, ticket.connection, ticket.number, ticket.assignee.account, pick) or _clicked(tx, ticket):
        log.info("pick_seen_before", extra={"connection": ticket.connection})
        return
    link = people.link_of(tx, ticket.connection, ticket.assignee.account)
    if link is not None and not link.is_of(ticket.assignee.address):
        link = None
    it = Elevation(
        id=str(ULID()),
        connection=ticket.connection,
        ticket=ticket.number,
        account=ticket.assignee.account,
        address=ticket.assignee.address,
        pick=pick,
        state=_first_state(run, ticket, found),
        version=1,
        due_at=run.now,
        created_at=run.now,
        acted_at=ticket.assigned_at,
        rule=found.rule if isinstance(found, Refusal) else found.name,
        tid=link.tid if link else None,
        oid=link.oid if link else None,
        technician=link.technician if link else None,
    )
    why = _why(ticket)
    if found.mode is Mode.WATCH and it.state is not State.REQUESTED:
        _watched(changed, it, found, why)
    elif isinstance(found, Refusal):
        _refused(changed, it, found)
    elif it.state is State.OFFERED:
        it = replace(it, due_at=run.now + PATIENCE)
        text = words.offered(run.deployment.link(it.id), why)
        changed.open(it, Kind.PICK_OFFERED, step=Step.OFFERED, text=text)
    else:
        it = run.at_once(it)
        changed.open(it, Kind.PICK_PLANNED)
        changed.due.append(run.due(What.ELEVATION, it))


def _clicked(tx: sa.Connection, ticket: Ticket) -> bool:
    """Whether a click used this assignment up before the history told of it: else it would start once more by itself,
    and after an End now bring the role back.
    """
    if ticket.assignee is None or ticket.assigned_at is None:
        return False
    since = ticket.assigned_at - CLOCKS
    return elevations.untold_click(tx, ticket.connection, ticket.number, ticket.assignee.account, since=since)


def _why(ticket: Ticket) -> Offer:
    """Why this assignment starts nothing by itself."""
    if is_own_act(ticket):
        return Offer.ON_CLICK
    return Offer.UNTOLD if ticket.assigned_by is None or ticket.change is None else Offer.BY_OTHER


def _first_state(run: Run, ticket: Ticket, rule: Rule | Refusal) -> State:
    """A fresh pick by the technician's own hand starts at once; anything else only offers the link."""
    if isinstance(rule, Refusal):
        return State.REFUSED
    picked = is_own_act(ticket) and is_fresh(ticket, run.now)
    return State.REQUESTED if picked and rule.start_for(ticket) is Start.ON_PICK else State.OFFERED


def is_own_act(ticket: Ticket) -> bool:
    """Whether the helpdesk's history says that the assignee took the ticket with their own hand."""
    if ticket.assignee is None or ticket.change is None:
        return False
    return ticket.assigned_by == ticket.assignee.account


def is_fresh(ticket: Ticket, now: datetime) -> bool:
    # Either way: a helpdesk's clock may be ahead of ours, and a time of hours from now is none.
    return ticket.assigned_at is not None and abs(now - ticket.assigned_at) <= ACT_FRESHNESS


def _watched(changed: Change, it: Elevation, found: Rule | Refusal, why: Offer) -> None:
    """Shadow mode: what would have been said is written down and nowhere else."""
    refused = isinstance(found, Refusal)
    text = words.watched_refusal(found.reason) if refused else words.watched_offer(why)
    analysis = analysis_to_json(found.analysis) if isinstance(found, Refusal) else None
    done = replace(it, state=State.WATCHED, due_at=None, ended_at=changed.run.now)
    changed.open(replace(done, outcome=text, analysis=analysis), Kind.PICK_WATCHED)


def _refused(changed: Change, it: Elevation, refusal: Refusal) -> None:
    analysis = analysis_to_json(refusal.analysis)
    it = replace(it, due_at=None, ended_at=changed.run.now, outcome=refusal.reason[:600], analysis=analysis)
    changed.open(it, Kind.PICK_REFUSED, step=Step.REFUSED, text=refusal_text(changed.run, it, refusal))


def refusal_text(run: Run, it: Elevation, refusal: Refusal) -> str:
    """What the ticket says; where its technician can do something about it, with the way back."""
    if refusal.code is RefusalCode.NOT_READY:
        return words.not_ready(refusal.reason, run.deployment.elevate_link(it.connection, it.ticket))
    return words.refused(refusal.reason)
