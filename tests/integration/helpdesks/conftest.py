"""A small helpdesk of its own on a real port, which can be told what to answer next. It shares no code with us."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cheroot import wsgi

from integration.helpdesks.generic import Generic
from integration.helpdesks.generic_settings import GenericSettings

TOKEN = "canary-token-4b1d"
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
TICKET = {
    "id": 4821,
    "subject": "Cannot sign in",
    "category": "Password reset",
    "queue": "First line",
    "status": "open",
    "assignee": {"id": "11", "name": "Technician", "email": "technician@example.com"},
    "requester": {"id": "12", "name": "Requester", "email": "requester@example.com"},
    "updated_at": "2026-11-24T10:00:00Z",
    "assigned_by": "11",
    "assignment_id": "a-1",
    "assigned_at": "2026-11-24T09:59:58+00:00",
}
Answer = tuple[int, dict[str, str], Iterable[bytes]]


@dataclass
class SmallHelpdesk:
    url: str = ""
    tickets: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)  # newest first
    page_size: int = 2
    calls: list[tuple[str, str]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)  # the body of each call
    # Answers by path (without query), instead of what would be answered; asked in order, the last one stays.
    instead: dict[str, list[Callable[[], Answer]]] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, status: int, value: Any = None, **headers: str) -> None:
        """Answer `path` with this from now on. A trailing `_` free header name has `_` for `-`."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.instead.setdefault(path, []).append(lambda: (status, named, [body]))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
        self.calls.append((method, path + ("?" + query if query else "")))
        sent = environ["wsgi.input"].read()
        self.sent.append(sent)
        answers = self.instead.get(path)
        if answers:
            status, headers, body = (answers.pop(0) if len(answers) > 1 else answers[0])()
        elif environ.get("HTTP_AUTHORIZATION") != f"Bearer {TOKEN}":
            status, headers, body = 401, {}, [b"{}"]
        else:
            status, value = self.usual(method, path, query, sent)
            headers, body = {"Content-Type": "application/json"}, [json.dumps(value).encode()]
        start_response(f"{status} Practice", list(headers.items()))
        return body

    def usual(self, method: str, path: str, query: str, sent: bytes) -> tuple[int, Any]:
        if path == "/api/me":
            return 200, {"id": "77"}
        number, _, rest = path.removeprefix("/api/tickets/").partition("/")
        if number not in self.tickets:
            return 404, {}
        if rest != "notes":
            return 200, self.tickets[number]
        if method == "POST":
            self.notes.insert(0, json.loads(sent))
            return 201, {"id": len(self.notes)}
        start = int(query.removeprefix("from=") or 0)
        onward = start + self.page_size
        following = f"{self.url}{path}?from={onward}" if onward < len(self.notes) else None
        return 200, {"value": self.notes[start:onward], "next": following}


@pytest.fixture
def helpdesk() -> Iterator[SmallHelpdesk]:
    small = SmallHelpdesk(tickets={"4821": dict(TICKET)})
    server = wsgi.Server(("127.0.0.1", 0), small, numthreads=3)
    server.shutdown_timeout = 1
    server.expiration_interval = 0.02  # how long stopping takes; half a second by default, 200 times
    server.prepare()
    small.url = f"http://127.0.0.1:{server.bind_addr[1]}"
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield small
    small.released.set()
    server.stop()
    thread.join(10)


@pytest.fixture
def settings(helpdesk: SmallHelpdesk) -> dict[str, Any]:
    return {
        "url": helpdesk.url,
        "token": TOKEN,
        "service_account": "77",
        "secrets": {"first": SECRET},
        "check_url": "/api/me",
    }


@pytest.fixture
def connect(settings: dict[str, Any]) -> Callable[..., Generic]:
    """Connects to the small helpdesk, with some settings changed."""

    def with_changes(**changes: Any) -> Generic:
        return Generic("desk", GenericSettings(**{**settings, **changes}))

    return with_changes
