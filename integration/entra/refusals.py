"""Graph's error answers in our terms. Reads hostile text; lets checked codes through, no more."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integration.entra import catalogue, claims
from integration.entra.errors import (
    EntraError,
    EntraRefused,
    EntraUnavailable,
    SetupWrong,
    SignInNeeded,
    StepUpNeeded,
)

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,79}")
_REQUEST_ID = re.compile(r"[0-9A-Fa-f-]{8,64}")
_RULES = re.compile(r"\[[^\[\]]{0,1000}\]")


@dataclass(frozen=True)
class Refusal:
    """An answer other than 2xx, taken apart. `code` and `request_id` are checked for form; `message` is not."""

    status: int
    code: str
    message: str
    request_id: str | None


def parse(status: int, headers: Mapping[str, str], text: str) -> Refusal:
    """Never raises: what cannot be read is left out."""
    error: Any = None
    try:
        body = json.loads(text[:100_000])
        error = body.get("error") if isinstance(body, dict) else None
    except (ValueError, RecursionError):
        pass
    fields: dict[str, Any] = error if isinstance(error, dict) else {}
    message = fields.get("message")
    message = message if isinstance(message, str) else ""
    code = fields.get("code")
    # UnknownError may wrap the true code in a JSON document in a string.
    code = claims.nested(message)[0] or (code if isinstance(code, str) else "")
    return Refusal(
        status=status,
        code=code if _CODE.fullmatch(code) else "unreadable",
        message=message,
        request_id=_request_id(headers, fields.get("innerError")),
    )


def _request_id(headers: Mapping[str, str], inner: object) -> str | None:
    """By which Microsoft's support finds the request: Graph's, Azure's, or ours if the answer carries it back."""
    told = inner if isinstance(inner, dict) else {}
    given = (
        headers.get("request-id"),
        headers.get("x-ms-request-id"),
        told.get("request-id"),
        headers.get("client-request-id"),
    )
    return next((one for one in given if isinstance(one, str) and _REQUEST_ID.fullmatch(one)), None)


def failed_rules(message: str) -> tuple[str, ...]:
    """The rule names in `The following policy rules failed: ["JustificationRule","ExpirationRule"]`."""
    found = _RULES.search(message)
    try:
        names = json.loads(found[0]) if found else []
    except ValueError:
        return ()
    return tuple(name for name in names if isinstance(name, str) and _CODE.fullmatch(name))


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, at most an hour; None for a date or nonsense."""
    return min(float(value), 3600.0) if value and re.fullmatch(r"[0-9]{1,6}", value.strip()) else None


def throttles(status: int, after: float | None) -> bool:
    """Whether this answer asks everybody to slow down."""
    return status == 429 or (status == 503 and after is not None)


def error_for(refusal: Refusal, headers: Mapping[str, str], *, changes: bool) -> EntraError:
    """The error to raise. `changes`: the request was not a GET, so that a 5xx may hide work that was done."""
    if refusal.status == 401:
        challenge = claims.from_header(headers.get("WWW-Authenticate") or "")
        return StepUpNeeded(challenge) if challenge else SignInNeeded()
    if refusal.status == 429 or refusal.status >= 500:
        after = retry_after(headers.get("Retry-After"))
        return EntraUnavailable(
            "Microsoft Entra is busy or out of order at the moment; it is tried again.",
            after=after,
            outcome_unknown=changes and refusal.status != 429,
            throttled=throttles(refusal.status, after),
        )
    if "AcrsValidationFailed" in refusal.code + refusal.message and (challenge := claims.from_message(refusal.message)):
        return StepUpNeeded(challenge)
    return _refused(refusal)


def _refused(refusal: Refusal) -> EntraError:
    code, request_id, status = refusal.code, refusal.request_id, refusal.status
    rules = failed_rules(refusal.message) if code.endswith("PolicyValidationFailed") else ()
    if rules == ("MfaRule",):
        # No claims come with it, and a silent refresh does not help: only the person can add the second factor.
        return StepUpNeeded(claims.MFA_CLAIMS, silently=False)
    if rules:
        sentence = catalogue.about_rules(rules)
        return EntraRefused(sentence, code=code, rules=rules, request_id=request_id, status=status)
    known = catalogue.CODES.get(code)
    if known is None:
        sentence = catalogue.unknown(code, status, request_id)
        return EntraRefused(sentence, code=code, request_id=request_id, status=status)
    if issubclass(known.kind, EntraRefused | SetupWrong):
        return known.kind(known.technician, code=code, request_id=request_id, status=status)
    # A code that belongs to another status: what it says holds all the same.
    return EntraRefused(known.technician, code=code, request_id=request_id, status=status)
