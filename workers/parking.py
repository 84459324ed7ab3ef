"""Waiting for a technician to sign in, and not missing it when they do so in that very moment."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from integration import comments as words
from integration.elevation import PATIENCE, Elevation, State, move
from integration.journal import Kind
from integration.notices import NoticeKind
from integration.records import elevations, people
from integration.records.people import Link
from workers.change import Change, change
from workers.run import Due, Run, What


def park(changed: Change, it: Elevation, challenge: str | None = None) -> None:
    """The ticket shows where to sign in; the elevation goes on when its technician has done so.

    `challenge`: what the tenant asks of that sign-in (JSON), if it asks for more than the usual.
    """
    link = changed.run.deployment.link(it.id)
    text = words.step_up(link) if challenge else words.sign_in(link)
    parked = replace(it, challenge=challenge)
    facts = {"step_up": challenge is not None}
    changed.settle(parked, State.SIGN_IN_NEEDED, due_at=changed.run.now + PATIENCE, text=text, facts=facts)
    if challenge:
        changed.notify(NoticeKind.STEP_UP, parked)


def go_on(changed: Change, it: Elevation, link: Link) -> None:
    """Its technician signed in: `it`, which waits for that, is asked for in their name."""
    run = changed.run
    known = replace(it, tid=link.tid, oid=link.oid, technician=link.technician, challenge=None)
    saved = elevations.save_elevation(changed.tx, run.at_once(move(known, State.REQUESTED, due_at=run.now)))
    changed.record(Kind.SIGNIN_DONE, elevation=known)
    changed.due.append(run.due(What.ELEVATION, saved))


def woken_meanwhile(run: Run, parked: Iterable[Elevation], *, since: datetime) -> list[Due]:
    """Who signed in after `since`, when the sign-in was missed, and before the parking was committed, found nothing to
    wake. Call it after that commit.
    """
    due: list[Due] = []
    for each in parked:
        with run.deployment.records.read() as connection:
            back = people.came_back(connection, each.connection, each.account, since=since)
        if back is None:
            continue
        with change(run) as changed:
            it = elevations.lock_elevation(changed.tx, each.id)
            if it is not None and it.state is State.SIGN_IN_NEEDED:
                go_on(changed, it, back)
        due += changed.due
    return due
