"""How stored sign-ins are: which the tenant still takes, which are about to end, which it refused for good.

What is sealed in a row is no business of this file: it reads times, and empties rows.
"""

from datetime import datetime

import sqlalchemy as sa

from integration.entra.errors import Loss
from integration.journal import Fact, Kind
from integration.records import journal, sessions
from integration.records.tables import token_caches

EMPTY = {"sealed": b"", "home_account_id": "", "lease_holder": None, "lease_until": None}  # what a deletion leaves


def lose(tx: sa.Connection, tid: str, oid: str, *, holder: str, loss: Loss, why: str, now: datetime) -> None:
    """The tenant refused it for good while `holder` had its lease: `why`, a sentence for its person.

    Whoever was revoked or disabled is shut out of the pages at once, whoever found it out; of a disabled account
    nothing is kept. A sign-in that only grew old says nothing about who sits before the page.
    """
    mine = sa.and_(_of(tid, oid), token_caches.c.lease_holder == holder)
    told = tx.execute(token_caches.update().where(mine).values(lost_at=now, lost_why=why[:400])).rowcount
    if not told:
        return
    ended = 0 if loss is Loss.AGE else sessions.end_all(tx, tid, oid)
    if loss is Loss.DISABLED:
        _empty(tx, tid, oid)
    facts: dict[str, Fact] = {"why": str(loss), "sessions": ended}
    written = journal.append(tx, Kind.SIGNIN_LOST, now=now, cause="tenant", facts=facts, private={"whose": oid})
    if loss is Loss.DISABLED:
        facts = {"why": str(loss), "sessions": 0}
        private = {"whose": oid}
        journal.append(tx, Kind.SIGNIN_PURGED, now=now, cause="tenant", facts=facts, private=private, after=written)


def _empty(tx: sa.Connection, tid: str, oid: str, **more: object) -> bool:
    there = sa.and_(_of(tid, oid), token_caches.c.sealed != b"")
    values = {**EMPTY, "version": token_caches.c.version + 1, **more}
    return bool(tx.execute(token_caches.update().where(there).values(values)).rowcount)


def _of(tid: str, oid: str) -> sa.ColumnElement[bool]:
    return sa.and_(token_caches.c.tid == tid, token_caches.c.oid == oid)
