"""The page that stands within a helpdesk's own: a link to ours, and how the elevation stands. Nothing on it acts.

Browsers give a frame no cookie of ours, and we set none there. What shows whose status it may show is a token: our own
page hands it to the frame that opened it (handover.js), or the helpdesk signs who looks (ProvesPresser). It reads the
status of its person's own elevations in one connection, and nothing else; it is kept by the frame, and never in an
address.
"""

import hashlib
import logging
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, abort, g, make_response, render_template, request, session
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as AnyResponse

from integration.elevation import LABELS, OPEN
from integration.records import elevations, people, sessions
from integration.records.elevations import Account, User
from integration.tickets import HelpdeskError, HelpdeskUnavailable, ProvesPresser, SignatureRefused
from webhooks import current
from webhooks.sessions import ARRIVED, RowSession

log = logging.getLogger(__name__)
blueprint = Blueprint("embed", __name__)
# The pages that a person may come through in the window that the frame opened.
IN_POP_UP = ("elevate", "linking", "live", "sign_in")
JUST_NOW = timedelta(minutes=1)
PROVEN_FOR = timedelta(hours=1)  # for which a helpdesk's word on who looks counts: nothing of ours ends it
CLOCKS_APART = timedelta(seconds=30)  # of several web machines
ANY_TICKET = "1"  # for the address of the helpdesk, where its frame does not say which ticket it shows


def framed_by() -> tuple[str, ...]:
    """The origins that may frame the answer to this call."""
    found: tuple[str, ...] = g.get("framed_by", ())
    return found


def opener_policy(status: int) -> str:
    """The Cross-Origin-Opener-Policy of the answer to this call, which has this HTTP status.

    The window that the frame opens must stay known to it, so that the token can be handed over. That is so only where
    the browser says that a page of ours led there, or that its person comes back from Microsoft just now: a window that
    another site opened knows us no longer.
    """
    if framed_by():
        return "same-origin-allow-popups"  # in a frame it counts for nothing; somebody may open the page by itself
    if request.endpoint == "sign_in.callback":
        return "unsafe-none" if ARRIVED in session else "same-origin"
    arrived = _arrived(shown=status < 300 or status >= 400)
    led_by_us = arrived or request.headers.get("Sec-Fetch-Site") == "same-origin"
    return "unsafe-none" if led_by_us and request.blueprint in IN_POP_UP else "same-origin"


def _arrived(*, shown: bool) -> bool:
    """Whether this is the way to the page that somebody comes to from Microsoft, just now. The page that is `shown`
    ends it: it must not count for one that is opened later. What another tab asks for meanwhile does not.
    """
    led, sort = request.headers.get("Sec-Fetch-Site"), request.headers.get("Sec-Fetch-Dest", "document")
    if ARRIVED not in session or sort != "document" or request.blueprint is None:
        return False
    at = datetime.fromisoformat(session[ARRIVED])
    if shown and led not in ("none", "same-origin"):  # which no way from Microsoft is
        session.pop(ARRIVED)
    return -CLOCKS_APART <= datetime.now(UTC) - at < JUST_NOW


@blueprint.get("/embed/<connection>/<ticket>")
def show(connection: str, ticket: str) -> str:
    return _frame(connection, ticket)


@blueprint.post("/embed/<connection>")
def signed(connection: str) -> str:
    """As `show`, loaded by a helpdesk that signs who looks. Who cannot be proven sees what everybody sees."""
    helpdesk = current.deployment().helpdesks.get(connection)
    if not isinstance(helpdesk, ProvesPresser):
        abort(404)
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        presser = helpdesk.presser(headers, request.form, now=datetime.now(UTC))
    except (SignatureRefused, HelpdeskUnavailable) as error:
        reason = error.reason if isinstance(error, SignatureRefused) else "keys"
        log.warning("frame_not_proven", extra={"connection": connection, "reason": reason})
        return _frame(connection, None)
    token = _signer().dumps({"connection": connection, "account": presser.account})
    return _frame(connection, presser.ticket, token)


def _frame(connection: str, ticket: str | None, token: str | bytes = "") -> str:
    deployment = current.deployment()
    if connection not in deployment.helpdesks:
        abort(404)
    try:
        g.framed_by = deployment.embedded_in(connection, ticket or ANY_TICKET)
    except HelpdeskError:
        abort(404)
    return render_template(
        "embed.html",
        connection=connection,
        ticket=ticket,
        token=token,
        framed_by=g.framed_by,
        # The framework of Zendesk's apps names itself to each frame, and is asked for the ticket.
        by_framework="app_guid" in request.args,
    )


@blueprint.get("/embed/<connection>/<ticket>/status")
def status(connection: str, ticket: str) -> AnyResponse:
    whose = _whose(connection)
    if whose is None:
        return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
    with current.deployment().records.read() as reading:
        shown = elevations.told_on_ticket(reading, connection, ticket, of=whose)
    response = make_response(render_template("embed_status.html", shown=shown, labels=LABELS, open_states=OPEN))
    # Of what is told, and not of how long ago it was: what did not change must not be read out again.
    told = repr([(it.id, it.state, str(it.until), it.target_name) for it in shown])
    response.set_etag(hashlib.sha256(told.encode()).hexdigest()[:16])
    return response.make_conditional(request)


def handed(connection: str) -> tuple[str, str] | None:
    """What our own page hands to the frame that opened it: (connection, token). It ends with the page's session."""
    mine = session._get_current_object()  # type: ignore[attr-defined]
    if not isinstance(mine, RowSession) or mine.cookie is None:
        return None
    return connection, str(_signer().dumps({"connection": connection, "session": sessions.digest(mine.cookie)}))


def _whose(connection: str) -> Account | User | None:
    """Whom the call's token stands for in this connection; None without one that holds."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    settings, now = current.deployment().settings, datetime.now(UTC)
    try:
        told, at = _signer().loads(token, return_timestamp=True)
    except BadData:
        return None
    longest = PROVEN_FOR if "account" in told else timedelta(hours=settings.session_hours)
    if kind != "Bearer" or told["connection"] != connection or not -CLOCKS_APART <= now - at < longest:
        return None
    with current.deployment().records.read() as reading:
        if "account" in told:
            link = people.link_of(reading, connection, told["account"])
            return None if link is not None and link.suspended_at is not None else Account(told["account"])
        user = sessions.user_of(reading, told["session"], sessions.alive(settings, now))
    return User(*user) if user else None


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current.deployment().sealer.derive("embed"))
