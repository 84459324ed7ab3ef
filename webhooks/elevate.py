"""The page of one ticket before the button, and the button."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from flask import Blueprint, redirect, render_template, request, url_for
from ulid import ULID
from werkzeug.wrappers import Response

from integration.deployment import Deployment
from integration.elevation import Elevation, State, move
from integration.entra.pim import Policy
from integration.journal import Kind
from integration.records import elevations, journal
from integration.records.elevations import Overtaken
from integration.records.people import Link
from integration.rules import Mode, Plan, Refusal
from integration.tickets import Ticket
from webhooks import current, embed, linking, roles
from webhooks.claims import Claim, claim
from webhooks.people import Viewer, signed_in
from webhooks.role_words import role_words, where
from workers.app import wake
from workers.deciding import decide_all, policy_of
from workers.deliveries import CLICK
from workers.run import Due, What

blueprint = Blueprint("elevate", __name__)
CHOICES = (timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(hours=4))


@dataclass(frozen=True)
class Asked:
    """What the page of a ticket needs to know before the button is pressed."""

    ticket: Ticket
    offer: Elevation  # the open offer of this ticket, or what would be opened
    decision: Plan | Refusal
    # What the tenant asks for each role that is planned, by its name; None where it does not tell.
    policies: tuple[tuple[str, Policy | None], ...]
    link: Link | None  # what the button makes first, where the technician's account is not linked yet


def _look(viewer: Viewer, connection: str, number: str) -> Asked | Response:
    """Read the ticket and ask the rules on behalf of the viewer; or the page that is shown instead. Changes nothing."""
    now = datetime.now(UTC)
    found = claim(viewer, connection, number)
    if isinstance(found, Response):
        return found
    ticket, account = found.ticket, found.technician.account
    link = None if found.linked else linking.wanted(viewer, connection, account, found.technician.address, now)
    with current.deployment().records.read() as reading:
        held = _held(reading, ticket, account)
        used = elevations.of_pick(reading, connection, ticket.number, account, ticket.change or "")
    waits = held is not None and held.state is State.SIGN_IN_NEEDED
    if link is not None and (waits or linking.live_in_the_way(link)):
        return redirect(url_for("linking.ask", connection=connection, ticket=number), code=303)
    if held is not None and held.state is not State.OFFERED:
        return redirect(url_for("live.show", elevation_id=held.id), code=303)
    offer = held or _new(viewer, found, now, again=used is not None)
    if used is None and ticket.change:
        offer = replace(offer, pick=ticket.change[:128])
    offer = replace(offer, tid=viewer.tid, oid=viewer.oid, technician=viewer.name)
    answers = decide_all(found.run, offer, ticket)
    plans = [answer for answer in answers if isinstance(answer, Plan)]
    policies = tuple((plan.target_name, policy_of(found.run, offer, plan.target)) for plan in plans)
    return Asked(ticket, offer, plans[0] if plans else answers[0], policies, link)


def _held(reading: sa.Connection, ticket: Ticket, account: str) -> Elevation | None:
    """The elevation that is on for this technician's ticket; there is one at most, besides those that are ending."""
    on = elevations.open_on_ticket(reading, ticket.connection, ticket.number)
    return next((it for it in on if it.account == account and it.state is not State.ENDING), None)


def _new(viewer: Viewer, found: Claim, now: datetime, *, again: bool) -> Elevation:
    """What a click opens. The first one uses the assignment up: a later delivery about it starts nothing."""
    ticket = found.ticket
    return Elevation(
        id=str(ULID()),
        connection=ticket.connection,
        ticket=ticket.number,
        account=found.technician.account,
        address=found.technician.address,
        pick=f"{CLICK}{ULID()}" if again or not ticket.change else ticket.change[:128],
        state=State.REQUESTED,
        version=1,
        due_at=now,
        created_at=now,
        tid=viewer.tid,
        oid=viewer.oid,
        technician=viewer.name,
        acted_at=now,
        clicked=True,
    )


@blueprint.get("/elevate/<connection>/<ticket>")
@signed_in
def ask(viewer: Viewer, connection: str, ticket: str) -> Response | str:
    asked = _look(viewer, connection, ticket)
    return asked if isinstance(asked, Response) else _ask_page(asked, connection, ticket)


def _ask_page(asked: Asked, connection: str, ticket: str, *, changed: bool = False) -> str:
    url, handed = current.ticket_url(connection, ticket), embed.handed(connection)
    if isinstance(asked.decision, Refusal):
        contact = current.deployment().settings.help_contact
        return render_template(
            "refused.html",
            asked=asked,
            refusal=asked.decision,
            ticket_url=url,
            help_contact=contact,
            handed=handed,
        )
    most = asked.decision.duration
    rule = next((it for it in current.deployment().rules.rules if it.name == asked.decision.rule), None)
    durations = sorted({d for d in CHOICES if d < most} | {most})
    return render_template(
        "ask.html",
        asked=asked,
        plan=asked.decision,
        shown=_shown(asked),
        changed=changed,
        durations=durations,
        ticket_url=url,
        handed=handed,
        policies=asked.policies,
        where=where(asked.decision.target.scope),
        words=role_words(asked.decision.target),
        cut=rule is not None and rule.duration > most,
        instead_of=_instead_of(asked),
        others=[name for name, _policy in asked.policies[1:]],
        together=rule.bundle if rule else None,
    )


def _instead_of(asked: Asked) -> str:
    """The name of the role that was chosen on the list of roles, where the rules give none like it for this ticket."""
    wanted = request.args.get("role", "")
    chosen = roles.came_for(asked.offer.tid or "", asked.offer.oid or "", wanted) if wanted else None
    if chosen is None or isinstance(asked.decision, Refusal):
        return ""
    key, name = chosen
    given = key.casefold() == asked.decision.target.key.casefold() or name in [it for it, _policy in asked.policies[1:]]
    return "" if given else name


def _shown(asked: Asked) -> str:
    """What the technician agrees to by the button: a hash that the form carries back."""
    plan, link = asked.decision, asked.link
    assert isinstance(plan, Plan)
    linked = f"{link.account} {link.address} " if link else ""
    linked += repr(asked.policies)
    words = (plan.rule, plan.target.key, plan.justification, str(plan.duration), current.deployment().rules.digest)
    return hashlib.sha256("\n".join((*words, linked)).encode()).hexdigest()


@blueprint.post("/elevate/<connection>/<ticket>")
@signed_in
def start(viewer: Viewer, connection: str, ticket: str) -> Response:
    asked = _look(viewer, connection, ticket)
    if isinstance(asked, Response):
        return asked
    if isinstance(asked.decision, Refusal) or asked.decision.mode is Mode.WATCH:
        return redirect(url_for("elevate.ask", connection=connection, ticket=ticket), code=303)
    if request.form.get("shown", "") != _shown(asked):
        # The ticket, the rules or the tenant changed since the page was drawn: nobody agreed to this plan yet.
        return Response(_ask_page(asked, connection, ticket, changed=True), 409, mimetype="text/html")
    if asked.link is not None and not linking.make(asked.link):
        return redirect(url_for("linking.ask", connection=connection, ticket=ticket), code=303)
    now, deployment = datetime.now(UTC), current.deployment()
    offer = replace(asked.offer, duration_seconds=_chosen(asked.decision), rule=asked.decision.rule)
    try:
        _commit(deployment, viewer, offer, now)
    except (sa.exc.IntegrityError, Overtaken):
        # A second click, another tab or a delivery was first: the page that follows shows what it started.
        return redirect(url_for("elevate.ask", connection=connection, ticket=ticket), code=303)
    wake(Due(What.ELEVATION, offer.id))
    return redirect(url_for("live.show", elevation_id=offer.id), code=303)


def _commit(deployment: Deployment, viewer: Viewer, offer: Elevation, now: datetime) -> None:
    """Write down that this technician asked for it. Raises IntegrityError or Overtaken when somebody was first."""
    with deployment.records.write() as tx:
        if offer.state is State.OFFERED:
            clicked = replace(offer, acted_at=now, clicked=True)
            elevations.save_elevation(tx, move(clicked, State.REQUESTED, due_at=now))
        else:
            elevations.open_elevation(tx, offer)
        journal.append(
            tx,
            Kind.PICK_PLANNED,
            now=now,
            cause="click",
            elevation=offer.id,
            facts={
                "ticket": f"{offer.connection}/{offer.ticket}",
                "rule": offer.rule,
                "rules_digest": deployment.rules.digest,
                "duration_seconds": offer.duration_seconds,
            },
            private={"actor": viewer.oid, "account": offer.account},
        )


def _chosen(plan: Plan) -> int:
    """The duration that was picked on the page, in seconds; never more than the plan allows."""
    try:
        seconds = int(request.form.get("seconds", "0"))
    except ValueError:
        seconds = 0
    most = int(plan.duration.total_seconds())
    return min(seconds, most) if seconds >= 300 else most
