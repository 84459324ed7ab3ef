"""A secret that stands in a header of each delivery, for helpdesks that sign nothing.

It proves that the sender was told it, and nothing of the body: whoever sees one call can send any other. So such a
delivery is only a knock at the door, as every delivery is: the ticket and who picked it are read back.
"""

import base64
import hmac
from collections.abc import Mapping

from integration.helpdesks.keys import fitting

SHORTEST = 24  # characters


def keys(secrets: Mapping[str, str]) -> dict[str, bytes]:
    """The secrets by name. Raises ValueError with a sentence that names one and never quotes it."""
    if not secrets:
        raise ValueError("secrets is empty: name at least one secret, or anybody could call.")
    for name, text in secrets.items():
        if len(text) < SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(
                f"The secret {name!r} must be at least {SHORTEST} plain characters without blanks, such as "
                f"`openssl rand -hex 32` prints."
            )
    return {name: text.encode() for name, text in secrets.items()}


def bearer(headers: Mapping[str, str]) -> str:
    """What stands behind `Authorization: Bearer`; empty where nothing does."""
    kind, _, rest = headers.get("authorization", "").partition(" ")
    return rest if kind.lower() == "bearer" else ""


def basic(headers: Mapping[str, str]) -> str:
    """The password of `Authorization: Basic` (RFC 7617): how a secret in `https://name:secret@host` arrives."""
    kind, _, rest = headers.get("authorization", "").partition(" ")
    try:
        both = base64.b64decode(rest, validate=True).decode() if kind.lower() == "basic" else ""
    except ValueError:
        return ""
    return both.partition(":")[2]


def verify(keys: Mapping[str, bytes], text: str) -> str:
    """The name of the secret that `text` is. Raises SignatureRefused."""
    given = text.encode(errors="replace")
    return fitting(keys, lambda key: hmac.compare_digest(given, key))
