"""What is special to Jira: what its webhook signs, whose act a change is, and how a comment stays internal.

Wire facts: developer.atlassian.com/cloud/jira: "Webhooks", "Issues", "Request comments". What every adapter must do is
held against the double in tests/helpdesks.
"""

import copy
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cheroot import wsgi
from flask import Flask
from pydantic import ValidationError

from integration.helpdesks import connect, jira_deliveries
from integration.helpdesks.jira import Jira
from integration.helpdesks.jira_settings import JiraSettings
from integration.tickets import (
    DeliveryUnreadable,
    HelpdeskError,
    HelpdeskRefused,
    SignatureRefused,
    Status,
    TicketEvent,
    TicketGone,
)
from sandbox.clock import Clock
from sandbox.desk import Desk
from sandbox.sender import Sender
from sandbox.tenant import Tenant
from sandbox.vendors import jira as jira_double
from tests.integration.helpdesks.conftest import TOKEN, Answer, SmallHelpdesk
from workers.polls import where_to

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
OURS = "712020:ours"
TECHNICIAN, COLLEAGUE = "5b10a2844c20165700ede21a", "5b10a2844c20165700ede21b"
SECRET, RULE_SECRET = "a-signing-secret-of-thirty-two-chars", "a-static-secret-of-thirty-two-chars"
HERE = "/rest/api/3/issue/IT-1"
REQUEST = "/rest/servicedeskapi/request/IT-1/comment"

EVENT = {
    "timestamp": int(NOW.timestamp() * 1000),
    "webhookEvent": "jira:issue_updated",
    "issue_event_type_name": "issue_assigned",
    "user": {"accountId": TECHNICIAN, "accountType": "atlassian"},
    "issue": {"id": "10001", "key": "IT-1", "fields": {}},
    "changelog": {"id": "20001", "items": [{"field": "assignee", "fieldId": "assignee", "to": TECHNICIAN}]},
}
PICK = {
    "id": "20001",
    "author": {"accountId": TECHNICIAN, "accountType": "atlassian", "active": True},
    "created": "2026-11-24T09:59:58.120+0000",
    "items": [{"field": "assignee", "fieldtype": "jira", "fieldId": "assignee", "from": None, "to": TECHNICIAN}],
}
ISSUE = {
    "id": "10001",
    "key": "IT-1",
    "fields": {
        "summary": "Cannot sign in",
        "issuetype": {"id": "1", "name": "Service request"},
        "status": {"id": "10001", "name": "Waiting for support", "statusCategory": {"key": "indeterminate"}},
        "assignee": {
            "accountId": TECHNICIAN,
            "accountType": "atlassian",
            "active": True,
            "displayName": "Technician",
            "emailAddress": "technician@example.com",
        },
        "reporter": {"accountId": "qm:1", "accountType": "customer", "active": True, "displayName": "Requester"},
    },
    "changelog": {"startAt": 0, "maxResults": 1, "total": 1, "histories": [PICK]},
}


# What is signed


def test_atlassians_own_example_is_signed_and_another_body_is_not() -> None:
    keys = {"first": b"It's a Secret to Everybody"}
    digest = "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    headers = {"x-hub-signature": f"sha256={digest}"}
    with pytest.raises(DeliveryUnreadable):  # signed, and no JSON
        jira_deliveries.of_webhook("desk", keys, headers, b"Hello World!", telling=(), now=NOW)
    with pytest.raises(SignatureRefused):
        jira_deliveries.of_webhook("desk", keys, headers, b"Hello World?", telling=(), now=NOW)


@pytest.mark.parametrize("method", ["sha1", "sha512", "none", "", "SHA256", "sha256=sha256"])
def test_another_method_is_refused_until_we_know_it(jira: Jira, method: str) -> None:
    body = json.dumps(EVENT).encode()
    name = "sha1" if method == "sha1" else "sha512" if method == "sha512" else "sha256"
    digest = hmac.new(SECRET.encode(), body, name).hexdigest()
    with pytest.raises(SignatureRefused):
        jira.read_delivery({"x-hub-signature": f"{method}={digest}"}, body, now=NOW)


@pytest.mark.parametrize(("late", "taken"), [(-16, False), (-14, True), (75, True), (119, True), (121, False)])
def test_a_retry_may_come_late_and_an_old_call_not_again(jira: Jira, late: int, taken: bool) -> None:
    if taken:
        assert delivered(jira, EVENT, now=NOW + timedelta(minutes=late)).ticket == "IT-1"
    else:
        with pytest.raises(SignatureRefused):
            delivered(jira, EVENT, now=NOW + timedelta(minutes=late))


@pytest.mark.parametrize("time", [None, True, "1764000000000", 10**30, -1, 1.5])
def test_a_body_without_a_time_could_be_any_age(jira: Jira, time: Any) -> None:
    with pytest.raises(SignatureRefused):
        delivered(jira, {**EVENT, "timestamp": time})


def test_a_retry_has_the_id_of_its_first_try_and_one_without_has_its_bodys(jira: Jira) -> None:
    first, again = (delivered(jira, EVENT, name="w-1") for _ in range(2))
    assert first.delivery_id == again.delivery_id == "w-1"
    bare, odd = delivered(jira, EVENT), delivered(jira, EVENT, name="a b")
    assert bare.delivery_id == odd.delivery_id != delivered(jira, {**EVENT, "user": None}).delivery_id


@pytest.mark.parametrize(
    ("changed", "idle"),
    [
        ({}, False),
        ({"changelog": {"items": [{"fieldId": "status"}, {"fieldId": "resolution"}]}}, False),
        ({"changelog": {"items": [{"fieldId": "labels"}, {"fieldId": "customfield_10010"}]}}, True),
        ({"changelog": {"items": [{"fieldId": "labels"}, {"odd": 1}]}}, False),
        ({"changelog": {"items": [{"fieldId": "customfield_1", "field": "assignee"}]}}, True),
        ({"changelog": {"items": "labels"}}, False),
        ({"changelog": None}, False),
        ({"changelog": None, "issue_event_type_name": "issue_commented"}, True),
        ({"user": {"accountId": OURS}}, False),  # a rule that our note set off may act in our name
        ({"changelog": {"items": [{"fieldId": "summary"}]}}, False),
        ({"webhookEvent": "comment_created", "comment": {"author": {"accountId": COLLEAGUE}}}, True),
        ({"webhookEvent": "jira:issue_deleted", "changelog": None}, False),
        ({"webhookEvent": "jira:issue_created", "changelog": None}, False),
    ],
)
def test_only_what_says_itself_that_nothing_of_ours_changed_is_idle(
    jira: Jira, changed: dict[str, Any], idle: bool
) -> None:
    assert delivered(jira, {**EVENT, **changed}).idle is idle


# Automation rules


def test_a_rule_may_call_only_where_it_has_a_secret_of_its_own(jira: Jira, told: Callable[..., Jira]) -> None:
    headers, body = {"x-ticket-elevate-secret": RULE_SECRET}, rule_body()
    with pytest.raises(SignatureRefused):
        jira.read_delivery(headers, body, now=NOW)
    both = told(automation_secrets={"rules": RULE_SECRET})
    event = both.read_delivery(headers, body, now=NOW)
    assert (event.ticket, event.secret, event.idle) == ("IT-1", "rules", False)
    assert both.read_delivery(headers, rule_body(actor=OURS), now=NOW).idle
    for wrong in (SECRET, "", RULE_SECRET + "x"):
        with pytest.raises(SignatureRefused):
            both.read_delivery({"x-ticket-elevate-secret": wrong}, body, now=NOW)
    # Whoever sees a rule's secret cannot sign with it.
    digest = hmac.new(RULE_SECRET.encode(), body, hashlib.sha256).hexdigest()
    with pytest.raises(SignatureRefused):
        both.read_delivery({"x-hub-signature": f"sha256={digest}", **headers}, body, now=NOW)


def test_two_calls_of_a_rule_are_two_and_one_without_a_time_is_none(told: Callable[..., Jira]) -> None:
    helpdesk, headers = told(automation_secrets={"rules": RULE_SECRET}), {"x-ticket-elevate-secret": RULE_SECRET}
    ids = {helpdesk.read_delivery(headers, rule_body(at=at), now=NOW).delivery_id for at in ("1", "2", "2")}
    assert len(ids) == 2
    for body in (rule_body(at=""), rule_body(issue="../../x"), rule_body(issue="it-1")):
        with pytest.raises(DeliveryUnreadable):
            helpdesk.read_delivery(headers, body, now=NOW)


# Whose act it was


@pytest.mark.parametrize(
    "changed",
    [
        {"author": {"accountId": "557058:rules", "accountType": "app"}},
        {"author": {"accountId": TECHNICIAN}},
        {"author": None},
        {"author": {"accountId": TECHNICIAN + "\u200b", "accountType": "atlassian"}},
        {"historyMetadata": {"type": "some-app", "actor": {"id": "x"}}},
        {"items": [*PICK["items"], {"field": "status", "fieldId": "status", "to": "3"}]},
        {"items": [{"field": "assignee", "fieldId": "assignee", "to": COLLEAGUE}]},
        {"created": "2026-11-24T09:59:58.120"},
        {"id": None},
        {"items": [{"field": "assignee", "fieldId": "customfield_10050", "to": TECHNICIAN}]},
    ],
)
def test_what_the_history_does_not_say_for_sure_is_nobodys_pick(
    helpdesk: SmallHelpdesk, jira: Jira, changed: dict[str, Any]
) -> None:
    helpdesk.answer(HERE, 200, with_history({**PICK, **changed}))
    ticket = jira.ticket("IT-1", now=NOW)
    assert (ticket.assignee and ticket.assignee.account, ticket.assigned_by) == (TECHNICIAN, None)


def test_an_assignee_of_the_first_hour_is_nobodys_pick(helpdesk: SmallHelpdesk, jira: Jira) -> None:
    """One that the issue was created with stands in no history: a default, a rule or a person, who knows."""
    helpdesk.answer(HERE, 200, with_history())
    ticket = jira.ticket("IT-1", now=NOW)
    assert (ticket.assigned_by, ticket.change) == (None, None)


def test_a_pick_counts_once_an_administrator_says_that_rules_act_as_themselves(
    helpdesk: SmallHelpdesk, told: Callable[..., Jira]
) -> None:
    helpdesk.answer(HERE, 200, ISSUE)
    careful = told(rules_act_as_themselves=False).ticket("IT-1", now=NOW)
    assert (careful.assigned_by, careful.change) == (None, "20001")
    assert told().ticket("IT-1", now=NOW).assigned_by == TECHNICIAN


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_change_counts_in_whatever_order_they_come(helpdesk: SmallHelpdesk, jira: Jira, order: int) -> None:
    rule = {"accountId": "557058:rules", "accountType": "app"}
    newer = {**PICK, "id": "20002", "author": rule, "created": "2026-11-24T09:59:59.000+0000"}
    helpdesk.answer(HERE, 200, with_history(*[PICK, newer][::order]))
    ticket = jira.ticket("IT-1", now=NOW)
    assert (ticket.assigned_by, ticket.change) == (None, "20002")


def test_a_long_history_costs_one_read_more_and_its_newest_page_is_read(site: "Site") -> None:
    for n in range(150):
        site.desk.edit(site.ticket, {"subject": f"Cannot sign in ({n})"}, site.technician)
    site.desk.assign(site.ticket, "technician", site.technician)
    for n in range(80):
        site.desk.edit(site.ticket, {"subject": f"Still cannot sign in ({n})"}, site.technician)
    site.paths.clear()
    ticket = site.connect().ticket(site.key, now=datetime.now(UTC))
    assert ticket.assigned_by == site.double.account("technician")
    assert len(site.paths) == 2
    for n in range(120):
        site.desk.edit(site.ticket, {"subject": f"Cannot sign in at all ({n})"}, site.technician)
    assert site.connect().ticket(site.key, now=datetime.now(UTC)).assigned_by is None


def test_a_history_that_grows_while_it_is_read_tells_nothing(helpdesk: SmallHelpdesk, jira: Jira) -> None:
    grown = copy.deepcopy(ISSUE)
    grown["changelog"] = {"total": 200, "histories": [PICK] * 100}
    helpdesk.answer(HERE, 200, grown)
    helpdesk.answer(f"{HERE}/changelog", 200, {"total": 230, "isLast": False, "values": [PICK]})
    assert jira.ticket("IT-1", now=NOW).assigned_by is None


# Who it is


@pytest.mark.parametrize(
    ("changed", "address"),
    [
        ({}, "technician@example.com"),
        ({"active": False}, None),
        ({"accountType": "app"}, None),
        ({"accountType": "customer"}, None),
        ({"accountType": None}, None),
        ({"emailAddress": None}, "listed@example.com"),
        ({"emailAddress": None, "active": False}, None),
    ],
)
def test_an_address_is_given_of_people_who_work_and_a_hidden_one_from_the_settings(
    helpdesk: SmallHelpdesk, told: Callable[..., Jira], changed: dict[str, Any], address: str | None
) -> None:
    issue = copy.deepcopy(ISSUE)
    issue["fields"]["assignee"] |= changed  # type: ignore[index]
    helpdesk.answer(HERE, 200, issue)
    ticket = told(addresses={TECHNICIAN: "listed@example.com"}).ticket("IT-1", now=NOW)
    assert ticket.assignee
    assert ticket.assignee.address == address


@pytest.mark.parametrize("account", ["", None, TECHNICIAN + "\u202e", 1.5, [TECHNICIAN]])
@pytest.mark.parametrize("role", ["assignee", "reporter"])
def test_an_account_id_that_is_none_ends_the_reading(
    helpdesk: SmallHelpdesk, jira: Jira, role: str, account: Any
) -> None:
    issue = copy.deepcopy(ISSUE)
    issue["fields"][role] = {**ISSUE["fields"]["assignee"], "accountId": account}  # type: ignore[index]
    helpdesk.answer(HERE, 200, issue)
    with pytest.raises(HelpdeskRefused):
        jira.ticket("IT-1", now=NOW)


def test_whoever_filed_it_for_somebody_is_a_requester_and_so_are_participants(
    helpdesk: SmallHelpdesk, told: Callable[..., Jira]
) -> None:
    issue = copy.deepcopy(ISSUE)
    issue["fields"] |= {"creator": {"accountId": COLLEAGUE}, "customfield_10026": [{"accountId": "qm:2"}]}  # type: ignore[operator]
    helpdesk.answer(HERE, 200, issue)
    ticket = told(requester_fields=["reporter", "creator", "customfield_10026"]).ticket("IT-1", now=NOW)
    assert [it.account for it in ticket.requesters] == ["qm:1", COLLEAGUE, "qm:2"]


# Words


@pytest.mark.parametrize(
    ("name", "category", "status"),
    [
        ("Waiting for customer", "indeterminate", Status.ON_HOLD),
        ("Warten auf Kunden", "indeterminate", Status.ON_HOLD),
        ("With the vendor", "indeterminate", Status.OPEN),
        ("Parked", "undefined", Status.ON_HOLD),
        ("Parked", None, Status.ON_HOLD),
        ("Warten auf Kunden", "done", Status.SOLVED),
    ],
)
def test_a_sites_own_words_for_a_status(
    helpdesk: SmallHelpdesk, told: Callable[..., Jira], name: str, category: str | None, status: Status
) -> None:
    issue = copy.deepcopy(ISSUE)
    issue["fields"]["status"] = {"name": name, "statusCategory": {"key": category}}  # type: ignore[index]
    helpdesk.answer(HERE, 200, issue)
    words = {"Warten auf Kunden": Status.ON_HOLD, "Waiting for customer": Status.ON_HOLD}
    assert told(status_map=words).ticket("IT-1", now=NOW).status is status


def test_a_ticket_that_was_moved_is_gone_by_its_old_number(helpdesk: SmallHelpdesk, jira: Jira) -> None:
    helpdesk.answer(HERE, 200, {**ISSUE, "key": "OPS-7"})
    with pytest.raises(TicketGone):
        jira.ticket("IT-1", now=NOW)


# Notes


@pytest.mark.parametrize(
    "text",
    [
        "{panel}x{panel} {code:java}y{code} {{mono}}",
        "[~accountid:5b10a2844c20165700ede21a] [docs|https://evil.example] [^file.pdf]",
        "!https://evil.example/pixel.png! *bold* _em_ -gone- +new+ ^up^ ~down~ ??said??",
        "DOMAIN\\{panel}x{panel} \\\\ \\[link|https://evil.example]",
        "h1. x\n# one\n* two\n- three\n|| a || b ||\n----\n:) (!) (x)",
    ],
)
def test_no_mark_up_in_a_note_is_carried_out(site: "Site", text: str) -> None:
    helpdesk = site.connect()
    helpdesk.write_note(site.key, f"{text}\n[te:01HZY3:active]")
    (note,) = site.desk.tickets[site.ticket].notes
    said = note["body"].replace("\uff3c", "\\").replace("%7C", "|").replace("%5D", "]").replace("%21", "!")
    assert said == f"{text}\n[te:01HZY3:active]"
    assert note["internal"]
    assert helpdesk.has_note(site.key, "[te:01HZY3:active]")


def test_a_link_in_a_note_stays_one(site: "Site") -> None:
    site.connect().write_note(site.key, "Open https://elevate.example.org/elevate/our_jira/IT-1 and go on.")
    (note,) = site.desk.tickets[site.ticket].notes
    assert "https://elevate.example.org/elevate/our%5Fjira/IT-1 and" in note["body"]


def test_a_note_that_is_too_long_is_cut_before_its_marker(site: "Site") -> None:
    helpdesk = site.connect()
    helpdesk.write_note(site.key, "*\U0001f600" * 30_000 + "\n[te:01HZY3:active]")
    assert helpdesk.has_note(site.key, "[te:01HZY3:active]")


@pytest.mark.parametrize("answer", [{"id": "1", "public": True}, {"id": "1"}, {}, None, [], {"public": "false"}])
def test_a_note_that_is_not_said_to_be_internal_is_an_administrators_matter(
    helpdesk: SmallHelpdesk, jira: Jira, answer: Any
) -> None:
    helpdesk.answer(REQUEST, 201, answer)
    with pytest.raises(HelpdeskRefused, match="internal"):
        jira.write_note("IT-1", "Active.")
    assert helpdesk.calls == [("POST", REQUEST)]


def test_an_issue_that_is_no_request_gets_no_comment_and_is_not_taken_for_gone(
    helpdesk: SmallHelpdesk, jira: Jira
) -> None:
    helpdesk.answer(REQUEST, 404, {"errorMessage": "The request does not exist."})
    helpdesk.answer(HERE, 200, ISSUE)
    with pytest.raises(HelpdeskRefused, match="no request"):
        jira.write_note("IT-1", "Active.")
    assert [method for method, _ in helpdesk.calls] == ["POST", "GET"]


def test_our_newest_comment_is_found_in_one_read(site: "Site") -> None:
    for n in range(150):
        site.desk.add_note(site.ticket, f"Comment {n}", True, site.technician)
    helpdesk = site.connect()
    helpdesk.write_note(site.key, "[te:01HZY3:active]")
    site.paths.clear()
    assert helpdesk.has_note(site.key, "[te:01HZY3:active]")
    assert len(site.paths) == 1


def test_comments_that_never_end_are_an_error_and_not_a_no(helpdesk: SmallHelpdesk, jira: Jira) -> None:
    helpdesk.answer(f"{HERE}/comment", 200, {"total": 10**6, "comments": [{"id": "1"}] * 100})
    with pytest.raises(HelpdeskRefused):
        jira.has_note("IT-1", "[te:x:active]")


# Signing in


def test_each_kind_of_token_is_taken_at_its_own_address_alone(site: "Site") -> None:
    email, classic = site.double.site_token()
    on_site = {"api_url": None, "email": email, "token": classic}
    assert site.connect(**on_site).ticket(site.key, now=NOW).number == site.key
    for wrong in ({"api_url": None}, {"email": email}, {**on_site, "email": None}, {"token": classic}):
        with pytest.raises(HelpdeskRefused) as refused:
            site.connect(**wrong).ticket(site.key, now=NOW)
        assert refused.value.status == 401
        assert any("api_url" in it.fix for it in site.connect(**wrong).check())


def test_doctor_says_which_right_is_missing(helpdesk: SmallHelpdesk, jira: Jira) -> None:
    helpdesk.answer("/rest/api/3/myself", 200, {"accountId": "somebody-else"})
    held = {"BROWSE_PROJECTS": {"havePermission": True}, "SERVICEDESK_AGENT": {"havePermission": False}}
    helpdesk.answer("/rest/api/3/mypermissions", 200, {"permissions": held})
    fixes = " ".join(it.fix for it in jira.check() if not it.ok)
    assert "service_account" in fixes
    assert "Service Project Agent" in fixes


@pytest.mark.parametrize("account", ['x" OR assignee = "y', "x\\", "", "x y", "x" * 129])
def test_no_account_ends_the_text_within_the_query(helpdesk: SmallHelpdesk, jira: Jira, account: str) -> None:
    assert not jira.open_tickets(account, limit=10)
    assert not helpdesk.calls


@pytest.mark.parametrize(
    "wrong",
    [
        {"secrets": {}},
        {"secrets": {"a": "canary"}},
        {"secrets": {"a": "It's a Secret to Everybody"}},
        {"automation_secrets": {"a": "canary"}},
        {"url": "https://canary@example.atlassian.net"},
        {"token": "canary token"},
        {"requester_fields": []},
    ],
)
def test_settings_that_would_let_somebody_in_are_refused_and_not_quoted(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        JiraSettings(**{**settings_of("https://example.atlassian.net"), **wrong})
    assert "canary" not in str(refused.value)


def test_no_error_shows_a_secret(helpdesk: SmallHelpdesk, jira: Jira) -> None:
    helpdesk.answer(HERE, 403, {"errorMessages": [TOKEN]})
    with pytest.raises(HelpdeskError) as refused:
        jira.ticket("IT-1", now=NOW)
    assert TOKEN not in repr(refused.value) + str(refused.value) + repr(jira)


# The parts


def delivered(jira: Jira, event: dict[str, Any], *, now: datetime = NOW, name: str = "") -> TicketEvent:
    headers = {"x-atlassian-webhook-identifier": name} if name else {}
    body = json.dumps(event).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return jira.read_delivery({"x-hub-signature": f"sha256={digest}", **headers}, body, now=now)


def rule_body(issue: str = "IT-1", actor: str = TECHNICIAN, at: str = "2026-11-24T10:00:00.0+0000") -> bytes:
    return json.dumps({"issue": issue, "actor": actor, "at": at}).encode()


def with_history(*entries: Any) -> dict[str, Any]:
    log = {"startAt": 0, "maxResults": len(entries), "total": len(entries), "histories": list(entries)}
    return {**ISSUE, "changelog": log}


def settings_of(url: str) -> dict[str, Any]:
    return {
        "url": url,
        "token": TOKEN,
        "service_account": OURS,
        "secrets": {"first": SECRET},
        "rules_act_as_themselves": True,
    }


# Changes


@pytest.mark.parametrize(
    ("ago", "minutes"),
    [(timedelta(0), 11), (timedelta(seconds=61), 12), (timedelta(days=1), 1451), (-timedelta(1), 11)],
)
def test_changes_are_asked_for_by_how_long_ago_they_were(
    jira: Jira, helpdesk: SmallHelpdesk, ago: timedelta, minutes: int
) -> None:
    """A time in a query has no seconds, and is read in the time zone of our account, which could be any."""
    helpdesk.answer("/rest/api/3/search/jql", 200, {"issues": [], "isLast": True})
    jira.changed_since(NOW - ago, now=NOW)
    asked = dict(parse_qsl(helpdesk.calls[-1][1].partition("?")[2]))
    assert asked["jql"].startswith(f"updated >= -{minutes}m AND ")
    assert asked["jql"].endswith(" ORDER BY updated ASC, key ASC")


def test_further_changes_are_found_by_the_token_of_the_answer_before(jira: Jira, helpdesk: SmallHelpdesk) -> None:
    first, second = ({"key": key, "fields": {"updated": "2026-11-24T10:59:00.123+0100"}} for key in ("IT-1", "IT-2"))
    helpdesk.answer("/rest/api/3/search/jql", 200, {"issues": [first], "isLast": False, "nextPageToken": "t&1"})
    helpdesk.answer("/rest/api/3/search/jql", 200, {"issues": [second], "isLast": True})
    told = jira.changed_since(NOW - timedelta(hours=1), now=NOW)
    at = datetime(2026, 11, 24, 9, 59, 0, 123000, UTC)
    assert ([(it.number, it.at) for it in told.tickets], told.more) == ([("IT-1", at), ("IT-2", at)], False)
    assert helpdesk.calls[-1][1].endswith("&nextPageToken=t%261")


def test_a_list_that_leads_to_itself_is_not_read_for_ever(jira: Jira, helpdesk: SmallHelpdesk) -> None:
    row = {"key": "HELP-7", "fields": {"updated": "2026-11-24T09:40:00.000+0000"}}
    for _ in range(3):
        helpdesk.answer("/rest/api/3/search/jql", 200, {"issues": [row], "isLast": False, "nextPageToken": "t1"})

    told = jira.changed_since(NOW - timedelta(hours=1), now=NOW)

    assert ([it.number for it in told.tickets], told.more, len(helpdesk.calls)) == (["HELP-7"], True, 2)


def test_many_changes_within_the_minutes_that_are_read_again_are_all_told_in_few_calls(
    jira: Jira, helpdesk: SmallHelpdesk
) -> None:
    """3,000 in ten minutes, asked for as the worker asks. Each look sees them from the first one on."""
    start = NOW - timedelta(minutes=10)
    times = [start + timedelta(milliseconds=200 * n) for n in range(3_000)]
    rows = [{"key": f"IT-{n + 1}", "fields": {"updated": f"{at:%Y-%m-%dT%H:%M:%S.%f%z}"}} for n, at in enumerate(times)]

    def listed() -> Answer:
        asked = dict(parse_qsl(helpdesk.calls[-1][1].partition("?")[2]))
        begin = int(asked.get("nextPageToken", 0))
        last = begin + 100 >= len(rows)
        onward = {} if last else {"nextPageToken": str(begin + 100)}
        return 200, {}, [json.dumps({"issues": rows[begin : begin + 100], "isLast": last, **onward}).encode()]

    helpdesk.instead["/rest/api/3/search/jql"] = [listed]
    since, page, found, more = start, 1, set[str](), True
    while more:
        changes = jira.changed_since(since, page=page, now=NOW)
        found |= {it.number for it in changes.tickets}
        since, page = where_to(changes, since, page, now=NOW)
        more = changes.more
        assert len(helpdesk.calls) <= 100
    assert len(found) == len(rows)


@pytest.fixture
def told(helpdesk: SmallHelpdesk) -> Callable[..., Jira]:
    """An adapter of the small helpdesk, with some settings changed."""
    return lambda **changes: Jira("desk", JiraSettings(**{**settings_of(helpdesk.url), **changes}))


@pytest.fixture
def jira(told: Callable[..., Jira]) -> Jira:
    return told()


@dataclass
class Site:
    """The double on a port of its own, with one ticket."""

    url: str
    desk: Desk
    double: jira_double.Jira
    paths: list[str]
    ticket: str = "4821"
    key: str = "IT-4821"

    @property
    def technician(self) -> Any:
        return self.desk.account("technician")

    def connect(self, **changes: Any) -> Jira:
        made = connect("desk", {**self.double.settings(self.url), **changes})
        assert isinstance(made, Jira)
        return made


@pytest.fixture
def site() -> Iterator[Site]:
    clock, app = Clock(), Flask("site")
    paths: list[str] = []
    sender = Sender(clock)
    desk = Desk(Tenant(clock, 300, 0, 0), clock, sender.send)
    double = jira_double.Jira(desk, sender, clock)
    app.register_blueprint(double.blueprint())

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        paths.append(environ["PATH_INFO"])
        return app.wsgi_app(environ, start_response)

    server = wsgi.Server(("127.0.0.1", 0), counted, numthreads=3)
    server.shutdown_timeout = 1
    server.expiration_interval = 0.02
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield Site(f"http://127.0.0.1:{server.bind_addr[1]}", desk, double, paths)
    server.stop()
    thread.join(10)
