"""How often the tenant is asked whether a role that is on for a ticket is still there.

The tenant tells nobody when a role is ended outside. One list tells of all that a technician has of one kind; the more
lists there are to read the less often each is, so that the calls of a minute have a limit however many roles are on.
"""

from datetime import datetime, timedelta

from integration.elevation import Activation
from integration.records import elevations
from integration.targets import Target, TargetKind
from workers.pacing import fair, next_moment
from workers.run import Run

EVERY, EVERY_OF_AZURE = timedelta(minutes=3), timedelta(minutes=10)
LISTS_PER_MINUTE = 300  # of all technicians together, and of each of Graph's kinds


def next_look(run: Run, it: Activation) -> datetime:
    """When to read the list that `it` is in again: a moment that all of it share, and few other technicians."""
    kind = Target.from_key(it.target).kind
    most, pause = LISTS_PER_MINUTE, EVERY
    if kind is TargetKind.AZURE_ROLE:  # its lists may keep a worker for half a minute each
        most, pause = run.deployment.settings.worker_processes, EVERY_OF_AZURE
    with run.deployment.records.read() as connection:
        lists = elevations.lists_active(connection, kind)
    least = fair(lists, a_minute=most)
    while pause < least:
        pause *= 2
    at = next_moment(run.now, f"{it.tid} {it.oid} {kind}", pause)
    return at + pause if at - run.now < pause / 2 else at  # it was looked at just now
