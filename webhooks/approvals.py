"""What waits for the viewer's word as an approver, with the ticket's facts beside each request."""

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from integration.elevation import APPROVAL_PATIENCE, Activation, Elevation
from integration.entra.errors import EntraRefused, EntraUnavailable
from integration.entra.pim import Approval
from integration.records import elevations
from integration.rule import place
from integration.rules_answers import Analysis, analysis_from_json
from integration.targets import TargetKind
from integration.tickets import HelpdeskError, Ticket, clean
from webhooks import current
from webhooks.people import Viewer, signed_in
from webhooks.problems import page
from workers import decisions
from workers.app import wake
from workers.decisions import Decision
from workers.run import Run

log = logging.getLogger(__name__)
blueprint = Blueprint("approvals", __name__)
WORDS_LIMIT = 500  # visible characters
MOST = 50  # requests on the page


@dataclass(frozen=True)
class Held:
    """A ticket that waits for the request: our elevation of it, and the ticket as it stands now."""

    elevation: Elevation
    ticket: Ticket | None  # None: the helpdesk does not answer
    url: str | None

    @property
    def analysis(self) -> Analysis:
        return analysis_from_json(self.elevation.analysis) if self.elevation.analysis else ()


@dataclass(frozen=True)
class Waiting:
    """One request, as the approver sees it. `activation` is None for one that was made outside Ticket Elevate."""

    approval: Approval
    activation: Activation | None
    held: tuple[Held, ...]

    @property
    def who(self) -> str:
        named = next((it.elevation.technician for it in self.held if it.elevation.technician), None)
        return clean(named or self.approval.requestor, limit=200)

    @property
    def role(self) -> str:
        return clean(self.activation.target_name if self.activation else self.approval.target_name, limit=200)

    @property
    def where(self) -> str:
        return place(self.approval.target.scope)

    @property
    def until(self) -> datetime | None:
        return self.approval.created + APPROVAL_PATIENCE if self.approval.created else None

    @property
    def duration(self) -> timedelta | None:
        return timedelta(seconds=self.activation.duration_seconds) if self.activation else None

    @property
    def shown(self) -> str:
        return _shown(self.approval)


def _shown(it: Approval) -> str:
    """What the approver decides about: a hash that the form carries back."""
    words = (it.request_id, it.target.key, it.requestor, it.justification, it.ticket_number)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


@blueprint.get("/approvals")
@signed_in
def show(viewer: Viewer) -> str:
    return _page(viewer)


def _page(viewer: Viewer, wrong: str = "") -> str:
    waiting = [_beside(it) for it in _waiting(viewer)]
    return render_template("approvals.html", waiting=waiting, wrong=wrong, done=request.args.get("done", ""))


def _waiting(viewer: Viewer) -> list[Approval]:
    """Everything that the viewer may decide; never their own. Raises EntraError."""
    deployment = current.deployment()
    kinds = deployment.rules.kinds | {TargetKind.DIRECTORY_ROLE}
    found = deployment.tenant.approvals(viewer.tid, viewer.oid, datetime.now(UTC), kinds)
    others = [it for it in found if it.requestor.casefold() != viewer.oid.casefold()]
    return sorted(others, key=_age)[:MOST]


def _age(it: Approval) -> datetime:
    return it.created or datetime.max.replace(tzinfo=UTC)


def _beside(approval: Approval) -> Waiting:
    activation = _activation_of(approval)
    with current.deployment().records.read() as connection:
        waiting = elevations.holders(connection, activation.id) if activation else []
    run = Run(current.deployment(), cause="click")
    return Waiting(approval, activation, tuple(_held(run, it) for it in waiting))


def _activation_of(approval: Approval) -> Activation | None:
    with current.deployment().records.read() as connection:
        return elevations.open_activation_by_request(connection, approval.request_id)


def _held(run: Run, it: Elevation) -> Held:
    if not it.has_ticket or it.connection not in run.deployment.helpdesks:
        return Held(it, None, None)
    url = run.deployment.helpdesks[it.connection].ticket_url(it.ticket)
    try:
        return Held(it, run.ticket(it.connection, it.ticket), url)
    except HelpdeskError:
        return Held(it, None, url)  # it must not hide the request


@blueprint.post("/approvals/<request_id>")
@signed_in
def decide(viewer: Viewer, request_id: str) -> Response | str:
    reason = clean(request.form.get("reason", ""), limit=WORDS_LIMIT + 1)
    decision = request.form.get("decision", "")
    it = next((each for each in _waiting(viewer) if each.request_id == request_id), None)
    if it is None:
        sentence = "This request does not wait for you: it was decided or withdrawn, has run out, or is your own."
        return page(409, "There is nothing to decide", sentence, link=("All that waits", url_for("approvals.show")))
    if decision not in ("approve", "deny") or not 1 <= len(reason) <= WORDS_LIMIT:
        return Response(_page(viewer, wrong=request_id), 400, mimetype="text/html")
    if request.form.get("shown", "") != _shown(it):
        sentence = "The request changed since the page was drawn, so nothing was decided. Look at it again."
        return page(409, "The request changed", sentence, link=("All that waits", url_for("approvals.show")))
    approve, now = decision == "approve", datetime.now(UTC)
    try:
        current.deployment().tenant.decide(viewer.tid, viewer.oid, now, it, approve, reason)
    except EntraRefused as refused:
        return _refused(refused)
    except EntraUnavailable:
        if not _was_taken(viewer, it, approve, reason):
            raise
    _record(viewer, it, approve, reason, now)
    return redirect(url_for("approvals.show", done=decision), code=303)


def _was_taken(viewer: Viewer, it: Approval, approve: bool, reason: str) -> bool:
    """Whether the tenant has this decision although its answer was lost. Raises EntraError."""
    tenant, now = current.deployment().tenant, datetime.now(UTC)
    found = tenant.decision(viewer.tid, viewer.oid, now, it.target, it.approval_id)
    return found is not None and (found.approved, clean(found.words, limit=WORDS_LIMIT)) == (approve, reason)


def _refused(refused: EntraRefused) -> Response:
    words = {
        403: "Microsoft Entra does not know you as an approver of this request.",
        404: "The request is gone: it was withdrawn, or has run out.",
        409: "Another approver decided this at the same moment.",
    }
    sentence = f"{words.get(refused.status, str(refused))} You decided nothing."
    log.info("approval_refused", extra={"status": refused.status, "code": refused.code})
    return page(409, "This was not decided by you", sentence, link=("All that waits", url_for("approvals.show")))


def _record(viewer: Viewer, it: Approval, approve: bool, reason: str, now: datetime) -> None:
    activation = _activation_of(it)
    if activation is None:
        return  # made outside Ticket Elevate: Entra's own log has it
    run = Run(current.deployment(), cause="click")
    decision = Decision(approve, clean(viewer.name, limit=100), viewer.oid, reason, now)
    for due in decisions.record(run, activation, decision):
        wake(due)
