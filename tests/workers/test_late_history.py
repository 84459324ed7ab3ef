"""A feed of TeamDynamix that shows an assignment only later. Contract: whoever clicked meanwhile goes on."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integration.elevation import Elevation, EndReason, State, another, move
from integration.journal import Kind
from integration.records import elevations, journal, people
from integration.records.people import Link
from integration.tickets import Ticket
from tests.conftest import Desk, Practice, practice_runs
from tests.workers.steps import end_now, fault, mend
from webhooks import pressing


@pytest.fixture(scope="module")
def practice_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    with practice_runs(tmp_path_factory.mktemp("sandbox"), "--helpdesk", "teamdynamix") as practice:
        yield practice


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


def hide_feed(practice: Practice, ticket: str, *, times: int) -> None:
    path = f"/tickets/{ticket}/feed"
    fault(practice, "status", method="GET", path=path, side="helpdesk", status=200, body="[]", times=times)


def told(desk: Desk, ticket: str) -> None:
    """A call, and the quick looks for a history that might lag."""
    desk.deliver(ticket)
    for _ in range(8):
        desk.advance(timedelta(seconds=2))
        desk.sweep()


def link(desk: Desk, practice: Practice) -> None:
    person, account = practice.people["technician"], practice.facts["helpdesk_accounts"]["technician"]
    desk.sign_in()
    tid = practice.facts["tenant_id"]
    made = Link("practice", account, tid, person["oid"], person["name"], person["mail"], desk.now(), None)
    with desk.deployment.records.write() as tx:
        people.make_link(tx, made)


def offered(desk: Desk, practice: Practice) -> str:
    """A ticket that its technician took, and whose feed does not show it."""
    ticket = practice.new_ticket()
    practice.assign(ticket)
    hide_feed(practice, ticket, times=99)
    told(desk, ticket)
    return ticket


def clicked(desk: Desk, ticket: str) -> Elevation:
    """What the page does when the technician presses; they have still to sign in."""
    it = replace(desk.only(ticket), acted_at=desk.now(), clicked=True)
    with desk.deployment.records.write() as tx:
        elevations.save_elevation(tx, move(it, State.REQUESTED, due_at=desk.now()))
        facts = {"ticket": f"{it.connection}/{it.ticket}"}
        journal.append(tx, Kind.PICK_PLANNED, now=desk.now(), cause="click", elevation=it.id, facts=facts)
    desk.sweep()
    return desk.only(ticket)


def clicked_and_ended(desk: Desk, practice: Practice, *, after: timedelta) -> str:
    """A ticket whose feed is still silent when its technician, who clicked, ends it again."""
    link(desk, practice)
    ticket = offered(desk, practice)
    assert clicked(desk, ticket).state is State.ACTIVE
    desk.advance(after)
    end_now(desk, ticket)
    return ticket


def test_a_click_that_waits_goes_on_when_the_feed_shows_the_assignment(desk: Desk, practice: Practice) -> None:
    ticket = offered(desk, practice)
    waits = clicked(desk, ticket)
    assert waits.state is State.SIGN_IN_NEEDED
    mend(practice)

    told(desk, ticket)

    assert desk.only(ticket) == replace(waits, due_at=desk.only(ticket).due_at, version=desk.only(ticket).version)


def test_a_click_that_was_ended_does_not_start_again_by_itself(desk: Desk, practice: Practice) -> None:
    ticket = clicked_and_ended(desk, practice, after=timedelta(minutes=6))
    mend(practice)

    told(desk, ticket)

    assert desk.only(ticket).end_reason == EndReason.END_NOW
    practice.assign(ticket, "technician2")
    practice.assign(ticket)
    told(desk, ticket)
    assert [it.state for it in desk.elevations(ticket)] == [State.ENDED, State.ACTIVE]  # that is another pick


@pytest.mark.parametrize("ahead", [90, 280])
def test_a_click_that_was_ended_does_not_start_again_where_the_helpdesks_clock_is_ahead(
    desk: Desk, practice: Practice, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    helpdesk = desk.deployment.helpdesks["practice"]
    read = helpdesk.ticket

    def of_tomorrow(number: str, **how: Any) -> Ticket:
        it = read(number, **how)
        return replace(it, assigned_at=it.assigned_at + timedelta(seconds=ahead)) if it.assigned_at else it

    monkeypatch.setattr(helpdesk, "ticket", of_tomorrow)
    ticket = clicked_and_ended(desk, practice, after=timedelta(seconds=20))
    mend(practice)

    told(desk, ticket)

    assert desk.only(ticket).end_reason == EndReason.END_NOW


def test_a_second_click_that_was_ended_does_not_start_again_by_itself_either(desk: Desk, practice: Practice) -> None:
    """The ticket was handed over and taken again in between, and the feed told nothing of it all."""
    ticket = clicked_and_ended(desk, practice, after=timedelta(minutes=6))
    first = desk.only(ticket)
    for who in ("technician2", "technician"):
        practice.assign(ticket, who)
        told(desk, ticket)
    read = desk.deployment.helpdesks["practice"].ticket(ticket, now=desk.now())
    second = another(first, "E2", now=desk.now(), pick=pressing.another_pick(read), acted_at=desk.now())
    with desk.deployment.records.write() as tx:
        elevations.open_elevation(tx, second)
        facts = {"ticket": f"{second.connection}/{ticket}"}
        journal.append(tx, Kind.PICK_PLANNED, now=desk.now(), cause="click", elevation="E2", facts=facts)
    desk.sweep()
    assert {it.id: it.state for it in desk.elevations(ticket)}["E2"] is State.ACTIVE
    desk.advance(timedelta(minutes=6))
    end_now(desk, ticket)
    mend(practice)

    told(desk, ticket)

    assert not [it for it in desk.elevations(ticket) if it.state in (State.ACTIVE, State.REQUESTED)]


def test_a_feed_that_shows_it_within_seconds_starts_the_pick_and_offers_nothing(desk: Desk, practice: Practice) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)
    hide_feed(practice, ticket, times=2)

    told(desk, ticket)

    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
