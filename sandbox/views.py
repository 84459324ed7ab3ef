"""Rows as Graph writes them. Names are those of the official metadata (tests/sandbox/graph_types.json)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.clock import plain, seven_digits
from sandbox.people import Eligibility, Person
from sandbox.roles import ROLES
from sandbox.targets import GROUPS, guid, unit_id
from sandbox.tenant import Instance, ScheduleRequest

Row = dict[str, Any]


def _moment(moment: datetime | None) -> str | None:
    return seven_digits(moment) if moment else None


def user(person: Person) -> Row:
    return {
        "businessPhones": [],
        "displayName": person.name,
        "givenName": None,
        "jobTitle": None,
        "mail": person.mail or None,
        "proxyAddresses": [f"SMTP:{person.mail}"] if person.mail else [],
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "surname": None,
        "userPrincipalName": person.upn,
        "id": person.oid,
    }


def unit(key: str) -> Row:
    return {
        "id": unit_id(key),
        "deletedDateTime": None,
        "displayName": key,
        "description": None,
        "visibility": None,
    }


def group(number: str) -> Row:
    return {
        "id": number,
        "deletedDateTime": None,
        "displayName": GROUPS[number],
        "description": None,
        "groupTypes": [],
        "isAssignableToRole": True,
        "mailEnabled": False,
        "mailNickname": GROUPS[number].replace(" ", "-").lower(),
        "securityEnabled": True,
    }


def eligibility(person: Person, row: Eligibility) -> Row:
    """A unifiedRoleEligibilityScheduleInstance."""
    return {
        "@odata.type": "#microsoft.graph.unifiedRoleEligibilityScheduleInstance",
        "id": row.id,
        "principalId": person.oid,
        "roleDefinitionId": row.target.id,
        "directoryScopeId": row.target.scope,
        "appScopeId": None,
        "startDateTime": plain(row.start),
        "endDateTime": _moment(row.end),
        "memberType": row.member_type,
        "roleEligibilityScheduleId": row.schedule_id,
    }


def instance(row: Instance) -> Row:
    return {
        "@odata.type": "#microsoft.graph.unifiedRoleAssignmentScheduleInstance",
        "id": row.id,
        "principalId": row.principal,
        "roleDefinitionId": row.what.id,
        "directoryScopeId": row.what.scope,
        "appScopeId": None,
        "startDateTime": seven_digits(row.start),
        "endDateTime": seven_digits(row.end),
        "assignmentType": "Activated",
        "memberType": "Direct",
        "roleAssignmentOriginId": row.id,
        "roleAssignmentScheduleId": row.request_id,
    }


def standing(person: Person, role_id: str) -> Row:
    number = guid(f"standing-{person.key}-{role_id}")
    return {
        "@odata.type": "#microsoft.graph.unifiedRoleAssignmentScheduleInstance",
        "id": number,
        "principalId": person.oid,
        "roleDefinitionId": role_id,
        "directoryScopeId": "/",
        "appScopeId": None,
        "startDateTime": plain(datetime(2026, 1, 5, tzinfo=UTC)),
        "endDateTime": None,
        "assignmentType": "Assigned",
        "memberType": "Direct",
        "roleAssignmentOriginId": number,
        "roleAssignmentScheduleId": guid(f"schedule-{person.key}-{role_id}"),
    }


def any_request(row: ScheduleRequest) -> Row:
    """What the requests of roles and of groups have in common."""
    ticket = row.ticket or {}
    return {
        "id": row.id,
        "status": row.status,
        "createdDateTime": _moment(row.created),
        "completedDateTime": _moment(row.completed),
        "approvalId": row.approval_id,
        "customData": None,
        "action": row.action,
        "isValidationOnly": False,
        "justification": row.justification,
        "createdBy": {
            "application": None,
            "device": None,
            "user": {"displayName": None, "id": row.principal},
        },
        "scheduleInfo": {"startDateTime": _moment(row.start), "recurrence": None, "expiration": dict(row.expiration)},
        "ticketInfo": {"ticketNumber": ticket.get("ticketNumber"), "ticketSystem": ticket.get("ticketSystem")},
    }


def schedule_request(row: ScheduleRequest) -> Row:
    """A unifiedRoleAssignmentScheduleRequest."""
    return {
        **any_request(row),
        "principalId": row.principal,
        "roleDefinitionId": row.what.id,
        "directoryScopeId": row.what.scope,
        "appScopeId": None,
        "targetScheduleId": row.schedule_id,
    }


def role_definition(role_id: str) -> Row:
    return {
        "id": role_id,
        "description": f"The built-in role {ROLES[role_id]}.",
        "displayName": ROLES[role_id],
        "isBuiltIn": True,
        "isEnabled": True,
        "resourceScopes": ["/"],
        "templateId": role_id,
        "version": "1",
        "rolePermissions": [],
    }


def approval_step(row: ScheduleRequest, reader: Person, reviewer: Person | None) -> Row:
    """The one step of an approval, whose id is the approval's own. Its words are for the requestor too."""
    review, open_ = row.review, row.status == "PendingApproval"
    state = "InProgress" if open_ else "Completed" if review or row.status == "Canceled" else "Expired"
    return {
        "id": row.id,
        "displayName": None,
        "assignedToMe": open_ and reader.key in row.approvers and reader.oid != row.principal,
        "justification": review.reason if review else "",
        "reviewResult": review.result if review else "NotReviewed",
        "reviewedBy": {"id": reviewer.oid, "displayName": reviewer.name} if reviewer else None,
        "reviewedDateTime": _moment(review.at) if review else None,
        "status": state,
    }
