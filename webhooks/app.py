"""The Flask app."""

import logging
import secrets
import sys
import time
from datetime import datetime

from flask import Flask, Response, g, request
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from integration import settings
from integration.deployment import Deployment
from webhooks import (
    deliveries,
    elevate,
    guards,
    health,
    linking,
    live,
    logs,
    metrics,
    mine,
    problems,
    review,
    sign_in,
)
from webhooks.people import viewer
from webhooks.sessions import RowSessions
from workers.app import configure

log = logging.getLogger(__name__)


def create_app(deployment: Deployment | None = None) -> Flask:
    """`deployment` is given by tests; the server's processes load the settings in force."""
    if deployment is None:
        deployment = Deployment(settings.load())
        logs.install(deployment.settings.log_level)
    configure(deployment.settings.redis_url)
    # A thread that holds the database's lock must not wait 5 ms (the default) for Python's own each time it was away.
    sys.setswitchinterval(0.0005)
    app = Flask(__name__)
    app.config.update(
        DEPLOYMENT=deployment,
        SECRET_KEY=deployment.sealer.derive("pages"),
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: a page may stay open over lunch
        MAX_CONTENT_LENGTH=deliveries.LARGEST + 1,
        MAX_FORM_MEMORY_SIZE=32 * 1024,
        MAX_FORM_PARTS=50,
        BOOTSTRAP_SERVE_LOCAL=True,
    )
    if deployment.settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=deployment.settings.proxies, x_proto=1, x_host=0)  # type: ignore[method-assign]
    app.session_interface = RowSessions(deployment)
    Bootstrap5(app)
    guards.install(app, deployment)
    csrf = CSRFProtect(app)
    csrf.exempt(deliveries.blueprint)
    deliveries.install(app, deployment)
    for blueprint in (elevate, health, linking, live, metrics, mine, review, sign_in):
        app.register_blueprint(blueprint.blueprint)
    guards.limit_sign_in(app, deployment)
    problems.install(app)
    _dress(app, deployment)
    _log_calls(app)
    return app


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


def _dress(app: Flask, deployment: Deployment) -> None:
    """What every page knows, and the headers that every answer carries."""
    https = deployment.settings.public_url.startswith("https://")

    @app.context_processor
    def everywhere() -> dict[str, object]:
        if not hasattr(g, "nonce"):
            g.nonce = secrets.token_urlsafe(16)
        return {
            "nonce": g.nonce,
            "viewer": viewer(),
            "practice": deployment.settings.practice,
            "zone": deployment.settings.zone,
        }

    @app.template_filter("when")
    def when(at: datetime | None) -> str:
        return f"{at.astimezone(deployment.settings.zone):%Y-%m-%d %H:%M:%S %Z}" if at else ""

    @app.template_filter("same_day")
    def same_day(at: datetime | None, as_: datetime) -> str:
        """The time alone where it is of the day that the row already names."""
        if at is None:
            return ""
        here, there = (moment.astimezone(deployment.settings.zone) for moment in (at, as_))
        return f"{here:%H:%M:%S}" if here.date() == there.date() else when(at)

    @app.after_request
    def headers(response: Response) -> Response:
        nonce = getattr(g, "nonce", "none")
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
            "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        if not response.headers.get("Cache-Control") or response.mimetype in ("text/html", "application/json"):
            response.headers["Cache-Control"] = "no-store"
        if https:
            response.headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
        return response
