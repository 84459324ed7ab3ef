"""Membership and ownership of groups in Privileged Identity Management, v1.0."""

from collections.abc import Mapping
from typing import Any

from integration.entra.pim import text
from integration.entra.schedules import Schedules, quoted
from integration.targets import Target, TargetKind

_BASE = "/identityGovernance/privilegedAccess/group"


class Groups(Schedules):
    """Source: learn.microsoft.com/graph/api/resources/privilegedidentitymanagement-for-groups-api-overview."""

    kind = TargetKind.GROUP
    eligible = f"{_BASE}/eligibilityScheduleInstances"
    assigned = f"{_BASE}/assignmentScheduleInstances"
    requests = f"{_BASE}/assignmentScheduleRequests"
    expand = "group"
    approval_path = f"{_BASE}/assignmentApprovals"
    steps = "stages"

    def target_of(self, row: Mapping[str, Any]) -> Target:
        return Target(self.kind, text(row, "groupId"), text(row, "accessId").lower())

    def fields_of(self, target: Target) -> dict[str, str]:
        return {"groupId": target.id, "accessId": target.scope}

    def policy_filter(self, target: Target) -> str:
        group, access = quoted(target.id), quoted(target.scope)
        return f"scopeId eq {group} and scopeType eq 'Group' and roleDefinitionId eq {access}"
