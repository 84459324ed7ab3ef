"""OpenID Connect as Entra speaks it: discovery, keys, the page that chooses a person, sign-out."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from sandbox import tokens
from sandbox.clock import real_now
from sandbox.oauth import Refused, check_consent, read_claims, refusal_body
from sandbox.people import Person
from sandbox.tenant import Grant, Tenant


def allowed_redirect(tenant: Tenant, uri: str) -> bool:
    """Exact match, but the port does not count for localhost over http, as at Entra."""

    def portless(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1"):
            return urlunsplit(parts._replace(netloc=parts.hostname))
        return text

    return portless(uri) in {portless(known) for known in tenant.redirect_uris}


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


def new_state() -> str:
    return str(uuid.uuid4())
