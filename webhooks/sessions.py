"""Page sessions: a random cookie, and a row keyed by its hash. Nothing readable is in the browser."""

import hashlib
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from integration.deployment import Deployment
from integration.records.tables import web_sessions
from integration.settings import Settings

SEEN_EVERY = timedelta(minutes=1)  # how exactly idleness is measured; each page need not cost a write


def purge(tx: sa.Connection, settings: Settings, now: datetime) -> None:
    """Delete the rows of sessions that have ended: nobody can open them any more."""
    idle = web_sessions.c.seen_at < now - timedelta(minutes=settings.session_idle_minutes)
    old = web_sessions.c.started_at < now - timedelta(hours=settings.session_hours)
    tx.execute(web_sessions.delete().where(sa.or_(idle, old)))


def digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


class RowSession(CallbackDict[str, Any], SessionMixin):
    def __init__(self, initial: dict[str, Any], cookie: str | None) -> None:
        super().__init__(initial, self._changed)
        self.cookie = cookie
        self.modified = False
        self.renew = False  # a new id: at sign-in, so that a planted cookie is worth nothing

    def _changed(self, _: Any) -> None:
        self.modified = True


class RowSessions(SessionInterface):
    def __init__(self, deployment: Deployment) -> None:
        self._records = deployment.records
        self._idle = timedelta(minutes=deployment.settings.session_idle_minutes)
        self._longest = timedelta(hours=deployment.settings.session_hours)
        self._secure = deployment.settings.public_url.startswith("https://")

    @property
    def cookie_name(self) -> str:
        return "__Host-te" if self._secure else "te"

    def open_session(self, app: Flask, request: Request) -> RowSession:
        cookie = request.cookies.get(self.cookie_name)
        now = datetime.now(UTC)
        if cookie:
            with self._records.read() as connection:
                row = connection.execute(
                    sa.select(web_sessions).where(
                        web_sessions.c.id == digest(cookie),
                        web_sessions.c.seen_at > now - self._idle,
                        web_sessions.c.started_at > now - self._longest,
                    )
                ).first()
            if row is not None:
                session = RowSession(json.loads(row.data), cookie)
                if now - row.seen_at > SEEN_EVERY:
                    session.modified = True
                return session
        return RowSession({}, None)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, RowSession)
        response.vary.add("Cookie")
        if not session:
            self._end(session, response)
        elif session.modified or session.renew:
            self._keep(session, response)

    def _end(self, session: RowSession, response: Response) -> None:
        if session.cookie is None:
            return
        with self._records.write() as tx:
            tx.execute(web_sessions.delete().where(web_sessions.c.id == digest(session.cookie)))
        response.delete_cookie(self.cookie_name, secure=self._secure, httponly=True, samesite="Lax", path="/")

    def _keep(self, session: RowSession, response: Response) -> None:
        now = datetime.now(UTC)
        old, new = session.cookie, session.cookie
        if old is None or session.renew:
            new = secrets.token_urlsafe(32)
        assert new is not None
        values = {
            "data": json.dumps(dict(session)),
            "tid": session.get("tid"),
            "oid": session.get("oid"),
            "seen_at": now,
        }
        with self._records.write() as tx:
            if old is not None and new != old:
                tx.execute(web_sessions.delete().where(web_sessions.c.id == digest(old)))
            same = web_sessions.c.id == digest(new)
            if not tx.execute(web_sessions.update().where(same).values(values)).rowcount:
                tx.execute(web_sessions.insert().values(id=digest(new), started_at=now, **values))
        if new != old:
            response.set_cookie(self.cookie_name, new, secure=self._secure, httponly=True, samesite="Lax", path="/")
