"""The waiting for an approver: who may decide, the decision, and 24 hours without one (entra-pim sheet, section 4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sandbox import audit, refusals
from sandbox.people import Person
from sandbox.tenant import Review, ScheduleRequest, Tenant

# Not configurable, says Microsoft's page on approving requests.
PATIENCE = timedelta(hours=24)


def begin(tenant: Tenant, asked: ScheduleRequest) -> None:
    """Parks a request. As documented: the start is null and completedDateTime is set though nothing is completed."""
    policy = tenant.policy(asked.what.policy_key)
    asked.approvers = tuple(person.key for person in tenant.approvers(policy))
    asked.status, asked.approval_id = "PendingApproval", asked.id
    asked.completed, asked.start = tenant.clock.now(), None
    audit.approval_requested(tenant, asked)


def may_decide(asked: ScheduleRequest, person: Person) -> bool:
    """Nobody decides their own request, not even an approver."""
    return asked.approval_id is not None and person.key in asked.approvers and person.oid != asked.principal


def expire(tenant: Tenant) -> None:
    for asked in tenant.requests.values():
        if asked.status == "PendingApproval" and asked.created + PATIENCE <= tenant.clock.now():
            asked.status = tenant.expired_status
            audit.approval_expired(tenant, asked, asked.created + PATIENCE)


def of(tenant: Tenant, number: str, kind: str | None = None) -> ScheduleRequest:
    """The request behind an approval's id. GraphError 404 when there is none."""
    asked = tenant.requests.get(number)
    if asked is None or asked.approval_id is None or kind not in (None, asked.what.kind):
        raise refusals.not_found(number)
    return asked


def decide(
    tenant: Tenant,
    asked: ScheduleRequest,
    approver: Person,
    review: tuple[str, str],
    go_on: Callable[[Tenant, ScheduleRequest, datetime], None],
) -> None:
    """`review` is Approve or Deny, and why. GraphError 403 for who is no approver, 409 when it was decided before."""
    if not may_decide(asked, approver):
        raise refusals.denied()
    if asked.status != "PendingApproval":
        raise refusals.GraphError(409, "Conflict", "The request was already decided by another approver.")
    now, (result, reason) = tenant.clock.now(), review
    asked.review = Review(result, reason, approver.oid, now)
    audit.decided(tenant, asked, approver, result == "Approve", reason)
    if result == "Approve":
        go_on(tenant, asked, now)
    else:
        asked.status = "Denied"
