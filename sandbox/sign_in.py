"""OpenID Connect as Entra speaks it: discovery, keys, the page that chooses a person, tokens, sign-out."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import jwt
from flask import Blueprint, Response, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from sandbox import tokens
from sandbox.clock import real_now
from sandbox.people import Person
from sandbox.tenant import Grant, Tenant


class Refused(Exception):
    """The token endpoint says no: an OAuth error word, an AADSTS number, a text."""

    def __init__(self, error: str, number: int, text: str, **more: Any) -> None:
        super().__init__(text)
        self.error, self.number, self.text, self.more = error, number, text, more
        self.status = 401 if error == "invalid_client" else 400


def refusal_body(refused: Refused) -> dict[str, Any]:
    """Entra's error document."""
    trace, correlation = str(uuid.uuid4()), request.headers.get("client-request-id") or str(uuid.uuid4())
    stamp = real_now().strftime("%Y-%m-%d %H:%M:%SZ")
    return {
        "error": refused.error,
        "error_description": f"AADSTS{refused.number}: {refused.text} Trace ID: {trace} "
        f"Correlation ID: {correlation} Timestamp: {stamp}",
        "error_codes": [refused.number],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={refused.number}",
        **refused.more,
    }


def allowed_redirect(tenant: Tenant, uri: str) -> bool:
    """Exact match, but the port does not count for localhost over http, as at Entra."""

    def portless(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1"):
            return urlunsplit(parts._replace(netloc=parts.hostname))
        return text

    return portless(uri) in {portless(known) for known in tenant.redirect_uris}


def read_claims(text: str | None) -> dict[str, Any]:
    try:
        claims = json.loads(text) if text else {}
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        raise Refused("invalid_request", 9002341, "The claims parameter is not a JSON object.")
    return claims


def check_consent(tenant: Tenant, scopes: list[str]) -> None:
    missing = [s for s in scopes if s not in tokens.RESERVED and tokens.short(s).lower() not in tenant.consented]
    if missing:
        raise Refused(
            "invalid_grant",
            65001,
            f"The user or administrator has not consented to use the application with ID '{tenant.client_id}' "
            f"for {', '.join(missing)}. Send an interactive authorization request for this user and resource.",
            suberror="consent_required",
        )


def metadata(tenant: Tenant) -> dict[str, Any]:
    base = f"{tenant.authority}/oauth2/v2.0"
    pages = f"{tenant.page_authority}/oauth2/v2.0"
    return {
        "issuer": f"{tenant.authority}/v2.0",
        "authorization_endpoint": f"{pages}/authorize",
        "token_endpoint": f"{base}/token",
        "end_session_endpoint": f"{pages}/logout",
        "jwks_uri": f"{tenant.authority}/discovery/v2.0/keys",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "name", "preferred_username"],
        "request_uri_parameter_supported": False,
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "tenant_region_scope": "EU",
        "cloud_instance_name": "localhost",
    }


class SignIn:
    """The sign-in endpoints over one tenant. The pages are served over plain http as well as over TLS."""

    def __init__(self, tenant: Tenant, keys: tokens.Keys) -> None:
        self.tenant, self.keys = tenant, keys

    def blueprint(self) -> Blueprint:
        part = Blueprint("sign_in", __name__, url_prefix=f"/{self.tenant.tenant_id}")
        part.add_url_rule("/v2.0/.well-known/openid-configuration", view_func=self.discovery)
        part.add_url_rule("/discovery/v2.0/keys", view_func=self.jwks)
        part.add_url_rule("/oauth2/v2.0/authorize", view_func=self.authorize, methods=["GET", "POST"])
        part.add_url_rule("/oauth2/v2.0/token", view_func=self.token, methods=["POST"])
        part.add_url_rule("/oauth2/v2.0/logout", view_func=self.logout)
        return part

    def discovery(self) -> Response:
        return jsonify(metadata(self.tenant))

    def jwks(self) -> Response:
        return jsonify(self.keys.jwks(f"{self.tenant.authority}/v2.0"))

    def logout(self) -> BaseResponse | str:
        back = request.args.get("post_logout_redirect_uri", "")
        allowed = {urlsplit(uri).hostname for uri in self.tenant.redirect_uris}
        if back and urlsplit(back).hostname in allowed:
            state = request.args.get("state")
            return redirect(back + (f"?{urlencode({'state': state})}" if state else ""))
        return render_template("message.html", title="Signed out", text="You are signed out of the practice tenant.")

    # The authorize page

    def authorize(self) -> BaseResponse | str | tuple[str, int]:
        args = request.values
        try:
            self._check_authorize(args)
            claims = read_claims(args.get("claims"))
        except Refused as refused:
            body = refusal_body(refused)
            return render_template(
                "message.html", title="Sorry, but we're having trouble signing you in.", text=body["error_description"]
            ), 400
        scopes = args.get("scope", "").split()
        back = args["redirect_uri"]
        if args.get("practice_cancel"):
            return self._send(back, args, error="access_denied", error_description="AADSTS65004: User declined.")
        chosen = args.get("practice_person")
        if not chosen:
            return self._without_person(args, back, claims)
        person = self.tenant.by_upn(chosen)
        if person is None or not person.enabled:
            number = 50057 if person else 50034
            text = "The user account is disabled." if person else "The user account does not exist in the directory."
            return render_template("message.html", title="Sign in", text=f"AADSTS{number}: {text}"), 400
        try:
            check_consent(self.tenant, scopes)
        except Refused as refused:
            if args.get("prompt") == "none":
                return self._send(back, args, error="consent_required", error_description=str(refused))
            again = {**args.to_dict(), "practice_cancel": "1"}
            return render_template("message.html", title="Need admin approval", text=str(refused), fields=again)
        return self._send(back, args, code=self._new_code(args, person, scopes, claims), session_state=new_state())

    def _check_authorize(self, args: Mapping[str, str]) -> None:
        if args.get("client_id") != self.tenant.client_id:
            raise Refused("unauthorized_client", 700016, "The application was not found in the directory.")
        if not allowed_redirect(self.tenant, args.get("redirect_uri", "")):
            raise Refused(
                "invalid_request",
                50011,
                "The redirect URI specified in the request does not match the "
                "redirect URIs configured for the application.",
            )
        if args.get("response_type") != "code":
            raise Refused("unsupported_response_type", 700054, "The response_type is not enabled for the application.")
        if args.get("response_mode", "query") not in ("query", "form_post"):
            raise Refused("invalid_request", 90023, "The response_mode is not supported.")
        if args.get("code_challenge") and args.get("code_challenge_method") != "S256":
            raise Refused("invalid_request", 501491, "The code_challenge_method must be S256.")
        if "openid" not in args.get("scope", "").split():
            raise Refused("invalid_request", 900144, "The request must contain the scope openid.")

    def _without_person(self, args: Mapping[str, str], back: str, claims: dict[str, Any]) -> BaseResponse | str:
        if args.get("prompt") == "none":
            return self._send(
                back,
                args,
                error="login_required",
                error_description="AADSTS50058: A silent sign-in request was sent but no user is signed in.",
            )
        asked = tokens.contexts(claims) + (["multi-factor authentication"] if tokens.wants_mfa(claims) else [])
        return render_template(
            "sign_in.html",
            people=self.tenant.people.values(),
            fields=dict(args),
            asked=asked,
            hint=args.get("login_hint", ""),
        )

    def _new_code(self, args: Mapping[str, str], person: Person, scopes: list[str], claims: dict[str, Any]) -> str:
        acrs = tokens.contexts(claims)
        mfa = bool(acrs) or tokens.wants_mfa(claims) or args.get("practice_mfa") == "1"
        code = "0.A" + secrets.token_urlsafe(48)
        with self.tenant.lock:
            self.tenant.codes[code] = Grant(
                oid=person.oid,
                scopes=scopes,
                generation=person.sign_in_generation,
                family=tokens.new_family(),
                acrs=acrs,
                mfa=mfa,
                auth_time=int(real_now().timestamp()),
                nonce=args.get("nonce", ""),
                redirect_uri=args["redirect_uri"],
                challenge=args.get("code_challenge", ""),
                claims=claims,
                expires=self.tenant.clock.now() + timedelta(minutes=10),
            )
        return code

    def _send(self, back: str, args: Mapping[str, str], **answer: str) -> BaseResponse:
        if args.get("state"):
            answer["state"] = args["state"]
        if args.get("response_mode") == "form_post":
            return Response(render_template("form_post.html", action=back, fields=answer))
        return redirect(back + ("&" if "?" in back else "?") + urlencode(answer))

    # The token endpoint

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
        """Issuer, subject, audience and time of the assertion. No certificate is registered, so no signature."""
        try:
            jwt.decode(
                form["client_assertion"],
                options={
                    "verify_signature": False,
                    "verify_exp": True,
                    "verify_aud": True,
                    "verify_iss": True,
                    "require": ["exp", "aud", "iss", "sub"],
                },
                audience=f"{self.tenant.authority}/oauth2/v2.0/token",
                issuer=self.tenant.client_id,
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
        lacks = [c for c in tokens.contexts(claims) if c not in grant.acrs]
        lacks_mfa = tokens.wants_mfa(claims) and not grant.mfa
        if (lacks or lacks_mfa) and person is not None and person.silent_step_up == "refuse":
            raise Refused(
                "interaction_required",
                50076,
                "Due to a configuration change made by your administrator, "
                "or because you moved to a new location, you must use multi-factor authentication.",
                suberror="basic_action",
                claims=json.dumps(claims),
            )
        return Grant(**{**grant.__dict__, "claims": claims, "nonce": "", "used": False})

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
        self.tenant.refresh_tokens[token] = Grant(**{**grant.__dict__, "used": False, "claims": {}})
        return token


def new_state() -> str:
    return str(uuid.uuid4())
