"""What the tenant does with an activation, an early end and the passing of time (entra-pim sheet, 1.4 to 1.6, 3)."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox import audit, refusals, schedule
from sandbox.people import Eligibility, Person
from sandbox.policies import duration
from sandbox.roles import ROLES
from sandbox.tenant import Instance, ScheduleRequest, Tenant

PENDING = ("PendingApproval", "PendingAdminDecision", "PendingProvisioning", "PendingScheduleCreation", "Granted")
ACTIONS = {
    name.lower(): name
    for name in [
        "adminAssign",
        "adminUpdate",
        "adminRemove",
        "selfActivate",
        "selfDeactivate",
        "adminExtend",
        "adminRenew",
        "selfExtend",
        "selfRenew",
    ]
}


@dataclass(frozen=True)
class Caller:
    """The person behind a call, and what their token says."""

    person: Person
    acrs: tuple[str, ...] = ()
    mfa: bool = False
    cp1: bool = False


def settle(tenant: Tenant) -> None:
    """Lets time do its work: starts what was planned, finishes what was in flight, ends what has run out."""
    now = tenant.clock.now()
    for asked in list(tenant.requests.values()):
        if asked.settles is not None and asked.settles <= now and asked.action == "selfActivate":
            _provision(tenant, asked, max(asked.settles, asked.start or asked.settles))
    for instance in list(tenant.instances.values()):
        if instance.end <= now:
            del tenant.instances[instance.id]
            audit.expired(tenant, instance)


def ask(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> ScheduleRequest:
    """One POST to roleAssignmentScheduleRequests. GraphError when the tenant refuses it."""
    settle(tenant)
    action = ACTIONS.get(str(body.get("action", "")).lower())
    if action is None:
        raise refusals.bad_request("The property 'action' is missing or is not one of scheduleRequestActions.")
    if not tenant.licensed:
        message = "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license."
        raise refusals.GraphError(400, "AadPremiumLicenseRequired", message)
    _check_target(caller, body)
    if action == "selfActivate":
        return _activate(tenant, caller, body)
    if action == "selfDeactivate":
        return _deactivate(tenant, caller, body)
    raise refusals.denied()


def _check_target(caller: Caller, body: dict[str, Any]) -> None:
    for name in ("principalId", "roleDefinitionId", "directoryScopeId"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise refusals.bad_request(f"The property '{name}' is missing.")
    if body["roleDefinitionId"] not in ROLES:
        raise refusals.GraphError(400, "RoleDefinitionDoesNotExist", "The role definition does not exist.")
    if body["principalId"] != caller.person.oid:
        raise refusals.GraphError(400, "SubjectNotFound", "The subject is not found.")


def _same(row: Instance | ScheduleRequest, body: dict[str, Any]) -> bool:
    return (row.principal, row.role_id, row.scope) == (
        body["principalId"],
        body["roleDefinitionId"],
        body["directoryScopeId"],
    )


def _activate(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> ScheduleRequest:
    if any(_same(row, body) for row in tenant.instances.values()) or _is_standing(caller.person, body):
        raise refusals.already_active()
    released = tenant.released.get((caller.person.oid, body["roleDefinitionId"], body["directoryScopeId"]))
    if released and tenant.clock.now() < released + timedelta(seconds=tenant.release_delay):
        raise refusals.already_active()
    if any(_same(row, body) and row.status in PENDING for row in tenant.requests.values()):
        raise refusals.already_pending()
    asked = _new_request(tenant, caller, body)
    policy = tenant.policy(asked.role_id)
    found = _eligibility(tenant, caller.person, asked)
    failed = _failed_rules(tenant, caller, asked, found)
    if failed:
        # The real order is not promised, so nobody may lean on it.
        secrets.SystemRandom().shuffle(failed)
        raise refusals.rules_failed(failed)
    context = policy.authentication_context
    if context and not (caller.cp1 and context in caller.acrs):
        raise refusals.context_missing(context, policy.challenge_shape)
    if body.get("isValidationOnly") is True:
        asked.status = "Granted"
        return asked
    tenant.requests[asked.id] = asked
    _decide(tenant, asked)
    return asked


def _is_standing(person: Person, body: dict[str, Any]) -> bool:
    return body["roleDefinitionId"] in person.standing and body["directoryScopeId"] == "/"


def _new_request(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> ScheduleRequest:
    now = tenant.clock.now()
    number = str(uuid.uuid4())
    start, expiration = schedule.read(body.get("scheduleInfo"), now)
    ticket = body.get("ticketInfo")
    return ScheduleRequest(
        id=number,
        action="selfActivate",
        principal=caller.person.oid,
        role_id=body["roleDefinitionId"],
        scope=body["directoryScopeId"],
        status="Provisioned",
        created=now,
        completed=None,
        start=start,
        expiration=expiration,
        justification=_text(body.get("justification")),
        ticket=ticket if isinstance(ticket, dict) else None,
        target=number,
        mfa=caller.mfa,
    )


def _eligibility(tenant: Tenant, person: Person, asked: ScheduleRequest) -> Eligibility | None:
    now = tenant.clock.now()
    return next(
        (
            e
            for e in person.eligible
            if e.role_id == asked.role_id and e.scope == asked.scope and (e.end is None or e.end > now)
        ),
        None,
    )


def _failed_rules(tenant: Tenant, caller: Caller, asked: ScheduleRequest, found: Eligibility | None) -> list[str]:
    policy = tenant.policy(asked.role_id)
    failed = [] if found else ["EligibilityRule"]
    if "Justification" in policy.enabled_rules and not (asked.justification or "").strip():
        failed.append("JustificationRule")
    ticket = asked.ticket or {}
    if "Ticketing" in policy.enabled_rules and not (ticket.get("ticketNumber") and ticket.get("ticketSystem")):
        failed.append("TicketingRule")
    if "MultiFactorAuthentication" in policy.enabled_rules and not caller.mfa:
        failed.append("MfaRule")
    length = schedule.length(asked, asked.start or asked.created)
    if length is None or not timedelta() < length <= duration(policy.maximum_duration):
        failed.append("ExpirationRule")
    return failed


def _decide(tenant: Tenant, asked: ScheduleRequest) -> None:
    """Gives a request that passed every rule its first status."""
    policy, now = tenant.policy(asked.role_id), tenant.clock.now()
    start = asked.start or now
    audit.requested(tenant, asked)
    if policy.approval_required:
        asked.status, asked.approval_id = "PendingApproval", asked.id
        # As documented: the start is null and completedDateTime is set though nothing is completed.
        asked.completed, asked.start = now, None
        audit.approval_requested(tenant, asked)
    elif policy.answer_status:
        asked.status = policy.answer_status
        asked.settles = now + timedelta(seconds=policy.settle_seconds) if policy.settle_seconds >= 0 else None
    elif start > now + timedelta(seconds=1):
        asked.status, asked.completed, asked.settles = "Granted", start, start
    else:
        _provision(tenant, asked, now)


def _provision(tenant: Tenant, asked: ScheduleRequest, start: datetime) -> None:
    asked.status, asked.start, asked.completed, asked.settles = "Provisioned", start, start, None
    person = tenant.by_oid(asked.principal)
    found = _eligibility(tenant, person, asked) if person else None
    asked.end = start + (schedule.length(asked, start) or timedelta(hours=1))
    row = Instance(
        id=secrets.token_urlsafe(32) + "-1",
        request_id=asked.id,
        principal=asked.principal,
        role_id=asked.role_id,
        scope=asked.scope,
        start=start,
        end=asked.end,
        visible=start + timedelta(seconds=tenant.instance_delay),
        eligibility_id=found.id if found else "",
    )
    tenant.instances[row.id] = row
    audit.activated(tenant, asked)


def _deactivate(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> ScheduleRequest:
    now = tenant.clock.now()
    row = next((r for r in tenant.instances.values() if _same(r, body)), None)
    if row is None or row.visible > now:
        raise refusals.not_active()
    if now - row.start < timedelta(seconds=tenant.active_minimum):
        audit.refused_early_end(tenant, row)
        raise refusals.too_early()
    number = str(uuid.uuid4())
    asked = ScheduleRequest(
        id=number,
        action="selfDeactivate",
        principal=row.principal,
        role_id=row.role_id,
        scope=row.scope,
        status="Revoked",
        created=now,
        completed=now,
        start=now,
        expiration={"type": "notSpecified", "endDateTime": None, "duration": None},
        justification=_text(body.get("justification")),
        target=row.request_id,
        mfa=caller.mfa,
    )
    if body.get("isValidationOnly") is True:
        return asked
    del tenant.instances[row.id]
    tenant.released[(row.principal, row.role_id, row.scope)] = now
    tenant.requests[asked.id] = asked
    audit.deactivated(tenant, asked)
    return asked


def cancel(tenant: Tenant, caller: Caller, number: str) -> None:
    """Cancels a request that has not begun. GraphError 404 or 400 otherwise."""
    settle(tenant)
    asked = tenant.requests.get(number)
    if asked is None or asked.principal != caller.person.oid:
        raise refusals.not_found(number)
    if asked.status not in PENDING:
        raise refusals.bad_request(f"A request with the status {asked.status} cannot be canceled.")
    asked.status, asked.settles = "Canceled", None
    audit.canceled(tenant, asked)


def decide_approval(tenant: Tenant, number: str, approve: bool, approver: Person, reason: str) -> None:
    """An approver's decision. GraphError 404 for an unknown request, 409 when it was decided before."""
    settle(tenant)
    asked = tenant.requests.get(number)
    if asked is None or asked.approval_id is None:
        raise refusals.not_found(number)
    if asked.principal == approver.oid:
        raise refusals.denied()
    if asked.status != "PendingApproval":
        raise refusals.GraphError(409, "Conflict", "The request was already decided by another approver.")
    audit.decided(tenant, asked, approver, approve, reason)
    if approve:
        _provision(tenant, asked, tenant.clock.now())
    else:
        asked.status = "Denied"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
