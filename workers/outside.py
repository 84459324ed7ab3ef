"""Is the role still there? A technician may end it in the portal, an administrator may take it away."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from integration.elevation import Activation, ActivationState, EndReason, State, by_its_end
from integration.entra.errors import EntraError
from integration.entra.pim import Active
from integration.records import elevations
from integration.targets import Target
from workers import usable
from workers.approvals import BEHIND
from workers.asking import AGREEMENT
from workers.outcomes import close, is_it, later
from workers.run import Due, Run
from workers.watching import next_look

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=30)  # Entra does not agree with itself at each moment: only what is missed twice is gone
MISSED_ONCE = 1000  # the tries of an activation that was missed are counted on from here
Rows = Sequence[tuple[Target, Active]]


def look(run: Run, it: Activation) -> list[Due]:
    """Read the list that `it` is in, for all that its technician has of this kind. A list that cannot be read, or not
    as a whole, says nothing of what is not in it.
    """
    at = next_look(run, it)
    if it.started_at is not None and run.now - it.started_at < AGREEMENT:
        return _keep(run, it, at)
    kind = Target.from_key(it.target).kind
    try:
        there = run.deployment.tenant.actives(it.tid, it.oid, run.now, kind)
    except EntraError as error:
        log.info("not_looked", extra={"activation": it.id, "raised": type(error).__name__})
        return _keep(run, it, at)
    _spare_the_others(run, it, there, at + BEHIND)
    if _is_in(it, there) or not all(target.id for target, _ in there):
        return _keep(run, it, at)
    if it.attempts < MISSED_ONCE:
        return later(run, replace(it, attempts=MISSED_ONCE), LOOK_AGAIN)
    return close(run, it, ActivationState.EXPIRED, EndReason.OUTSIDE)


def _keep(run: Run, it: Activation, at: datetime) -> list[Due]:
    with run.deployment.records.write() as tx:
        elevations.save_activation(tx, replace(it, due_at=by_its_end(it, at), attempts=0))
    return []


def _is_in(it: Activation, there: Rows) -> bool:
    return any(target.key.casefold() == it.target.casefold() and is_it(it, active) for target, active in there)


def _spare_the_others(run: Run, it: Activation, there: Rows, until: datetime) -> None:
    """What else of this technician's the same list shows need not be looked for."""
    kind = Target.from_key(it.target).kind
    with run.deployment.records.read() as connection:
        spared = [
            other
            for other in elevations.active_of(connection, it.tid, it.oid, kind)
            if other.id != it.id
            and _waits_for_this(other, until)
            and _is_in(other, there)
            # One that is about to be given back has its own time.
            and {each.state for each in elevations.on_activation(connection, other.id)} == {State.ACTIVE}
        ]
    if spared:
        with run.deployment.records.write() as tx:
            for other in spared:
                elevations.look_later(tx, other, until)


def _waits_for_this(it: Activation, until: datetime) -> bool:
    """Whether such a look is all that it is due for by then."""
    is_due = it.due_at is not None and it.due_at <= until
    return is_due and (it.ends_at is None or it.ends_at > until) and not usable.wanted(it)
