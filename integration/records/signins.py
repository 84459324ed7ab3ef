"""How stored sign-ins are: which the tenant still takes, which are about to end, which it refused for good.

What is sealed in a row is no business of this file: it reads times, and empties rows.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from integration.elevation import OPEN, OPEN_ACTIVATION
from integration.entra.errors import Loss
from integration.journal import Fact, Kind
from integration.records import journal, sessions
from integration.records.sessions import Alive
from integration.records.tables import activations, elevations, links, token_caches, web_sessions

EMPTY = {"sealed": b"", "home_account_id": "", "lease_holder": None, "lease_until": None}  # what a deletion leaves
# Of a refresh token that nobody uses. Source: learn.microsoft.com/entra/identity-platform/refresh-tokens.
LIFE = timedelta(days=90)
NEAR = timedelta(days=10)  # before its end, when its person is told
OFTEN, RARELY = timedelta(minutes=5), timedelta(days=1)  # between two looks at one that is in use, or is not
UNUSED = "Microsoft has not accepted it for 90 days."
_KEPT = token_caches.c.home_account_id != ""  # it stands before the large column in the row
_COLUMNS = [
    token_caches.c[name] for name in ("tid", "oid", "signed_in_at", "renewed_at", "lost_at", "lost_why", "checked_at")
]


class Health(StrEnum):
    WORKS = "works"
    ENDING = "ending"
    LOST = "lost"


@dataclass(frozen=True)
class Kept:
    """A stored sign-in, or what is known of one that the tenant refused for good."""

    tid: str
    oid: str
    signed_in_at: datetime
    renewed_at: datetime | None
    lost_at: datetime | None
    lost_why: str | None
    checked_at: datetime | None

    @property
    def used_at(self) -> datetime:
        """When the tenant last took it."""
        return max(self.signed_in_at, self.renewed_at or self.signed_in_at)

    @property
    def ends_at(self) -> datetime:
        return self.used_at + LIFE

    def health(self, now: datetime) -> Health:
        if self.lost_at is not None or now >= self.ends_at:
            return Health.LOST
        return Health.WORKS if now < self.ends_at - NEAR else Health.ENDING

    @property
    def ended_at(self) -> datetime:
        """Of one that is lost."""
        return self.lost_at or self.ends_at

    @property
    def why(self) -> str:
        """Of one that is lost, in a sentence."""
        return self.lost_why or UNUSED


@dataclass(frozen=True)
class Person:
    """By which words an administrator may know whose a sign-in is."""

    name: str = ""
    addresses: frozenset[str] = frozenset()  # lower case


def of(connection: sa.Connection, tid: str, oid: str) -> Kept | None:
    """None where this person never signed in, or it was deleted."""
    row = connection.execute(sa.select(*_COLUMNS).where(_of(tid, oid), _known())).first()
    return None if row is None else Kept(**row._mapping)


def everybodys(connection: sa.Connection) -> list[Kept]:
    """The latest sign-in first."""
    rows = connection.execute(sa.select(*_COLUMNS).where(_known()).order_by(token_caches.c.signed_in_at.desc()))
    return [Kept(**row._mapping) for row in rows]


def counts(connection: sa.Connection, *, now: datetime) -> Mapping[Health, int]:
    found = [it.health(now) for it in everybodys(connection)]
    return {health: found.count(health) for health in Health}


def due(connection: sa.Connection, alive: Alive, *, now: datetime, limit: int) -> list[Kept]:
    """Which to look at now: those in use before all others, and then who was looked at longest ago."""
    soon = sa.and_(_in_use(alive), _not_since(now - OFTEN))
    query = sa.select(*_COLUMNS).where(_KEPT, token_caches.c.lost_at.is_(None), sa.or_(soon, _not_since(now - RARELY)))
    oldest = sa.func.coalesce(token_caches.c.checked_at, token_caches.c.signed_in_at)
    rows = connection.execute(query.order_by(sa.case((soon, 0), else_=1), oldest).limit(limit))
    return [Kept(**row._mapping) for row in rows]


def claim(tx: sa.Connection, it: Kept, *, now: datetime) -> bool:
    """Whether it is ours to look at: of two who listed it, one comes first."""
    as_seen = token_caches.c.checked_at.is_not_distinct_from(it.checked_at)
    where = sa.and_(_of(it.tid, it.oid), as_seen)
    return bool(tx.execute(token_caches.update().where(where).values(checked_at=now)).rowcount)


def works(tx: sa.Connection, it: Kept, *, now: datetime) -> None:
    """The tenant took it."""
    where = sa.and_(_of(it.tid, it.oid), _KEPT, token_caches.c.lost_at.is_(None))
    tx.execute(token_caches.update().where(where).values(renewed_at=now))


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


def purge(
    tx: sa.Connection, tid: str, oid: str, *, now: datetime, cause: str = "cli", actor: str | None = None
) -> bool:
    """Delete it and end the person's page sessions, on an administrator's word. False where no sign-in was kept.

    `actor` is the administrator's oid; at the command line nobody is signed in.
    """
    deleted = _empty(tx, tid, oid)
    tx.execute(token_caches.update().where(_of(tid, oid)).values(lost_at=None, lost_why=None))
    ended = sessions.end_all(tx, tid, oid)
    if deleted or ended:
        facts: dict[str, Fact] = {"why": "purged", "sessions": ended}
        private = {"whose": oid, "actor": actor}
        journal.append(tx, Kind.SIGNIN_PURGED, now=now, cause=cause, facts=facts, private=private)
    return deleted


def forget(tx: sa.Connection, tid: str, oid: str, *, now: datetime) -> None:
    """Delete it on the word of its own person, whose page sessions go on."""
    none = dict.fromkeys(("answered", "renewed_at", "lost_at", "lost_why"))
    deleted = _empty(tx, tid, oid)
    tx.execute(token_caches.update().where(_of(tid, oid)).values(none))
    if deleted:
        facts: dict[str, Fact] = {"why": "forgotten", "sessions": 0}
        journal.append(tx, Kind.SIGNIN_PURGED, now=now, cause="click", facts=facts, private={"whose": oid})


def people(connection: sa.Connection) -> Mapping[tuple[str, str], Person]:
    """Who has a page session or a link, by (tid, oid): a stored sign-in itself holds its name under seal."""
    names: dict[tuple[str, str], str] = {}
    addresses: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in connection.execute(sa.select(web_sessions.c.tid, web_sessions.c.oid, web_sessions.c.data)):
        data = json.loads(row.data)
        names[row.tid, row.oid] = str(data.get("name", ""))
        addresses[row.tid, row.oid].add(str(data.get("upn", "")).casefold())
    for row in connection.execute(sa.select(links)):
        names[row.tid, row.oid] = row.technician
        addresses[row.tid, row.oid].add(row.address.casefold())
    return {who: Person(name, frozenset(addresses[who] - {""})) for who, name in names.items()}


def roles_left_alone(connection: sa.Connection, tid: str, oid: str) -> int:
    """How many roles of this person could not be given back early without their sign-in."""
    open_ones = sa.and_(activations.c.state.in_(OPEN_ACTIVATION), activations.c.by_hand.is_(False))
    whose = sa.and_(activations.c.tid == tid, activations.c.oid == oid)
    return connection.execute(sa.select(sa.func.count()).select_from(activations).where(whose, open_ones)).scalar_one()


def _empty(tx: sa.Connection, tid: str, oid: str) -> bool:
    values = {**EMPTY, "version": token_caches.c.version + 1}
    return bool(tx.execute(token_caches.update().where(_of(tid, oid), _KEPT).values(values)).rowcount)


def _in_use(alive: Alive) -> sa.ColumnElement[bool]:
    """Whether its person has a page open, or a role or ticket under way."""
    seen = sa.and_(web_sessions.c.seen_at > alive.seen_since, web_sessions.c.started_at > alive.started_since)
    going_on: list[tuple[sa.Table, sa.ColumnElement[bool]]] = [
        (web_sessions, seen),
        (elevations, elevations.c.state.in_(OPEN)),
        (activations, activations.c.state.in_(OPEN_ACTIVATION)),
    ]
    theirs = (sa.and_(it.c.tid == token_caches.c.tid, it.c.oid == token_caches.c.oid, on) for it, on in going_on)
    return sa.or_(*(sa.exists().where(each) for each in theirs))


def _not_since(at: datetime) -> sa.ColumnElement[bool]:
    looked = sa.or_(token_caches.c.checked_at.is_(None), token_caches.c.checked_at <= at)
    return sa.and_(looked, token_caches.c.signed_in_at <= at)


def _known() -> sa.ColumnElement[bool]:
    return sa.or_(_KEPT, token_caches.c.lost_at.is_not(None))


def _of(tid: str, oid: str) -> sa.ColumnElement[bool]:
    return sa.and_(token_caches.c.tid == tid, token_caches.c.oid == oid)
