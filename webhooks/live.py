"""One elevation after the button: its page, what the page asks every second, and the button that ends it."""

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, abort, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from integration.comments import CACHED_ACCESS
from integration.elevation import LABELS, OPEN, SIGN_IN_MISSING, Activation, Elevation, EndReason, State
from integration.entra.errors import EntraError
from integration.entra.pim import Policy
from integration.records import elevations
from integration.records.elevations import Overtaken
from integration.rules import Plan, analysis_from_json
from integration.targets import Target
from integration.tickets import HelpdeskError, TicketGone
from webhooks import current, embed
from webhooks.claims import is_address_of, not_theirs
from webhooks.people import Viewer, Why, signed_in, to_sign_in
from webhooks.role_words import role_words
from webhooks.sessions import BY_ITSELF
from workers.app import wake
from workers.deciding import decide, forget_policy, kept_policy
from workers.ending import let_go
from workers.longer import ask as ask_longer
from workers.longer import followed_by, likely_room, room
from workers.run import Run

log = logging.getLogger(__name__)
blueprint = Blueprint("live", __name__)
CHOICES = (timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2))
USUAL = timedelta(seconds=30)  # from the click to an active role; most take two
CAN_END = frozenset({State.REQUESTED, State.SIGN_IN_NEEDED, State.WAITING, State.PENDING, State.ACTIVE})

# After these its technician may want it again, unless the ticket is not theirs to work on any more.
AGAIN = frozenset({State.REFUSED, State.ENDED, State.FAILED, State.CANCELLED})
TICKET_IS_OVER = frozenset({EndReason.SOLVED, EndReason.HANDED_OVER, EndReason.TICKET_GONE})


def _own(viewer: Viewer, elevation_id: str, *, or_unlinked: bool = False) -> Elevation:
    """An elevation of the viewer; one whose helpdesk account nobody has claimed yet is nobody's, unless asked for."""
    with current.deployment().records.read() as connection:
        it = elevations.elevation(connection, elevation_id)
    nobodys = or_unlinked and it is not None and it.oid is None
    if it is None or not (nobodys or (it.tid, it.oid) == (viewer.tid, viewer.oid)):
        abort(404)
    return it


@blueprint.get("/elevations/<elevation_id>")
@signed_in
def show(viewer: Viewer, elevation_id: str) -> Response | str:
    it = _own(viewer, elevation_id, or_unlinked=True)
    if it.oid is None:
        return _unclaimed(viewer, it)
    if it.state is State.OFFERED:
        return redirect(url_for("elevate.ask", connection=it.connection, ticket=it.ticket), code=303)
    seen = _look(it)
    return render_template(
        "live.html",
        it=it,
        seen=seen,
        handed=embed.handed(it.connection),
        goes_on_to=seen.next_one if it.end_reason == EndReason.TIME_UP else None,
        by_itself=BY_ITSELF,
        labels=LABELS,
        ticket_url=current.ticket_url(it.connection, it.ticket) if it.has_ticket else None,
        analysis=analysis_from_json(it.analysis) if it.analysis else (),
        status=_status(it, seen),
        slow=_is_slow(it),
        stages=_stages(it, seen) if it.state in OPEN and it.state is not State.ENDING else [],
        words=role_words(Target.from_key(it.target)) if it.target else None,
        policy=_policy(it),
        longer=_longer(it),
        not_longer=request.args.get("longer") if it.state is State.ACTIVE else None,
        again=it.has_ticket and it.state in AGAIN and it.end_reason not in TICKET_IS_OVER and seen.next_one is None,
        desks=list(current.deployment().helpdesks),
        cached_access=CACHED_ACCESS,
        help_contact=current.deployment().settings.help_contact,
    )


@dataclass(frozen=True)
class Seen:
    """What stands around an elevation: its activation, the other roles of the same pick, and what followed it."""

    activation: Activation | None
    parts: tuple[Elevation, ...]
    next_one: Elevation | None
    sign_in_needed: bool


@dataclass(frozen=True)
class Stage:
    """A step on the way to a role that can be used, by the name that fits. `now`: this is where it stands."""

    name: str
    done: bool
    now: bool


def _stages(it: Elevation, seen: Seen) -> list[Stage]:
    """The steps of this one: a sign-in or confirmation and an approval only where the tenant asks for them.

    Each has two names: what is waited for, and what is so when it is done.
    """
    activation = seen.activation
    follows_use = activation is None or not activation.by_hand
    steps = [
        (_("Request"), _("Asked"), it.state not in (State.REQUESTED, State.SIGN_IN_NEEDED)),
        *([(_("Confirmation") if it.challenge else _("Sign-in"), "", False)] if seen.sign_in_needed else []),
        (_("Validation"), _("Validated"), it.state in (State.PENDING, State.ACTIVE)),
        *([(_("Approval"), _("Approved"), it.state is State.ACTIVE)] if activation and activation.pending_at else []),
        (_("Activation"), _("Active"), it.state is State.ACTIVE),
        *([(_("Becoming usable"), _("Usable"), bool(activation and activation.usable_at))] if follows_use else []),
    ]
    if seen.sign_in_needed and it.state is State.SIGN_IN_NEEDED:
        steps[:2] = reversed(steps[:2])  # nothing is asked for before it
    first = next((place for place, (*_names, done) in enumerate(steps) if not done), None)
    return [Stage(so if done else awaited, done, place == first) for place, (awaited, so, done) in enumerate(steps)]


def _look(it: Elevation) -> Seen:
    run = Run(current.deployment(), cause="click")
    with current.deployment().records.read() as connection:
        activation = elevations.activation(connection, it.activation) if it.activation else None
        parts = elevations.parts_of(connection, it)
    return Seen(
        activation=activation,
        parts=tuple(parts) if len(parts) > 1 else (),
        next_one=followed_by(run, it) if it.state is State.ENDED else None,
        sign_in_needed=waits_for_sign_in(it, activation),
    )


def _policy(it: Elevation) -> Policy | None:
    """What the tenant last told of the policy, however long ago: a request that waits was made under it.

    Unless how it stands disproves that: then it is forgotten, so that whoever needs it next asks the tenant.
    """
    if it.target is None:
        return None
    run, target = Run(current.deployment(), cause="click"), Target.from_key(it.target)
    policy = kept_policy(run, it, target)
    if policy is not None and _disproves(it, policy):
        forget_policy(run, it, target)
        return None
    return policy


def _disproves(it: Elevation, policy: Policy) -> bool:
    unconfirmed = policy.context is None and not policy.mfa
    return (it.state is State.PENDING and not policy.approval) or (bool(it.challenge) and unconfirmed)


def _longer(it: Elevation) -> list[timedelta]:
    """What "I need longer" offers, by what is kept: a helpdesk or tenant that is slow must not hold up "End now"."""
    return _choices(likely_room(Run(current.deployment(), cause="click"), it)) if _may_go_on(it) else []


def _may_go_on(it: Elevation) -> bool:
    has_desk = it.connection in current.deployment().helpdesks
    return it.state is State.ACTIVE and it.until is not None and it.has_ticket and not it.emergency and has_desk


def _choices(most: timedelta) -> list[timedelta]:
    return sorted({choice for choice in CHOICES if choice < most} | ({most} if most else set()))


@blueprint.post("/elevations/<elevation_id>/longer")
@signed_in
def longer(viewer: Viewer, elevation_id: str) -> Response:
    """Ask for more time, or with no seconds take that back. What the page offered is checked truly here."""
    it = _own(viewer, elevation_id)
    run, wished = Run(current.deployment(), cause="click"), request.form.get("seconds", "")
    why_not = _why_not(run, it, wished) if wished else None
    try:
        if it.state is State.ACTIVE and why_not is None and (wished or it.longer_seconds):
            for due in ask_longer(run, it, int(wished) if wished else None):
                wake(due)
    except Overtaken:
        log.info("longer_overtaken", extra={"elevation": it.id})
    return redirect(url_for("live.show", elevation_id=it.id, longer=why_not), code=303)


def _why_not(run: Run, it: Elevation, wished: str) -> str | None:
    """Why it cannot go on for the `wished` seconds, by a name that the page has words for; None where it can."""
    if not _may_go_on(it):
        return "no"
    offered = _choices(likely_room(run, it))
    try:
        plan = decide(run, it, run.ticket(it.connection, it.ticket))
    except TicketGone:
        return "no"
    except (HelpdeskError, EntraError):
        return "unknown"
    most = room(run, it, plan) if isinstance(plan, Plan) else timedelta()
    if not most:
        return "no"
    possible = {str(int(choice.total_seconds())) for choice in (*offered, *_choices(most)) if choice <= most}
    return None if wished in possible else "less"


def waits_for_sign_in(it: Elevation | sa.Row[Any], activation: Activation | None) -> bool:
    """Also one that was asked for, or is to be given back, may have to wait for one."""
    if it.state in (State.WAITING, State.PENDING, State.ENDING):
        return activation is not None and activation.outcome == SIGN_IN_MISSING
    return bool(it.state == State.SIGN_IN_NEEDED)


def _unclaimed(viewer: Viewer, it: Elevation) -> Response | str:
    """Whose it is depends on the address in the helpdesk. Until that is known, no fact of it is shown."""
    if it.state is State.SIGN_IN_NEEDED:
        return to_sign_in(Why.LINK)
    if it.state is State.REQUESTED:  # a worker is about to find out whose it is
        here = url_for("live.show", elevation_id=it.id)
        return render_template("prepared.html", page=here, by_itself=BY_ITSELF)
    if it.state is not State.OFFERED:
        abort(404)
    if not is_address_of(viewer, it.address):
        return not_theirs()
    return redirect(url_for("elevate.ask", connection=it.connection, ticket=it.ticket), code=303)


@blueprint.get("/elevations/<elevation_id>/status")
@signed_in
def status(viewer: Viewer, elevation_id: str) -> Response:
    it = _own(viewer, elevation_id)
    response = jsonify(_status(it, _look(it)))
    response.add_etag()
    return response.make_conditional(request)


def _status(it: Elevation, seen: Seen) -> dict[str, object]:
    """What the live page shows: how it stands, until when, and the words for it.

    `version` changes with anything that the page shows; what it is made of is nobody else's business.
    """
    usable_at = seen.activation.usable_at if seen.activation else None
    shown = (
        it.state,
        it.challenge,
        it.until,
        it.longer_seconds,
        usable_at,
        seen.activation.outcome if seen.activation else None,
        seen.sign_in_needed,
        seen.next_one.id if seen.next_one else None,
        [(part.id, part.state) for part in seen.parts],
        _is_slow(it),
    )
    return {
        "version": hashlib.sha256(repr(shown).encode()).hexdigest()[:16],
        "state": it.state,
        "label": _(LABELS[it.state]),
        "open": it.state in OPEN,
        "until": it.until.isoformat() if it.until else None,
        "usable_since": usable_at.isoformat() if usable_at else None,
        "can_end": it.state in CAN_END,
        "outcome": it.outcome,
    }


def _is_slow(it: Elevation) -> bool:
    """Whether its technician should hear that it goes on: a queue, a helpdesk or a tenant may be away."""
    on_its_way = it.state in (State.REQUESTED, State.WAITING)
    return on_its_way and datetime.now(UTC) - (it.acted_at or it.created_at) > USUAL


@blueprint.post("/elevations/<elevation_id>/end")
@signed_in
def end(viewer: Viewer, elevation_id: str) -> Response:
    """End it, and with it the other roles of the same pick."""
    it = _own(viewer, elevation_id)
    with current.deployment().records.read() as connection:
        parts = elevations.parts_of(connection, it)
    for part in parts:
        end_now(part.id)
    if "back_to_now" in request.form:
        return redirect(url_for("mine.show"), code=303)
    return redirect(url_for("live.show", elevation_id=it.id), code=303)


def end_now(elevation_id: str) -> None:
    """End an elevation of the viewer's; one that is over stays as it is."""
    try:
        for due in let_go(Run(current.deployment(), cause="click"), elevation_id, EndReason.END_NOW):
            wake(due)
    except Overtaken:
        # A worker was at it in this very moment, again and again: the page shows what became of it.
        log.info("end_now_overtaken", extra={"elevation": elevation_id})
