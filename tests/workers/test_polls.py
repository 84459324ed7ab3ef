"""What no call told us about is found by asking. Contract: nothing is lost, nothing is done twice, little is read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from integration.elevation import ACT_FRESHNESS, EndReason, State
from integration.records import deliveries
from integration.records import polls as records
from integration.records.polls import Poll
from integration.records.tables import deliveries as table
from integration.tickets import ChangedTicket, Changes, TicketEvent
from tests.conftest import Desk, Practice
from tests.workers.steps import fault, mend
from workers import polls
from workers.run import Due, What

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
MUCH_LATER = NOW + timedelta(hours=4)  # when the answer comes
POLL = Due(What.POLL, "practice")


def ask(desk: Desk) -> None:
    """One poll, and what it found, as soon as each is due."""
    polls.begin(desk.deployment, now=desk.now())
    desk.step(POLL)
    desk.advance(deliveries.SETTLE + timedelta(seconds=1))
    desk.sweep()


def again(desk: Desk) -> None:
    desk.advance(timedelta(seconds=desk.deployment.settings.poll_seconds))
    desk.step(POLL)
    desk.advance(deliveries.SETTLE + timedelta(seconds=1))
    desk.sweep()


def at_its_time(desk: Desk) -> None:
    row = poll(desk)
    assert row.due_at is not None
    desk.advance(max(row.due_at - desk.now(), timedelta()) + timedelta(seconds=1))
    desk.step(POLL)
    desk.advance(deliveries.SETTLE + timedelta(seconds=1))
    desk.sweep()


def where_to(*, page: int, ats: list[datetime], more: bool) -> tuple[datetime, int]:
    """Where a poll that asked from NOW on goes on."""
    changes = Changes(tuple(ChangedTicket(str(number), at) for number, at in enumerate(ats)), more=more)
    return polls.where_to(changes, NOW, page, now=MUCH_LATER)


def found(desk: Desk) -> list[str | None]:
    """How each delivery ended that nobody sent."""
    query = sa.select(table.c.outcome).where(table.c.kind == deliveries.POLL).order_by(table.c.id)
    with desk.deployment.records.read() as connection:
        return list(connection.execute(query).scalars())


def poll(desk: Desk) -> Poll:
    with desk.deployment.records.read() as connection:
        row = records.of(connection, "practice")
    assert row is not None
    return row


def readings(practice: Practice, ticket: str) -> int:
    log = practice.log()["requests"]
    return sum(it["method"] == "GET" and it["path"] == f"/api/tickets/{ticket}" for it in log)


def test_a_pick_and_a_close_that_no_call_told_of_start_and_end_an_elevation(desk: Desk, practice: Practice) -> None:
    desk.link()
    ask(desk)
    ticket = practice.new_ticket()
    practice.assign(ticket)

    again(desk)

    assert desk.only(ticket).state is State.ACTIVE
    practice.solve(ticket)
    again(desk)
    assert desk.only(ticket).end_reason == EndReason.SOLVED


def test_a_pick_of_before_an_outage_is_offered_and_not_started(desk: Desk, practice: Practice) -> None:
    desk.link()
    ask(desk)
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.advance(ACT_FRESHNESS + timedelta(minutes=1))

    again(desk)

    assert desk.only(ticket).state is State.OFFERED


def test_the_same_pick_told_by_a_call_and_found_by_asking_is_one(desk: Desk, practice: Practice) -> None:
    desk.link()
    ask(desk)
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.advance(timedelta(seconds=desk.deployment.settings.poll_seconds))
    desk.step(POLL)  # the call comes between the asking and the reading
    desk.deliver(ticket)

    desk.advance(deliveries.SETTLE + timedelta(seconds=1))
    desk.sweep()
    again(desk)

    assert desk.only(ticket).state is State.ACTIVE
    assert len(desk.elevations(ticket)) == 1


def test_what_a_call_told_is_not_read_again(desk: Desk, practice: Practice) -> None:
    ask(desk)
    ticket = practice.new_ticket(category="Something else")
    practice.assign(ticket)
    desk.deliver(ticket)
    before = readings(practice, ticket)
    assert before

    again(desk)

    assert readings(practice, ticket) == before
    assert found(desk) == []


def test_a_change_is_read_once_however_often_it_is_found(desk: Desk, practice: Practice) -> None:
    ask(desk)
    ticket = practice.new_ticket(category="Something else")
    again(desk)
    before = readings(practice, ticket)

    for _ in range(3):
        again(desk)

    assert found(desk) == [deliveries.READ]
    assert readings(practice, ticket) == before


def test_a_reading_that_is_older_than_what_the_list_shows_is_made_again(
    desk: Desk, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some helpdesks answer from a copy: what it does not show yet must not count as read."""
    desk.link()
    ask(desk)
    ticket = practice.new_ticket()
    helpdesk = desk.deployment.helpdesks["practice"]
    old = helpdesk.ticket(ticket, now=desk.now())
    desk.advance(timedelta(seconds=2))
    practice.assign(ticket)
    with monkeypatch.context() as patched:
        patched.setattr(helpdesk, "ticket", lambda *_a, **_k: replace(old, read_at=desk.now()))
        again(desk)
        assert desk.elevations(ticket) == []

    desk.advance(timedelta(seconds=5))
    desk.sweep()

    assert desk.only(ticket).state is State.ACTIVE


def test_what_a_call_showed_without_a_reading_is_known(desk: Desk, practice: Practice) -> None:
    """A desk that sends every comment, each with the whole ticket: asking what changed must not read them all."""
    ask(desk)
    ticket = practice.new_ticket(category="Something else")
    read = desk.deployment.helpdesks["practice"].ticket(ticket, now=desk.now())
    for number in range(3):
        desk.advance(timedelta(seconds=2))
        practice.desk("POST", f"/api/tickets/{ticket}/notes", {"body": "On my way.", "internal": True})
        changed = desk.deployment.helpdesks["practice"].ticket(ticket, now=desk.now()).updated_at
        assert changed is not None
        assert read.updated_at is not None
        event = TicketEvent(f"msg_{number}", ticket, "x", "first", fingerprint="same", shown_at=changed)
        with desk.deployment.records.write() as tx:
            kept = deliveries.store(tx, "practice", event, now=desk.now())
        assert kept is not None
        desk.step(Due(What.DELIVERY, kept))
    before = readings(practice, ticket)

    again(desk)

    assert readings(practice, ticket) == before
    assert found(desk) == []


def test_a_ticket_whose_number_is_not_of_the_usual_letters_is_worked(desk: Desk) -> None:
    ticket = ChangedTicket("St\u00f6rung 12 " + "\U0001f527" * 40, NOW)
    row = deliveries.found("practice", ticket, now=desk.now())
    assert row["delivery_id"].isascii()
    assert len(row["delivery_id"]) <= 128
    assert row["ticket"] == ticket.number
    assert row != deliveries.found("practice", replace(ticket, at=LATER), now=desk.now())


def test_a_connection_that_was_away_for_a_week_begins_anew(desk: Desk) -> None:
    ask(desk)
    with desk.deployment.records.write() as tx:
        records.postpone(tx, poll(desk), due_at=None, outcome="not asked any more")
    desk.advance(timedelta(days=1))
    polls.begin(desk.deployment, now=desk.now())
    assert desk.now() - poll(desk).since > timedelta(hours=23)
    with desk.deployment.records.write() as tx:
        records.postpone(tx, poll(desk), due_at=None, outcome="not asked any more")
    desk.advance(timedelta(days=6))
    polls.begin(desk.deployment, now=desk.now())
    assert desk.now() - poll(desk).since < timedelta(minutes=1)


def test_what_was_before_a_connection_was_made_is_not_its_business(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.advance(timedelta(minutes=6))

    ask(desk)

    assert desk.elevations(ticket) == []


def test_a_list_of_many_pages_is_asked_for_page_by_page_and_loses_none(desk: Desk, practice: Practice) -> None:
    ask(desk)
    tickets = {practice.new_ticket(category="Something else") for _ in range(230)}  # a page holds a hundred
    desk.advance(timedelta(seconds=desk.deployment.settings.poll_seconds))

    for steps in range(1, 10):  # noqa: B007
        desk.step(POLL)
        row = poll(desk)
        assert row.due_at is not None
        if row.due_at - desk.now() > polls.PAUSE:
            break
        desk.advance(polls.PAUSE)

    query = sa.select(table.c.ticket).where(table.c.kind == deliveries.POLL)
    with desk.deployment.records.read() as connection:
        told = list(connection.execute(query).scalars())
    assert set(told) == tickets
    assert len(told) == len(tickets)
    assert 3 <= steps < 9


def test_a_helpdesk_that_is_away_is_asked_again_more_and_more_slowly_from_where_it_was(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    ask(desk)
    ticket = practice.new_ticket()
    practice.assign(ticket)
    since = poll(desk).since
    fault(practice, "status", path="/api/tickets", side="helpdesk", times=1000, status=503)
    waits = []
    for _ in range(4):
        at_its_time(desk)
        row = poll(desk)
        assert row.outcome is not None
        assert row.due_at is not None
        assert (row.since, row.page) == (since, 1)
        waits.append(row.due_at - desk.now())
    assert waits[0] < waits[1] < waits[2]
    assert waits[3] <= timedelta(seconds=polls.SLOWEST)
    mend(practice)

    at_its_time(desk)

    assert poll(desk).outcome is None
    assert desk.only(ticket).state is State.OFFERED  # the pick is older than a pick may be


@pytest.mark.parametrize("page", [1, 2, 7])
def test_a_page_on_which_all_changed_at_once_is_followed_by_the_next_one(page: int) -> None:
    assert where_to(page=page, ats=[NOW, NOW], more=True) == (NOW, page + 1)
    assert where_to(page=page, ats=[NOW, LATER], more=True) == (LATER, 1)


def test_at_the_end_of_a_list_the_last_minutes_are_asked_for_again() -> None:
    hour = timedelta(hours=1)
    assert where_to(page=3, ats=[NOW, NOW + hour], more=False) == (NOW + hour - polls.OVERLAP, 1)
    assert where_to(page=1, ats=[NOW, LATER], more=False) == (NOW, 1)
    assert where_to(page=1, ats=[], more=False) == (NOW, 1)


def test_an_empty_page_before_others_is_passed_and_a_list_without_end_is_left() -> None:
    assert where_to(page=1, ats=[], more=True) == (NOW, 2)
    assert where_to(page=polls.MOST_PAGES, ats=[], more=True) == (LATER, 1)


@pytest.mark.parametrize("more", [True, False])
def test_a_time_that_is_yet_to_come_is_never_the_place_to_go_on_from(more: bool) -> None:
    """Else everything that changes before that time comes would be passed over."""
    since, page = where_to(page=1, ats=[MUCH_LATER + timedelta(hours=20)], more=more)
    assert since <= MUCH_LATER
    assert page == 1


def test_more_changes_at_one_time_than_are_asked_for_do_not_hold_up_what_follows() -> None:
    assert where_to(page=polls.MOST_PAGES, ats=[NOW], more=True) == (LATER, 1)


def test_after_an_outage_of_a_week_three_days_are_asked_for(desk: Desk, practice: Practice) -> None:
    ask(desk)
    desk.advance(timedelta(days=7))
    desk.step(POLL)
    (asked,) = [it["query"] for it in practice.log()["requests"] if "updated_since" in str(it.get("query"))][-1:]
    back = (desk.now() - records.FURTHEST).strftime("%Y-%m-%dT%H")
    assert back in str(asked)


def test_a_helpdesk_that_is_to_be_asked_no_more_is_asked_no_more(desk: Desk, practice: Practice) -> None:
    ask(desk)
    desk.deployment.settings.poll_seconds = 0
    desk.advance(timedelta(hours=1))
    before = len(practice.log()["requests"])
    desk.step(POLL)
    polls.begin(desk.deployment, now=desk.now())
    assert poll(desk).due_at is None
    assert len(practice.log()["requests"]) == before


def test_a_connection_that_was_taken_out_of_the_settings_is_asked_no_more(desk: Desk) -> None:
    with desk.deployment.records.write() as tx:
        records.begin(tx, ["gone"], now=desk.now())
    desk.step(Due(What.POLL, "gone"))
    with desk.deployment.records.read() as connection:
        row = records.of(connection, "gone")
    assert row is not None
    assert row.due_at is None
