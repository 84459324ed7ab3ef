"""The control API makes both sides misbehave, and its log lets an independent checker judge."""

from __future__ import annotations

import base64

import pytest
import requests

from tests.sandbox.driver import Driver

REQUESTS = "/v1.0/roleManagement/directory/roleAssignmentScheduleRequests"


def test_a_lost_answer_leaves_the_work_done(practice: Driver) -> None:
    practice.token("technician")
    practice.control("faults", [{"match": {"method": "POST", "path": REQUESTS}, "kind": "lose_answer"}])
    with pytest.raises(requests.ConnectionError):
        practice.activate()
    assert practice.activate().json()["error"]["code"] == "RoleAssignmentExists"


def test_a_dropped_connection_leaves_nothing_done(practice: Driver) -> None:
    practice.token("technician")
    practice.control("faults", [{"match": {"method": "POST", "path": REQUESTS}, "kind": "drop"}])
    with pytest.raises(requests.ConnectionError):
        practice.activate()
    assert practice.activate().status_code == 201


def test_throttling_and_other_statuses_come_as_often_as_asked_on_either_side(practice: Driver) -> None:
    practice.token("technician")
    practice.control(
        "faults",
        [
            {"match": {"side": "graph", "path": "/me$"}, "kind": "throttle", "times": 2, "retry_after": "7"},
            {"match": {"side": "helpdesk"}, "kind": "status", "status": 502},
        ],
    )
    for _ in range(2):
        answer = practice.graph("technician", "GET", "me")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert practice.graph("technician", "GET", "me").status_code == 200
    assert practice.desk("bot", "GET", "me").status_code == 502
    assert practice.desk("bot", "GET", "me").status_code == 200


def test_the_log_shows_what_each_side_received_without_secrets(practice: Driver) -> None:
    token = practice.sign_in("technician")["access_token"]
    practice.activate(token=token)
    practice.desk("bot", "POST", "tickets/4821/notes", json={"body": "hello"})
    text = practice.http.get(f"{practice.facts['practice_url']}/_practice/log", timeout=10).text
    for secret in (token, practice.facts["client_secret"], practice.facts["helpdesk_token"]):
        assert secret not in text
    rows = practice.read("log")["requests"]
    [asked] = [r for r in rows if r["path"] == REQUESTS]
    assert (asked["side"], asked["method"], asked["status"]) == ("graph", "POST", 201)
    assert asked["who"] == "technician"
    assert asked["body"]["ticketInfo"]["ticketNumber"] == "4821"
    assert [r["side"] for r in rows if r["path"].endswith("/notes")] == ["helpdesk"]


def test_an_unknown_fault_or_field_is_named(practice: Driver) -> None:
    url = f"{practice.facts['practice_url']}/_practice/"
    assert "teleport" in practice.http.post(url + "faults", json={"kind": "teleport"}, timeout=10).text
    answer = practice.http.post(url + "policies/Password Administrator", json={"colour": 1}, timeout=10)
    assert answer.status_code == 400
    assert "colour" in answer.text


def test_eligibilities_and_addresses_change_on_request(practice: Driver) -> None:
    practice.control(
        "people/technician", {"eligible": [{"role": "Reports Reader", "scope": "/"}], "mail": "x@y.example"}
    )
    state = practice.read("state")
    [technician] = [p for p in state["people"] if p["key"] == "technician"]
    assert [e["role"] for e in technician["eligible"]] == ["Reports Reader"]
    assert practice.graph("technician", "GET", "me").json()["mail"] == "x@y.example"


def test_a_slow_a_cut_and_a_challenging_answer_can_be_practised(practice: Driver) -> None:
    practice.token("technician")
    claims = '{"access_token":{"acrs":{"essential":true,"value":"c2"}}}'
    practice.control("faults", [{"kind": "challenge", "claims": claims}, {"kind": "truncate"}])
    told = practice.graph("technician", "GET", "me")
    assert told.status_code == 401
    encoded = told.headers["WWW-Authenticate"].partition('claims="')[2].rstrip('"')
    assert base64.b64decode(encoded).decode() == claims
    with pytest.raises(requests.JSONDecodeError):
        practice.graph("technician", "GET", "me").json()
    practice.control("faults", {"kind": "slow_answer", "seconds": 0.3, "match": {"method": "POST"}})
    assert practice.activate().elapsed.total_seconds() >= 0.3


def test_a_role_given_back_can_be_kept_from_a_new_activation_for_a_while(practice: Driver) -> None:
    practice.control("settings", {"release_delay": 12, "active_minimum": 0})
    practice.activate()
    practice.later(3)
    practice.deactivate()
    assert practice.activate().json()["error"]["code"] == "RoleAssignmentExists"
    practice.later(12)
    assert practice.activate().status_code == 201


def test_an_address_at_the_helpdesk_can_differ_from_the_tenants(practice: Driver) -> None:
    practice.control("people/technician", {"helpdesk_mail": "old@practice.example"})
    assert practice.desk("technician", "GET", "me").json()["email"] == "old@practice.example"
    assert practice.graph("technician", "GET", "me").json()["mail"] == practice.people["technician"]["mail"]
