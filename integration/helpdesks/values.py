"""Single values out of a vendor's JSON, as our own types. Nothing here raises, whatever the value is."""

from datetime import UTC, datetime
from typing import Any

from integration.tickets import clean


def word(value: Any) -> str | None:
    """A string, number or truth value as clean text; None where there is nothing to read."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean(str(value)) or None if isinstance(value, str | int | float) else None


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
