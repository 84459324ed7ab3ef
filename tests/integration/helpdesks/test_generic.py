"""The generic adapter against a small helpdesk on a real port: what it reads and writes, and whom it does not trust."""

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from integration.helpdesks import UnknownHelpdesk, load
from integration.helpdesks.generic import Generic
from integration.helpdesks.generic_settings import GenericSettings
from integration.helpdesks.http import AnswerUnusable
from integration.tickets import (
    ChangedTicket,
    Changes,
    DeliveryUnreadable,
    HelpdeskRefused,
    HelpdeskUnavailable,
    ListedTicket,
    Person,
    SignatureRefused,
    Status,
    Ticket,
    TicketEvent,
    TicketGone,
    clean,
)
from tests.integration.helpdesks.conftest import SECRET, TICKET, TOKEN

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
KEY = bytes(range(24))
ASSIGNED = {"type": "ticket.assigned", "data": {"ticket": {"id": 4821}, "actor": {"id": "11"}}}


def signed(payload):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    time = str(int(NOW.timestamp()))
    mac = hmac.digest(KEY, b".".join((b"msg_1", time.encode(), body)), hashlib.sha256)
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": time, "webhook-signature": signature}, body


# Lists of tickets


def test_the_open_tickets_of_an_account_are_listed_and_nobody_elses(connect, helpdesk):
    rows = [
        TICKET,
        {**TICKET, "id": 4822, "assignee": {"id": "12"}},
        {**TICKET, "id": 4823, "status": "solved"},
        {**TICKET, "id": "../4824"},
        {**TICKET, "id": 4825, "subject": "Two\nlines\u202e"},
        "text",
        None,
    ]
    helpdesk.answer("/api/tickets", 200, {"tickets": rows})

    found = connect(tickets_url="/api/tickets?assignee={account}").open_tickets("11", limit=5)

    assert found == (ListedTicket("4821", "Cannot sign in"), ListedTicket("4825", "Two lines"))
    assert helpdesk.calls == [("GET", "/api/tickets?assignee=11")]


def test_an_account_cannot_leave_its_place_in_the_address(connect, helpdesk):
    """Trust row 29."""
    helpdesk.answer("/api/tickets", 200, {"tickets": []})

    connect(tickets_url="/api/tickets?assignee={account}").open_tickets("11&all=1#/../x", limit=5)

    assert helpdesk.calls == [("GET", "/api/tickets?assignee=11%26all%3D1%23%2F..%2Fx")]


def test_a_helpdesk_that_is_not_set_up_to_list_tickets_is_not_asked(connect, helpdesk):
    assert connect().open_tickets("11", limit=5) == ()
    assert helpdesk.calls == []


def test_a_list_that_is_none_is_for_an_administrator(connect, helpdesk):
    helpdesk.answer("/api/tickets", 200, {"tickets": "x"})

    with pytest.raises(AnswerUnusable):
        connect(tickets_url="/api/tickets?assignee={account}").open_tickets("11", limit=5)


@pytest.mark.parametrize("template", ["/api/tickets", "/t/{number}", "/t/{account}/{x}", "//evil.example/{account}"])
def test_a_template_of_a_list_names_the_account_alone(connect, template):
    with pytest.raises(ValidationError):
        connect(tickets_url=template)


# Changes

CHANGES = "/api/tickets?changed={since}"


def test_a_helpdesk_that_is_not_set_up_to_tell_changes_is_not_asked(connect, helpdesk):
    assert connect().changed_since(NOW, now=NOW).tickets == ()
    assert connect(changes_url=CHANGES).changed_since(NOW, page=2, now=NOW).tickets == ()
    assert helpdesk.calls == []


def test_changes_are_found_where_the_settings_say(connect, helpdesk):
    settings = {
        "changes_url": "/changes/{page}?since={since}",
        "changes_path": "rows[].{ticket: @}",
        "changes_more_path": "more",
        "number": "ticket.no",
        "updated_at_path": "ticket.changed",
    }
    since = NOW - timedelta(hours=1)
    rows = [{"no": 4821, "changed": (NOW - timedelta(minutes=5)).timestamp()}, {"no": 4822}, "text", {"changed": 7}]
    helpdesk.answer("/changes/1", 200, {"rows": rows, "more": True})
    helpdesk.answer("/changes/2", 200, {"rows": [], "more": True})

    told = connect(**settings).changed_since(since.astimezone(timezone(timedelta(hours=5))), now=NOW)

    assert told == Changes((ChangedTicket("4821", NOW - timedelta(minutes=5)),), more=True)
    assert helpdesk.calls == [("GET", f"/changes/1?since={since:%Y-%m-%dT%H%%3A%M%%3A%SZ}")]
    assert connect(**settings).changed_since(since, page=2, now=NOW) == Changes(())


@pytest.mark.parametrize("path", ["join(',', no)", "length(no)", "no.x"])
def test_an_expression_that_does_not_fit_one_line_hides_no_other(connect, helpdesk, path):
    rows = [{"no": 7}, {"no": {"x": "2026-11-24T09:59:00Z"}}]
    helpdesk.answer("/api/tickets", 200, {"tickets": rows})

    told = connect(changes_url=CHANGES, number="'4821'", updated_at_path=path).changed_since(NOW, now=NOW)

    assert told.tickets == ()


@pytest.mark.parametrize(
    "template", ["/changes", "/c/{number}", "/c/{since}/{x}", "/c/{page}", "//evil.example/{since}", "/c/{since}{}"]
)
def test_a_template_of_changes_names_the_time_and_perhaps_a_page(connect, template):
    with pytest.raises(ValidationError):
        connect(changes_url=template)


# Deliveries


def test_a_delivery_names_the_event_the_ticket_and_the_secret(connect):
    event = connect().read_delivery(*signed(ASSIGNED), now=NOW)

    assert event == TicketEvent("msg_1", "4821", "ticket.assigned", "first")


def test_what_our_own_account_did_is_marked(connect):
    own = {**ASSIGNED, "data": {"ticket": {"id": 4821}, "actor": {"id": 77}}}

    assert connect().read_delivery(*signed(own), now=NOW).idle


@pytest.mark.parametrize("actor", ["77\u200b", " 77", "077", None, True, ["77"], {"id": "77"}])
def test_nobody_can_pass_for_our_own_account(connect, actor):
    other = {**ASSIGNED, "data": {"ticket": {"id": 4821}, "actor": {"id": actor}}}

    assert not connect().read_delivery(*signed(other), now=NOW).idle


def test_a_delivery_signed_for_another_connection_is_refused(connect):
    """Trust row 5."""
    other = connect(secrets={"theirs": "whsec_" + base64.b64encode(b"y" * 32).decode()})

    with pytest.raises(SignatureRefused):
        other.read_delivery(*signed(ASSIGNED), now=NOW)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"type":"a","type":"b","data":{"ticket":{"id":1}}}',
        {},
        {"type": "x"},
        {"type": "", "data": {"ticket": {"id": 1}}},
        {"type": {"a": 1}, "data": {"ticket": {"id": 1}}},
        {"type": "x", "data": {"ticket": {"id": True}}},
        {"type": "x", "data": {"ticket": {"id": 1.5}}},
        {"type": "x", "data": "text"},
    ],
)
def test_a_signed_call_that_is_no_event_is_unreadable(connect, payload):
    """Trust row 46."""
    with pytest.raises(DeliveryUnreadable):
        connect().read_delivery(*signed(payload), now=NOW)


HOSTILE_NUMBERS = [
    "../../x",
    "1?x",
    "1#x",
    "..",
    ".",
    "1/2",
    "1%2f2",
    "",
    "x" * 65,
    "1\n",
    "1\u202e",
    "http://127.0.0.2",
]


@pytest.mark.parametrize("number", HOSTILE_NUMBERS)
@pytest.mark.parametrize("pattern", ["[A-Za-z0-9_-]{1,64}", ".*"])
def test_a_hostile_number_never_leaves_its_place_in_the_url(connect, helpdesk, number, pattern):
    """Trust row 29: also where an administrator lets every number pass."""
    desk = connect(ticket_number_pattern=pattern)
    for act in (
        lambda: desk.ticket(number, now=NOW),
        lambda: desk.write_note(number, "x"),
        lambda: desk.has_note(number, "x"),
    ):
        with pytest.raises(TicketGone):
            act()

    assert all(path.startswith("/api/tickets/") and ".." not in path.split("/") for _, path in helpdesk.calls)


def test_a_url_in_a_payload_is_never_called(connect, helpdesk):
    """Trust row 29."""
    lure = {"url": "http://127.0.0.1:1/", "href": "http://169.254.169.254/"}
    payload = {**ASSIGNED, **lure, "data": {"ticket": {"id": "4821", **lure}, "actor": lure}}
    helpdesk.tickets["4821"].update(lure)
    desk = connect()

    event = desk.read_delivery(*signed(payload), now=NOW)
    desk.ticket(event.ticket, now=NOW)

    assert helpdesk.calls == [("GET", "/api/tickets/4821")]
    assert desk.ticket_url("4821") == helpdesk.url + "/tickets/4821"


# Tickets


def test_a_ticket_is_read_in_our_words(connect):
    assert connect().ticket("4821", now=NOW) == Ticket(
        connection="desk",
        number="4821",
        subject="Cannot sign in",
        status=Status.OPEN,
        read_at=NOW,
        category="Password reset",
        queue="First line",
        assignee=Person("11", "Technician", "technician@example.com"),
        assigned_by="11",
        assigned_at=datetime(2026, 11, 24, 9, 59, 58, tzinfo=UTC),
        change="a-1",
        updated_at=datetime(2026, 11, 24, 10, 0, tzinfo=UTC),
        requesters=(Person("12", "Requester", "requester@example.com"),),
    )


def test_a_ticket_that_nobody_has_says_nothing_about_a_pick(connect, helpdesk):
    helpdesk.tickets["4821"].update(assignee=None)

    ticket = connect().ticket("4821", now=NOW)

    assert (ticket.assignee, ticket.assigned_by, ticket.assigned_at, ticket.change) == (None, None, None, None)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", "on_hold"),
        ("Solved", "solved"),
        ("CLOSED", "solved"),
        ("with the vendor", "on_hold"),
        (None, "on_hold"),
    ],
)
def test_the_helpdesks_word_for_a_status_becomes_ours(connect, helpdesk, word, status):
    helpdesk.tickets["4821"].update(status=word)

    assert connect().ticket("4821", now=NOW).status == status


@pytest.mark.parametrize("told", ["2026-11-24T09:59:58", "yesterday", "", None, True, [], 10**30, "9" * 5_000])
def test_a_time_that_could_be_read_in_two_ways_is_no_time(connect, helpdesk, told):
    """Trust row 3: without an offset a stale pick would look fresh."""
    helpdesk.tickets["4821"].update(assigned_at=told)

    assert connect().ticket("4821", now=NOW).assigned_at is None


def test_a_history_says_who_picked(connect, helpdesk):
    helpdesk.answer(
        "/api/tickets/4821/history",
        200,
        {"value": [{"who": "9", "to": "8", "id": 1}, {"who": "11", "to": "11", "id": 2, "at": 1795514398}]},
    )
    desk = connect(
        history_url="/api/tickets/{number}/history",
        assigned_by="who",
        assigned_to="to",
        assigned_at="at",
        change="id",
    )

    ticket = desk.ticket("4821", now=NOW)

    assert (ticket.assigned_by, ticket.change) == ("11", "2")
    assert ticket.assigned_at == datetime.fromtimestamp(1795514398, UTC)


def test_a_history_that_the_ticket_itself_holds_is_read_with_it(connect, helpdesk):
    helpdesk.tickets["4821"]["log"] = [{"who": "9", "id": 1}, {"who": "11", "id": 2}]
    desk = connect(
        history_url="/api/tickets/{number}", history_path="log[-1]", assigned_by="who", assigned_at="at", change="id"
    )

    ticket = desk.ticket("4821", now=NOW)

    assert (ticket.assigned_by, ticket.change) == ("11", "2")
    assert helpdesk.calls == [("GET", "/api/tickets/4821")]


def test_a_history_that_speaks_of_another_assignee_is_not_believed(connect, helpdesk):
    """Trust row 7: ticket and history are read a moment apart."""
    helpdesk.answer("/api/tickets/4821/history", 200, {"value": [{"who": "11", "to": "8", "id": 1}]})
    desk = connect(history_url="/api/tickets/{number}/history", assigned_by="who", assigned_to="to", change="id")

    ticket = desk.ticket("4821", now=NOW)

    assert (ticket.assigned_by, ticket.change) == (None, None)


def test_a_history_that_is_not_there_does_not_make_the_ticket_gone(connect):
    desk = connect(history_url="/api/tickets/{number}0/history")

    with pytest.raises(HelpdeskRefused):
        desk.ticket("4821", now=NOW)


def test_a_ticket_that_answers_as_another_one_was_merged(connect, helpdesk):
    helpdesk.tickets["1"] = dict(TICKET)

    with pytest.raises(TicketGone):
        connect().ticket("1", now=NOW)


@pytest.mark.parametrize("account", ["12\u200b", "12\n", ["12"], {"id": "12"}, 1.5, True])
@pytest.mark.parametrize("person", ["assignee", "requester"])
def test_an_account_that_could_pass_for_another_ends_the_reading(connect, helpdesk, person, account):
    """Trust rows 9 and 32: were it cleaned or dropped, a requester could hide or somebody become somebody else."""
    helpdesk.tickets["4821"][person] = {"id": account, "name": "x"}

    with pytest.raises(AnswerUnusable):
        connect().ticket("4821", now=NOW)


@pytest.mark.parametrize(
    ("status", "error"), [(429, HelpdeskUnavailable), (503, HelpdeskUnavailable), (404, TicketGone), (410, TicketGone)]
)
def test_failures_of_the_helpdesk_come_out_as_ours(connect, helpdesk, status, error):
    helpdesk.answer("/api/tickets/4821", status, {}, Retry_After="5")

    with pytest.raises(error):
        connect().ticket("4821", now=NOW)


@pytest.mark.parametrize("answer", [[], None, "text", 7, {}])
def test_an_answer_that_is_no_ticket_is_one_of_our_errors(connect, helpdesk, answer):
    helpdesk.answer("/api/tickets/4821", 200, answer)

    with pytest.raises(AnswerUnusable, match="number"):
        connect().ticket("4821", now=NOW)


@pytest.mark.parametrize(
    "hostile",
    ["reset \u202egnp.exe", "a\u0000b", "\ud800", "x" * 1_000_000, "one\ntwo", "\u3164", "\U000e0041tag", "\u200d"],
)
def test_hostile_text_is_cleaned_at_the_door(connect, helpdesk, hostile):
    """Trust rows 32 and 33."""
    part = hostile[:2_000]  # one field of a megabyte is enough
    helpdesk.tickets["4821"].update(subject=hostile, category=part, queue=part, fields={part: part})
    helpdesk.tickets["4821"]["requester"] = {"id": "12", "name": part, "email": part}

    ticket = connect().ticket("4821", now=NOW)

    person = ticket.requesters[0]
    found = [ticket.subject, ticket.category, ticket.queue, person.name, person.address, *ticket.fields.values()]
    assert all(text is None or (text == clean(hostile) and len(text) <= 200) for text in found)


def test_a_time_of_the_year_1_is_an_empty_field(connect, helpdesk):
    """How a helpdesk on .NET writes that a ticket has no such time."""
    fields = {"due": "0001-01-01T00:00:00", "respond": "2026-11-24T12:00:00Z", "part": "0001-01-017"}
    helpdesk.tickets["4821"]["fields"] = fields

    ticket = connect(fields="fields").ticket("4821", now=NOW)

    assert ticket.fields == {"respond": "2026-11-24T12:00:00Z", "part": "0001-01-017"}


def test_a_number_of_4300_digits_is_not_a_poison_pill(connect, helpdesk):
    """Trust row 33."""
    helpdesk.answer("/api/tickets/4821", 200, b'{"id":' + b"9" * 4301 + b"}")

    with pytest.raises(HelpdeskUnavailable):
        connect().ticket("4821", now=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(TICKET)) | st.text(), inner),
    max_leaves=8,
)


@given(changes=st.dictionaries(st.sampled_from(sorted(TICKET)), JSON))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_whatever_a_ticket_holds_it_is_read_or_refused_with_our_errors(connect, helpdesk, changes):
    """Trust row 33: no answer of the helpdesk raises anything that nobody expects."""
    helpdesk.tickets["4821"] = {**TICKET, **changes}
    try:
        ticket = connect().ticket("4821", now=NOW)
    except (HelpdeskRefused, HelpdeskUnavailable, TicketGone):
        return
    assert clean(ticket.subject) == ticket.subject


# Notes


def test_a_note_is_written_inside_and_found_again_by_its_marker(connect, helpdesk):
    desk = connect()

    assert not desk.has_note("4821", "elevation 01J")
    desk.write_note("4821", "Active until 10:30\nelevation 01J")

    assert helpdesk.notes == [{"body": "Active until 10:30\nelevation 01J", "internal": True}]
    assert desk.has_note("4821", "elevation 01J")


def test_a_marker_is_found_on_a_later_page(connect, helpdesk):
    helpdesk.notes = [{"id": n, "body": f"note {n};"} for n in range(7)]

    assert connect().has_note("4821", "note 6;")
    assert len(helpdesk.calls) == 4


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("{{ticket.id}} {{{x}}}", "{ {ticket.id} } { { {x} } }"),
        ("{% raw %} {# x #}", "{ % raw % } { # x # }"),
        ("}} %} #} end without a beginning", "} } % } # } end without a beginning"),
        ("{one} 100% [te:1:active]", "{one} 100% [te:1:active]"),
        ("x\x00y", "xy"),
    ],
)
def test_a_note_holds_nothing_that_a_template_language_reads(connect, helpdesk, text, written):
    connect().write_note("4821", text)

    assert helpdesk.notes[0]["body"] == written


def test_a_note_in_html_holds_no_tag_but_our_line_ends(connect, helpdesk):
    """Trust row 31."""
    desk = connect(note_body="{text: note_html, public: `false`}")

    desk.write_note("4821", "<b>A & B</b>\n<script>")

    assert helpdesk.notes == [
        {"text": "&lt;b&gt;A &amp; B&lt;/b&gt;<br>\n&lt;script&gt;", "public": False},
    ]


def test_a_next_page_on_another_server_is_not_called(connect, helpdesk):
    """Trust row 29."""
    helpdesk.answer("/api/tickets/4821/notes", 200, {"value": [], "next": "http://127.0.0.1:1/x"})

    with pytest.raises(AnswerUnusable, match="another server"):
        connect().has_note("4821", "x")

    assert len(helpdesk.calls) == 1


def test_notes_that_never_end_are_left(connect, helpdesk):
    helpdesk.answer("/api/tickets/4821/notes", 200, {"value": [], "next": "?again"})

    with pytest.raises(AnswerUnusable, match="do not end"):
        connect().has_note("4821", "x")


@pytest.mark.parametrize("answer", [None, [], {"value": "text"}, {"value": [], "next": 7}])
def test_notes_that_cannot_be_read_are_not_taken_for_none(connect, helpdesk, answer):
    """Or a note that stands there would be written again."""
    helpdesk.answer("/api/tickets/4821/notes", 200, answer)

    with pytest.raises(AnswerUnusable):
        connect().has_note("4821", "x")


# What doctor sees


def test_a_good_connection_has_nothing_to_fix(connect):
    assert [(finding.ok, finding.fix) for finding in connect().check()] == [(True, "")] * 3


def test_doctor_says_what_to_fix(connect):
    def fixes(desk):
        return " ".join(finding.fix for finding in desk.check() if not finding.ok)

    assert "Check url" in fixes(connect(url="http://127.0.0.1:1"))
    assert "Make a new API token" in fixes(connect(token="another"))
    assert "Set service_account" in fixes(connect(service_account="78"))
    assert "Set check_url" in fixes(connect(check_url=None))
    assert "check_url" in fixes(connect(check_url="/nowhere"))


# Settings


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("ticket_path", "data.[", "ticket_path is not a JMESPath expression"),
        ("ticket_path", "", "ticket_path is not a JMESPath expression"),
        ("requesters", "lenght(a)", "a function that JMESPath does not have: lenght"),
        ("ticket_url", "/api/{number}/{x}", "ticket_url must hold {number}, and no other"),
        ("ticket_url", "/api/{+number}", "ticket_url must hold {number}, and no other"),
        ("ticket_url", "/api/{number", "ticket_url must hold {number}, and no other"),
        ("ticket_url", "/api/tickets", "ticket_url must hold {number}"),
        ("ticket_url", "https://other.example.com/{number}", "must begin with one slash"),
        ("notes_url", "//other.example.com/{number}", "must begin with one slash"),
        ("page_url", "javascript:alert({number})", "must begin with one slash"),
        ("page_url", "https://{number}.example.com/", "must begin with one slash"),
        ("url", "ftp://helpdesk.example.com", "must be the helpdesk's address"),
        ("url", "https://user:canary@helpdesk.example.com", "set token instead"),
        ("token", "two words", "token is empty, or holds a blank"),
        ("ticket_number_pattern", "[", "is not a regular expression"),
        ("secrets", {}, "at least one"),
        ("secrets", {"spring": "whsec_AAEC"}, "'spring' has 3 bytes"),
        ("service_account", "", "service_account"),
        ("serivce_account", "7", "serivce_account"),
    ],
)
def test_a_setting_that_cannot_work_stops_the_start_and_is_named(settings, setting, value, says):
    """Trust row 6 for the secrets; no message shows a token or a secret."""
    with pytest.raises(ValidationError) as error:
        GenericSettings(**{**settings, setting: value})

    message = str(error.value)
    assert says in message
    assert all(secret not in message for secret in (TOKEN, SECRET, "canary", "whsec_AAEC"))


def test_people_may_see_their_tickets_on_another_host(connect):
    desk = connect(page_url="https://desk.example.com/t/{number}")

    assert desk.ticket_url("4821") == "https://desk.example.com/t/4821"


def test_settings_do_not_show_their_secrets(settings):
    """Trust row 24."""
    shown = repr(GenericSettings(**settings))

    assert TOKEN not in shown
    assert SECRET not in shown


def test_adapters_are_found_by_name():
    assert load("generic") is Generic
    with pytest.raises(UnknownHelpdesk, match=r"generic, (.+, )?request_tracker"):
        load("nothing")


@pytest.mark.parametrize("value", ["x", None, {}, [1, "a"], 10**30])
@pytest.mark.parametrize(
    "path",
    ["events[?seq > `1`] | [0].actor", "contains(a, 'x')", "max_by(a, &b).c", "ceil(to_number(a))", "merge(a, a)"],
)
def test_a_path_that_a_value_does_not_fit_is_a_sentence(connect, helpdesk, path, value):
    """JMESPath's functions raise Python's own errors for values that they cannot take."""
    desk = connect(actor_path=path, category=path)
    odd = {"a": value, "events": [{"seq": value}]}
    body = {**ASSIGNED, **odd}
    with suppress(DeliveryUnreadable):
        desk.read_delivery(*signed(body), now=NOW)
    helpdesk.tickets["4821"].update(odd)
    with suppress(AnswerUnusable):
        desk.ticket("4821", now=NOW)


def test_no_cookie_is_kept(connect, helpdesk):
    """A token goes along with each call; fifty large cookies beside it would be more than a server takes."""
    helpdesk.answer("/api/tickets/4821", 200, TICKET, Set_Cookie="session=" + "x" * 4000)
    desk = connect()
    desk.ticket("4821", now=NOW)
    assert not list(desk._door._http.cookies)
