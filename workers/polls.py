"""Asks each helpdesk what changed, for the calls that never arrived: most helpdesks give one up after a few tries.

A change that no call told us about becomes a delivery like any other; what follows from it is decided by reading the
ticket, as always. What a call told us about, and was read since, costs no reading again.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from integration.deployment import Deployment
from integration.elevation import backoff
from integration.records import deliveries, polls
from integration.records.polls import Poll
from integration.tickets import Changes, HelpdeskError, HelpdeskUnavailable, TellsChanges
from workers.run import Due, Run

log = logging.getLogger(__name__)
EVERY_SECONDS = 10.0  # how often `begin` looks for new connections
# Lists are often made from an index that lags: what changed within this long before the newest line is asked for again.
OVERLAP = timedelta(minutes=5)
PAUSE = timedelta(seconds=10)  # between the pages of a long list
MOST_PAGES = 100  # of changes at one time; a helpdesk that names more repeats itself
SLOWEST = 900.0  # seconds between tries while a helpdesk does not answer


def begin(deployment: Deployment, *, now: datetime) -> None:
    """See that every helpdesk that can tell what changed is asked."""
    if deployment.settings.poll_seconds == 0:
        return
    able = [name for name, helpdesk in deployment.helpdesks.items() if isinstance(helpdesk, TellsChanges)]
    with deployment.records.write() as tx:
        polls.begin(tx, able, now=now)


def step(run: Run, due: Due) -> Iterable[Due]:
    with run.deployment.records.write() as tx:
        it = polls.claim(tx, due.id, now=run.now)
    if it is None:
        return []
    every = run.deployment.settings.poll_seconds
    helpdesk = run.deployment.helpdesks.get(it.id)
    if every == 0 or not isinstance(helpdesk, TellsChanges):
        return _postpone(run, it, None, "this helpdesk is not asked any more")
    since = max(it.since, run.now - polls.FURTHEST)
    try:
        changes = helpdesk.changed_since(since, page=it.page if since == it.since else 1, now=run.now)
    except HelpdeskError as error:
        waits = backoff(it.attempts, first=every, most=SLOWEST)
        if isinstance(error, HelpdeskUnavailable) and error.after is not None:
            waits = max(waits, timedelta(seconds=error.after))
        return _postpone(run, it, run.now + waits, str(error))
    with run.deployment.records.write() as tx:
        if _go_on(tx, it, changes, since, every, run.now):
            _keep(tx, it, changes, run.now)
    return []


def where_to(changes: Changes, since: datetime, page: int, *, now: datetime) -> tuple[datetime, int]:
    """From when on, and from which page of that, to ask the next time: never from a time that is yet to come.

    A page may be empty though more follow: a helpdesk that is asked by the minute lists what changed just before, too.
    """
    newest = max(since, min(max((ticket.at for ticket in changes.tickets), default=since), now))
    if not changes.more:
        return max(since, newest - OVERLAP), 1
    if newest > since:
        return newest, 1
    return (since, page + 1) if page < MOST_PAGES else (since + timedelta(seconds=1), 1)


def _go_on(tx: sa.Connection, it: Poll, changes: Changes, since: datetime, every: int, now: datetime) -> bool:
    start, page = where_to(changes, since, it.page, now=now)
    wait = PAUSE if changes.more else timedelta(seconds=every)
    return polls.went_on(tx, it, since=start, page=page, due_at=now + wait, now=now)


def _keep(tx: sa.Connection, it: Poll, changes: Changes, now: datetime) -> None:
    """A delivery for each change that no delivery has been read up to, and none that waits tells of."""
    unread = deliveries.unread(tx, it.id, changes.tickets, told=True)
    if unread:
        kept = deliveries.store_all(tx, [deliveries.found(it.id, ticket, now=now) for ticket in unread])
        log.info("changes_found", extra={"connection": it.id, "count": len(kept)})


def _postpone(run: Run, it: Poll, due_at: datetime | None, outcome: str) -> list[Due]:
    with run.deployment.records.write() as tx:
        polls.postpone(tx, it, due_at=due_at, outcome=outcome)
    return []
