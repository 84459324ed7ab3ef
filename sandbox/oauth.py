"""The refusals of the sign-in endpoints in Entra's words, and what both endpoints check."""

from __future__ import annotations

import json
import uuid
from typing import Any

from flask import request

from sandbox import tokens
from sandbox.clock import real_now
from sandbox.tenant import Tenant


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
