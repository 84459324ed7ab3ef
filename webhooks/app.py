"""The web server's app: pages for people, and beside them the apps that answer machines."""

import hashlib
import logging
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request
from flask_bootstrap import Bootstrap5
from flask_compress import Compress
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from integration import logs, settings
from integration.deployment import Deployment
from integration.records import review as reviewed
from integration.rule import in_words
from webhooks import (
    approvals,
    break_glass,
    current,
    elevate,
    embed,
    guards,
    language,
    linking,
    live,
    machines,
    mine,
    problems,
    review,
    roles,
    sign_in,
    trying,
)
from webhooks.people import viewer
from webhooks.sessions import RowSessions
from workers.app import configure

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)
LARGEST_FORM = 32 * 1024  # bytes
STATIC = ("static", "bootstrap.static")
NOBODY = "'none'"  # in a content security policy
MACHINES = "ticket_elevate_machines"  # where the pages' app keeps the others


def create_app(deployment: Deployment | None = None) -> Flask:
    """`deployment` is given by tests; the server's processes load the settings in force."""
    if deployment is None:
        deployment = Deployment(settings.load())
        logs.install(deployment.settings.log_level)
    configure(deployment.settings.redis_url)
    # A thread that holds the database's lock must not wait 5 ms (the default) for Python's own each time it was away.
    sys.setswitchinterval(0.0005)
    app, for_machines = _pages(deployment), machines.create(deployment)
    app.extensions[MACHINES] = tuple(for_machines.values())
    always = _always(deployment)
    _protect(app, always)
    for each in (app, *for_machines.values()):
        _log_calls(each)
    bare = {addresses: _without_pages(each.wsgi_app, always) for addresses, each in for_machines.items()}
    app.wsgi_app = _joined(app.wsgi_app, bare)  # type: ignore[assignment,method-assign]
    if deployment.settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=deployment.settings.proxies, x_proto=1, x_host=0)  # type: ignore[method-assign]
    return app


def _joined(pages: "WSGIApplication", for_machines: "Mapping[tuple[str, ...], WSGIApplication]") -> "WSGIApplication":
    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        chosen = next((app for begin, app in for_machines.items() if path.startswith(begin)), pages)
        return chosen(environ, start_response)

    return answer


def _pages(deployment: Deployment) -> Flask:
    app = Flask(__name__)
    app.config.update(
        DEPLOYMENT=deployment,
        SECRET_KEY=deployment.sealer.derive("pages"),
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: a page may stay open over lunch
        MAX_CONTENT_LENGTH=LARGEST_FORM,
        MAX_FORM_MEMORY_SIZE=LARGEST_FORM,
        MAX_FORM_PARTS=50,
        BOOTSTRAP_SERVE_LOCAL=True,
        # Files alone: a page holds secrets of its session beside what others can have it say (the BREACH attack).
        COMPRESS_MIMETYPES=["text/css", "text/javascript", "image/svg+xml"],
    )
    app.session_interface = RowSessions(deployment)
    Bootstrap5(app)
    Compress(app)
    _name_files_by_content(app)
    language.install(app, deployment)
    problems.install(app)
    guards.install(app, deployment)
    CSRFProtect(app).exempt(embed.blueprint)
    for blueprint in (approvals, break_glass, elevate, embed, linking, live, mine, review, roles, sign_in, trying):
        app.register_blueprint(blueprint.blueprint)
    guards.limit_sign_in(app, deployment)
    _dress(app, deployment)
    return app


def _name_files_by_content(app: Flask) -> None:
    """An address whose content never changes: browsers need not ask for a file again before it did."""

    @cache
    def digest(folder: str, name: str) -> str:
        return hashlib.sha256(Path(folder, name).read_bytes()).hexdigest()[:12]

    @app.url_defaults
    def with_digest(endpoint: str, values: dict[str, object]) -> None:
        if endpoint not in STATIC or "v" in values:
            return
        owner = app.blueprints.get(endpoint.rpartition(".")[0], app)
        values["v"] = digest(str(owner.static_folder), str(values["filename"]))

    @app.after_request
    def read_whole(response: Response) -> Response:
        """They are small; what is streamed could only be compressed in ways that leave the file open."""
        if request.endpoint in STATIC and response.is_streamed:
            response.direct_passthrough = False
            response.make_sequence()
        return response


def _log_calls(app: Flask) -> None:
    """One line for each call but a taken delivery, which has its row: the rule of the address, never the address."""

    @app.before_request
    def started() -> None:
        g.started = time.monotonic()

    @app.after_request
    def answered(response: Response) -> Response:
        if response.status_code < 400 and request.endpoint in ("deliveries.receive", "static", "health.alive"):
            return response
        said = {
            "method": request.method,
            "rule": request.url_rule.rule if request.url_rule else "none",
            "status": response.status_code,
            "seconds": round(time.monotonic() - getattr(g, "started", time.monotonic()), 4),
            "correlation_id": problems.correlation_id(),
        }
        log.info("answered", extra=said)
        return response


def _unreviewed() -> int:
    with current.deployment().records.read() as connection:
        return reviewed.unreviewed(connection)


def _dress(app: Flask, deployment: Deployment) -> None:
    """What every page knows."""

    @app.context_processor
    def everywhere() -> dict[str, object]:
        if not hasattr(g, "nonce"):
            g.nonce = secrets.token_urlsafe(16)
        return {
            "nonce": g.nonce,
            "viewer": viewer(),
            "may_break_glass": break_glass.may,
            "unreviewed": _unreviewed,
            "practice": deployment.settings.practice,
            "zone": deployment.settings.zone,
        }

    app.add_template_filter(in_words, "in_words")


def _always(deployment: Deployment) -> dict[str, str]:
    """Headers that every answer carries."""
    always = {
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    }
    if deployment.settings.public_url.startswith("https://"):
        always["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return always


def _protect(app: Flask, always: dict[str, str]) -> None:
    @app.after_request
    def headers(response: Response) -> Response:
        nonce, framed_by = getattr(g, "nonce", "none"), " ".join(embed.framed_by())
        response.headers.extend(always)
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
            "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
            f"frame-ancestors {framed_by or NOBODY}"
        )
        if not framed_by:
            response.headers["X-Frame-Options"] = "DENY"
        response.headers["Cross-Origin-Opener-Policy"] = embed.opener_policy(response.status_code)
        response.headers.setdefault("Referrer-Policy", "same-origin")
        if request.endpoint in STATIC and "v" in request.args and response.status_code == 200:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        elif not response.headers.get("Cache-Control") or response.mimetype in ("text/html", "application/json"):
            response.headers["Cache-Control"] = "no-store"
        return response


def _without_pages(app: "WSGIApplication", always: dict[str, str]) -> "WSGIApplication":
    """`app`, with the headers of what shows nothing. Below Flask, which takes ten times as long to add them."""
    same = {
        **always,
        "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    headers = list(same.items())

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, given: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            return start_response(status, given + headers, *error)

        return app(environ, start)

    return answer
