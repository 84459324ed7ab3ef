"""The journal alone tells the whole story (invariant 10), and the judge of stories is not blind.

`judged` in conftest.py holds every other story of this folder to the same.
"""

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integration.elevation import State
from tests import history
from tests.conftest import Desk, Practice
from tests.workers.conftest import complaints, lines, unlike_the_tables
from tests.workers.steps import by_hand, end_now

PASSWORD_ADMINISTRATOR = "966707d0-3269-4727-9be2-8c3a10f19b9d"
Json = dict[str, Any]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


def test_a_role_that_came_when_nobody_wanted_it_any_more_is_in_the_journal(desk: Desk, practice: Practice) -> None:
    desk.link()
    practice.control("/settings", {"instance_delay": 30})
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    end_now(desk, ticket)
    for _ in range(4):
        desk.advance(timedelta(minutes=3))
        desk.sweep()
    assert desk.only(ticket).state is State.ENDED

    assert unlike_the_tables(desk) == []
    assert complaints(desk, practice) == []


def test_a_role_that_is_left_to_its_technician_is_in_the_journal(desk: Desk, practice: Practice) -> None:
    desk.link()
    by_hand(desk, practice)
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    end_now(desk, ticket)
    desk.sweep()
    assert desk.only(ticket).state is State.ENDED

    assert unlike_the_tables(desk) == []


# The judge


@pytest.fixture
def told(desk: Desk, practice: Practice) -> tuple[list[Json], Json, Json]:
    """A whole life that was shared by two tickets: the journal, the tenant's and helpdesk's log, and how they stand."""
    desk.link()
    tickets = [practice.new_ticket(), practice.new_ticket()]
    for ticket in tickets:
        practice.assign(ticket)
        desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))
    for ticket in tickets:
        practice.solve(ticket)
        desk.deliver(ticket)
    desk.sweep()
    desk.advance(timedelta(minutes=6))
    return [json.loads(line) for line in lines(desk)], practice.log(), practice.state()


def entries(journal: list[Json], kind: str) -> list[Json]:
    return [it["entry"] for it in journal if it["entry"]["kind"] == kind]


def posts(log: Json, action: str) -> list[Json]:
    return [it for it in log["requests"] if isinstance(it.get("body"), dict) and it["body"].get("action") == action]


def ticket_of(journal: list[Json], state: Json) -> Json:
    number = entries(journal, "activation.intended")[0]["facts"]["ticket"].partition("/")[2]
    return next(it for it in state["tickets"] if str(it["id"]) == number)


def later(row: Json, seconds: float) -> None:
    row["at"] = (history._time(row["at"]) + timedelta(seconds=seconds)).isoformat()


Wrong = Callable[[list[Json], Json, Json], object]
WRONGS: dict[str, tuple[str, Wrong]] = {
    "no intent": ("1:", lambda j, g, s: entries(j, "activation.intended")[0].update(kind="pick.planned")),
    "intent after the request": ("1:", lambda j, g, s: later(posts(g, "selfActivate")[0], -3)),
    "intent of another role": ("1:", lambda j, g, s: posts(g, "selfActivate")[0]["body"].update(roleDefinitionId="x")),
    "two open": (
        "2:",
        lambda j, g, s: j.insert(4, {**j[1], "entry": {**j[1]["entry"], "activation": "A2"}}),
    ),
    "asked twice": ("2:", lambda j, g, s: g["requests"].append(posts(g, "selfActivate")[0])),
    "another's token": ("3:", lambda j, g, s: posts(g, "selfActivate")[0].update(who="technician2")),
    "own ticket": ("4:", lambda j, g, s: ticket_of(j, s).update(requester={"id": "technician"})),
    "assigned by another": (
        "4:",
        lambda j, g, s: [c.update(actor_id="technician2") for c in ticket_of(j, s)["history"]],
    ),
    "given back while held": ("5:", lambda j, g, s: later(posts(g, "selfDeactivate")[0], -90)),
    "given back too early": (
        "5:",
        lambda j, g, s: later(posts(g, "selfActivate")[0], 120),
    ),
    "too long": (
        "6:",
        lambda j, g, s: posts(g, "selfActivate")[0]["body"]["scheduleInfo"]["expiration"].update(duration="PT1H"),
    ),
    "longer than the policy": (
        "6:",
        lambda j, g, s: s["policies"][PASSWORD_ADMINISTRATOR].update(maximum_duration="PT5M"),
    ),
    "one pick, two elevations": (
        "8:",
        lambda j, g, s: j.append({**j[0], "entry": {**j[0]["entry"], "elevation": "E9"}}),
    ),
    "a note twice": ("9:", lambda j, g, s: ticket_of(j, s)["notes"].extend(ticket_of(j, s)["notes"])),
    "an entry missing": ("10:", lambda j, g, s: j.pop(2)),
    "an entry changed": ("10:", lambda j, g, s: j[2]["entry"].update(cause="cli")),
    "back in time": ("10:", lambda j, g, s: later(j[0]["entry"], 900)),
    "an end without a beginning": ("10:", lambda j, g, s: j.append(j[-1])),
    "never given back": ("12:", lambda j, g, s: posts(g, "selfDeactivate")[0].update(status=400)),
}


def test_the_judge_sees_each_wrong_that_is_planted(told: tuple[list[Json], Json, Json]) -> None:
    def judge(journal: list[Json], log: Json, state: Json) -> list[str]:
        return history.complaints([json.dumps(it) for it in journal], log, state, allowance=timedelta(minutes=1))

    assert judge(*told) == []
    for name, (rule, plant) in WRONGS.items():
        planted = copy.deepcopy(told)
        plant(*planted)
        assert any(it.startswith(rule) for it in judge(*planted)), name
