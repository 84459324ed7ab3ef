"""Signing in at the practice tenant by MSAL, and the refusals of its token endpoint."""

from __future__ import annotations

import json
import ssl
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.sandbox.driver import CALLBACK, GRAPH_SCOPES, Driver


def test_the_id_token_carries_what_a_product_must_check(practice: Driver) -> None:
    token = practice.sign_in("auditor")["id_token"]
    keys = jwt.PyJWKClient(
        f"{practice.facts['authority']}/discovery/v2.0/keys",
        ssl_context=ssl.create_default_context(cafile=practice.facts["ca_bundle"]),
    )
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["RS256"],
        audience=practice.facts["client_id"],
        issuer=f"{practice.facts['authority']}/v2.0",
        options={"require": ["exp", "iat", "aud", "iss", "sub", "oid", "tid", "nonce", "auth_time", "login_hint"]},
    )
    assert claims["tid"] == practice.facts["tenant_id"]
    assert claims["oid"] == practice.people["auditor"]["oid"]
    assert claims["roles"] == ["Auditor"]


def test_a_silent_token_is_found_in_the_cache_and_refreshed_on_demand(practice: Driver) -> None:
    app = practice.app()
    answer = practice.sign_in("technician", app)
    assert answer["expires_in"] >= 3600
    [account] = app.get_accounts()
    cached = app.acquire_token_silent_with_error(GRAPH_SCOPES, account)
    assert cached["token_source"] == "cache"
    fresh = app.acquire_token_silent_with_error(GRAPH_SCOPES, account, force_refresh=True)
    assert fresh["token_source"] == "identity_provider"
    assert fresh["access_token"] != cached["access_token"]


def test_the_page_offers_every_person(practice: Driver) -> None:
    url = practice.app().initiate_auth_code_flow(GRAPH_SCOPES, redirect_uri=CALLBACK, response_mode="form_post")
    page = practice.http.get(url["auth_uri"], timeout=10).text
    assert all(person["upn"] in page for person in practice.people.values())


def test_choosing_on_the_page_sends_back_with_the_state_and_canceling_says_so(practice: Driver) -> None:
    flow = practice.app().initiate_auth_code_flow(GRAPH_SCOPES, redirect_uri=CALLBACK, response_mode="form_post")
    chosen = {"practice_person": practice.people["technician2"]["upn"]}
    page = practice.http.post(flow["auth_uri"], data=chosen, timeout=10).text
    assert f'action="{CALLBACK}"' in page
    assert f'name="state" value="{flow["state"]}"' in page
    page = practice.http.post(flow["auth_uri"], data={"practice_cancel": "1"}, timeout=10).text
    assert 'value="access_denied"' in page


def test_signing_out_goes_back_only_to_a_known_host(practice: Driver) -> None:
    about = practice.http.get(f"{practice.facts['authority']}/v2.0/.well-known/openid-configuration", timeout=10).json()
    for back, status in (("http://localhost:5000/", 302), ("http://elsewhere.example/", 200)):
        query = {"post_logout_redirect_uri": back}
        answer = practice.http.get(about["end_session_endpoint"], params=query, allow_redirects=False, timeout=10)
        assert answer.status_code == status


def test_an_unknown_redirect_is_refused_on_a_page_and_never_followed(practice: Driver) -> None:
    flow = practice.app().initiate_auth_code_flow(
        GRAPH_SCOPES, redirect_uri="http://elsewhere.example/sign-in/callback", response_mode="form_post"
    )
    answer = practice.http.get(flow["auth_uri"] + "&practice_person=technician", allow_redirects=False, timeout=10)
    assert answer.status_code == 400
    assert "AADSTS50011" in answer.text


def refusal(practice: Driver, **changes: str) -> dict[str, Any]:
    form = {
        "client_id": practice.facts["client_id"],
        "client_secret": practice.facts["client_secret"],
        "grant_type": "authorization_code",
        "code": "wrong",
        **changes,
    }
    answer = practice.http.post(f"{practice.facts['authority']}/oauth2/v2.0/token", data=form, timeout=10)
    assert answer.status_code in (400, 401)
    body: dict[str, Any] = answer.json()
    assert {"error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id"} <= set(body)
    return body


@pytest.mark.parametrize(
    ("changes", "error", "number"),
    [
        ({}, "invalid_grant", 70008),
        ({"client_secret": "wrong"}, "invalid_client", 7000215),
        ({"client_secret": ""}, "invalid_client", 7000218),
        ({"client_id": "wrong"}, "unauthorized_client", 700016),
        ({"client_assertion": "wrong"}, "invalid_client", 700027),
        ({"grant_type": "password"}, "unsupported_grant_type", 70003),
        ({"grant_type": "refresh_token", "refresh_token": "wrong"}, "invalid_grant", 9002313),
    ],
)
def test_the_token_endpoint_refuses_in_entras_words(
    practice: Driver, changes: dict[str, str], error: str, number: int
) -> None:
    body = refusal(practice, **changes)
    assert (body["error"], body["error_codes"]) == (error, [number])


def test_the_registered_certificate_is_taken_in_place_of_a_secret(practice: Driver) -> None:
    pem = Path(practice.facts["client_certificate"]).read_text()
    app = practice.app(credential={"private_key": pem, "public_certificate": pem})
    assert "access_token" in practice.sign_in("technician", app)


def test_a_token_of_the_trusted_issuer_is_taken_in_place_of_a_secret(practice: Driver) -> None:
    app = practice.app(credential={"client_assertion": lambda: practice.control("federation", {})["assertion"]})
    assert "access_token" in practice.sign_in("technician", app)


@pytest.mark.parametrize("header", [{}, {"x5t#S256": "bm90IG91cnM"}], ids=["issuer", "certificate"])
def test_an_assertion_by_a_key_that_nobody_registered_is_refused(practice: Driver, header: dict[str, str]) -> None:
    claims = {
        "aud": f"{practice.facts['authority']}/oauth2/v2.0/token" if header else "api://AzureADTokenExchange",
        "iss": practice.facts["client_id"] if header else "https://workloads.practice.example",
        "sub": practice.facts["client_id"] if header else "system:serviceaccount:elevate:worker",
        "exp": int(time.time()) + 600,
    }
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = jwt.encode(claims, key, algorithm="RS256", headers=header)
    body = refusal(practice, client_assertion=forged)
    assert (body["error"], body["error_codes"]) == ("invalid_client", [700027])


def silent(practice: Driver, app: Any, **more: Any) -> dict[str, Any]:
    # Another app over the same cache: MSAL itself would replay a refusal for a minute.
    fresh = practice.app(token_cache=app.token_cache)
    [account] = fresh.get_accounts()
    answer: dict[str, Any] = fresh.acquire_token_silent_with_error(
        GRAPH_SCOPES, account, force_refresh=not more, **more
    )
    return answer


def test_revoked_sign_ins_and_disabled_people_need_to_sign_in_again(practice: Driver) -> None:
    app = practice.app()
    token = practice.sign_in("technician", app)["access_token"]
    practice.control("people/technician", {"revoke_sign_ins": True})
    assert silent(practice, app)["error_codes"] == [50173]
    told = practice.graph("technician", "GET", "me", token=token)
    assert told.status_code == 401
    assert 'error="insufficient_claims"' in told.headers["WWW-Authenticate"]
    practice.control("people/technician", {"enabled": False})
    assert silent(practice, app)["error_codes"] == [50057]


def test_a_refresh_token_works_once_when_the_tenant_is_strict(practice: Driver) -> None:
    practice.control("settings", {"one_time_refresh_tokens": True})
    app = practice.app()
    first = practice.sign_in("technician", app)["refresh_token"]
    assert "access_token" in silent(practice, app)
    again = {"grant_type": "refresh_token", "refresh_token": first, "scope": "openid"}
    assert refusal(practice, **again)["error"] == "invalid_grant"
    assert silent(practice, app)["error"] == "invalid_grant"


def test_a_scope_without_consent_is_refused(practice: Driver) -> None:
    app = practice.app()
    practice.sign_in("technician", app)
    practice.control("consent", {"withdraw": ["RoleManagementPolicy.Read.Directory"]})
    body = silent(practice, app)
    assert (body["suberror"], body["error_codes"]) == ("consent_required", [65001])


def test_a_context_is_not_given_silently_but_by_signing_in_with_the_challenge(practice: Driver) -> None:
    app = practice.app()
    practice.sign_in("technician", app)
    challenge = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c1"}}})
    body = silent(practice, app, claims_challenge=challenge)
    assert body["error"] == "interaction_required"
    assert json.loads(body["claims"])["access_token"]["acrs"]["value"] == "c1"
    stepped = practice.app()
    practice.sign_in("technician", stepped, claims_challenge=challenge)
    assert "access_token" in silent(practice, stepped, claims_challenge=challenge)
