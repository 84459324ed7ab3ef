"""A worker that dies at any call, before or after the call took effect: the work is taken up again by itself.

The process-kill suite does it with SIGKILL; here each single boundary has its turn. A dead worker is one that raises
and is dropped; later sweeps stand for the workers that are started after it, with the clock past the lease.
"""

from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integration import verify
from integration.elevation import EndReason, State
from integration.records import comments, journal
from integration.records.store import Records
from integration.records.tables import tenant_answers
from tests.conftest import Desk, Practice
from workers.ending import let_go
from workers.run import Run

TENANT = ("activate", "active", "give_back", "eligibilities", "policy", "find_own_request", "request")
HELPDESK = ("ticket", "write_note", "has_note")
CALLS = ("activate", "active", "give_back", "eligibilities", "policy", "ticket", "write_note", "read", "commit")
# What is only called after a death: the first dies with its work done, then the one that looks for it dies too.
PAIRS = (("activate", "find_own_request"), ("write_note", "has_note"), ("give_back", "active"))
MOST = 60


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


class Killed(BaseException):
    """Nothing in the product may catch it, as nothing catches SIGKILL."""


class Gallows:
    """Stands around the doors of a deployment and kills at one call of one kind, then at one of the next kind."""

    def __init__(self, desk: Desk) -> None:
        self.call, self.at, self.after, self.seen = "", 0, False, 0
        self.following: list[tuple[str, int, bool]] = []
        deployment = desk.deployment
        self._surround(deployment.tenant, TENANT)
        self._surround(deployment.helpdesks["practice"], HELPDESK)
        deployment.__dict__["records"] = Watched(deployment.records, self)

    def arm(self, *deaths: tuple[str, int, bool]) -> None:
        """Each is a call, which one of its kind, and whether it dies after its work."""
        self.following = list(deaths)
        self.next()

    def next(self) -> None:
        self.call, self.at, self.after = self.following.pop(0) if self.following else ("", 0, False)
        self.seen = 0

    def disarm(self) -> None:
        self.arm()

    def around(self, call: str, work: Callable[[], Any]) -> Any:
        if call != self.call:
            return work()
        self.seen += 1
        if self.seen == self.at and not self.after:
            raise Killed
        done = work()
        if self.seen == self.at:
            raise Killed
        return done

    def _surround(self, door: Any, names: tuple[str, ...]) -> None:
        for name in names:
            real = getattr(door, name)
            setattr(door, name, lambda *a, _n=name, _r=real, **k: self.around(_n, lambda: _r(*a, **k)))


class Watched:
    """The records, with a commit that can kill before (nothing is kept) or after (all is kept)."""

    def __init__(self, records: Records, gallows: Gallows) -> None:
        self._records, self._gallows = records, gallows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    @contextmanager
    def read(self) -> Any:
        gallows, fatal = self._gallows, False
        if gallows.call == "read":
            gallows.seen += 1
            fatal = gallows.seen == gallows.at
        if fatal and not gallows.after:
            raise Killed
        with self._records.read() as connection:
            yield connection
        if fatal:
            raise Killed

    @contextmanager
    def write(self) -> Any:
        gallows = self._gallows
        mine = gallows.call == "commit"
        if mine:
            gallows.seen += 1
        fatal = mine and gallows.seen == gallows.at
        with self._records.write() as tx:
            yield tx
            if fatal and not gallows.after:
                raise Killed
        if fatal:
            raise Killed


def life(desk: Desk, practice: Practice, dies: Callable[[Callable[[], None]], None]) -> str:
    """A pick, its end after six minutes, and all that follows; `dies` runs each part and outlives its death."""
    ticket = practice.new_ticket()
    practice.assign(ticket)

    def deliver(number: str) -> None:
        for _ in range(2):  # the helpdesk repeats what was not answered
            dies(lambda: desk.deliver(ticket, delivery_id=f"{number}_{ticket}"))

    deliver("msg_pick")
    after_the_lease(desk, dies)
    desk.advance(timedelta(minutes=6))

    def end() -> None:
        for it in desk.elevations(ticket):
            for due in let_go(Run(desk.deployment, cause="click", clock=desk.now), it.id, EndReason.END_NOW):
                desk.step(due)

    dies(end)
    practice.solve(ticket)
    deliver("msg_solved")
    after_the_lease(desk, dies)
    after_the_lease(desk, dies)
    return ticket


def after_the_lease(desk: Desk, dies: Callable[[Callable[[], None]], None]) -> None:
    for _ in range(3):
        desk.advance(timedelta(seconds=61))
        dies(desk.sweep)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_a_worker_that_dies_at_a_call_leaves_nothing_undone_and_nothing_done_twice(
    desk: Desk, practice: Practice, call: str, after: bool
) -> None:
    assert die_at_each(desk, practice, lambda at: [(call, at, after)]) > 1, f"{call} was never called"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_worker_that_dies_again_while_it_looks_for_what_the_dead_one_did_does_no_harm_either(
    desk: Desk, practice: Practice, first: str, second: str, after: bool
) -> None:
    deaths = die_at_each(desk, practice, lambda at: [(first, 1, True), (second, at, after)], least=2)
    assert deaths > 1, f"{second} was never called after {first}"


@pytest.mark.kills
@pytest.mark.timeout(300)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_worker_that_dies_at_two_commits_of_a_life_does_no_harm(desk: Desk, practice: Practice, after: bool) -> None:
    """Every twelfth commit of a life for the first death, each one after it for the second."""
    lives = [
        die_at_each(desk, practice, lambda at, n=n: [("commit", n, after), ("commit", at, not after)], least=2)
        for n in range(1 + 5 * after, MOST, 12)
    ]
    assert lives[0] > 10
    assert lives[-1] == 1, "the commits do not end"


def die_at_each(
    desk: Desk, practice: Practice, plan: Callable[[int], list[tuple[str, int, bool]]], *, least: int = 1
) -> int:
    """One life for each place to die at, until fewer than `least` deaths happen in one; how many lives that were."""
    if not len(practice.activation_requests()):
        desk.link()
    gallows = Gallows(desk)
    for at in range(1, MOST):
        with desk.deployment.records.write() as tx:  # each life asks the tenant what it knows
            tx.execute(tenant_answers.delete())
        gallows.arm(*plan(at))
        died = []

        def dies(work: Callable[[], None], died: list[bool] = died) -> None:
            try:
                work()
            except Killed:
                died.append(True)
                gallows.next()

        before = len(practice.activation_requests())
        ticket = life(desk, practice, dies)
        gallows.disarm()
        check(desk, practice, ticket, asked=len(practice.activation_requests()) - before)
        if len(died) < least:
            break
    else:
        pytest.fail("the calls do not end")
    with desk.deployment.records.read() as connection:
        report = verify.verify(list(journal.export(connection)))
    assert report.ok, verify.render(report)
    return at


def check(desk: Desk, practice: Practice, ticket: str, *, asked: int) -> None:
    assert desk.elevations(ticket), "the pick was lost"
    assert asked <= 1, "the tenant was asked twice"
    assert practice.active_roles() == [], "a role was left behind"
    notes = practice.notes(ticket)
    assert len(notes) == len(set(notes)), "a comment was written twice"
    for it in desk.elevations(ticket):
        assert it.state in (State.ENDED, State.CANCELLED), "an elevation was left open"
        with desk.deployment.records.read() as connection:
            said = comments.of_elevation(connection, it.id)
        assert len(said) == len(notes)
        assert all(comment.outcome == "written" for comment in said)
        if it.active_at is not None:
            assert asked == 1
            assert any("is active until" in note for note in notes)
            assert any("was given back" in note for note in notes)
