"""One elevation after the button: its page, what the page asks every second, and the button that ends it."""

import logging

from flask import Blueprint, abort, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from integration.comments import Step
from integration.elevation import LABELS, OPEN, Elevation, EndReason, State
from integration.records import comments, elevations
from integration.records.elevations import Overtaken
from integration.rules import analysis_from_json
from webhooks import current
from webhooks.claims import is_address_of, not_theirs
from webhooks.people import Viewer, Why, signed_in, to_sign_in
from webhooks.sessions import BY_ITSELF
from workers.app import wake
from workers.ending import let_go
from workers.run import Run

log = logging.getLogger(__name__)
blueprint = Blueprint("live", __name__)


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
    return render_template(
        "live.html",
        it=it,
        by_itself=BY_ITSELF,
        sign_in_needed=_waits_for_sign_in(it),
        labels=LABELS,
        ticket_url=current.ticket_url(it.connection, it.ticket),
        analysis=analysis_from_json(it.analysis) if it.analysis else (),
        status=_status(it),
        help_contact=current.deployment().settings.help_contact,
    )


def _waits_for_sign_in(it: Elevation) -> bool:
    """Also an elevation that was asked for may have to wait for one, as its ticket says then."""
    if it.state is not State.WAITING:
        return it.state is State.SIGN_IN_NEEDED
    with current.deployment().records.read() as connection:
        return comments.said(connection, it.id, Step.UNSEEN) > 0


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
        for due in let_go(Run(current.deployment(), cause="click"), it.id, EndReason.END_NOW):
            wake(due)
    except Overtaken:
        # A worker was at it in this very moment, again and again: the page shows what became of it.
        log.info("end_now_overtaken", extra={"elevation": it.id})
    return redirect(url_for("live.show", elevation_id=it.id), code=303)
