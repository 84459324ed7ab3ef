"""A month at a glance: how many elevations became active, by day, role, rule and technician, and for how long. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Held:
    """One elevation that became active. `used` and `held` are seconds, None while it goes on.

    Used: from active until its ticket let go of the role. Held: until the role was gone.
    """

    created: int  # seconds since 1970
    person: str | None  # who it is, whatever they are called; None: not linked, or erased
    technician: str | None
    account: str
    target: str | None
    role: str | None
    rule: str | None
    used: int | None
    held: int | None


@dataclass(frozen=True)
class Group:
    """`key` is None for those that have none, and tells apart what is called the same; `name` and `account` are those
    of the newest. `used` and `held` are medians in minutes; None: none has ended.
    """

    key: str | None
    name: str | None
    count: int
    used: float | None
    held: float | None
    account: str = ""


@dataclass(frozen=True)
class Month:
    first: date
    days: tuple[tuple[date, int], ...]
    total: Group
    roles: tuple[Group, ...]
    rules: tuple[Group, ...]
    technicians: tuple[Group, ...]


def next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def last_month(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)


def begins(day: date, zone: ZoneInfo) -> datetime:
    """When the day begins at the desk."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def month(first: date, found: Iterable[Held], zone: ZoneInfo) -> Month:
    """`found` were created in the month that begins with `first` in the `zone`."""
    found = list(found)
    length = (next_month(first) - first).days
    days = [first + timedelta(days=n) for n in range(length)]
    starts = [begins(day, zone).timestamp() for day in days]
    counts = [0] * length
    for it in found:
        counts[max(bisect_right(starts, it.created) - 1, 0)] += 1
    return Month(
        first,
        tuple(zip(days, counts, strict=True)),
        _group(None, None, found),
        _groups(found, lambda it: (it.target, it.role, "")),
        _groups(found, lambda it: (it.rule, it.rule, "")),
        _groups(found, lambda it: (it.person, it.technician, it.account)),
    )


def _groups(found: Iterable[Held], by: Callable[[Held], tuple[str | None, str | None, str]]) -> tuple[Group, ...]:
    """`by`: key, name and account. The largest first; of the same size by name."""
    parts: dict[str | None, list[Held]] = defaultdict(list)
    for it in found:
        parts[by(it)[0]].append(it)
    groups = []
    for key, members in parts.items():
        _, name, account = by(max(members, key=lambda it: it.created))
        groups.append(_group(key, name, members, account))
    return tuple(sorted(groups, key=lambda it: (-it.count, it.name or "", it.key or "")))


def _group(key: str | None, name: str | None, members: Sequence[Held], account: str = "") -> Group:
    used = [it.used for it in members if it.used is not None]
    held = [it.held for it in members if it.held is not None]
    return Group(key, name, len(members), _minutes(used), _minutes(held), account)


def _minutes(seconds: Sequence[int]) -> float | None:
    return round(median(seconds) / 60, 1) if seconds else None
