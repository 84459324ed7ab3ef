"""What changed in Request Tracker, by its list of tickets: at most a hundred in one answer, the longest ago first.

RT takes a date in a query for one of our account's own time zone, which it does not tell. So it is asked how long ago,
and for more than is wanted; where that is thousands of tickets, the place in the list is looked for.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from integration.helpdesks.changes import changes_since
from integration.helpdesks.values import exact, moment
from integration.tickets import Changes

LISTED = 100  # that RT puts on a page, however many are asked for
PAGES = 5  # that one look tells of
LOOKS_AHEAD = 2  # pages after one that RT does not count: as far as a newer RT looks itself, for its next_page
# More than was asked for: for a clock that is ahead of ours, and for the hour by which RT errs in a span that holds a
# change to summer time.
MARGIN = timedelta(hours=1)


@dataclass(frozen=True)
class Page:
    """`more`: whether RT says that another follows; None where it does not say. `total`: of all pages, if it counts."""

    rows: Sequence[dict[str, Any]]
    more: bool | None
    total: int | None


_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
Ask = Callable[[int], Page]


def minutes_ago(since: datetime, now: datetime) -> int:
    return max(now + MARGIN - since, MARGIN) // timedelta(minutes=1) + 1


def changed_since(ask: Ask, since: datetime, page: int, now: datetime) -> Changes:
    """`ask` gives a page by its number; `page` counts looks from the first page on that holds something since."""
    first = ask(page)
    if first.total is None:
        more = first.more
        if more is None:
            # RT has cut the page and then taken out what we may not see: so look whether any other holds something.
            further = (ask(page + ahead).rows for ahead in range(1, LOOKS_AHEAD + 1))
            more = len(first.rows) >= LISTED or any(further)
        # As below: what moved up since the look before.
        before = ask(page - 1).rows if page > 1 else ()
        return _told([*before, *first.rows], since, now, more=more)
    last = -(-first.total // LISTED)
    if last <= 1:
        return _told(first.rows if page == 1 else (), since, now, more=False)
    onward = page > 1
    begin = _first_page(ask, since, last) + (page - 1) * PAGES
    end = min(begin + PAGES - 1, last)
    # One page is told again: what changed since the look before went to the end, and others moved up in its place.
    rows = _rows(ask, since, begin - 1 if onward else begin, end, onward=onward)
    return _told(rows, since, now, more=end < last)


def _rows(ask: Ask, since: datetime, begin: int, end: int, *, onward: bool) -> list[dict[str, Any]]:
    """From the last page to the first: a ticket that changes meanwhile goes to the end of the list, and all behind its
    place move to the front, where they are still seen.
    """
    rows: list[dict[str, Any]] = []
    while end >= max(begin, 1):
        found = ask(end).rows
        rows += found
        end -= 1
        if end < begin and not onward and found and not _is_before(found[:1], since):
            begin -= 1  # what was the first page that holds something is the second by now
    return rows


def _first_page(ask: Ask, since: datetime, last: int) -> int:
    """The first that does not end before `since`; the last where all do."""
    first = 1
    while first < last:
        middle = (first + last) // 2
        if _is_before(ask(middle).rows, since):
            first = middle + 1
        else:
            last = middle
    return first


def _is_before(rows: Sequence[dict[str, Any]], since: datetime) -> bool:
    ats = [at for at in (moment(row.get("LastUpdated")) for row in rows) if at is not None]
    return bool(ats) and max(ats) < since


def is_number(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _told(rows: Sequence[dict[str, Any]], since: datetime, now: datetime, *, more: bool) -> Changes:
    return changes_since(
        ((number, moment(row.get("LastUpdated"))) for row in rows if is_number(number := exact(row.get("id")))),
        since=since,
        now=now,
        more=more,
    )
