"""Claims challenges, as the tenant carries them. Reads hostile text; answers a JSON object or None."""

import base64
import binascii
import json
import re
from urllib.parse import unquote_plus

# PIM's "require multifactor authentication" names no claims. This is what other clients ask for.
MFA_CLAIMS = '{"access_token":{"amr":{"essential":true,"values":["mfa"]}}}'

# What continuous access evaluation asks for: a token that is newer, and of the address that the call came from
# (the source is learn.microsoft.com, identity-platform, "claims challenge").
_NEWER = {"nbf", "xms_rp_ipaddr"}
_LIMIT = 8192
_IN_MESSAGE = re.compile(r"claims=([^&\s\"'<>]+)")
_INSUFFICIENT = re.compile(r'error\s*=\s*"insufficient_claims"', re.IGNORECASE)
_IN_HEADER = re.compile(r'\bclaims\s*=\s*"([A-Za-z0-9+/_=\- ]+)"', re.IGNORECASE)


def checked(text: str) -> str | None:
    """`text`, if it is a JSON object of reasonable size, in the one way in which we write it; else None.

    A header and a message may ask for the same in other letters: one answer serves all that wait for it.
    """
    if len(text) > _LIMIT:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if isinstance(value, dict) and value else None


def asks_only_for_newer(challenge: str) -> bool:
    """Whether any new sign-in answers this challenge (JSON, checked), so that nobody need be asked for more."""
    value = json.loads(challenge)
    asked = value.get("access_token")
    return list(value) == ["access_token"] and isinstance(asked, dict) and set(asked) <= _NEWER


def from_message(message: str) -> str | None:
    """The challenge in a PIM error's message, `&claims=%7B...`, or None.

    The same message may be a JSON document in a string; its own `message` is read then (both are seen in public
    clients' fixtures).
    """
    if len(message) > 4 * _LIMIT:
        return None
    found = _IN_MESSAGE.search(nested(message)[1] or message)
    return checked(unquote_plus(found[1], errors="replace")) if found else None


def nested(message: str) -> tuple[str, str]:
    """(errorCode, message) of a message that is itself a JSON document; two empty strings when it is not."""
    if not message.lstrip().startswith("{") or len(message) > 4 * _LIMIT:
        return "", ""
    try:
        inner = json.loads(message)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(inner, dict):
        return "", ""
    code, text = inner.get("errorCode"), inner.get("message")
    return code if isinstance(code, str) else "", text if isinstance(text, str) else ""


def from_header(header: str) -> str | None:
    """The challenge in a 401's WWW-Authenticate, or None. Base64 may be URL-safe or unpadded, challenges several."""
    if len(header) > 4 * _LIMIT or not _INSUFFICIENT.search(header):
        return None
    for found in _IN_HEADER.finditer(header):
        encoded = found[1].replace(" ", "").rstrip("=").replace("-", "+").replace("_", "/")
        try:
            text = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
        except (binascii.Error, ValueError):
            continue
        if claims := checked(text):
            return claims
    return None
