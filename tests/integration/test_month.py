"""A month counted: every elevation on its day at the desk, in its groups, and the time it was used and held."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.month import Group, Held, begins, last_month, month, next_month

BERLIN = ZoneInfo("Europe/Berlin")
OCTOBER = date(2026, 10, 1)
NAMES = st.sampled_from([None, "One", "Two", "Three"])
SECONDS = st.none() | st.integers(0, 8 * 3600)
WITHIN = st.integers(int(begins(OCTOBER, BERLIN).timestamp()), int(begins(date(2026, 11, 1), BERLIN).timestamp()) - 1)
WHO = st.just("technician")
HELD = st.lists(st.builds(Held, WITHIN, NAMES, NAMES, WHO, NAMES, NAMES, NAMES, SECONDS, SECONDS), max_size=40)


@given(HELD)
def test_each_elevation_is_counted_once_by_day_and_in_each_parting(found: list[Held]) -> None:
    it = month(OCTOBER, found, BERLIN)
    assert len(it.days) == 31
    assert sum(count for _, count in it.days) == it.total.count == len(found)
    for groups in (it.roles, it.rules, it.technicians):
        assert sum(group.count for group in groups) == len(found)
        assert [group.count for group in groups] == sorted((group.count for group in groups), reverse=True)
        assert len({group.key for group in groups}) == len(groups)


@given(HELD)
def test_a_day_is_the_desks_also_when_clocks_change(found: list[Held]) -> None:
    """The 25 October 2026 has 25 hours in Berlin."""
    expected = dict.fromkeys((OCTOBER + timedelta(days=n) for n in range(31)), 0)
    for it in found:
        expected[datetime.fromtimestamp(it.created, BERLIN).date()] += 1
    assert dict(month(OCTOBER, found, BERLIN).days) == expected


def test_medians_are_of_those_that_have_ended() -> None:
    at = int(begins(OCTOBER, BERLIN).timestamp())
    times = ((60, 300), (120, 300), (None, None), (600, 930))
    found = [Held(at, "t/1", "One", "one", "reader@/", "Reader", "r", used, held) for used, held in times]
    it = month(OCTOBER, found, BERLIN)
    assert it.total == Group(None, None, 4, 2.0, 5.0)
    assert it.roles == (Group("reader@/", "Reader", 4, 2.0, 5.0),)
    assert it.technicians == (Group("t/1", "One", 4, 2.0, 5.0, "one"),)
    assert month(OCTOBER, found[2:3], BERLIN).total == Group(None, None, 1, None, None)


def test_what_is_called_the_same_is_not_one_and_what_is_called_anew_stays_one() -> None:
    at = int(begins(OCTOBER, BERLIN).timestamp())
    found = [
        Held(at + 2, "t/1", "Anna Weber", "anna", "reader@/", "Reader", "r", 60, 60),
        Held(at, "t/1", "Anna Schmidt", "anna", "reader@/unit", "Reader", "r", 60, 60),
        Held(at + 1, "t/2", "Anna Weber", "weber", "reader@/", "Reader", "r", 60, 60),
    ]
    it = month(OCTOBER, found, BERLIN)
    assert [(group.key, group.name, group.account, group.count) for group in it.technicians] == [
        ("t/1", "Anna Weber", "anna", 2),
        ("t/2", "Anna Weber", "weber", 1),
    ]
    assert [(group.key, group.count) for group in it.roles] == [("reader@/", 2), ("reader@/unit", 1)]


@pytest.mark.parametrize(
    ("first", "before", "after"),
    [
        (date(2026, 1, 1), date(2025, 12, 1), date(2026, 2, 1)),
        (date(2026, 12, 1), date(2026, 11, 1), date(2027, 1, 1)),
        (date(2028, 2, 1), date(2028, 1, 1), date(2028, 3, 1)),
    ],
)
def test_months_follow_one_another(first: date, before: date, after: date) -> None:
    assert (last_month(first), next_month(first)) == (before, after)
    assert len(month(first, [], ZoneInfo("UTC")).days) == (after - first).days


def test_a_day_begins_by_the_desks_clock() -> None:
    assert begins(date(2026, 7, 1), BERLIN) == datetime(2026, 6, 30, 22, tzinfo=UTC)
