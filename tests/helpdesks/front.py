"""What stands between an adapter and a real helpdesk on the bench."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests


class Front:
    """Stands at `url` before a web server, keeps who asked for what, and breaks down when told to."""

    def __init__(self, behind: str) -> None:
        self.seen: list[tuple[str, str]] = []
        self.fault: tuple[int, str, dict[str, str]] | None = None
        front, http = self, requests.Session()
        http.trust_env = False

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                front.seen.append((self.command, self.path.partition("?")[0]))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer, headers = front.fault or self._pass_on(body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(answer.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.encode())

            def do_POST(self) -> None:
                self.do_GET()

            def _pass_on(self, body: bytes) -> tuple[int, str, dict[str, str]]:
                kept = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
                there = http.request(
                    self.command, behind + self.path, data=body, headers=kept, timeout=60, allow_redirects=False
                )
                return there.status_code, there.text, {"Content-Type": there.headers["Content-Type"]}

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @classmethod
    @contextmanager
    def started(cls, behind: str) -> Iterator["Front"]:
        front = cls(behind)
        thread = threading.Thread(target=front._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield front
        finally:
            front._server.shutdown()
            front._server.server_close()
            thread.join()


class BehindFront:
    """The part of a bench that its front plays."""

    _front: Front

    def calls(self) -> Sequence[tuple[str, str]]:
        found, self._front.seen[:] = list(self._front.seen), []
        return found

    def break_down(self, status: int, *, body: str = "{}", headers: Mapping[str, str] | None = None) -> None:
        self._front.fault = (status, body, dict(headers or {}))

    def mend(self) -> None:
        self._front.fault = None

    def now(self) -> datetime:
        return datetime.now(UTC)
