"""What the tenant does with an activation, an early end and the passing of time (entra-pim sheet, 1.4 to 1.6, 3).

One life for roles, groups and Azure resources: the ways in translate their own words into `Wanted`.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox import approving, audit, refusals, rules, schedule
from sandbox.people import Person
from sandbox.rules import Caller
from sandbox.targets import Target
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
class Wanted:
    """A request as it came in, freed from the words of its API. `number` is the id when the client chose it."""

    action: str
    principal: str
    what: Target
    justification: str | None = None
    ticket: dict[str, Any] | None = None
    schedule_info: Any = None
    validation_only: bool = False
    number: str | None = None
    linked: str | None = None


def action_of(body: dict[str, Any]) -> str:
    """The action of a body in its right case. GraphError 400 for none."""
    action = ACTIONS.get(str(body.get("action", body.get("requestType", ""))).lower())
    if action is None:
        raise refusals.bad_request("The property 'action' is missing or is not one of scheduleRequestActions.")
    return action


def check_license(tenant: Tenant) -> None:
    if not tenant.licensed:
        message = "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license."
        raise refusals.GraphError(400, "AadPremiumLicenseRequired", message)


def wanted(body: dict[str, Any], action: str, what: Target, number: str | None = None) -> Wanted:
    """`Wanted` from a body: the properties that all three APIs spell the same."""
    ticket = body.get("ticketInfo")
    return Wanted(
        action=action,
        principal=str(body.get("principalId")),
        what=what,
        justification=_text(body.get("justification")),
        ticket=ticket if isinstance(ticket, dict) else None,
        schedule_info=body.get("scheduleInfo"),
        validation_only=body.get("isValidationOnly") is True,
        number=number,
        linked=_text(body.get("linkedRoleEligibilityScheduleId")),
    )


def settle(tenant: Tenant) -> None:
    """Lets time do its work: starts what was planned, finishes what was in flight, ends what has run out."""
    now = tenant.clock.now()
    approving.expire(tenant)
    for asked in list(tenant.requests.values()):
        if asked.settles is not None and asked.settles <= now and asked.action == "selfActivate":
            _provision(tenant, asked, max(asked.settles, asked.start or asked.settles))
    for instance in list(tenant.instances.values()):
        if instance.end <= now:
            del tenant.instances[instance.id]
            audit.expired(tenant, instance)


def ask(tenant: Tenant, caller: Caller, want: Wanted) -> ScheduleRequest:
    """One activation or early end. GraphError when the tenant refuses it."""
    settle(tenant)
    if want.principal != caller.person.oid:
        raise refusals.GraphError(400, "SubjectNotFound", "The subject is not found.")
    if want.action == "selfActivate":
        return _activate(tenant, caller, want)
    if want.action == "selfDeactivate":
        return _deactivate(tenant, caller, want)
    raise refusals.denied()


def _same(row: Instance | ScheduleRequest, want: Wanted) -> bool:
    return (row.principal, row.what) == (want.principal, want.what)


def _check_free(tenant: Tenant, caller: Caller, want: Wanted) -> None:
    standing = want.what.kind == "role" and want.what.scope == "/" and want.what.id in caller.person.standing
    if standing or any(_same(row, want) for row in tenant.instances.values()):
        raise refusals.already_active()
    released = tenant.released.get((want.principal, want.what))
    delay = tenant.arm_release_delay if want.what.kind == "azure" else tenant.release_delay
    if released and tenant.clock.now() < released + timedelta(seconds=delay):
        raise refusals.already_active()
    if any(_same(row, want) and row.status in PENDING for row in tenant.requests.values()):
        raise refusals.already_pending()


def _activate(tenant: Tenant, caller: Caller, want: Wanted) -> ScheduleRequest:
    _check_free(tenant, caller, want)
    asked = _new_request(tenant, caller, want)
    policy = tenant.policy(want.what.policy_key)
    failed = rules.broken(tenant, caller, asked)
    if failed:
        # The real order is not promised, so nobody may lean on it.
        secrets.SystemRandom().shuffle(failed)
        raise refusals.rules_failed(failed)
    context = policy.authentication_context
    if context and policy.context_is_used and not (caller.cp1 and context in caller.acrs):
        raise refusals.context_missing(context, policy.challenge_shape)
    if want.validation_only:
        asked.status = "Granted"
        return asked
    tenant.requests[asked.id] = asked
    _decide(tenant, asked)
    return asked


def _new_request(tenant: Tenant, caller: Caller, want: Wanted) -> ScheduleRequest:
    now = tenant.clock.now()
    number = want.number or str(uuid.uuid4())
    start, expiration = schedule.read(want.schedule_info, now)
    return ScheduleRequest(
        id=number,
        action=want.action,
        principal=caller.person.oid,
        what=want.what,
        status="Provisioned",
        created=now,
        completed=None,
        start=start,
        planned=start,
        expiration=expiration,
        justification=want.justification,
        ticket=want.ticket,
        schedule_id=number,
        linked=want.linked,
        mfa=caller.mfa,
    )


def _decide(tenant: Tenant, asked: ScheduleRequest) -> None:
    """Gives a request that passed every rule its first status."""
    policy, now = tenant.policy(asked.what.policy_key), tenant.clock.now()
    audit.requested(tenant, asked)
    if policy.approval_required:
        approving.begin(tenant, asked)
    elif policy.answer_status:
        asked.status = policy.answer_status
        asked.settles = now + timedelta(seconds=policy.settle_seconds) if policy.settle_seconds >= 0 else None
    else:
        _begin(tenant, asked, now)


def _begin(tenant: Tenant, asked: ScheduleRequest, now: datetime) -> None:
    """Active now, or accepted for a start that is still to come."""
    start = asked.planned or now
    if start > now + timedelta(seconds=1):
        asked.status, asked.start, asked.completed, asked.settles = "Granted", start, start, start
    else:
        _provision(tenant, asked, now)


def _provision(tenant: Tenant, asked: ScheduleRequest, start: datetime) -> None:
    asked.status, asked.start, asked.completed, asked.settles = "Provisioned", start, start, None
    person = tenant.by_oid(asked.principal)
    found = rules.eligibility(person, asked.what, tenant.clock.now()) if person else None
    asked.linked = asked.linked or (found.schedule_id if found else None)
    asked.end = start + (schedule.length(asked, start) or timedelta(hours=1))
    row = Instance(
        id=secrets.token_urlsafe(32) + "-1",
        request_id=asked.id,
        principal=asked.principal,
        what=asked.what,
        start=start,
        end=asked.end,
        visible=start + timedelta(seconds=tenant.instance_delay),
        eligibility_id=found.id if found else "",
    )
    tenant.instances[row.id] = row
    audit.activated(tenant, asked)


def _deactivate(tenant: Tenant, caller: Caller, want: Wanted) -> ScheduleRequest:
    now = tenant.clock.now()
    row = next((r for r in tenant.instances.values() if _same(r, want)), None)
    if row is None or row.visible > now:
        raise refusals.not_active()
    if now - row.start < timedelta(seconds=tenant.active_minimum):
        audit.refused_early_end(tenant, row)
        raise refusals.too_early()
    asked = ScheduleRequest(
        id=want.number or str(uuid.uuid4()),
        action="selfDeactivate",
        principal=row.principal,
        what=row.what,
        status="Revoked",
        created=now,
        completed=now,
        start=now,
        expiration={"type": "notSpecified", "endDateTime": None, "duration": None},
        justification=want.justification,
        schedule_id=row.request_id,
        mfa=caller.mfa,
    )
    if want.validation_only:
        return asked
    del tenant.instances[row.id]
    tenant.released[(row.principal, row.what)] = now
    tenant.requests[asked.id] = asked
    audit.deactivated(tenant, asked)
    return asked


def mine(tenant: Tenant, caller: Caller, number: str, kind: str) -> ScheduleRequest:
    """A request of the caller's own. GraphError 404 for any other."""
    settle(tenant)
    asked = tenant.requests.get(number)
    if asked is None or asked.principal != caller.person.oid or asked.what.kind != kind:
        raise refusals.not_found(number)
    return asked


def cancel(tenant: Tenant, caller: Caller, number: str, kind: str = "role") -> None:
    """Cancels a request that has not begun. GraphError 404 or 400 otherwise."""
    asked = mine(tenant, caller, number, kind)
    if asked.status not in PENDING:
        raise refusals.bad_request(f"A request with the status {asked.status} cannot be canceled.")
    asked.status, asked.settles = "Canceled", None
    audit.canceled(tenant, asked)


def decide_approval(
    tenant: Tenant, number: str, approver: Person, result: str, reason: str, kind: str | None = None
) -> None:
    """An approver's decision, Approve or Deny. GraphError 404 for an unknown request, else as approving.decide."""
    settle(tenant)
    approving.decide(tenant, approving.of(tenant, number, kind), approver, (result, reason), _begin)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
