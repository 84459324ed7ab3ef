"""Eligibilities below the whole tenant, and the look-ups that tell which one covers a person (entra-pim sheet, 1.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.driver import GRAPH_SCOPES, MINE, PASSWORD_ADMINISTRATOR, ROLE_PATH, Driver

UNITS = "memberOf/microsoft.graph.administrativeUnit"


@pytest.fixture
def token(practice: Driver) -> str:
    scopes = [*GRAPH_SCOPES, "User.ReadBasic.All", "AdministrativeUnit.Read.All"]
    return str(practice.sign_in("technician", scopes=scopes)["access_token"])


@pytest.mark.parametrize("scope", ["unit:North", "person:requester"])
def test_a_narrow_eligibility_is_activated_by_its_very_scope_and_no_other(practice: Driver, scope: str) -> None:
    practice.control("units", {"North": ["requester"]})
    practice.control("people/technician", {"eligible": [{"role": PASSWORD_ADMINISTRATOR, "scope": scope}]})
    path = ROLE_PATH + "roleEligibilityScheduleInstances" + MINE
    [row] = practice.graph("technician", "GET", path).json()["value"]
    unit = practice.read("state")["units"]["North"]["id"]
    oid = practice.people["requester"]["oid"]
    wanted = f"/administrativeUnits/{unit}" if scope == "unit:North" else f"/{oid}"
    assert row["directoryScopeId"] == wanted
    for other in ("/", "/administrativeUnits/" + oid):
        assert "EligibilityRule" in practice.activate(directoryScopeId=other).json()["error"]["message"]
    assert practice.activate(directoryScopeId=wanted).json()["directoryScopeId"] == wanted
    practice.later(3)
    assert practice.active()[0]["directoryScopeId"] == wanted


def test_the_units_of_a_person_can_be_read(practice: Driver, token: str) -> None:
    units = practice.control("units", {"North": ["requester", "technician"], "South": ["auditor"]})
    person = practice.people["requester"]
    for name in (person["oid"], person["upn"]):
        rows = practice.graph("technician", "GET", f"users/{name}/{UNITS}?$select=id,displayName", token=token).json()
        assert rows["value"] == [{"id": units["North"]["id"], "displayName": "North"}]
    practice.control("units", {"North": []})
    rows = practice.graph("technician", "GET", f"users/{person['oid']}/{UNITS}", token=token).json()
    assert rows["value"] == []


def found(practice: Driver, token: str, text: str) -> list[Any]:
    params = {"$filter": text, "$select": "id,userPrincipalName,mail"}
    answer = practice.graph("technician", "GET", "users", token=token, params=params)
    assert answer.status_code == 200, answer.text
    return [row["userPrincipalName"].partition("@")[0] for row in answer.json()["value"]]


def test_people_are_found_by_either_address(practice: Driver, token: str) -> None:
    practice.control("people/requester", {"mail": "o'brien or so@practice.example"})
    mail, upn = "o''brien or so@practice.example", practice.people["auditor"]["upn"]
    assert found(practice, token, f"mail eq '{mail}' or userPrincipalName eq '{mail}'") == ["requester"]
    assert found(practice, token, f"mail eq '{upn}' or userPrincipalName eq '{upn}'") == ["auditor"]
    both = f"(mail eq '{mail}' or mail eq '{upn}') and displayName eq 'Auditor One'"
    assert found(practice, token, both) == ["auditor"]
    assert found(practice, token, f"mail eq 'x' and mail eq 'y' or mail eq '{upn}'") == ["auditor"]
    assert found(practice, token, "mail eq 'nobody@practice.example'") == []


def test_looking_people_up_needs_its_own_scope(practice: Driver) -> None:
    for path in ("users", f"users/{practice.people['requester']['oid']}/{UNITS}"):
        answer = practice.graph("technician", "GET", path)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "Authorization_RequestDenied"


def test_somebody_unknown_is_a_404(practice: Driver, token: str) -> None:
    answer = practice.graph("technician", "GET", f"users/nobody/{UNITS}", token=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "Request_ResourceNotFound")


def test_ending_all_of_ones_sign_ins_kills_the_refresh_tokens(practice: Driver) -> None:
    app, scopes = practice.app(), [*GRAPH_SCOPES, "User.RevokeSessions.All"]
    token = practice.sign_in("technician", app, scopes=scopes)["access_token"]
    assert practice.graph("technician", "POST", "me/revokeSignInSessions", token=token).json()["value"] is True
    [account] = app.get_accounts()
    refused = app.acquire_token_silent_with_error(scopes, account, force_refresh=True)
    assert refused["error_codes"] == [50173]
