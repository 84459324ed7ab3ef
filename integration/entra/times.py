"""Graph's times and durations. Timestamps carry none to seven fractional digits; durations are ISO 8601."""

import re
from datetime import UTC, datetime, timedelta

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")
_DURATION = re.compile(r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?)?")


def parse_time(value: object) -> datetime | None:
    """Aware UTC, to the microsecond; None for anything that is not a timestamp."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    try:
        plain = datetime.fromisoformat(found[1] + (found[3] or "Z").replace("Z", "+00:00"))
        return plain.astimezone(UTC).replace(microsecond=int((found[2] or "0").ljust(6, "0")[:6]))
    except (ValueError, OverflowError):
        return None


def format_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_duration(value: object) -> timedelta | None:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """PT1H30M, whole minutes, rounded down so that a policy's maximum is never passed. At least one minute."""
    hours, minutes = divmod(max(1, int(duration.total_seconds() // 60)), 60)
    return "PT" + (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
