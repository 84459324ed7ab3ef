"""The tenant's audit log: rows for changes only, readable minutes late (entra-pim sheet, section 7)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import seven_digits
from sandbox.people import Person
from sandbox.targets import Target
from sandbox.tenant import Instance, ScheduleRequest, Tenant

PIM_APP = {
    "appId": "01fc33a7-78ba-4d2f-a4b7-768e336e890e",
    "displayName": "MS-PIM",
    "servicePrincipalId": None,
    "servicePrincipalName": None,
}


def write(
    tenant: Tenant,
    activity: str,
    *,
    by: Person | None,
    targets: list[dict[str, Any]],
    category: str = "RoleManagement",
    service: str = "PIM",
    at: datetime | None = None,
    result: str = "success",
    reason: str | None = None,
    details: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One directoryAudit row, hidden until the tenant's audit delay has passed."""
    moment = at or tenant.clock.now()
    row = {
        "id": f"{service}_{uuid.uuid4()}_{uuid.uuid4().hex[:6]}",
        "activityDateTime": seven_digits(moment),
        "activityDisplayName": activity,
        "category": category,
        "correlationId": str(uuid.uuid4()),
        "loggedByService": service,
        "operationType": "",
        "result": result,
        "resultReason": reason,
        "initiatedBy": {"user": _user(by) if by else None, "app": None if by else dict(PIM_APP)},
        "targetResources": targets,
        "additionalDetails": [{"key": k, "value": v} for k, v in (details or {}).items()],
    }
    tenant.audit.append((moment + timedelta(seconds=tenant.audit_delay), row))
    return row


def _user(person: Person) -> dict[str, Any]:
    return {"id": person.oid, "displayName": person.name, "userPrincipalName": person.upn, "ipAddress": "127.0.0.1"}


def target(kind: str, number: str, name: str | None, upn: str | None = None) -> dict[str, Any]:
    return {
        "id": number,
        "displayName": name,
        "type": kind,
        "userPrincipalName": upn,
        "groupType": None,
        "modifiedProperties": [],
    }


CATEGORY = {"role": "RoleManagement", "group": "GroupManagement", "azure": "ResourceManagement"}


def _targets(tenant: Tenant, what: Target, request_id: str, principal: str) -> list[dict[str, Any]]:
    person = tenant.by_oid(principal)
    return [
        target("Group" if what.kind == "group" else "Role", what.id, what.name),
        target("Request", request_id, None),
        target("User", principal, person.name if person else None, person.upn if person else None),
    ]


def _about(tenant: Tenant, asked: ScheduleRequest, audit_type: str) -> dict[str, Any]:
    details = {
        "RoleDefinitionOriginId": asked.what.id,
        "RoleDefinitionOriginType": "BuiltInRole",
        "TemplateId": asked.what.id,
        "StartTime": seven_digits(asked.start) if asked.start else "",
        "ExpirationTime": seven_digits(asked.end) if asked.end else "",
        "Justification": asked.justification or "",
        "AuditType": audit_type,
        "RoleAssignmentRequestId": asked.id,
        "RequestId": asked.id,
        "IsAuthenticatedWithMfa": str(asked.mfa),
        "IsActivationRequireApproval": str(asked.approval_id is not None),
        "oid": asked.principal,
        "tid": tenant.tenant_id,
        "ipaddr": "127.0.0.1",
    }
    return {
        "targets": _targets(tenant, asked.what, asked.id, asked.principal),
        "reason": asked.justification,
        "category": CATEGORY[asked.what.kind],
        "details": details,
    }


def requested(tenant: Tenant, asked: ScheduleRequest) -> None:
    name = "Add member to role requested (PIM activation)"
    about = _about(tenant, asked, "CreateRequestRoleActivation")
    write(tenant, name, by=tenant.by_oid(asked.principal), at=asked.created, **about)


def approval_requested(tenant: Tenant, asked: ScheduleRequest) -> None:
    name = "Add member to role approval requested (PIM activation)"
    write(tenant, name, by=tenant.by_oid(asked.principal), **_about(tenant, asked, "CreateRequestRoleActivation"))


def decided(tenant: Tenant, asked: ScheduleRequest, approver: Person, approve: bool, reason: str) -> None:
    name = f"Add member to role request {'approved' if approve else 'denied'} (PIM activation)"
    write(tenant, name, by=approver, **{**_about(tenant, asked, "ApproveRequest"), "reason": reason})


def activated(tenant: Tenant, asked: ScheduleRequest) -> None:
    name = "Add member to role completed (PIM activation)"
    about = _about(tenant, asked, "ActivateRole")
    write(tenant, name, by=tenant.by_oid(asked.principal), at=asked.start, **about)


def approval_expired(tenant: Tenant, asked: ScheduleRequest, at: datetime) -> None:
    about = _about(tenant, asked, "ExpireRequest")
    write(tenant, "PIM activation request expired", by=None, at=at, **about)


def canceled(tenant: Tenant, asked: ScheduleRequest) -> None:
    name = "Add member to role canceled (PIM activation)"
    write(tenant, name, by=tenant.by_oid(asked.principal), **_about(tenant, asked, "CancelRequest"))


def deactivated(tenant: Tenant, asked: ScheduleRequest) -> None:
    for step in ("requested", "completed"):
        name = f"Remove member from role {step} (PIM deactivate)"
        write(tenant, name, by=tenant.by_oid(asked.principal), **_about(tenant, asked, "DeactivateRole"))


def expired(tenant: Tenant, row: Instance) -> None:
    name = "Remove member from role (PIM activation expired)"
    targets = _targets(tenant, row.what, row.request_id, row.principal)
    details = {"RoleAssignmentRequestId": row.request_id}
    kind = CATEGORY[row.what.kind]
    write(tenant, name, by=None, at=row.end, targets=targets, category=kind, details=details)


def refused_early_end(tenant: Tenant, row: Instance) -> None:
    targets = _targets(tenant, row.what, row.request_id, row.principal)
    by = tenant.by_oid(row.principal)
    name = "Process role removal request"
    write(tenant, name, by=by, targets=targets, result="failure", reason="ActiveDurationTooShort")
