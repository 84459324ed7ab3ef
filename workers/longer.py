"""More time: an activation cannot be extended, so another elevation follows the one whose time is up."""

from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa
from ulid import ULID

from integration import comments as words
from integration.comments import Step
from integration.elevation import Elevation, EndReason, State, another
from integration.journal import Kind
from integration.records import elevations, journal
from integration.rule import SHORTEST
from integration.rules import Plan
from integration.rules_choice import how_long, wish
from integration.targets import Target
from workers import bundles
from workers.change import Change, change
from workers.deciding import kept_limits
from workers.deliveries import CLICK
from workers.run import Due, Run, What

_PICK = f"{CLICK}longer:"


def room(run: Run, it: Elevation, plan: Plan) -> timedelta:
    """How much longer the rule and the policy allow, behind what `it` has; nothing where that is too little to ask."""
    return _room(run, it, total=plan.total, duration=plan.duration)


def likely_room(run: Run, it: Elevation) -> timedelta:
    """As `room`, by what is kept: nobody is asked, so a page can show it at once. The rules may say otherwise now."""
    rule = next((rule for rule in run.deployment.rules.rules if rule.name == it.rule), None)
    if rule is None or it.target is None:
        return timedelta()
    asked = timedelta(seconds=it.duration_seconds) if it.duration_seconds else None
    maximum, too_long = kept_limits(run, it, Target.from_key(it.target))
    duration, _how = how_long(*wish(rule, asked), maximum, too_long)
    return _room(run, it, total=rule.in_all, duration=duration)


def _room(run: Run, it: Elevation, *, total: timedelta, duration: timedelta) -> timedelta:
    if it.until is None or it.active_at is None or it.emergency:
        return timedelta()
    with run.deployment.records.read() as connection:
        first = elevations.elevation(connection, _root(connection, it)) or it
        together = _together(connection, run, it)
    if any(part.state is not State.ACTIVE for part in together):
        return timedelta()  # all or none: they cannot go on together
    left = total - (it.until - (first.active_at or it.active_at))
    most = min(left, duration)
    return most if most >= SHORTEST else timedelta()


def ask(run: Run, it: Elevation, seconds: int | None) -> list[Due]:
    """Its technician wants so much more when its time is up; None: not any more. Raises Overtaken.

    Where the rule wants all roles of the task or none, the wish is for all of them.
    """
    with change(run) as changed:
        for part in _together(changed.tx, run, it):
            if part.state is State.ACTIVE:
                _wish(changed, part, seconds)
    return changed.due


def _wish(changed: Change, it: Elevation, seconds: int | None) -> None:
    wished = elevations.save_elevation(changed.tx, replace(it, longer_seconds=seconds))
    zone = changed.run.deployment.settings.zone
    text = words.longer(it, timedelta(seconds=seconds), zone) if seconds else words.not_longer(it, zone)
    changed.record(Kind.PICK_LONGER, elevation=wished, facts={"duration_seconds": seconds}, step=Step.LONGER, text=text)


def _together(connection: sa.Connection, run: Run, it: Elevation) -> list[Elevation]:
    """What goes on with `it` or not at all, and `it` itself."""
    if not bundles.all_or_none(run, it):
        return [it]
    return [it if part.id == it.id else part for part in elevations.parts_of(connection, it)]


def goes_on(changed: Change, it: Elevation) -> bool:
    """Whether another one follows `it`, which ends now. A broken journal starts nothing."""
    time_up = it.end_reason == EndReason.TIME_UP and it.longer_seconds is not None and it.state is State.ACTIVE
    return time_up and journal.standing(changed.tx) is journal.Standing.WHOLE


def follow(changed: Change, it: Elevation) -> None:
    """Open the one that follows `it`, which has just ended."""
    run = changed.run
    next_one = another(
        it,
        str(ULID()),
        now=run.now,
        pick=_next_pick(changed.tx, it),
        acted_at=run.now,  # they asked that it goes on at this very moment
        clicked=True,
        duration_seconds=it.longer_seconds,
    )
    next_one = run.at_once(next_one)
    changed.open(next_one, Kind.PICK_PLANNED, facts={"follows": it.id})
    changed.due.append(run.due(What.ELEVATION, next_one))


def followed_by(run: Run, it: Elevation) -> Elevation | None:
    """The one that followed `it`, if one did."""
    with run.deployment.records.read() as connection:
        found = elevations.parts_of(connection, replace(it, pick=_next_pick(connection, it)))
    return next((each for each in found if each.part == it.part), None)


def follows(it: Elevation) -> bool:
    """Whether it goes on with what an earlier one began; each role of a task is followed by its own."""
    return it.pick.startswith(_PICK)


def _next_pick(connection: sa.Connection, it: Elevation) -> str:
    """By which the one is known that follows `it`: the roles of a task have one pick, and so do those that follow."""
    number = int(it.pick.rsplit(":", 1)[-1]) + 1 if follows(it) else 1
    return f"{_PICK}{_root(connection, it)}:{number}"


def _root(connection: sa.Connection, it: Elevation) -> str:
    """The id of the first one of those that followed each other up to `it`; of the first role of a task."""
    if follows(it):
        return it.pick.removeprefix(_PICK).split(":", 1)[0]
    return elevations.parts_of(connection, it)[0].id
