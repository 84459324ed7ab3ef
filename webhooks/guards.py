"""What is refused before any view runs: foreign host names, calls from other sites, too many tries."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from flask_babel import gettext as _
from flask_limiter import Limiter
from werkzeug.sansio.utils import host_is_trusted

from integration.deployment import Deployment
from webhooks import current
from webhooks.people import viewer
from webhooks.problems import page

REDIS_PATIENCE = timedelta(milliseconds=250)  # a page must not wait for a Redis that is away


def install(app: Flask, deployment: Deployment) -> None:
    """Call before CSRFProtect: tries that fail its check count as tries."""
    public_url = urlsplit(deployment.settings.public_url)
    ours = f"{public_url.scheme}://{public_url.netloc}"

    # Pages have one name, that of public_url. The app beside them has none: a helpdesk may call by a name of the inner
    # network, and a probe by the machine's address; those answers hold no cookie and no link.
    @app.before_request
    def one_name() -> Response | None:
        if host_is_trusted(request.host, [public_url.hostname or ""]):
            return None
        sentence = _("These pages are not served under this name.")
        return page(400, _("Wrong address"), sentence, next_step=_("Open %(address)s instead.", address=ours))

    @app.before_request
    def no_nul() -> Response | None:
        # PostgreSQL takes no NUL in text, and no address or form of ours has one.
        if "\0" in request.path or any("\0" in value for value in request.args.values()):
            sentence = _("This address holds a character that no page of ours has in its address.")
            return page(400, _("Wrong address"), sentence)
        return None

    @app.before_request
    def same_site() -> Response | None:
        """A second lock beside the CSRF token: browsers say who sends a form, and scripts cannot change it."""
        if request.method in ("GET", "HEAD", "OPTIONS") or request.blueprint == "embed":
            return None  # a helpdesk sends a form to its frame, which changes nothing
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site in ("same-origin", "none") and request.headers.get("Origin", ours) == ours:
            return None
        sentence = _("This call was started by another site, not by a button on our page. Nothing was changed.")
        step = _("Open the page and press its button.")
        return page(400, _("This did not come from our page"), sentence, next_step=step)

    _limit(app, deployment)


def _who() -> str:
    """Tries are counted per person; before sign-in, when there is none, per address."""
    who = viewer()
    return f"oid:{who.tid}:{who.oid}" if who else f"address:{request.remote_addr}"


def _limit(app: Flask, deployment: Deployment) -> None:
    most = f"{deployment.settings.posts_per_minute} per minute"
    limiter = Limiter(
        _who,
        application_limits=[most],
        # A helpdesk's frames are loaded by POST, for a whole desk from one address.
        application_limits_exempt_when=lambda: request.method != "POST" or request.blueprint == "embed",
        **_counting(deployment),
    )
    limiter.init_app(app)
    app.extensions["te-limiter"] = limiter


def limit_by_hand(app: Flask, deployment: Deployment) -> None:
    """For calls of machines: nothing is counted but what a view counts with `count_press`."""
    limiter = Limiter(_who, **_counting(deployment))
    limiter.init_app(app)
    app.extensions["te-limiter"] = limiter


@contextmanager
def count_press(whose: str) -> Iterator[None]:
    """Of somebody whom a helpdesk named, who has no session. Raises RateLimitExceeded, which is a 429."""
    limiter: Limiter = current_app.extensions["te-limiter"]
    most = f"{current.deployment().settings.posts_per_minute} per minute"
    with limiter.limit(most, key_func=lambda: whose):
        yield


def _counting(deployment: Deployment) -> dict[str, Any]:
    settings = deployment.settings
    seconds = REDIS_PATIENCE.total_seconds()
    return {
        # limits names the socket as redis-py does, Celery in its own way.
        "storage_uri": settings.redis_url.replace("redis+socket://", "redis+unix://") or "memory://",
        # redis takes fractions of a second
        "storage_options": {"socket_connect_timeout": seconds, "socket_timeout": seconds} if settings.redis_url else {},
        "in_memory_fallback_enabled": True,  # each process counts for itself until Redis is back
        "key_prefix": "te",
    }


def limit_sign_in(app: Flask, deployment: Deployment) -> None:
    """Starting sign-ins costs us a row each, and needs nobody's leave: fewer of them. Call when views are there."""
    limiter: Limiter = app.extensions["te-limiter"]
    limit = limiter.limit(f"{deployment.settings.sign_ins_per_minute} per minute")
    views: dict[str, Callable[..., Any]] = app.view_functions
    views["sign_in.start"] = limit(views["sign_in.start"])
