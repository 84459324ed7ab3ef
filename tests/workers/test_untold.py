"""A helpdesk that does not say who assigned a ticket: its technician gets the link, once, and nothing starts alone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integration.deployment import Deployment
from integration.elevation import EndReason, State
from tests.conftest import Desk, Practice, settings_for
from workers.trying import Hand, one


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """By settings that find neither whose hand it was nor the change itself."""
    silent = {**practice.facts["helpdesk"], "change": "not_there", "assigned_by": "not_there"}
    made = Deployment(settings_for(practice, database_url, tmp_path, helpdesks={"practice": silent}))
    made.records.migrate()
    yield made
    made.records.dispose()


_SECOND = timedelta(seconds=2)


def readings(practice: Practice, ticket: str) -> int:
    log = practice.log()["requests"]
    return sum(it["method"] == "GET" and it["path"] == f"/api/tickets/{ticket}" for it in log)


def told(desk: Desk, ticket: str) -> None:
    """A call, and the quick looks for a history that might lag."""
    desk.deliver(ticket)
    for _ in range(8):
        desk.advance(_SECOND)
        desk.sweep()


def test_the_ticket_gets_the_link_once_and_says_why(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)

    told(desk, ticket)
    before = readings(practice, ticket)
    told(desk, ticket)

    assert desk.only(ticket).state is State.OFFERED
    (note,) = practice.notes(ticket)
    assert note.startswith("The helpdesk does not say who assigned this ticket, so nothing was activated.")
    assert readings(practice, ticket) == before + 1  # what is known to be silent is not waited for again


def test_it_ends_with_the_ticket_and_is_offered_to_the_next_one(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    told(desk, ticket)
    practice.assign(ticket, "technician2", by="approver")
    told(desk, ticket)

    first, second = desk.elevations(ticket)
    assert (first.end_reason, second.state) == (EndReason.HANDED_OVER, State.OFFERED)
    practice.solve(ticket)
    told(desk, ticket)
    assert {it.end_reason for it in desk.elevations(ticket)} == {EndReason.HANDED_OVER, EndReason.SOLVED}


def test_a_ticket_for_which_no_rule_is_there_is_not_waited_for(desk: Desk, practice: Practice) -> None:
    ticket = practice.new_ticket(category="Something else")
    practice.assign(ticket)
    told(desk, ticket)
    assert readings(practice, ticket) == 1


def test_trying_says_the_same(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    read = desk.deployment.helpdesks["practice"].ticket(ticket, now=desk.now())
    assert one(desk.deployment, read, None, now=datetime.now(UTC)).hand is Hand.UNTOLD
