"""What is special to TeamDynamix: an unpublished signature, a history in prose, log-in by text, a limit by date.

What every adapter keeps is in tests/helpdesks/test_contract.py, held against sandbox/vendors/teamdynamix.py.
"""

import base64
import hashlib
import hmac
import json
import time
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from integration import helpdesks
from integration.helpdesks.http import seconds_to_wait
from integration.helpdesks.teamdynamix import LONGEST_NOTE, NOBODY, TeamDynamix
from integration.helpdesks.teamdynamix_settings import TeamDynamixSettings
from integration.rule import Require, Sla
from integration.rules_require import look
from integration.tickets import (
    UNTOLD,
    DeliveryUnreadable,
    HelpdeskRefused,
    HelpdeskUnavailable,
    SignatureRefused,
    Status,
    TicketGone,
)
from tests.conftest import practice_runs
from tests.end_to_end.receiver import Receiver
from tests.helpdesks.doubles import Double

PAGE = (Path(__file__).parents[3] / "docs" / "connect-teamdynamix.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SECRET, PASSWORD = "canary-secret-of-the-webhook", "canary password"
ME, TECHNICIAN, COLLEAGUE, REQUESTER = (f"{n}0000000-0000-4000-8000-00000000000a" for n in "1234")
API = "/TDWebApi/api"
TICKET = {
    "ID": 7,
    "AppID": 42,
    "Title": "Cannot sign in",
    "TypeName": "Password reset",
    "StatusClass": 2,
    "StatusName": "In Process",
    "ResponsibleUid": TECHNICIAN,
    "ResponsibleFullName": "Technician One",
    "RequestorUid": REQUESTER,
    "CreatedUid": REQUESTER,
    "CreatedDate": "2026-11-24T09:00:00Z",
    "ModifiedDate": "2026-11-24T09:59:58Z",
    "ModifiedUid": TECHNICIAN,
}
PERSON = {
    "UID": TECHNICIAN,
    "FullName": "Technician One",
    "IsActive": True,
    "TypeID": 1,
    "PrimaryEmail": "technician@example.com",
    "AuthenticationUserName": "technician@tenant.example",
}
TOOK = "Took primary responsibility for this incident from Unassigned."


# Deliveries


def test_the_signature_is_that_of_the_raw_body_as_the_settings_describe_it(connect):
    body = b'{ "ItemID": 7, "EventType":"Modified"}'
    mac = hmac.digest(SECRET.encode(), body, hashlib.sha256)
    for settings, signature in (
        ({}, mac.hex()),
        ({}, mac.hex().upper()),
        ({"signature_prefix": "sha256="}, "sha256=" + mac.hex()),
        ({"signature": "base64"}, base64.b64encode(mac).decode()),
    ):
        event = connect(**settings).read_delivery({"x-tdx-signature": signature}, body, now=NOW)
        assert (event.ticket, event.kind, event.secret) == ("7", "Modified", "first")


@pytest.mark.parametrize("signature", ["", "sha256=", "{hex}", "sha256={hex}0", "sha1={hex}", "sha256={hex},{hex}"])
def test_any_other_spelling_of_the_signature_is_refused(connect, signature):
    body = b'{"ItemID": 7}'
    given = signature.format(hex=hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest())

    with pytest.raises(SignatureRefused):
        connect(signature_prefix="sha256=").read_delivery({"x-tdx-signature": given}, body, now=NOW)


@pytest.mark.parametrize(
    ("header", "value"),
    [("X-Elevate-Secret", SECRET), ("Authorization", f"Basic {SECRET}"), ("Authorization", SECRET)],
)
def test_where_nothing_is_signed_a_header_holds_the_secret(connect, header, value):
    tdx = connect(signature="none", static_header=header)

    assert tdx.read_delivery({header.lower(): value}, b'{"ticket_id": "7"}', now=NOW).ticket == "7"
    for wrong in ({}, {header.lower(): ""}, {header.lower(): value + "x"}, {"x-tdx-signature": value}):
        with pytest.raises(SignatureRefused):
            tdx.read_delivery(wrong, b'{"ticket_id": "7"}', now=NOW)


def test_a_workflow_says_the_same_words_each_time_and_a_webhook_when_the_ticket_changed(connect):
    """Or the close of a ticket would be taken for a repeat of its pick."""
    step, body = connect(signature="none", static_header="X-Elevate-Secret"), b'{"ticket_id": "7"}'
    ids = {step.read_delivery({"x-elevate-secret": SECRET}, body, now=NOW).delivery_id for _ in range(2)}
    assert len(ids) == 2
    for body, same in ((b'{"ItemID": 7, "ModifiedDate": "2026-11-24T10:00:00Z"}', True), (b'{"ItemID": 7}', False)):
        mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        ids = {connect().read_delivery({"x-tdx-signature": mac}, body, now=NOW).delivery_id for _ in range(2)}
        assert (len(ids) == 1) is same


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"signature": "none"}, "Nothing would prove who calls"),
        ({"static_header": "X-Elevate-Secret"}, "static_header is for calls that are not signed"),
        ({"secrets": {}}, "secrets is empty"),
        ({"secrets": {"first": "canary"}}, "at least 24"),
        ({"password": None}, "one pair, and the whole of it"),
        ({"beid": "canary-beid", "web_services_key": "canary-key"}, "one pair, and the whole of it"),
        ({"beid": "canary-beid"}, "one pair, and the whole of it"),
        ({"service_account": "ticket-elevate"}, "service_account"),
        ({"url": "https://canary@tdx.example"}, "url must be"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused_without_a_secret_in_the_sentence(connect, wrong, words):
    with pytest.raises(ValidationError) as refused:
        connect(**wrong)

    assert words in str(refused.value)
    assert "canary" not in str(refused.value)


def test_the_number_is_read_where_the_settings_say(connect):
    body = {"data": {"ticket": {"number": 9}}, "ItemID": 7}

    assert read(connect(ticket_paths=["data.ticket.number"]), body).ticket == "9"


@pytest.mark.parametrize("body", [{"ItemID": "../7"}, {"ItemID": 2**31}, {"ItemID": True}, {"Item": [7]}, {"Item": {}}])
def test_a_signed_call_that_names_no_ticket_is_unreadable(connect, body):
    with pytest.raises(DeliveryUnreadable, match="ticket_paths"):
        read(connect(), body)


NEW = {**TICKET, "ResponsibleUid": None, "StatusClass": 1, "ModifiedDate": TICKET["CreatedDate"], "ModifiedUid": ME}


@pytest.mark.parametrize(
    ("shown", "idle"),
    [
        ({"Item": NEW}, True),
        ({"Item": {**NEW, "ResponsibleUid": NOBODY}}, True),
        # It may just have been given back: what runs for it must end.
        ({"Item": {**NEW, "ModifiedDate": "2026-11-24T09:00:01Z"}}, False),
        ({"Item": {**NEW, "StatusClass": 4}}, False),
        ({"Item": {name: value for name, value in NEW.items() if name != "ResponsibleUid"}}, False),
        ({"Item": {**NEW, "CreatedDate": None, "ModifiedDate": None}}, False),
        # Ours was the last change, which need not be the one that this call is about.
        ({"Item": {**TICKET, "ModifiedUid": ME}}, False),
        ({"Before": NEW, "Item": TICKET}, False),
        ({"Item": {**NEW, "ID": 8}, "ItemID": 7}, False),
        ({"ItemID": 7}, False),
    ],
)
def test_only_a_ticket_that_never_changed_is_not_looked_at(connect, shown, idle):
    assert read(connect(ticket_paths=["ItemID", "Item.ID"]), shown).idle is idle


@pytest.mark.parametrize(
    ("again", "same"),
    [
        ({"ModifiedDate": "2026-11-24T11:00:01Z", "ModifiedUid": COLLEAGUE, "ModifiedFullName": "Somebody"}, True),
        ({"ResponsibleUid": COLLEAGUE}, False),
        ({"StatusID": 999}, False),
        ({"Attributes": [{"ID": 1, "Name": "Kind of work", "Value": "2"}]}, False),
        ({"SlaBegin": "2026-11-24T11:00:01Z"}, False),
    ],
)
def test_an_edit_that_no_rule_could_look_at_shows_what_the_call_before_showed(connect, again, same):
    tdx = connect(ticket_paths=["Item.ID"])
    before, after = read(tdx, {"Item": TICKET}).fingerprint, read(tdx, {"Item": {**TICKET, **again}}).fingerprint
    assert before is not None
    assert (before == after) is same


@pytest.mark.parametrize("shown", [{"Before": NEW, "Item": TICKET}, {"Item": {**NEW, "ID": 8}, "ItemID": 7}])
def test_a_call_that_shows_two_tickets_or_another_one_shows_nothing(connect, shown):
    assert read(connect(ticket_paths=["ItemID", "Item.ID"]), shown).fingerprint is None


def test_a_call_that_shows_the_whole_ticket_shows_it_as_a_reading_would_but_for_its_people(connect, answers):
    whole = {**TICKET, "Attributes": [{"ID": 1, "Name": "Kind of work", "Value": "2"}]}
    answers(whole, feed=[])
    tdx = connect(ticket_paths=["Item.ID"], category_field="1")
    unread = tdx.ticket("7", now=NOW)
    shown = read(tdx, {"Item": whole}).shown
    assert shown.category == "2"
    assert shown == replace(unread, assignee=None, requesters=())


def test_a_call_that_leaves_out_what_a_rule_may_look_at_shows_no_ticket(connect):
    assert read(connect(ticket_paths=["Item.ID"]), {"Item": {**TICKET, "Attributes": None}}).shown is None


# Who picked it


def test_who_took_the_ticket_is_told_by_their_own_entry(connect, answers):
    answers(feed=[entry(50, TOOK)])

    ticket = connect().ticket("7", now=NOW)

    assert (ticket.assigned_by, ticket.change) == (TECHNICIAN, "50")
    assert ticket.assigned_at == datetime(2026, 11, 24, 9, 59, 58, tzinfo=UTC)


BELIEVED = [
    [{"Body": TOOK + "<br/>On my way.", "UpdateType": 2}],
    [{"Body": "Reassigned this incident from <b>Unassigned</b> to <b>Technician One</b>."}],
    [{"ID": 60, "Body": "Changed Priority from &quot;Low&quot; to &quot;High&quot;."}, {}],
    [{"ID": 60, "Body": "Please assign somebody.", "UpdateType": 1, "CreatedUid": REQUESTER}, {}],
    [{"ID": 60, "ItemType": 25, "CreatedUid": COLLEAGUE}, {}],
]
DOUBTFUL = [
    # An automation, under whomever it stands.
    [{"Body": TOOK[:-1] + ' via rule "First responder" owned by "Administrator".'}],
    [{"Body": "Reassigned this incident from Unassigned to Technician One via workflow step 2."}],
    [{"CreatedUid": NOBODY, "CreatedFullName": "System"}],
    [{"CreatedUid": None}],
    # Somebody else's sentence that only passes through the technician's hands.
    [{"Body": f"Changed Title from &quot;x&quot; to &quot;y&quot;.<br>{TOOK}"}],
    [{"Body": f"Changed Status from <b>New</b> to <b>In Process</b>.<br>&gt; {TOOK}", "UpdateType": 2}],
    [{"Body": TOOK, "UpdateType": 1}],
    [{"Body": TOOK, "UpdateType": 0}],
    [{"Body": TOOK, "ItemType": 25}],
    # To another, or in words that we do not know.
    [{"Body": "Reassigned this incident from Technician One to Technician Two."}],
    [{"Body": "Changed Responsible from Unassigned to Technician One."}],
    # Something about it happened since.
    [{"ID": 60, "Body": "Changed Responsibility.", "CreatedUid": None}, {}],
    [{"ID": 60, "Body": TOOK, "UpdateType": 1, "CreatedUid": REQUESTER}, {}],
    [],
]


@pytest.mark.parametrize("entries", BELIEVED)
def test_what_happened_beside_it_does_not_hide_a_pick(connect, answers, entries):
    answers(feed=[entry(50, TOOK, **it) for it in entries])

    assert connect().ticket("7", now=NOW).assigned_by == TECHNICIAN


@pytest.mark.parametrize("entries", DOUBTFUL)
def test_where_the_feed_is_in_doubt_nobody_picked_it_and_the_link_is_offered(connect, answers, entries):
    answers(feed=[entry(50, TOOK, **it) for it in entries])

    ticket = connect().ticket("7", now=NOW)

    assert ticket.assigned_by != TECHNICIAN
    # Where no entry tells of it, the pick has the name that such picks have with every helpdesk.
    assert ticket.pick in {"50", "60", f"{UNTOLD}{TECHNICIAN}"}


@pytest.mark.parametrize("by", [COLLEAGUE, NOBODY, None])
def test_a_ticket_that_another_changed_last_was_not_surely_picked(connect, answers, by):
    answers({**TICKET, "ModifiedUid": by}, feed=[entry(50, TOOK)])

    ticket = connect().ticket("7", now=NOW)

    assert (ticket.assigned_by, ticket.change) == (None, "50")


def test_a_feed_of_which_we_got_the_oldest_part_tells_nothing(connect, answers):
    answers(feed=[entry(n, TOOK, CreatedDate=f"2026-11-24T09:{n // 60:02}:{n % 60:02}Z") for n in range(100)])

    assert connect().ticket("7", now=NOW).assigned_by is None


def test_the_words_of_the_feed_can_be_set(connect, answers):
    answers(feed=[entry(50, "Hat die Verantwortung übernommen from niemandem")])

    assert connect(taken_words="Hat die Verantwortung übernommen").ticket("7", now=NOW).assigned_by == TECHNICIAN


# Tickets and people


@pytest.mark.parametrize("nobody", [None, "", NOBODY])
def test_each_way_to_say_nobody_is_nobody_and_costs_one_call(connect, answers, helpdesk, nobody):
    answers({**TICKET, "ResponsibleUid": nobody})

    assert connect().ticket("7", now=NOW).assignee is None
    assert [path for _, path in helpdesk.calls] == [f"{API}/auth", f"{API}/42/tickets/7"]


@pytest.mark.parametrize("uid", ["technician", 7, TECHNICIAN + "\u200b", TECHNICIAN[:-1], True, [TECHNICIAN]])
@pytest.mark.parametrize("field", ["ResponsibleUid", "RequestorUid", "ModifiedUid"])
def test_a_uid_that_is_none_ends_the_reading(connect, answers, field, uid):
    answers({**TICKET, field: uid}, feed=[entry(50, TOOK)])

    with pytest.raises(HelpdeskRefused):
        connect().ticket("7", now=NOW)


def test_one_uid_in_two_spellings_is_one_account(connect, answers):
    answers({**TICKET, "ResponsibleUid": TECHNICIAN.upper(), "RequestorUid": TECHNICIAN})

    ticket = connect().ticket("7", now=NOW)

    assert ticket.assignee.account == ticket.requesters[0].account


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "technician@example.com"),
        ({"IsActive": False}, None),
        ({"IsActive": None}, None),
        ({"TypeID": 2}, None),
        ({"TypeID": 9}, None),
        ({"PrimaryEmail": ""}, None),
    ],
)
def test_only_an_active_user_has_an_address(connect, answers, changes, address):
    answers(person={**PERSON, **changes})

    assert connect().ticket("7", now=NOW).assignee.address == address


def test_the_address_may_be_the_name_that_one_signs_in_with(connect, answers):
    answers()

    ticket = connect(address_field="AuthenticationUserName").ticket("7", now=NOW)

    assert ticket.assignee.address == "technician@tenant.example"


def test_an_answer_about_another_person_is_not_taken(connect, answers):
    answers(person={**PERSON, "UID": COLLEAGUE})

    with pytest.raises(HelpdeskRefused):
        connect().ticket("7", now=NOW)


@pytest.mark.parametrize(
    ("state", "status"),
    [(0, "on_hold"), (1, "open"), (2, "open"), (3, "solved"), (4, "solved"), (5, "on_hold"), (6, "on_hold")]
    + [(99, "on_hold"), (None, "on_hold"), ("3 ", "on_hold")],
)
def test_a_class_that_we_do_not_know_starts_nothing(connect, answers, state, status):
    answers({**TICKET, "StatusClass": state})

    assert connect().ticket("7", now=NOW).status is Status(status)


def test_a_status_of_ones_own_may_mean_something_else_than_its_class(connect, answers):
    answers({**TICKET, "StatusName": "Waiting for the board"})

    ticket = connect(status_map={"Waiting for the board": "on_hold"}).ticket("7", now=NOW)

    assert ticket.status is Status.ON_HOLD


@pytest.mark.parametrize("none", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01", "", None])
def test_a_time_that_is_none_is_an_empty_field(connect, answers, none):
    """A rule that requires a time to lie ahead must say that none stands there, and not how long it was over."""
    custom = [{"ID": 11, "Value": none}, {"ID": 12, "Value": "0001-01-010"}]
    answers({**TICKET, "RespondByDate": none, "ResolveByDate": "2026-11-25T00:00:00Z", "Attributes": custom})

    fields = connect().ticket("7", now=NOW).fields

    assert {"RespondByDate", "11"}.isdisjoint(fields)
    assert (fields["ResolveByDate"], fields["12"]) == ("2026-11-25T00:00:00Z", "0001-01-010")
    (found,) = look(Require(sla=Sla("RespondByDate")), connect().ticket("7", now=NOW))
    assert found.condition.detail == "It is empty, or holds no time."


def test_a_ticket_that_moved_to_another_application_is_gone(connect, answers):
    answers({**TICKET, "AppID": 43})

    with pytest.raises(TicketGone):
        connect().ticket("7", now=NOW)


def test_a_list_of_tickets_holds_nobody_elses_and_no_text_reaches_the_search(connect, answers, helpdesk):
    answers()
    rows = [{**TICKET, "ID": 8, "ResponsibleUid": COLLEAGUE}, {**TICKET, "ID": 9, "StatusClass": 3}, TICKET]
    helpdesk.answer(f"{API}/42/tickets/search", 200, rows)
    tdx = connect()

    assert [it.number for it in tdx.open_tickets(TECHNICIAN, limit=5)] == ["7"]
    helpdesk.calls.clear()
    assert not tdx.open_tickets("technician' OR 1=1", limit=5)
    assert not tdx.open_tickets(NOBODY, limit=5)
    assert not helpdesk.calls


# Notes


def test_a_note_is_private_tells_nobody_changes_nothing_and_holds_no_mark_up(connect, answers, helpdesk):
    answers()

    connect().write_note("7", "<img src=x onerror=alert(1)> & more\n" + "x" * 2 * LONGEST_NOTE)

    note = json.loads(helpdesk.sent[-1])
    assert not set(note["Comments"]) & set("<>")
    assert len(note["Comments"]) == LONGEST_NOTE
    assert {**note, "Comments": ""} == {
        "Comments": "",
        "IsPrivate": True,
        "IsRichHtml": False,
        "NewStatusID": None,
        "Notify": [],
    }


def test_a_note_is_found_in_whatever_order_the_feed_comes(connect, answers, helpdesk):
    others = [entry(n, "Called back.", UpdateType=1, CreatedUid=COLLEAGUE) for n in range(100)]
    ours = entry(200, "Active. [te:1:ACTIVE]", UpdateType=1, CreatedUid=ME.upper())
    answers(feed=[*others])
    helpdesk.answer(f"{API}/42/tickets/7/feed", 200, [*others, ours])
    tdx = connect()

    assert tdx.has_note("7", "[te:1:ACTIVE]")
    assert helpdesk.calls[-1][1].endswith("feed?top=1000")


# Log-in and limit


def test_one_log_in_serves_until_the_token_is_refused(connect, answers, helpdesk):
    answers()
    helpdesk.instead.pop(f"{API}/42/tickets/7")
    for status, value in ((200, TICKET), (401, {}), (200, TICKET)):
        helpdesk.answer(f"{API}/42/tickets/7", status, value)
    tdx = connect()

    tdx.ticket("7", now=NOW)
    assert logins(helpdesk) == 1
    tdx.ticket("7", now=NOW)
    assert logins(helpdesk) == 2


@pytest.mark.parametrize(
    "token",
    [
        lambda: jwt(exp=time.time() + 86_400),
        lambda: b'"' + jwt(exp=time.time() + 86_400) + b'"',
        # Where a clock is wrong, a log-in for each call would be worse: a refused token is asked for again anyhow.
        lambda: jwt(exp=1),
        lambda: jwt(),
        lambda: jwt(exp=True),
        lambda: b"a.b.c",
    ],
)
def test_a_token_is_kept_whatever_it_says_of_its_end(connect, answers, helpdesk, token):
    answers(token=token())
    tdx = connect()

    tdx.ticket("7", now=NOW)
    tdx.ticket("7", now=NOW)

    assert logins(helpdesk) == 1


@pytest.mark.parametrize("answer", [b"", b"<html>Sign in</html>", b"{}", b"a.b.c\r\nX-Evil: 1"])
def test_a_log_in_that_answers_no_token_is_told_without_quoting_it(connect, answers, answer):
    answers(token=answer)

    with pytest.raises(HelpdeskRefused, match="no access token"):
        connect().ticket("7", now=NOW)


@pytest.mark.parametrize(
    ("login", "path"),
    [
        ({}, "/auth"),
        ({"username": None, "password": None, "beid": PASSWORD, "web_services_key": PASSWORD}, "/auth/loginadmin"),
    ],
)
def test_a_refused_log_in_is_for_an_administrator_and_quotes_no_secret(connect, helpdesk, login, path):
    helpdesk.answer(API + path, 403, {"ID": -1, "Message": PASSWORD})
    helpdesk.answer(f"{API}/", 200, {})
    tdx = connect(**login)

    with pytest.raises(HelpdeskRefused) as refused:
        tdx.ticket("7", now=NOW)
    assert PASSWORD not in repr(refused.value) + str(refused.value)
    assert [it.ok for it in tdx.check()] == [True, False]


def test_a_used_up_minute_is_waited_for(connect, answers, helpdesk):
    answers()
    helpdesk.instead.pop(f"{API}/42/tickets/7")
    date = {"Date": "Tue, 24 Nov 2026 10:00:00 GMT", "X_RateLimit_Reset": "Tue, 24 Nov 2026 10:00:41 GMT"}
    helpdesk.answer(f"{API}/42/tickets/7", 429, {"Message": "API calls quota exceeded!"}, **date)

    with pytest.raises(HelpdeskUnavailable) as failed:
        connect().ticket("7", now=NOW)

    assert failed.value.after == 41


@pytest.mark.parametrize("reset", ["1764000000", "30", "soon", ""])
def test_a_reset_that_is_no_date_is_another_vendors(reset):
    assert seconds_to_wait({"X-RateLimit-Reset": reset}) is None


def test_doctor_says_what_to_do_about_each_right_that_is_missing(connect, answers, helpdesk):
    answers()
    helpdesk.answer(f"{API}/", 200, {})
    helpdesk.answer(f"{API}/auth/getuser", 200, {"UID": COLLEAGUE})
    helpdesk.answer(f"{API}/42/tickets/search", 403, {})
    helpdesk.answer(f"{API}/people/{ME}", 403, {})

    found = connect().check()

    assert [it.ok for it in found] == [True, True, False, False, False]
    assert all(word in it.fix for word, it in zip(("service_account", "app_id", "people"), found[2:], strict=True))


def test_the_page_shows_settings_that_are_taken(tmp_path):
    shown = PAGE.partition("```toml")[2].partition("```")[0]
    for name in ("password", "webhook"):
        (tmp_path / name).write_text(SECRET)
        shown = shown.replace(f"/etc/ticket-elevate/teamdynamix-{name}", str(tmp_path / name))

    made = helpdesks.connect("teamdynamix", tomllib.loads(shown)["helpdesks"]["teamdynamix"])

    assert isinstance(made, TeamDynamix)


def read(tdx, body):
    text = json.dumps(body).encode()
    signature = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    return tdx.read_delivery({"x-tdx-signature": signature}, text, now=NOW)


def entry(number, body, **changes):
    return {
        "ID": number,
        "Body": body,
        "CreatedUid": TECHNICIAN,
        "CreatedFullName": "Technician One",
        "CreatedDate": "2026-11-24T09:59:58Z",
        "UpdateType": 3,
        "ItemType": 9,
        **changes,
    }


def jwt(**claims):
    parts = ({"alg": "HS256"}, claims)
    return b".".join([*(base64.urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=") for it in parts), b"c2ln"])


def logins(helpdesk):
    return sum(path == f"{API}/auth" for _, path in helpdesk.calls)


# Changes


def test_changes_are_asked_for_a_minute_more_and_only_once_where_they_fit(connect, answers, helpdesk):
    answers()
    rows = [{"ID": 7, "ModifiedDate": "2026-11-24T09:00:00Z"}, {"ID": 8, "ModifiedDate": "2026-11-24T08:59:59Z"}]
    helpdesk.answer(f"{API}/42/tickets/search", 200, rows)
    desk = connect()

    told = desk.changed_since(NOW - timedelta(hours=1), now=NOW)

    assert ([it.number for it in told.tickets], told.more) == (["7"], False)
    assert json.loads(helpdesk.sent[-1]) == {"ModifiedDateFrom": "2026-11-24T08:59:00Z", "MaxResults": 500}
    assert sum("search" in path for _, path in helpdesk.calls) == 1
    assert desk.changed_since(NOW - timedelta(hours=1), page=2, now=NOW).tickets == ()


def test_more_changes_than_one_answer_holds_are_told_from_the_first_on(double):
    """TeamDynamix gives any five hundred of them: so shorter spans are asked for, down to the one that has too many."""
    since = double.now()
    desk = helpdesks.connect("desk", double.settings)
    double.later()
    early = double.changed_together(3)
    for _ in range(30):
        double.later()
    crowd = double.changed_together(501)
    double.later()
    late = double.changed_together(2)

    found, more = [], []
    while (not more or more[-1]) and len(more) < 6:  # how the spans fall depends on the clock
        told = desk.changed_since(since, now=double.now())
        more.append(told.more)
        found.append({it.number for it in told.tickets})
        since = max((it.at for it in told.tickets), default=since) + timedelta(seconds=1)

    assert found[0] >= set(early)
    assert set().union(*found) == {*early, *crowd, *late}
    assert more[:2] == [True, True]
    assert not more[-1]


@pytest.fixture(scope="module")
def double(tmp_path_factory):
    receiver = Receiver()
    with practice_runs(tmp_path_factory.mktemp("teamdynamix"), "--helpdesk", "teamdynamix") as practice:
        yield Double(practice, receiver)
    receiver.stop()


@pytest.fixture
def connect(helpdesk):
    """Connects to the small helpdesk, with some settings changed."""

    def with_changes(**changes):
        settings = {
            "url": helpdesk.url,
            "app_id": "42",
            "username": "ticket-elevate",
            "password": PASSWORD,
            "service_account": ME,
            "secrets": {"first": SECRET},
        }
        return TeamDynamix("desk", TeamDynamixSettings(**{**settings, **changes}))

    return with_changes


@pytest.fixture
def answers(helpdesk):
    """What the small helpdesk answers as TeamDynamix."""

    def answer(ticket=TICKET, *, feed=(), person=PERSON, token=None):
        helpdesk.answer(f"{API}/auth", 200, jwt(exp=time.time() + 86_400) if token is None else token)
        helpdesk.answer(f"{API}/42/tickets/7", 200, ticket)
        helpdesk.answer(f"{API}/42/tickets/7/feed", 200, list(feed))
        helpdesk.answer(f"{API}/people/{TECHNICIAN}", 200, person)

    return answer
