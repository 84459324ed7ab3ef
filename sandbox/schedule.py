"""scheduleInfo of a request: read strictly, with enum names in any case."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sandbox import refusals
from sandbox.clock import parse
from sandbox.policies import duration
from sandbox.tenant import ScheduleRequest

EXPIRATIONS = {name.lower(): name for name in ("notSpecified", "noExpiration", "afterDateTime", "afterDuration")}


def read(info: Any, now: datetime) -> tuple[datetime, dict[str, Any]]:
    """Start (never before now) and expiration, enum names in camelCase whatever case they came in."""
    if not isinstance(info, dict) or not isinstance(info.get("expiration"), dict):
        raise refusals.bad_request("The property 'scheduleInfo' is missing.")
    given = info["expiration"]
    kind = EXPIRATIONS.get(str(given.get("type", "")).lower())
    if kind is None:
        raise refusals.bad_request("The property 'expiration.type' is not one of expirationPatternType.")
    try:
        start = parse(info["startDateTime"]) if info.get("startDateTime") else now
        if kind == "afterDuration":
            duration(str(given.get("duration")))
        if kind == "afterDateTime":
            parse(str(given.get("endDateTime")))
    except ValueError as wrong:
        raise refusals.GraphError(400, "InvalidRoleAssignmentRequestSchedule", str(wrong)) from None
    kept = {"type": kind, "endDateTime": given.get("endDateTime"), "duration": given.get("duration")}
    return max(start, now), kept


def length(asked: ScheduleRequest, start: datetime) -> timedelta | None:
    """How long an activation that starts at `start` lasts; None when the request names no end."""
    if asked.expiration["type"] == "afterDuration":
        return duration(asked.expiration["duration"])
    if asked.expiration["type"] == "afterDateTime":
        return parse(asked.expiration["endDateTime"]) - start
    return None
