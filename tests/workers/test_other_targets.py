"""Groups, Azure roles and scopes: the same life as a directory role, whatever the tenant calls its parts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integration.deployment import Deployment
from integration.elevation import ActivationState, State
from integration.records import roles
from integration.targets import Target, TargetKind
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import activations_of, by_hand, end_now, fault, mend, pick, said, wait_for

Ruled = Callable[..., Desk]


def rules(practice: Practice) -> str:
    person = practice.people["technician"]
    group, azure = person["eligible_groups"][0], person["eligible_azure"][0]
    return f"""
[[rule]]
name = "Group"
match = {{ category = "Password reset" }}
roles = [{{ group = "{group["groupId"]}", access = "member", name = "{group["group"]}" }}]
duration = "30m"

[[rule]]
name = "Azure"
match = {{ category = "BitLocker key" }}
roles = [{{ azure_role = "{azure["roleDefinitionId"]}", scope = "{azure["scope"]}" }}]
duration = "30m"

[[rule]]
name = "Unit"
match = {{ category = "MFA reset" }}
roles = ["Authentication Administrator"]
scope = "requester's administrative unit"
"""


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    place = tmp_path / "rules.toml"
    place.write_text(rules(practice))
    made = Deployment(settings_for(practice, database_url, tmp_path, rules_file=place))
    made.records.migrate()
    yield made
    made.records.dispose()


@pytest.fixture(params=["Password reset", "BitLocker key"], ids=["group", "azure"])
def category(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def policy(practice: Practice, category: str, **changes: Any) -> None:
    person = practice.people["technician"]
    name = (
        person["eligible_groups"][0]["group"] if category == "Password reset" else person["eligible_azure"][0]["role"]
    )
    practice.control(f"/policies/{name}", changes)


def active(practice: Practice) -> list[str]:
    return [row["kind"] for row in practice.state()["instances"]]


def test_it_is_asked_for_seen_shared_and_given_back(desk: Desk, practice: Practice, category: str) -> None:
    desk.link()
    ticket = pick(desk, practice, category=category)
    assert desk.only(ticket).state is State.ACTIVE
    assert len(active(practice)) == 1
    second = pick(desk, practice, category=category)
    assert desk.only(second).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1

    desk.advance(timedelta(minutes=6))
    for each in (ticket, second):
        practice.solve(each)
        desk.deliver(each)
    desk.sweep()
    assert [desk.only(each).state for each in (ticket, second)] == [State.ENDED, State.ENDED]
    assert active(practice) == []
    (asked,) = practice.activation_requests()
    assert asked["ticketInfo"] == {"ticketNumber": ticket, "ticketSystem": "Practice helpdesk"}


def test_an_answer_that_got_lost_is_found_again_and_asks_once(desk: Desk, practice: Practice, category: str) -> None:
    """Azure knows the request by the name that we gave it; Graph is looked through."""
    desk.link()
    for side, method in (("graph", "POST"), ("arm", "PUT")):
        practice.control("/faults", {"match": {"side": side, "method": method}, "kind": "lose_answer", "times": 1})
    ticket = pick(desk, practice, category=category)
    wait_for(desk, timedelta(seconds=20), steps=4)
    mend(practice)
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1
    assert said(practice, ticket, "outside Ticket Elevate") == 0


def test_the_first_five_minutes_are_waited_for(desk: Desk, practice: Practice, category: str) -> None:
    desk.link()
    ticket = pick(desk, practice, category=category)
    end_now(desk, ticket)
    assert desk.only(ticket).state is State.ENDING
    wait_for(desk, timedelta(minutes=1), steps=6)
    assert (desk.only(ticket).state, active(practice)) == (State.ENDED, [])


def test_an_approver_is_waited_for_and_the_request_withdrawn(desk: Desk, practice: Practice, category: str) -> None:
    policy(practice, category, approval_required=True)
    desk.link()
    first = pick(desk, practice, category=category)
    assert desk.only(first).state is State.PENDING
    practice.solve(first)
    desk.deliver(first)
    desk.sweep()
    assert practice.activation_requests()[-1]["status"] == "Canceled"

    second = pick(desk, practice, category=category)
    practice.control(f"/requests/{practice.activation_requests()[-1]['id']}", {"decision": "approve"})
    wait_for(desk, timedelta(seconds=35), steps=2)
    assert desk.only(second).state is State.ACTIVE


def test_a_denial_brings_the_approvers_words(desk: Desk, practice: Practice, category: str) -> None:
    policy(practice, category, approval_required=True)
    desk.link()
    ticket = pick(desk, practice, category=category)
    number = practice.activation_requests()[-1]["id"]
    practice.control(f"/requests/{number}", {"decision": "deny", "reason": "Not on a Friday."})
    wait_for(desk, timedelta(seconds=35), steps=2)
    assert desk.only(ticket).state is State.FAILED
    assert said(practice, ticket, "Not on a Friday.") == 1


def test_a_context_is_answered_once(desk: Desk, practice: Practice, category: str) -> None:
    policy(practice, category, authentication_context="c1")
    desk.link()
    ticket = pick(desk, practice, category=category)
    it = desk.only(ticket)
    assert it.state is State.SIGN_IN_NEEDED
    assert it.challenge is not None


def test_what_was_activated_by_hand_is_used_and_left_alone(desk: Desk, practice: Practice, category: str) -> None:
    desk.link()
    person = practice.people["technician"]
    group, azure = person["eligible_groups"][0], person["eligible_azure"][0]
    target = (
        Target(TargetKind.GROUP, group["groupId"], "member")
        if category == "Password reset"
        else Target(TargetKind.AZURE_ROLE, azure["roleDefinitionId"], azure["scope"])
    )
    by_hand(desk, practice, target=target)
    ticket = pick(desk, practice, category=category)
    assert desk.only(ticket).state is State.ACTIVE
    assert said(practice, ticket, "outside Ticket Elevate") == 1
    practice.solve(ticket)
    desk.deliver(ticket)
    wait_for(desk, timedelta(minutes=6))
    assert len(active(practice)) == 1
    assert [it.state for it in activations_of(desk)] == [ActivationState.LEFT]


def linked(practice: Practice) -> list[str | None]:
    puts = [it["body"]["properties"] for it in practice.log()["requests"] if it["method"] == "PUT"]
    return [it.get("linkedRoleEligibilityScheduleId") for it in puts if it["requestType"] == "SelfActivate"]


def test_an_azure_role_is_asked_for_by_the_eligibility_that_it_rests_on(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice, category="BitLocker key")
    assert desk.only(ticket).state is State.ACTIVE
    (name,) = linked(practice)
    assert name


def test_an_eligibility_that_was_renewed_since_it_was_read_still_serves(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice, category="BitLocker key")
    (oid, tid), now = (practice.people["technician"]["oid"], practice.facts["tenant_id"]), desk.now()
    wait_for(desk, timedelta(minutes=6))
    end_now(desk, ticket)
    desk.sweep()
    with desk.deployment.records.write() as tx:
        found = desk.deployment.tenant.eligibilities(tid, oid, now, frozenset({TargetKind.AZURE_ROLE}))
        old = [replace(it, schedule_id="gone") for it in found]
        roles.keep_eligible(tx, tid, oid, TargetKind.AZURE_ROLE, old, now=desk.now())
    second = pick(desk, practice, category="BitLocker key")
    assert desk.only(second).state is State.ACTIVE
    assert linked(practice)[1:] == ["gone", None]


def test_azure_refuses_for_a_while_after_giving_back_and_it_is_waited_for(desk: Desk, practice: Practice) -> None:
    practice.control("/settings", {"arm_release_delay": 100})
    desk.link()
    first = pick(desk, practice, category="BitLocker key")
    desk.advance(timedelta(minutes=6))
    practice.solve(first)
    desk.deliver(first)
    second = pick(desk, practice, category="BitLocker key")
    wait_for(desk, timedelta(seconds=30), steps=6)
    assert desk.only(second).state is State.ACTIVE
    assert said(practice, second, "outside Ticket Elevate") == 0


@pytest.mark.parametrize(
    ("scopes", "units", "taken"),
    [
        (["/", "unit:north", "person:requester"], {"north": ["requester"]}, "person"),
        (["/", "unit:north"], {"north": ["requester"]}, "unit"),
        (["unit:south", "/"], {"south": ["approver"]}, "/"),
    ],
)
def test_the_narrowest_eligibility_that_covers_the_requester_is_echoed(
    desk: Desk, practice: Practice, scopes: list[str], units: dict[str, list[str]], taken: str
) -> None:
    practice.control("/units", units)
    eligible = [{"role": "Authentication Administrator", "scope": scope} for scope in scopes]
    practice.control("/people/technician", {"eligible": eligible})
    desk.link()
    ticket = pick(desk, practice, category="MFA reset")
    assert desk.only(ticket).state is State.ACTIVE, desk.only(ticket).outcome
    (asked,) = practice.activation_requests()
    scope = asked["directoryScopeId"]
    wanted = {"person": f"/{practice.people['requester']['oid']}", "/": "/"}.get(taken)
    assert scope == wanted if wanted else scope.startswith("/administrativeUnits/")


def test_who_covers_the_requester_nowhere_is_refused_in_words(desk: Desk, practice: Practice) -> None:
    practice.control("/units", {"south": ["approver"]})
    eligible = [{"role": "Authentication Administrator", "scope": "unit:south"}]
    practice.control("/people/technician", {"eligible": eligible})
    desk.link()
    ticket = pick(desk, practice, category="MFA reset")
    assert desk.only(ticket).state is State.REFUSED
    assert practice.activation_requests() == []


def test_a_tenant_that_answers_each_call_after_a_while_still_gives_and_takes(desk: Desk, practice: Practice) -> None:
    """30 s are more than we wait for one answer: each is looked for afterwards, and nothing is asked for twice."""
    desk.link()
    fault(practice, "slow_answer", side="graph", method="POST", seconds=11, times=1)
    ticket = pick(desk, practice)
    wait_for(desk, timedelta(seconds=20), steps=3)
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


def test_a_list_that_takes_long_is_waited_for(desk: Desk, practice: Practice) -> None:
    """Azure's take 10 to 30 s."""
    fault(practice, "slow_answer", side="arm", path="roleEligibilityScheduleInstances", seconds=11, times=1)
    desk.link()
    ticket = pick(desk, practice, category="BitLocker key")
    assert desk.only(ticket).state is State.ACTIVE, desk.only(ticket).outcome


@pytest.mark.parametrize("status", [503, 403, 401])
def test_a_role_is_given_back_although_nobody_can_look_for_it(
    desk: Desk, practice: Practice, category: str, status: int
) -> None:
    desk.link()
    ticket = pick(desk, practice, category=category)
    desk.advance(timedelta(minutes=6))
    fault(practice, "status", method="GET", path="ssignmentScheduleInstances", status=status, times=1000)
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    assert (desk.only(ticket).state, active(practice)) == (State.ENDED, [])


def test_what_is_not_there_and_cannot_be_looked_for_is_not_called_given_back(
    desk: Desk, practice: Practice, category: str
) -> None:
    desk.link()
    ticket = pick(desk, practice, category=category)
    desk.advance(timedelta(minutes=6))
    fault(practice, "status", method="GET", path="ssignmentScheduleInstances", status=503, times=1000)
    refused = json.dumps({"error": {"code": "RoleAssignmentDoesNotExist", "message": ""}})
    for side, method in (("graph", "POST"), ("arm", "PUT")):
        fault(practice, "status", side=side, method=method, path="Requests", status=400, body=refused, times=2)
    practice.solve(ticket)
    desk.deliver(ticket)
    wait_for(desk, timedelta(seconds=6))
    assert desk.only(ticket).state is State.ENDING
    mend(practice)
    wait_for(desk, timedelta(seconds=30), steps=2)
    assert (desk.only(ticket).state, active(practice)) == (State.ENDED, [])


@pytest.mark.parametrize("status", [503, 403])
def test_a_source_that_is_away_holds_up_nothing_that_does_not_need_it(
    desk: Desk, practice: Practice, status: int
) -> None:
    desk.link()
    fault(practice, "status", side="arm", status=status, times=1000)
    fault(practice, "status", path="/privilegedAccess/group/", status=status, times=1000)
    ticket = pick(desk, practice, category="MFA reset")
    assert desk.only(ticket).state is State.ACTIVE, desk.only(ticket).outcome
    asked = [it["path"] for it in practice.log()["requests"] if it["side"] == "arm" or "privilegedAccess" in it["path"]]
    assert asked == []
