"""ID tokens that are signed by the right key and wrong in one thing, through real HTTP: none signs anybody in."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from integration.entra.errors import SignInFailed
from integration.entra.sign_in import SignedIn, SignIn
from tests.integration.entra.authority import OID, TID, Authority, Facts

BACK = "http://localhost:8080/sign-in/callback"
OTHER = "99999999-2222-4333-8444-555555555555"
Change = Callable[[Facts], None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    it = Authority(tmp_path_factory.mktemp("authority"))
    yield it
    it.stop()


@pytest.fixture
def authority(running: Authority) -> Authority:
    running.change, running.sign = (lambda _: None), running.signed
    return running


def sign_in(authority: Authority) -> SignedIn:
    it = SignIn(authority.settings)
    url, flow = it.start(BACK)
    return it.finish(flow, authority.browser(url))


def test_a_token_with_nothing_wrong_signs_its_person_in(authority: Authority) -> None:
    """Without this, the refusals below would prove nothing."""
    who = sign_in(authority)
    assert (who.tid, who.oid) == (TID, OID)


def without(name: str) -> Change:
    return lambda facts: facts.pop(name)


def with_(**other: object) -> Change:
    return lambda facts: facts.update(other)


WRONG: dict[str, Change] = {
    "issuer: another tenant's": lambda f: f.update(iss=f["iss"].replace(TID, OTHER)),
    "issuer: another host": with_(iss=f"https://login.elsewhere.example/{TID}/v2.0"),
    "issuer: with a slash": lambda f: f.update(iss=f["iss"] + "/"),
    "issuer: missing": without("iss"),
    "audience: another app": with_(aud=OTHER),
    "audience: Graph": with_(aud="https://graph.microsoft.com"),
    "audience: missing": without("aud"),
    "tenant: another": with_(tid=OTHER),
    "tenant: in capitals": lambda f: f.update(tid=f["tid"].upper()),
    "tenant: missing": without("tid"),
    "nonce: another": with_(nonce="another"),
    "nonce: missing": without("nonce"),
    "person: missing": without("oid"),
    "person: empty": with_(oid=""),
    "person: no text": with_(oid=["a", "b"]),
    "expired": lambda f: f.update(exp=int(time.time()) - 300, iat=int(time.time()) - 900, nbf=int(time.time()) - 900),
    "without an end": without("exp"),
    "of tomorrow": lambda f: f.update(nbf=int(time.time()) + 3600),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_token_with_one_wrong_claim_signs_nobody_in(authority: Authority, change: Change) -> None:
    """Threat 18."""
    authority.change = change
    with pytest.raises(SignInFailed) as refused:
        sign_in(authority)
    assert str(refused.value).endswith(".")


def _by_another_key(facts: Facts) -> str:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(facts, other, algorithm="RS256", headers={"kid": "one"})


def _with_an_unknown_key(facts: Facts) -> str:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(facts, other, algorithm="RS256", headers={"kid": "two"})


def _no_object(_: Facts) -> str:
    return ".".join(["e30", "W10", "e30"])  # {}, [], {}


UNSIGNED = [_by_another_key, _with_an_unknown_key, _no_object, lambda _: "", lambda _: "a", lambda _: "a.b.c"]


@pytest.mark.parametrize("sign", UNSIGNED, ids=["another key", "unknown key", "no object", "empty", "word", "no JSON"])
def test_a_token_that_the_tenants_key_did_not_sign_signs_nobody_in(
    authority: Authority, sign: Callable[[Facts], str]
) -> None:
    """Threat 18."""
    authority.sign = sign
    with pytest.raises(SignInFailed):
        sign_in(authority)


def test_the_public_key_is_no_shared_secret(authority: Authority) -> None:
    """Threat 18: HS256 with the bytes of the RSA key, the classic mix-up of algorithms."""
    secret = authority.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(facts: Facts) -> str:
        head = {"alg": "HS256", "typ": "JWT", "kid": "one"}
        parts = [base64.urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=") for it in (head, facts)]
        mac = hmac.new(secret, b".".join(parts), hashlib.sha256).digest()
        return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()

    authority.sign = sign
    with pytest.raises(SignInFailed):
        sign_in(authority)


def test_a_code_of_another_flow_signs_nobody_in(authority: Authority) -> None:
    """Threat 18: the nonce inside the token belongs to the flow that asked for it."""
    it = SignIn(authority.settings)
    (url, flow), (other, _) = it.start(BACK), it.start(BACK)
    stolen = {**authority.browser(url), "code": authority.browser(other)["code"]}
    with pytest.raises(SignInFailed):
        it.finish(flow, stolen)
