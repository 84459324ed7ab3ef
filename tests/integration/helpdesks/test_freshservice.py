"""What is special to Freshservice: a knock that nothing signs, a history in prose, and notes in HTML."""

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest
from pydantic import ValidationError

from integration.helpdesks import connect as connect_table
from integration.helpdesks.freshservice import Freshservice
from integration.helpdesks.freshservice_settings import FreshserviceSettings
from integration.helpdesks.http import AnswerUnusable
from integration.tickets import DeliveryUnreadable, Person, SignatureRefused, Status, TicketGone
from tests.conftest import practice_runs
from tests.end_to_end.receiver import Receiver
from tests.helpdesks.doubles import Double
from workers.polls import where_to

NOW = datetime(2026, 11, 24, 10, 0, 1, tzinfo=UTC)
SECRET = "0123456789abcdef0123456789abcdef"
HEADERS = {"x-ticket-elevate-secret": SECRET}
PAGE = (Path(__file__).parents[3] / "docs" / "connect-freshservice.md").read_text(encoding="utf-8")
PICKED_AT = "2026-11-24T09:59:58Z"
MARKER = "[te:01HZY3:ACTIVE]"
TECHNICIAN = {"id": 11, "name": "Technician One"}
SYSTEM = {"id": 10, "name": "System"}
TICKET = {
    "id": 4821,
    "subject": "Cannot sign in",
    "category": "Password reset",
    "custom_fields": {"kind_of_work": "mfa"},
    "status": 2,
    "responder_id": 11,
    "requester_id": 12,
    "requested_for_id": 12,
    "requester": {"id": 12, "name": "Requester", "email": "requester@example.com"},
    "deleted": False,
}
AGENT = {"id": 11, "first_name": "Technician", "last_name": "One", "email": "one@example.com", "active": True}


def activity(content, actor=TECHNICIAN, at=PICKED_AT, **more):
    return {"actor": actor, "content": content, "created_at": at, **more}


def received(payload, *, headers=HEADERS, now=NOW, **changes):
    settings = {"url": "https://example.freshservice.com", "api_key": "k", "service_account": "77"}
    adapter = Freshservice("desk", FreshserviceSettings(**settings, secrets={"first": SECRET}, **changes))
    return adapter.read_delivery(headers, json.dumps(payload).encode(), now=now)


# Deliveries


@pytest.mark.parametrize("told", [4821, "4821", "INC-4821", "SR-4821", "#INC-4821"])
@pytest.mark.parametrize("shape", [lambda it: it, lambda it: {"freshservice_webhook": it}], ids=["advanced", "simple"])
def test_a_ticket_is_named_by_its_bare_number_however_the_workflow_writes_it(told, shape):
    assert received(shape({"ticket_id": told, "event": "agent_changed"})).ticket == "4821"


@pytest.mark.parametrize(
    "told", ["{{ticket.id}}", "INC-", "INC-4821/x", "INC-4821\n", "0", -1, 1.5, True, None, "\u0661"]
)
def test_a_call_that_names_no_ticket_is_told_what_to_send(told):
    with pytest.raises(DeliveryUnreadable, match=r"ticket\.id_numeric"):
        received({"ticket_id": told})


def test_the_secret_is_never_taken_from_another_header_or_in_part():
    for headers in (
        {"authorization": SECRET},
        {"x-ticket-elevate-secret": SECRET[:-1]},
        {"x-ticket-elevate-secret": ""},
    ):
        with pytest.raises(SignatureRefused):
            received({"ticket_id": 4821}, headers=headers)


def test_the_same_words_once_more_are_another_delivery():
    """Nothing in a call tells two changes apart: a ticket given away and taken back says the same thing twice."""
    pick = {"ticket_id": "INC-4821", "event": "agent_changed"}
    assert received(pick).delivery_id != received(pick).delivery_id


def test_what_a_workflow_says_about_a_note_or_about_us_is_idle():
    told = [{"event": "note_added"}, {"event": "agent_changed", "actor_id": 77}, {"event": "agent_changed"}, {}]
    assert [received({"ticket_id": 1, **it}).idle for it in told] == [True, True, False, False]


# Who picked the ticket


@pytest.mark.parametrize(
    "content",
    [
        "set Agent as Technician One",
        " set Agent as Technician One",
        "set Status as Open, set Group as Field, North and South and set Agent as Technician One",
        "set Agent as Technician One and set Status as Pending response",
    ],
)
def test_these_words_are_a_pick(fresh, content):
    ticket = fresh([activity(content)]).ticket("4821", now=NOW)
    assert (ticket.assigned_by, ticket.assigned_at) == ("11", datetime(2026, 11, 24, 9, 59, 58, tzinfo=UTC))


@pytest.mark.parametrize(
    "told",
    [
        activity("set Notes as done, set Agent as Technician One"),
        activity("set Agent as Technician One, set Notes as done"),
        activity("created ticket for Eve, set Agent as Technician One"),
        activity("changed Agent from Technician Two to Technician One"),
        activity("set Agent as Technician One, set Agent as Technician Two"),
        activity("set Agent as Technician"),
        activity("hat den Bearbeiter gewechselt"),
        activity("executed Sort workflow", sub_contents=["set Agent as Technician One"]),
        activity("set Agent as Technician One", sub_contents=["removed Agent"]),
        activity("set Agent as Technician One", SYSTEM),
        activity("set Agent as Technician One", {"id": 11, "name": "System"}),
        activity("set Agent as Technician One", {"id": "11 ", "name": "Technician One"}),
        activity("set Agent as Technician One", None),
        activity("set Agent as Technician One", at=None),
        activity("set Agent as Technician One", at="2026-11-24T09:59:58"),
        activity(["set Agent as Technician One"]),
        {},
    ],
)
def test_what_is_not_certain_is_nobodys_pick_and_still_offered(fresh, told):
    """Without `change` the ticket would not even get the link."""
    adapter = fresh([activity("added a private note"), told])
    ticket, again = adapter.ticket("4821", now=NOW), adapter.ticket("4821", now=NOW)
    assert ticket.assigned_by is None
    assert ticket.change
    assert ticket.change == again.change


@pytest.mark.parametrize("turn", [1, -1])
def test_the_newest_word_counts_in_whatever_order_they_come(fresh, turn):
    story = [
        activity("set Agent as Technician One", at="2026-11-24T09:00:00Z"),
        activity("set Agent as Technician Two", at="2026-11-24T09:00:01Z"),
        activity("set Agent as Technician One", {"id": 13, "name": "Lead"}, at="2026-11-24T09:00:02Z"),
        activity("executed Greet workflow from Ticket is assigned event", SYSTEM, at="2026-11-24T09:00:03Z"),
    ]
    assert fresh(story[::turn]).ticket("4821", now=NOW).assigned_by == "13"
    assert fresh(story[:1]).ticket("4821", now=NOW).assigned_by == "11"


def test_two_hands_within_one_second_are_nobodys(fresh):
    lead = activity("set Agent as Technician One", {"id": 13, "name": "Lead"})
    ticket = fresh([lead, activity("set Agent as None", TECHNICIAN), activity("set Agent as Technician One")])
    assert ticket.ticket("4821", now=NOW).assigned_by is None


def test_a_pick_that_was_undone_within_a_second_has_another_name(fresh):
    pick, away = activity("set Agent as Technician One"), activity("set Agent as Technician Two")
    once, twice = fresh([pick]).ticket("4821", now=NOW), fresh([pick, away, pick]).ticket("4821", now=NOW)
    assert (once.assigned_by, twice.assigned_by) == ("11", "11")
    assert once.change != twice.change


# People


@pytest.mark.parametrize(
    "change", [{"active": False}, {"active": None}, {"active": "true"}, {"email": None}, {"email": 7}]
)
def test_an_agent_who_may_not_work_has_no_address(fresh, change):
    assignee = fresh(agent={**AGENT, **change}).ticket("4821", now=NOW).assignee
    assert assignee is not None
    assert assignee.account == "11"
    assert not assignee.address or "@" not in assignee.address


def test_an_agent_who_is_gone_has_no_address_and_another_ones_answer_is_not_used(fresh):
    adapter = fresh(status=404)
    assert adapter.ticket("4821", now=NOW).assignee == Person("11")
    with pytest.raises(AnswerUnusable):
        fresh(agent={**AGENT, "id": 13}).ticket("4821", now=NOW)


def test_an_agent_is_asked_for_once(fresh, helpdesk):
    adapter = fresh()
    costs = []
    for _ in range(2):
        before = len(helpdesk.calls)
        adapter.ticket("4821", now=NOW)
        costs.append(len(helpdesk.calls) - before)
    assert costs == [3, 2]


def test_whoever_it_was_requested_for_is_a_requester(fresh):
    ticket = fresh(ticket={"requested_for_id": 11}).ticket("4821", now=NOW)
    assert ticket.requesters == (Person("12", "Requester", "requester@example.com"), Person("11"))


@pytest.mark.parametrize("wrong", ["11 ", "1\u202e1", {"id": 11}, 1.5, True, -11])
def test_an_account_that_cannot_be_taken_as_it_stands_ends_the_reading(fresh, wrong):
    with pytest.raises(AnswerUnusable):
        fresh(ticket={"responder_id": wrong}).ticket("4821", now=NOW)


# Tickets


def test_a_ticket_in_the_bin_is_gone(fresh):
    with pytest.raises(TicketGone):
        fresh(ticket={"deleted": True}).ticket("4821", now=NOW)


@pytest.mark.parametrize("number", ["INC-4821", "SR-4821"])
def test_a_ticket_has_one_name_with_us(fresh, number):
    with pytest.raises(TicketGone):
        fresh().ticket(number, now=NOW)


def test_a_status_of_the_sites_own_starts_nothing_until_it_is_told(fresh):
    assert fresh(ticket={"status": 6}).ticket("4821", now=NOW).status is Status.ON_HOLD
    mapped = fresh(ticket={"status": 6}, status_map={"2": "open", "6": "solved"})
    assert mapped.ticket("4821", now=NOW).status is Status.SOLVED


def test_the_category_may_stand_in_a_custom_field(fresh):
    adapter = fresh(category_field="kind_of_work", categories={"mfa": "MFA reset"})
    assert adapter.ticket("4821", now=NOW).category == "MFA reset"


def test_only_numbers_reach_the_query(fresh, helpdesk):
    helpdesk.answer("/api/v2/tickets/filter", 200, {"tickets": [TICKET, {**TICKET, "responder_id": 13}]})
    adapter = fresh(status_map={"2": "open", "6": "on_hold", "4": "solved"})
    assert adapter.open_tickets('11 OR status:2"', limit=20) == ()
    assert not helpdesk.calls
    assert [it.number for it in adapter.open_tickets("11", limit=20)] == ["4821"]
    assert unquote(helpdesk.calls[0][1]).endswith('?query="agent_id:11 AND (status:2 OR status:6)"')
    with pytest.raises(ValidationError):
        fresh(status_map={"2 OR status:3": "open"})


# Notes


def test_a_note_arrives_in_its_own_words_and_lines(double):
    bench, adapter = double
    number = bench.new_ticket()
    words = "<script>alert(1)</script> a & b < c > d \" e ' f &lt;b&gt; <img src=x onerror=y>"
    adapter.write_note(number, f"{words}\n{{{{{{ticket.id}}}}}} {{% raw %}}\n\n{MARKER}")
    (note,) = bench.comments(number)
    assert note.text == f"{words}\n{{ {{ {{ticket.id}}}}}} {{ % raw %}}\n\n{MARKER}"
    assert note.internal


@pytest.mark.parametrize("filling", ["<", "\u00e9", "{{", "one line\n"])
def test_a_note_that_is_too_long_keeps_its_marker(double, filling):
    bench, adapter = double
    number = bench.new_ticket()
    adapter.write_note(number, f"{filling * 40_000}\n{MARKER}")
    assert adapter.has_note(number, MARKER)


def test_a_marker_is_found_on_any_page_and_pages_end(double, fresh, helpdesk):
    bench, adapter = double
    number = bench.new_ticket()
    for n in range(105):
        bench.comment(number, f"Comment {n}", by=bench.colleague)
    adapter.write_note(number, MARKER)
    assert adapter.has_note(number, MARKER)
    helpdesk.answer("/api/v2/tickets/4821/conversations", 200, {"conversations": [{"user_id": 11, "body_text": "x"}]})
    with pytest.raises(AnswerUnusable, match="do not end"):
        fresh().has_note("4821", MARKER)


# Settings and doctor


def test_doctor_knows_when_the_key_is_somebody_elses(double):
    bench, _ = double
    other = connect_table("desk", {**bench.settings, "service_account": bench.technician})
    assert [it.ok for it in other.check()] == [True, True, False, True]


@pytest.mark.parametrize("secrets", [{}, {"first": "short"}, {"first": "with a blank in it, and long enough"}])
def test_a_secret_that_is_none_stops_the_start_and_is_not_quoted(secrets):
    table = {"kind": "freshservice", "url": "https://example.freshservice.com", "api_key": "k", "service_account": "77"}
    with pytest.raises(ValueError, match="secrets") as error:
        connect_table("desk", {**table, "secrets": secrets})
    assert not any(text in str(error.value) for text in secrets.values())


def test_what_the_page_for_administrators_shows_is_taken(tmp_path):
    (key, secret) = (tmp_path / name for name in ("freshservice-key", "freshservice-webhook"))
    key.write_text("k\n")
    secret.write_text(f"{SECRET}\n")
    shown = PAGE.split("```toml\n")[1].split("```")[0].replace("/etc/ticket-elevate", str(tmp_path))
    adapter = connect_table("desk", tomllib.loads(shown)["helpdesks"]["freshservice"])
    body = PAGE.split("```json\n")[1].split("```")[0].replace("{{ticket.id_numeric}}", "4821")
    event = adapter.read_delivery(HEADERS, body.encode(), now=NOW)
    assert (event.ticket, event.kind, event.secret, event.idle) == ("4821", "agent_changed", "2026-11", False)


def test_people_may_open_it_elsewhere_than_where_its_api_is(fresh):
    assert fresh().ticket_url("4821").endswith("/a/tickets/4821")
    assert fresh(page_url="https://help.example.com/").ticket_url("4821") == "https://help.example.com/a/tickets/4821"


# Changes


def test_a_list_that_is_in_no_order_is_read_to_its_end_and_put_in_order(fresh, helpdesk):
    desk, at = fresh(), {n: f"2026-11-24T09:{59 - n // 60:02}:{59 - n % 60:02}Z" for n in range(250)}
    rows = [{"id": 5000 + n, "updated_at": at[n]} for n in range(250)]
    for start in (0, 100, 200):
        helpdesk.answer("/api/v2/tickets", 200, {"tickets": rows[start : start + 100]})
    helpdesk.calls.clear()

    told = desk.changed_since(NOW - timedelta(hours=1), now=NOW)

    assert ([it.number for it in told.tickets], told.more) == ([str(5249 - n) for n in range(250)], False)
    assert [path for _, path in helpdesk.calls] == [
        f"/api/v2/tickets?updated_since=2026-11-24T09%3A00%3A00Z&order_type=desc&per_page=100&page={page}"
        for page in (1, 2, 3)
    ]


def test_of_more_than_one_look_reads_none_is_lost(many):
    """In the order of creation the newest change may come first, and who asks goes on from the newest that is told."""
    desk, helpdesk, rows = many(2450)
    since, page, found = NOW - timedelta(hours=1), 1, set()
    for calls in (10, 20, 27):
        changes = desk.changed_since(since, page=page, now=NOW)
        assert len(helpdesk.calls) == calls
        found |= {it.number for it in changes.tickets}
        since, page = where_to(changes, since, page, now=NOW)
    assert not changes.more
    assert found == {str(row["id"]) for row in rows}
    assert [it.at for it in changes.tickets] == sorted(it.at for it in changes.tickets)


def test_what_is_deleted_or_changes_while_the_list_is_read_hides_nothing(many):
    desk, _, rows = many(1500)
    since, last = NOW - timedelta(hours=1), {str(row["id"]) for row in rows[1000:]}
    assert desk.changed_since(since, now=NOW).more
    del rows[:90]
    rows.insert(0, {"id": 99_001, "updated_at": "2026-11-24T10:00:20Z"})
    rows[-1]["updated_at"] = "2026-11-24T10:00:25Z"

    told = {it.number for it in desk.changed_since(since, page=2, now=NOW + timedelta(seconds=30)).tickets}

    assert told > last - {str(rows[-1]["id"])}
    assert not told & {"99001", str(rows[-1]["id"])}  # they come the next time, as all do that changed meanwhile
    again = desk.changed_since(NOW, now=NOW + timedelta(seconds=30))
    assert [it.number for it in again.tickets] == ["99001", str(rows[-1]["id"])]


def test_another_process_that_is_asked_to_go_on_begins_by_itself(many):
    desk, helpdesk, rows = many(1500)
    since = NOW - timedelta(hours=1)
    assert [desk.changed_since(since, page=page, now=NOW).more for page in (7, 8)] == [True, False]
    assert "&page=1" in [path[-7:] for _, path in helpdesk.calls]
    assert desk.changed_since(since, page=2, now=NOW).more


def test_changes_in_every_workspace_are_asked_for_where_there_are_several(fresh, helpdesk):
    helpdesk.answer("/api/v2/tickets", 200, {"tickets": []})

    fresh(all_workspaces=True).changed_since(NOW, now=NOW)

    assert "&workspace_id=0&" in helpdesk.calls[-1][1]


@pytest.fixture
def many(fresh, helpdesk):
    """An adapter, its helpdesk, and so many tickets there, the newest first, that changed in no order at all."""

    def with_tickets(count):
        desk, path = fresh(), "/api/v2/tickets"
        seconds = [10 + n * 1_237 % 3_590 for n in range(count)]
        rows = [
            {"id": 5000 + count - n, "updated_at": f"2026-11-24T09:{second // 60:02}:{second % 60:02}Z"}
            for n, second in enumerate(seconds)
        ]

        def listed():
            asked = dict(parse_qsl(helpdesk.calls[-1][1].partition("?")[2]))
            start = (int(asked["page"]) - 1) * 100
            since = [row for row in rows if row["updated_at"] >= asked["updated_since"]]
            return 200, {}, [json.dumps({"tickets": since[start : start + 100]}).encode()]

        helpdesk.instead[path] = [listed]
        helpdesk.calls.clear()
        return desk, helpdesk, rows

    return with_tickets


@pytest.fixture
def fresh(helpdesk):
    """Connects to a small helpdesk that answers as Freshservice does."""

    def with_answers(activities=(), *, ticket=None, agent=AGENT, status=200, **changes):
        for path in ("tickets/4821", "tickets/4821/activities", "agents/11"):
            helpdesk.instead.pop(f"/api/v2/{path}", None)
        helpdesk.answer("/api/v2/tickets/4821", 200, {"ticket": {**TICKET, **(ticket or {})}})
        helpdesk.answer("/api/v2/tickets/4821/activities", 200, {"activities": list(activities)})
        helpdesk.answer("/api/v2/agents/11", status, {"agent": agent} if status == 200 else None)
        settings = {"url": helpdesk.url, "api_key": "k", "service_account": "77", "secrets": {"first": SECRET}}
        return Freshservice("desk", FreshserviceSettings(**settings, **changes))

    return with_answers


@pytest.fixture(scope="module")
def practice_freshservice(tmp_path_factory):
    receiver = Receiver()
    with practice_runs(tmp_path_factory.mktemp("freshservice"), "--helpdesk", "freshservice") as practice:
        yield lambda: Double(practice, receiver)
    receiver.stop()


@pytest.fixture
def double(practice_freshservice):
    bench = practice_freshservice()
    return bench, connect_table("desk", bench.settings)
