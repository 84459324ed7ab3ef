"""Every route of the practice Graph answers what the official metadata names: properties, enum members, required ones.

The table below names the type of each route's answer; a route that is not in it fails, so that none is forgotten.
Approvals of directory roles are beta only and not in the v1.0 metadata: their steps have the shape of `approvalStage`.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.graph import Graph
from sandbox.tenant import Tenant
from sandbox.tokens import Keys
from tests.sandbox.driver import GRAPH_SCOPES, MINE, Driver
from tests.sandbox.test_names import TYPES, check, properties

ROLE, GROUP = "roleManagement/directory/", "identityGovernance/privilegedAccess/group/"
APPROVER = "/filterByCurrentUser(on='approver')"
# Types that the facts do not hold, for they are not PIM's: their names are held by other tests, or are the directory's.
ELSEWHERE = None
ANSWERS: dict[str, str | None] = {
    "/v1.0/me": ELSEWHERE,
    "/v1.0/me/revokeSignInSessions": ELSEWHERE,
    "/v1.0/users": ELSEWHERE,
    "/v1.0/users/<number>": ELSEWHERE,
    "/v1.0/users/<number>/memberOf/microsoft.graph.administrativeUnit": ELSEWHERE,
    "/v1.0/groups/<number>": ELSEWHERE,
    "/v1.0/auditLogs/directoryAudits": "directoryAudit",
    "/v1.0/auditLogs/signIns": ELSEWHERE,  # always empty here: that it may be read is all that is looked at
    "/v1.0/informationProtection/bitlocker/recoveryKeys": "bitlockerRecoveryKey",
    "/v1.0/policies/roleManagementPolicyAssignments": "unifiedRoleManagementPolicyAssignment",
    f"/v1.0/{ROLE}roleDefinitions": "unifiedRoleDefinition",
    f"/v1.0/{ROLE}roleDefinitions/<number>": "unifiedRoleDefinition",
    f"/beta/{ROLE}roleAssignmentApprovals/<number>": "approval",
    f"/beta/{ROLE}roleAssignmentApprovals/<number>/steps": "approvalStage",
    f"/beta/{ROLE}roleAssignmentApprovals/<number>/steps/<step>": "approvalStage",
    f"/v1.0/{GROUP}assignmentApprovals/<number>": "approval",
    f"/v1.0/{GROUP}assignmentApprovals/<number>/stages": "approvalStage",
    f"/v1.0/{GROUP}assignmentApprovals/<number>/stages/<step>": "approvalStage",
}
for base, prefix, type_ in ((ROLE, "role", "unifiedRole"), (GROUP, "", "privilegedAccessGroup")):
    for what in ("EligibilityScheduleInstance", "AssignmentScheduleInstance", "AssignmentScheduleRequest"):
        path = f"/v1.0/{base}{prefix}{what if prefix else what[0].lower() + what[1:]}s"
        ANSWERS[f"{path}/filterByCurrentUser(on='<on>')"] = type_ + what
        if what.endswith("Request"):
            ANSWERS |= {path: type_ + what, f"{path}/<number>": type_ + what, f"{path}/<number>/cancel": ELSEWHERE}


def whole(value: Any, name: str) -> None:
    """As `check`, and what the type requires is there."""
    check(value, name)
    rows = value if isinstance(value, list) else [value]
    for row in rows:
        if isinstance(row, dict):
            needed = {key for key, kind in properties(name).items() if kind.endswith("(required)")}
            assert needed <= set(row), f"{name} lacks {needed - set(row)}"


def test_no_route_of_graph_is_without_a_type() -> None:
    app = Graph(Tenant(Clock(), 300, 0, 0), Keys()).app()
    routes = {rule.rule for rule in app.url_map.iter_rules() if not rule.rule.startswith("/static")}
    assert routes == set(ANSWERS)
    for name in ANSWERS.values():
        assert name is ELSEWHERE or name in TYPES, name


@pytest.fixture
def wide(practice: Driver) -> str:
    """A token of the technician for roles and groups alike."""
    groups = [
        "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup",
        "PrivilegedEligibilitySchedule.Read.AzureADGroup",
        "RoleManagementPolicy.Read.AzureADGroup",
    ]
    return str(practice.sign_in("technician", scopes=[*GRAPH_SCOPES, *groups])["access_token"])


def group_body(practice: Driver, action: str) -> dict[str, Any]:
    group = practice.people["technician"]["eligible_groups"][0]
    return {
        "accessId": "MEMBER",  # enum names are taken in any case
        "groupId": group["groupId"],
        "principalId": practice.people["technician"]["oid"],
        "action": action,
        "justification": "4821: mailbox",
        "scheduleInfo": {"expiration": {"type": "AfterDuration", "duration": "PT1H"}},
        "ticketInfo": {"ticketNumber": "4821", "ticketSystem": "Practice"},
    }


@pytest.mark.parametrize("approval", [False, True])
def test_group_schedules_requests_and_approvals_are_whole(practice: Driver, wide: str, approval: bool) -> None:
    name = practice.people["technician"]["eligible_groups"][0]["group"]
    practice.control(f"policies/{name}", {"approval_required": approval})
    read = lambda path: practice.graph("technician", "GET", GROUP + path, token=wide).json()  # noqa: E731
    eligible = read("eligibilityScheduleInstances" + MINE)["value"]
    assert eligible[0]["accessId"] == "member"
    whole(eligible, "privilegedAccessGroupEligibilityScheduleInstance")

    answer = practice.graph(
        "technician",
        "POST",
        GROUP + "assignmentScheduleRequests",
        json=group_body(practice, "SelfActivate"),
        token=wide,
    )
    assert answer.status_code == 201, answer.text
    asked = answer.json()
    whole(asked, "privilegedAccessGroupAssignmentScheduleRequest")
    assert asked["status"] == ("PendingApproval" if approval else "Provisioned")
    assert re.fullmatch(rf"{asked['groupId']}_member_{asked['id']}", asked["targetScheduleId"])
    whole(read("assignmentScheduleRequests" + MINE)["value"], "privilegedAccessGroupAssignmentScheduleRequest")
    whole(read(f"assignmentScheduleRequests/{asked['id']}"), "privilegedAccessGroupAssignmentScheduleRequest")
    if approval:
        stages = read(f"assignmentApprovals/{asked['id']}/stages")["value"]
        whole(stages, "approvalStage")
        whole(read(f"assignmentApprovals/{asked['id']}"), "approval")
        whole(read(f"assignmentApprovals/{asked['id']}/stages/{stages[0]['id']}"), "approvalStage")
        return
    practice.later(10)
    active = read("assignmentScheduleInstances" + MINE)["value"]
    assert active[0]["assignmentType"] == "activated"
    whole(active, "privilegedAccessGroupAssignmentScheduleInstance")


def test_group_policies_are_whole(practice: Driver, wide: str) -> None:
    group = practice.people["technician"]["eligible_groups"][0]["groupId"]
    path = (
        f"policies/roleManagementPolicyAssignments?$filter=scopeId eq '{group}' and scopeType eq 'Group' and "
        "roleDefinitionId eq 'member'&$expand=policy($expand=rules)"
    )
    (row,) = practice.graph("technician", "GET", path, token=wide).json()["value"]
    whole(row, "unifiedRoleManagementPolicyAssignment")
    assert row["policyId"].startswith(f"Group_{group}_")
    assert row["id"].endswith("_member")
    for rule in row["policy"]["rules"]:
        assert rule["@odata.type"].removeprefix("#microsoft.graph.") in TYPES


def test_role_schedules_requests_and_approvals_are_whole(practice: Driver) -> None:
    practice.control("policies/Password Administrator", {"approval_required": True})
    asked = practice.activate().json()
    whole(asked, "unifiedRoleAssignmentScheduleRequest")
    read = lambda path, **more: practice.graph("technician", "GET", ROLE + path, **more).json()  # noqa: E731
    whole(read("roleAssignmentScheduleRequests" + MINE)["value"], "unifiedRoleAssignmentScheduleRequest")
    whole(read(f"roleAssignmentScheduleRequests/{asked['id']}"), "unifiedRoleAssignmentScheduleRequest")
    whole(read("roleEligibilityScheduleInstances" + MINE)["value"], "unifiedRoleEligibilityScheduleInstance")
    waiting = practice.graph("approver", "GET", ROLE + "roleAssignmentScheduleRequests" + APPROVER).json()["value"]
    assert [row["id"] for row in waiting] == [asked["id"]]
    steps = read(f"roleAssignmentApprovals/{asked['id']}/steps", version="beta")["value"]
    whole(steps, "approvalStage")
    body = {"reviewResult": "Deny", "justification": "Not today."}
    path = f"{ROLE}roleAssignmentApprovals/{asked['id']}/steps/{steps[0]['id']}"
    assert practice.graph("technician", "PATCH", path, json=body, version="beta").status_code == 403
    assert practice.graph("approver", "PATCH", path, json=body, version="beta").status_code == 204
    assert practice.graph("approver", "PATCH", path, json=body, version="beta").status_code == 409
    (step,) = read(f"roleAssignmentApprovals/{asked['id']}/steps", version="beta")["value"]
    whole(step, "approvalStage")
    assert (step["reviewResult"], step["justification"]) == ("Deny", "Not today.")


def test_role_definitions_and_standing_assignments_are_whole(practice: Driver) -> None:
    token = practice.sign_in("auditor", scopes=[*GRAPH_SCOPES, "RoleManagement.Read.Directory"])["access_token"]
    read = lambda path: practice.graph("auditor", "GET", ROLE + path, token=token).json()  # noqa: E731
    definitions = read("roleDefinitions")["value"]
    whole(definitions, "unifiedRoleDefinition")
    one = read(f"roleDefinitions/{definitions[0]['id']}")
    whole(one, "unifiedRoleDefinition")
    whole(read("roleAssignmentScheduleInstances" + MINE)["value"], "unifiedRoleAssignmentScheduleInstance")
