"""What every adapter does alike with a helpdesk's list of changes, whatever it holds."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from integration.tickets import ChangedTicket, Changes

# Further ahead than any clock that is merely wrong. Who polls goes on from the last time that was told, so they must
# never be told of one that is yet to come.
AHEAD = timedelta(days=1)


def changes_since(
    lines: Iterable[tuple[str | None, datetime | None]], *, since: datetime, now: datetime, more: bool = False
) -> Changes:
    """`lines` (number or None, time or None) as changes since `since`, the longest ago first.

    What cannot be read is left out: the tickets beside it must still be heard of. So is what changed before `since`,
    where a helpdesk could not be asked so exactly.
    """
    newest: dict[str, datetime] = {}
    for number, at in lines:
        if number is not None and at is not None and since <= at <= now + AHEAD:
            newest[number] = max(at, newest.get(number, at))
    found = sorted(newest.items(), key=lambda it: (it[1], it[0]))
    return Changes(tuple(ChangedTicket(number, at) for number, at in found), more)
