"""The Request Tracker adapter where a real one is hard to bring there: races, refusals, answers not to be believed.

Everything that a real one can be brought to do is in tests/end_to_end/test_request_tracker_adapter.py.
"""

import base64
import hashlib
import hmac
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from urllib.parse import unquote_plus

import pytest
from pydantic import ValidationError

from integration.helpdesks import load
from integration.helpdesks.request_tracker import RequestTracker
from integration.helpdesks.request_tracker_settings import RequestTrackerSettings
from integration.records.deliveries import row
from integration.records.tables import deliveries as table
from integration.tickets import (
    DeliveryUnreadable,
    HelpdeskRefused,
    HelpdeskUnavailable,
    Person,
    SignatureRefused,
    Status,
    TicketEvent,
    TicketGone,
)
from tests.helpdesks.mutations import mutated
from tests.integration.helpdesks.conftest import SECRET
from workers.polls import where_to

PAGE = (Path(__file__).parents[3] / "docs" / "connect-request-tracker.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
TAKEN = {"event": "ticket.owner_changed", "ticket": "7", "transaction": "50", "actor": "technician"}
TOKEN = "1-34-00112233445566778899aabbccddeeff"


def test_a_delivery_names_the_ticket_and_the_state_that_must_be_read(rt):
    event = rt.read_delivery(*signed(TAKEN), now=NOW)

    assert event == TicketEvent("rt-50-1", "7", "ticket.owner_changed", "first", revision="50")


def test_what_our_own_account_did_is_marked(rt):
    assert rt.read_delivery(*signed({**TAKEN, "actor": "elevate-bot"}), now=NOW).idle


@pytest.mark.parametrize("wrong", [{"ticket": 7}, {"ticket": "../7"}, {"transaction": None}, {"event": ["x"]}])
def test_a_signed_call_that_names_no_ticket_is_unreadable(rt, wrong):
    with pytest.raises(DeliveryUnreadable):
        rt.read_delivery(*signed({**TAKEN, **wrong}), now=NOW)


@pytest.mark.parametrize("amount", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_no_signed_payload_is_more_than_refused(rt, amount):
    """What its extension sends, mutated and then signed: an event that can be stored, or a sentence."""
    random, seen = Random(2026), Counter()  # noqa: S311  # a seed names a payload
    templates = [json.dumps({**TAKEN, "event": event}).encode() for event in ("ticket.created", TAKEN["event"])]
    for number in range(amount):
        names, body = mutated(templates, random)
        try:
            event = rt.read_delivery(signed_bytes(body), body, now=NOW)
        except DeliveryUnreadable:
            seen["refused"] += 1
        except Exception as error:  # which payload it was is all that helps
            raise AssertionError(f"payload {number} ({names}): {body[:500]!r}") from error
        else:
            kept = row("rt", event, now=NOW)
            assert all(len(v) <= table.c[k].type.length and v.isprintable() for k, v in kept.items() if type(v) is str)
            seen["taken"] += 1
    assert min(seen["refused"], seen["taken"]) > amount / 20


def test_a_delivery_for_another_connection_is_refused(connect):
    """Trust row 5."""
    other = connect(secrets={"other": "whsec_" + base64.b64encode(b"another secret, long enough").decode()})

    with pytest.raises(SignatureRefused):
        other.read_delivery(*signed(TAKEN), now=NOW)


def test_an_owner_who_changed_between_our_two_reads_proves_no_pick(rt, helpdesk):
    """Trust row 7: the take by one must not be laid at another's door."""
    answer_ticket(helpdesk, owner_id=30, owner="technician2")
    answer_changes(helpdesk, change(50, new="28", by="technician"))

    ticket = rt.ticket("7", now=NOW)

    assert ticket.assignee == Person("technician2", "", "technician2@example.com")
    assert (ticket.assigned_by, ticket.change) == (None, None)


def test_the_newest_change_of_the_owner_counts(rt, helpdesk):
    answer_ticket(helpdesk)
    answer_changes(
        helpdesk,
        {"id": "60", "Type": "SetWatcher", "Field": "Owner", "NewValue": "28", "Creator": {"id": "root"}},
        change(59, new="28", by="technician"),
        change(40, new="28", by="root"),
    )

    ticket = rt.ticket("7", revision="59", now=NOW)

    assert (ticket.assigned_by, ticket.change) == ("technician", "59")
    assert ticket.assigned_at == datetime(2026, 11, 24, 9, 59, 50, tzinfo=UTC)


def test_a_transaction_that_is_not_committed_yet_asks_for_a_second(rt, helpdesk):
    answer_ticket(helpdesk)
    answer_changes(helpdesk, change(49, new="28", by="technician"))

    with pytest.raises(HelpdeskUnavailable) as caught:
        rt.ticket("7", revision="50", now=NOW)

    assert caught.value.after == 1


@pytest.mark.parametrize(
    ("status", "answer", "raised"),
    [
        (404, {"message": "Not Found"}, TicketGone),
        (200, {"id": 7, "EffectiveId": {"id": "7"}, "Status": "deleted"}, TicketGone),
        (200, {"id": 9, "EffectiveId": {"id": "9"}, "Status": "open"}, TicketGone),  # it was merged into 9
        (403, {"message": "Forbidden"}, HelpdeskRefused),
        (
            200,
            {"id": 7, "EffectiveId": {"id": "7"}, "Status": "open"},
            HelpdeskUnavailable,
        ),  # and is listed in a moment
    ],
)
def test_why_a_ticket_is_not_listed_is_asked_for(rt, helpdesk, status, answer, raised):
    """Nothing ends because its queue was hidden from us by mistake."""
    helpdesk.answer("/REST/2.0/tickets", 200, {"items": [], "total": 0})
    helpdesk.answer("/REST/2.0/ticket/7", status, answer)
    answer_changes(helpdesk)

    with pytest.raises(raised) as caught:
        rt.ticket("7", revision="50", now=NOW)

    assert type(caught.value) is raised


def test_a_requester_with_a_login_of_digits_is_not_mistaken_for_another_user(rt, helpdesk):
    """Trust row 9: REST2 takes such a login for an id, and answers with the user who has it."""
    answer_ticket(helpdesk, requesters=[{"type": "user", "id": "28"}, {"type": "group", "id": "55"}])
    answer_changes(helpdesk)
    helpdesk.answer("/REST/2.0/user/28", 200, {"Name": "technician", "EmailAddress": "technician@example.com"})

    assert rt.ticket("7", now=NOW).requesters == (Person("28"), Person("root", "", "root@example.com"))


@pytest.mark.parametrize("login", ["tech\u200bnician", "technician\u202e", " technician"])
def test_a_login_that_only_looks_like_anothers_is_nobody(rt, helpdesk, login):
    """Trust row 32."""
    answer_ticket(helpdesk, owner=login)
    answer_changes(helpdesk, change(50, new="28", by="technician"))

    assert rt.ticket("7", now=NOW).assignee in (None, Person(login))
    assert getattr(rt.ticket("7", now=NOW).assignee, "account", None) != "technician"


def test_a_status_of_an_unknown_lifecycle_starts_nothing(rt, helpdesk, connect):
    answer_ticket(helpdesk, status="triaged")
    answer_changes(helpdesk)

    assert rt.ticket("7", now=NOW).status is Status.ON_HOLD
    assert connect(status_map={"triaged": "open"}).ticket("7", now=NOW).status is Status.OPEN


def test_a_comment_without_the_right_to_it_is_for_an_administrator(rt, helpdesk):
    helpdesk.answer("/REST/2.0/ticket/7/comment", 400, {"message": "Permission Denied"})
    helpdesk.answer("/REST/2.0/ticket/7", 200, {"id": 7})

    with pytest.raises(HelpdeskRefused) as caught:
        rt.write_note("7", "a note")

    assert caught.value.status == 400


def listed(number, **more):
    row = {"id": number, "type": "ticket", "Subject": f"Ticket {number}", "Status": "open"}
    return {**row, "Owner": {"type": "user", "id": "technician"}, **more}


def test_the_open_tickets_of_a_technician_are_listed_and_nobody_elses(rt, helpdesk):
    other = {"type": "user", "id": "technician2"}
    rows = [listed("9"), listed("8", Owner=other), listed("7", Status="resolved"), listed("../6"), listed("5")]
    helpdesk.answer("/REST/2.0/tickets", 200, {"items": rows})

    assert [(it.number, it.subject) for it in rt.open_tickets("technician", limit=9)] == [
        ("9", "Ticket 9"),
        ("5", "Ticket 5"),
    ]
    assert "query=Owner+%3D+%27technician%27+AND+Status" in helpdesk.calls[-1][1]


@pytest.mark.parametrize("account", ["' OR id > 0 OR Owner = '", "a\\", 'a"', ""])
def test_an_account_cannot_change_the_question(rt, helpdesk, account):
    assert rt.open_tickets(account, limit=9) == ()
    assert helpdesk.calls == []


def test_a_page_with_hidden_rows_does_not_end_the_search_for_our_note(rt, helpdesk):
    helpdesk.answer("/REST/2.0/user/elevate-bot", 200, {"id": 34, "Name": "elevate-bot"})
    for contents in (["newest"], ["older"], ["01J-MARKER"], []):
        items = [{"Content": content} for content in contents]
        helpdesk.answer("/REST/2.0/ticket/7/attachments", 200, {"items": items, "total": None})

    assert rt.has_note("7", "01J-MARKER")
    assert [path.rsplit("page=", 1)[1] for _, path in helpdesk.calls if "/attachments" in path] == ["1", "2", "3"]


@pytest.mark.parametrize("answer", [[], {"items": None}, {"items": [7, {"id": "9" * 5000}]}, "x", None])
def test_an_answer_of_another_shape_is_an_error_of_ours(rt, helpdesk, answer):
    answer_ticket(helpdesk)
    helpdesk.answer("/REST/2.0/transactions", 200, answer)

    with pytest.raises((HelpdeskRefused, HelpdeskUnavailable)):
        rt.ticket("7", revision="50", now=NOW)


def test_links_are_built_from_the_settings_and_a_number(rt, helpdesk):
    """Trust row 29."""
    assert rt.ticket_url("7") == f"{helpdesk.url}/Ticket/Display.html?id=7"
    for number in ("7&x=1", "../7", "7/../8", "", "0", "٧"):
        with pytest.raises(TicketGone):
            rt.ticket_url(number)


@pytest.mark.parametrize(("ago", "minutes"), [(timedelta(0), 61), (timedelta(seconds=59), 61), (timedelta(1), 1501)])
def test_a_search_for_changes_says_how_long_ago_and_an_hour_more(rt, helpdesk, ago, minutes):
    """A date would be read in our account's time zone, which RT does not tell."""
    helpdesk.answer("/REST/2.0/tickets", 200, {"items": [], "total": None})

    assert rt.changed_since(NOW - ago, now=NOW).tickets == ()

    assert f"LastUpdated >= '{minutes} minutes ago'" in unquote_plus(helpdesk.calls[-1][1])


@pytest.mark.parametrize(
    ("here", "behind", "more"),
    [
        (99, [1], True),
        (0, [1], True),  # all of this page is hidden from us
        (0, [0, 1], True),
        (99, [0, 0], False),
        (0, [0, 0], False),
    ],
)
def test_a_page_that_rt_does_not_count_is_not_the_last_while_another_holds_something(rt, helpdesk, here, behind, more):
    """With $UseSQLForACLChecks off, RT takes out of a page that it has cut what our account may not see."""
    for count in (here, *behind):
        helpdesk.answer("/REST/2.0/tickets", 200, {"items": changed(count), "total": None})

    told = rt.changed_since(NOW - timedelta(hours=1), now=NOW)

    assert (len(told.tickets), told.more, len(helpdesk.calls)) == (here, more, 1 + len(behind))


@pytest.mark.parametrize("count", [100, 99, 0])
def test_a_page_that_rt_names_follows(rt, helpdesk, count):
    there = f"{helpdesk.url}/REST/2.0/tickets?page=2"
    helpdesk.answer("/REST/2.0/tickets", 200, {"items": changed(count), "total": None, "next_page": there})

    assert (rt.changed_since(NOW - timedelta(hours=1), now=NOW).more, len(helpdesk.calls)) == (True, 1)


EARLIER = timedelta(minutes=50)


@pytest.mark.parametrize("gap", [timedelta(0), timedelta(seconds=1)])
def test_thousands_of_changes_are_found_in_a_few_looks(rt, helpdesk, gap):
    """After a bulk update, or an outage; RT tells a busy hour before them, too."""
    listed = [NOW - EARLIER - timedelta(seconds=n) for n in range(3_000, 0, -1)]
    listed += [NOW - EARLIER + gap * n for n in range(2_900)] + [NOW] * 2_100
    lists(helpdesk, rows := {str(number): at for number, at in enumerate(listed, start=1)})

    looks, found = looked_for(rt, NOW - EARLIER)

    assert found == {number: at for number, at in rows.items() if at >= NOW - EARLIER}
    assert looks <= 15
    assert len(helpdesk.calls) <= 14 * looks


@pytest.mark.parametrize("page", [1, 9, 13, 14])
def test_a_ticket_that_changes_while_it_is_looked_for_hides_no_other(rt, helpdesk, page):
    """It goes to the end of the list, and all behind its place move to the front."""
    listed = [NOW - EARLIER + timedelta(seconds=n - 1_250) for n in range(1_700)]
    rows = {str(number): at for number, at in enumerate(listed, start=1)}
    lists(helpdesk, rows, moves={page: ["1", "2", "1201", "1301"]})

    told = rt.changed_since(NOW - EARLIER, now=NOW)

    assert {it.number for it in told.tickets} >= {str(number) for number in range(1_251, 1_700)} - {"1301"}
    assert rows["1301"] == NOW


@pytest.mark.parametrize("counts", [True, False])
def test_tickets_that_change_between_two_looks_hide_no_other(rt, helpdesk, counts):
    lists(helpdesk, rows := {str(number): NOW - EARLIER for number in range(1, 1_201)}, counts=counts)

    told, page, more = set(), 1, True
    while more:
        look = rt.changed_since(NOW - EARLIER, page=page, now=NOW)
        told, page, more = told | {it.number for it in look.tickets}, page + 1, look.more
        rows |= dict.fromkeys(sorted(rows, key=rows.get)[:90], NOW) if page < 9 else {}

    assert told == set(rows)


def test_beyond_the_last_page_nothing_is_told(rt, helpdesk):
    lists(helpdesk, {str(number): NOW for number in range(1, 251)})
    assert len(rt.changed_since(NOW, now=NOW).tickets) == 250
    assert rt.changed_since(NOW, page=2, now=NOW).tickets == ()
    lists(helpdesk, {"1": NOW})
    assert rt.changed_since(NOW, page=2, now=NOW).tickets == ()


def test_a_full_page_is_the_last_where_rt_has_counted_no_more(rt, helpdesk):
    """After it a newer RT would tell the very same page again, however often it is asked for the next one."""
    helpdesk.answer("/REST/2.0/tickets", 200, {"items": changed(100), "total": 100})

    assert (rt.changed_since(NOW, now=NOW).more, len(helpdesk.calls)) == (False, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "rt.example.org"},
        {"url": "https://me:pw@rt.example.org"},
        {"token": "two words"},
        {"secrets": {}},
        {"secrets": {"short": "whsec_AAEC"}},
        {"service_account": "4711"},
        {"requester_roles": []},
        {"tokken": "x"},
    ],
)
def test_settings_that_cannot_work_are_refused_and_not_quoted(connect, wrong):
    with pytest.raises(ValidationError) as caught:
        connect(**wrong)

    assert TOKEN not in str(caught.value)


def test_the_kind_is_found_by_its_name():
    assert load("request_tracker") is RequestTracker


@pytest.mark.parametrize("setting", sorted(RequestTrackerSettings.model_fields))
def test_every_setting_is_on_the_page_and_describes_itself(setting):
    assert f"`{setting}`" in PAGE
    assert RequestTrackerSettings.model_fields[setting].description


def signed(payload):
    body = json.dumps(payload).encode()
    return signed_bytes(body), body


def signed_bytes(body):
    time = str(int(NOW.timestamp()))
    mac = hmac.digest(bytes(range(24)), b".".join((b"rt-50-1", time.encode(), body)), hashlib.sha256)
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": "rt-50-1", "webhook-timestamp": time, "webhook-signature": signature}


def change(number, *, new, by):
    creator = {"type": "user", "id": by}
    return {
        "id": str(number),
        "Type": "Set",
        "Field": "Owner",
        "NewValue": new,
        "Creator": creator,
        "Created": "2026-11-24T09:59:50Z",
    }


def answer_changes(helpdesk, *changes):
    helpdesk.answer("/REST/2.0/transactions", 200, {"items": list(changes), "total": None})


def lists(helpdesk, rows, *, moves=None, counts=True):
    """Answer as RT does, from these tickets and their times. `moves`: which change, once, after a page was told."""
    moves = dict(moves or {})

    def answer():
        page = int(helpdesk.calls[-1][1].rsplit("page=", 1)[1])
        ordered = sorted(rows.items(), key=lambda row: (row[1], int(row[0])))[page * 100 - 100 : page * 100]
        items = [{"type": "ticket", "id": number, "LastUpdated": at.isoformat()} for number, at in ordered]
        following = {"next_page": "there"} if page * 100 < len(rows) else {}
        body = json.dumps({"items": items, "total": len(rows) if counts else None, **following}).encode()
        for number in moves.pop(page, ()):
            rows[number] = NOW
        return 200, {}, [body]

    helpdesk.instead["/REST/2.0/tickets"] = [answer]


def looked_for(rt, since):
    """How many looks it takes who polls, and what they find."""
    page, found = 1, {}
    for looks in range(1, 1_000):
        told = rt.changed_since(since, page=page, now=NOW)
        found |= {it.number: it.at for it in told.tickets}
        if not told.more:
            return looks, found
        since, page = where_to(told, since, page, now=NOW)
    raise AssertionError("it never ends")


def changed(count):
    return [{"type": "ticket", "id": str(n), "LastUpdated": "2026-11-24T09:50:00Z"} for n in range(1, count + 1)]


def answer_ticket(helpdesk, *, owner="technician", owner_id=28, status="open", requesters=()):
    ticket = {
        "id": "7",
        "Subject": "Cannot sign in",
        "Status": status,
        "Owner": {"type": "user", "id": owner_id, "Name": owner, "EmailAddress": f"{owner}@example.com"},
        "Creator": {"type": "user", "id": 14, "Name": "root", "EmailAddress": "root@example.com"},
        "Requestor": list(requesters),
        "Queue": {"id": "3", "Name": "Help desk"},
        "CustomFields": [],
    }
    helpdesk.answer("/REST/2.0/tickets", 200, {"items": [ticket], "total": 1})


@pytest.fixture
def connect(helpdesk):
    """Connects to the small helpdesk, with some settings changed."""

    def with_changes(**changes):
        usual = {
            "url": helpdesk.url,
            "token": TOKEN,
            "service_account": "elevate-bot",
            "secrets": {"first": SECRET},
        }
        return RequestTracker("rt", RequestTrackerSettings.model_validate(usual | changes))

    return with_changes


@pytest.fixture
def rt(connect):
    return connect()
