"""The ticket once more: right before the tenant is asked for a role, and after an approver gave it.

What a plan was made of may be hours old by then: what ends an elevation is looked at, and what the rules say now. Of a
ticket whose rule requires nothing, a helpdesk that is away delays nothing. Where the rule requires something, nothing
starts before that is seen.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from integration.elevation import PATIENCE, Elevation, EndReason, State, backoff
from integration.records import elevations
from integration.rules import Refusal, RefusalCode
from integration.tickets import HelpdeskError, NotConnected, TicketGone, clean
from workers.deliveries import reason_to_end
from workers.ending import let_go
from workers.run import Due, Run


def requires(run: Run, it: Elevation) -> bool:
    """Whether the rule that `it` rests on requires anything of its ticket, or is not there any more."""
    rule = next((rule for rule in run.deployment.rules.rules if rule.name == it.rule), None)
    return not it.emergency and (rule is None or bool(rule.require))


def look(run: Run, it: Elevation, *, since: datetime) -> EndReason | Refusal | None:
    """What stands against `it`, by its ticket as it was at `since` or later; None: nothing.

    Raises HelpdeskError where its rule requires something of the ticket, which cannot be read.
    """
    if it.emergency:
        return None
    strict = requires(run, it)
    try:
        ticket = run.ticket(it.connection, it.ticket, since=since if strict else None)
    except (TicketGone, NotConnected):
        return EndReason.TICKET_GONE
    except HelpdeskError:
        if strict:
            raise
        return None
    reason = reason_to_end(ticket, it)
    if reason is not None:
        return reason
    found = run.deployment.rules.match(ticket)
    if isinstance(found, Refusal) or found.name == it.rule:
        return found if isinstance(found, Refusal) else None
    sentence = f'Ticket {clean(ticket.number)} is a matter of the rule "{found.name}" by now. Press Elevate again.'
    return Refusal(found.name, RefusalCode.NOT_READY, sentence, (), found.mode)


def is_due(it: Elevation) -> bool:
    """Whether `after_approval` is the step of `it`."""
    return it.unchecked and it.state is State.ACTIVE


def after_approval(run: Run, it: Elevation) -> Iterable[Due]:
    """Look at the ticket, which may have changed while an approver took their time, and give the role back if it has.

    A helpdesk that is away is asked again: the role is active, and that it may be is not known yet.
    """
    try:
        found = look(run, it, since=it.active_at or it.created_at)
    except HelpdeskError:
        return _look_later(run, it, at=run.now + backoff(it.attempts, most=60))
    if isinstance(found, Refusal):
        return let_go(run, it.id, EndReason.NOT_READY, why=found.reason)
    if found is not None:
        return let_go(run, it.id, found)
    return _look_later(run, replace(it, attempts=0, unchecked=False), at=(it.until or run.now) + PATIENCE)


def _look_later(run: Run, it: Elevation, *, at: datetime) -> list[Due]:
    with run.deployment.records.write() as tx:
        elevations.save_elevation(tx, replace(it, due_at=at))
    return []
