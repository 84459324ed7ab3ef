"""Our own validation of an ID token, which MSAL leaves out (threat 18), with real codes of the practice tenant."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests

from integration.entra.client import DiscoveryOnly
from integration.entra.errors import SetupWrong, SignInFailed
from integration.entra.http import EntraHttp
from integration.entra.sign_in import SignIn
from tests.integration.entra.conftest import Practice


class Tampering(EntraHttp):
    """Changes the ID token on its way, as nobody in the middle should be able to."""

    def __init__(self, ca_bundle: str | None, change: Callable[[str], str]) -> None:
        super().__init__(ca_bundle)
        self._change = change

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        answer = super().post(url, **kwargs)
        body = answer.json()
        if "id_token" in body:
            body["id_token"] = self._change(body["id_token"])
            answer._content = json.dumps(body).encode()
        return answer


def _encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _with_role(token: str) -> str:
    head, body, signature = token.split(".")
    facts = json.loads(base64.urlsafe_b64decode(body + "=="))
    return ".".join([head, _encoded({**facts, "roles": ["Administrator"]}), signature])


def _unsigned(token: str) -> str:
    return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{token.split('.')[1]}."


def finish(sign_in: SignIn, practice: Practice) -> Any:
    url, flow = sign_in.start(practice.facts["redirect_uris"][0])
    return sign_in.finish(flow, practice.browser(url, practice.person("technician")["upn"]))


@pytest.mark.parametrize("change", [_with_role, _unsigned])
def test_a_forged_token_signs_nobody_in(practice: Practice, change: Callable[[str], str]) -> None:
    sign_in = SignIn(practice.settings, Tampering(practice.settings.ca_bundle, change))
    with pytest.raises(SignInFailed):
        finish(sign_in, practice)


@pytest.mark.parametrize("wrong", [{"client_id": "another-app"}, {"tenant_id": "another-tenant"}])
def test_a_token_for_another_app_or_tenant_signs_nobody_in(practice: Practice, wrong: dict[str, str]) -> None:
    sign_in = SignIn(practice.settings)
    sign_in.settings = replace(practice.settings, **wrong)
    with pytest.raises(SignInFailed):
        finish(sign_in, practice)


def test_new_signing_keys_are_fetched_when_they_appear(practice: Practice) -> None:
    sign_in = SignIn(practice.settings)
    finish(sign_in, practice)
    practice.control("keys")
    assert finish(sign_in, practice).oid == practice.person("technician")["oid"]


def test_a_missing_authority_file_is_named() -> None:
    with pytest.raises(SetupWrong, match="/nowhere/ca.pem"):
        EntraHttp("/nowhere/ca.pem")


def test_what_a_post_answered_is_not_remembered() -> None:
    """MSAL names its POST entries so; another name in a new release would bring its replays of refusals back."""
    cache = DiscoveryOnly()
    cache["POST https://x hash=1"] = "refusal"
    cache["GET https://x"] = "discovery"
    assert list(cache) == ["GET https://x"]
