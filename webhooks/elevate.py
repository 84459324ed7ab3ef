"""The technician's pages: one ticket's elevation before and after the button, and all elevations of one's own."""

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from flask import Blueprint, abort, current_app, jsonify, redirect, render_template, request, url_for
from ulid import ULID
from werkzeug.wrappers import Response

from integration.deployment import Deployment
from integration.elevation import LABELS, OPEN, Elevation, EndReason, State, move
from integration.entra.errors import EntraError, SignInNeeded
from integration.journal import Kind
from integration.records import elevations, journal, people
from integration.records.elevations import Overtaken
from integration.records.tables import elevations as table
from integration.rules import Plan, Refusal, analysis_from_json
from integration.tickets import HelpdeskError, Status, Ticket
from webhooks.people import Viewer, signed_in
from webhooks.problems import page as problem_page
from webhooks.sign_in import link_account, not_of_user
from workers.app import wake
from workers.deciding import decide
from workers.deliveries import CLICK
from workers.ending import let_go
from workers.run import Due, Run, What

log = logging.getLogger(__name__)
blueprint = Blueprint("elevate", __name__)
CHOICES = (timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(hours=4))
STAGES = ("Asked", "Validated", "Active")


def _deployment() -> Deployment:
    deployment: Deployment = current_app.config["DEPLOYMENT"]
    return deployment


@blueprint.get("/")
@signed_in
def mine(viewer: Viewer) -> str:
    query = sa.select(table).where(table.c.tid == viewer.tid, table.c.oid == viewer.oid)
    with _deployment().records.read() as connection:
        rows = list(connection.execute(query.order_by(table.c.created_at.desc()).limit(100)))
    running = [row for row in rows if row.state in OPEN]
    done = [row for row in rows if row.state not in OPEN]
    return render_template("mine.html", running=running, done=done, labels=LABELS)


@dataclass(frozen=True)
class Asked:
    """What the page of a ticket needs to know before the button is pressed."""

    ticket: Ticket
    offer: Elevation  # the open offer of this ticket, or what would be opened
    decision: Plan | Refusal


def _look(viewer: Viewer, connection: str, number: str, *, link: bool) -> Asked | Response:
    """Read the ticket and ask the rules on behalf of the viewer; or the page that says why that is of no use.

    `link`: whether a helpdesk account that is theirs may be linked on the way. A GET must not: link scanners follow it.
    """
    deployment, now = _deployment(), datetime.now(UTC)
    if connection not in deployment.helpdesks:
        abort(404)
    run = Run(deployment, cause="click")
    try:
        ticket = run.ticket(connection, number)
    except HelpdeskError as error:
        return problem_page(502 if error.try_again else 404, "The ticket could not be read", str(error))
    refused = _not_theirs(deployment, viewer, ticket, now, link=link)
    if refused is not None:
        return refused
    assert ticket.assignee is not None
    with deployment.records.read() as reading:
        held = [
            it
            for it in elevations.open_on_ticket(reading, connection, ticket.number)
            if it.account == ticket.assignee.account and it.state is not State.ENDING
        ]
        used = elevations.of_pick(reading, connection, ticket.number, ticket.assignee.account, ticket.change or "")
    if held and held[0].state is not State.OFFERED:
        return redirect(url_for("elevate.live", elevation_id=held[0].id), code=303)
    offer = held[0] if held else _new(viewer, ticket, now, again=used is not None)
    if used is None and ticket.change:
        offer = replace(offer, pick=ticket.change[:128])
    offer = replace(offer, tid=viewer.tid, oid=viewer.oid, technician=viewer.name)
    try:
        return Asked(ticket, offer, decide(run, offer, ticket))
    except SignInNeeded:
        return Response(render_template("sign_in.html", back_to=request.path, again=True), 401, mimetype="text/html")
    except EntraError as error:
        return problem_page(502, "Entra did not answer", str(error), next_step="Reload this page in a minute.")


def _not_theirs(
    deployment: Deployment, viewer: Viewer, ticket: Ticket, now: datetime, *, link: bool
) -> Response | None:
    here = (ticket.number, deployment.helpdesks[ticket.connection].ticket_url(ticket.number))
    back = (f"Back to ticket {here[0]}", here[1])
    if ticket.status is Status.SOLVED:
        sentence = "This ticket is solved. A role is only activated for a ticket that somebody is working on."
        return problem_page(409, "The ticket is solved", sentence, next_step="Reopen the ticket first.", link=back)
    if ticket.assignee is None:
        sentence = "Nobody is assigned to this ticket yet. A role is only activated for the technician who works on it."
        return problem_page(
            409, "The ticket is nobody's", sentence, next_step="Assign it to yourself first.", link=back
        )
    with deployment.records.read() as connection:
        known = people.link_of(connection, ticket.connection, ticket.assignee.account)
    same_address = known is not None and (ticket.assignee.address or "").casefold() == known.address.casefold()
    if known is not None and known.suspended_at is None and same_address:
        if (known.tid, known.oid) == (viewer.tid, viewer.oid):
            return None
        sentence = "This ticket is assigned to another technician. Only they can elevate for it."
        return problem_page(403, "This is another technician's ticket", sentence, link=back)
    if not link:
        return not_of_user(deployment, viewer.tid, viewer.oid, ticket.assignee.address, now=now)
    return link_account(
        deployment,
        viewer.tid,
        viewer.oid,
        viewer.name,
        ticket.connection,
        ticket.assignee.account,
        ticket.assignee.address,
        now=now,
    )


def _new(viewer: Viewer, ticket: Ticket, now: datetime, *, again: bool) -> Elevation:
    """What a click opens. The first one uses the assignment up: a later delivery about it starts nothing."""
    assert ticket.assignee is not None
    return Elevation(
        id=str(ULID()),
        connection=ticket.connection,
        ticket=ticket.number,
        account=ticket.assignee.account,
        address=ticket.assignee.address,
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
    asked = _look(viewer, connection, ticket, link=False)
    return asked if isinstance(asked, Response) else _ask_page(asked, connection, ticket)


def _ask_page(asked: Asked, connection: str, ticket: str, *, changed: bool = False) -> str:
    url = _deployment().helpdesks[connection].ticket_url(ticket)
    if isinstance(asked.decision, Refusal):
        contact = _deployment().settings.help_contact
        return render_template(
            "refused.html", asked=asked, refusal=asked.decision, ticket_url=url, help_contact=contact
        )
    most = asked.decision.duration
    durations = sorted({d for d in CHOICES if d < most} | {most})
    return render_template(
        "ask.html",
        asked=asked,
        plan=asked.decision,
        shown=_shown(asked.decision),
        changed=changed,
        durations=durations,
        ticket_url=url,
    )


def _shown(plan: Plan) -> str:
    """What of a plan the technician agreed to by the button: a hash that the form carries back."""
    words = (plan.rule, plan.target.key, plan.justification, str(plan.duration), _deployment().rules.digest)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


@blueprint.post("/elevate/<connection>/<ticket>")
@signed_in
def start(viewer: Viewer, connection: str, ticket: str) -> Response:
    asked = _look(viewer, connection, ticket, link=True)
    if isinstance(asked, Response):
        return asked
    if isinstance(asked.decision, Refusal):
        return redirect(url_for("elevate.ask", connection=connection, ticket=ticket), code=303)
    if request.form.get("shown", "") != _shown(asked.decision):
        # The ticket, the rules or the tenant changed since the page was drawn: nobody agreed to this plan yet.
        return Response(_ask_page(asked, connection, ticket, changed=True), 409, mimetype="text/html")
    now, deployment = datetime.now(UTC), _deployment()
    offer = replace(asked.offer, duration_seconds=_chosen(asked.decision), rule=asked.decision.rule)
    try:
        _commit(deployment, viewer, offer, now)
    except (sa.exc.IntegrityError, Overtaken):
        # A second click, another tab or a delivery was first: the page that follows shows what it started.
        return redirect(url_for("elevate.ask", connection=connection, ticket=ticket), code=303)
    wake(Due(What.ELEVATION, offer.id))
    return redirect(url_for("elevate.live", elevation_id=offer.id), code=303)


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


def _own(viewer: Viewer, elevation_id: str, *, or_unlinked: bool = False) -> Elevation:
    """An elevation of the viewer; one whose helpdesk account nobody has claimed yet is nobody's, unless asked for."""
    with _deployment().records.read() as connection:
        it = elevations.elevation(connection, elevation_id)
    nobodys = or_unlinked and it is not None and it.oid is None
    if it is None or not (nobodys or (it.tid, it.oid) == (viewer.tid, viewer.oid)):
        abort(404)
    return it


@blueprint.get("/elevations/<elevation_id>")
@signed_in
def live(viewer: Viewer, elevation_id: str) -> Response | str:
    it = _own(viewer, elevation_id, or_unlinked=True)
    if it.oid is None:
        return _unclaimed(viewer, it)
    if it.state is State.OFFERED:
        return redirect(url_for("elevate.ask", connection=it.connection, ticket=it.ticket), code=303)
    deployment = _deployment()
    url = deployment.helpdesks[it.connection].ticket_url(it.ticket)
    analysis = analysis_from_json(it.analysis) if it.analysis else ()
    return render_template(
        "live.html",
        it=it,
        labels=LABELS,
        ticket_url=url,
        analysis=analysis,
        status=_status(it),
        help_contact=deployment.settings.help_contact,
    )


def _unclaimed(viewer: Viewer, it: Elevation) -> Response | str:
    """Whose it is depends on the address in the helpdesk. Until that is known, no fact of it is shown."""
    if it.state is State.SIGN_IN_NEEDED:
        return render_template("sign_in.html", back_to=f"/elevations/{it.id}", again=True)
    if it.state is not State.OFFERED:
        abort(404)
    refused = not_of_user(_deployment(), viewer.tid, viewer.oid, it.address, now=datetime.now(UTC))
    if refused is not None:
        return refused
    return redirect(url_for("elevate.ask", connection=it.connection, ticket=it.ticket), code=303)


@blueprint.get("/elevations/<elevation_id>/status")
@signed_in
def status(viewer: Viewer, elevation_id: str) -> Response:
    response = jsonify(_status(_own(viewer, elevation_id)))
    response.add_etag()
    return response.make_conditional(request)


def _status(it: Elevation) -> dict[str, object]:
    """What the live page shows: which of the three stages are done, until when, and the words for it."""
    done = {State.REQUESTED: 0, State.SIGN_IN_NEEDED: 0, State.WAITING: 1}.get(it.state, 3 if it.active_at else 0)
    return {
        "state": it.state,
        "label": LABELS[it.state],
        "open": it.state in OPEN,
        "stages_done": done,
        "until": it.until.isoformat() if it.until else None,
        "can_end": it.state in (State.REQUESTED, State.SIGN_IN_NEEDED, State.WAITING, State.ACTIVE),
        "outcome": it.outcome,
    }


@blueprint.post("/elevations/<elevation_id>/end")
@signed_in
def end(viewer: Viewer, elevation_id: str) -> Response:
    it = _own(viewer, elevation_id)
    try:
        for due in let_go(Run(_deployment(), cause="click"), it.id, EndReason.END_NOW):
            wake(due)
    except Overtaken:
        # A worker was at it in this very moment, again and again: the page shows what became of it.
        log.info("end_now_overtaken", extra={"elevation": it.id})
    return redirect(url_for("elevate.live", elevation_id=it.id), code=303)
