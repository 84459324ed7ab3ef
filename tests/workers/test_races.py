"""Several workers at the same moment, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from integration import verify
from integration.elevation import EndReason, State
from integration.records import deliveries, journal
from integration.tickets import TicketEvent
from tests.conftest import Desk, Practice
from tests.workers.steps import said
from workers.ending import let_go
from workers.run import Due, Run, What

PATIENCE = 60  # seconds


def at_once(*works: object) -> None:
    barrier = threading.Barrier(len(works))

    def one(work: object) -> None:
        barrier.wait(PATIENCE)
        assert callable(work)
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(one, work) for work in works]:
            future.result(PATIENCE)


def stored(desk: Desk, ticket: str) -> Due:
    event = TicketEvent(f"msg_{ticket}", ticket, "ticket.assigned", "first")
    with desk.deployment.records.write() as tx:
        kept = deliveries.store(tx, "practice", event, now=desk.now())
    assert kept is not None
    return Due(What.DELIVERY, kept)


def check_the_journal(desk: Desk) -> None:
    with desk.deployment.records.read() as connection:
        report = verify.verify(list(journal.export(connection)))
    assert report.ok, verify.render(report)


def test_picks_at_the_same_moment_share_one_activation_and_all_become_active(desk: Desk, practice: Practice) -> None:
    desk.link()
    tickets = [practice.new_ticket() for _ in range(3)]
    for ticket in tickets:
        practice.assign(ticket)
    picks = [stored(desk, ticket) for ticket in tickets]

    at_once(*[lambda due=due: desk.step(due) for due in picks])
    for _ in range(3):  # seconds, not the minute of a lease: nobody may have lost a row to another
        desk.advance(timedelta(seconds=2))
        desk.sweep()

    assert [desk.only(ticket).state for ticket in tickets] == [State.ACTIVE] * 3
    assert len({desk.only(ticket).activation for ticket in tickets}) == 1
    assert len(practice.activation_requests()) == 1
    assert all(said(practice, ticket, "is active until") == 1 for ticket in tickets)
    check_the_journal(desk)


def test_the_same_pick_heard_by_several_workers_is_one_elevation(desk: Desk, practice: Practice) -> None:
    """Threats 2 and 4."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)

    at_once(*[lambda n=n: desk.deliver(ticket, delivery_id=f"msg_{n}") for n in range(4)])
    desk.advance(timedelta(seconds=2))
    desk.sweep()

    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1
    assert said(practice, ticket, "is active until") == 1


def test_letting_go_while_the_tenant_is_being_asked_leaves_no_role_behind(desk: Desk, practice: Practice) -> None:
    """The second worker must not take the role for never asked while the first one's request is under way."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    tenant = desk.deployment.tenant
    asking, let = threading.Event(), threading.Event()
    real = tenant.activate

    def slow(*given: object, **more: object) -> object:
        asking.set()
        assert let.wait(PATIENCE)
        return real(*given, **more)  # type: ignore[arg-type]

    tenant.activate = slow  # type: ignore[method-assign,assignment]
    pick = stored(desk, ticket)

    def end() -> None:
        assert asking.wait(PATIENCE)
        try:
            for due in let_go(
                Run(desk.deployment, cause="click", clock=desk.now), desk.only(ticket).id, EndReason.END_NOW
            ):
                desk.step(due)
        finally:
            let.set()

    at_once(lambda: desk.step(pick), end)
    for _ in range(3):
        desk.advance(timedelta(minutes=6))
        desk.sweep()

    assert len(practice.activation_requests()) == 1
    assert practice.active_roles() == []
    assert desk.only(ticket).state is State.ENDED


@pytest.mark.parametrize("turn", range(3))
def test_one_leaves_while_another_comes_and_whoever_is_active_has_the_role(
    desk: Desk, practice: Practice, turn: int
) -> None:
    desk.link()
    first, second = practice.new_ticket(), practice.new_ticket()
    for ticket in (first, second):
        practice.assign(ticket)
    desk.deliver(first)
    desk.advance(timedelta(minutes=6))
    pick = stored(desk, second)

    def leave() -> None:
        for due in let_go(Run(desk.deployment, cause="click", clock=desk.now), desk.only(first).id, EndReason.END_NOW):
            desk.step(due)

    at_once(leave, lambda: desk.step(pick))
    for _ in range(4):
        desk.advance(timedelta(seconds=5))
        desk.sweep()

    assert desk.only(first).state is State.ENDED
    assert desk.only(second).state is State.ACTIVE
    assert len(practice.active_roles()) == 1
    check_the_journal(desk)


def test_everybody_lets_go_at_once_and_the_role_is_given_back_once(desk: Desk, practice: Practice) -> None:
    desk.link()
    tickets = [practice.new_ticket() for _ in range(3)]
    for ticket in tickets:
        practice.assign(ticket)
        desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))

    def leave(ticket: str) -> None:
        for due in let_go(Run(desk.deployment, cause="click", clock=desk.now), desk.only(ticket).id, EndReason.END_NOW):
            desk.step(due)

    at_once(*[lambda ticket=ticket: leave(ticket) for ticket in tickets])
    desk.sweep()

    assert [desk.only(ticket).state for ticket in tickets] == [State.ENDED] * 3
    assert practice.active_roles() == []
    assert sum("was given back" in note for ticket in tickets for note in practice.notes(ticket)) == 1
    check_the_journal(desk)
