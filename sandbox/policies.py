"""A role's policy: what an activation must carry, and how Graph shows it (entra-pim sheet, section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

Row = dict[str, Any]
RULE = "#microsoft.graph.unifiedRoleManagementPolicy"
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE)


def duration(text: str) -> timedelta:
    """An ISO 8601 duration in days, hours, minutes, seconds. ValueError otherwise."""
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise ValueError(f"{text!r} is not a duration like PT1H30M.")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


@dataclass
class Policy:
    """The end-user rules of one role. The last three are practice switches that no real policy has."""

    maximum_duration: str = "PT8H"
    enabled_rules: list[str] = field(default_factory=lambda: ["Justification", "Ticketing"])
    authentication_context: str | None = None
    # False: no Conditional Access policy is aimed at the context, so PIM asks for MFA in its place.
    context_is_used: bool = True
    approval_required: bool = False
    # Keys of people; none named means the administrators of privileged roles.
    approvers: list[str] = field(default_factory=lambda: ["approver"])
    # "plain": code and message as they are; "nested": both inside a JSON string under UnknownError.
    challenge_shape: str = "plain"
    # A status to answer first; the request becomes Provisioned `settle_seconds` later (never, if negative).
    answer_status: str | None = None
    settle_seconds: float = 2.0

    def change(self, wanted: dict[str, Any]) -> None:
        """Takes the fields named in `wanted`. ValueError for one that does not exist or conflicts."""
        for name, value in wanted.items():
            if name not in self.__dataclass_fields__:
                raise ValueError(f"A policy has no {name!r}; it has {', '.join(self.__dataclass_fields__)}.")
            setattr(self, name, value)
        duration(self.maximum_duration)
        if self.authentication_context and "MultiFactorAuthentication" in self.enabled_rules:
            raise ValueError("MfaAndAcrsConflict: a policy asks for MFA or for a context, not for both.")


def single_user(oid: str, name: str) -> Row:
    """An approver as a policy names one. Source: singleUser, a subjectSet, in Graph's v1.0 metadata."""
    return {"@odata.type": "#microsoft.graph.singleUser", "userId": oid, "description": name}


def policy_assignment(policy_id: str, where: tuple[str, str], role: str, rules: list[Row], expand: str) -> Row:
    """A unifiedRoleManagementPolicyAssignment, with the policy and its rules when `$expand` names them.

    `where` is scopeId and scopeType; `role` is a role's id, or the access for a group.
    """
    scope_id, scope_type = where
    row: Row = {
        "id": f"{policy_id}_{role}",
        "policyId": policy_id,
        "scopeId": scope_id,
        "scopeType": scope_type,
        "roleDefinitionId": role,
    }
    if "policy" in expand:
        row["policy"] = {
            "id": policy_id,
            "displayName": scope_type,
            "description": scope_type,
            "isOrganizationDefault": False,
            "scopeId": scope_id,
            "scopeType": scope_type,
            "lastModifiedDateTime": None,
            "lastModifiedBy": {"displayName": None, "id": None},
        }
        if "rules" in expand:
            row["policy"]["rules"] = rules
    return row


def _target(level: str = "Assignment", caller: str = "EndUser") -> dict[str, Any]:
    return {
        "caller": caller,
        "operations": ["all"],
        "level": level,
        "inheritableSettings": [],
        "enforcedSettings": [],
    }


def _approval(required: bool, approvers: list[Row]) -> Row:
    stage = {
        "approvalStageTimeOutInDays": 1,
        "isApproverJustificationRequired": True,
        "escalationTimeInMinutes": 0,
        "isEscalationEnabled": False,
        "primaryApprovers": approvers,
        "escalationApprovers": [],
    }
    return {
        "isApprovalRequired": required,
        "isApprovalRequiredForExtension": False,
        "isRequestorJustificationRequired": True,
        "approvalMode": "SingleStage",
        "approvalStages": [stage],
    }


def rules(policy: Policy, approvers: list[Row]) -> list[Row]:
    """All 17 rules of a policy; those for an administrator and the notices carry Microsoft's defaults."""
    found: list[dict[str, Any]] = [
        {
            "@odata.type": RULE + "ExpirationRule",
            "id": "Expiration_EndUser_Assignment",
            "isExpirationRequired": True,
            "maximumDuration": policy.maximum_duration,
            "target": _target(),
        },
        {
            "@odata.type": RULE + "EnablementRule",
            "id": "Enablement_EndUser_Assignment",
            "enabledRules": list(policy.enabled_rules),
            "target": _target(),
        },
        {
            "@odata.type": RULE + "AuthenticationContextRule",
            "id": "AuthenticationContext_EndUser_Assignment",
            "isEnabled": policy.authentication_context is not None,
            "claimValue": policy.authentication_context,
            "target": _target(),
        },
        {
            "@odata.type": RULE + "ApprovalRule",
            "id": "Approval_EndUser_Assignment",
            "setting": _approval(policy.approval_required, approvers),
            "target": _target(),
        },
    ]
    for level in ("Assignment", "Eligibility"):
        expiration = {"isExpirationRequired": False, "maximumDuration": "P180D", "target": _target(level, "Admin")}
        found.append({"@odata.type": RULE + "ExpirationRule", "id": f"Expiration_Admin_{level}", **expiration})
        enablement = {"enabledRules": [], "target": _target(level, "Admin")}
        found.append({"@odata.type": RULE + "EnablementRule", "id": f"Enablement_Admin_{level}", **enablement})
    return found + _notices()


def _notices() -> list[dict[str, Any]]:
    return [
        {
            "@odata.type": RULE + "NotificationRule",
            "id": f"Notification_{recipient}_{caller}_{level}",
            "notificationType": "Email",
            "recipientType": recipient,
            "notificationLevel": "All",
            "isDefaultRecipientsEnabled": True,
            "notificationRecipients": [],
            "target": _target(level, caller),
        }
        for recipient in ("Admin", "Requestor", "Approver")
        for caller, level in (("Admin", "Eligibility"), ("Admin", "Assignment"), ("EndUser", "Assignment"))
    ]
