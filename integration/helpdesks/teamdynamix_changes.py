"""What changed in a TeamDynamix application, by its search: which has neither an order nor pages.

Wire facts: "TeamDynamix Web API", type Tickets.TicketSearch.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from integration.helpdesks.changes import changes_since
from integration.helpdesks.values import exact, moment
from integration.tickets import Changes

LISTED = 500  # tickets in one answer; 0 asks for all, and those could be more than we read
SHORTEST_SPAN = timedelta(seconds=2)  # in which all are asked for
MOST_SPANS = 25  # calls of one look for changes
SLACK = timedelta(minutes=1)  # how exactly it takes a time is told nowhere
_LARGEST = 2**31 - 1  # TeamDynamix's ids are Int32
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


def changed_since(
    search: Callable[[dict[str, Any]], list[dict[str, Any]]], since: datetime, now: datetime
) -> Changes | None:
    """What changed since, or in the first part of that time where one answer does not hold all; None if that fails.

    Which of too many a search tells is not known. So the span is halved until it holds no more than are told.
    """
    start, end = since - SLACK, None
    crowded: datetime | None = None  # until when too many changed; None: until now
    for _ in range(MOST_SPANS):
        length = (end or now) - start
        rows = search(_wanted(start, end, most=LISTED if length > SHORTEST_SPAN else 0))
        if len(rows) >= LISTED and length > SHORTEST_SPAN:
            crowded = end
        else:
            numbered = ((exact(row.get("ID")), moment(row.get("ModifiedDate"))) for row in rows)
            lines = ((number, at) for number, at in numbered if is_number(number))
            found = changes_since(lines, since=since, now=now, more=end is not None)
            if found.tickets or end is None:
                return found
            start, crowded = end, None if end == crowded else crowded
        rest = (crowded or now) - start
        end = crowded if rest <= SHORTEST_SPAN else start + rest / 2
    return None


def is_number(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None and int(value) <= _LARGEST


def _wanted(start: datetime, end: datetime | None, *, most: int) -> dict[str, Any]:
    wanted: dict[str, Any] = {"ModifiedDateFrom": _iso(start), "MaxResults": most}
    return wanted if end is None else {**wanted, "ModifiedDateTo": _iso(end)}


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
