"""Orders, clocks and connections that are not as they should be. Contract: the ticket as it stands counts, once."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from integration import rules
from integration.deployment import Deployment
from integration.elevation import State
from integration.records import deliveries
from integration.records.tables import deliveries as kept
from integration.records.tables import elevations as held
from integration.tickets import TicketEvent
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import wait_for
from workers.run import Due, What

REQUESTS = "roleAssignmentScheduleRequests"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


def deliver(desk: Desk, ticket: str, kind: str, number: str, *, connection: str = "practice") -> bool:
    """What the receiver and the worker do for one event; False for one that was heard of before."""
    event = TicketEvent(number, ticket, kind, "first")
    with desk.deployment.records.write() as tx:
        row = deliveries.store(tx, connection, event, now=desk.now())
    if row is not None:
        desk.step(Due(What.DELIVERY, row))
    return row is not None


# Orders


EVENTS = ("ticket.created", "ticket.assigned", "ticket.unassigned", "ticket.solved")
ORDERS = list(itertools.permutations(EVENTS))


def story_of(practice: Practice, events: tuple[str, ...]) -> str:
    """A ticket to which these happened, in this order; nobody has told us yet."""
    ticket = practice.new_ticket()
    for event in events:
        if event in ("ticket.assigned", "ticket.unassigned"):
            to = "technician" if event == "ticket.assigned" else None
            practice.desk("POST", f"/api/tickets/{ticket}/assign", {"assignee": to})
        if event == "ticket.solved":
            practice.solve(ticket)
    return ticket


def test_four_deliveries_in_each_of_their_orders_about_a_ticket_that_is_over_start_nothing(
    desk: Desk, practice: Practice
) -> None:
    """Threat 4: "assigned" that arrives last is a role for nobody's ticket."""
    desk.link()
    for order in ORDERS:
        ticket = story_of(practice, EVENTS)
        for event in order:
            deliver(desk, ticket, event, f"{event}_{ticket}")
        assert desk.elevations(ticket) == [], order
        assert practice.notes(ticket) == [], order
    assert practice.activation_requests() == []


def test_four_deliveries_in_each_of_their_orders_about_a_ticket_that_is_held_start_one_elevation(
    desk: Desk, practice: Practice
) -> None:
    """Threat 4: created, assigned, unassigned, and assigned again."""
    desk.link()
    events = ("ticket.created", "ticket.assigned", "ticket.unassigned", "ticket.assigned_again")
    tickets = []
    for order in itertools.permutations(events):
        ticket = story_of(practice, (*events[:3], "ticket.assigned"))
        for event in order:
            deliver(desk, ticket, event, f"{event}_{ticket}")
        assert desk.only(ticket).state is State.ACTIVE, order
        assert len(practice.notes(ticket)) == 1, order
        tickets.append(ticket)
    assert len(practice.activation_requests()) == 1
    assert len({desk.only(ticket).activation for ticket in tickets}) == 1


@pytest.mark.parametrize("late", EVENTS)
def test_a_delivery_that_arrives_after_everything_changes_nothing_any_more(
    desk: Desk, practice: Practice, late: str
) -> None:
    """Threat 4: each event told as it happens, but one, which is told at the very end."""
    desk.link()
    ticket = practice.new_ticket()
    for event in EVENTS:
        if event == "ticket.assigned":
            practice.assign(ticket)
        if event == "ticket.unassigned":
            practice.desk("POST", f"/api/tickets/{ticket}/assign", {"assignee": None})
        if event == "ticket.solved":
            practice.solve(ticket)
        if event != late:
            deliver(desk, ticket, event, event)
    deliver(desk, ticket, late, late)
    for _ in range(3):
        desk.advance(timedelta(minutes=6))
        desk.sweep()

    assert all(it.state in (State.ENDED, State.CANCELLED) for it in desk.elevations(ticket))
    assert practice.active_roles() == []
    assert len(practice.activation_requests()) == (0 if late == "ticket.assigned" else 1)


# Two helpdesks


@pytest.fixture
def two_desks(practice: Practice, tmp_path: Path) -> Iterator[Desk]:
    """The practice helpdesk connected a second time, under another name and with a secret of its own."""
    given = settings_for(practice, f"sqlite:///{tmp_path}/elevate.sqlite", tmp_path)
    other = {**given.helpdesks["practice"], "secrets": {"first": "whsec_" + "QUJD" * 8}}
    made = Deployment(given.model_copy(update={"helpdesks": {**given.helpdesks, "second": other}}))
    made.records.migrate()
    yield Desk(made, practice)
    made.records.dispose()


def test_the_same_number_in_two_helpdesks_is_two_tickets(two_desks: Desk, practice: Practice) -> None:
    """Threat 5: a link, a pick and an end in one helpdesk say nothing about the other."""
    desk = two_desks
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)

    assert deliver(desk, ticket, "ticket.assigned", "msg_1")
    assert deliver(desk, ticket, "ticket.assigned", "msg_1", connection="second"), "the ids are each helpdesk's own"
    assert not deliver(desk, ticket, "ticket.assigned", "msg_1", connection="second")

    def states() -> dict[str, str]:
        with desk.deployment.records.read() as connection:
            return {row.connection: row.state for row in connection.execute(sa.select(held))}

    assert states() == {"practice": "active", "second": "sign_in_needed"}
    practice.solve(ticket)
    deliver(desk, ticket, "ticket.solved", "msg_2", connection="second")
    assert states() == {"practice": "active", "second": "cancelled"}
    assert len(practice.activation_requests()) == 1


# Rules that demand a click


@pytest.fixture
def careful(practice: Practice, tmp_path: Path) -> Iterator[Desk]:
    path = tmp_path / "rules.toml"
    path.write_text(rules_of_one_click(), encoding="utf-8")
    made = Deployment(settings_for(practice, f"sqlite:///{tmp_path}/elevate.sqlite", tmp_path, rules_file=path))
    made.records.migrate()
    yield Desk(made, practice)
    made.records.dispose()


def rules_of_one_click() -> str:
    """The shipped rules, each of which waits for a click."""
    text = rules.SHIPPED.read_text(encoding="utf-8")
    return text.replace('start = "on_pick"', 'start = "on_click"')


def test_no_delivery_of_any_kind_starts_what_its_rule_leaves_to_a_click(careful: Desk, practice: Practice) -> None:
    """Threat 8: not even for one who acts as the technician in the helpdesk."""
    desk = careful
    desk.link()
    ticket = practice.new_ticket()
    for number in range(3):
        practice.assign(ticket)
        for event in EVENTS:
            deliver(desk, ticket, event, f"{event}_{number}")
        desk.advance(timedelta(seconds=61))
        desk.sweep()
        assert {it.state for it in desk.elevations(ticket)} <= {State.OFFERED, State.CANCELLED}
        practice.desk("POST", f"/api/tickets/{ticket}/assign", {"assignee": None})
    assert practice.activation_requests() == []
    assert practice.active_roles() == []


# The tenant's clock


@pytest.mark.parametrize("off", [-600, 600], ids=["ten minutes behind", "ten minutes ahead"])
@pytest.mark.parametrize("kind", [None, "lose_answer"])
@pytest.mark.usefixtures("clocks_apart")
def test_a_tenant_whose_clock_is_wrong_grants_once_and_gets_it_back(
    desk: Desk, practice: Practice, off: int, kind: str | None
) -> None:
    """Threat 44. One that is behind us grants it when it comes to the moment for which we asked."""
    practice.control("/clock", {"advance_seconds": off})
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    if kind:
        practice.control("/faults", {"match": {"method": "POST", "path": REQUESTS}, "kind": kind})
    deliver(desk, ticket, "ticket.assigned", "msg_1")
    wait_for(desk, timedelta(seconds=70), steps=10)
    assert desk.only(ticket).state is State.ACTIVE
    assert practice.active_roles()
    assert len(practice.activation_requests()) == 1
    practice.solve(ticket)
    deliver(desk, ticket, "ticket.solved", "msg_2")
    wait_for(desk, timedelta(minutes=6), steps=4)

    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []


@pytest.mark.usefixtures("clocks_apart")
@pytest.mark.parametrize("jump", [-600, 600], ids=["back", "ahead"])
def test_a_tenant_whose_clock_jumps_while_a_role_is_active_is_never_said_to_have_taken_it_back_before_it_did(
    desk: Desk, practice: Practice, jump: int
) -> None:
    """Threat 44, and invariant 17: not "ended" while the tenant shows it."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    deliver(desk, ticket, "ticket.assigned", "msg_1")
    assert desk.only(ticket).state is State.ACTIVE
    practice.control("/clock", {"advance_seconds": jump})
    for _ in range(12):
        desk.advance(timedelta(minutes=5))
        desk.sweep()
        assert desk.only(ticket).state is State.ACTIVE or practice.active_roles() == []
    assert desk.only(ticket).state is State.ENDED


@pytest.mark.usefixtures("clocks_apart")
@pytest.mark.parametrize("jump", [timedelta(minutes=-10), timedelta(minutes=10)], ids=["back", "ahead"])
def test_our_own_clock_may_jump_and_the_journal_never_goes_back(
    desk: Desk, practice: Practice, jump: timedelta
) -> None:
    """Threat 44. The judge looks at the times of the entries."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    deliver(desk, ticket, "ticket.assigned", "msg_1")
    assert desk.only(ticket).state is State.ACTIVE
    desk.ahead += jump
    practice.solve(ticket)
    deliver(desk, ticket, "ticket.solved", "msg_2")
    wait_for(desk, timedelta(minutes=6), steps=4)

    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []
    with desk.deployment.records.read() as connection:
        assert not list(connection.execute(sa.select(kept.c.id).where(kept.c.due_at.is_not(None))))
