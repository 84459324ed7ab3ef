"""Errors are for people: RFC 9457 problem documents for machines, one plain page for browsers, an id in both."""

import logging
from http import HTTPStatus

import flask
from flask import Flask, Response, g, jsonify, render_template, request
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from ulid import ULID
from werkzeug.exceptions import HTTPException

from integration.entra.errors import EntraError, EntraUnavailable, SignInNeeded
from integration.journal import StartsStopped
from integration.records.store import AWAY
from webhooks import current
from webhooks.people import Why, to_sign_in, viewer
from webhooks.sessions import RowSession

log = logging.getLogger(__name__)
AGAIN_AFTER = 5  # seconds


def correlation_id() -> str:
    if not hasattr(g, "correlation_id"):
        g.correlation_id = str(ULID())
    return str(g.correlation_id)


def problem(status: int, detail: str) -> Response:
    """Source: RFC 9457. `type` is about:blank, so `title` is the status' own phrase."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "correlation_id": correlation_id(),
    }
    response = jsonify(document)
    response.status_code = status
    response.content_type = "application/problem+json"
    return response


def page(
    status: int,
    title: str,
    sentence: str,
    *,
    next_step: str = "",
    link: tuple[str, str] | None = None,
    alone: bool = False,
    again: bool = False,
) -> Response:
    """`alone`: without anything that is read from the database; `again`: it loads itself again."""
    body = render_template(
        "problem.html",
        title=title,
        sentence=sentence,
        next_step=next_step,
        link=link,
        alone=alone,
        again=AGAIN_AFTER if again else None,
        help_contact=current.deployment().settings.help_contact,
        correlation_id=correlation_id(),
    )
    return Response(body, status=status, mimetype="text/html")


def database_away(error: Exception) -> Response:
    log.error("database_away", extra={"correlation_id": correlation_id(), "raised": type(error).__name__})
    return away()


def away() -> Response:
    """Nothing on this page is read from the database. One that was only looked at comes back by itself."""
    again = request.method == "GET"
    step = _("This page tries again by itself.") if again else _("Go back and press the button again in a minute.")
    sentence = _("Ticket Elevate cannot reach its database. Roles that are active stay as they are, and end on time.")
    answer = page(503, _("Back in a moment"), sentence, next_step=step, alone=True, again=again)
    answer.headers["Retry-After"] = str(AGAIN_AFTER)
    return answer


def tenant_said(error: EntraError) -> str:
    """What went wrong at the tenant, for a page. A worker tries again by itself, and says so; nobody repeats a page."""
    if isinstance(error, EntraUnavailable):
        return str(_("Microsoft Entra is busy, out of order or not to be reached at the moment."))
    return str(error)


def _nothing_here() -> str:
    steps = [_("If the ticket is yours, open it in the helpdesk and press Elevate there.")]
    if who := viewer():
        steps.append(_("You are signed in as %(upn)s; if that is the wrong account, sign out first.", upn=who.upn))
    return " ".join(steps)


def install(app: Flask) -> None:
    """Call before CSRFProtect."""

    @app.errorhandler(CSRFError)
    def forged(error: CSRFError) -> Response:
        if viewer() is None and request.endpoint != "sign_in.start":
            return to_sign_in()  # an old page: its session ended, or its person signed out
        return page(
            400,
            _("This page is too old"),
            _(
                "The page you pressed a button on was opened before you signed in, or too long ago. "
                "Nothing was changed."
            ),
            next_step=_("Go back, reload the page and press the button again."),
        )

    @app.errorhandler(StartsStopped)
    def nothing_starts(error: StartsStopped) -> Response:
        return page(503, _("No role can be started now"), str(error))

    @app.before_request
    def knows_who_it_is() -> Response | None:
        """Before any page, and before the check of a form's token, which would call it forged."""
        session = flask.session._get_current_object()  # type: ignore[attr-defined]
        return away() if isinstance(session, RowSession) and session.unknown else None

    for each in AWAY:
        app.register_error_handler(each, database_away)

    @app.errorhandler(HTTPException)
    def known(error: HTTPException) -> Response:
        code = error.code or 500
        words = {
            404: _("There is nothing here for you. The link may be wrong, or it belongs to another technician."),
            405: _("This address does not take that kind of call."),
            413: _("That is larger than this page takes. Nothing was changed. A rules file may have 256 KiB."),
        }
        sentence = words.get(code, HTTPStatus(code).phrase + ".")
        next_step = _nothing_here() if code == 404 else ""
        title = _("Nothing here") if code == 404 else HTTPStatus(code).phrase
        return page(code, title, sentence, next_step=next_step)

    @app.errorhandler(SignInNeeded)
    def sign_in_needed(error: SignInNeeded) -> Response:
        return to_sign_in(Why.TOKEN)

    @app.errorhandler(EntraError)
    def tenant(error: EntraError) -> Response:
        looked = request.method == "GET"
        step = _("Reload this page in a minute.") if looked else _("Go back and press the button again in a minute.")
        return page(502, _("Entra did not answer"), tenant_said(error), next_step=step)

    @app.errorhandler(429)
    def too_many(error: HTTPException) -> Response:
        sentence = _("That was too many tries in a short time. Nothing was changed.")
        answer = page(429, _("Too many tries"), sentence, next_step=_("Wait a minute and try again."))
        answer.headers["Retry-After"] = "60"
        return answer

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:  # the one place where a request's surprises end
        log.exception("request_failed", extra={"correlation_id": correlation_id()})
        sentence = _("Something went wrong on our side, and it is written down with the number below.")
        pressed = request.method != "GET"
        step = _("Look at the page again before you press once more: what you pressed may have been done.")
        return page(500, _("Something went wrong"), sentence, next_step=step if pressed else "")
