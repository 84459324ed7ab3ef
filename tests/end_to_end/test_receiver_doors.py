"""The receiver behind the very gunicorn that `run` starts, spoken to by hand: floods, drips and riddles."""

import os
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from cli import run, stage
from integration.deployment import Deployment
from integration.records.tables import deliveries
from tests.conftest import ROOT, Practice, settings_for, until
from tests.end_to_end.product import START, settings_file
from tests.webhooks.conftest import Sender

pytestmark = pytest.mark.kills
BODY = b'{"type":"ticket.assigned","data":{"ticket":{"id":"1001"},"actor":{"id":"technician"}}}'
SECOND = "whsec_" + "QUJD" * 8


@dataclass
class Door:
    port: int
    first: Sender
    second: Sender
    deployment: Deployment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhooks/practice"

    def kept(self) -> int:
        with self.deployment.records.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(deliveries)).scalar_one())

    def delivers(self, *, patience: float = 20) -> int:
        """A good delivery, now."""
        return requests.post(self.url, BODY, headers=self.first.headers(BODY), timeout=patience).status_code

    def lines(self, how: str, *, path: str = "/webhooks/practice", body: bytes = BODY) -> bytes:
        """The head of a signed POST with `how` in the place of its length."""
        signed = "".join(f"{name}: {value}\r\n" for name, value in self.first.headers(body).items())
        return f"POST {path} HTTP/1.1\r\nHost: x\r\n{how}\r\n{signed}\r\n".encode()

    def says(self, raw: bytes) -> list[bytes]:
        """Every status that comes back for these bytes, until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as it:
            it.sendall(raw)
            it.shutdown(socket.SHUT_WR)
            heard = b""
            while piece := it.recv(65536):
                heard += piece
        return [line.split()[1] for line in heard.split(b"\r\n") if line.startswith(b"HTTP/1.")]


@pytest.fixture
def door(practice: Practice) -> Iterator[Door]:
    with tempfile.TemporaryDirectory(prefix="te-") as made:
        place, port = Path(made), stage._free_port()
        settings = settings_file(practice, place, port=port)
        table = settings.read_text(encoding="utf-8")
        helpdesk = table[table.index("[helpdesks.practice]") :]
        second = helpdesk.replace("helpdesks.practice", "helpdesks.second").replace(
            practice.facts["webhook_secret"], SECOND
        )
        settings.write_text(table + second, encoding="utf-8")
        given = settings_for(practice, f"sqlite:///{place}/elevate.sqlite", place, bind=f"127.0.0.1:{port}")
        deployment = Deployment(given)
        deployment.records.migrate()
        command = shlex.split(run.programs(given, place)["web"])
        # A Redis that is not there: the receiver does not need it.
        environment = {**os.environ, "TICKET_ELEVATE_SETTINGS": str(settings)}
        environment["TICKET_ELEVATE_REDIS_URL"] = "redis://127.0.0.1:1/0"
        with (place / "log").open("wb") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
            )
        it = Door(port, Sender(practice.facts["webhook_secret"]), Sender(SECOND), deployment)
        try:
            until(lambda: _answers(port), "gunicorn answers", patience=START)
            yield it
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            deployment.records.dispose()


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2).ok
    except requests.RequestException:
        return False


def test_the_receiver_behind_gunicorn(door: Door) -> None:
    """One start for all of it; each part says which threat it is about."""
    a_delivery_for_one_helpdesk_is_none_for_another(door)
    two_lengths_are_a_bad_request_and_no_second_one_is_smuggled_in(door)
    large_bodies_are_refused(door)
    a_drip_holds_nobody_up(door)
    forged_ones_do_not_hold_up_the_good_ones(door)


def a_delivery_for_one_helpdesk_is_none_for_another(door: Door) -> None:
    """Threat 5."""
    other = door.url.replace("practice", "second")
    headers = door.first.headers(BODY, number="msg_1")
    assert requests.post(other, BODY, headers=headers, timeout=20).status_code == 401
    assert door.kept() == 0
    assert requests.post(door.url, BODY, headers=headers, timeout=20).status_code == 202
    mine = door.second.headers(BODY, number="msg_1")  # the same id is another helpdesk's own
    assert requests.post(other, BODY, headers=mine, timeout=20).status_code == 202
    assert requests.post(other, BODY, headers=mine, timeout=20).status_code == 200
    assert door.kept() == 2


def two_lengths_are_a_bad_request_and_no_second_one_is_smuggled_in(door: Door) -> None:
    """Threat 47: what one reader takes for the body another takes for a request."""
    before = door.kept()
    inner = door.lines(f"Content-Length: {len(BODY)}") + BODY
    chunked = b"0\r\n\r\n" + inner
    both = (
        f"Content-Length: {len(chunked)}\r\nTransfer-Encoding: chunked",
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(chunked)}",
        f"Content-Length: {len(chunked)}\r\nTransfer-Encoding: xchunked",
        f"Content-Length: {len(chunked)}\r\nTransfer-Encoding : chunked",
        f"Content-Length: {len(chunked)}\r\nContent-Length: {len(chunked) + 1}",
        f"Content-Length: {len(chunked)}, {len(chunked)}",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: -1",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    )
    for how in both:
        answers = door.says(door.lines(how) + chunked)
        assert len(answers) == 1, (how, answers)
        assert answers[0] in (b"400", b"501"), (how, answers)
    assert door.kept() == before


def large_bodies_are_refused(door: Door) -> None:
    """Threat 45: 1 MB, with its length or in chunks."""
    before = door.kept()
    body = BODY[:-1] + b" " * 1_000_000 + b"}"
    assert requests.post(door.url, body, headers=door.first.headers(body), timeout=20).status_code == 413

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    try:
        answer = requests.post(door.url, pieces(), headers=door.first.headers(body), timeout=20)
        assert answer.status_code == 413
    except requests.ConnectionError:
        pass  # it had heard enough and closed the door while we were still talking
    assert door.kept() == before


def a_drip_holds_nobody_up(door: Door) -> None:
    """Threat 45: more drips than there are processes, one byte a second each, and good deliveries beside them."""
    before, stop = door.kept(), threading.Event()

    def drip() -> None:
        with socket.create_connection(("127.0.0.1", door.port), timeout=30) as it:
            it.sendall(door.lines("Content-Length: 5000"))
            while not stop.wait(1):
                it.sendall(b" ")

    with ThreadPoolExecutor(4) as pool:
        drips = [pool.submit(drip) for _ in range(4)]
        began = time.monotonic()
        try:
            assert [door.delivers() for _ in range(10)] == [202] * 10
            until(lambda: time.monotonic() > began + 2, "each has dripped")
            assert door.delivers() == 202
        finally:
            stop.set()
        for it in drips:
            it.result(30)
    assert door.kept() == before + 11


def forged_ones_do_not_hold_up_the_good_ones(door: Door) -> None:
    """Threat 48: a flood of forged calls, and good ones that nobody counts by their address."""
    before, flood = door.kept(), 2000
    forged = {**door.first.headers(BODY), "webhook-signature": "v1," + "A" * 43 + "="}

    def forge(count: int) -> set[int]:
        with requests.Session() as session:
            session.trust_env = False
            return {session.post(door.url, BODY, headers=forged, timeout=60).status_code for _ in range(count)}

    with ThreadPoolExecutor(4) as pool:
        floods = [pool.submit(forge, flood // 4) for _ in range(4)]
        good = [door.delivers() for _ in range(10)]
        assert not all(it.done() for it in floods), "the flood was over before the good ones were through"
        assert set().union(*(it.result(120) for it in floods)) <= {401, 429}
    assert good == [202] * 10
    assert door.kept() == before + 10
