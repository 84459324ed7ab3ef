"""Standard Webhooks signatures, checked more strictly than the specification asks.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md. The signed bytes are
`id.timestamp.body`; the specification itself warns of a dot in id or time, so neither may hold one here.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from integration.helpdesks.keys import fitting
from integration.tickets import SignatureRefused

TOLERANCE = timedelta(minutes=5)
SHORTEST_SECRET = 24  # bytes, as the specification demands
MOST_SIGNATURES = 8

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIME = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"(v[0-9]+[a-z]*),([A-Za-z0-9+/]+={0,2})")
_V1 = re.compile(r"[A-Za-z0-9+/]{43}=")  # the 32 bytes of a SHA-256
# What Zendesk signs with before a webhook is saved: the whole world knows it.
# Source: developer.zendesk.com/documentation/webhooks/verifying/
KNOWN = frozenset({b"this_secret_is_for_testing_only", b"dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="})


@dataclass(frozen=True)
class Verified:
    delivery_id: str
    secret: str  # the name of the secret that matched


def keys(secrets: Mapping[str, str]) -> dict[str, bytes]:
    """The signing keys behind `whsec_...` texts, by the secrets' names.

    Raises ValueError with a sentence that names the secret and never quotes it.
    """
    if not secrets:
        raise ValueError("secrets is empty: name at least one signing secret, or anybody could call.")
    return {name: _key(name, text) for name, text in secrets.items()}


def verify(keys: Mapping[str, bytes], headers: Mapping[str, str], body: bytes, *, now: datetime) -> Verified:
    """Who signed `body`. `headers` has lower-case names; `now` is aware UTC. Raises SignatureRefused."""
    # Svix and those who send through it may use its own names. A call may carry both sets; we never mix them.
    prefix = "webhook" if any(f"webhook-{part}" in headers for part in ("id", "timestamp", "signature")) else "svix"
    delivery_id, time, signatures = (headers.get(f"{prefix}-{part}", "") for part in ("id", "timestamp", "signature"))
    # A header that was sent twice arrives joined by a comma, which neither pattern lets pass.
    if not _ID.fullmatch(delivery_id) or not _TIME.fullmatch(time):
        raise SignatureRefused
    if abs(now.timestamp() - int(time)) > TOLERANCE.total_seconds():
        raise SignatureRefused
    given = _v1(signatures)
    signed = b".".join((delivery_id.encode(), time.encode(), body))

    def signed_it(key: bytes) -> bool:
        expected = hmac.new(key, signed, hashlib.sha256).digest()
        matches = [hmac.compare_digest(expected, signature) for signature in given]  # each of them, always
        return True in matches

    return Verified(delivery_id, fitting(keys, signed_it))


def _v1(signatures: str) -> list[bytes]:
    found = []
    for word in signatures.split(" ", MOST_SIGNATURES)[:MOST_SIGNATURES]:
        match = _SIGNATURE.fullmatch(word)
        if not match or (match[1] == "v1" and not _V1.fullmatch(match[2])):
            raise SignatureRefused
        if match[1] == "v1":  # versions that we do not know may stand beside it
            found.append(base64.b64decode(match[2]))
    return found


def _key(name: str, text: str) -> bytes:
    encoded = text.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            f"The signing secret {name!r} is not base64. Copy it whole, with the whsec_ that it begins with."
        ) from None
    if key in KNOWN or text.encode() in KNOWN:
        raise ValueError(f"The signing secret {name!r} is a test secret that everybody knows. Make a new one.")
    if len(key) < SHORTEST_SECRET:
        raise ValueError(
            f"The signing secret {name!r} has {len(key)} bytes, fewer than {SHORTEST_SECRET}. Make one of 32 random "
            f"bytes."
        )
    return key
