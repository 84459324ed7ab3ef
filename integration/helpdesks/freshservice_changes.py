"""What changed in a Freshservice, by its list of tickets: which is in the order of their creation, and in no other.

Wire facts: api.freshservice.com: "View list of all tickets".
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from integration.helpdesks.changes import changes_since
from integration.tickets import Changes

LISTED = 100  # tickets in one answer
MOST_LISTS = 10  # calls of one look for changes: all integrations of an account share its calls per minute

Line = tuple[str | None, datetime | None]


@dataclass
class _Reading:
    since: datetime
    begun: datetime
    at: int = 1  # the list that is read next
    lines: list[Line] = field(default_factory=list)


class ChangeReader:
    """Reads all that changed before it tells any of it, in several looks where one is not enough.

    Who asks goes on from the newest that they were told, so the newest must not be told while others are still unread.
    What was read is kept in this process alone: another one that is asked to go on begins by itself.
    """

    def __init__(self, ask: Callable[[datetime, int], tuple[list[Line], bool]]) -> None:
        """`ask` gives one list, by its number, of what changed since a time, and whether it is full."""
        self._ask = ask
        self._reading: _Reading | None = None

    def changed_since(self, since: datetime, *, page: int, now: datetime) -> Changes:
        reading = self._reading
        if page == 1 or reading is None or reading.since != since:
            reading = self._reading = _Reading(since, now)
        first = reading.at == 1
        for _ in range(MOST_LISTS):
            lines, full = self._ask(since, reading.at)
            reading.lines += lines
            if not full:
                self._reading = None
                return self._told(reading, now, whole=first)
            reading.at += 1
        # The last one is read again: tickets that are deleted meanwhile move those behind them to the front.
        reading.at -= 1
        return Changes((), more=True)

    def _told(self, reading: _Reading, now: datetime, *, whole: bool) -> Changes:
        lines = reading.lines
        if not whole:
            # What changed while we read may stand in a list that we had read before: it is told the next time.
            lines = [(number, at) for number, at in lines if at is not None and at <= reading.begun]
        return changes_since(lines, since=reading.since, now=now)
