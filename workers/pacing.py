"""When to ask the tenant again for what it tells nobody: often while there is little, and never all at once."""

import zlib
from datetime import UTC, datetime, timedelta


def fair(lists: int, *, a_minute: int) -> timedelta:
    """How far the looks at each list must lie apart so that all `lists` together cost at most so many `a_minute`."""
    return timedelta(minutes=lists / (0.8 * a_minute))  # the rest is for minutes in which chance sends more


def next_moment(now: datetime, whose: str, step: timedelta) -> datetime:
    """The next of the moments that come each `step`: the same for everything that is `whose`, and for few others.

    The moments of a step are among those of each step that divides it, so that a change of step moves nobody on.
    """
    seconds = step.total_seconds()
    offset = zlib.crc32(whose.encode()) % seconds
    return datetime.fromtimestamp(((now.timestamp() - offset) // seconds + 1) * seconds + offset, UTC)
