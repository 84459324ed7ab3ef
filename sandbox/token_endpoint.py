"""The token endpoint: codes and refresh tokens in, tokens out (msal sheet, sections 2, 3, 6 and 9)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

import jwt
from flask import Blueprint, Response, jsonify, request

from sandbox import tokens
from sandbox.credentials import Credentials
from sandbox.oauth import Refused, check_consent, read_claims, refusal_body
from sandbox.tenant import Grant, Tenant


class TokenEndpoint:
    """POST /oauth2/v2.0/token over one tenant."""

    def __init__(self, tenant: Tenant, keys: tokens.Keys, credentials: Credentials) -> None:
        self.tenant, self.keys, self.credentials = tenant, keys, credentials

    def blueprint(self) -> Blueprint:
        part = Blueprint("tokens", __name__, url_prefix=f"/{self.tenant.tenant_id}")
        part.add_url_rule("/oauth2/v2.0/token", view_func=self.token, methods=["POST"])
        return part

    def token(self) -> Response | tuple[Response, int]:
        form = request.form
        try:
            with self.tenant.lock:
                self._check_client(form)
                kind = form.get("grant_type")
                if kind == "authorization_code":
                    grant = self._redeem_code(form)
                elif kind == "refresh_token":
                    grant = self._redeem_refresh(form)
                else:
                    raise Refused("unsupported_grant_type", 70003, f"The app requested the grant type {kind!r}.")
                answer = jsonify(self._issue(grant, form))
        except Refused as refused:
            wrong = jsonify(refusal_body(refused))
            wrong.headers["Cache-Control"] = "no-store"
            return wrong, refused.status
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def _check_client(self, form: Mapping[str, str]) -> None:
        if form.get("client_id") != self.tenant.client_id:
            raise Refused("unauthorized_client", 700016, "The application was not found in the directory.")
        if form.get("client_assertion"):
            self._check_assertion(form)
        elif not form.get("client_secret"):
            raise Refused(
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )
        elif not secrets.compare_digest(form["client_secret"].encode(), self.tenant.client_secret.encode()):
            raise Refused("invalid_client", 7000215, "Invalid client secret provided.")

    def _check_assertion(self, form: Mapping[str, str]) -> None:
        try:
            self.credentials.check(
                form["client_assertion"],
                client_id=self.tenant.client_id,
                token_endpoint=f"{self.tenant.authority}/oauth2/v2.0/token",
            )
        except jwt.InvalidTokenError as wrong:
            raise Refused("invalid_client", 700027, f"Client assertion failed validation: {wrong}.") from None

    def _redeem_code(self, form: Mapping[str, str]) -> Grant:
        grant = self.tenant.codes.get(form.get("code", ""))
        if grant is None or grant.expires is None or grant.expires < self.tenant.clock.now():
            raise Refused("invalid_grant", 70008, "The provided authorization code or refresh token has expired.")
        if grant.used:
            raise Refused("invalid_grant", 54005, "OAuth2 Authorization code was already redeemed.")
        if grant.redirect_uri != form.get("redirect_uri"):
            raise Refused("invalid_grant", 50011, "The reply URL does not match the one of the authorize request.")
        if grant.challenge:
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if base64.urlsafe_b64encode(digest).decode().rstrip("=") != grant.challenge:
                raise Refused("invalid_grant", 501481, "The Code_Verifier does not match the code_challenge supplied.")
        grant.used = True
        return grant

    def _redeem_refresh(self, form: Mapping[str, str]) -> Grant:
        grant = self.tenant.refresh_tokens.get(form.get("refresh_token", ""))
        if grant is None:
            raise Refused(
                "invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.", suberror="bad_token"
            )
        if grant.family in self.tenant.dead_families:
            raise Refused(
                "invalid_grant", 70000, "The grant was revoked: a refresh token was used twice.", suberror="bad_token"
            )
        if self.tenant.one_time_refresh_tokens and grant.used:
            self.tenant.dead_families.add(grant.family)
            raise Refused("invalid_grant", 70000, "The refresh token was already used.", suberror="bad_token")
        grant.used = True
        return self._stepped(grant, read_claims(form.get("claims")))

    def _stepped(self, grant: Grant, claims: dict[str, Any]) -> Grant:
        """The grant as this refresh may use it; a context or MFA that the session lacks is not given silently."""
        person = self.tenant.by_oid(grant.oid)
        asked = tokens.contexts(claims)
        lacks = [c for c in asked if c not in grant.acrs]
        lacks_mfa = not grant.mfa and (tokens.wants_mfa(claims) or bool(person and person.refresh_needs_mfa))
        changes: dict[str, Any] = {"contexts_lost": self.tenant.refresh_loses_context and not asked}
        if lacks or lacks_mfa:
            how = person.silent_step_up if person else "refuse"
            if how == "refuse":
                raise Refused(
                    "interaction_required",
                    50076,
                    "Due to a configuration change made by your administrator, "
                    "or because you moved to a new location, you must use multi-factor authentication.",
                    suberror="basic_action",
                    claims=json.dumps(claims),
                )
            if how == "grant":
                changes |= {"acrs": [*grant.acrs, *lacks], "mfa": True}
        return Grant(**{**grant.__dict__, "claims": claims, "nonce": "", "used": False, **changes})

    def _issue(self, grant: Grant, form: Mapping[str, str]) -> dict[str, Any]:
        person = self.tenant.by_oid(grant.oid)
        if person is None or not person.enabled:
            raise Refused("invalid_grant", 50057, "The user account is disabled.")
        if person.sign_in_generation != grant.generation:
            raise Refused(
                "invalid_grant",
                50173,
                "The provided grant has expired due to it being revoked, a fresh auth token is needed.",
                suberror="bad_token",
            )
        scopes = form.get("scope", "").split() or grant.scopes
        check_consent(self.tenant, scopes)
        try:
            access = tokens.access_token(self.tenant, self.keys, person, grant, scopes)
        except ValueError as wrong:
            raise Refused(
                "invalid_scope", 28000, f"Provided value for the input parameter scope is not valid. {wrong}"
            ) from None
        echo = [s for s in scopes if self.tenant.scope_echo == "as_asked" or s not in tokens.RESERVED]
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "scope": " ".join(echo),
            "expires_in": self.tenant.token_lifetime,
            "ext_expires_in": self.tenant.token_lifetime,
            "access_token": access,
        }
        if "offline_access" in scopes:
            answer["refresh_token"] = self._new_refresh(grant)
        if "openid" in scopes:
            answer["id_token"] = tokens.id_token(self.tenant, self.keys, person, grant)
        if form.get("client_info") == "1":
            answer["client_info"] = tokens.client_info(self.tenant, person)
        return answer

    def _new_refresh(self, grant: Grant) -> str:
        token = "1.A" + secrets.token_urlsafe(96)
        self.tenant.refresh_tokens[token] = Grant(
            **{**grant.__dict__, "used": False, "claims": {}, "contexts_lost": False}
        )
        return token
