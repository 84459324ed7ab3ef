"""Lists of changes that are not to be believed, whoever tells them: what can be read counts, and nothing else does."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from integration.helpdesks import connect
from integration.tickets import HelpdeskError, TellsChanges
from tests.integration.helpdesks.conftest import TOKEN, SmallHelpdesk

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=30)
Row = dict[str, Any]
OURS = {
    "service_account": "7",
    "category_field": "kind_of_work",
    "secrets": {"first": "a-secret-of-the-test-0123456789-0123456789"},
}


@dataclass(frozen=True)
class Vendor:
    settings: dict[str, Any]
    path: str
    row: Callable[[Any, Any], Row]  # of a number and a time, as the vendor would write them
    answer: Callable[[list[Any]], Any]
    shown: str = "{}"


VENDORS = {
    "zendesk": Vendor(
        {"client_id": "elevate", "client_secret": "s3cret", **OURS, "category_field": "9001"},
        "/api/v2/search",
        lambda number, at: {"id": number, "updated_at": at, "result_type": "ticket"},
        lambda rows: {"results": rows, "count": len(rows), "next_page": None},
    ),
    "zammad": Vendor(
        {"token": TOKEN, "automatic_assignment": False, **OURS},
        "/api/v1/tickets/search",
        lambda number, at: {"id": number, "updated_at": at},
        lambda rows: rows,
    ),
    "jira": Vendor(
        {"token": TOKEN, "service_account": "712020:ours", "secrets": OURS["secrets"]},
        "/rest/api/3/search/jql",
        lambda number, at: {
            "key": number if not isinstance(number, int) or number < 1 else f"IT-{number}",
            "fields": {"updated": str(at).replace("Z", ".000+0000") if isinstance(at, str) else at},
        },
        lambda rows: {"issues": rows, "isLast": True},
        "IT-{}",
    ),
    "servicenow": Vendor(
        {
            "login": "elevate",
            "password": TOKEN,
            "service_account": "0123456789abcdef0123456789abcdef",
            "secrets": {"first": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"},
        },
        "/api/now/table/incident",
        lambda number, at: {
            "number": f"INC{number:07}" if type(number) is int and number > 0 else number,
            "sys_updated_on": at.replace("T", " ").replace("Z", "") if isinstance(at, str) and "Z" in at else at,
        },
        lambda rows: {"result": rows},
        "INC000{}",
    ),
    "freshservice": Vendor(
        {"api_key": TOKEN, "service_account": "7", "secrets": OURS["secrets"]},
        "/api/v2/tickets",
        lambda number, at: {"id": number, "updated_at": at},
        lambda rows: {"tickets": rows},
    ),
    "teamdynamix": Vendor(
        {
            "app_id": "42",
            "signature": "hex",
            "username": "elevate",
            "password": TOKEN,
            "service_account": "01234567-89ab-cdef-0123-456789abcdef",
            "category_field": "TypeName",
            "secrets": OURS["secrets"],
        },
        "/TDWebApi/api/42/tickets/search",
        lambda number, at: {"ID": number, "ModifiedDate": at},
        lambda rows: rows,
    ),
    "generic": Vendor(
        {
            "token": TOKEN,
            "service_account": "77",
            "secrets": {"first": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"},
            "changes_url": "/api/tickets?since={since}",
            "ticket_number_pattern": "[1-9][0-9]{0,9}",
        },
        "/api/tickets",
        lambda number, at: {"id": number, "updated_at": at},
        lambda rows: {"tickets": rows},
    ),
    "request_tracker": Vendor(
        {
            "token": "1-34-00112233445566778899aabbccddeeff",
            "service_account": "elevate-bot",
            "secrets": {"first": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"},
        },
        "/REST/2.0/tickets",
        lambda number, at: {"type": "ticket", "id": number if number is None else str(number), "LastUpdated": at},
        lambda rows: {"items": rows, "total": None},
    ),
}


@pytest.fixture(params=sorted(VENDORS))
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return VENDORS[request.param]


@pytest.fixture
def desk(vendor: Vendor, helpdesk: SmallHelpdesk) -> TellsChanges:
    kind = next(kind for kind, it in VENDORS.items() if it is vendor)
    helpdesk.answer("/oauth/tokens", 200, {"access_token": "t0ken", "token_type": "bearer", "expires_in": 1800})
    helpdesk.answer("/TDWebApi/api/auth", 200, b"eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl")
    desk = connect("desk", {"kind": kind, "url": helpdesk.url, **vendor.settings})
    assert isinstance(desk, TellsChanges)
    return desk


def told(desk: TellsChanges) -> list[tuple[str, datetime]]:
    return [(it.number, it.at) for it in desk.changed_since(SINCE, now=NOW).tickets]


def test_what_cannot_be_read_is_left_out_and_hides_nothing(
    vendor: Vendor, desk: TellsChanges, helpdesk: SmallHelpdesk
) -> None:
    good = vendor.row(4821, "2026-11-24T09:50:00Z")
    numbers = [None, "", "../1", "1?x", -1, 0, 1.5, True, "9" * 65, [1], {"id": 1}, "1\u202e"]
    times = [None, "", "yesterday", "2026-11-24T09:50:00", True, [1], {"at": 1}, "0001-01-01T00:00:00+14:00"]
    rows: list[Any] = [vendor.row(number, "2026-11-24T09:50:00Z") for number in numbers]
    rows += [vendor.row(5000, at) for at in times]
    helpdesk.answer(vendor.path, 200, vendor.answer([None, 7, "x", [], {}, *rows, good]))
    assert told(desk) == [(vendor.shown.format(4821), datetime(2026, 11, 24, 9, 50, tzinfo=UTC))]


def test_nobody_goes_on_from_a_time_that_is_yet_to_come(
    vendor: Vendor, desk: TellsChanges, helpdesk: SmallHelpdesk
) -> None:
    """A clock may be ahead; a year may not."""
    rows = [vendor.row(4821, "9999-12-31T23:59:59Z"), vendor.row(4822, "2026-11-24T10:20:00Z")]
    helpdesk.answer(vendor.path, 200, vendor.answer(rows))
    assert [number for number, _ in told(desk)] == [vendor.shown.format(4822)]


def test_changes_are_put_in_order_and_what_is_older_is_dropped(
    vendor: Vendor, desk: TellsChanges, helpdesk: SmallHelpdesk
) -> None:
    at = {4821: "09:50:00", 4822: "09:29:59", 4823: "09:30:00", 4824: "09:40:00"}
    rows = [vendor.row(number, f"2026-11-24T{time}Z") for number, time in at.items()]
    helpdesk.answer(vendor.path, 200, vendor.answer([*rows, rows[0]]))
    assert [number for number, _ in told(desk)] == [vendor.shown.format(it) for it in (4823, 4824, 4821)]


@hypothesis_settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_answer_makes_more_than_one_of_our_errors(
    vendor: Vendor, desk: TellsChanges, helpdesk: SmallHelpdesk, data: st.DataObject
) -> None:
    anything = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9),
        st.sampled_from([10**30, 1e300, "\ud800", "2026-11-24T09:50:00Z"]), st.lists(st.integers(), max_size=2),
    )  # fmt: skip
    rows = [vendor.row(data.draw(anything), data.draw(anything)) for _ in range(3)]
    rows = [{name: data.draw(st.one_of(st.just(value), anything)) for name, value in row.items()} for row in rows]
    whole = data.draw(st.one_of(st.just(vendor.answer(rows)), st.just(vendor.answer([])), anything))
    helpdesk.instead.pop(vendor.path, None)
    helpdesk.answer(vendor.path, 200, whole)
    try:
        found = desk.changed_since(SINCE, now=NOW)
    except HelpdeskError:
        return
    for line in found.tickets:
        assert line.number.isalnum() or "-" in line.number
        assert SINCE <= line.at <= NOW + timedelta(days=1)
