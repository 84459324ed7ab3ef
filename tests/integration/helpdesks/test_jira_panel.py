"""Who pressed in Jira's panel: which tokens of Forge are believed, and what asking for its keys may cost.

Wire facts: developer.atlassian.com/platform/forge: "Forge Remote essentials".
"""

import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from integration.helpdesks.jira import Jira
from integration.helpdesks.jira_panel import ASKED_EVERY, KEPT_AT_MOST, KEPT_FOR
from integration.helpdesks.jira_settings import JiraSettings
from integration.tickets import HelpdeskUnavailable, Presser, ProvesPresser, SignatureRefused
from tests.integration.helpdesks.conftest import Answer, SmallHelpdesk

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
APP = "ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555"
CLOUD = "66666666-7777-8888-9999-aaaaaaaaaaaa"
TECHNICIAN = "5b10a2844c20165700ede21a"
KEYS = "/.well-known/jwks.json"
PRIVATE, OTHER = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
CLAIMS: dict[str, Any] = {
    "iss": "forge/invocation-token",
    "aud": APP,
    "iat": NOW.timestamp(),
    "nbf": NOW.timestamp(),
    "exp": (NOW + timedelta(minutes=5)).timestamp(),
    "app": {"id": APP, "installationId": "i"},
    "context": {"cloudId": CLOUD},
    "principal": TECHNICIAN,
}
GIVEN = {
    "url": "https://example.atlassian.net",
    "api_url": f"https://api.atlassian.com/ex/jira/{CLOUD}",
    "token": "canary-token",
    "service_account": "712020:ours",
    "secrets": {"first": "a-signing-secret-of-thirty-two-chars"},
}


def signed(
    claims: dict[str, Any], *, key: Any = PRIVATE, algorithm: str = "RS256", kid: str | None = "one", **header: Any
) -> dict[str, str]:
    headers = {**header, **({"kid": kid} if kid else {})}
    return {"authorization": f"Bearer {jwt.encode(claims, key, algorithm=algorithm, headers=headers)}"}


def public(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "alg": "RS256"}


# What is believed


def test_a_token_of_our_app_on_our_site_names_who_pressed(jira: Jira) -> None:
    assert isinstance(jira, ProvesPresser)
    presser = jira.presser(signed(CLAIMS), {}, now=NOW)
    assert (presser.account, presser.ticket) == (TECHNICIAN, None)
    assert presser.proof is not None


def test_the_same_token_is_the_same_proof_and_cannot_be_written_in_another_way(jira: Jira) -> None:
    token = signed(CLAIMS)["authorization"]
    proofs = {jira.presser({"authorization": token}, {}, now=NOW + timedelta(minutes=m)).proof for m in range(3)}
    assert len(proofs) == 1
    # The last character of the signature holds bits that nobody needs.
    written = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [token[:-1] + written[written.index(token[-1]) ^ bit] for bit in (1, 2, 4, 8)]
    for other in (*others, token + "=", token.replace("Bearer ", "Bearer  "), f"{token} "):
        with pytest.raises(SignatureRefused):
            jira.presser({"authorization": other}, {}, now=NOW)


def test_another_token_is_another_proof(jira: Jira) -> None:
    one, other = (jira.presser(signed(CLAIMS | {"jti": jti}), {}, now=NOW) for jti in "ab")
    assert one.proof != other.proof


# What is not


@pytest.mark.parametrize(
    "claims",
    [
        CLAIMS | {"iss": "forge/other"},
        CLAIMS | {"iss": ""},
        CLAIMS | {"aud": APP.replace("1", "2")},
        CLAIMS | {"aud": [APP.replace("1", "2")]},
        {name: value for name, value in CLAIMS.items() if name != "aud"},
        {name: value for name, value in CLAIMS.items() if name != "iss"},
        {name: value for name, value in CLAIMS.items() if name != "exp"},
        CLAIMS | {"exp": (NOW - timedelta(minutes=2)).timestamp()},
        CLAIMS | {"nbf": (NOW + timedelta(minutes=2)).timestamp()},
        CLAIMS | {"exp": "never"},
        CLAIMS | {"exp": True},
        CLAIMS | {"exp": float("inf")},
        CLAIMS | {"exp": float("nan")},
        CLAIMS | {"exp": 10**400},
        CLAIMS | {"nbf": -(10**400)},
        CLAIMS | {"exp": (NOW + timedelta(hours=2)).timestamp()},
        CLAIMS | {"context": {"cloudId": CLOUD.replace("6", "7")}},
        CLAIMS | {"context": {}},
        CLAIMS | {"context": CLOUD},
        CLAIMS | {"principal": None},
        CLAIMS | {"principal": f"{TECHNICIAN}\u202e"},
        CLAIMS | {"principal": [TECHNICIAN]},
        CLAIMS | {"principal": ""},
    ],
)
def test_a_token_for_somebody_or_something_else_is_refused(jira: Jira, claims: dict[str, Any]) -> None:
    with pytest.raises(SignatureRefused):
        jira.presser(signed(claims), {}, now=NOW)


def test_a_token_of_another_key_is_refused(jira: Jira) -> None:
    for kid in ("one", "two", None, "../../one"):
        with pytest.raises(SignatureRefused):
            jira.presser(signed(CLAIMS, key=OTHER, kid=kid), {}, now=NOW)


def test_a_token_that_brings_its_own_key_is_refused(jira: Jira) -> None:
    with pytest.raises(SignatureRefused):
        jira.presser(signed(CLAIMS, key=OTHER, jwk=public(OTHER, "one"), jku="https://evil.example/keys"), {}, now=NOW)


def test_a_token_that_is_not_signed_is_refused(jira: Jira) -> None:
    token = jwt.encode(CLAIMS, None, algorithm="none", headers={"kid": "one"})
    for written in (token, token + "AAAA"):
        with pytest.raises(SignatureRefused):
            jira.presser({"authorization": f"Bearer {written}"}, {}, now=NOW)


@pytest.mark.parametrize("algorithm", ["HS256", "PS256", "RS512"])
def test_the_public_key_as_a_secret_and_other_algorithms_are_refused(jira: Jira, algorithm: str) -> None:
    header = part({"alg": algorithm, "kid": "one", "typ": "JWT"})
    if algorithm == "HS256":
        secret = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        text = f"{header}.{part(CLAIMS)}"
        mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(text.encode(), secret)
        token = f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    else:
        token = jwt.encode(CLAIMS, PRIVATE, algorithm=algorithm, headers={"kid": "one"})
    with pytest.raises(SignatureRefused):
        jira.presser({"authorization": f"Bearer {token}"}, {}, now=NOW)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_one_bit_of_a_token_changes_all(jira: Jira) -> None:
    token = signed(CLAIMS)["authorization"]
    for place in range(len("Bearer "), len(token) - 1, 7):
        turned = "A" if token[place] != "A" else "B"
        with pytest.raises(SignatureRefused):
            jira.presser({"authorization": token[:place] + turned + token[place + 1 :]}, {}, now=NOW)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": "Bearer a.b.c"},
        {"authorization": f"Basic {part('x')}"},
        {"authorization": f"Bearer {base64.urlsafe_b64encode(b'[' * 2900).decode()}.e30.AAAA"},
        {"authorization": f"Bearer {part({'alg': 'RS256', 'kid': ['one']})}.e30.AAAA"},
        {"authorization": f"Bearer {part([])}.e30.AAAA"},
        {"authorization": f"Bearer {'x' * 20000}.e30.AAAA"},
        {"authorization": "Bearer \u00e4.\u00e4.\u00e4"},
    ],
)
def test_what_is_no_token_is_refused(jira: Jira, header: dict[str, str]) -> None:
    with pytest.raises(SignatureRefused):
        jira.presser(header, {}, now=NOW)


def test_without_an_app_in_the_settings_nobody_presses(connect: Callable[..., Jira]) -> None:
    with pytest.raises(SignatureRefused):
        connect(panel_app=None).presser(signed(CLAIMS), {}, now=NOW)


# The keys


def test_keys_are_asked_for_once_an_hour(jira: Jira, helpdesk: SmallHelpdesk) -> None:
    for minute in (0, 1, 59):
        now = NOW + timedelta(minutes=minute)
        jira.presser(signed(CLAIMS | {"exp": (now + timedelta(minutes=1)).timestamp()}), {}, now=now)
    assert helpdesk.calls == [("GET", KEYS)]
    later = NOW + KEPT_FOR
    jira.presser(signed(CLAIMS | {"exp": (later + timedelta(minutes=1)).timestamp()}), {}, now=later)
    assert len(helpdesk.calls) == 2


def test_a_new_key_is_found_within_a_minute_and_forgers_cannot_have_them_asked_for(
    connect: Callable[..., Jira], helpdesk: SmallHelpdesk
) -> None:
    helpdesk.answer(KEYS, 200, {"keys": [public(PRIVATE, "one")]})
    helpdesk.answer(KEYS, 200, {"keys": [public(PRIVATE, "one"), public(OTHER, "two")]})
    jira = connect()
    jira.presser(signed(CLAIMS), {}, now=NOW)
    for _ in range(50):
        with pytest.raises(SignatureRefused):
            jira.presser(signed(CLAIMS, key=OTHER, kid="two"), {}, now=NOW + timedelta(seconds=30))
    assert len(helpdesk.calls) == 1
    assert jira.presser(signed(CLAIMS, key=OTHER, kid="two"), {}, now=NOW + ASKED_EVERY).account == TECHNICIAN
    with pytest.raises(SignatureRefused):  # each key for itself
        jira.presser(signed(CLAIMS, key=OTHER, kid="one"), {}, now=NOW + ASKED_EVERY)


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, {}), (404, {}), (200, b"<html>"), (302, {"keys": []})],
)
def test_a_press_waits_for_keys_that_cannot_be_had_and_they_are_not_asked_for_at_each(
    connect: Callable[..., Jira], helpdesk: SmallHelpdesk, status: int, body: Any
) -> None:
    helpdesk.answer(KEYS, status, body, Location=f"{helpdesk.url}/elsewhere")
    jira = connect()
    for _ in range(5):
        with pytest.raises(HelpdeskUnavailable):
            jira.presser(signed(CLAIMS), {}, now=NOW)
    assert helpdesk.calls == [("GET", KEYS)]


@pytest.mark.parametrize(("status", "body"), [(503, {}), (200, b"<html>"), (200, {"keys": []}), (200, {})])
def test_a_stranger_throws_no_good_key_away(jira: Jira, helpdesk: SmallHelpdesk, status: int, body: Any) -> None:
    jira.presser(signed(CLAIMS), {}, now=NOW)
    helpdesk.instead.clear()
    helpdesk.answer(KEYS, status, body)
    later = NOW + 2 * ASKED_EVERY
    with pytest.raises(SignatureRefused):
        jira.presser(signed(CLAIMS, key=OTHER, kid="two"), {}, now=later)
    assert len(helpdesk.calls) == 2
    assert jira.presser(signed(CLAIMS), {}, now=later).account == TECHNICIAN
    now = NOW + KEPT_AT_MOST
    claims = CLAIMS | {"nbf": now.timestamp(), "exp": (now + timedelta(minutes=1)).timestamp()}
    jira.presser(signed(claims), {}, now=now - timedelta(minutes=1))
    with pytest.raises(HelpdeskUnavailable):  # a key that was called back must not hold for ever
        jira.presser(signed(claims), {}, now=now)


def test_nobody_waits_while_a_stranger_has_keys_asked_for(jira: Jira, helpdesk: SmallHelpdesk) -> None:
    jira.presser(signed(CLAIMS), {}, now=NOW)
    asked, later = threading.Event(), NOW + 2 * ASKED_EVERY

    def never() -> Answer:
        asked.set()
        helpdesk.released.wait(20)
        return 503, {}, []

    helpdesk.instead[KEYS] = [never]
    with ThreadPoolExecutor(1) as pool:
        stranger = pool.submit(jira.presser, signed(CLAIMS, key=OTHER, kid="two"), {}, now=later)
        assert asked.wait(10)
        with pytest.raises(SignatureRefused):
            jira.presser(signed(CLAIMS, key=OTHER, kid="three"), {}, now=later)
        assert jira.presser(signed(CLAIMS), {}, now=later).account == TECHNICIAN
        assert not stranger.done()
        helpdesk.released.set()
        assert isinstance(stranger.exception(30), SignatureRefused)


def test_who_comes_while_the_first_keys_are_asked_for_waits_a_moment(
    connect: Callable[..., Jira], helpdesk: SmallHelpdesk
) -> None:
    asked, jira = threading.Event(), connect()
    body = json.dumps({"keys": [public(PRIVATE, "one")]}).encode()

    def slow() -> Answer:
        asked.set()
        helpdesk.released.wait(20)
        return 200, {}, [body]

    helpdesk.instead[KEYS] = [slow]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(jira.presser, signed(CLAIMS), {}, now=NOW)
        assert asked.wait(10)
        second = pool.submit(jira.presser, signed(CLAIMS | {"jti": "b"}), {}, now=NOW)
        helpdesk.released.set()
        assert first.result(30).account == second.result(30).account == TECHNICIAN
    assert len(helpdesk.calls) == 1


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (CLAIMS | {"iss": "forge/other"}, "issuer"),
        (CLAIMS | {"aud": "ari:cloud:ecosystem::app/0"}, "app"),
        (CLAIMS | {"context": {"cloudId": CLOUD.replace("6", "7")}}, "site"),
        (CLAIMS | {"exp": (NOW - timedelta(minutes=2)).timestamp()}, "time"),
    ],
)
def test_what_is_not_meant_for_us_costs_no_reading_of_keys(
    jira: Jira, helpdesk: SmallHelpdesk, claims: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SignatureRefused) as refused:
        jira.presser(signed(claims, key=OTHER, kid="two"), {}, now=NOW)
    assert refused.value.reason == reason
    assert helpdesk.calls == []


@pytest.mark.parametrize("keys", [None, "x", [None, 1, "x", {}], [{"kid": "one", "kty": "oct", "k": "AAAA"}], {}])
def test_keys_of_another_kind_verify_nothing(
    connect: Callable[..., Jira], helpdesk: SmallHelpdesk, keys: object
) -> None:
    helpdesk.answer(KEYS, 200, {"keys": keys})
    with pytest.raises(HelpdeskUnavailable):
        connect().presser(signed(CLAIMS), {}, now=NOW)


def test_a_key_that_cannot_be_read_hides_no_other(connect: Callable[..., Jira], helpdesk: SmallHelpdesk) -> None:
    broken = [{"kid": "zero", "kty": "RSA", "n": "!", "e": 7}, {"kty": "EC", "crv": "P-256"}, 7]
    helpdesk.answer(KEYS, 200, {"keys": [*broken, public(PRIVATE, "one")]})
    assert connect().presser(signed(CLAIMS), {}, now=NOW).account == TECHNICIAN


def test_doctor_says_whether_the_keys_can_be_read(connect: Callable[..., Jira], helpdesk: SmallHelpdesk) -> None:
    helpdesk.answer("/rest/api/3/myself", 200, {"accountId": GIVEN["service_account"]})
    helpdesk.answer(KEYS, 503, {})
    helpdesk.answer(KEYS, 200, {"keys": []})
    helpdesk.answer(KEYS, 200, {"keys": [public(PRIVATE, "one")]})
    jira = connect(url=helpdesk.url, api_url=helpdesk.url, cloud_id=CLOUD)
    found = [it for _ in range(3) for it in jira.check() if "keys" in it.what]
    assert [it.ok for it in found] == [False, False, True]
    assert all(f"{helpdesk.url}{KEYS}" in it.fix for it in found[:2])
    without = connect(url=helpdesk.url, api_url=helpdesk.url, panel_app=None)
    assert not any("keys" in it.what for it in without.check())


# The settings


@pytest.mark.parametrize(
    "url",
    ["http://forge.example/keys", "http://10.0.0.7/keys", "https://a@b.example/keys", "file:///keys", "https://x", ""],
)
def test_keys_come_from_a_safe_address_alone(url: str) -> None:
    with pytest.raises(ValidationError):
        JiraSettings.model_validate({**GIVEN, "panel_app": APP, "panel_keys_url": url})


def test_an_app_goes_with_one_site() -> None:
    with pytest.raises(ValidationError, match="cloud_id"):
        JiraSettings.model_validate({**GIVEN, "api_url": None, "panel_app": APP})
    named = JiraSettings.model_validate({**GIVEN, "api_url": None, "panel_app": APP, "cloud_id": CLOUD})
    assert named.cloud == CLOUD
    with pytest.raises(ValidationError):
        JiraSettings.model_validate({**GIVEN, "panel_app": "my-app"})


@pytest.fixture
def connect(helpdesk: SmallHelpdesk) -> Callable[..., Jira]:
    def made(**more: Any) -> Jira:
        given = {**GIVEN, "panel_app": APP, "panel_keys_url": f"{helpdesk.url}{KEYS}", **more}
        return Jira("jira", JiraSettings.model_validate(given))

    return made


@pytest.fixture
def jira(connect: Callable[..., Jira], helpdesk: SmallHelpdesk) -> Jira:
    helpdesk.answer(KEYS, 200, {"keys": [public(PRIVATE, "one")]})
    return connect()


def test_a_presser_is_of_no_ticket(jira: Jira) -> None:
    """The token does not say which issue: whoever presses on one may say another, and it is read back."""
    found = jira.presser(signed(CLAIMS | {"context": {"cloudId": CLOUD, "issue": "IT-9"}}), {"ticket": "IT-9"}, now=NOW)
    assert found == Presser(TECHNICIAN, None, found.proof)
