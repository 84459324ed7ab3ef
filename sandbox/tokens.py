"""Keys and tokens of the practice tenant (msal sheet, sections 2, 5 and 9)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.clock import real_now
from sandbox.people import Person
from sandbox.tenant import ARM_AUDIENCE, GRAPH_AUDIENCE, Grant, Issued, Tenant

RESERVED = ("openid", "profile", "offline_access", "email")


class Keys:
    """The signing key; a second one can be made to practise a rollover."""

    def __init__(self) -> None:
        self.roll()

    def roll(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = secrets.token_urlsafe(16)

    def jwks(self, issuer: str) -> dict[str, Any]:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key()))
        return {"keys": [{"kty": "RSA", "use": "sig", "kid": self.kid, "n": key["n"], "e": key["e"], "issuer": issuer}]}

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.private, algorithm="RS256", headers={"kid": self.kid, "typ": "JWT"})

    def read(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token of ours. jwt.InvalidTokenError if it is not one, or for somebody else, or old."""
        return jwt.decode(token, self.private.public_key(), algorithms=["RS256"], audience=audience)


def resource_of(scopes: list[str], tenant: Tenant) -> str:
    """The one resource that scopes are for. ValueError when they name two."""
    found = {_resource(scope, tenant) for scope in scopes if scope not in RESERVED}
    if len(found) > 1:
        raise ValueError("The scopes name more than one resource.")
    return found.pop() if found else GRAPH_AUDIENCE


def _resource(scope: str, tenant: Tenant) -> str:
    for base in (ARM_AUDIENCE, tenant.arm_url):
        if base and scope.startswith(base):
            return ARM_AUDIENCE
    return GRAPH_AUDIENCE


def short(scope: str) -> str:
    """User.Read from https://graph.microsoft.com/User.Read."""
    return scope.rsplit("/", 1)[-1]


def id_token(tenant: Tenant, keys: Keys, person: Person, grant: Grant) -> str:
    now = int(real_now().timestamp())
    claims: dict[str, Any] = {
        "aud": tenant.client_id,
        "iss": f"{tenant.authority}/v2.0",
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "auth_time": grant.auth_time,
        "tid": tenant.tenant_id,
        "oid": person.oid,
        "sub": hashlib.sha256(f"{tenant.client_id}{person.oid}".encode()).hexdigest()[:43],
        "sid": grant.family,
        "preferred_username": person.upn,
        "name": person.name,
        "login_hint": "O." + base64.urlsafe_b64encode(person.oid.encode()).decode().rstrip("="),
        "ver": "2.0",
        "uti": secrets.token_urlsafe(16),
    }
    if person.app_roles:
        claims["roles"] = list(person.app_roles)
    if grant.nonce:
        claims["nonce"] = grant.nonce
    if grant.acrs and not grant.contexts_lost:
        claims["acrs"] = list(grant.acrs)
    return keys.sign(claims)


def access_token(tenant: Tenant, keys: Keys, person: Person, grant: Grant, scopes: list[str]) -> str:
    """A bearer token for Graph or ARM. Clients must treat it as opaque, whatever it looks like."""
    now = int(real_now().timestamp())
    uti = secrets.token_urlsafe(16)
    tenant.issued[uti] = Issued(person.sign_in_generation, person.token_generation, tenant.clock.now())
    claims: dict[str, Any] = {
        "aud": resource_of(scopes, tenant),
        "iss": f"https://sts.windows.net/{tenant.tenant_id}/",
        "iat": now,
        "nbf": now,
        "exp": now + tenant.token_lifetime,
        "appid": tenant.client_id,
        "tid": tenant.tenant_id,
        "oid": person.oid,
        "upn": person.upn,
        "name": person.name,
        "scp": " ".join(short(s) for s in scopes if s not in RESERVED),
        "amr": ["pwd", "mfa"] if grant.mfa else ["pwd"],
        "uti": uti,
        "ver": "1.0",
    }
    if grant.acrs and not grant.contexts_lost:
        claims["acrs"] = list(grant.acrs)
    if capabilities(grant.claims):
        claims["xms_cc"] = capabilities(grant.claims)
    return keys.sign(claims)


def capabilities(claims: dict[str, Any]) -> list[str]:
    wanted = claims.get("access_token", {}).get("xms_cc", {})
    return [str(v) for v in _values(wanted)]


def contexts(claims: dict[str, Any]) -> list[str]:
    """The authentication contexts that a claims parameter asks for."""
    return [str(v) for v in _values(claims.get("access_token", {}).get("acrs", {}))]


def wants_mfa(claims: dict[str, Any]) -> bool:
    return "mfa" in _values(claims.get("access_token", {}).get("amr", {}))


def _values(wanted: Any) -> list[Any]:
    if not isinstance(wanted, dict):
        return []
    if isinstance(wanted.get("values"), list):
        return list(wanted["values"])
    return [wanted["value"]] if "value" in wanted else []


def client_info(tenant: Tenant, person: Person) -> str:
    text = json.dumps({"uid": person.oid, "utid": tenant.tenant_id}).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def new_family() -> str:
    return str(uuid.uuid4())
