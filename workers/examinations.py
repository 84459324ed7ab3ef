"""Doctor's look at every part, by a worker: the calls to tenant and helpdesks may take longer than a page can wait."""

import time
from collections.abc import Iterable

from integration.deployment import Deployment
from integration.records import examinations
from integration.tickets import Finding
from workers.doctor import examine
from workers.run import Due, Run

MOST_TRIES = 3  # of a look that was cut off each time
SHARE = 45.0  # seconds, after which no further technician's policies are asked for


def step(run: Run, due: Due) -> Iterable[Due]:
    with run.deployment.records.write() as tx:
        it = examinations.claim(tx, due.id, now=run.now)
    if it is None:
        return []
    found = [_never_done()] if it.attempts > MOST_TRIES else _look(run.deployment)
    with run.deployment.records.write() as tx:
        examinations.finish(tx, it, found, now=run.now)
    return []


def _look(running: Deployment) -> list[Finding]:
    """At keys and rules as their files are now, and not as they were when this process began."""
    fresh = Deployment(running.settings)
    try:
        return [*examine(fresh, deadline=time.monotonic() + SHARE)]
    finally:
        fresh.records.dispose()


def _never_done() -> Finding:
    fix = "It took too long each time. Run `ticket-elevate doctor` where the worker runs, and look into its log."
    return Finding("this examination", False, fix)
