"""Directory roles in Graph's words (entra-pim sheet, section 1)."""

from __future__ import annotations

from sandbox import refusals, views
from sandbox.odata import Row
from sandbox.schedules import Words, texts
from sandbox.targets import Target

READ = ("RoleManagement.Read.Directory", "RoleManagement.Read.All", "RoleManagement.ReadWrite.Directory")
CHANGE = ("RoleAssignmentSchedule.ReadWrite.Directory", "RoleManagement.ReadWrite.Directory")


def _target(body: Row) -> Target:
    _, role, scope = texts(body, "principalId", "roleDefinitionId", "directoryScopeId")
    what = Target("role", role, scope)
    if not what.exists():
        raise refusals.GraphError(400, "RoleDefinitionDoesNotExist", "The role definition does not exist.")
    return what


def _expand(row: Row) -> None:
    if "roleDefinitionId" in row:
        row["roleDefinition"] = views.role_definition(row["roleDefinitionId"])


ROLE_WORDS = Words(
    kind="role",
    base="/v1.0/roleManagement/directory",
    prefix="role",
    types=(
        "unifiedRoleEligibilityScheduleInstance",
        "unifiedRoleAssignmentScheduleInstance",
        "unifiedRoleAssignmentScheduleRequest",
    ),
    may_see_eligible=(
        "RoleEligibilitySchedule.Read.Directory",
        "RoleEligibilitySchedule.ReadWrite.Directory",
        *READ,
    ),
    may_see_active=(
        "RoleAssignmentSchedule.Read.Directory",
        "RoleAssignmentSchedule.ReadWrite.Directory",
        *READ,
    ),
    may_see_requests=CHANGE,
    may_ask=CHANGE,
    target=_target,
    eligible=lambda person: person.eligible,
    eligibility=views.eligibility,
    standing=lambda person: [views.standing(person, role) for role in person.standing],
    instance=views.instance,
    request=views.schedule_request,
    expand=_expand,
)
