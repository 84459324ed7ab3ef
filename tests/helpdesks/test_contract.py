"""What every adapter keeps: the promises of integration.tickets.Helpdesk, held against one that works and fails."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from integration.helpdesks import connect
from integration.tickets import (
    DeliveryRefused,
    Helpdesk,
    HelpdeskError,
    HelpdeskRefused,
    HelpdeskUnavailable,
    ListsTickets,
    ProvesPresser,
    SignatureRefused,
    Status,
    TellsChanges,
    Ticket,
    TicketGone,
    clean,
)
from tests.end_to_end.receiver import Receiver
from tests.helpdesks.bench import Bench, Delivery

MARKER = "[te:01HZY3:ACTIVE]"
HOSTILE = (
    "<script>alert(1)</script>",
    "{{ticket.id}} {{{ticket.id}}} {{current_user.id}} {% raw %}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "[code]<b>x</b>[/code]",
    "{panel}*bold*{panel} [link|https://evil.example]",
    "a & b < c > d \" e ' f",
    "\u202eevil\u200b",
    "x\x00y",
)
INSIDE = (
    "10.0.0.5", "192.168.1.2", "172.16.0.1", "100.64.0.1", "169.254.169.254", "127.0.0.2", "0.0.0.0",  # noqa: S104
    "[fe80::1]", "[fd00:ec2::254]", "[::ffff:10.0.0.5]",
)  # fmt: skip
HOSTILE_NUMBERS = [
    "../../x",
    "1?x",
    "1#x",
    "..",
    ".",
    "1/2",
    "1%2f2",
    "",
    "9" * 65,
    "1\n",
    "1\u202e",
    "http://127.0.0.2",
]


def picked(bench: Bench, **ticket: str) -> str:
    number = bench.new_ticket(**ticket)
    bench.assign(number, bench.technician, by=bench.technician)
    return number


def read(helpdesk: Helpdesk, bench: Bench, number: str) -> Ticket:
    return helpdesk.ticket(number, now=bench.now())


def of_the_pick(bench: Bench, number: str) -> Delivery:
    return bench.deliveries(number)[-1]


# Deliveries


def test_a_pick_is_delivered_signed_and_names_its_ticket(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    sent = of_the_pick(bench, number)
    at = bench.now()
    event = helpdesk.read_delivery(sent.headers, sent.body, now=at)
    assert (event.ticket, event.idle) == (number, False)
    assert event.delivery_id
    assert event.kind
    assert event.secret in bench.settings["secrets"]
    again = helpdesk.read_delivery(sent.headers, sent.body, now=at)
    assert again == (event if bench.tells_repeats else replace(event, delivery_id=again.delivery_id))


def test_two_deliveries_have_two_ids(helpdesk: Helpdesk, bench: Bench) -> None:
    sent = [of_the_pick(bench, picked(bench)) for _ in range(2)]
    assert len({helpdesk.read_delivery(it.headers, it.body, now=bench.now()).delivery_id for it in sent}) == 2


def test_each_change_of_one_ticket_is_a_delivery_of_its_own(helpdesk: Helpdesk, bench: Bench) -> None:
    """Also where a call says no more than which ticket it is about: or a second pick would pass for a repeat."""
    number = picked(bench)
    told = [of_the_pick(bench, number)]
    for to, by in ((bench.colleague, bench.technician), (bench.technician, bench.technician)):
        bench.assign(number, to, by=by)
        told.append(of_the_pick(bench, number))
    events = [helpdesk.read_delivery(it.headers, it.body, now=bench.now()) for it in told]
    assert [it.idle for it in events] == [False] * 3
    assert len({it.delivery_id for it in events}) == 3


def test_a_delivery_without_its_headers_is_refused(helpdesk: Helpdesk, bench: Bench) -> None:
    sent = of_the_pick(bench, picked(bench))
    with pytest.raises(SignatureRefused):
        helpdesk.read_delivery({}, sent.body, now=bench.now())


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_delivery_of_another_time_is_refused(helpdesk: Helpdesk, bench: Bench, hours: int) -> None:
    """Kept by somebody and sent once more; the clocks themselves are never that far apart."""
    if not bench.signs_time:
        pytest.skip("it signs no time")
    sent = of_the_pick(bench, picked(bench))
    with pytest.raises(SignatureRefused):
        helpdesk.read_delivery(sent.headers, sent.body, now=bench.now() + timedelta(hours=hours))


def test_a_delivery_of_another_connection_is_refused(bench: Bench) -> None:
    sent = of_the_pick(bench, picked(bench))
    (name, secret), *_ = bench.settings["secrets"].items()
    turned = secret[:10] + secret[10:30][::-1] + secret[30:]
    other = connect("desk", {**bench.settings, "secrets": {name: turned}})
    with pytest.raises(SignatureRefused):
        other.read_delivery(sent.headers, sent.body, now=bench.now())


def test_both_secrets_are_taken_while_one_replaces_the_other(bench: Bench) -> None:
    """First a new one stands beside the old one, then the old one is taken out: what it signed is refused from then on,
    also what was under way.
    """
    under_way = of_the_pick(bench, picked(bench))
    (secret,) = bench.settings["secrets"].values()
    fresh = secret[:10] + secret[10:30][::-1] + secret[30:]
    steps = ({"old": secret}, {"new": fresh, "old": secret}, {"old": secret, "new": fresh})
    for secrets in steps:
        rotating = connect("desk", {**bench.settings, "secrets": secrets})
        assert rotating.read_delivery(under_way.headers, under_way.body, now=bench.now()).secret == "old"
    rotated = connect("desk", {**bench.settings, "secrets": {"new": fresh}})
    with pytest.raises(SignatureRefused):
        rotated.read_delivery(under_way.headers, under_way.body, now=bench.now())


def test_what_our_own_note_sets_off_is_idle(helpdesk: Helpdesk, bench: Bench) -> None:
    number = bench.new_ticket()
    helpdesk.write_note(number, f"Active. {MARKER}")
    for sent in bench.deliveries(number):
        event = helpdesk.read_delivery(sent.headers, sent.body, now=bench.now())
        assert event.idle or "note" not in event.kind


@hypothesis_settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_signed_body_is_more_than_refused(bench: Bench, helpdesk: Helpdesk, data: st.DataObject) -> None:
    """Payloads of the vendor's own shape, mutated: each is an event of a ticket, or a sentence for an administrator."""
    url = str(bench.settings["url"])
    if url not in _TEMPLATES:
        _TEMPLATES[url] = of_the_pick(bench, picked(bench)).body
    body = json.dumps(_mutated(data, json.loads(_TEMPLATES[url]))).encode()
    with suppress(DeliveryRefused):
        event = helpdesk.read_delivery(_signed(bench, body), body, now=bench.now())
        assert clean(event.ticket) == event.ticket != ""


_TEMPLATES: dict[str, bytes] = {}
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text(max_size=20), st.sampled_from(HOSTILE),
    st.floats(allow_nan=False, allow_infinity=False), st.lists(st.integers(), max_size=2), st.just({"id": 1}),
)  # fmt: skip


def _signed(bench: Bench, body: bytes) -> dict[str, str]:
    return {name.lower(): value for name, value in bench.signed(body).items()}


def _mutated(data: st.DataObject, value: object) -> object:
    if isinstance(value, dict) and data.draw(st.integers(0, 9)) > 1:
        return {key: _mutated(data, one) for key, one in value.items() if data.draw(st.integers(0, 19)) > 0}
    return value if data.draw(st.integers(0, 9)) > 1 else data.draw(_SCALARS)


# Tickets


def test_a_ticket_is_read_in_our_words(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench, subject="Cannot sign in")
    ticket = read(helpdesk, bench, number)
    assert (ticket.connection, ticket.number, ticket.subject) == ("desk", number, "Cannot sign in")
    assert (ticket.category, ticket.status) == ("Password reset", Status.OPEN)
    assert ticket.assignee is not None
    assert ticket.assignee.account == bench.technician
    assert ticket.assignee.address
    assert bench.requester in {person.account for person in ticket.requesters}


def test_a_pick_of_ones_own_is_told_from_the_history(helpdesk: Helpdesk, bench: Bench) -> None:
    ticket = read(helpdesk, bench, picked(bench))
    assert ticket.assigned_by == bench.technician
    assert ticket.change
    assert ticket.assigned_at is not None
    assert abs(bench.now() - ticket.assigned_at) < timedelta(minutes=2)


def test_a_pick_does_not_get_younger_by_reading_it_again(helpdesk: Helpdesk, bench: Bench) -> None:
    """Or one of yesterday would start something today."""
    number = picked(bench)
    first = read(helpdesk, bench, number)
    bench.comment(number, "Called back.", by=bench.technician)
    later = helpdesk.ticket(number, now=bench.now() + timedelta(hours=1))
    assert (later.assigned_at, later.change) == (first.assigned_at, first.change)


def test_what_somebody_else_assigned_is_not_a_pick(helpdesk: Helpdesk, bench: Bench) -> None:
    number = bench.new_ticket()
    bench.assign(number, bench.technician, by=bench.colleague)
    assert read(helpdesk, bench, number).assigned_by == bench.colleague


def test_what_an_automation_assigned_is_nobodys_pick(helpdesk: Helpdesk, bench: Bench) -> None:
    number = bench.new_ticket()
    if not bench.assign_by_rule(number, bench.technician, under=bench.technician):
        pytest.skip("this helpdesk has no automation of its own")
    ticket = read(helpdesk, bench, number)
    assert ticket.assignee is not None
    assert ticket.assigned_by != bench.technician


def test_each_pick_has_a_name_of_its_own(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    first = read(helpdesk, bench, number).change
    bench.assign(number, bench.colleague, by=bench.technician)
    bench.assign(number, bench.technician, by=bench.technician)
    second = read(helpdesk, bench, number)
    assert (second.assigned_by, second.change != first) == (bench.technician, True)


def test_what_happens_afterwards_does_not_hide_a_pick(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    change = read(helpdesk, bench, number).change
    for n in range(30):
        bench.comment(number, f"Called back, attempt {n}.", by=bench.colleague)
    assert read(helpdesk, bench, number).change == change


def test_a_ticket_that_nobody_has(helpdesk: Helpdesk, bench: Bench) -> None:
    ticket = read(helpdesk, bench, bench.new_ticket())
    assert (ticket.assignee, ticket.assigned_by, ticket.change) == (None, None, None)
    number = picked(bench)
    bench.assign(number, None, by=bench.technician)
    ticket = read(helpdesk, bench, number)
    assert (ticket.assignee, ticket.assigned_by) == (None, None)


def test_an_agent_without_an_address_has_picked_and_has_none(helpdesk: Helpdesk, bench: Bench) -> None:
    """So that nobody can link the account: no other address is made up for it."""
    number = picked(bench)
    if not bench.set_person(bench.technician, address=None):
        pytest.skip("this helpdesk always tells an address")
    ticket = read(helpdesk, bench, number)
    assert ticket.assignee is not None
    assert (ticket.assignee.account, ticket.assignee.address) == (bench.technician, None)
    assert ticket.assigned_by == bench.technician


def test_a_disabled_agent_has_no_address(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    if not bench.set_person(bench.technician, address=bench.address_of(bench.technician), active=False):
        pytest.skip("this helpdesk does not tell who is disabled")
    ticket = read(helpdesk, bench, number)
    assert ticket.assignee is not None
    assert (ticket.assignee.account, ticket.assignee.address) == (bench.technician, None)


def test_two_accounts_with_one_address_are_two_accounts(helpdesk: Helpdesk, bench: Bench) -> None:
    mine, number = picked(bench), bench.new_ticket()
    bench.assign(number, bench.colleague, by=bench.technician)
    if not bench.set_person(bench.colleague, address=bench.address_of(bench.technician)):
        pytest.skip("this helpdesk gives an address to one account alone")
    first, second = read(helpdesk, bench, mine), read(helpdesk, bench, number)
    assert first.assignee is not None
    assert second.assignee is not None
    assert [it.assignee.account for it in (first, second) if it.assignee] == [bench.technician, bench.colleague]
    assert first.assignee.address == second.assignee.address
    assert second.assigned_by == bench.technician, "by the account, whoever else has the address"
    if isinstance(helpdesk, ListsTickets):
        found = {it.number for it in helpdesk.open_tickets(bench.technician, limit=50)}
        assert number not in found


@pytest.mark.parametrize("status", list(Status))
def test_each_status_is_told_in_our_words(helpdesk: Helpdesk, bench: Bench, status: Status) -> None:
    number = picked(bench)
    bench.set_status(number, status)
    assert read(helpdesk, bench, number).status is status


def test_a_deleted_and_an_unknown_ticket_are_gone(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    bench.delete(number)
    for gone in (number, _unknown(number)):
        with pytest.raises(TicketGone):
            read(helpdesk, bench, gone)


def _unknown(number: str) -> str:
    return number.rstrip("0123456789") + "99999999" if number[-1].isdigit() else "f" * len(number)


@pytest.mark.parametrize("number", HOSTILE_NUMBERS)
def test_a_hostile_number_never_leaves_its_place(helpdesk: Helpdesk, bench: Bench, number: str) -> None:
    bench.calls()
    for act in (
        lambda: read(helpdesk, bench, number),
        lambda: helpdesk.write_note(number, "x"),
        lambda: helpdesk.has_note(number, "x"),
        lambda: helpdesk.ticket_url(number),
    ):
        with pytest.raises(TicketGone):
            act()
    assert not bench.calls()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_cleaned_at_the_door(helpdesk: Helpdesk, bench: Bench, text: str) -> None:
    ticket = read(helpdesk, bench, picked(bench, subject=f"Cannot {text} sign in"))
    assert ticket.subject == clean(ticket.subject)
    assert "\u202e" not in ticket.subject
    assert ticket.assigned_by == bench.technician


def test_the_open_tickets_of_somebody_are_listed_and_nobody_elses(helpdesk: Helpdesk, bench: Bench) -> None:
    if not isinstance(helpdesk, ListsTickets):
        pytest.skip("this adapter lists no tickets")
    mine, solved, others = picked(bench), picked(bench), bench.new_ticket()
    bench.set_status(solved, Status.SOLVED)
    bench.assign(others, bench.colleague, by=bench.colleague)
    found = [it.number for it in helpdesk.open_tickets(bench.technician, limit=50)]
    assert mine in found
    assert not {solved, others} & set(found)


def test_who_presses_is_believed_by_a_signature_alone(bench: Bench, helpdesk: Helpdesk) -> None:
    if not isinstance(helpdesk, ProvesPresser):
        pytest.skip("it signs no press")
    claimed = {"account": bench.technician, "principal": bench.technician, "user_id": bench.technician}
    for authorization in ("", "Bearer ", f"Bearer {bench.technician}", "Bearer e30.e30.", "Basic eDp4"):
        with pytest.raises(SignatureRefused):
            helpdesk.presser({"authorization": authorization}, claimed, now=bench.now())


# Changes, for the calls that never arrived


INSTANT = timedelta(microseconds=1)


@pytest.fixture
def telling(helpdesk: Helpdesk, bench: Bench) -> TellsChanges:
    """A helpdesk that tells changes; what happened before now is two minutes ago there."""
    if not isinstance(helpdesk, TellsChanges) or not bench.later():
        pytest.skip("this helpdesk tells no changes")
    return helpdesk


def changed(telling: TellsChanges, bench: Bench, since: datetime) -> list[tuple[str, datetime]]:
    """All that changed since, in the order in which it is told; asked for as the protocol says."""
    assert bench.later()
    found: list[tuple[str, datetime]] = []
    page = 1
    for _ in range(20):
        told = telling.changed_since(since, page=page, now=bench.now())
        found += [(it.number, it.at) for it in told.tickets if (it.number, it.at) not in found]
        if not told.more:
            return found
        last = told.tickets[-1].at if told.tickets else since
        since, page = (last, 1) if last > since else (since, page + 1)
    raise AssertionError("what changed does not end")


def last_change(helpdesk: Helpdesk, bench: Bench, number: str) -> datetime:
    at = read(helpdesk, bench, number).updated_at
    assert at is not None
    assert at.utcoffset() == timedelta()
    return at


def test_picks_and_closes_are_told_in_the_order_in_which_they_happened(
    helpdesk: Helpdesk, telling: TellsChanges, bench: Bench
) -> None:
    untouched, closed = picked(bench), picked(bench)
    since = max(last_change(helpdesk, bench, it) for it in (untouched, closed)) + INSTANT
    bench.later()
    late = picked(bench)
    bench.later()
    bench.set_status(closed, Status.SOLVED)
    assert [number for number, _ in changed(telling, bench, since)] == [late, closed]


def test_a_change_is_told_with_the_time_that_its_ticket_has(
    helpdesk: Helpdesk, telling: TellsChanges, bench: Bench
) -> None:
    number = picked(bench)
    at = last_change(helpdesk, bench, number)
    assert (number, at) in changed(telling, bench, at)
    assert number not in [it for it, _ in changed(telling, bench, at + INSTANT)]


def test_what_changed_at_one_moment_is_told_whole(telling: TellsChanges, bench: Bench) -> None:
    since = bench.now()
    bench.later()
    together = bench.changed_together(250)
    if not together:
        pytest.skip("no two tickets of this helpdesk change at one moment")
    found = changed(telling, bench, since)
    assert {number for number, _ in found} == set(together)
    assert len({at for _, at in found}) == 1


def test_a_deleted_ticket_that_is_told_is_found_to_be_gone(
    helpdesk: Helpdesk, telling: TellsChanges, bench: Bench
) -> None:
    number, since = picked(bench), bench.now() - timedelta(minutes=1)
    bench.later()
    bench.delete(number)
    for found, _ in changed(telling, bench, since):
        with pytest.raises(TicketGone):
            read(helpdesk, bench, found)


def test_changes_cost_one_call(telling: TellsChanges, bench: Bench) -> None:
    number = picked(bench)
    changed(telling, bench, bench.now())  # where the first call of all needs a token
    bench.calls()
    told = telling.changed_since(bench.now() - timedelta(minutes=30), now=bench.now())
    assert number in [it.number for it in told.tickets]
    assert len(bench.calls()) == 1


def test_nothing_changed_since_now(telling: TellsChanges, bench: Bench) -> None:
    picked(bench)
    bench.later()
    told = telling.changed_since(bench.now(), now=bench.now())
    assert (told.tickets, told.more) == ((), False)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 302])
def test_changes_that_are_refused_are_one_of_our_errors(telling: TellsChanges, bench: Bench, status: int) -> None:
    bench.break_down(status, headers={"Retry-After": "7", "Location": "http://127.0.0.1:1/"})
    with pytest.raises(HelpdeskError) as failed:
        telling.changed_since(bench.now(), now=bench.now())
    bench.mend()
    assert failed.value.try_again == (status in (429, 500, 503))


@pytest.mark.parametrize("answer", ["<html>Sorry</html>", "null", "{}", '{"id": ', "7", '"x"'])
def test_an_answer_that_is_no_list_of_changes_is_one_of_our_errors(
    telling: TellsChanges, bench: Bench, answer: str
) -> None:
    changed(telling, bench, bench.now())
    bench.break_down(200, body=answer)
    with pytest.raises(HelpdeskError):
        telling.changed_since(bench.now() - timedelta(hours=1), now=bench.now())
    bench.mend()


# Notes


def test_a_note_is_internal_whole_and_found_again(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    assert not helpdesk.has_note(number, MARKER)
    helpdesk.write_note(number, f"Password Administrator is active.\nUntil 12:00 UTC.\n{MARKER}")
    (note,) = bench.comments(number)
    assert note.internal
    lines = [it.strip() for it in _LINE_END.split(note.text)]
    assert "Password Administrator is active." in lines, "each line of ours is a line of the note"
    assert "Until 12:00 UTC." in lines
    assert MARKER in note.text
    assert helpdesk.has_note(number, MARKER)
    assert not helpdesk.has_note(number, MARKER.replace("ACTIVE", "ENDED"))


def test_a_marker_that_somebody_else_typed_is_not_our_note(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    bench.comment(number, f"Look: {MARKER}", by=bench.colleague)
    assert not helpdesk.has_note(number, MARKER)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_note_is_carried_out(helpdesk: Helpdesk, bench: Bench, text: str) -> None:
    """The words arrive as words: no placeholder is filled in, and no mark-up becomes an element."""
    number = picked(bench)
    helpdesk.write_note(number, f"Subject: {text} {MARKER}")
    (note,) = bench.comments(number)
    assert "49" not in note.text
    assert f"of {number}" not in note.text
    assert "<script>" not in note.text or "<" not in _rendered(note.text)
    if text == HOSTILE[0]:
        shown = unescape(note.text)
        assert re.search(r"\Wscript\Walert\(1\)\W/script\W", shown), "what looks like an element is read, and not lost"
    assert helpdesk.has_note(number, MARKER)


_LINE_END = re.compile(r"\n|<br ?/?>|</?(?:p|div|li)[^>]*>")


def _rendered(text: str) -> str:
    return "" if "&lt;" in text else text.replace("<script>", "").replace("</script>", "")


def test_a_marker_is_found_behind_many_comments(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    helpdesk.write_note(number, MARKER)
    for n in range(120):
        bench.comment(number, f"Comment {n}", by=bench.colleague)
    assert helpdesk.has_note(number, MARKER)


@pytest.mark.long
def test_a_note_is_found_in_a_ticket_of_5000_comments_in_a_bounded_number_of_calls(
    helpdesk: Helpdesk, bench: Bench
) -> None:
    """The oldest and the newest: at the price of every page, or of one where the vendor can begin at that end."""
    number = picked(bench)
    helpdesk.write_note(number, f"The oldest. {MARKER}")
    if not bench.comment_often(number, 4998, by=bench.colleague):
        pytest.skip("this helpdesk takes too long for that")
    fresh = MARKER.replace("ACTIVE", "ENDED")
    helpdesk.write_note(number, f"The newest. {fresh}")
    bench.calls()
    costs = []
    for marker in (fresh, MARKER, MARKER.replace("ACTIVE", "LONGER")):
        assert helpdesk.has_note(number, marker) is (marker in (fresh, MARKER))
        costs.append(len(bench.calls()))
    assert max(costs) <= 60, costs


# Cost


def test_a_delivery_costs_two_reads_and_a_note_one_write(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    read(helpdesk, bench, number)
    bench.calls()
    read(helpdesk, bench, number)
    assert [method for method, _ in bench.calls()] in (["GET"], ["GET", "GET"])
    helpdesk.write_note(number, "One.")
    assert len(bench.calls()) == 1


def test_a_delivery_that_is_idle_costs_nothing(helpdesk: Helpdesk, bench: Bench) -> None:
    number = picked(bench)
    sent = of_the_pick(bench, number)
    bench.calls()
    helpdesk.read_delivery(sent.headers, sent.body, now=bench.now())
    assert not bench.calls()


# Failures


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_helpdesk_that_is_busy_or_broken_is_asked_again(helpdesk: Helpdesk, bench: Bench, status: int) -> None:
    number = picked(bench)
    read(helpdesk, bench, number)
    bench.break_down(status, headers={"Retry-After": "7"})
    for act in (lambda: read(helpdesk, bench, number), lambda: helpdesk.write_note(number, "x")):
        with pytest.raises(HelpdeskUnavailable) as failed:
            act()
        assert failed.value.after == 7
    bench.mend()
    assert read(helpdesk, bench, number).number == number


@pytest.mark.parametrize("status", [400, 403])
def test_a_refusal_is_for_an_administrator(helpdesk: Helpdesk, bench: Bench, status: int) -> None:
    number = picked(bench)
    bench.break_down(status)
    with pytest.raises(HelpdeskRefused):
        read(helpdesk, bench, number)
    bench.mend()


@pytest.mark.parametrize("answer", ["<html>Sorry, we are down</html>", "[]", "null", "{}", '{"id": ', "7", '"x"'])
def test_an_answer_that_is_no_ticket_is_one_of_our_errors(helpdesk: Helpdesk, bench: Bench, answer: str) -> None:
    number = picked(bench)
    read(helpdesk, bench, number)
    bench.break_down(200, body=answer)
    with pytest.raises(HelpdeskError):
        read(helpdesk, bench, number)
    with suppress(HelpdeskError):
        # Where a vendor's list of notes is the whole answer, an empty one only says that there is none.
        assert (answer, helpdesk.has_note(number, MARKER)) == ("[]", False)
    bench.mend()


def test_an_answer_about_another_ticket_is_one_of_our_errors(
    helpdesk: Helpdesk, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache between us mixes them up, or a search finds what only begins alike."""
    asked, other = picked(bench), picked(bench)
    assert read(helpdesk, bench, other).number == other
    send = HTTPAdapter.send
    anywhere = re.compile(rf"((?<![\w.-])|(?<=%[0-9A-F]{{2}})){re.escape(asked)}(?![\w.-])")
    changed = 0

    def mixed_up(self: HTTPAdapter, request: PreparedRequest, **more: Any) -> Response:
        nonlocal changed
        parts = urlsplit(str(request.url))
        (path, here), (query, there) = (anywhere.subn(other, part) for part in (parts.path, parts.query))
        request.url = urlunsplit(parts._replace(path=path, query=query))
        changed += here + there
        return send(self, request, **more)

    monkeypatch.setattr(HTTPAdapter, "send", mixed_up)
    with pytest.raises(HelpdeskError):
        read(helpdesk, bench, asked)
    monkeypatch.undo()
    assert changed, "its number is in no address: nothing was mixed up"
    assert read(helpdesk, bench, asked).number == asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_followed_to_another_server(
    helpdesk: Helpdesk, bench: Bench, elsewhere: Receiver, status: int
) -> None:
    """Neither with our token nor without: a read, a note and the look for one."""
    number = picked(bench)
    read(helpdesk, bench, number)
    bench.break_down(status, headers={"Location": elsewhere.url})
    for act in (
        lambda: read(helpdesk, bench, number),
        lambda: helpdesk.write_note(number, "x"),
        lambda: helpdesk.has_note(number, MARKER),
    ):
        with pytest.raises(HelpdeskRefused):
            act()
    bench.mend()
    assert (elsewhere.seen, elsewhere.asked) == ([], 0)


@pytest.mark.parametrize("host", INSIDE)
def test_settings_that_point_inside_are_refused_unless_they_say_that_it_is_meant(bench: Bench, host: str) -> None:
    inside = {**bench.settings, "url": f"https://{host}"}
    with pytest.raises(ValueError, match="internal"):
        connect("desk", inside)
    assert connect("desk", {**inside, "internal": True}).connection == "desk"
    with pytest.raises(ValueError, match="internal: Input should be a valid boolean"):
        connect("desk", {**inside, "internal": "yes"})


@pytest.fixture
def elsewhere() -> Iterator[Receiver]:
    """Another server, which nobody should ask."""
    other = Receiver()
    yield other
    other.stop()


def test_doctor_finds_all_well_and_says_what_is_not(helpdesk: Helpdesk, bench: Bench) -> None:
    assert [it for it in helpdesk.check() if not it.ok] == []
    bench.break_down(401)
    wrong = [it for it in connect("desk", bench.settings).check() if not it.ok]
    bench.mend()
    assert wrong
    assert all(it.fix for it in wrong)
