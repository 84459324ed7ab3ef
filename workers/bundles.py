"""Several roles for one task: where the rule wants all of them or none, one that is not given ends the others."""

import sqlalchemy as sa

from integration.elevation import Elevation, State
from integration.records import elevations
from integration.rules import Bundle, Refusal, RefusalCode
from workers.run import Due, Run, What

LOST = frozenset({State.REFUSED, State.FAILED})


def is_lost(run: Run, it: Elevation) -> bool:
    """Whether `it` must end because another target of the same task was not given, and the rule wants all or none."""
    if not _all_or_none(run, it):
        return False
    with run.deployment.records.read() as connection:
        return any(other.state in LOST for other in elevations.parts_of(connection, it) if other.id != it.id)


def wake_others(tx: sa.Connection, run: Run, it: Elevation) -> list[Due]:
    """`it` came to nothing: those that must end with it are due now. One at work finds out by itself."""
    if not _all_or_none(run, it):
        return []
    return [Due(What.ELEVATION, name) for name in elevations.wake_parts(tx, it, now=run.now)]


def _all_or_none(run: Run, it: Elevation) -> bool:
    rules = run.deployment.rules.rules
    return any(rule.name == it.rule and rule.bundle is Bundle.ALL for rule in rules)


def parts_in_spite_of(run: Run, it: Elevation, refusal: Refusal) -> int:
    """How many targets are tried although `it`, the first one, is refused: with best effort each is for itself."""
    if refusal.code is not RefusalCode.NOT_ELIGIBLE:
        return 1
    rules = run.deployment.rules.rules
    return next((rule.parts for rule in rules if rule.name == it.rule and rule.bundle is Bundle.BEST_EFFORT), 1)
