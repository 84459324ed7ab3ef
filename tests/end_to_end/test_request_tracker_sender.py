"""The process that RT leaves behind to send one message: what it tries again, what it does not, and its tidying up."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.receiver import Receiver
from tests.end_to_end.request_tracker import INSTALLER

pytestmark = pytest.mark.request_tracker  # needs curl

SENDER = INSTALLER.parent / "RT-Extension-TicketElevate" / "sbin" / "deliver"


@pytest.mark.parametrize("first", [500, 503, 429, 408])
def test_a_receiver_that_is_busy_is_asked_again(receiver: Receiver, message: Path, first: int) -> None:
    receiver.answers = [first]
    assert _send(message, receiver.url) == 0
    assert [d.body for d in receiver.seen] == [b'{"ticket":"7"}\n'] * 2
    assert {d.headers["webhook-id"] for d in receiver.seen} == {"rt-1-1"}
    assert not message.exists()


@pytest.mark.parametrize("answer", [401, 404, 302])
def test_a_message_that_was_refused_is_not_sent_again(receiver: Receiver, message: Path, answer: int) -> None:
    receiver.answers = [answer]
    assert _send(message, receiver.url) == 1
    assert len(receiver.seen) == 1
    assert not message.exists()


def _send(message: Path, url: str) -> int:
    environment = {"PATH": "/usr/bin:/bin", "http_proxy": "http://127.0.0.1:9"}  # a proxy that must not be used
    return subprocess.run(["sh", str(SENDER), str(message), url, ""], env=environment, timeout=60).returncode


@pytest.fixture
def message(tmp_path: Path) -> Path:
    folder = tmp_path / "ticket-elevate-1"
    folder.mkdir()
    (folder / "body").write_bytes(b'{"ticket":"7"}\n')
    (folder / "headers").write_text("Content-Type: application/json\nwebhook-id: rt-1-1\n")
    return folder


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()
