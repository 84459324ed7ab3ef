"""Single values out of a vendor's JSON, as our own types. Nothing here raises, whatever the value is."""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Any

from integration.tickets import clean

_NO_TIME = re.compile(r"0001-01-01(?![0-9])")


def word(value: Any) -> str | None:
    """A string, number or truth value as clean text; None where there is nothing to read."""
    if isinstance(value, str):
        return clean(value) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean(str(value)) if isinstance(value, int | float) else None


def filled(value: Any) -> str | None:
    """What stands in a field. A time in the year 1 is how programs on .NET write that there is none."""
    told = word(value)
    return None if told is None or _NO_TIME.match(told) else told


def exact(value: Any) -> str | None:
    """An id, unchanged. None where it is no text or whole number, or where cleaning it would make it another's id."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if text and clean(text) == text else None


def moment(value: Any) -> datetime | None:
    """A moment in UTC, from ISO 8601 or seconds since 1970.

    A time without an offset is None: it could be hours off, and then a stale pick would look fresh.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        told = datetime.fromisoformat(value) if isinstance(value, str) else None
        return told.astimezone(UTC) if told and told.tzinfo else None
    except (ValueError, OverflowError, OSError):
        return None


def unfilled(text: str) -> str:
    """`text` without what a template language fills in: `{{...}}`, `{%...%}` and `{#...#}` are broken up.

    Both ends of them: an end without a beginning makes some helpdesks answer 500, and so every time we try again.
    """
    return re.sub(r"(?<=[}%#])(?=\})", " ", re.sub(r"\{(?=[{%#])", "{ ", text))


def made_id(*parts: str | bytes) -> str:
    """An id of a delivery that has none: the same for the same parts, so that a repeat is known."""
    texts = [part.encode() if isinstance(part, str) else part for part in parts]
    return "sha256-" + hashlib.sha256(b"\0".join(texts)).hexdigest()


def new_id() -> str:
    """An id for one call alone, where two changes of a ticket may be told in the very same words."""
    return "once-" + secrets.token_hex(16)


def table(value: Any) -> dict[str, Any]:
    """An object; an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def tables(value: Any) -> list[dict[str, Any]]:
    """The objects in a list, and nothing else of it."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
