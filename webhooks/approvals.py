"""What waits for the viewer's word as an approver, with the ticket's facts beside each request."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from integration.deployment import Deployment
from integration.elevation import APPROVAL_PATIENCE, LABELS, Activation, Elevation
from integration.entra.errors import EntraError, EntraRefused, EntraUnavailable, SignInNeeded
from integration.entra.pim import Approval
from integration.journal import Kind
from integration.records import elevations, journal
from integration.rules_answers import Analysis, analysis_from_json
from integration.targets import TargetKind
from integration.tickets import HelpdeskError, Ticket, clean
from webhooks import current
from webhooks.people import Viewer, signed_in
from webhooks.problems import page, tenant_said
from webhooks.role_words import where
from webhooks.sessions import TYPED
from webhooks.unread import Unread, in_words
from workers import at_once, decisions, roles
from workers.app import wake
from workers.decisions import Decision
from workers.run import Run

log = logging.getLogger(__name__)
blueprint = Blueprint("approvals", __name__)
WORDS_LIMIT = 500  # visible characters
MOST = 50  # requests on the page
BEFORE = 20  # decisions of before on the page
JUST_NOW = timedelta(minutes=1)  # for so long the page says what a decision did
PATIENCE = timedelta(seconds=4)  # with all tickets together: a slow helpdesk must not keep requests from their approver
# With all kinds of role together: Azure may take half a minute for what a page cannot wait for.
TENANT_PATIENCE = timedelta(seconds=12)


@dataclass(frozen=True)
class Held:
    """A ticket that waits for the request: our elevation of it, and the ticket as it stands now."""

    elevation: Elevation
    ticket: Ticket | None  # None: the helpdesk does not answer, or not in time
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
        return where(self.approval.target.scope)

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
    request_id, reason = session.get(TYPED, ("", ""))
    return _page(viewer, typed=request_id, reason=reason)


def _page(viewer: Viewer, *, wrong: str = "", typed: str = "", reason: str = "") -> str:
    """`wrong`: the request that was decided about with a `reason` that is none; `typed`: one that was not decided yet,
    since its approver had to sign in. The `reason` stays in its field.
    """
    found, unread = _read(viewer)
    found.sort(key=lambda it: it.request_id != typed)  # it is among those that are shown
    waits = any(it.request_id == typed for it in found)
    if typed and not waits and not unread:
        session.pop(TYPED)
    before = _decided_before(viewer)
    return render_template(
        "approvals.html",
        waiting=_beside(found[:MOST]),
        unread=unread,
        more=max(len(found) - MOST, 0),
        wrong=wrong,
        typed=typed,
        waits=waits,
        reason=reason,
        done=before[0] if before and not wrong and before[0].at > datetime.now(UTC) - JUST_NOW else None,
        before=before,
        labels=LABELS,
    )


def _read(viewer: Viewer) -> tuple[list[Approval], list[Unread]]:
    """What the viewer may decide, and whose requests cannot be shown. Raises EntraError where no source answers."""
    found: list[Approval] = []
    errors: dict[TargetKind, EntraError] = {}
    kinds = roles.kinds(current.deployment())
    ready = []
    for kind in kinds:
        try:
            current.deployment().tenant.make_ready(viewer.tid, viewer.oid, datetime.now(UTC), kind)
            ready.append(kind)
        except EntraError as error:
            errors[kind] = error
    with at_once.reading(partial(_waiting, current.deployment(), viewer), ready, patience=TENANT_PATIENCE) as answers:
        for kind, answer in answers:
            try:
                found += answer()
            except at_once.TookTooLong:
                errors[kind] = EntraUnavailable("It took too long.")
            except EntraError as error:
                errors[kind] = error
    return sorted(found, key=_age), in_words(errors, rest=len(errors) < len(kinds))


def _find(viewer: Viewer, request_id: str, kind_of_it: str) -> Approval | None:
    """A request that the viewer may decide, whatever other sources say. Raises EntraError where it cannot be known.

    `kind_of_it`: as the form says, to be asked for first; the others may be slow.
    """
    silent: EntraError | None = None
    for kind in sorted(roles.kinds(current.deployment()), key=lambda kind: kind != kind_of_it):
        try:
            waiting = _waiting(current.deployment(), viewer, kind)
            found = next((it for it in waiting if it.request_id == request_id), None)
        except EntraError as error:
            silent, found = silent or error, None
        if found is not None:
            return found
    if silent is not None:
        raise silent
    return None


def _waiting(deployment: Deployment, viewer: Viewer, kind: TargetKind) -> list[Approval]:
    """Everything of this kind that the viewer may decide; never their own. Raises EntraError."""
    found = deployment.tenant.approvals(viewer.tid, viewer.oid, datetime.now(UTC), frozenset({kind}))
    return [it for it in found if it.requestor.casefold() != viewer.oid.casefold()]


def _age(it: Approval) -> datetime:
    return it.created or datetime.max.replace(tzinfo=UTC)


def _beside(approvals: list[Approval]) -> list[Waiting]:
    """Each with the tickets that wait for it, which are read all at once."""
    found: list[tuple[Approval, Activation | None, list[Elevation]]] = []
    with current.deployment().records.read() as connection:
        for it in approvals:
            activation = elevations.open_activation_by_request(connection, it.request_id)
            found.append((it, activation, elevations.holders(connection, activation.id) if activation else []))
    run = Run(current.deployment(), cause="click")
    every = [it for _, _, held in found for it in held]
    with at_once.reading(partial(_ticket, run), every, patience=PATIENCE) as answers:
        tickets = {it.id: answer for it, answer in answers}
        return [
            Waiting(approval, activation, tuple(_held(run, it, tickets[it.id]) for it in held))
            for approval, activation, held in found
        ]


def _activation_of(approval: Approval) -> Activation | None:
    with current.deployment().records.read() as connection:
        return elevations.open_activation_by_request(connection, approval.request_id)


def _ticket(run: Run, it: Elevation) -> Ticket | None:
    if not it.has_ticket or it.connection not in run.deployment.helpdesks:
        return None
    try:
        return run.ticket(it.connection, it.ticket)
    except HelpdeskError:
        return None  # it must not hide the request


def _held(run: Run, it: Elevation, read: Callable[[], Ticket | None]) -> Held:
    helpdesk = run.deployment.helpdesks.get(it.connection) if it.has_ticket else None
    try:
        ticket = read()
    except at_once.TookTooLong:
        ticket = None
    return Held(it, ticket, helpdesk.ticket_url(it.ticket) if helpdesk else None)


@dataclass(frozen=True)
class Before:
    """A decision that the viewer made here before. `elevation` is None where no ticket waited any more."""

    at: datetime
    approved: bool
    words: str
    elevation: Elevation | None
    outside: str | None  # the role of a request that was made outside Ticket Elevate; None for our own

    @property
    def role(self) -> str:
        return ((self.elevation.target_name if self.elevation else self.outside) or "").strip()

    @property
    def has_ticket(self) -> bool:
        return self.elevation is not None and self.elevation.has_ticket


def _decided_before(viewer: Viewer) -> list[Before]:
    with current.deployment().records.read() as connection:
        rows = journal.decided_by(connection, viewer.oid, limit=BEFORE)
        return [
            Before(row.at, _facts(row.entry).get("decision") == "approved", row.words or "", held, outside)
            for row in rows
            for held in [elevations.elevation(connection, row.elevation) if row.elevation else None]
            for outside in [None if row.elevation or row.activation else row.role or ""]
        ]


def _facts(entry: str) -> dict[str, object]:
    try:
        facts: dict[str, object] = json.loads(entry)["facts"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}  # somebody edited the entry: the page must still be shown
    return facts if isinstance(facts, dict) else {}


@blueprint.get("/approvals/<request_id>")
@signed_in
def back(viewer: Viewer, request_id: str) -> Response:  # noqa: ARG001
    """Only a form leads here. Who reloads what it answered, or comes back from a sign-in, sees what waits."""
    return _to_all()


@blueprint.post("/approvals/<request_id>")
@signed_in
def decide(viewer: Viewer, request_id: str) -> Response:
    reason = clean(request.form.get("reason", ""), limit=WORDS_LIMIT + 1)
    if session.get(TYPED, ("",))[0] == request_id:
        session.pop(TYPED)
    try:
        return _decide(viewer, request_id, request.form.get("decision", ""), reason)
    except SignInNeeded:
        session[TYPED] = [request_id, reason]
        raise
    except EntraError as error:
        return _once_more(request_id, reason, error)


def _once_more(request_id: str, reason: str, error: EntraError) -> Response:
    """The form alone, with what was typed: what stands around it on the page cannot be read from the tenant now."""
    body = render_template(
        "undecided.html",
        request_id=request_id,
        reason=reason,
        role=clean(request.form.get("role", ""), limit=200),
        shown=request.form.get("shown", ""),
        kind=request.form.get("kind", ""),
        why=tenant_said(error),
        unknown=isinstance(error, EntraUnavailable) and error.outcome_unknown,
    )
    return Response(body, 502, mimetype="text/html")


def _decide(viewer: Viewer, request_id: str, decision: str, reason: str) -> Response:
    """Raises EntraError: `outcome_unknown` where the tenant may have taken the decision, else nothing was decided."""
    it = _find(viewer, request_id, request.form.get("kind", ""))
    if it is None and _said_before(viewer, request_id, decision, reason):
        return _to_all()
    if it is None:
        sentence = _("This request does not wait for you: it was decided or withdrawn, has run out, or is your own.")
        return page(409, _("There is nothing to decide"), sentence, link=_all_that_waits())
    if decision not in ("approve", "deny") or not 1 <= len(reason) <= WORDS_LIMIT:
        return Response(_page(viewer, wrong=request_id, reason=reason), 400, mimetype="text/html")
    if request.form.get("shown", "") != _shown(it):
        sentence = _("The request changed since the page was drawn, so nothing was decided. Look at it again.")
        return page(409, _("The request changed"), sentence, link=_all_that_waits())
    approve, now = decision == "approve", datetime.now(UTC)
    run = Run(current.deployment(), cause="click")
    activation = _activation_of(it)  # none for one that was made outside Ticket Elevate
    said = Decision(approve, clean(viewer.name, limit=100), viewer.oid, reason, now)
    waiting: Sequence[Elevation] = ()
    if activation:
        waiting = decisions.intend(run, activation, said)
    else:
        decisions.outside(run, Kind.APPROVAL_INTENDED, it, said)
    try:
        current.deployment().tenant.decide(viewer.tid, viewer.oid, now, it, approve, reason)
    except EntraRefused as refused:
        if not _was_taken(viewer, it, approve, reason):
            return _refused(refused)
        return _to_all()  # the button was pressed twice: the first press writes it down
    except EntraUnavailable as lost:
        taken = _was_taken(viewer, it, approve, reason)
        if taken is None:
            raise
        if not taken:
            raise EntraUnavailable(str(lost)) from lost
    if activation:
        for due in decisions.record(run, activation, waiting, said):
            wake(due)
    else:
        decisions.outside(run, Kind.APPROVAL_DECIDED, it, said)
    return _to_all()


def _to_all() -> Response:
    return redirect(url_for("approvals.show"), code=303)


def _said_before(viewer: Viewer, request_id: str, decision: str, reason: str) -> bool:
    """Whether this very decision of the viewer is written down: the button was pressed twice."""
    with current.deployment().records.read() as connection:
        rows = journal.decided_by(connection, viewer.oid, limit=BEFORE)
    same = {"decision": {"approve": "approved", "deny": "denied"}.get(decision, ""), "request": request_id}
    return any(same.items() <= _facts(row.entry).items() and row.words == reason for row in rows)


def _was_taken(viewer: Viewer, it: Approval, approve: bool, reason: str) -> bool | None:
    """Whether the tenant has this decision although it did not say so; None where that cannot be read."""
    tenant, now = current.deployment().tenant, datetime.now(UTC)
    try:
        found = tenant.decision(viewer.tid, viewer.oid, now, it.target, it.approval_id)
    except EntraError:
        return None
    return found is not None and (found.approved, clean(found.words, limit=WORDS_LIMIT)) == (approve, reason)


def _refused(refused: EntraRefused) -> Response:
    words = {
        403: _("Microsoft Entra does not know you as an approver of this request."),
        404: _("The request is gone: it was withdrawn, or has run out."),
        409: _("Another approver decided this at the same moment."),
    }
    sentence = words.get(refused.status, str(refused)) + " " + _("You decided nothing.")
    log.info("approval_refused", extra={"status": refused.status, "code": refused.code})
    status = refused.status if refused.status in words else 409
    return page(status, _("This was not decided by you"), sentence, link=_all_that_waits())


def _all_that_waits() -> tuple[str, str]:
    return _("All that waits"), url_for("approvals.show")
