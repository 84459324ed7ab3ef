"""Directory roles in Privileged Identity Management, v1.0 but for approvals, which Graph has in beta only."""

from collections.abc import Mapping
from typing import Any

from integration.entra.pim import text
from integration.entra.schedules import Schedules, quoted
from integration.targets import Target, TargetKind

_BASE = "/roleManagement/directory"


class Roles(Schedules):
    """Source: learn.microsoft.com/graph/api/resources/privilegedidentitymanagementv3-overview."""

    kind = TargetKind.DIRECTORY_ROLE
    eligible = f"{_BASE}/roleEligibilityScheduleInstances"
    assigned = f"{_BASE}/roleAssignmentScheduleInstances"
    requests = f"{_BASE}/roleAssignmentScheduleRequests"
    expand = "roleDefinition"
    approval_path = f"{_BASE}/roleAssignmentApprovals"
    steps = "steps"

    def target_of(self, row: Mapping[str, Any]) -> Target:
        return Target(self.kind, text(row, "roleDefinitionId"), text(row, "directoryScopeId"))

    def fields_of(self, target: Target) -> dict[str, str]:
        return {"roleDefinitionId": target.id, "directoryScopeId": target.scope}

    def policy_filter(self, target: Target) -> str:
        return f"scopeId eq '/' and scopeType eq 'DirectoryRole' and roleDefinitionId eq {quoted(target.id)}"
