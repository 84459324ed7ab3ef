"""Stepping up: what a silent refresh gives, loses or refuses, and the challenge at Graph's edge (sheet, 3.1)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.sandbox.driver import GRAPH_SCOPES, PASSWORD_ADMINISTRATOR, Driver

C1 = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
POLICY = f"policies/{PASSWORD_ADMINISTRATOR}"


def silent(practice: Driver, app: Any, **more: Any) -> dict[str, Any]:
    # Another app over the same cache: MSAL itself would replay a refusal for a minute.
    fresh = practice.app(token_cache=app.token_cache)
    [account] = fresh.get_accounts()
    answer: dict[str, Any] = fresh.acquire_token_silent_with_error(
        GRAPH_SCOPES, account, force_refresh=not more, **more
    )
    return answer


@pytest.mark.parametrize(("how", "status"), [("grant", 201), ("ignore", 400)])
def test_a_silent_step_up_is_given_or_comes_to_nothing(practice: Driver, how: str, status: int) -> None:
    practice.control(POLICY, {"authentication_context": "c1"})
    practice.control("people/technician", {"silent_step_up": how})
    app = practice.app()
    practice.sign_in("technician", app)
    token = silent(practice, app, claims_challenge=C1)["access_token"]
    assert practice.activate(token=token).status_code == status


def test_a_plain_refresh_can_lose_the_context_and_one_with_the_challenge_has_it_again(practice: Driver) -> None:
    practice.control(POLICY, {"authentication_context": "c1"})
    practice.control("settings", {"refresh_loses_context": True})
    app = practice.app()
    practice.sign_in("technician", app, claims_challenge=C1)
    refused = practice.activate(token=silent(practice, app)["access_token"])
    assert refused.json()["error"]["code"] == "RoleAssignmentRequestAcrsValidationFailed"
    again = silent(practice, app, claims_challenge=C1)["access_token"]
    assert practice.activate(token=again).status_code == 201


def test_a_refresh_can_ask_for_mfa_until_somebody_signs_in_with_it(practice: Driver) -> None:
    app = practice.app()
    practice.sign_in("technician", app)
    practice.control("people/technician", {"refresh_needs_mfa": True})
    refused = silent(practice, app)
    assert (refused["error"], refused["error_codes"]) == ("interaction_required", [50076])
    stepped = practice.app()
    practice.sign_in("technician", stepped, claims_challenge='{"access_token":{"amr":{"values":["mfa"]}}}')
    assert "access_token" in silent(practice, stepped)


def test_the_edge_of_graph_asks_a_capable_client_for_a_context_and_no_other(practice: Driver) -> None:
    practice.control("people/technician", {"edge_context": "c1"})
    told = practice.graph("technician", "GET", "me")
    assert told.status_code == 401
    header = told.headers["WWW-Authenticate"]
    assert 'error="insufficient_claims"' in header
    claims = base64.b64decode(header.partition('claims="')[2].rstrip('"')).decode()
    assert json.loads(claims) == json.loads(C1)
    stepped = practice.sign_in("technician", claims_challenge=claims)["access_token"]
    assert practice.graph("technician", "GET", "me", token=stepped).status_code == 200
    plain = practice.sign_in("technician", practice.app(capabilities=False))["access_token"]
    refused = practice.graph("technician", "GET", "me", token=plain)
    assert refused.status_code == 401
    assert "claims=" not in refused.headers["WWW-Authenticate"]


def test_a_context_that_no_policy_is_aimed_at_means_mfa(practice: Driver) -> None:
    practice.control(POLICY, {"authentication_context": "c1", "context_is_used": False})
    assert "MfaRule" in practice.activate().json()["error"]["message"]
    stepped = practice.sign_in("technician", claims_challenge='{"access_token":{"amr":{"values":["mfa"]}}}')
    assert practice.activate(token=stepped["access_token"]).status_code == 201


def test_there_are_three_ways_of_a_silent_step_up(practice: Driver) -> None:
    url = f"{practice.facts['practice_url']}/_practice/people/technician"
    assert practice.http.post(url, json={"silent_step_up": "perhaps"}, timeout=10).status_code == 400
