"""Whose bearer token a call carries, and whether it is good for this side (entra-pim sheet, sections 3 and 3.1)."""

from __future__ import annotations

import json
from typing import Any

import jwt
from flask import request

from sandbox import refusals
from sandbox.clock import real_now
from sandbox.people import Person
from sandbox.rules import Caller
from sandbox.tenant import GRAPH_AUDIENCE, Issued, Tenant
from sandbox.tokens import Keys
from sandbox.traffic import challenge_header


class Bearer:
    def __init__(self, tenant: Tenant, keys: Keys, audience: str = GRAPH_AUDIENCE) -> None:
        self.tenant, self.keys, self.audience = tenant, keys, audience

    def caller(self, *any_scope: str) -> Caller:
        """The person of the token, if it is good, for this side, and holds one of the scopes. PIM's refusals."""
        caller, held = self._read()
        if any_scope and not any(scope.lower() in held for scope in any_scope):
            raise refusals.scope_missing(any_scope[0])
        return caller

    def reader(self, *any_scope: str) -> Caller:
        """The same in the words of the directory's own API."""
        caller, held = self._read()
        if not any(scope.lower() in held for scope in any_scope):
            raise refusals.denied()
        return caller

    def _read(self) -> tuple[Caller, set[str]]:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise refusals.bad_token("Access token is empty.")
        claims = self._claims(token.strip())
        person = self.tenant.by_oid(claims["oid"])
        if person is None:
            raise refusals.bad_token("The user of the access token does not exist.")
        cp1 = any(str(c).lower() == "cp1" for c in claims.get("xms_cc", []))
        acrs = tuple(claims.get("acrs", []))
        issued = self.tenant.issued.get(claims["uti"])
        _check(person, issued, cp1, acrs)
        held = {scope.lower() for scope in claims.get("scp", "").split()}
        at = issued.at if issued else None
        return Caller(person, acrs, "mfa" in claims.get("amr", []), cp1, at), held

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            return self.keys.read(token, self.audience)
        except jwt.ExpiredSignatureError:
            raise refusals.bad_token("Lifetime validation failed, the token is expired.") from None
        except jwt.InvalidAudienceError:
            raise refusals.bad_token("Access token validation failure. Invalid audience.") from None
        except jwt.InvalidTokenError:
            raise refusals.bad_token("CompactToken parsing failed with error code: 80049217") from None


def _check(person: Person, issued: Issued | None, cp1: bool, acrs: tuple[str, ...]) -> None:
    if issued is None or issued.token != person.token_generation:
        raise refusals.bad_token("Lifetime validation failed, the token is expired.")
    # Only a client that declared the capability is told at once; others find out when they refresh.
    if cp1 and (issued.sign_in != person.sign_in_generation or not person.enabled):
        since = str(int(real_now().timestamp()))
        raise _challenged({"nbf": {"essential": True, "value": since}})
    if person.edge_context and person.edge_context not in acrs:
        if not cp1:
            raise refusals.bad_token("The access token lacks a claim that the resource requires.")
        raise _challenged({"acrs": {"essential": True, "value": person.edge_context}})


def _challenged(access_token: dict[str, Any]) -> refusals.GraphError:
    message = "Continuous access evaluation resulted in challenge with result: InteractionRequired."
    return refusals.bad_token(message, challenge_header(json.dumps({"access_token": access_token}))[1])
