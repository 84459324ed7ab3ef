"""Group commit of deliveries, on both databases, with threads.

Contract: nothing is answered before the commit that holds it; of two alike one is new, whatever came together; what
the database refuses is refused to the one who brought it and to nobody else.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from integration.records.store import Records
from integration.records.tables import deliveries
from integration.tickets import TicketEvent
from tests.conftest import cut_connections, until
from webhooks.bell import Bell
from webhooks.committer import Committer

THREADS = 8


@pytest.fixture(params=["sqlite_url", "postgres_database"], ids=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest) -> Iterator[Records]:
    made = Records(request.getfixturevalue(request.param))
    made.migrate()
    yield made
    made.dispose()


class Gate(Records):
    """Records whose transactions wait at a gate, so that a test decides who comes together; it counts them too."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.open = threading.Event()
        self.arrived = threading.Event()
        self.transactions = 0

    @contextmanager
    def write_apart(self) -> Iterator[sa.Connection]:
        self.transactions += 1
        self.arrived.set()
        assert self.open.wait(20)
        with self._records.write_apart() as tx:
            yield tx


class Away(Gate):
    """Their database cannot be reached, which takes them as long as the gate is closed."""

    @contextmanager
    def write_apart(self) -> Iterator[sa.Connection]:
        self.transactions += 1
        assert self.open.wait(20)
        raise sa.exc.OperationalError("connect", None, OSError("no route"))
        yield


def event(delivery_id: str, ticket: str = "4821") -> TicketEvent:
    return TicketEvent(delivery_id, ticket, "ticket.assigned", "first")


def stored(records: Records) -> list[str]:
    with records.read() as connection:
        return sorted(connection.execute(sa.select(deliveries.c.delivery_id)).scalars())


def together(
    records: Records, events: list[TicketEvent], gate_of: type[Gate] = Gate
) -> tuple[list[bool | BaseException], int]:
    """What each of the events is answered when all of them wait for one commit, and the number of transactions."""
    gate = gate_of(records)
    committer = Committer(gate)

    def keep(it: TicketEvent) -> bool | BaseException:
        try:
            return committer.keep("practice", it, now=datetime.now(UTC))
        except (sa.exc.SQLAlchemyError, ValueError) as error:
            return error

    with ThreadPoolExecutor(len(events)) as threads:
        answers = []
        for count, it in enumerate(events, 1):
            answers.append(threads.submit(keep, it))
            until(lambda count=count: len(committer._waiting) == count, "it waits")
        gate.open.set()
        return [it.result(20) for it in answers], gate.transactions


def test_what_waits_together_is_committed_in_one_transaction(records: Records) -> None:
    names = [f"msg_{n}" for n in range(THREADS)]
    answers, transactions = together(records, [event(name) for name in names])
    assert answers == [True] * THREADS
    assert stored(records) == names
    assert transactions == 1


def test_a_repeat_in_one_batch_is_new_once_and_seen_before_after_that(records: Records) -> None:
    """Threat 2."""
    answers, transactions = together(records, [event("msg_1"), event("msg_2"), event("msg_1"), event("msg_1")])
    assert answers == [True, True, False, False]
    assert stored(records) == ["msg_1", "msg_2"]
    assert transactions == 1


def test_a_repeat_of_an_earlier_batch_is_seen_before(records: Records) -> None:
    """Threat 2."""
    assert together(records, [event("msg_1")])[0] == [True]
    assert together(records, [event("msg_1"), event("msg_2")])[0] == [False, True]


def test_what_the_database_refuses_is_refused_alone(records: Records) -> None:
    """Threat 33: a poisoned delivery among good ones; neither database can store a lone surrogate."""
    answers, _ = together(records, [event("msg_1"), event("msg_2", ticket="\ud800"), event("msg_3")])
    assert answers[0] is True
    assert isinstance(answers[1], UnicodeError)
    assert answers[2] is True
    assert stored(records) == ["msg_1", "msg_3"]


def test_what_cannot_be_made_ready_for_the_database_is_refused_alone(records: Records) -> None:
    """A time without a zone, as an adapter of somebody else may give it."""
    naive = replace(event("msg_2"), shown_at=datetime(2026, 3, 2))  # noqa: DTZ001
    answers, _ = together(records, [event("msg_1"), naive, event("msg_3")])
    assert (answers[0], answers[2]) == (True, True)
    assert isinstance(answers[1], Exception)
    assert stored(records) == ["msg_1", "msg_3"]


def test_one_alone_is_tried_once_more_where_its_connection_was_cut(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration.records.store.RESTED", 3600.0)  # nobody asks whether it still stands
    records = Records(postgres_database)
    records.migrate()
    committer = Committer(records)
    assert committer.keep("practice", event("msg_1"), now=datetime.now(UTC))
    cut_connections(postgres_database)
    assert committer.keep("practice", event("msg_2"), now=datetime.now(UTC))
    assert stored(records) == ["msg_1", "msg_2"]
    records.dispose()


def test_who_comes_alone_is_not_kept_waiting(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    committer, waited = Committer(records), []
    monkeypatch.setattr(committer._changing, "wait", waited.append)
    for name in ("msg_1", "msg_2", "msg_3"):
        assert committer.keep("practice", event(name), now=datetime.now(UTC))
    assert waited == []


def test_as_many_as_came_together_are_waited_for_and_not_for_ever(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(records)
    committer = Committer(gate)

    def keep(name: str) -> bool:
        return committer.keep("practice", event(name), now=datetime.now(UTC))

    with ThreadPoolExecutor(3) as threads:
        answers = []
        for count in (1, 2, 3):
            answers.append(threads.submit(keep, f"msg_{count}"))
            until(lambda count=count: len(committer._waiting) == count, "it waits")
        gate.open.set()
        assert [it.result(20) for it in answers] == [True] * 3
        monkeypatch.setattr("webhooks.committer.LINGER", 60.0)
        began = time.monotonic()
        first = threads.submit(keep, "msg_4")
        until(lambda: committer._changing._waiters, "it waits for two more")
        assert gate.transactions == 1
        assert list(threads.map(keep, ("msg_5", "msg_6"))) == [True] * 2
        assert first.result(20) is True
        assert gate.transactions == 2
        assert time.monotonic() - began < 30, "told by the last one, and not by the clock"
    monkeypatch.setattr("webhooks.committer.LINGER", 0.001)
    assert keep("msg_7")
    assert gate.transactions == 3


def test_nobody_is_answered_before_the_commit(records: Records) -> None:
    gate = Gate(records)
    committer = Committer(gate)
    with ThreadPoolExecutor(2) as threads:
        answer = threads.submit(committer.keep, "practice", event("msg_1"), now=datetime.now(UTC))
        assert gate.arrived.wait(20)
        assert not answer.done()
        assert stored(records) == []
        gate.open.set()
        assert answer.result(20) is True
    assert stored(records) == ["msg_1"]


def test_each_one_hears_of_a_database_that_is_away_and_the_next_one_is_kept(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path}/elevate.sqlite")  # no tables yet
    committer = Committer(records)

    def keep(n: int) -> bool:
        return committer.keep("practice", event(f"msg_{n}"), now=datetime.now(UTC))

    with ThreadPoolExecutor(THREADS) as threads:
        answers = [threads.submit(keep, n) for n in range(THREADS)]
        assert all(isinstance(it.exception(20), sa.exc.OperationalError) for it in answers)
    records.migrate()
    assert keep(0) is True
    records.dispose()


def test_nobody_waits_for_a_database_that_is_away_for_longer_than_the_first_in_line(records: Records) -> None:
    answers, transactions = together(records, [event(f"msg_{n}") for n in range(THREADS)], Away)
    assert all(isinstance(it, sa.exc.OperationalError) for it in answers)
    assert transactions == 1


def test_what_was_kept_is_new_although_the_answer_to_its_commit_was_lost(records: Records) -> None:
    """Each is tried alone then, and finds its own row there."""

    class Lossy(Gate):
        @contextmanager
        def write_apart(self) -> Iterator[sa.Connection]:
            with super().write_apart() as tx:
                yield tx
            if self.transactions == 1:
                raise sa.exc.OperationalError("commit", None, OSError("reset"))

    answers, _ = together(records, [event(f"msg_{n}") for n in range(3)], Lossy)
    assert answers == [True] * 3


def test_two_processes_may_store_the_same_deliveries_in_any_order(records: Records) -> None:
    """Threat 2: fifty names, each sent through both committers by four threads; each is new exactly once."""
    both = [Committer(records), Committer(records)]
    names = [f"msg_{n:02}" for n in range(50)]

    def send(sender: int) -> list[str]:
        order = names if sender % 2 else names[::-1]
        committer = both[sender // 2]
        return [name for name in order if committer.keep("practice", event(name), now=datetime.now(UTC))]

    with ThreadPoolExecutor(4) as threads:
        new = [name for found in threads.map(send, range(4)) for name in found]
    assert sorted(new) == names
    assert stored(records) == names


def quiet_bell() -> tuple[Bell, list[int], threading.Event]:
    heard: list[int] = []
    go_on = threading.Event()

    def publish() -> None:
        heard.append(1)
        assert go_on.wait(20)

    return Bell(publish), heard, go_on


def test_ringing_does_not_wait_for_a_queue_that_hangs() -> None:
    bell, heard, go_on = quiet_bell()
    for _ in range(100):
        bell.ring()  # returns, though the first message is never taken
    until(lambda: heard, "the first message is tried")
    assert len(heard) == 1
    go_on.set()


def test_a_burst_shares_one_message_and_the_last_one_is_told_too() -> None:
    bell, heard, go_on = quiet_bell()
    bell.ring()
    until(lambda: heard, "the first message is tried")
    for _ in range(100):
        bell.ring()
    go_on.set()
    until(lambda: len(heard) == 2, "the rest is told")
    bell.ring()
    until(lambda: len(heard) == 3, "what came later is told as well")
