"""Page sessions: a random cookie, and a row keyed by its hash. Nothing readable is in the browser.

A visitor who has not signed in has no row, so that whoever only looks at pages costs the database nothing. Their cookie
holds the random number that the sign-in form must match, signed by us.
"""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Request, Response, request
from flask.sessions import SessionInterface, SessionMixin
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.datastructures import CallbackDict

from integration.deployment import Deployment
from integration.records import sessions
from integration.records.sessions import alive
from integration.records.store import AWAY

FORM_TOKEN = "csrf_token"  # noqa: S105  # the name under which Flask-WTF keeps it
BY_ITSELF = "by-itself"  # in the query of an address that a page reloads without a script
TYPED = "typed"  # in a session: what its person typed before they had to sign in again
ARRIVED = "arrived_at"  # in a session: when its person came back from Microsoft, until a page of ours is shown
EMBEDDED = "/embed/"  # where the addresses of pages begin that stand within a helpdesk's own
SEEN_EVERY = timedelta(minutes=1)  # how exactly idleness is measured; each page need not cost a write


def _by_itself() -> bool:
    """Whether an open page made this call, and nobody is known to sit before it."""
    return request.endpoint in ("live.status", "mine.status", "roles.status") or BY_ITSELF in request.args


class RowSession(CallbackDict[str, Any], SessionMixin):
    def __init__(self, initial: dict[str, Any], cookie: str | None) -> None:
        super().__init__(initial, self._changed)
        self.cookie = cookie
        self.modified = False
        self.seen = True  # and that is written down already
        self.renew = False  # a new id: at sign-in, so that a planted cookie is worth nothing
        self.unknown = False  # the database is away: whose it is cannot be told, and nothing may be changed about it

    def _changed(self, _: Any) -> None:
        self.modified = True


class RowSessions(SessionInterface):
    def __init__(self, deployment: Deployment) -> None:
        self._records = deployment.records
        self._settings = deployment.settings
        self._secure = deployment.settings.public_url.startswith("https://")
        self._visitors = URLSafeSerializer(deployment.sealer.derive("visitors"))

    @property
    def cookie_name(self) -> str:
        return "__Host-te" if self._secure else "te"

    def open_session(self, app: Flask, request: Request) -> RowSession | None:
        if request.path.startswith(EMBEDDED):
            return None  # a page within another's frame neither reads nor gets a cookie
        cookie = request.cookies.get(self.cookie_name)
        if not cookie:
            return RowSession({}, None)
        return self._visitor(cookie) if "." in cookie else self._stored(cookie)

    def _visitor(self, cookie: str) -> RowSession:
        try:
            return RowSession({FORM_TOKEN: self._visitors.loads(cookie)}, None)
        except BadSignature:
            return RowSession({}, None)

    def _stored(self, cookie: str) -> RowSession:
        now = datetime.now(UTC)
        try:
            with self._records.read() as connection:
                found = sessions.session(connection, cookie, alive(self._settings, now))
        except AWAY:
            session = RowSession({}, cookie)
            session.unknown = True
            return session
        if found is None:
            return RowSession({}, None)
        data, seen_at = found
        session = RowSession(json.loads(data), cookie)
        session.seen = now - seen_at <= SEEN_EVERY
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, RowSession)
        response.vary.add("Cookie")
        if session.unknown:
            return
        if not session:
            self._end(session, response)
        elif not session.modified and (session.seen or _by_itself()):
            return
        elif "oid" in session:
            self._keep(session, response)
        else:
            self._set(response, self._visitors.dumps(session[FORM_TOKEN]))

    def _end(self, session: RowSession, response: Response) -> None:
        if session.cookie is None:
            return
        with self._records.write() as tx:
            sessions.end_session(tx, session.cookie)
        response.delete_cookie(self.cookie_name, secure=self._secure, httponly=True, samesite="Lax", path="/")

    def _keep(self, session: RowSession, response: Response) -> None:
        now, data, old = datetime.now(UTC), json.dumps(dict(session)), session.cookie
        with self._records.write() as tx:
            if old is not None and not session.renew:
                sessions.update_session(tx, old, data, now=now)
                return
            if old is not None:
                sessions.end_session(tx, old)
            fresh = secrets.token_urlsafe(32)  # no dot in it: that is how a visitor's cookie is told apart
            sessions.start_session(tx, fresh, data, tid=session["tid"], oid=session["oid"], now=now)
        self._set(response, fresh)

    def _set(self, response: Response, cookie: str) -> None:
        response.set_cookie(self.cookie_name, cookie, secure=self._secure, httponly=True, samesite="Lax", path="/")
