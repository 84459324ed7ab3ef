"""Who is looking at a page, and what they may see."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import wraps
from typing import Any

from flask import Response, abort, current_app, render_template, request, session

from integration.records import sessions
from webhooks import current
from webhooks.sessions import RowSession


class AppRole(StrEnum):
    """App roles of our registration in Entra, from the validated ID token."""

    AUDITOR = "Auditor"
    ADMINISTRATOR = "Administrator"
    BREAK_GLASS = "BreakGlass"


@dataclass(frozen=True)
class Viewer:
    tid: str
    oid: str
    name: str
    upn: str
    roles: frozenset[str]
    signed_in_at: datetime | None  # when they last proved who they are; None where their tenant does not say

    @property
    def reviews(self) -> bool:
        return bool(self.roles & {AppRole.AUDITOR, AppRole.ADMINISTRATOR})

    @property
    def administers(self) -> bool:
        return AppRole.ADMINISTRATOR in self.roles


def viewer() -> Viewer | None:
    if "oid" not in session:
        return None
    return Viewer(
        session["tid"],
        session["oid"],
        session["name"],
        session["upn"],
        frozenset(session["roles"]),
        datetime.fromisoformat(session["signed_in_at"]) if session["signed_in_at"] else None,
    )


def signed_in(view: Callable[..., Any]) -> Callable[..., Any]:
    """The page is for people who signed in; everybody else gets the sign-in page, and comes back to this one."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        who = viewer()
        return to_sign_in() if who is None else view(*args, viewer=who, **kwargs)

    return guarded


def reviewer(view: Callable[..., Any]) -> Callable[..., Any]:
    """As `signed_in`, and for those who review; to everybody else the page is not there."""

    @signed_in
    @wraps(view)
    def guarded(*args: Any, viewer: Viewer, **kwargs: Any) -> Any:
        if not viewer.reviews:
            abort(404)
        return view(*args, viewer=viewer, **kwargs)

    return guarded


def administrator(view: Callable[..., Any]) -> Callable[..., Any]:
    """As `reviewer`, for those who administer."""

    @signed_in
    @wraps(view)
    def guarded(*args: Any, viewer: Viewer, **kwargs: Any) -> Any:
        if not viewer.administers:
            abort(404)
        return view(*args, viewer=viewer, **kwargs)

    return guarded


class Why(StrEnum):
    """What the sign-in page says it is there for."""

    STRANGER = "stranger"  # nobody is signed in
    TOKEN = "token"  # noqa: S105  # they are, but the tenant wants a sign-in before anything is done in their name
    LINK = "link"  # they are, and the elevation that waits is not known to be theirs
    FRESH = "fresh"  # they are, for too long for what they want to do


# What a reviewer filters by: it comes back with them from a sign-in. Nothing in it leads anywhere.
FILTER = r"[A-Za-z0-9_.~%+=&*-]{1,350}"


def _here() -> str:
    """The page that was asked for; of a button, the page that it stands on."""
    path = request.path
    if path.endswith(".csv") or not current_app.url_map.bind("").test(path, method="GET"):
        path = path.rpartition("/")[0]
    query = request.query_string.decode("ascii", "replace")
    return f"{path}?{query}" if request.blueprint in ("review", "roles") and re.fullmatch(FILTER, query) else path


def to_sign_in(why: Why = Why.STRANGER) -> Response:
    """The sign-in page in place of the one that was asked for; its form carries where to go afterwards."""
    if why is Why.TOKEN and _was_cut_off():
        session.clear()  # or the form would carry the token of a session that is gone, and be taken for forged
    body = render_template("sign_in.html", back_to=_here(), why=why)
    return Response(body, 401, mimetype="text/html")


def _was_cut_off() -> bool:
    """Whether this very call found out that its person was revoked, so that their sessions ended with it."""
    mine = session._get_current_object()  # type: ignore[attr-defined]
    if not isinstance(mine, RowSession) or mine.cookie is None:
        return False
    deployment = current.deployment()
    with deployment.records.read() as connection:
        return sessions.session(connection, mine.cookie, sessions.alive(deployment.settings, datetime.now(UTC))) is None
