"""The ways in which the application proves itself, each against a tenant that checks it: sign in, then renew."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from integration.entra.client import EntraSettings
from integration.entra.errors import EntraError, SetupWrong
from integration.entra.seal import Sealer, generate, parse_keys
from integration.entra.tenant import Tenant
from tests.integration.entra.conftest import Practice
from tests.integration.entra.store import MemoryStore

REDIRECT = "http://localhost/sign-in/callback"


def sign_in_and_renew(practice: Practice, settings: EntraSettings) -> None:
    """A sign-in, and a call with a token that had to be renewed without the technician."""
    tenant = Tenant(settings, MemoryStore(), Sealer(parse_keys(generate())))
    url, flow = tenant.start_sign_in(REDIRECT)
    technician = practice.person("technician")
    who = tenant.finish_sign_in(flow, practice.browser(url, technician["upn"]), now=datetime.now(UTC))
    practice.control("people/technician", expire_access_tokens=True)
    assert technician["mail"] in tenant.addresses(who.tid, who.oid, datetime.now(UTC))


@pytest.mark.parametrize("kind", ["secret", "certificate", "federated"])
def test_each_kind_of_credential_signs_in_and_renews(practice: Practice, tmp_path: Path, kind: str) -> None:
    settings, alone = practice.settings, replace(practice.settings, client_secret=None)
    if kind == "certificate":
        settings = replace(alone, certificate_path=practice.facts["client_certificate"])
    if kind == "federated":
        file = tmp_path / "token"
        file.write_text(practice.control("federation")["assertion"] + "\n")
        settings = replace(alone, assertion_file=str(file))
    sign_in_and_renew(practice, settings)


def test_a_federated_token_is_read_again_when_the_platform_writes_a_new_one(practice: Practice, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("an old token")
    settings = replace(practice.settings, client_secret=None, assertion_file=str(file))
    tenant = Tenant(settings, MemoryStore(), Sealer(parse_keys(generate())))
    upn = practice.person("technician")["upn"]

    def sign_in() -> None:
        url, flow = tenant.start_sign_in(REDIRECT)
        tenant.finish_sign_in(flow, practice.browser(url, upn), now=datetime.now(UTC))

    with pytest.raises(EntraError):
        sign_in()
    file.write_text(practice.control("federation")["assertion"])
    sign_in()


def test_a_certificate_that_is_not_registered_is_an_administrators_matter(practice: Practice, tmp_path: Path) -> None:
    """What is said names the registration and carries nothing of the key."""
    registered = Path(practice.facts["client_certificate"]).read_text()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "other.pem"
    file.write_text(other.decode() + registered[registered.index("-----BEGIN CERTIFICATE") :])
    settings = replace(practice.settings, client_secret=None, certificate_path=str(file))

    with pytest.raises(SetupWrong) as refused:
        sign_in_and_renew(practice, settings)
    assert "registration" in str(refused.value)
    assert "PRIVATE" not in str(refused.value)
