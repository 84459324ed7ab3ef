"""Ends processes wherever the work can be. Contract: nothing is lost, nothing is done twice, the role still ends."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integration.elevation import State
from integration.records import deliveries
from integration.tickets import TicketEvent
from tests.conftest import Practice, until
from tests.end_to_end.product import REDIS, START, WEB, WORKER, Product, running
from tests.workers.steps import mend

pytestmark = [pytest.mark.kills, pytest.mark.timeout(300)]
HELD = 25  # seconds; longer than any step needs, so the worker is inside the call when it dies

# Reads are held before they work, writes after: the answer is lost and the effect is there, which is the worse half.
TO_ACTIVE = {
    "read ticket": ("helpdesk", "GET", r"^/api/tickets/", "slow"),
    "eligibilities": ("graph", "GET", r"roleEligibilityScheduleInstances", "slow"),
    "policy": ("graph", "GET", r"roleManagementPolicyAssignments", "slow"),
    "ask": ("graph", "POST", r"roleAssignmentScheduleRequests", "slow_answer"),
    "instance": ("graph", "GET", r"roleAssignmentScheduleInstances", "slow"),
    "comment": ("helpdesk", "POST", r"/notes$", "slow_answer"),
}
TO_ENDED = {
    "read solved ticket": ("helpdesk", "GET", r"^/api/tickets/", "slow"),
    "give back": ("graph", "POST", r"roleAssignmentScheduleRequests", "slow_answer"),
    "last comment": ("helpdesk", "POST", r"/notes$", "slow_answer"),
}


@pytest.fixture
def product(practice: Practice, database_url: str) -> Iterator[Product]:
    with tempfile.TemporaryDirectory(prefix="te-") as place:
        url = None if database_url.startswith("sqlite") else database_url
        with running(practice, Path(place), url) as it:
            yield it


@pytest.fixture
def on_sqlite(practice: Practice) -> Iterator[Product]:
    with tempfile.TemporaryDirectory(prefix="te-") as place, running(practice, Path(place)) as it:
        yield it


def hold(practice: Practice, call: tuple[str, str, str, str]) -> None:
    side, method, path, kind = call
    match = {"side": side, "method": method, "path": path}
    practice.control("/faults", [{"match": match, "times": 1, "kind": kind, "seconds": HELD}])


def faults_left(practice: Practice) -> list[Any]:
    return [fault for fault in practice.state()["faults"] if fault.get("times", 0) > 0]


def kill_inside_each(product: Product, practice: Practice, calls: dict[str, tuple[str, str, str, str]]) -> None:
    """SIGKILL to the worker inside each call in turn, each time a minute passes. The first call is held already."""
    following = [*list(calls.values())[1:], None]
    for name, later in zip(calls, following, strict=True):
        until(lambda name=name: not faults_left(practice), f"the worker is inside: {name}", patience=START)
        product.kill(WORKER)
        if later is not None:
            hold(practice, later)
        product.let_leases_run_out()


def says(practice: Practice, ticket: str, words: str) -> None:
    until(lambda: any(words in note for note in practice.notes(ticket)), f"the ticket says {words!r}", patience=START)


def once_and_over(product: Product, practice: Practice, ticket: str) -> None:
    """One activation, each comment once, nothing held, nothing due."""
    until(lambda: product.desk.only(ticket).state is State.ENDED, "the elevation is over", patience=START)
    assert len(practice.activation_requests()) == 1
    assert practice.active_roles() == []
    markers = [note.rpartition("[te:")[2].split("]")[0] for note in practice.notes(ticket)]
    assert len(markers) == len(set(markers)), markers


def test_a_worker_killed_inside_every_call_loses_nothing_and_repeats_nothing(
    product: Product, practice: Practice
) -> None:
    product.desk.link()
    ticket = practice.new_ticket()
    hold(practice, TO_ACTIVE["read ticket"])
    practice.assign(ticket)
    kill_inside_each(product, practice, TO_ACTIVE)
    says(practice, ticket, "is active until")

    hold(practice, TO_ENDED["read solved ticket"])
    practice.solve(ticket)
    kill_inside_each(product, practice, TO_ENDED)

    says(practice, ticket, "was given back")
    once_and_over(product, practice, ticket)


def test_a_delivery_whose_web_process_died_before_it_woke_anybody_is_found(
    on_sqlite: Product, practice: Practice
) -> None:
    """The row is committed and no message exists: what a receiver that was killed between the two leaves behind."""
    product = on_sqlite
    practice.control("/webhooks", {"hold": True})
    product.desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    event = TicketEvent("msg_orphan", ticket, "ticket.assigned", "first")
    with product.desk.deployment.records.write() as tx:
        deliveries.store(tx, "practice", event, now=datetime.now(UTC))
    product.kill(WEB)

    says(practice, ticket, "is active until")
    assert len(practice.activation_requests()) == 1


def test_a_redis_that_is_flushed_and_killed_in_the_middle_loses_nothing(on_sqlite: Product, practice: Practice) -> None:
    product = on_sqlite
    product.desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    product.redis().flushall()
    product.kill(REDIS)
    second = practice.new_ticket()
    practice.assign(second)

    until(lambda: len(product.desk.elevations(second)) == 1, "the second pick is seen", patience=60)
    for one in (ticket, second):
        says(practice, one, "is active until")
    assert len(practice.activation_requests()) == 1


def test_a_tenant_that_answers_each_call_after_30_seconds_costs_time_and_nothing_else(
    on_sqlite: Product, practice: Practice
) -> None:
    product, plenty = on_sqlite, 1000

    def slow() -> None:
        practice.control("/faults", {"match": {"side": "graph"}, "times": plenty, "kind": "slow_answer", "seconds": 30})

    def met(calls: int) -> None:
        until(lambda: plenty - faults_left(practice)[0]["times"] >= calls, f"{calls} slow calls", patience=START)

    product.desk.link()
    ticket = practice.new_ticket()
    slow()
    practice.assign(ticket)
    met(2)
    assert product.desk.only(ticket).state in {State.WAITING, State.REQUESTED}
    mend(practice)
    says(practice, ticket, "is active until")

    slow()
    practice.solve(ticket)
    met(2)
    mend(practice)
    says(practice, ticket, "was given back")
    once_and_over(product, practice, ticket)
