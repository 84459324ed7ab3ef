"""Sessions of the pages, and sign-ins on their way: each row's id is the SHA-256 of what only the browser holds."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from integration.records.tables import sign_in_flows, web_sessions
from integration.settings import Settings


@dataclass(frozen=True)
class Alive:
    """A session is over when it was last seen, or was started, before these."""

    seen_since: datetime
    started_since: datetime


@dataclass(frozen=True)
class Flow:
    """A sign-in on its way. `id` is what its secrets are sealed to."""

    id: str
    sealed: bytes
    back_to: str


def alive(settings: Settings, now: datetime) -> Alive:
    return Alive(now - timedelta(minutes=settings.session_idle_minutes), now - timedelta(hours=settings.session_hours))


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def session(connection: sa.Connection, cookie: str, alive: Alive) -> tuple[str, datetime] | None:
    """(data, when it was last seen) of this cookie's session."""
    row = connection.execute(
        sa.select(web_sessions.c.data, web_sessions.c.seen_at).where(
            web_sessions.c.id == digest(cookie),
            web_sessions.c.seen_at > alive.seen_since,
            web_sessions.c.started_at > alive.started_since,
        )
    ).first()
    return None if row is None else (row.data, row.seen_at)


def user_of(connection: sa.Connection, row_id: str, alive: Alive) -> tuple[str, str] | None:
    """(tid, oid) of the session with this id, which is no secret: only its cookie opens it."""
    row = connection.execute(
        sa.select(web_sessions.c.tid, web_sessions.c.oid).where(
            web_sessions.c.id == row_id,
            web_sessions.c.seen_at > alive.seen_since,
            web_sessions.c.started_at > alive.started_since,
        )
    ).first()
    return None if row is None else (row.tid, row.oid)


def start_session(tx: sa.Connection, cookie: str, data: str, *, tid: str, oid: str, now: datetime) -> None:
    row = {"id": digest(cookie), "data": data, "tid": tid, "oid": oid, "started_at": now, "seen_at": now}
    tx.execute(web_sessions.insert().values(row))


def update_session(tx: sa.Connection, cookie: str, data: str, *, now: datetime) -> None:
    """Does nothing where it was ended meanwhile, in another tab or by an administrator."""
    tx.execute(web_sessions.update().where(web_sessions.c.id == digest(cookie)).values(data=data, seen_at=now))


def end_session(tx: sa.Connection, cookie: str) -> None:
    tx.execute(web_sessions.delete().where(web_sessions.c.id == digest(cookie)))


def end_all(tx: sa.Connection, tid: str, oid: str) -> int:
    """End every session of this person, and say how many there were."""
    mine = sa.and_(web_sessions.c.tid == tid, web_sessions.c.oid == oid)
    return tx.execute(web_sessions.delete().where(mine)).rowcount


def start_flow(
    tx: sa.Connection, state: str, browser: str, *, sealed: bytes, back_to: str, expires_at: datetime
) -> None:
    """`browser` is the cookie of the browser that may finish what `state` names."""
    row = {"id": digest(state), "browser": digest(browser), "sealed": sealed, "back_to": back_to}
    tx.execute(sign_in_flows.insert().values(**row, expires_at=expires_at))


def take_flow(tx: sa.Connection, state: str, browser: str, *, now: datetime) -> Flow | None:
    """The flow of this state and this browser, once."""
    mine = sa.and_(
        sign_in_flows.c.id == digest(state),
        sign_in_flows.c.browser == digest(browser),
        sign_in_flows.c.expires_at > now,
    )
    found = sign_in_flows.delete().where(mine)
    row = tx.execute(found.returning(sign_in_flows.c.id, sign_in_flows.c.sealed, sign_in_flows.c.back_to)).first()
    return None if row is None else Flow(row.id, row.sealed, row.back_to)


def purge(tx: sa.Connection, alive: Alive, *, now: datetime) -> None:
    """Delete what nobody can use any more."""
    idle, old = web_sessions.c.seen_at <= alive.seen_since, web_sessions.c.started_at <= alive.started_since
    tx.execute(web_sessions.delete().where(sa.or_(idle, old)))
    tx.execute(sign_in_flows.delete().where(sign_in_flows.c.expires_at <= now))
