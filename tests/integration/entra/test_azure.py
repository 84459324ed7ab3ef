"""Azure roles over a stand-in of Azure Resource Manager that answers as its reference says."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import requests

from integration.brake import PROBE
from integration.elevation import LEASE
from integration.entra import azure
from integration.entra.azure import AzureRoles
from integration.entra.errors import EntraRefused
from integration.entra.http import EntraHttp
from integration.entra.pim import Asking, Request, RequestKind, Sought
from integration.targets import Target, TargetKind

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
SCOPE = "/subscriptions/5a/resourceGroups/web servers"
TARGET = Target(TargetKind.AZURE_ROLE, "b24988ac-6180-42a0-ab88-20f7382dd24c", SCOPE)
DEFINITION = f"/subscriptions/5a/providers/Microsoft.Authorization/roleDefinitions/{TARGET.id}"
NAME = "11111111-aaaa-4bbb-8ccc-000000000001"


class _Arm:
    """Answers by the end of the path; what was sent is kept."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.sent: list[tuple[str, str, dict[str, Any]]] = []

    def request(self, method: str, url: str, **more: Any) -> requests.Response:
        self.sent.append((method, url, more))
        key = f"{method}_{url.split('?')[0].rsplit('/', 1)[-1].replace('-', '_')}"
        status, body = self.answers.get(key, (404, {"error": {"code": "RoleAssignmentRequestNotFound"}}))
        answer = requests.Response()
        answer.status_code, answer._content = status, json.dumps(body).encode()
        return answer


def roles(arm: _Arm) -> AzureRoles:
    return AzureRoles(*azure.transports("https://arm.test", cast(EntraHttp, arm)))


def row(name: str = NAME, **properties: Any) -> dict[str, Any]:
    base = {"roleDefinitionId": DEFINITION, "scope": SCOPE, "principalId": "o1"}
    return {"name": name, "properties": {**base, **properties}}


ASKING = Asking("o1", TARGET, timedelta(hours=1), "Ticket 4821", "4821", "Desk", NAME, NOW)
KEY = NAME.replace("-", "_")


def test_everything_that_is_active_is_listed_with_its_end() -> None:
    rows = [row(assignmentType="Activated", endDateTime="2026-11-24T10:00:00Z"), row(scope="/subscriptions/5a")]
    found = roles(_Arm(GET_roleAssignmentScheduleInstances=(200, {"value": rows}))).actives("token")
    assert [(target.scope, active.activated, active.end) for target, active in found] == [
        (SCOPE, True, datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("/subscriptions/5a", False, None),
    ]


def test_a_look_has_time_for_a_slow_list_and_fits_into_a_lease_with_a_change() -> None:
    arm = _Arm(GET_roleAssignmentScheduleInstances=(200, {"value": []}), **{f"PUT_{KEY}": (201, row())})
    roles(arm).actives("token")
    roles(arm).activate("token", ASKING)
    (to_read, to_change) = (more["timeout"] for _, _, more in arm.sent)
    assert to_read[1] > 30
    assert sum(to_read) + sum(to_change) < LEASE.total_seconds()
    assert sum(to_read) < PROBE.total_seconds()


def test_eligibilities_of_all_pages_carry_role_and_place() -> None:
    named = {"roleDefinition": {"displayName": "Contributor"}, "scope": {"displayName": "web"}}
    more = "https://arm.test/next?api-version=2020-10-01"
    arm = _Arm(
        GET_roleEligibilityScheduleInstances=(200, {"value": [row(expandedProperties=named)], "nextLink": more}),
        GET_next=(200, {"value": [row(scope="/subscriptions/5a")]}),
    )
    found = roles(arm).eligibilities("token")
    assert [(one.target.scope, one.name) for one in found] == [
        (SCOPE, "Contributor on web"),
        ("/subscriptions/5a", f"{TARGET.id} on 5a"),
    ]
    assert found[0].target == TARGET == Target.from_key(TARGET.key)
    assert arm.sent[0][2]["params"] == {"api-version": "2020-10-01", "$filter": "asTarget()"}


def test_asking_puts_a_request_under_our_own_name() -> None:
    made = row(
        status="PendingApproval",
        approvalId=f"/providers/Microsoft.Authorization/roleAssignmentApprovals/{NAME}",
        createdOn="2026-11-24T09:00:01Z",
    )
    arm = _Arm(**{f"PUT_{KEY}": (201, made)})
    asked = roles(arm).activate("token", ASKING)
    assert asked == Request(NAME, "PendingApproval", NAME, NAME, NOW + timedelta(seconds=1))
    method, url, sent = arm.sent[0]
    where = "/subscriptions/5a/resourceGroups/web%20servers/providers/Microsoft.Authorization"
    assert (method, url) == ("PUT", f"https://arm.test{where}/roleAssignmentScheduleRequests/{NAME}")
    properties = sent["json"]["properties"]
    assert (properties["requestType"], properties["roleDefinitionId"]) == ("SelfActivate", DEFINITION)
    assert properties["scheduleInfo"]["expiration"] == {
        "type": "AfterDuration",
        "endDateTime": None,
        "duration": "PT1H",
    }


def test_asking_names_the_eligibility_that_it_rests_on() -> None:
    rows = [row(roleEligibilityScheduleId=f"{SCOPE}/providers/Microsoft.Authorization/RoleEligibilitySchedules/aBc-1")]
    arm = _Arm(GET_roleEligibilityScheduleInstances=(200, {"value": rows}), **{f"PUT_{KEY}": (201, row())})
    (held,) = roles(arm).eligibilities("token")
    roles(arm).activate("token", replace(ASKING, eligibility=held.schedule_id))
    roles(arm).activate("token", ASKING)
    named, unnamed = (more["json"]["properties"] for method, _, more in arm.sent if method == "PUT")
    assert named["linkedRoleEligibilityScheduleId"] == "aBc-1"
    assert "linkedRoleEligibilityScheduleId" not in unnamed


def test_an_eligibility_that_was_renewed_is_asked_for_without_its_name() -> None:
    message = 'The following policy rules failed: ["EligibilityRule"]'
    refused = (400, {"error": {"code": "RoleAssignmentRequestPolicyValidationFailed", "message": message}})
    arm = _Arm(**{f"PUT_{KEY}": refused})
    with pytest.raises(EntraRefused):
        roles(arm).activate("token", replace(ASKING, eligibility="old"))
    bodies = [more["json"]["properties"] for _, _, more in arm.sent]
    assert [body.get("linkedRoleEligibilityScheduleId") for body in bodies] == ["old", None]


def test_asking_twice_under_one_name_is_one_request() -> None:
    taken = (409, {"error": {"code": "RoleAssignmentRequestExists", "message": ""}})
    arm = _Arm(**{f"PUT_{KEY}": taken, f"GET_{KEY}": (200, row(status="Provisioned"))})
    assert roles(arm).activate("token", ASKING).kind is RequestKind.ACTIVE
    sought = Sought(TARGET, "4821", "Desk", "Ticket 4821", NOW, NAME)
    found = roles(arm).find_own_request("token", sought)
    assert found is not None
    assert found.id == NAME
    assert roles(_Arm()).find_own_request("token", sought) is None


def test_another_conflict_is_a_refusal() -> None:
    arm = _Arm(**{f"PUT_{KEY}": (409, {"error": {"code": "SomethingElse"}})})
    with pytest.raises(EntraRefused):
        roles(arm).activate("token", ASKING)


def test_a_policy_that_may_not_be_read_is_unknown() -> None:
    refused = (403, {"error": {"code": "AuthorizationFailed", "message": ""}})
    assert roles(_Arm(GET_roleManagementPolicyAssignments=refused)).policy("token", TARGET) is None


def test_rules_are_read_with_their_approvers() -> None:
    rules = [
        {"id": "Expiration_EndUser_Assignment", "maximumDuration": "PT2H"},
        {
            "id": "Approval_EndUser_Assignment",
            "setting": {
                "isApprovalRequired": True,
                "approvalStages": [{"primaryApprovers": [{"description": "Cloud team"}, {"displayName": "Desk lead"}]}],
            },
        },
    ]
    arm = _Arm(GET_roleManagementPolicyAssignments=(200, {"value": [{"properties": {"effectiveRules": rules}}]}))
    policy = roles(arm).policy("token", TARGET)
    assert policy is not None
    assert (policy.maximum, policy.approval, policy.approvers) == (
        timedelta(hours=2),
        True,
        ("Cloud team", "Desk lead"),
    )
    assert type(policy).from_json(json.loads(json.dumps(policy.to_json()))) == policy


def test_an_instance_is_found_by_its_schedule_in_any_case_of_letters() -> None:
    schedule = "/subscriptions/5a/providers/Microsoft.Authorization/roleAssignmentSchedules/s2"
    other = row(roleAssignmentScheduleId="/x/s1", assignmentType="Activated")
    mine = row(roleAssignmentScheduleId=schedule, assignmentType="Activated", scope=SCOPE.upper())
    arm = _Arm(GET_roleAssignmentScheduleInstances=(200, {"value": [other, mine]}))
    active = roles(arm).active("token", TARGET, schedule_id="s2")
    assert active is not None
    assert (active.schedule_id, active.activated) == ("s2", True)


def test_an_approver_sees_what_waits_and_decides_the_open_stage() -> None:
    waiting = row(
        status="PendingApproval",
        approvalId="/providers/Microsoft.Authorization/roleAssignmentApprovals/a1",
        ticketInfo={"ticketNumber": "4821", "ticketSystem": "Desk"},
    )
    stage = {"name": "st", "properties": {"reviewResult": "NotReviewed"}}
    arm = _Arm(
        GET_roleAssignmentScheduleRequests=(200, {"value": [waiting, row(status="Denied")]}),
        GET_stages=(200, {"value": [stage]}),
        PATCH_st=(200, {}),
    )
    found = roles(arm).approvals("token")
    assert [(one.approval_id, one.requestor, one.ticket_number) for one in found] == [("a1", "o1", "4821")]
    assert roles(arm).pending("token") == {NAME}
    assert roles(arm).decision("token", TARGET, "a1") is None
    roles(arm).decide("token", found[0], approve=False, words="not today")
    assert arm.sent[-1][2]["json"] == {"properties": {"reviewResult": "Deny", "justification": "not today"}}
    stage["properties"] = {"reviewResult": "Deny", "justification": "not today", "reviewedBy": {"displayName": "Lead"}}
    with pytest.raises(EntraRefused) as refused:
        roles(arm).decide("token", found[0], approve=True, words="")
    assert refused.value.status == 409
    decision = roles(arm).decision("token", TARGET, "a1")
    assert decision is not None
    assert (decision.approved, decision.words, decision.who) == (False, "not today", "Lead")
