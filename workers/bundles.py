"""Several roles for one task: where the rule wants all of them or none, one that is not given ends the others."""

import sqlalchemy as sa

from integration.elevation import Elevation, EndReason, State
from integration.records import elevations
from integration.rules import Bundle, Refusal, RefusalCode
from workers.run import Due, Run, What

# How one comes to nothing by itself: not by what its technician or the ticket did, which ends them all anyway.
_BY_ITSELF = frozenset({EndReason.WITHDRAWN, EndReason.UNUSED})
_RAN_OUT = frozenset({EndReason.TIME_UP, EndReason.OUTSIDE})


def _was_not_given(it: Elevation) -> bool:
    return it.state in (State.REFUSED, State.FAILED) or (it.state is State.CANCELLED and it.end_reason in _BY_ITSELF)


def _ran_out(it: Elevation) -> bool:
    return it.state is State.ENDED and it.end_reason in _RAN_OUT


def concerns_others(it: Elevation) -> bool:
    """Whether others of the same task may have to end because of how `it` is now."""
    return _was_not_given(it) or _ran_out(it)


def is_lost(run: Run, it: Elevation) -> bool:
    """Whether `it` must end, as the rule wants all or none: another target of the same task was not given, or was over
    before this one is given.
    """
    if it.state is State.ENDING or not all_or_none(run, it):
        return False
    with run.deployment.records.read() as connection:
        others = [other for other in elevations.parts_of(connection, it) if other.id != it.id]
    return any(_was_not_given(other) or (it.state is not State.ACTIVE and _ran_out(other)) for other in others)


def wake_others(tx: sa.Connection, run: Run, it: Elevation) -> list[Due]:
    """`it` came to nothing: those that must end with it are due now. One at work finds out by itself."""
    if not all_or_none(run, it):
        return []
    return [Due(What.ELEVATION, name) for name in elevations.wake_parts(tx, it, now=run.now)]


def all_or_none(run: Run, it: Elevation) -> bool:
    rules = run.deployment.rules.rules
    return any(rule.name == it.rule and rule.bundle is Bundle.ALL for rule in rules)


def parts_in_spite_of(run: Run, it: Elevation, refusal: Refusal) -> int:
    """How many targets are tried although `it`, the first one, is refused: with best effort each is for itself."""
    if refusal.code is not RefusalCode.NOT_ELIGIBLE:
        return 1
    rules = run.deployment.rules.rules
    return next((rule.parts for rule in rules if rule.name == it.rule and rule.bundle is Bundle.BEST_EFFORT), 1)
