"""Errors are for people: RFC 9457 problem documents for machines, one plain page for browsers, an id in both."""

import logging
from http import HTTPStatus

from flask import Flask, Response, g, jsonify, render_template
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from ulid import ULID
from werkzeug.exceptions import HTTPException

from integration.entra.errors import EntraError, SignInNeeded
from integration.journal import StartsStopped
from webhooks import current
from webhooks.people import Why, to_sign_in

log = logging.getLogger(__name__)


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
    status: int, title: str, sentence: str, *, next_step: str = "", link: tuple[str, str] | None = None
) -> Response:
    body = render_template(
        "problem.html",
        title=title,
        sentence=sentence,
        next_step=next_step,
        link=link,
        help_contact=current.deployment().settings.help_contact,
        correlation_id=correlation_id(),
    )
    return Response(body, status=status, mimetype="text/html")


def install(app: Flask) -> None:
    @app.errorhandler(CSRFError)
    def forged(error: CSRFError) -> Response:
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

    @app.errorhandler(HTTPException)
    def known(error: HTTPException) -> Response:
        code = error.code or 500
        words = {
            404: _("There is nothing here for you. The link may be wrong, or it belongs to another technician."),
            405: _("This address does not take that kind of call."),
            413: _("That is larger than this page takes. Nothing was changed. A rules file may have 256 KiB."),
        }
        sentence = words.get(code, HTTPStatus(code).phrase + ".")
        next_step = _("If the ticket is yours, open it in the helpdesk and press Elevate there.") if code == 404 else ""
        title = _("Nothing here") if code == 404 else HTTPStatus(code).phrase
        return page(code, title, sentence, next_step=next_step)

    @app.errorhandler(SignInNeeded)
    def sign_in_needed(error: SignInNeeded) -> Response:
        return to_sign_in(Why.TOKEN)

    @app.errorhandler(EntraError)
    def tenant(error: EntraError) -> Response:
        return page(502, _("Entra did not answer"), str(error), next_step=_("Reload this page in a minute."))

    @app.errorhandler(429)
    def too_many(error: HTTPException) -> Response:
        sentence = _("That was too many tries in a short time. Nothing was changed.")
        answer = page(429, _("Too many tries"), sentence, next_step=_("Wait a minute and try again."))
        answer.headers["Retry-After"] = "60"
        return answer

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:  # the one place where a request's surprises end
        log.exception("request_failed", extra={"correlation_id": correlation_id()})
        sentence = _(
            "Something went wrong on our side. Nothing you did is lost; it will be tried again where it can be."
        )
        return page(500, _("Something went wrong"), sentence)
