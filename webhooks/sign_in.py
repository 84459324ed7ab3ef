"""Sign-in with Microsoft: authorization code flow with PKCE. What it brings may wake an elevation that waits for it."""

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from integration.deployment import Deployment
from integration.elevation import Elevation, State
from integration.entra.errors import EntraError, Unsealable
from integration.entra.sign_in import SignedIn
from integration.journal import Kind
from integration.records import elevations, journal, people, sessions
from integration.records.sessions import alive
from integration.targets import Target
from integration.tickets import HelpdeskError
from webhooks import current, linking
from webhooks.claims import is_address_of, not_theirs
from webhooks.people import FILTER, Viewer, viewer
from webhooks.problems import page as problem_page
from webhooks.sessions import ARRIVED, TYPED, RowSession
from workers.run import Run

blueprint = Blueprint("sign_in", __name__)
FLOW_LIFE = timedelta(minutes=10)
ELEVATIONS = "/elevations/"
ASKED_STATES = frozenset({State.SIGN_IN_NEEDED, State.WAITING, State.PENDING, State.ENDING})
FLOW_COOKIE = "te-flow"
# Where a sign-in may lead back to: nothing but pages of ours, so that no address can be smuggled in.
OUR_PAGES = re.compile(
    r"/|/account|/earlier|/approvals(?:/[0-9A-Za-z-]{1,64})?|/break-glass|/elevations/[0-9A-Z]{26}"
    rf"|/(?:elevate|link)/[a-z0-9_-]+/[A-Za-z0-9_-]+|/roles(?:/ticket)?(?:\?{FILTER})?"
    rf"|/review(?:/[0-9A-Z]{{26}}|(?:/watched|/break-glass|/month)?(?:\?{FILTER})?)"
    r"|/administration(?:/rules|/try|/sign-ins(?:/[0-9A-Za-z-]{1,64}/[0-9A-Za-z-]{1,64})?)?",
    re.ASCII,
)


@blueprint.post("/sign-in")
def start() -> AnyResponse:
    """Begin a sign-in. The page that goes on to Microsoft is ours, not a redirect: browsers hold every redirect that
    follows a form against our form-action, and Microsoft may send people on to an identity provider we do not know of.
    """
    deployment = current.deployment()
    max_age = int(linking.FRESH.total_seconds()) if "fresh" in request.form else None
    wanted = request.form.get("back_to", "")
    back_to = wanted if OUR_PAGES.fullmatch(wanted) else "/"
    here, asked = viewer(), _asked_of(back_to)
    challenge = asked.challenge if asked else None
    kind = Target.from_key(asked.target).kind if asked and asked.target else None
    url, flow = deployment.tenant.start_sign_in(
        deployment.settings.redirect_uri,
        max_age=max_age,
        claims=challenge,
        kind=kind,
        login_hint=here.upn if here and challenge else None,
    )
    # MSAL would refuse an ID token without auth_time, which a tenant only sends where the app registration asks for it.
    # Microsoft asks anew all the same; only what is sent counts as proof of it (_remember).
    flow.pop("max_age", None)
    state, browser, now = str(flow["state"]), secrets.token_urlsafe(32), datetime.now(UTC)
    kept = {"flow": flow, "who": [asked.tid, asked.oid] if asked and challenge else None}
    sealed = deployment.sealer.seal(json.dumps(kept).encode(), tid="flow", oid=sessions.digest(state), version=1)
    with deployment.records.write() as tx:
        sessions.purge(tx, alive(deployment.settings, now), now=now)
        sessions.start_flow(tx, state, browser, sealed=sealed, back_to=back_to, expires_at=now + FLOW_LIFE)
    response = make_response(render_template("to_microsoft.html", url=url))
    response.headers["Referrer-Policy"] = "no-referrer"
    secure = deployment.settings.public_url.startswith("https://")
    response.set_cookie(
        FLOW_COOKIE,
        browser,
        max_age=int(FLOW_LIFE.total_seconds()),
        httponly=True,
        secure=secure,
        samesite="Lax",
        path="/sign-in",
    )
    return response


@blueprint.get("/sign-in/callback")
def callback() -> AnyResponse:
    deployment = current.deployment()
    args = request.args.to_dict()
    taken = _take_flow(deployment, args.get("state", ""))
    if taken is None:
        return problem_page(
            400,
            _("This sign-in cannot be used"),
            _("It was started in another browser, was used already, or is older than ten minutes."),
            next_step=_("Open the page you wanted again and sign in from there."),
        )
    kept, back_to = taken
    # A step-up is for one person: a browser may be signed in to Microsoft as somebody else by now.
    expected = (kept["who"][0], kept["who"][1]) if kept["who"] else None
    try:
        who = deployment.tenant.finish_sign_in(kept["flow"], args, now=datetime.now(UTC), expected=expected)
    except EntraError as error:
        return problem_page(
            400, _("Sign-in did not succeed"), str(error), next_step=_("Open the page again to try once more.")
        )
    _remember(who)
    here = viewer()
    assert here is not None
    _record(Kind.SESSION_SIGNED_IN, here)
    response = _link_and_wake(here, back_to, who.answered) or redirect(back_to, code=303)
    if response.status_code == 303:
        response.headers["Referrer-Policy"] = "no-referrer"
    response.delete_cookie(FLOW_COOKIE, path="/sign-in")
    return response


@blueprint.post("/sign-out")
def sign_out() -> AnyResponse:
    """End our session. That with Microsoft is another one, and on a shared desk it has to end as well."""
    leaving = viewer()
    session.clear()
    if leaving is not None:
        _record(Kind.SESSION_SIGNED_OUT, leaving)
    try:
        microsoft = current.deployment().tenant.sign_out_url()
    except EntraError:
        microsoft = None
    return make_response(render_template("signed_out.html", microsoft=microsoft))


def _record(kind: Kind, who: Viewer) -> None:
    with current.deployment().records.write() as tx:
        journal.append(tx, kind, now=datetime.now(UTC), cause="click", private={"actor": who.oid})


def _asked_of(back_to: str) -> Elevation | None:
    """The elevation of this page, where the tenant asks something of the sign-in that it waits for."""
    if not back_to.startswith(ELEVATIONS):
        return None
    with current.deployment().records.read() as connection:
        it = elevations.elevation(connection, back_to.removeprefix(ELEVATIONS))
    return it if it is not None and it.challenge and it.oid and it.state in ASKED_STATES else None


def _take_flow(deployment: Deployment, state: str) -> tuple[Mapping[str, Any], str] | None:
    """The flow of this state and this browser. It is deleted before it is redeemed: a code can be tried once."""
    browser = request.cookies.get(FLOW_COOKIE, "")
    with deployment.records.write() as tx:
        flow = sessions.take_flow(tx, state, browser, now=datetime.now(UTC))
    if flow is None:
        return None
    try:
        opened = deployment.sealer.open(flow.sealed, tid="flow", oid=flow.id, version=1)
    except Unsealable:
        return None  # the key was changed while they were at Microsoft: as good as no flow
    return json.loads(opened), flow.back_to


def _remember(who: SignedIn) -> None:
    back = session._get_current_object()  # type: ignore[attr-defined]
    assert isinstance(back, RowSession)
    same = (back.get("tid"), back.get("oid")) == (who.tid, who.oid)
    typed = back.get(TYPED) if same else None
    back.clear()
    back.renew = True
    if typed:
        back[TYPED] = typed
    back.update(tid=who.tid, oid=who.oid, name=who.name, upn=who.upn, roles=sorted(who.roles))
    back[ARRIVED] = datetime.now(UTC).isoformat()
    # When they proved who they are, and not when they came: a browser may still be signed in there since yesterday.
    back["signed_in_at"] = who.auth_time.isoformat() if who.auth_time else None


def _link_and_wake(who: Viewer, back_to: str, answered: str | None) -> AnyResponse | None:
    """Wake what waits for this person, and link the helpdesk account of the elevation that they came from.

    `answered`: the tenant's challenge that their sign-in was for.
    """
    now, records = datetime.now(UTC), current.deployment().records
    linking.wake_activations(who.tid, who.oid, now)
    with records.read() as connection:
        links = people.links_of_user(connection, who.tid, who.oid)
    came_from = back_to.removeprefix(ELEVATIONS) if back_to.startswith(ELEVATIONS) else None
    live = [link for link in links if link.suspended_at is None]
    # What they broke glass for has no helpdesk account, and so no link: it is theirs by their own click.
    live.append(linking.wanted(who, "", who.upn, "", now))
    linking.resume(live, now, came_from=came_from, answered=answered)
    with records.read() as connection:
        it = elevations.elevation(connection, came_from) if came_from else None
    if it is None or it.state is not State.SIGN_IN_NEEDED:
        return None
    address = _address_now(it)
    if not is_address_of(who, address):
        return not_theirs() if it.oid in (None, who.oid) else None
    link = linking.wanted(who, it.connection, it.account, address, now)
    if not linking.make(link):
        return redirect(url_for("linking.ask", connection=it.connection, ticket=it.ticket), code=303)
    linking.resume([link], now, came_from=it.id)
    return None


def _address_now(it: Elevation) -> str | None:
    """The address of the account in the helpdesk, as a link must have it for the worker to go by it; None where the
    ticket is no longer the account's. Of a helpdesk that does not answer it is the address of the pick.
    """
    if it.connection not in current.deployment().helpdesks:
        return None
    try:
        technician = Run(current.deployment(), cause="click").ticket(it.connection, it.ticket).assignee
    except HelpdeskError as error:
        return it.address if error.try_again else None
    return technician.address if technician is not None and technician.account == it.account else None
