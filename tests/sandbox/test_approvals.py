"""Who may decide an activation, what they may say, and what happens when nobody does (entra-pim sheet, section 4)."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox.driver import PASSWORD_ADMINISTRATOR, ROLE_PATH, Driver

POLICY = f"policies/{PASSWORD_ADMINISTRATOR}"
WAITING = ROLE_PATH + "roleAssignmentScheduleRequests/filterByCurrentUser(on='approver')"


@pytest.fixture
def number(practice: Driver) -> str:
    """A request of the technician that waits; the technician is among the approvers."""
    practice.control(POLICY, {"approval_required": True, "approvers": ["approver", "approver2", "technician"]})
    asked = practice.activate().json()
    assert asked["status"] == "PendingApproval"
    return str(asked["id"])


def decide(practice: Driver, who: str, number: str, result: str = "Approve") -> requests.Response:
    step = ROLE_PATH + f"roleAssignmentApprovals/{number}/steps/{number}"
    body = {"reviewResult": result, "justification": "Call me first."}
    return practice.graph(who, "PATCH", step, version="beta", json=body)


def status(practice: Driver, number: str) -> Any:
    path = ROLE_PATH + f"roleAssignmentScheduleRequests/{number}"
    return practice.graph("technician", "GET", path).json()["status"]


def step(practice: Driver, who: str, number: str) -> Any:
    path = ROLE_PATH + f"roleAssignmentApprovals/{number}"
    answer = practice.graph(who, "GET", path, version="beta")
    assert answer.status_code == 200, answer.text
    [only] = answer.json()["steps"]
    return only


@pytest.mark.parametrize(("who", "seen"), [("approver", 1), ("approver2", 1), ("technician", 0), ("auditor", 0)])
def test_a_list_of_what_waits_holds_only_what_the_reader_may_decide(
    practice: Driver, number: str, who: str, seen: int
) -> None:
    assert len(practice.graph(who, "GET", WAITING).json()["value"]) == seen


@pytest.mark.parametrize("who", ["technician", "auditor"])
def test_neither_the_requestor_nor_a_stranger_decides(practice: Driver, number: str, who: str) -> None:
    assert decide(practice, who, number).status_code == 403
    assert status(practice, number) == "PendingApproval"


def test_an_approval_that_does_not_exist_is_a_404_and_a_second_decision_a_409(practice: Driver, number: str) -> None:
    assert decide(practice, "approver", "11111111-aaaa-4bbb-8ccc-000000000009").status_code == 404
    assert decide(practice, "approver2", number).status_code == 204
    assert decide(practice, "approver", number, "Deny").status_code == 409
    assert status(practice, number) == "Provisioned"


def test_a_denial_keeps_the_approvers_words_for_the_requestor(practice: Driver, number: str) -> None:
    assert step(practice, "approver2", number)["assignedToMe"] is True
    assert decide(practice, "approver2", number, "Deny").status_code == 204
    assert status(practice, number) == "Denied"
    read = step(practice, "technician", number)
    assert (read["reviewResult"], read["justification"], read["status"]) == ("Deny", "Call me first.", "Completed")
    assert read["reviewedBy"]["id"] == practice.people["approver2"]["oid"]


@pytest.mark.parametrize("settings", [{}, {"expired_status": "Failed"}])
def test_a_request_that_nobody_decides_ends_after_24_hours(
    practice: Driver, number: str, settings: dict[str, str]
) -> None:
    practice.control("settings", settings)
    practice.later(24 * 3600 - 60)
    assert status(practice, number) == "PendingApproval"
    practice.later(61)
    assert status(practice, number) == settings.get("expired_status", "TimedOut")
    assert decide(practice, "approver", number).status_code == 409
    assert step(practice, "approver", number)["status"] == "Expired"
    assert "PIM activation request expired" in [row["activityDisplayName"] for row in practice.read("state")["audit"]]


def test_whoever_asked_may_withdraw_while_it_waits(practice: Driver, number: str) -> None:
    path = ROLE_PATH + f"roleAssignmentScheduleRequests/{number}/cancel"
    assert practice.graph("approver", "POST", path).status_code == 404
    assert practice.graph("technician", "POST", path).status_code == 204
    assert status(practice, number) == "Canceled"
    assert decide(practice, "approver", number).status_code == 409


def test_the_policy_names_its_approvers(practice: Driver, number: str) -> None:
    path = (
        "policies/roleManagementPolicyAssignments?$filter=scopeId eq '/' and scopeType eq 'DirectoryRole' and "
        f"roleDefinitionId eq '{PASSWORD_ADMINISTRATOR}'&$expand=policy($expand=rules)"
    )
    [row] = practice.graph("technician", "GET", path).json()["value"]
    [rule] = [rule for rule in row["policy"]["rules"] if rule["id"] == "Approval_EndUser_Assignment"]
    [stage] = rule["setting"]["approvalStages"]
    wanted = [practice.people[key]["oid"] for key in ("approver", "approver2", "technician")]
    assert [one["userId"] for one in stage["primaryApprovers"]] == wanted
    assert stage["primaryApprovers"][0]["@odata.type"] == "#microsoft.graph.singleUser"


def test_a_policy_cannot_name_somebody_who_does_not_exist(practice: Driver) -> None:
    url = f"{practice.facts['practice_url']}/_practice/{POLICY}"
    assert practice.http.post(url, json={"approvers": ["nobody"]}, timeout=10).status_code == 400
