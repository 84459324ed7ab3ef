"""Sign-in with Microsoft: authorization code flow with PKCE. What it brings may wake an elevation that waits for it."""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from flask import Blueprint, current_app, make_response, redirect, render_template, request, session
from werkzeug.wrappers import Response as AnyResponse

from integration.deployment import Deployment
from integration.elevation import Elevation, State, move
from integration.entra.errors import EntraError, Unsealable
from integration.entra.sign_in import SignedIn
from integration.journal import Kind
from integration.records import elevations, journal, people
from integration.records.people import Link
from integration.records.tables import sign_in_flows
from webhooks.problems import page as problem_page
from webhooks.sessions import RowSession, digest, purge
from workers.app import wake
from workers.run import Due, What

blueprint = Blueprint("sign_in", __name__)
FLOW_LIFE = timedelta(minutes=10)
FLOW_COOKIE = "te-flow"
# Where a sign-in may lead back to: nothing but pages of ours, so that no address can be smuggled in.
OUR_PAGES = re.compile(
    r"/|/elevations/[0-9A-Z]{26}|/elevate/[a-z0-9_-]+/[A-Za-z0-9_-]+|/review(?:/[0-9A-Z]{26})?", re.ASCII
)


def _deployment() -> Deployment:
    deployment: Deployment = current_app.config["DEPLOYMENT"]
    return deployment


@blueprint.post("/sign-in")
def start() -> AnyResponse:
    deployment = _deployment()
    url, flow = deployment.tenant.start_sign_in(deployment.settings.redirect_uri)
    state, browser, now = str(flow["state"]), secrets.token_urlsafe(32), datetime.now(UTC)
    sealed = deployment.sealer.seal(json.dumps(flow).encode(), tid="flow", oid=digest(state), version=1)
    wanted = request.form.get("back_to", "")
    back_to = wanted if OUR_PAGES.fullmatch(wanted) else "/"
    with deployment.records.write() as tx:
        tx.execute(sign_in_flows.delete().where(sign_in_flows.c.expires_at < now))
        purge(tx, deployment.settings, now)
        tx.execute(
            sign_in_flows.insert().values(
                id=digest(state), sealed=sealed, browser=digest(browser), back_to=back_to, expires_at=now + FLOW_LIFE
            )
        )
    response = redirect(url, code=303)
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
    deployment = _deployment()
    args = request.args.to_dict()
    taken = _take_flow(deployment, args.get("state", ""))
    if taken is None:
        return problem_page(
            400,
            "This sign-in cannot be used",
            "It was started in another browser, was used already, or is older than ten minutes.",
            next_step="Open the page you wanted again and sign in from there.",
        )
    flow, back_to = taken
    try:
        who = deployment.tenant.finish_sign_in(flow, args, now=datetime.now(UTC))
    except EntraError as error:
        return problem_page(
            400, "Sign-in did not succeed", str(error), next_step="Open the page again to try once more."
        )
    _remember(who)
    refused = _link_and_wake(deployment, who, back_to)
    if refused is not None:
        return refused
    response = redirect(back_to, code=303)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.delete_cookie(FLOW_COOKIE, path="/sign-in")
    return response


@blueprint.post("/sign-out")
def sign_out() -> AnyResponse:
    session.clear()
    return make_response(render_template("signed_out.html"))


def _take_flow(deployment: Deployment, state: str) -> tuple[Mapping[str, object], str] | None:
    """The flow of this state and this browser. It is deleted before it is redeemed: a code can be tried once."""
    browser = request.cookies.get(FLOW_COOKIE, "")
    mine = sa.and_(
        sign_in_flows.c.id == digest(state),
        sign_in_flows.c.browser == digest(browser),
        sign_in_flows.c.expires_at > datetime.now(UTC),
    )
    with deployment.records.write() as tx:
        row = tx.execute(sign_in_flows.delete().where(mine).returning(*sign_in_flows.c)).first()
    if row is None:
        return None
    try:
        opened = deployment.sealer.open(row.sealed, tid="flow", oid=row.id, version=1)
    except Unsealable:
        return (
            None  # the key was changed while they were at Microsoft: as good as no flow, and the page says what to do
        )
    return json.loads(opened), row.back_to


def _remember(who: SignedIn) -> None:
    back = session._get_current_object()  # type: ignore[attr-defined]
    assert isinstance(back, RowSession)
    back.clear()
    back.renew = True
    back.update(tid=who.tid, oid=who.oid, name=who.name, upn=who.upn, roles=sorted(who.roles))
    back["signed_in_at"] = datetime.now(UTC).isoformat()


def _link_and_wake(deployment: Deployment, who: SignedIn, back_to: str) -> AnyResponse | None:
    """Link the helpdesk account of the elevation they came from, and wake what waits for this person."""
    now = datetime.now(UTC)
    woken: list[Due] = []
    with deployment.records.read() as connection:
        links = people.links_of_user(connection, who.tid, who.oid)
        came_from = _elevation_of(connection, back_to)
    refused: AnyResponse | None = None
    if came_from is not None and came_from.state is State.SIGN_IN_NEEDED and came_from.oid in (None, who.oid):
        refused = link_account(
            deployment, who.tid, who.oid, who.name, came_from.connection, came_from.account, came_from.address, now=now
        )
        with deployment.records.read() as connection:
            links = people.links_of_user(connection, who.tid, who.oid)
    with deployment.records.write() as tx:
        for link in links:
            if link.suspended_at is None:
                woken += _resume(tx, link, now)
    for due in woken:
        wake(due)
    return refused


def _elevation_of(connection: sa.Connection, path: str) -> Elevation | None:
    prefix = "/elevations/"
    return elevations.elevation(connection, path.removeprefix(prefix)) if path.startswith(prefix) else None


def link_account(
    deployment: Deployment,
    tid: str,
    oid: str,
    name: str,
    connection: str,
    account: str,
    address: str | None,
    *,
    now: datetime,
) -> AnyResponse | None:
    """A helpdesk account belongs to an Entra user because they signed in and the tenant's directory names its address.

    None when the link was made; else the page that says why not.
    """
    refused = not_of_user(deployment, tid, oid, address, now=now)
    if refused is not None:
        return refused
    with deployment.records.write() as tx:
        people.make_link(tx, Link(connection, account, tid, oid, name, address or "", now, None))
        journal.append(tx, Kind.LINK_MADE, now=now, cause="click", private={"actor": oid, "account": account})
    return None


def not_of_user(
    deployment: Deployment, tid: str, oid: str, address: str | None, *, now: datetime
) -> AnyResponse | None:
    """The page that says why a helpdesk account of this address is not this user's; None when it is. Writes nothing."""
    try:
        known = deployment.tenant.addresses(tid, oid, now)
    except EntraError as error:
        return problem_page(502, "Entra did not answer", str(error), next_step="Reload this page in a minute.")
    if not address or address.casefold() not in {a.casefold() for a in known}:
        return problem_page(
            403,
            "This is another person's ticket",
            "The ticket's assigned technician has an address there that your Microsoft account does not have.",
            next_step="If it is your ticket, have your helpdesk address changed to that of your Microsoft account.",
        )
    return None


def _resume(tx: sa.Connection, link: Link, now: datetime) -> list[Due]:
    due = []
    for parked in elevations.parked_for(tx, link.connection, link.account):
        known = replace(parked, tid=link.tid, oid=link.oid, technician=link.technician, acted_at=now)
        elevations.save_elevation(tx, move(known, State.REQUESTED, due_at=now))
        journal.append(tx, Kind.SIGNIN_DONE, now=now, cause="click", elevation=parked.id, private={"actor": link.oid})
        due.append(Due(What.ELEVATION, parked.id))
    return due
