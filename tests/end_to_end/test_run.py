"""`ticket-elevate init` and `run` on embedded defaults. Contract: one command, everything up; SIGTERM, nothing left."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.elevation import State
from tests.conftest import Practice, until
from tests.end_to_end.product import BEAT, REDIS, START, WEB, WORKER, Product, running


@pytest.fixture
def product(practice: Practice) -> Iterator[Product]:
    with tempfile.TemporaryDirectory(prefix="te-") as place, running(practice, Path(place)) as it:
        yield it


def pick(product: Product, practice: Practice) -> str:
    product.desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    return ticket


def test_run_does_the_main_job_and_stops_cleanly(product: Product, practice: Practice) -> None:
    for words in (WEB, WORKER, BEAT, REDIS):
        until(lambda words=words: product.child(words), f"{words} runs")
    ticket = pick(product, practice)
    until(lambda: any("is active until" in n for n in practice.notes(ticket)), "the ticket says it is active")
    practice.solve(ticket)
    until(lambda: any("was given back" in n for n in practice.notes(ticket)), "the ticket says it was given back")
    assert practice.active_roles() == []
    assert len(practice.activation_requests()) == 1

    everything = product.processes()
    began = time.monotonic()
    product.process.send_signal(signal.SIGTERM)
    product.process.wait(20)

    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everything), "every process is gone", patience=5)
    assert not product.processes()
    assert time.monotonic() - began < 15


@pytest.mark.kills
def test_every_child_that_is_killed_is_started_again_and_the_job_is_done(product: Product, practice: Practice) -> None:
    for words in (REDIS, BEAT, WORKER, WEB):
        dead = product.kill(words)
        until(lambda w=words, d=dead: product.child(w) not in (None, d), f"{words} is back", patience=START)
    until(product.ready, "the web process answers again", patience=START)

    ticket = pick(product, practice)

    until(lambda: any("is active until" in n for n in practice.notes(ticket)), "the role is active", patience=START)
    assert product.desk.only(ticket).state is State.ACTIVE


@pytest.mark.kills
def test_a_pool_process_that_is_killed_is_replaced(product: Product, practice: Practice) -> None:
    first = set(until(product.pool, "the pool runs"))
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    until(lambda: set(product.pool()) - first, "the pool has a fresh process", patience=START)

    ticket = pick(product, practice)

    until(lambda: any("is active until" in n for n in practice.notes(ticket)), "the role is active", patience=START)
