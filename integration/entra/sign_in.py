"""Signing in: authorization code flow with PKCE, and our own validation of who came back.

MSAL checks nothing of an ID token but its nonce (measured, 1.39), so a sign-in lands in a throw-away cache, is
validated here, and only then may be stored.
"""

import ssl
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
import msal
import requests

from integration.entra import scopes, words
from integration.entra.client import Client, EntraSettings
from integration.entra.errors import EntraUnavailable, SetupWrong, SignInFailed
from integration.entra.http import EntraHttp
from integration.targets import TargetKind

_REQUIRED = ["exp", "iat", "aud", "iss", "sub", "oid", "tid"]
_ANSWERS = "answers"  # our own entry in a flow
_AGAIN = "The sign-in could not be completed. Please start again."
_warnings = threading.Lock()


@dataclass(frozen=True)
class SignedIn:
    """Who signed in, validated. `name` and `upn` are labels, never keys. `cache` is MSAL's, to be sealed."""

    tid: str
    oid: str
    name: str
    upn: str
    roles: tuple[str, ...]
    home_account_id: str
    auth_time: datetime | None
    cache: str = field(repr=False)
    answered: str | None = None  # the challenge that the tenant was satisfied about ...
    wanted: tuple[str, ...] = ()  # ... for the token of these permissions, which came with it


class SignIn:
    """Starts and finishes interactive sign-ins."""

    def __init__(self, settings: EntraSettings, http: EntraHttp | None = None) -> None:
        self.settings = settings
        self.client = Client(settings, http or EntraHttp(settings.ca_bundle))
        self._jwks: jwt.PyJWKClient | None = None

    def start(
        self,
        redirect_uri: str,
        *,
        login_hint: str | None = None,
        claims: str | None = None,
        max_age: int | None = None,
        kind: TargetKind | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """(address to send the browser to, flow). Keep the flow on the server: it holds the PKCE verifier and nonce.

        `claims`: a challenge as JSON, and the `kind` of target that it came for: a step-up is one resource's.
        `max_age`: seconds since the person last proved who they are.
        """
        wanted = scopes.of(kind, self.settings) if claims and kind else scopes.consented(self.settings)
        app = self.client.app(msal.SerializableTokenCache())
        with _warnings, warnings.catch_warnings():
            # A form_post answer is a cross-site POST, without our SameSite=Lax cookie. The code in the query is
            # single-use and bound to client and PKCE verifier.
            warnings.filterwarnings("ignore", message=r"response_mode=.*form_post")
            flow = app.initiate_auth_code_flow(
                list(wanted),
                redirect_uri=redirect_uri,
                login_hint=login_hint,
                claims_challenge=claims,
                max_age=max_age,
            )
        return str(flow["auth_uri"]), {**flow, _ANSWERS: claims}

    def finish(
        self, flow: Mapping[str, Any], args: Mapping[str, str], *, expected: tuple[str, str] | None = None
    ) -> SignedIn:
        """Redeem the callback's `args`. Delete the stored flow before: MSAL does not stop a replay.

        `expected`: (tid, oid) who must have answered; a step-up can be answered by somebody else.
        Raises SignInFailed, SetupWrong or EntraUnavailable.
        """
        cache = msal.SerializableTokenCache()
        wanted = self._wanted(flow)
        answer = _redeem(self.client.app(cache), flow, args, wanted)
        if "error" in answer:
            raise _failed(answer)
        _check_scopes(answer.get("scope"), wanted)
        facts = self._validated(str(answer.get("id_token", "")))
        tid, oid = facts["tid"], facts["oid"]
        if expected is not None and expected != (tid, oid):
            raise SignInFailed("Somebody else signed in. Please sign in with the account that this was started for.")
        accounts = self.client.app(cache).get_accounts()
        if len(accounts) != 1:
            raise SignInFailed(_AGAIN)
        return SignedIn(
            tid=tid,
            oid=oid,
            name=_text(facts.get("name")),
            upn=_text(facts.get("preferred_username") or facts.get("upn")),
            roles=_roles(facts.get("roles")),
            home_account_id=str(accounts[0]["home_account_id"]),
            auth_time=_time(facts.get("auth_time")),
            cache=cache.serialize(),
            answered=_text(flow.get(_ANSWERS)) or None,
            wanted=wanted,
        )

    def _wanted(self, flow: Mapping[str, Any]) -> tuple[str, ...]:
        """A code is good for one resource's token: Graph's, but for a step-up of Azure's."""
        asked = flow.get("scope")
        graph = scopes.graph(self.settings)
        return graph if isinstance(asked, list) and set(graph) <= set(asked) else scopes.arm(self.settings)

    def sign_out_url(self) -> str | None:
        """Where a browser ends its Microsoft session; None where the tenant does not say. Raises EntraUnavailable."""
        found = self.client.discovery().get("end_session_endpoint")
        return found if isinstance(found, str) and found.startswith(("https://", "http://localhost")) else None

    def _validated(self, token: str) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = jwt.decode(
                token,
                self._keys().get_signing_key_from_jwt(token).key,
                algorithms=["RS256"],
                audience=self.settings.client_id,
                issuer=f"{self.settings.tenant_authority}/v2.0",
                leeway=120,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWKClientConnectionError:
            raise EntraUnavailable("Microsoft Entra's keys could not be read. Please try again in a moment.") from None
        except jwt.PyJWTError:
            raise SignInFailed(_AGAIN) from None
        if facts["tid"] != self.settings.tenant_id:
            raise SignInFailed("This account belongs to another organisation. Please sign in with your work account.")
        if not isinstance(facts["oid"], str) or not facts["oid"]:
            raise SignInFailed(_AGAIN)
        return facts

    def _keys(self) -> jwt.PyJWKClient:
        if self._jwks is None:
            # It knows nothing of requests' CA settings.
            context = ssl.create_default_context(cafile=self.settings.ca_bundle)
            # No pause between fetches: only the token endpoint's own answers get here, so nobody can provoke them, and
            # a sign-in just after Microsoft rolled its keys must not fail.
            self._jwks = jwt.PyJWKClient(
                self.client.discovery()["jwks_uri"], ssl_context=context, timeout=10, cooldown_duration=0
            )
        return self._jwks


def _redeem(app: Any, flow: Mapping[str, Any], args: Mapping[str, str], wanted: tuple[str, ...]) -> dict[str, Any]:
    try:
        # A copy: MSAL pops from it.
        answer = app.acquire_token_by_auth_code_flow(dict(flow), dict(args), scopes=list(wanted))
    except (requests.RequestException, msal.exceptions.MsalServiceError, requests.JSONDecodeError):
        raise EntraUnavailable("Microsoft Entra did not complete the sign-in. Please start again.") from None
    except (ValueError, RuntimeError):  # state (or a cut-off answer); nonce or max_age
        raise SignInFailed(_AGAIN) from None
    except (LookupError, TypeError, AttributeError):  # MSAL takes an ID token apart before anybody has checked it
        raise SignInFailed(_AGAIN) from None
    if not isinstance(answer, dict):
        raise SignInFailed(_AGAIN)
    return answer


def _failed(answer: Mapping[str, Any]) -> SignInFailed | SetupWrong | EntraUnavailable:
    if answer.get("error") == "access_denied" and not words.numbers(answer):
        return SignInFailed("The sign-in was cancelled. Nothing was stored.")
    error = words.refused(answer)
    if isinstance(error, SetupWrong):
        return error
    if answer.get("error") in ("temporarily_unavailable", "server_error"):
        return EntraUnavailable("Microsoft Entra is busy. Please try again in a moment.")
    return SignInFailed(words.sentence(answer, _AGAIN))


def _check_scopes(granted: object, wanted: tuple[str, ...]) -> None:
    if not isinstance(granted, str):
        return
    have = {scope.rsplit("/", 1)[-1].lower() for scope in granted.split()}
    missing = [scope for scope in wanted if scope.rsplit("/", 1)[-1].lower() not in have]
    if missing:
        raise SetupWrong(
            f"The app lacks the consent for {', '.join(missing)}. An administrator must grant it in Microsoft Entra."
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _roles(value: object) -> tuple[str, ...]:
    return tuple(role for role in value if isinstance(role, str)) if isinstance(value, list) else ()


def _time(value: object) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and 0 < value < 2**33 else None
