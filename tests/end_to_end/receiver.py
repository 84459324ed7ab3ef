"""A web server that keeps what it is sent, and can be told to hang, to answer badly, to stop and to come back."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 40  # seconds; RT's sender waits 1 s, and after failures 1, 2, 4, 8 s and so on


@dataclass(frozen=True)
class Delivery:
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: datetime


class Receiver:
    """Listens at `url`, on one port for all its life. `answers` are used up first; after them, 202."""

    def __init__(self) -> None:
        self.seen: list[Delivery] = []
        self.answers: list[int] = []
        self.hung = 0
        self.asked = 0  # calls of other kinds, which no helpdesk makes
        self._news = threading.Condition()
        self._may_answer = threading.Event()
        self._may_answer.set()
        self._port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self._port}/webhooks/rt"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.asked += 1
                self.send_error(404)

            do_PUT = do_PATCH = do_HEAD = do_GET  # noqa: N815  # http.server finds them by these names

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver._take({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Nobody is answered before the block ends."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    def wait(self, until: Callable[[], bool]) -> None:
        """Until `until()`, which is looked at with each delivery and 20 times a second."""
        ends = time.monotonic() + PATIENCE
        with self._news:
            while not until():
                assert time.monotonic() < ends, "it did not happen in time"
                self._news.wait(0.05)

    def _take(self, headers: dict[str, str], body: bytes) -> int:
        if not self._may_answer.is_set():
            with self._news:
                self.hung += 1
                self._news.notify_all()
            self._may_answer.wait(PATIENCE)
        with self._news:
            self.seen.append(Delivery(headers, body, datetime.now(UTC)))
            self._news.notify_all()
            return self.answers.pop(0) if self.answers else 202
