"""Break glass: a role without a ticket, told of at once, and flagged until reviewed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext as _
from ulid import ULID
from werkzeug.wrappers import Response

from integration import comments as words
from integration.comments import Step
from integration.elevation import Elevation, State
from integration.entra.errors import EntraError, SignInNeeded
from integration.journal import Kind
from integration.notices import NoticeKind
from integration.records import elevations, story
from integration.records.elevations import Overtaken
from integration.rule import BREAK_GLASS
from integration.rules import Mode, Plan, Refusal
from integration.rules_break_glass import LONGEST_REASON, SHORTEST_REASON, named
from integration.targets import Target, TargetKind
from integration.tickets import HelpdeskError, Ticket, clean
from webhooks import current
from webhooks.claims import helpdesk_said, is_technician
from webhooks.people import AppRole, Viewer, reviewer, signed_in
from webhooks.problems import page, tenant_said
from webhooks.unread import Unread, in_words
from workers.app import wake
from workers.change import change
from workers.deciding import decide_emergency
from workers.deliveries import CLICK
from workers.run import Due, Run, What

blueprint = Blueprint("break_glass", __name__)
NOTE_LIMIT = 500  # visible characters
TWICE = timedelta(minutes=1)  # within which the same button for the same thing is one click of a slow line


def may(viewer: Viewer) -> bool:
    """Whether there is break glass here, and this person may break it."""
    return AppRole.BREAK_GLASS in viewer.roles and current.deployment().rules.break_glass is not None


def _new(viewer: Viewer, target: str, reason: str) -> Elevation:
    now = datetime.now(UTC)
    return Elevation(
        id=str(ULID()),
        connection="",
        ticket="",
        account=viewer.upn,
        pick=f"{CLICK}{ULID()}",
        state=State.REQUESTED,
        version=1,
        due_at=now,
        created_at=now,
        acted_at=now,
        clicked=True,
        tid=viewer.tid,
        oid=viewer.oid,
        technician=viewer.name,
        rule=BREAK_GLASS,
        target=target,
        emergency=True,
        reason=clean(reason, limit=LONGEST_REASON + 1),
    )


def _plans(viewer: Viewer) -> tuple[list[Plan], list[Unread]]:
    """What they could activate now, each with its duration, and of which kinds that cannot be known.

    Raises EntraError where no kind answers.
    """
    table = current.deployment().rules.break_glass
    run = Run(current.deployment(), cause="click")
    plans: list[Plan] = []
    errors: dict[TargetKind, EntraError] = {}
    targets = [Target(it.kind, it.id, it.scope) for it in table.targets] if table else []
    for target in targets:
        if target.kind in errors:
            continue
        try:
            found = decide_emergency(run, _new(viewer, target.key, "x" * SHORTEST_REASON), target.key)
        except EntraError as error:
            errors[target.kind] = error
            continue
        if isinstance(found, Plan):
            plans.append(found)
    return plans, in_words(errors, rest=bool(plans) or any(it.kind not in errors for it in targets))


@blueprint.get("/break-glass")
@signed_in
def ask(viewer: Viewer) -> str:
    if not may(viewer):
        abort(404)
    return _page(viewer)


def _page(viewer: Viewer, wrong: str = "", asked: Elevation | None = None) -> str:
    """`asked`: what was asked for and refused, to be mended."""
    plans, unread = _plans(viewer)
    return render_template(
        "break_glass.html",
        plans=plans,
        unread=unread,
        wrong=wrong,
        asked=asked,
        limits=(SHORTEST_REASON, LONGEST_REASON),
        watches=_watches(),
    )


def _once_more(asked: Elevation, error: EntraError) -> str:
    """What was asked for, to be sent again: which roles there are cannot be read from the tenant now."""
    table = current.deployment().rules.break_glass
    wanted = named(table, asked.target or "") if table else None
    return render_template(
        "break_glass.html",
        plans=(),
        unread=(),
        silent=tenant_said(error),
        role=wanted.name if wanted else "",
        asked=asked,
        limits=(SHORTEST_REASON, LONGEST_REASON),
        watches=_watches(),
    )


def _watches() -> bool:
    """Shadow mode of the whole file: nothing is activated, so nothing may be told of or reviewed."""
    return current.deployment().rules.mode is Mode.WATCH


@blueprint.post("/break-glass")
@signed_in
def start(viewer: Viewer) -> Response:
    if not may(viewer):
        abort(404)
    it = _new(viewer, request.form.get("target", ""), request.form.get("reason", ""))
    run = Run(current.deployment(), cause="click")
    if first := _just_started(it):
        return _to(first)
    try:
        if _watches():
            return Response(_page(viewer, asked=it), 409, mimetype="text/html")
        decision = decide_emergency(run, it, it.target or "")
        if isinstance(decision, Refusal):
            return Response(_page(viewer, wrong=decision.reason, asked=it), 400, mimetype="text/html")
    except SignInNeeded:
        raise
    except EntraError as error:
        return Response(_once_more(it, error), 502, mimetype="text/html")
    planned = replace(it, target_name=decision.target_name, duration_seconds=int(decision.duration.total_seconds()))
    try:
        with change(run) as changed:
            elevations.open_elevation(changed.tx, planned)
            facts = {"target": planned.target, "duration_seconds": planned.duration_seconds, "ticket": None}
            private = {"account": planned.account, "reason": planned.reason}
            changed.record(Kind.BREAKGLASS_STARTED, elevation=planned, facts=facts, private=private)
            changed.notify(NoticeKind.BREAK_GLASS, planned)
    except sa.exc.IntegrityError:
        if first := _just_started(it):
            return _to(first)
        sentence = _("You have an elevation without a ticket already. End that one first.")
        return page(409, _("One at a time"), sentence, link=(_("Now"), url_for("mine.show")))
    wake(Due(What.ELEVATION, planned.id))
    return _to(planned)


def _just_started(asked: Elevation) -> Elevation | None:
    """What an earlier press of the same button began."""
    with current.deployment().records.read() as connection:
        it = elevations.emergency_of(connection, asked.tid or "", asked.oid or "")
    same = it is not None and (it.target, it.reason) == (asked.target, asked.reason)
    return it if it and same and it.created_at > asked.created_at - TWICE else None


def _to(it: Elevation) -> Response:
    return redirect(url_for("live.show", elevation_id=it.id), code=303)


@blueprint.post("/elevations/<elevation_id>/ticket")
@signed_in
def name_ticket(viewer: Viewer, elevation_id: str) -> Response:
    """The ticket that there is by now: the whole story is written on it, for good. So it is shown first."""
    desk, number = request.form.get("connection", ""), request.form.get("ticket", "").strip()
    deployment = current.deployment()
    with deployment.records.read() as connection:
        it = elevations.elevation(connection, elevation_id)
    if it is None or not it.emergency or (it.tid, it.oid) != (viewer.tid, viewer.oid):
        abort(404)
    back = (_("Back to the elevation"), url_for("live.show", elevation_id=it.id))
    sure = request.form.get("sure", "") == "yes"
    if sure and it.has_ticket and (it.connection, it.ticket) == (desk, number):
        return _to(it)  # the button was pressed twice
    if it.has_ticket or desk not in deployment.helpdesks:
        title = _("It has a ticket already") if it.has_ticket else _("No such helpdesk")
        return page(409, title, _("Nothing was changed."), link=back)
    run = Run(deployment, cause="click")
    if not sure and not is_technician(viewer, desk):
        return _ask_whether(it, desk, number, None)  # they learn nothing of what that helpdesk holds
    try:
        ticket = run.ticket(desk, number)
    except HelpdeskError as error:
        sentence = helpdesk_said(error, desk) + " " + _("Nothing was changed.")
        return page(502, _("The ticket could not be read"), sentence, link=back)
    if not sure:
        return _ask_whether(it, desk, ticket.number, ticket)
    try:
        with change(run) as changed:
            saved = elevations.save_elevation(changed.tx, replace(it, connection=desk, ticket=ticket.number))
            text = words.break_glass(saved, deployment.settings.zone)
            facts = {"ticket": f"{desk}/{ticket.number}"}
            changed.record(Kind.BREAKGLASS_TICKET, elevation=saved, facts=facts, step=Step.BREAK_GLASS, text=text)
    except (Overtaken, sa.exc.IntegrityError):
        return page(409, _("It changed at this moment"), _("Nothing was changed. Try again."), link=back)
    for due in changed.due:
        wake(due)
    return _to(it)


def _ask_whether(it: Elevation, desk: str, number: str, ticket: Ticket | None) -> Response:
    """`ticket`: what the viewer may see of it."""
    shown = clean(number, limit=64)
    body = render_template("name_ticket.html", it=it, desk=desk, number=shown, ticket=ticket)
    return Response(body, mimetype="text/html")


@blueprint.post("/review/<elevation_id>/reviewed")
@reviewer
def reviewed(viewer: Viewer, elevation_id: str) -> Response:
    """Somebody else than the technician looked at it, and says so."""
    note = clean(request.form.get("note", ""), limit=NOTE_LIMIT + 1)
    run = Run(current.deployment(), cause="click")
    with run.deployment.records.read() as connection:
        it = elevations.elevation(connection, elevation_id)
    if it is None or not it.emergency:
        abort(404)
    back = (_("Back to the list"), url_for("review.emergencies"))
    if (it.tid, it.oid) == (viewer.tid, viewer.oid):
        return page(403, _("This was yours"), _("Somebody else must review it."), link=back)
    if not 1 <= len(note) <= NOTE_LIMIT:
        sentence = _("Say in 1 to %(most)s characters what you found.", most=NOTE_LIMIT)
        return page(400, _("A note is needed"), sentence, link=back)
    if _reviewed_so(viewer, it, note):
        return redirect(url_for("review.emergencies"), code=303)
    if it.reviewed_at is not None:
        return page(409, _("It was reviewed already"), _("Nothing was changed."), link=back)
    try:
        with change(run) as changed:
            seen = replace(it, reviewed_at=run.now, reviewed_by=clean(viewer.name, limit=200))
            elevations.save_elevation(changed.tx, seen)
            private = {"actor": viewer.oid, "note": note}
            changed.record(Kind.BREAKGLASS_REVIEWED, elevation=seen, private=private)
    except Overtaken:
        if not _reviewed_so(viewer, it, note):
            return page(409, _("It changed at this moment"), _("Nothing was changed. Try again."), link=back)
    return redirect(url_for("review.emergencies"), code=303)


def _reviewed_so(viewer: Viewer, it: Elevation, note: str) -> bool:
    """Whether the viewer said this very thing before: the button was pressed twice."""
    with current.deployment().records.read() as connection:
        return story.review(connection, it.id) == {"actor": viewer.oid, "note": note}
