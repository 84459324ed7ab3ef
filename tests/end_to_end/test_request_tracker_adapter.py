"""The adapter against a real Request Tracker 5, and that RT's own scrip and button reach us.

What must hold: who made whom the owner is read from RT's history; our notes are internal and found again; a delivery is
signed, names a state that can be read when it arrives, and costs the technician nothing, whatever the receiver does.
"""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integration.helpdesks.request_tracker import RequestTracker
from integration.helpdesks.request_tracker_changes import LISTED
from integration.helpdesks.request_tracker_settings import RequestTrackerSettings
from integration.rules_require import moment
from integration.tickets import HelpdeskUnavailable, SignatureRefused, Status, TicketEvent, TicketGone
from tests.conftest import until
from tests.end_to_end.receiver import Delivery, Receiver
from tests.end_to_end.request_tracker import QUEUE, RtInstance, install_extension, install_packages

pytestmark = [pytest.mark.request_tracker, pytest.mark.timeout(900)]

SECRET = "whsec_" + "VGhlIHNlY3JldCBvZiBhIHRlc3QsIDMyIGJ5dGVzISE="


def test_a_ticket_is_told_in_our_words(rt: RtInstance, helpdesk: RequestTracker) -> None:
    number = rt.create_ticket(
        "Reset my\u202e password <b>now</b>", CustomFields={"Category": "MFA reset", "Site": "B2"}
    )
    rt.take(number)
    ticket = helpdesk.ticket(number, now=_now())
    assert (ticket.connection, ticket.number, ticket.subject) == ("rt", number, "Reset my password <b>now</b>")
    assert (ticket.category, ticket.queue, ticket.fields) == ("MFA reset", QUEUE, {"status": "new", "Site": "B2"})
    assert ticket.assignee is not None
    assert (ticket.assignee.account, ticket.assignee.address) == ("technician", "technician@rt.test")
    assert ticket.assigned_at is not None
    assert abs((_now() - ticket.assigned_at).total_seconds()) < 60
    assert {(p.account, p.address) for p in ticket.requesters} == {
        ("requester", "requester@rt.test"),
        ("root", "root@localhost"),
    }


def test_when_a_ticket_is_due_is_a_field_that_a_rule_may_look_at(rt: RtInstance, helpdesk: RequestTracker) -> None:
    number = rt.create_ticket("due", Due="2031-02-03 04:05:06")
    due = moment(helpdesk.ticket(number, now=_now()).fields["Due"])
    assert due is not None
    assert abs(due - datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)) < timedelta(hours=15)  # the writer's zone is RT's


def test_a_technician_who_takes_a_ticket_is_the_one_who_assigned_it(rt: RtInstance, helpdesk: RequestTracker) -> None:
    number = rt.create_ticket("taken")
    assert helpdesk.ticket(number, now=_now()).assignee is None
    rt.take(number)
    assert _pick(helpdesk, number) == ("technician", "technician")


def test_a_ticket_handed_out_by_somebody_else_names_that_somebody(rt: RtInstance, helpdesk: RequestTracker) -> None:
    """Trust row 7."""
    number = rt.create_ticket("handed out")
    rt.take(number, by="technician2")
    rt.assign(number, "technician", by="root")
    assert _pick(helpdesk, number) == ("technician", "root")


def test_a_stolen_ticket_names_the_one_who_stole_it(rt: RtInstance, helpdesk: RequestTracker) -> None:
    number = rt.create_ticket("stolen")
    rt.take(number)
    first = helpdesk.ticket(number, now=_now()).change
    rt.steal(number, by="technician2")
    assert _pick(helpdesk, number) == ("technician2", "technician2")
    assert helpdesk.ticket(number, now=_now()).change != first


def test_an_owner_set_at_creation_was_set_by_the_creator(rt: RtInstance, helpdesk: RequestTracker) -> None:
    number = rt.create_ticket("born with an owner", Owner="technician")
    assert _pick(helpdesk, number) == ("technician", "root")


def test_the_open_tickets_of_a_technician_are_listed_the_newest_change_first(
    rt: RtInstance, helpdesk: RequestTracker
) -> None:
    mine, others, solved, second = (rt.create_ticket(f"list {word}") for word in ("mine", "others", "solved", "second"))
    for number in (mine, solved, second):
        rt.take(number)
    rt.take(others, by="technician2")
    rt.set_status(solved, "resolved", by="root")
    found = [(it.number, it.subject) for it in helpdesk.open_tickets("technician", limit=100)]
    assert [it for it in found if it[1].startswith("list ")] == [(second, "list second"), (mine, "list mine")]
    assert len(helpdesk.open_tickets("technician", limit=1)) == 1


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles", ""])
def test_what_changed_since_is_told_in_any_time_zone_of_our_account(
    rt: RtInstance, helpdesk: RequestTracker, zone: str
) -> None:
    rt.call("root", "PUT", "/user/elevate-bot", {"Timezone": zone})
    before, closed, unowned = (rt.create_ticket(f"{word} {zone}") for word in ("before", "closed", "unowned"))
    rt.take(before)
    since = _next_second(_updated(helpdesk, before))
    rt.set_status(closed, "resolved", by="root")
    at = _next_second(_updated(helpdesk, closed))
    mine = rt.create_ticket(f"mine {zone}")
    rt.take(mine)
    told = helpdesk.changed_since(since, now=_now())
    assert [(it.number, it.at) for it in told.tickets] == [
        (closed, _updated(helpdesk, closed)),
        (mine, _updated(helpdesk, mine)),
    ]
    assert not told.more
    assert _updated(helpdesk, unowned) is not None
    assert [it.number for it in helpdesk.changed_since(at, now=_now()).tickets] == [mine]
    assert helpdesk.changed_since(since, page=2, now=_now()).tickets == ()


def test_more_changes_than_one_look_tells_are_found_by_the_next_ones(rt: RtInstance, helpdesk: RequestTracker) -> None:
    """What changed within the hour before is in RT's answers, too."""
    old = rt.create_ticket("one of many", Owner="technician")
    rt.copies(old, 150, at=_updated(helpdesk, old) - timedelta(minutes=20))
    since = _next_second(_updated(helpdesk, old))
    together = _next_second(since)
    made = rt.copies(old, 620, at=together)
    looks = [helpdesk.changed_since(since, page=page, now=together) for page in (1, 2, 3)]
    assert [look.more for look in looks] == [True, False, False]
    told = [it for look in looks for it in look.tickets]
    assert {it.number for it in told} == made
    assert len(told) == 620 + LISTED, "a page of the second look is told again"
    assert {it.at for it in told} == {together}


@pytest.mark.parametrize(
    ("word", "status"),
    [("open", Status.OPEN), ("stalled", Status.ON_HOLD), ("resolved", Status.SOLVED), ("rejected", Status.SOLVED)],
)
def test_each_status_is_told_in_our_words(rt: RtInstance, helpdesk: RequestTracker, word: str, status: Status) -> None:
    number = rt.create_ticket(f"to be {word}")
    rt.set_status(number, word, by="root")
    assert helpdesk.ticket(number, now=_now()).status is status


def test_a_deleted_a_merged_and_an_unknown_ticket_are_gone(rt: RtInstance, helpdesk: RequestTracker) -> None:
    deleted, merged, into = (rt.create_ticket(subject) for subject in ("to delete", "to merge", "to keep"))
    rt.set_status(deleted, "deleted", by="root")
    rt.merge(merged, into)
    for number in (deleted, merged, "999999", "1/../2", "1?x", ""):
        with pytest.raises(TicketGone):
            helpdesk.ticket(number, now=_now())
    with pytest.raises(TicketGone):
        helpdesk.write_note("999999", "nobody will read this")
    rt.take(into)
    assert _pick(helpdesk, into) == ("technician", "technician")


def test_a_note_is_internal_and_is_found_again_by_its_marker(rt: RtInstance, helpdesk: RequestTracker) -> None:
    number = rt.create_ticket("to be noted")
    text = "Elevated until 10:30 – <b>no HTML</b>\nBcc: nobody@rt.test\n\n[te 01J-MARKER 7 0f0f]"
    assert not helpdesk.has_note(number, "01J-MARKER")
    helpdesk.write_note(number, text)
    assert helpdesk.has_note(number, "01J-MARKER")
    assert not helpdesk.has_note(number, "01J-OTHER")
    assert text in rt.comments(number, by="technician")
    assert "Elevated" not in "".join(path.read_text() for path in (rt.folder / "var").glob("*.mbox"))


def test_a_marker_that_somebody_else_typed_is_not_our_note(rt: RtInstance, helpdesk: RequestTracker) -> None:
    number = rt.create_ticket("copied")
    rt.call("technician", "POST", f"/ticket/{number}/comment", {"Content": "01J-COPY", "ContentType": "text/plain"})
    assert not helpdesk.has_note(number, "01J-COPY")


def test_a_state_older_than_the_delivery_asks_to_look_again_in_a_second(
    rt: RtInstance, helpdesk: RequestTracker
) -> None:
    number = rt.create_ticket("too new")
    with pytest.raises(HelpdeskUnavailable) as caught:
        helpdesk.ticket(number, revision="999999", now=_now())
    assert caught.value.after == 1


def test_a_take_arrives_signed_once_and_can_be_read_back_at_once(
    rt: RtInstance, helpdesk: RequestTracker, receiver: Receiver
) -> None:
    number = rt.create_ticket("taken with a hook")
    rt.take(number)
    event = _event(receiver, helpdesk, number)
    assert (event.kind, event.secret, event.idle) == ("ticket.owner_changed", "current", False)
    ticket = helpdesk.ticket(number, revision=event.revision, now=_now())
    assert ticket.assignee is not None
    assert (ticket.assignee.account, ticket.change) == ("technician", event.revision)
    rt.resolve(number)
    assert _event(receiver, helpdesk, number, skip=1).kind == "ticket.status_changed"
    assert len(_about(receiver, number)) == 2
    receiver.wait(lambda: not list((rt.folder / "var").glob("ticket-elevate-*")))


def test_one_changed_bit_in_a_delivery_is_refused(rt: RtInstance, helpdesk: RequestTracker, receiver: Receiver) -> None:
    """Trust row 1."""
    number = rt.create_ticket("forged")
    rt.take(number)
    _event(receiver, helpdesk, number)
    delivery = _about(receiver, number)[0]
    with pytest.raises(SignatureRefused):
        helpdesk.read_delivery(delivery.headers, delivery.body.replace(b"owner", b"ownes"), now=_now())


def test_a_take_does_not_wait_for_a_receiver_that_hangs(
    rt: RtInstance, helpdesk: RequestTracker, receiver: Receiver
) -> None:
    number = rt.create_ticket("taken before a receiver that hangs")
    with receiver.hanging():
        rt.take(number)  # comes back, though nobody has answered the delivery: nobody will before this block ends
        assert _pick(helpdesk, number) == ("technician", "technician")
        receiver.wait(lambda: receiver.hung > 0)
    _event(receiver, helpdesk, number)


def test_a_take_while_the_receiver_is_down_arrives_when_it_is_back(
    rt: RtInstance, helpdesk: RequestTracker, receiver: Receiver
) -> None:
    number = rt.create_ticket("taken while the receiver is down")
    receiver.stop()
    try:
        rt.take(number)
        receiver.wait(lambda: any((rt.folder / "var").glob("ticket-elevate-*/body")))
    finally:
        receiver.start()
    assert _event(receiver, helpdesk, number).ticket == number


def test_the_owner_of_an_active_ticket_sees_the_button_and_nobody_else_does(rt: RtInstance) -> None:
    number = rt.create_ticket("with a button")
    link = f'href="http://127.0.0.1:9/elevate/rt/{number}"'
    assert link not in rt.page(number, by="technician")
    rt.take(number)
    assert rt.page(number, by="technician").count(link) == 2  # on the ticket and in the Actions menu
    assert link not in rt.page(number, by="technician2")
    assert link not in rt.page(number, by="root")
    assert "TicketElevate/" not in rt.log()  # RT complains there of components that it cannot read, or finds twice
    rt.resolve(number)
    assert link not in rt.page(number, by="technician")


def test_the_secret_is_on_no_page_and_in_no_log(rt: RtInstance) -> None:
    """Trust row 24; RT shows its whole configuration to every SuperUser."""
    shown = rt.browse("/Admin/Tools/Configuration.html", by="root")
    assert "ticket-elevate.secret" in shown
    assert SECRET.removeprefix("whsec_") not in shown + rt.log()


def test_a_secret_file_that_others_can_read_stops_the_message_and_not_the_ticket(rt: RtInstance) -> None:
    """Trust row 25."""
    number = rt.create_ticket("taken with an open secret")
    secret = rt.folder / "ticket-elevate.secret"
    secret.chmod(0o444)
    try:
        rt.take(number)
    finally:
        secret.chmod(0o400)
    assert "can be read by others; run: chmod 0400" in rt.log()


def test_installing_again_adds_no_second_scrip(rt: RtInstance, receiver: Receiver) -> None:
    install_extension(
        rt.folder, webhook_url=receiver.url, secret=SECRET, elevate_url="http://127.0.0.1:9/elevate/rt/{ticket}"
    )
    with sqlite3.connect(rt.folder / "rt.sqlite") as database:
        scrips = database.execute("SELECT Description FROM Scrips WHERE Description LIKE '%Ticket Elevate'").fetchall()
    database.close()
    assert len(scrips) == 2


def test_installing_for_a_queue_that_is_not_there_fails_and_says_so(rt: RtInstance, receiver: Receiver) -> None:
    with pytest.raises(AssertionError, match="There is no queue 'Help desk' in this RT"):
        install_extension(
            rt.folder,
            webhook_url=receiver.url,
            secret=SECRET,
            elevate_url="http://127.0.0.1:9/elevate/rt/{ticket}",
            queues=(QUEUE, "Help desk"),
        )


def test_doctor_finds_all_well_and_says_what_is_not(rt: RtInstance, helpdesk: RequestTracker) -> None:
    assert [f for f in helpdesk.check() if not f.ok] == []
    assert len(helpdesk.check()) == 5
    wrong = [_adapter(rt, token="1-34-" + "0" * 32), _adapter(rt, token=rt.tokens["root"]), _adapter(rt, url=_DEAD)]
    fixes = [next(f.fix for f in adapter.check() if not f.ok) for adapter in wrong]
    assert "Make a new token" in fixes[0]
    assert "Set service_account" in fixes[1]
    assert "Check url" in fixes[2]


_DEAD = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def rt(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtInstance]:
    install_packages()
    folder: Path = tmp_path_factory.mktemp("rt")
    instance = RtInstance.start(
        folder, webhook_url=receiver.url, secret=SECRET, elevate_url="http://127.0.0.1:9/elevate/rt/{ticket}"
    )
    yield instance
    instance.stop()


@pytest.fixture
def helpdesk(rt: RtInstance) -> RequestTracker:
    return _adapter(rt)


def _adapter(rt: RtInstance, *, url: str | None = None, token: str | None = None) -> RequestTracker:
    settings = {
        "url": url or rt.url,
        "token": token or rt.tokens["elevate-bot"],
        "service_account": "elevate-bot",
        "secrets": {"current": SECRET},
    }
    return RequestTracker("rt", RequestTrackerSettings.model_validate(settings))


def _pick(helpdesk: RequestTracker, number: str) -> tuple[str | None, str | None]:
    ticket = helpdesk.ticket(number, now=_now())
    return (ticket.assignee.account if ticket.assignee else None), ticket.assigned_by


def _updated(helpdesk: RequestTracker, number: str) -> datetime:
    at = helpdesk.ticket(number, now=_now()).updated_at
    assert at is not None
    return at


def _next_second(at: datetime) -> datetime:
    """The one after `at`, when it has begun: RT writes down whole seconds."""
    after = at + timedelta(seconds=1)
    until(lambda: _now() >= after, "the second ends")
    return after


def _about(receiver: Receiver, number: str) -> list[Delivery]:
    return [delivery for delivery in receiver.seen if json.loads(delivery.body)["ticket"] == number]


def _event(receiver: Receiver, helpdesk: RequestTracker, number: str, *, skip: int = 0) -> TicketEvent:
    """The delivery about ticket `number` (the one after `skip` others), once it is here; its signature is good."""
    receiver.wait(lambda: len(_about(receiver, number)) > skip)
    delivery = _about(receiver, number)[skip]
    return helpdesk.read_delivery(delivery.headers, delivery.body, now=delivery.at)


def _now() -> datetime:
    return datetime.now(UTC)
