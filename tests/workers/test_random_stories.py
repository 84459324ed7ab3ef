"""Stories that nobody thought of: people, deliveries, faults and the clock in an order that a seed decides.

Contract: whatever happens, once everything is healed and heard of, no role is left, nothing is open, each comment
stands once, and the judge in conftest.py finds nothing to complain about. A failing seed is a bug report by itself.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from integration.elevation import OPEN, EndReason
from integration.records.tables import activations, comments, deliveries
from integration.records.tables import elevations as held
from tests.conftest import Desk, Practice
from workers.ending import let_go
from workers.run import Run

STEPS = 120
AGENTS = ("technician", "technician2")
FAULTS: tuple[dict[str, Any], ...] = (
    {"match": {"side": "graph", "method": "POST"}, "kind": "lose_answer"},
    {"match": {"side": "graph", "method": "POST"}, "kind": "drop"},
    {"match": {"side": "graph", "method": "POST"}, "kind": "throttle", "retry_after": "9"},
    {"match": {"side": "graph", "method": "POST"}, "kind": "truncate"},
    {"match": {"side": "graph"}, "kind": "status", "status": 503},
    {"match": {"side": "graph", "method": "GET"}, "kind": "drop"},
    {"match": {"side": "helpdesk", "method": "POST", "path": "/notes"}, "kind": "lose_answer"},
    {"match": {"side": "helpdesk", "method": "POST", "path": "/notes"}, "kind": "status", "status": 503},
    {"match": {"side": "helpdesk", "method": "GET"}, "kind": "status", "status": 500},
    {"match": {"side": "helpdesk", "method": "GET"}, "kind": "truncate"},
)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.node.get_closest_marker("kills"):
        return request.getfixturevalue("postgres_database")  # type: ignore[no-any-return]
    return f"sqlite:///{tmp_path}/elevate.sqlite"


class Story:
    def __init__(self, desk: Desk, practice: Practice, seed: int) -> None:
        self.desk, self.practice, self.dice = desk, practice, random.Random(seed)  # noqa: S311
        self.tickets = [practice.new_ticket(), practice.new_ticket(category="MFA reset"), practice.new_ticket()]
        self.unheard: list[tuple[str, str]] = []  # ticket, id of a delivery that is on its way
        self.told: list[str] = []

    def go_on(self) -> None:
        what: list[tuple[int, Callable[[], object]]] = [
            (6, self.someone_picks),
            (1, self.someone_assigns_another),
            (1, self.someone_drops),
            (1, self.someone_solves),
            (3, self.someone_reopens),
            (2, self.someone_ends_now),
            (8, self.a_delivery_arrives),
            (5, self.desk.sweep),
            (4, self.time_passes),
            (4, self.something_breaks),
        ]
        chosen = self.dice.choices([it for _, it in what], [weight for weight, _ in what])[0]
        self.told.append(chosen.__name__)
        chosen()

    def _happens(self, ticket: str) -> None:
        self.unheard.append((ticket, f"msg_{len(self.told)}_{self.dice.random()}"))

    def _assign(self, ticket: str, to: str | None, by: str) -> None:
        self.practice.desk("POST", f"/api/tickets/{ticket}/assign", {"assignee": to}, by=by)
        self._happens(ticket)

    def someone_picks(self) -> None:
        who = self.dice.choice(AGENTS)
        self._assign(self.dice.choice(self.tickets), who, who)
        if self.dice.random() < 0.6:
            self._arrives(self.unheard[-1])

    def someone_assigns_another(self) -> None:
        self._assign(self.dice.choice(self.tickets), *self.dice.sample(AGENTS, 2))

    def someone_drops(self) -> None:
        self._assign(self.dice.choice(self.tickets), None, self.dice.choice(AGENTS))

    def someone_solves(self) -> None:
        self._status(self.dice.choice(self.tickets), "solved")

    def someone_reopens(self) -> None:
        self._status(self.dice.choice(self.tickets), "open")

    def _status(self, ticket: str, status: str) -> None:
        self.practice.set_status(ticket, status)
        self._happens(ticket)

    def someone_ends_now(self) -> None:
        for it in self.desk.elevations(self.dice.choice(self.tickets)):
            for due in let_go(Run(self.desk.deployment, cause="click", clock=self.desk.now), it.id, EndReason.END_NOW):
                self.desk.step(due)

    def a_delivery_arrives(self) -> None:
        """Any of those that are on their way; now and then it will be repeated."""
        if not self.unheard:
            return
        self._arrives(self.dice.choice(self.unheard))

    def _arrives(self, delivery: tuple[str, str]) -> None:
        ticket, number = delivery
        if self.dice.random() < 0.8:
            self.unheard.remove((ticket, number))
        self.desk.deliver(ticket, delivery_id=number)

    def time_passes(self) -> None:
        self.desk.advance(timedelta(seconds=self.dice.choice([1, 20, 61, 200, 301, 900])))

    def something_breaks(self) -> None:
        self.practice.control("/faults", {**self.dice.choice(FAULTS), "times": self.dice.randint(1, 3)})

    def heal_and_finish(self) -> None:
        requests.delete(f"{self.practice.facts['practice_url']}/_practice/faults", timeout=10).raise_for_status()
        for ticket in self.tickets:
            self.practice.set_status(ticket, "solved")
            self._happens(ticket)
        self.dice.shuffle(self.unheard)
        for ticket, number in self.unheard:
            self.desk.deliver(ticket, delivery_id=number)
        for _ in range(12):
            self.desk.advance(timedelta(minutes=6))
            self.desk.sweep()


def left_over(desk: Desk) -> dict[str, int]:
    """What is still open or due."""
    looks = {
        "open elevations": held.c.state.in_(OPEN),
        "open activations": activations.c.state.in_(("asked", "active", "giving_back")),
        "elevations due": held.c.due_at.is_not(None),
        "activations due": activations.c.due_at.is_not(None),
        "comments due": comments.c.due_at.is_not(None),
        "deliveries due": deliveries.c.due_at.is_not(None),
    }
    with desk.deployment.records.read() as connection:
        counts = {
            what: connection.execute(sa.select(sa.func.count()).where(look)).scalar_one()
            for what, look in looks.items()
        }
    return {what: count for what, count in counts.items() if count}


def tell(desk: Desk, practice: Practice, seed: int) -> None:
    for who in AGENTS:
        desk.link(who)
    story = Story(desk, practice, seed)
    for _ in range(STEPS):
        story.go_on()
    story.heal_and_finish()

    assert left_over(desk) == {}, story.told
    assert [practice.active_roles(who) for who in AGENTS] == [[], []], story.told
    with desk.deployment.records.read() as connection:
        outcomes = set(connection.execute(sa.select(comments.c.outcome)).scalars())
    assert outcomes <= {"written"}, story.told


@pytest.mark.parametrize("seed", range(4))
def test_a_story_that_nobody_thought_of_ends_well(desk: Desk, practice: Practice, seed: int) -> None:
    """Threats 2 and 4, and the invariants."""
    tell(desk, practice, seed)


@pytest.mark.kills
@pytest.mark.parametrize("seed", range(100, 112))
def test_more_stories_that_nobody_thought_of_end_well_on_postgresql(desk: Desk, practice: Practice, seed: int) -> None:
    tell(desk, practice, seed)
