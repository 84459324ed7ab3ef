"""POST /panels/<connection>: our panel on a ticket in a helpdesk that signs who looks at it, and who presses there.

The helpdesk calls, and not the technician's browser: there is no session and no cookie, and so no form's token either.
What the call proves is the account alone. Whose account that is, a link says that its owner made on our page; which
ticket is meant, the call merely says: it is read back, and must be theirs. A panel decides nothing: it shows what it
is answered. Whoever is proven gets a 200, whatever there is to say, since helpdesks show no other answer.
"""

import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from flask import Blueprint, Response, jsonify, request
from flask_babel import gettext as _
from flask_limiter import RateLimitExceeded

from integration.elevation import LABELS, OPEN, Elevation, State
from integration.entra.errors import EntraError, SignInNeeded
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.values import exact
from integration.journal import StartsStopped
from integration.records import elevations, people, signins
from integration.records.deliveries import PANEL
from integration.records.elevations import User
from integration.records.signins import Health
from integration.rule import in_words
from integration.rules import Mode, Refusal
from integration.tickets import (
    DeliveryUnreadable,
    HelpdeskUnavailable,
    Presser,
    ProvesPresser,
    SignatureRefused,
    TicketEvent,
)
from webhooks import current
from webhooks.claims import NoClaim
from webhooks.deliveries import headers_given
from webhooks.guards import count_press
from webhooks.live import waits_for_sign_in
from webhooks.people import Viewer
from webhooks.pressing import Asked, IsOn, LinkFirst, look, press, shown
from webhooks.problems import problem, tenant_said
from webhooks.role_words import role_words

log = logging.getLogger(__name__)
blueprint = Blueprint("panels", __name__)
LARGEST = 4 * 1024  # bytes
# Seconds until a panel looks again: while something is about to happen, while something is on, and else. The last one
# costs the helpdesk a reading.
SOON, LATER, RARELY = 3, 30, 90
FIRST = timedelta(minutes=1)  # for which something is about to happen


class Action(StrEnum):
    LOOK = "look"
    ELEVATE = "elevate"


@dataclass(frozen=True)
class Call:
    """What a panel asks. `shown` is the plan that its button stood under; `follows`, the elevation it showed last."""

    action: Action
    ticket: str
    shown: str
    follows: str


@dataclass(frozen=True)
class Said:
    """What a panel shows, in the reader's language; `until` is for it to write in their zone."""

    title: str
    sentences: tuple[str, ...] = ()
    label: str | None = None
    until: str | None = None
    button: str | None = None
    shown: str | None = None  # goes back with a press of the button
    link: str | None = None
    url: str | None = None  # where the link leads: on our pages
    elevation: str | None = None
    again_after: int | None = None


@blueprint.post("/panels/<connection>")
def answer(connection: str) -> Response:
    helpdesk = current.deployment().helpdesks.get(connection)
    if not isinstance(helpdesk, ProvesPresser):
        return problem(404, "No helpdesk of this name, with a panel, is connected. Check the panel's address.")
    body = request.stream.read(LARGEST + 1)
    if len(body) > LARGEST:
        return problem(413, "The call is larger than a panel's ever is.")
    now = datetime.now(UTC)
    try:
        presser = helpdesk.presser(headers_given(), {}, now=now)
        call = _read(body)
    except SignatureRefused as error:
        return _not_proven(
            connection, 401, error.reason, "The token of this call is not one of our app's on this site, or too old."
        )
    except HelpdeskUnavailable:
        return _not_proven(
            connection, 503, "keys", "The keys that tokens are signed with cannot be read. Doctor says why."
        )
    except DeliveryUnreadable as error:
        return problem(400, str(error))
    if presser.proof is None or presser.ticket not in (None, call.ticket):
        return _not_proven(connection, 401, "ticket", "The token of this call is for another ticket.")
    try:
        with count_press(f"{call.action}:{connection}:{presser.account}"):
            return jsonify(asdict(_said(connection, presser, call, now)))
    except RateLimitExceeded:
        return jsonify(asdict(Said(_("Too many tries"), (_("Wait a minute and try again."),), again_after=RARELY)))


def _not_proven(connection: str, status: int, reason: str, why: str) -> Response:
    log.warning("panel_not_proven", extra={"connection": connection, "status": status, "reason": reason})
    return problem(status, why)


def _read(body: bytes) -> Call:
    """Raises DeliveryUnreadable."""
    given = delivery_object(body)
    ticket, action = exact(given.get("ticket")), given.get("action")
    if ticket is None or action not in list(Action):
        raise DeliveryUnreadable("A panel says which ticket it is on, and whether to look or to elevate.")
    return Call(Action(action), ticket, exact(given.get("shown")) or "", exact(given.get("follows")) or "")


def _said(connection: str, presser: Presser, call: Call, now: datetime) -> Said:
    viewer = _viewer(connection, presser.account, now)
    if viewer is None:
        return _on_our_page(connection, call.ticket)
    on = _on(viewer, connection, call.ticket)
    if on is not None and on.state is not State.ENDING:
        return _standing(on, now)  # whatever the helpdesk answers, and at no cost to it
    try:
        said = _asked(connection, viewer, presser, call, now)
    except SignInNeeded:
        said = _on_our_page(connection, call.ticket)
    except EntraError as error:
        said = Said(_("Entra did not answer"), (tenant_said(error),), again_after=LATER)
    except StartsStopped as error:
        said = Said(_("No role can be started now"), (str(error),), again_after=RARELY)
    # A ticket that was opened again may be picked while its last role is still being given back.
    return said if on is None or said.button or said.elevation else _standing(on, now)


def _asked(connection: str, viewer: Viewer, presser: Presser, call: Call, now: datetime) -> Said:
    """What the ticket's plan is, and what a press of the button did."""
    seen = look(viewer, connection, call.ticket)
    if not isinstance(seen, Asked) or call.action is not Action.ELEVATE:
        return _shown(connection, viewer, presser, call, seen, now)
    if not _may_press(seen, presser, call):
        news = _("Something changed since this was shown. Nothing was activated; this is what is planned now.")
        return _shown(connection, viewer, presser, call, seen, now, news=news)
    started = press(seen, proof=_kept(presser, call))
    on = _on(viewer, connection, call.ticket)  # what it started, or what was first
    if on is not None and on.state is not State.ENDING:
        return _standing(on, now)
    seen = look(viewer, connection, call.ticket)
    if started is not None:  # and was over at once
        return _shown(connection, viewer, presser, replace(call, follows=started.id), seen, now)
    news = _("Nothing was started by this press. Press again, or use the link.")
    return _shown(connection, viewer, presser, call, seen, now, news=news)


def _on(viewer: Viewer, connection: str, ticket: str) -> Elevation | None:
    """What is on for the viewer on this ticket, more than an offer. Of several, the one that waits for them; what is
    being given back comes last.
    """
    with current.deployment().records.read() as reading:
        told = elevations.told_on_ticket(reading, connection, ticket, of=User(viewer.tid, viewer.oid))
    on = [it for it in told if it.state in OPEN and it.state is not State.OFFERED]
    return min(on, key=lambda it: (it.state is State.ENDING, it.state is not State.SIGN_IN_NEEDED), default=None)


def _viewer(connection: str, account: str, now: datetime) -> Viewer | None:
    """Whose account it is; None where nobody linked it, or their kept sign-in would not carry an activation."""
    with current.deployment().records.read() as reading:
        link = people.link_of(reading, connection, account)
        if link is None or link.suspended_at is not None:
            return None
        kept = signins.of(reading, link.tid, link.oid)
    if kept is None or kept.health(now) is Health.LOST:
        return None
    return Viewer(link.tid, link.oid, link.technician, "", frozenset(), None)


def _may_press(asked: Asked, presser: Presser, call: Call) -> bool:
    """Whether it is a plan that can start, for this very account, and the one that the button stood under."""
    if isinstance(asked.decision, Refusal) or asked.decision.mode is Mode.WATCH:
        return False
    return _is_theirs(asked, presser) and call.shown == shown(asked)


def _is_theirs(asked: Asked, presser: Presser) -> bool:
    """A person may have a second account with an address of theirs: linking that one is a matter of our page."""
    return asked.link is None and asked.offer.account == presser.account


def _kept(presser: Presser, call: Call) -> TicketEvent:
    """The press as a delivery, which it is: once, for the record, and with nothing more to do."""
    assert presser.proof is not None
    return TicketEvent(presser.proof, call.ticket, PANEL, secret=PANEL, idle=True)


def _shown(
    connection: str,
    viewer: Viewer,
    presser: Presser,
    call: Call,
    seen: Asked | IsOn | LinkFirst | NoClaim,
    now: datetime,
    *,
    news: str = "",
) -> Said:
    if isinstance(seen, IsOn):
        return _standing(seen.elevation, now)
    before = _outcome(viewer, call)
    if isinstance(seen, NoClaim):
        again_after = LATER if seen.status == HTTPStatus.BAD_GATEWAY else RARELY  # the helpdesk may be back by then
        return Said(seen.title, (*before, *filter(None, (seen.sentence, seen.next_step))), again_after=again_after)
    if isinstance(seen, LinkFirst) or not _is_theirs(seen, presser):
        return _on_our_page(connection, call.ticket)
    if isinstance(seen.decision, Refusal):
        return Said(_("No role for this ticket"), (*before, seen.decision.reason), again_after=RARELY)
    duration = in_words(seen.decision.duration)
    if seen.decision.mode is Mode.WATCH:
        sentence = _(
            "This rule only watches so far: nothing is activated. It would have activated this role for %(duration)s.",
            duration=duration,
        )
        return Said(seen.decision.target_name, (sentence,), again_after=RARELY)
    words = role_words(seen.decision.target)
    others = ", ".join(name for name, _policy in seen.policies[1:])
    sentences = (
        *((news,) if news else before),
        *((words.allows, words.not_) if words else ()),
        *((f"{_('Together with:')} {others}.",) if others else ()),
        _("For %(duration)s at most, and for this ticket alone.", duration=duration),
    )
    return Said(
        seen.decision.target_name,
        sentences,
        button=_("Elevate"),
        shown=shown(seen),
        link=_("Choose a shorter time"),
        url=current.deployment().elevate_link(connection, call.ticket),
    )


def _outcome(viewer: Viewer, call: Call) -> tuple[str, ...]:
    """How the elevation ended that the panel showed a moment ago."""
    with current.deployment().records.read() as reading:
        it = elevations.elevation(reading, call.follows) if call.follows else None
    if it is None or (it.tid, it.oid, it.ticket) != (viewer.tid, viewer.oid, call.ticket) or it.state in OPEN:
        return ()
    return (f"{_(LABELS[it.state])}: {it.outcome}" if it.outcome else f"{_(LABELS[it.state])}.",)


def _standing(it: Elevation, now: datetime) -> Said:
    with current.deployment().records.read() as reading:
        activation = elevations.activation(reading, it.activation) if it.activation else None
    sign_in = waits_for_sign_in(it, activation)
    sentences: tuple[str, ...] = ()
    if sign_in:
        sentences = (_("Your Microsoft sign-in is needed before this can go on."),)
    elif it.state is State.PENDING:
        sentences = (_("An approver of your organisation must approve it."),)
    at_rest = it.state in (State.ACTIVE, State.PENDING)
    since = it.let_go_at or it.acted_at or it.created_at
    soon = not at_rest and not sign_in and now - since < FIRST
    return Said(
        it.target_name or _("Finding the smallest role…"),
        sentences,
        label=_(LABELS[it.state]),
        until=it.until.isoformat() if it.until and at_rest else None,
        link=_("Sign in with Microsoft") if sign_in else _("Details, or end it"),
        url=current.deployment().link(it.id),
        elevation=it.id,
        again_after=SOON if soon else LATER,
    )


def _on_our_page(connection: str, ticket: str) -> Said:
    """There they sign in with Microsoft, which proves who they are to us, and link their account."""
    sentence = _("Sign in with Microsoft on our page first: then this panel knows you, and its button does the rest.")
    url = current.deployment().elevate_link(connection, ticket)
    return Said(_("Elevate"), (sentence,), link=_("Open Ticket Elevate"), url=url, again_after=LATER)
