"""Every name that the practice tenant writes is one of the official metadata (graph_types.json, from the CSDL)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.sandbox.driver import GRAPH_SCOPES, MINE, PASSWORD_ADMINISTRATOR, ROLE_PATH, Driver

TYPES: dict[str, Any] = json.loads((Path(__file__).parent / "graph_types.json").read_text())["types"]


def properties(name: str) -> dict[str, str]:
    kind = TYPES[name]
    found = {**kind.get("properties", {}), **kind.get("navigation", {})}
    return {**properties(kind["base"]), **found} if kind.get("base") else found


def check(value: Any, name: str) -> None:
    """Fails for a property that the type does not have and for an enum member that does not exist."""
    name = name.removesuffix(" (required)").removeprefix("Collection(").removesuffix(")")
    if isinstance(value, list):
        for item in value:
            check(item, name)
    elif isinstance(value, dict):
        derived = str(value.get("@odata.type", "")).removeprefix("#microsoft.graph.")
        known = properties(derived or name)
        for key, inner in value.items():
            if not key.startswith("@"):
                assert key in known, f"{derived or name} has no {key}"
                check(inner, known[key])
    elif value is not None and TYPES.get(name, {}).get("kind") == "enum":
        assert value in TYPES[name]["members"]


def test_schedules_and_requests_carry_official_names(practice: Driver) -> None:
    path = ROLE_PATH + "roleEligibilityScheduleInstances" + MINE + "?$expand=roleDefinition"
    check(practice.graph("technician", "GET", path).json()["value"], "unifiedRoleEligibilityScheduleInstance")
    check(practice.activate().json(), "unifiedRoleAssignmentScheduleRequest")
    practice.later(301)
    check(practice.active(), "unifiedRoleAssignmentScheduleInstance")
    check(practice.deactivate().json(), "unifiedRoleAssignmentScheduleRequest")


def test_a_policy_carries_its_seventeen_rules_by_official_names(practice: Driver) -> None:
    path = (
        "policies/roleManagementPolicyAssignments?$filter=scopeId eq '/' and scopeType eq 'DirectoryRole' and "
        f"roleDefinitionId eq '{PASSWORD_ADMINISTRATOR}'&$expand=policy($expand=rules)"
    )
    [row] = practice.graph("technician", "GET", path).json()["value"]
    check(row, "unifiedRoleManagementPolicyAssignment")
    rules = {rule["id"]: rule for rule in row["policy"]["rules"]}
    assert len(rules) == 17
    assert rules["Expiration_EndUser_Assignment"]["maximumDuration"] == "PT8H"
    assert rules["Enablement_EndUser_Assignment"]["enabledRules"] == ["Justification", "Ticketing"]
    bare = practice.graph("technician", "GET", "policies/roleManagementPolicyAssignments")
    assert bare.status_code == 400


def test_audit_rows_and_people_carry_official_names(practice: Driver) -> None:
    practice.activate()
    practice.later(4000)
    token = practice.sign_in("auditor", scopes=[*GRAPH_SCOPES, "AuditLog.Read.All"])["access_token"]
    rows = practice.graph("auditor", "GET", "auditLogs/directoryAudits", token=token).json()["value"]
    assert rows[0]["activityDisplayName"] == "Remove member from role (PIM activation expired)"
    for row in rows:
        # The IP address belongs to a derived identity that the metadata lists under another name.
        check(row, "directoryAudit")
    me = practice.graph("technician", "GET", "me?$select=id,mail,userPrincipalName").json()
    assert me["mail"] == practice.people["technician"]["mail"]
