"""The Zammad adapter where Zammad is special: its signature, its history, its roles. The rest is in tests/helpdesks."""

import hashlib
import hmac
import json
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pydantic import ValidationError

from integration.helpdesks import connect as connected
from integration.helpdesks.zammad import LONGEST_NOTE, Zammad
from integration.helpdesks.zammad_settings import ZammadSettings
from integration.tickets import DeliveryUnreadable, SignatureRefused, Status, TicketGone
from tests.conftest import practice_runs
from tests.end_to_end.receiver import Receiver
from tests.helpdesks.doubles import Double
from tests.integration.helpdesks.conftest import TOKEN, SmallHelpdesk

PAGE = (Path(__file__).parents[3] / "docs" / "connect-zammad.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SECRET = "a-signature-token-of-32-letters!"
OURS, TECHNICIAN, CUSTOMER = 7, 5, 8
OWNER_SET = {
    "id": 900,
    "o_id": 81,
    "created_by_id": TECHNICIAN,
    "created_at": "2026-11-24T09:59:58.120Z",
    "sourceable_type": None,
    "sourceable_id": None,
    "sourceable_name": None,
    "object": "Ticket",
    "type": "updated",
    "attribute": "owner",
    "id_from": 1,
    "id_to": TECHNICIAN,
    "value_from": "-",
    "value_to": "Emma Taylor",
}
TICKET = {
    "id": 81,
    "number": "10081",
    "title": "Cannot sign in",
    "group": "Service Desk",
    "state": "open",
    "type": "Password reset",
    "owner_id": TECHNICIAN,
    "customer_id": CUSTOMER,
    "created_by_id": CUSTOMER,
}
EMMA = {"id": TECHNICIAN, "firstname": "Emma", "lastname": "Taylor", "email": "emma@example.com"}
EMMA |= {"active": True, "role_ids": [2]}
EMILY = {"id": CUSTOMER, "firstname": "Emily", "lastname": "Adams", "email": "emily@example.com", "role_ids": [3]}
NOTE = {"id": 300, "created_by_id": OURS, "created_at": "2026-11-24T09:00:00.000Z"}

Told = Callable[..., None]


# Deliveries


def test_a_signature_is_what_openssl_makes_of_the_raw_body(zammad):
    """`printf %s "$body" | openssl dgst -sha1 -hmac "$token"`."""
    body = b'{"ticket":{"id":81,"number":"10081","owner_id":5,"updated_at":"2020-11-13T14:34:35.333Z"},"article":{}}'
    headers = {"x-hub-signature": "sha1=7c031a69e09a174fd4fc9330e2c46afb8925e913"}

    assert zammad.read_delivery(headers, body, now=NOW).ticket == "81"

    with pytest.raises(SignatureRefused):
        zammad.read_delivery(headers, body + b" ", now=NOW)


@pytest.mark.parametrize("given", ["", "sha1=", "sha256={0}", "{0}", "sha1={0}, sha1={0}", "SHA1={0}", "sha1=\u00e9"])
def test_a_signature_of_another_shape_is_refused(zammad, given):
    headers, body = signed({"ticket": {"id": 81, "updated_at": "2026-11-24T09:59:58Z"}})
    right = headers["x-hub-signature"].removeprefix("sha1=")

    with pytest.raises(SignatureRefused):
        zammad.read_delivery({**headers, "x-hub-signature": given.format(right)}, body, now=NOW)


@pytest.mark.parametrize("apart", [timedelta(days=-3), timedelta(days=3)])
def test_no_clock_decides_about_a_delivery(zammad, apart):
    """Nothing that is signed says when it was sent: a timed trigger tells of a ticket that changed days ago."""
    headers, body = signed({"ticket": {"id": 81, "updated_at": "2026-11-24T09:59:58Z"}})

    assert zammad.read_delivery(headers, body, now=NOW + apart).ticket == "81"


def test_an_old_call_under_a_new_job_id_is_the_same_delivery(zammad):
    headers, body = signed({"ticket": {"id": 81, "updated_at": "2026-11-24T09:59:58Z"}})
    replayed = {**headers, "x-zammad-delivery": "another"}

    first, second = (zammad.read_delivery(it, body, now=NOW).delivery_id for it in (headers, replayed))
    assert first == second


def test_without_a_time_of_change_the_job_id_tells_two_calls_apart(zammad):
    headers, body = signed({"ticket": {"id": 81}})
    other = {**headers, "x-zammad-delivery": "another"}

    assert len({zammad.read_delivery(it, body, now=NOW).delivery_id for it in (headers, other)}) == 2
    with pytest.raises(DeliveryUnreadable):
        zammad.read_delivery({"x-hub-signature": headers["x-hub-signature"]}, body, now=NOW)


@pytest.mark.parametrize(
    ("article", "changed", "idle"),
    [
        (NOTE, "2026-11-24T09:00:00.040Z", True),
        ({**NOTE, "created_by_id": TECHNICIAN}, "2026-11-24T09:00:00.040Z", False),
        # A timed trigger closed the ticket, and carries the newest article along: an old one of ours.
        (NOTE, "2026-11-24T09:10:00.000Z", False),
        # We changed the ticket last when the call was sent, but it may be about the pick before that.
        ({}, "2026-11-24T09:00:00.040Z", False),
        (NOTE, None, False),
    ],
)
def test_only_our_own_note_of_just_now_is_idle(zammad, article, changed, idle):
    told = {"id": 81, "updated_at": changed, "updated_by_id": OURS}

    assert zammad.read_delivery(*signed({"ticket": told, "article": article}), now=NOW).idle is idle


# Who picked it


def test_the_newest_change_of_the_owner_names_the_pick(zammad, told):
    told(history=[{**OWNER_SET, "id": 100, "created_by_id": CUSTOMER}, OWNER_SET, state_changed_by(CUSTOMER)])

    ticket = zammad.ticket("81", now=NOW)

    assert (ticket.assigned_by, ticket.change) == ("5", "900")
    assert ticket.assigned_at == datetime(2026, 11, 24, 9, 59, 58, 120000, tzinfo=UTC)
    assert ticket.fields["number"] == "10081"


@pytest.mark.parametrize(
    "change",
    [
        {"sourceable_type": "Trigger", "sourceable_id": 7},
        {"sourceable_type": "Job", "sourceable_id": 1},
        {"sourceable_type": "AIAgent"},
        {"sourceable_id": 7},
        {"created_by_id": 1},
        {"created_by_id": None},
        {"created_by_id": {"id": 5}},
    ],
)
def test_what_a_trigger_or_the_system_assigned_is_nobodys_pick(zammad, told, change):
    told(history=[{**OWNER_SET, **change}])

    assert zammad.ticket("81", now=NOW).assigned_by is None


def test_a_history_that_knows_no_triggers_proves_no_pick(zammad, told):
    """Older Zammads write a trigger's change down as the work of whoever set it off."""
    told(history=[{name: value for name, value in OWNER_SET.items() if not name.startswith("sourceable")}])

    ticket = zammad.ticket("81", now=NOW)
    assert (ticket.assigned_by, ticket.change) == (None, "900")
    assert [it.fix for it in zammad.check() if not it.ok]


def test_where_opening_a_ticket_assigns_it_nobody_picks(connect, told):
    told()

    assert connect(automatic_assignment=True).ticket("81", now=NOW).assigned_by is None


@pytest.mark.parametrize(
    "history",
    [
        [],  # created with an owner, or imported
        [{**OWNER_SET, "id_to": 6}],  # somebody else's by now, between our two reads
        [{**OWNER_SET, "object": "Ticket::Article"}],
        [{**OWNER_SET, "id_to": [5]}],
    ],
)
def test_an_owner_that_no_change_explains_was_not_picked(zammad, told, history):
    told(history=history)

    ticket = zammad.ticket("81", now=NOW)
    assert ticket.assignee is not None
    assert (ticket.assigned_by, ticket.assigned_at, ticket.change) == (None, None, None)


# People, states


@pytest.mark.parametrize(
    "change",
    [{"active": False}, {"role_ids": [3]}, {"role_ids": None}, {"id": 6}, {"email": ""}, {"active": "true"}],
)
def test_an_owner_who_is_no_active_agent_has_no_address(zammad, told, change):
    told(people=[{**EMMA, **change}, EMILY], under=[TECHNICIAN, CUSTOMER])

    assignee = zammad.ticket("81", now=NOW).assignee
    assert assignee is not None
    assert (assignee.account, assignee.address) == ("5", None)


def test_a_role_of_ones_own_makes_an_agent_where_the_settings_say_so(connect, told):
    told(people=[{**EMMA, "role_ids": [9]}, EMILY])

    assert connect(agent_roles=["2", "9"]).ticket("81", now=NOW).assignee.address == "emma@example.com"


def test_an_agent_who_wrote_the_ticket_for_somebody_is_a_requester(connect, told):
    told(ticket={"created_by_id": TECHNICIAN})

    assert [it.account for it in connect().ticket("81", now=NOW).requesters] == ["8", "5"]
    alone = connect(requester_roles=["customer"]).ticket("81", now=NOW)
    assert [it.address for it in alone.requesters] == ["emily@example.com"]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("wartet auf Ersatzteil", Status.ON_HOLD),
        ("In Arbeit", Status.OPEN),
        (None, Status.ON_HOLD),
        ([1], Status.ON_HOLD),
    ],
)
def test_a_state_of_ones_own_starts_nothing_until_it_is_listed(connect, told, state, status):
    told(ticket={"state": state})

    assert connect(status_map={"In Arbeit": "open"}).ticket("81", now=NOW).status is status


@pytest.mark.parametrize("state", ["merged", "removed"])
def test_a_merged_ticket_is_gone(zammad, told, state):
    told(ticket={"state": state})

    with pytest.raises(TicketGone):
        zammad.ticket("81", now=NOW)


# Notes


def test_mark_up_and_templates_stay_words(double):
    """Held against the double, which takes what is written as HTML apart as Zammad does."""
    desk, number = connected("desk", double.settings), double.new_ticket()
    text = "<b>bold</b> <img src=x onerror=alert(1)> #{ticket.title} &amp; [te:1:ACTIVE]"

    desk.write_note(number, text + "\0")

    (note,) = double.comments(number)
    assert (note.text, note.internal) == (text, True)


def test_a_note_keeps_zammads_limit(double):
    desk, number = connected("desk", double.settings), double.new_ticket()

    desk.write_note(number, "x" * 1_600_000)

    assert len(double.comments(number)[0].text) == LONGEST_NOTE


def test_only_our_articles_are_read_for_a_marker_and_a_deleted_one_is_passed_over(zammad, told, helpdesk):
    articles = [article_written(300, OURS), article_written(301, OURS), article_written(302, TECHNICIAN)]
    told(history=articles)
    mine = {"id": 300, "ticket_id": 81, "created_by_id": OURS, "body": "Active. [te:1:ACTIVE]"}
    helpdesk.answer("/api/v1/ticket_articles/301", 404, {"error": "Couldn't find Ticket::Article"})
    helpdesk.answer("/api/v1/ticket_articles/300", 200, mine)
    helpdesk.calls.clear()

    assert zammad.has_note("81", "[te:1:ACTIVE]")

    read = [path.rpartition("/")[2] for _, path in helpdesk.calls if "ticket_articles" in path]
    assert read == ["301", "300"]


@pytest.mark.parametrize("moved", [{"ticket_id": 82}, {"created_by_id": TECHNICIAN}, {"body": None}])
def test_an_article_that_is_not_ours_on_this_ticket_holds_no_marker(zammad, told, helpdesk, moved):
    told(history=[article_written(300, OURS)])
    mine = {"id": 300, "ticket_id": 81, "created_by_id": OURS, "body": "[te:1:ACTIVE]"}
    helpdesk.answer("/api/v1/ticket_articles/300", 200, {**mine, **moved})

    assert not zammad.has_note("81", "[te:1:ACTIVE]")


# Settings


def test_the_table_in_the_docs_is_taken(settings):
    table = tomllib.loads(PAGE.split("```toml\n")[1].split("```")[0])["helpdesks"]["zammad"]
    assert (table.pop("kind"), table.pop("token_file")[0], table.pop("secrets").keys()) == ("zammad", "/", {"current"})

    ZammadSettings(**{**table, "token": TOKEN, "secrets": settings["secrets"]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://user@zammad.example.org"},
        {"url": "zammad.example.org"},
        {"secrets": {}},
        {"secrets": {"first": "short"}},
        {"service_account": "elevate@example.org"},
        {"token": "two words"},
        {"category_field": "type/../x"},
        {"agent_roles": []},
    ],
)
def test_settings_that_cannot_be_right_are_refused_without_a_secret(settings, wrong):
    with pytest.raises(ValidationError) as refused:
        ZammadSettings(**{**settings, **wrong})

    assert SECRET not in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_an_administrator_must_say_whether_opening_assigns(settings):
    del settings["automatic_assignment"]

    with pytest.raises(ValidationError, match="automatic_assignment"):
        ZammadSettings(**settings)


def signed(payload: object) -> tuple[dict[str, str], bytes]:
    body = json.dumps(payload).encode()
    mac = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    return {"x-hub-signature": f"sha1={mac}", "x-zammad-delivery": "7a6a0d1d", "x-zammad-trigger": "Elevate"}, body


def state_changed_by(account: int) -> dict[str, Any]:
    return {**OWNER_SET, "id": 901, "attribute": "state", "created_by_id": account, "id_from": 1, "id_to": 2}


def article_written(article: int, account: int) -> dict[str, Any]:
    written = {"id": article + 1000, "o_id": article, "related_o_id": 81, "related_object": "Ticket"}
    return {**written, "object": "Ticket::Article", "type": "created", "created_by_id": account}


# Changes


def test_a_search_for_changes_names_the_millisecond_in_utc(zammad, helpdesk):
    since = datetime(2026, 11, 24, 11, 30, 0, 123999, tzinfo=timezone(timedelta(hours=2)))
    helpdesk.answer("/api/v1/tickets/search", 200, [])

    assert zammad.changed_since(since, page=3, now=NOW).tickets == ()

    end = f"{NOW + timedelta(days=1):%Y-%m-%dT%H:%M:%S}.000Z"
    (_, path), asked = helpdesk.calls[-1], f'updated_at:["2026-11-24T09:30:00.123Z" TO "{end}"]'
    assert dict(parse_qsl(path.partition("?")[2])) == {
        "query": asked, "sort_by": "updated_at", "order_by": "asc", "limit": "200", "page": "3", "expand": "true",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "beyond", "more", "calls"), [(200, 0, True, 1), (199, 1, True, 2), (199, 0, False, 2), (99, 1, False, 1)]
)
def test_an_answer_that_is_full_or_was_may_not_be_all(zammad, helpdesk, found, beyond, more, calls):
    """Zammad takes tickets that are gone, and that its search still knows, out of a page that it has cut."""
    rows = [{"id": number, "updated_at": "2026-11-24T09:50:00.000Z"} for number in range(1, found + beyond + 1)]
    helpdesk.answer("/api/v1/tickets/search", 200, rows[:found])
    helpdesk.answer("/api/v1/tickets/search", 200, rows[found:])

    told = zammad.changed_since(NOW - timedelta(hours=1), now=NOW)

    assert (len(told.tickets), told.more, len(helpdesk.calls)) == (found, more, calls)


@pytest.fixture
def settings(helpdesk: SmallHelpdesk) -> dict[str, Any]:
    return {
        "url": helpdesk.url,
        "token": TOKEN,
        "service_account": str(OURS),
        "secrets": {"first": SECRET},
        "automatic_assignment": False,
    }


@pytest.fixture
def connect(settings: dict[str, Any]) -> Callable[..., Zammad]:
    return lambda **changes: Zammad("desk", ZammadSettings(**{**settings, **changes}))


@pytest.fixture
def zammad(connect: Callable[..., Zammad]) -> Zammad:
    return connect()


@pytest.fixture
def told(helpdesk: SmallHelpdesk) -> Told:
    """What the small helpdesk answers about ticket 81."""

    def tell(
        *,
        ticket: dict[str, Any] | None = None,
        history: list[Any] | None = None,
        people: list[dict[str, Any]] | None = None,
        under: list[int] | None = None,
    ) -> None:
        people = [EMMA, EMILY] if people is None else people
        users = {str(key): one for key, one in zip(under or [one["id"] for one in people], people, strict=True)}
        changes = [OWNER_SET] if history is None else history
        helpdesk.answer("/api/v1/tickets/81", 200, {**TICKET, **(ticket or {})})
        helpdesk.answer("/api/v1/ticket_history/81", 200, {"history": changes, "assets": {"User": users}})
        helpdesk.answer("/api/v1/tickets", 200, [{"id": 81}])
        helpdesk.answer("/api/v1/users/me", 200, {"id": OURS})

    return tell


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    receiver = Receiver()
    with practice_runs(tmp_path_factory.mktemp("zammad"), "--helpdesk", "zammad") as practice:
        yield Double(practice, receiver)
    receiver.stop()
