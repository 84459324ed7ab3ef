"""What the application proves itself by besides its secret: a registered certificate, and a trusted outside issuer.

Source: the msal sheet, section 6; learn.microsoft.com/entra/identity-platform/certificate-credentials and
.../entra/workload-id/workload-identity-federation-create-trust.
"""

from __future__ import annotations

import base64
import datetime
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from sandbox.clock import real_now

ISSUER = "https://workloads.practice.example"
SUBJECT = "system:serviceaccount:elevate:worker"
AUDIENCE = "api://AzureADTokenExchange"
LIFE = datetime.timedelta(minutes=10)


class Credentials:
    """The registered certificate lies in `folder` as `client.pem`, with its key."""

    def __init__(self, folder: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._certificate = _certificate(key)
        self._issuer_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.path = folder / "client.pem"
        self.path.unlink(missing_ok=True)
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(_private_pem(key))
            out.write(self._certificate.public_bytes(serialization.Encoding.PEM))

    def federated(self) -> str:
        """A token as the platform gives it to a workload: from the issuer that the application trusts."""
        now = real_now()
        claims = {"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "iat": now, "exp": now + LIFE, "jti": str(uuid4())}
        return jwt.encode(claims, self._issuer_key, algorithm="RS256")

    def check(self, assertion: str, *, client_id: str, token_endpoint: str) -> None:
        """Raises jwt.InvalidTokenError for anything but a fresh assertion by the certificate or the issuer."""
        named = jwt.get_unverified_header(assertion).get("x5t#S256")
        required: list[str] = ["exp", "aud", "iss", "sub"]
        if named is None:
            key, issuer, subject, audience = self._issuer_key.public_key(), ISSUER, SUBJECT, AUDIENCE
        else:
            if str(named).rstrip("=") != self._thumbprint():  # MSAL leaves the padding on
                raise jwt.InvalidSignatureError("the certificate is not registered with the application")
            public = self._certificate.public_key()
            assert isinstance(public, rsa.RSAPublicKey)
            key, issuer, subject, audience = public, client_id, client_id, token_endpoint
        options: Any = {"require": required}
        jwt.decode(
            assertion,
            key,
            algorithms=["PS256", "RS256"],
            options=options,
            audience=audience,
            issuer=issuer,
            subject=subject,
        )

    def _thumbprint(self) -> str:
        digest = self._certificate.fingerprint(hashes.SHA256())
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Practice application")])
    now = real_now()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
