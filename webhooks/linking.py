"""Links between helpdesk accounts and Entra users: made on a person's own word and their directory's."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from integration import comments as words
from integration.comments import Offer
from integration.elevation import ACT_FRESHNESS, PATIENCE, Elevation, State
from integration.journal import Kind
from integration.records import elevations, journal, people
from integration.records.elevations import Overtaken
from integration.records.people import Link
from webhooks import current
from webhooks.claims import Claim, claim
from webhooks.people import Viewer, Why, signed_in, to_sign_in
from webhooks.problems import page
from workers.app import wake
from workers.change import Change, change
from workers.parking import go_on
from workers.run import Due, Run, What

log = logging.getLogger(__name__)
blueprint = Blueprint("linking", __name__)
FRESH = timedelta(minutes=15)  # a live link is only replaced by somebody who proved who they are this recently
TRIES = 3


def wanted(viewer: Viewer, connection: str, account: str, address: str | None, now: datetime) -> Link:
    """The link of a helpdesk account to the viewer. Whether it may be made is the caller's to know."""
    return Link(connection, account, viewer.tid, viewer.oid, viewer.name, address or "", now, None)


def live_in_the_way(link: Link) -> list[Link]:
    """The live links that `link` would end: of its account to another user, of its user to another account."""
    with current.deployment().records.read() as connection:
        return _live(link, people.in_the_way(connection, link))


def _live(link: Link, found: Iterable[Link]) -> list[Link]:
    return [it for it in found if it.suspended_at is None and not _same_pair(it, link)]


def _same_pair(one: Link, other: Link) -> bool:
    return (one.account, one.tid, one.oid) == (other.account, other.tid, other.oid)


def agreement(ending: Sequence[Link]) -> str:
    """What of other links the person agreed to end: a hash that the form carries back; empty for none."""
    words = "\n".join(f"{it.connection} {it.account} {it.tid} {it.oid} {it.made_at.isoformat()}" for it in ending)
    return hashlib.sha256(words.encode()).hexdigest() if ending else ""


def make(link: Link, *, agreed: str = "") -> bool:
    """Make `link`. False, and nothing is changed, where that would end a live link that nobody agreed to end."""
    for left in reversed(range(TRIES)):
        try:
            with current.deployment().records.write() as tx:
                return _make(tx, link, agreed)
        except sa.exc.IntegrityError:
            # Somebody made a link of this account or user in this very moment: now it can be seen.
            if not left:
                raise
    raise AssertionError


def _make(tx: sa.Connection, link: Link, agreed: str) -> bool:
    old = people.in_the_way(tx, link, lock=True)
    if agreement(_live(link, old)) not in ("", agreed):
        return False
    if any(_same_pair(it, link) and it.suspended_at is None and it.address == link.address for it in old):
        return True
    ended = [it for it in old if people.delete_link(tx, it)]
    people.make_link(tx, link)
    # The journal last: who holds it must not wait for somebody who makes a link of this user at the same time.
    for it in ended:
        people.record_end(tx, it, now=link.made_at, cause="click", why="replaced", actor=link.oid)
    facts, private = {"helpdesk": link.connection}, {"actor": link.oid, "account": link.account}
    journal.append(tx, Kind.LINK_MADE, now=link.made_at, cause="click", facts=facts, private=private)
    return True


def resume(links: Iterable[Link], now: datetime, *, came_from: str | None = None, answered: str | None = None) -> None:
    """Let go on what waits for the technicians of `links`: the elevation that they `came_from`, those that they picked
    a moment ago, and those that wait for the very challenge that their sign-in `answered`. What else was picked longer
    ago is offered: a sign-in for something else must not start it.

    Each elevation for itself, so that one that somebody else changes in this moment holds up no other.
    """
    run = Run(current.deployment(), cause="click", clock=lambda: now)
    for link in links:
        with run.deployment.records.read() as connection:
            parked = elevations.parked_for(connection, link.connection, link.account)
        for it in parked:
            try:
                with change(run) as changed:
                    meant = it.id == came_from or (answered is not None and it.challenge == answered)
                    _go_on_or_offer(changed, it, link, meant=meant)
            except Overtaken:
                log.info("resume_overtaken", extra={"elevation": it.id})
                continue
            for due in changed.due:
                wake(due)


def _go_on_or_offer(changed: Change, it: Elevation, link: Link, *, meant: bool) -> None:
    now = changed.run.now
    if meant:
        go_on(changed, replace(it, acted_at=now), link)
    elif now - (it.acted_at or it.created_at) <= ACT_FRESHNESS:
        go_on(changed, it, link)
    elif it.has_ticket:
        text = words.offered(changed.run.deployment.link(it.id), Offer.TOO_LATE)
        changed.settle(it, State.OFFERED, due_at=now + PATIENCE, text=text)


def wake_activations(tid: str, oid: str, now: datetime) -> None:
    """Go on at once with what was asked of Entra, or is to be given back, and stood still for want of a sign-in."""
    with current.deployment().records.write() as tx:
        waiting = elevations.wake_waiting(tx, tid, oid, now=now)
    for activation in waiting:
        wake(Due(What.ACTIVATION, activation))


@blueprint.get("/link/<connection>/<ticket>")
@signed_in
def ask(viewer: Viewer, connection: str, ticket: str) -> Response | str:
    """Both accounts by name, the links that would end, and the button: a live link is replaced by nothing else."""
    found = claim(viewer, connection, ticket)
    if isinstance(found, Response):
        return found
    if found.linked:
        return _onward(connection, ticket)
    return _page(viewer, found)


def _onward(connection: str, ticket: str) -> Response:
    return redirect(url_for("elevate.ask", connection=connection, ticket=ticket), code=303)


def _page(viewer: Viewer, found: Claim) -> Response | str:
    now = datetime.now(UTC)
    link = wanted(viewer, found.ticket.connection, found.technician.account, found.technician.address, now)
    ending = live_in_the_way(link)
    if ending and (unproved := proof_wanted(viewer, now, _no_proof)):
        return unproved
    return render_template("link.html", link=link, ending=ending, agreed=agreement(ending), ticket=found.ticket)


def proof_wanted(viewer: Viewer, now: datetime, no_proof: Callable[[], Response]) -> Response | None:
    """The page that wants a fresh sign-in first; None for who proved who they are just now.

    `no_proof`: the page for somebody whose tenant does not say when they last did.
    """
    if viewer.signed_in_at is None:
        return no_proof()
    return to_sign_in(Why.FRESH) if viewer.signed_in_at < now - FRESH else None


def _no_proof() -> Response:
    return page(
        403,
        _("This link cannot be replaced here yet"),
        _(
            "Your Microsoft tenant does not say when you last proved who you are, and a link that is in use is "
            "only replaced on a fresh sign-in. Nothing was changed."
        ),
        next_step=_(
            "An administrator must add the optional claim auth_time to the ID tokens of the app registration "
            "(then sign out, and sign in again), or end the old link with `ticket-elevate links remove`."
        ),
    )


@blueprint.post("/link/<connection>/<ticket>")
@signed_in
def confirm(viewer: Viewer, connection: str, ticket: str) -> Response | str:
    found = claim(viewer, connection, ticket)
    if isinstance(found, Response):
        return found
    if found.linked:
        return _onward(connection, ticket)
    now = datetime.now(UTC)
    agreed = request.form.get("agreed", "")
    if agreed and (unproved := proof_wanted(viewer, now, _no_proof)):
        return unproved
    link = wanted(viewer, connection, found.technician.account, found.technician.address, now)
    if not make(link, agreed=agreed):
        return redirect(url_for("linking.ask", connection=connection, ticket=ticket), code=303)
    resume([link], now, came_from=_parked_on(connection, ticket, link.account))
    return _onward(connection, ticket)


def _parked_on(connection: str, ticket: str, account: str) -> str | None:
    """The elevation of this ticket that waits for the account's technician; there is one at most."""
    with current.deployment().records.read() as reading:
        parked = elevations.parked_for(reading, connection, account)
    return next((it.id for it in parked if it.ticket == ticket), None)


@blueprint.post("/links/end")
@signed_in
def end(viewer: Viewer) -> Response:
    """Unlink an account of one's own. It takes power away and gives none, so the session is proof enough."""
    now = datetime.now(UTC)
    desk, account = request.form.get("connection", ""), request.form.get("account", "")
    with current.deployment().records.write() as tx:
        link = people.link_of(tx, desk, account)
        if link is None or (link.tid, link.oid) != (viewer.tid, viewer.oid):
            abort(404)
        people.end_link(tx, link, now=now, cause="click", why="unlinked", actor=viewer.oid)
    return redirect(url_for("mine.account"), code=303)
