"""Every row of the catalogue, answered to an activation: each ends in the right state, in the catalogue's words."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from integration.elevation import State
from integration.entra import catalogue
from integration.entra.errors import EntraUnavailable, RoleAssignmentExists, SignInNeeded, StepUpNeeded
from tests.conftest import Desk, Practice
from tests.workers.steps import activations_of, fault, mend, pick, said, wait_for

REQUESTS = "roleAssignmentScheduleRequests"
POLICY = "RoleAssignmentRequestPolicyValidationFailed"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


def refuse(practice: Practice, code: str, message: str = "CANARY", *, status: int = 400, times: int = 60) -> None:
    body = json.dumps({"error": {"code": code, "message": message}})
    fault(practice, "status", method="POST", path=REQUESTS, status=status, body=body, times=times)


def finished(kind: type[Exception]) -> bool:
    return not issubclass(kind, SignInNeeded | EntraUnavailable)


@pytest.mark.parametrize("code", [code for code, it in catalogue.CODES.items() if finished(it.kind)])
def test_a_refusal_ends_in_its_own_words_and_leaves_nothing(desk: Desk, practice: Practice, code: str) -> None:
    entry = catalogue.CODES[code]
    message = 'failed: ["JustificationRule"]' if code == POLICY else "CANARY"
    refuse(practice, code, message)
    desk.link()
    ticket = pick(desk, practice)
    wait_for(desk, timedelta(minutes=1), steps=7)
    it = desk.only(ticket)
    assert it.state is State.FAILED, (it.state, it.outcome)
    (note,) = [note for note in practice.notes(ticket) if "No role was activated." in note]
    assert "CANARY" not in note
    if code != POLICY:
        assert entry.technician in note
    mend(practice)
    assert practice.active_roles() == []
    assert entry.administrator


@pytest.mark.parametrize("rule", [rule for rule in catalogue.RULES if rule != "MfaRule"])
def test_a_policys_rule_is_named_in_words(desk: Desk, practice: Practice, rule: str) -> None:
    refuse(practice, POLICY, f'The following policy rules failed: ["{rule}"]')
    desk.link()
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.FAILED
    assert said(practice, ticket, catalogue.RULES[rule].phrase) == 1


@pytest.mark.parametrize(
    "code", [code for code, it in catalogue.CODES.items() if issubclass(it.kind, EntraUnavailable)]
)
def test_what_time_mends_is_tried_again_until_it_works(desk: Desk, practice: Practice, code: str) -> None:
    refuse(practice, code, status=429, times=2)
    desk.link()
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.WAITING
    wait_for(desk, timedelta(seconds=40), steps=5)
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (POLICY, 'The following policy rules failed: ["MfaRule"]'),
        ("RoleAssignmentRequestAcrsValidationFailed", "&claims=%7B%22access_token%22%3A%7B%22acrs%22%3A%7B%7D%7D%7D"),
    ],
)
def test_what_the_technician_mends_waits_for_them(desk: Desk, practice: Practice, code: str, message: str) -> None:
    assert issubclass(catalogue.entry("MfaRule").kind, StepUpNeeded)  # type: ignore[union-attr]
    refuse(practice, code, message)
    desk.link()
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert said(practice, ticket, "please confirm once at") == 1


def test_an_unknown_code_and_an_unknown_status_say_so_with_an_id(desk: Desk, practice: Practice) -> None:
    headers = {"request-id": "6f5f6c1e-0000-4000-8000-00000000abcd"}
    body = json.dumps({"error": {"code": "SomethingNew", "message": "CANARY"}})
    fault(practice, "status", method="POST", path=REQUESTS, status=418, body=body, headers=headers)
    desk.link()
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.FAILED
    assert said(practice, ticket, "Tell an administrator the id 6f5f6c1e-0000-4000-8000-00000000abcd") == 1


def test_an_unknown_status_of_a_request_is_waited_for_and_then_said_honestly(desk: Desk, practice: Practice) -> None:
    practice.control("/policies/Password Administrator", {"answer_status": "Pondering", "settle_seconds": -1})
    desk.link()
    ticket = pick(desk, practice)
    wait_for(desk, timedelta(minutes=10), steps=3)
    assert desk.only(ticket).state is State.WAITING
    for _ in range(30):
        wait_for(desk, timedelta(hours=1))
    assert desk.only(ticket).state is State.FAILED
    assert said(practice, ticket, "Entra did not decide within a day") == 1
    assert len(activations_of(desk)) == 1
    assert issubclass(catalogue.CODES["RoleAssignmentExists"].kind, RoleAssignmentExists)
