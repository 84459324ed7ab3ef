"""The practice tenant refuses with the envelopes and codes of entra-pim's sheet, section 3."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from tests.sandbox.driver import GRAPH_SCOPES, MINE, PASSWORD_ADMINISTRATOR, ROLE_PATH, Driver


def error(answer: requests.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()["error"]
    assert set(body) == {"code", "message", "innerError"}
    assert set(body["innerError"]) == {"date", "request-id", "client-request-id"}
    return body


def long(duration: str) -> dict[str, Any]:
    return {"expiration": {"type": "afterDuration", "duration": duration}}


def test_all_failed_rules_stand_in_one_message(practice: Driver) -> None:
    body = error(practice.activate(justification="", ticketInfo=None, scheduleInfo=long("PT9H")))
    assert body["code"] == "RoleAssignmentRequestPolicyValidationFailed"
    text, _, names = body["message"].partition(": ")
    assert text == "The following policy rules failed"
    assert sorted(json.loads(names)) == ["ExpirationRule", "JustificationRule", "TicketingRule"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"directoryScopeId": "/administrativeUnits/1"}, "RoleAssignmentRequestPolicyValidationFailed"),
        ({"roleDefinitionId": "00000000-0000-4000-8000-000000000000"}, "RoleDefinitionDoesNotExist"),
        ({"principalId": "00000000-0000-4000-8000-000000000000"}, "SubjectNotFound"),
        ({"scheduleInfo": long("an hour")}, "InvalidRoleAssignmentRequestSchedule"),
        ({"scheduleInfo": None}, "BadRequest"),
        ({"action": "selfPromote"}, "BadRequest"),
    ],
)
def test_a_wrong_request_is_refused_by_name(practice: Driver, changes: dict[str, Any], code: str) -> None:
    assert error(practice.activate(**changes))["code"] == code


def test_somebody_who_is_not_eligible_fails_the_eligibility_rule(practice: Driver) -> None:
    assert "EligibilityRule" in error(practice.activate("ineligible"))["message"]


def test_a_second_activation_exists_already_and_a_second_pending_one_is_pending(practice: Driver) -> None:
    practice.activate()
    assert error(practice.activate())["code"] == "RoleAssignmentExists"
    practice.control("reset", {})
    practice.forget()
    practice.control(f"policies/{PASSWORD_ADMINISTRATOR}", {"approval_required": True})
    asked = practice.activate().json()
    assert (asked["status"], asked["approvalId"]) == ("PendingApproval", asked["id"])
    assert asked["scheduleInfo"]["startDateTime"] is None
    assert asked["completedDateTime"] is not None
    assert error(practice.activate())["code"] == "PendingRoleAssignmentRequest"


def test_an_approver_decides_once(practice: Driver) -> None:
    practice.control(f"policies/{PASSWORD_ADMINISTRATOR}", {"approval_required": True})
    number = practice.activate().json()["id"]
    path = ROLE_PATH + "roleAssignmentScheduleRequests/filterByCurrentUser(on='approver')"
    query = "?$filter=status eq 'PendingApproval'&$select=id,status"
    [seen] = practice.graph("approver", "GET", path + query).json()["value"]
    assert seen == {"id": number, "status": "PendingApproval"}
    step = ROLE_PATH + f"roleAssignmentApprovals/{number}/steps/{number}"
    body = {"reviewResult": "Approve", "justification": "ok"}
    assert practice.graph("approver", "PATCH", step, version="beta", json=body).status_code == 204
    error(practice.graph("approver", "PATCH", step, version="beta", json=body), 409)
    practice.later(3)
    assert len(practice.active()) == 1


def test_a_planned_activation_is_granted_and_can_be_canceled(practice: Driver) -> None:
    start = {"startDateTime": "2099-01-01T00:00:00.0000000Z", **long("PT1H")}
    asked = practice.activate(scheduleInfo=start).json()
    assert asked["status"] == "Granted"
    path = ROLE_PATH + f"roleAssignmentScheduleRequests/{asked['id']}"
    assert practice.graph("technician", "POST", path + "/cancel").status_code == 204
    assert practice.graph("technician", "GET", path).json()["status"] == "Canceled"
    error(practice.graph("technician", "POST", path + "/cancel"))


def test_a_validation_only_request_leaves_nothing_behind(practice: Driver) -> None:
    answer = practice.activate(isValidationOnly=True)
    assert answer.status_code == 201
    assert answer.json()["isValidationOnly"] is True
    assert practice.activate().status_code == 201


def test_a_status_that_nobody_knows_can_be_practised(practice: Driver) -> None:
    practice.control("policies/Password Administrator", {"answer_status": "PendingMagic", "settle_seconds": 5})
    number = practice.activate().json()["id"]
    path = ROLE_PATH + f"roleAssignmentScheduleRequests{MINE}?$select=status&$filter=id eq '{number}'"
    assert practice.graph("technician", "GET", path).json()["value"] == [{"status": "PendingMagic"}]
    practice.later(6)
    assert practice.graph("technician", "GET", path).json()["value"] == [{"status": "Provisioned"}]


@pytest.mark.parametrize("shape", ["plain", "nested"])
def test_a_context_challenge_is_cleared_only_by_context_and_capability(practice: Driver, shape: str) -> None:
    practice.control(f"policies/{PASSWORD_ADMINISTRATOR}", {"authentication_context": "c1", "challenge_shape": shape})
    body = error(practice.activate())
    if shape == "nested":
        assert body["code"] == "UnknownError"
        body = json.loads(body["message"])
        body["code"] = body["errorCode"]
    assert body["code"] == "RoleAssignmentRequestAcrsValidationFailed"
    claims = unquote(body["message"].removeprefix("&claims="))
    assert json.loads(claims) == {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
    without = practice.sign_in("technician", practice.app(capabilities=False), claims_challenge=claims)
    error(practice.activate(token=without["access_token"]))
    stepped = practice.sign_in("technician", claims_challenge=claims)["access_token"]
    assert practice.activate(token=stepped).status_code == 201


def test_the_mfa_rule_gives_no_challenge(practice: Driver) -> None:
    practice.control(f"policies/{PASSWORD_ADMINISTRATOR}", {"enabled_rules": ["MultiFactorAuthentication"]})
    assert "MfaRule" in error(practice.activate())["message"]
    claims = '{"access_token":{"amr":{"essential":true,"values":["mfa"]}}}'
    stepped = practice.sign_in("technician", claims_challenge=claims)["access_token"]
    assert practice.activate(token=stepped).status_code == 201


def test_a_missing_scope_is_a_403_with_json_in_its_message(practice: Driver) -> None:
    token = practice.sign_in("technician", scopes=["User.Read"])["access_token"]
    body = error(practice.activate(token=token), 403)
    inner = json.loads(body["message"])
    assert (body["code"], inner["errorCode"]) == ("UnknownError", "PermissionScopeNotGranted")
    assert "RoleAssignmentSchedule.ReadWrite.Directory" in inner["message"]


def test_a_token_for_another_resource_or_none_is_a_401(practice: Driver) -> None:
    arm = practice.sign_in("technician", scopes=["https://management.azure.com/user_impersonation"])
    for token in (arm["access_token"], arm["id_token"], "nonsense"):
        answer = practice.graph("technician", "GET", "me", token=token)
        assert error(answer, 401)["code"] == "InvalidAuthenticationToken"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_an_expired_access_token_is_a_401_without_claims(practice: Driver) -> None:
    practice.token("technician")
    practice.control("people/technician", {"expire_access_tokens": True})
    answer = practice.graph("technician", "GET", "me")
    error(answer, 401)
    assert "claims=" not in answer.headers["WWW-Authenticate"]


def test_request_ids_are_echoed(practice: Driver) -> None:
    mine = "11111111-aaaa-4bbb-8ccc-000000000009"
    answer = practice.graph("technician", "GET", "me", headers={"client-request-id": mine})
    assert answer.headers["client-request-id"] == mine
    assert answer.headers["request-id"]


def test_the_audit_log_needs_a_role_and_comes_late(practice: Driver) -> None:
    scopes = [*GRAPH_SCOPES, "AuditLog.Read.All"]
    token = practice.sign_in("technician", scopes=scopes)["access_token"]
    refused = practice.graph("technician", "GET", "auditLogs/directoryAudits", token=token)
    assert error(refused, 403)["code"] == "Authentication_RequestFromUnsupportedUserRole"
    asked = practice.activate().json()
    auditor = practice.sign_in("auditor", scopes=scopes)["access_token"]
    path = (
        "auditLogs/directoryAudits?$filter=loggedByService eq 'PIM' and "
        f"initiatedBy/user/id eq '{practice.people['technician']['oid']}' and "
        f"targetResources/any(t:t/id eq '{asked['id']}')"
    )
    assert practice.graph("auditor", "GET", path, token=auditor).json()["value"] == []
    practice.later(121)
    rows = practice.graph("auditor", "GET", path, token=auditor).json()["value"]
    assert [row["activityDisplayName"] for row in rows] == [
        "Add member to role completed (PIM activation)",
        "Add member to role requested (PIM activation)",
    ]
