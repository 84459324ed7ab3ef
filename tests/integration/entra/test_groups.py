"""Groups through Graph, as its reference says: two fields name a target, the rest is as for directory roles."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import requests

from integration.entra.groups import Groups
from integration.entra.http import EntraHttp
from integration.entra.pim import Asking, RequestKind
from integration.entra.transport import Transport
from integration.targets import Target, TargetKind

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
GROUP = "33333333-aaaa-4bbb-8ccc-000000000001"
TARGET = Target(TargetKind.GROUP, GROUP, "member")
BASE = "https://graph.test/v1.0/identityGovernance/privilegedAccess/group"


class _Graph:
    """Gives the same answer to everything; what was sent is kept."""

    def __init__(self, body: Any, status: int = 200) -> None:
        self.body, self.status = body, status
        self.sent: list[tuple[str, str, dict[str, Any]]] = []

    def request(self, method: str, url: str, **more: Any) -> requests.Response:
        self.sent.append((method, url, more))
        answer = requests.Response()
        answer.status_code, answer._content = self.status, json.dumps(self.body).encode()
        return answer


def groups(graph: _Graph) -> Groups:
    transport = Transport("https://graph.test/v1.0", cast(EntraHttp, graph))
    return Groups(transport, transport)


def test_membership_and_ownership_are_two_targets_with_keys_of_their_own() -> None:
    rows = [
        {"groupId": GROUP, "accessId": "member", "group": {"displayName": "Web team"}},
        {"groupId": GROUP, "accessId": "Owner", "group": None},
    ]
    found = groups(_Graph({"value": rows})).eligibilities("token")
    assert [(one.target.key, one.name) for one in found] == [
        (f"entra-group:{GROUP}@member", "Web team"),
        (f"entra-group:{GROUP}@owner", GROUP),
    ]
    assert Target.from_key(found[0].target.key) == TARGET


@pytest.mark.parametrize("ends", [("2026-12-01T00:00:00Z", None), (None, "2026-12-01T00:00:00Z")])
def test_of_two_ways_to_the_same_target_the_longer_one_counts(ends: tuple[str | None, ...]) -> None:
    rows = [{"groupId": GROUP, "accessId": "member", "endDateTime": end} for end in ends]
    (only,) = groups(_Graph({"value": rows})).eligibilities("token")
    assert only.until is None
    (first,) = groups(_Graph({"value": [{**rows[0], "endDateTime": ends[0] or ends[1]}]})).eligibilities("token")
    assert first.until == datetime(2026, 12, 1, tzinfo=UTC)


def test_everything_that_is_active_is_listed_with_its_end() -> None:
    rows = [
        {"groupId": GROUP, "accessId": "owner", "assignmentType": "assigned", "endDateTime": None},
        {"groupId": GROUP, "accessId": "member", "assignmentType": "activated", "endDateTime": "2026-11-24T10:00:00Z"},
    ]
    found = groups(_Graph({"value": rows})).actives("token")
    assert [(target.scope, active.activated, active.end) for target, active in found] == [
        ("owner", False, None),
        ("member", True, datetime(2026, 11, 24, 10, tzinfo=UTC)),
    ]


def test_asking_names_group_and_access() -> None:
    graph = _Graph({"id": "r1", "status": "Provisioned", "targetScheduleId": f"{GROUP}_member_r1"}, 201)
    asking = Asking("o1", TARGET, timedelta(minutes=90), "Ticket 4821", "4821", "Desk", "ignored", NOW)
    asked = groups(graph).activate("token", asking)
    assert (asked.kind, asked.schedule_id) == (RequestKind.ACTIVE, f"{GROUP}_member_r1")
    method, url, sent = graph.sent[0]
    assert (method, url) == ("POST", f"{BASE}/assignmentScheduleRequests")
    assert (sent["json"]["groupId"], sent["json"]["accessId"], sent["json"]["principalId"]) == (GROUP, "member", "o1")
    assert sent["json"]["scheduleInfo"]["expiration"]["duration"] == "PT1H30M"
    assert "ignored" not in json.dumps(sent["json"])


def test_an_instance_of_ownership_is_not_one_of_membership() -> None:
    rows = [
        {"groupId": GROUP, "accessId": "owner", "assignmentScheduleId": "s1", "assignmentType": "activated"},
        {"groupId": GROUP.upper(), "accessId": "member", "assignmentScheduleId": "s2", "assignmentType": "activated"},
    ]
    active = groups(_Graph({"value": rows})).active("token", TARGET, schedule_id=None)
    assert active is not None
    assert (active.schedule_id, active.activated) == ("s2", True)


@pytest.mark.parametrize("access", ["member", "owner"])
def test_the_policy_is_that_of_the_group_and_the_access(access: str) -> None:
    graph = _Graph({"value": []})
    assert groups(graph).policy("token", Target(TargetKind.GROUP, GROUP, access)) is None
    wanted = f"scopeId eq '{GROUP}' and scopeType eq 'Group' and roleDefinitionId eq '{access}'"
    assert graph.sent[0][2]["params"]["$filter"] == wanted
