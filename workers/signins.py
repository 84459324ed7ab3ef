"""Looks after stored sign-ins: who was revoked or disabled is found out within minutes, and none dies for want of use.

A look is one call in the person's name (GET /me), which fails at once for who was shut out, as we declare continuous
access evaluation; one whose token has run out is renewed with it. What the refusal means for the row, the pages and
the journal is done by whoever finds it out (`records.signins.lose`).
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from integration.deployment import Deployment
from integration.entra.errors import EntraError, SignInNeeded
from integration.records import sessions, signins
from integration.records.signins import Kept

log = logging.getLogger(__name__)
EVERY_SECONDS = 60.0
MOST = 60  # looks of one run: three calls to the tenant each at the most
SHARE = timedelta(seconds=40)  # of one run, within which no look begins after it
ENOUGH = 3  # looks in a row that Microsoft did not answer: the others wait for the next run


def look(deployment: Deployment, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> int:
    """Look at what is due, and say how many that were."""
    stop, looked, silent = clock() + SHARE, 0, 0
    alive = sessions.alive(deployment.settings, clock())
    with deployment.records.read() as connection:
        waiting = signins.due(connection, alive, now=clock(), limit=MOST)
    for it in waiting:
        if clock() >= stop or silent >= ENOUGH:
            break
        with deployment.records.write() as tx:
            mine = signins.claim(tx, it, now=clock())
        if mine:
            looked += 1
            silent = 0 if _answered(deployment, it, clock()) else silent + 1
    return looked


def _answered(deployment: Deployment, it: Kept, now: datetime) -> bool:
    """False where Microsoft did not say how it is, which changes nothing."""
    try:
        deployment.tenant.addresses(it.tid, it.oid, now)
    except SignInNeeded:
        return True
    except EntraError as error:
        log.info("sign_in_not_seen", extra={"raised": type(error).__name__})
        return False
    with deployment.records.write() as tx:
        signins.works(tx, it, now=now)
    return True
