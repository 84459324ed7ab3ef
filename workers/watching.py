"""How often the tenant is asked whether a role that is on for a ticket is still there.

The tenant tells nobody when a role is ended outside. One list tells of all that a technician has of one kind; the more
lists there are to read the less often each is, so that the calls of a minute have a limit however many roles are on.
"""

import zlib
from datetime import UTC, datetime, timedelta

from integration.elevation import Activation
from integration.records import elevations
from integration.targets import Target, TargetKind
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
    fair = timedelta(minutes=lists / (0.8 * most))  # the rest is for minutes in which chance sends more
    while pause < fair:
        pause *= 2  # each step holds the moments of the next: nobody's moves on when there are more
    step = pause.total_seconds()
    offset = zlib.crc32(f"{it.tid} {it.oid} {kind}".encode()) % step
    at = ((run.now.timestamp() - offset) // step + 1) * step + offset
    soon = at - run.now.timestamp() < step / 2  # it was looked at just now
    return datetime.fromtimestamp(at + step if soon else at, UTC)
