"""Who is looking at a page, and what they may see."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any

from flask import abort, render_template, request, session


class AppRole(StrEnum):
    """App roles of our registration in Entra, from the validated ID token."""

    AUDITOR = "Auditor"
    ADMINISTRATOR = "Administrator"


@dataclass(frozen=True)
class Viewer:
    tid: str
    oid: str
    name: str
    upn: str
    roles: frozenset[str]

    @property
    def reviews(self) -> bool:
        return bool(self.roles & {AppRole.AUDITOR, AppRole.ADMINISTRATOR})


def viewer() -> Viewer | None:
    if "oid" not in session:
        return None
    return Viewer(session["tid"], session["oid"], session["name"], session["upn"], frozenset(session["roles"]))


def signed_in(view: Callable[..., Any]) -> Callable[..., Any]:
    """The page is for people who signed in; everybody else gets the sign-in page, and comes back to this one."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        who = viewer()
        if who is None:
            return _to_sign_in()
        return view(*args, viewer=who, **kwargs)

    return guarded


def reviewer(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        who = viewer()
        if who is None:
            return _to_sign_in()
        if not who.reviews:
            abort(404)
        return view(*args, viewer=who, **kwargs)

    return guarded


def _to_sign_in() -> tuple[str, int]:
    """The sign-in page in place of the one that was asked for; its form carries where to go afterwards."""
    back_to = request.path if request.method == "GET" else "/"
    return render_template("sign_in.html", back_to=back_to), 401
