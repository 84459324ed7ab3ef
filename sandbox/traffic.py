"""What every request passes through: the log for an independent checker, and the faults that were asked for."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cheroot.errors import FatalSSLAlert

from sandbox.clock import Clock, plain

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]
# Names the person or account of a bearer token for the log; None when it is nobody's.
Who = Callable[[str], str | None]

SECRET = re.compile(r"secret|token|assertion|password|^code$|code_verifier|^state$|^nonce$", re.IGNORECASE)
KINDS = {"throttle", "status", "slow", "slow_answer", "lose_answer", "drop", "truncate", "challenge"}


@dataclass
class Fault:
    """One ordered misbehaviour. `times` counts down; the first one that fits a request is used."""

    kind: str
    times: int = 1
    side: str = ""
    method: str = ""
    path: str = ""
    status: int = 503
    seconds: float = 1.0
    retry_after: str = "1"
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    claims: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault of the kind {self.kind!r}; there are {', '.join(sorted(KINDS))}.")
        re.compile(self.path)

    def fits(self, side: str, method: str, path: str) -> bool:
        return (
            self.times > 0
            and self.side in ("", side)
            and self.method.upper() in ("", method)
            and re.search(self.path, path) is not None
        )


class Traffic:
    """The log and the faults, shared by all servers."""

    def __init__(self, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self.log: deque[dict[str, Any]] = deque(maxlen=20_000)
        self.faults: list[Fault] = []
        self._number = 0

    def reset(self) -> None:
        with self._lock:
            self.log.clear()
            self.faults.clear()

    def next_fault(self, side: str, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.fits(side, method, path):
                    fault.times -= 1
                    return fault
        return None

    def write(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._number += 1
            self.log.append({"n": self._number, "at": plain(self._clock.now()), **entry})

    def around(self, side: str, app: WsgiApp, who: Who) -> WsgiApp:
        """`app` with the log and the faults in front of it. The control API itself is neither logged nor hurt."""

        def handle(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            if str(environ.get("PATH_INFO", "")).startswith("/_practice/"):
                return app(environ, start_response)
            return self._handle(side, app, who, environ, start_response)

        return handle

    def _handle(
        self, side: str, app: WsgiApp, who: Who, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        method, path = str(environ["REQUEST_METHOD"]), str(environ["PATH_INFO"])
        body = _read_body(environ)
        entry: dict[str, Any] = {"side": side, "method": method, "path": path}
        bearer = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")[2].strip()
        if bearer:
            entry["who"] = who(bearer)
        if environ.get("QUERY_STRING"):
            entry["query"] = _without_secrets_form(environ["QUERY_STRING"])
        if method != "GET" and body:
            entry["body"] = logged_body(body, environ.get("CONTENT_TYPE", ""))
        fault = self.next_fault(side, method, path)
        if fault:
            entry["fault"] = fault.kind
        began = time.monotonic()
        status, headers, answer = _answer(fault, app, environ)
        entry["status"] = None if fault and fault.kind in ("drop", "lose_answer") else int(status[:3])
        if fault and fault.kind == "lose_answer":
            entry["done_status"] = int(status[:3])
        entry["milliseconds"] = round((time.monotonic() - began) * 1000, 1)
        self.write(entry)
        if fault and fault.kind in ("drop", "lose_answer"):
            # The one exception that makes cheroot close the connection without a word.
            raise FatalSSLAlert(f"practice fault {fault.kind}")
        start_response(status, headers)
        return [answer]


def _answer(fault: Fault | None, app: WsgiApp, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    kind = fault.kind if fault else ""
    if fault is None or kind in ("lose_answer", "slow", "slow_answer", "truncate"):
        if fault and kind == "slow":
            time.sleep(fault.seconds)
        status, headers, answer = _call(app, environ)
        if fault and kind == "slow_answer":
            time.sleep(fault.seconds)
        if kind == "truncate":
            answer = answer[: len(answer) // 2]
            headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
        return status, headers, answer
    return _refusal(fault)


def _call(app: WsgiApp, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    kept: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], object]:
        kept["status"], kept["headers"] = status, headers
        return lambda _data: None

    chunks = app(environ, start)
    answer = b"".join(chunks)
    close = getattr(chunks, "close", None)
    if close:
        close()
    return kept["status"], kept["headers"], answer


def _refusal(fault: Fault) -> tuple[str, list[tuple[str, str]], bytes]:
    headers = list(fault.headers.items())
    if fault.kind == "throttle":
        body = json.dumps({"error": {"code": "TooManyRequests", "message": "Too many requests. Please retry later."}})
        return (
            "429 Too Many Requests",
            [
                ("Content-Type", "application/json"),
                ("Retry-After", fault.retry_after),
                ("x-ms-throttle-limit-percentage", "1.2"),
                *headers,
            ],
            body.encode(),
        )
    if fault.kind == "challenge":
        return _challenge(fault)
    text = fault.body
    if text is None:
        text = json.dumps({"error": {"code": "serviceNotAvailable", "message": "The service is not available."}})
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json" if text.startswith(("{", "[")) else "text/html"))
    return f"{fault.status} Practice", headers, text.encode()


def _challenge(fault: Fault) -> tuple[str, list[tuple[str, str]], bytes]:
    """Continuous access evaluation at Graph's edge (entra-pim sheet 3.1, second carrier)."""
    body = {"error": {"code": "InvalidAuthenticationToken", "message": "Continuous access evaluation resulted in ..."}}
    return (
        "401 Unauthorized",
        [("Content-Type", "application/json"), challenge_header(fault.claims)],
        json.dumps(body).encode(),
    )


def challenge_header(claims: str) -> tuple[str, str]:
    encoded = base64.b64encode((claims or '{"access_token":{"nbf":{"essential":true}}}').encode()).decode()
    return (
        "WWW-Authenticate",
        f'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
        f'error="insufficient_claims", claims="{encoded}"',
    )


def _read_body(environ: Environ) -> bytes:
    """Reads the whole body and puts it back, so that the log can show it whatever the app does with it."""
    source = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        body = bytes(source.read(int(length)))
    elif environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        body = bytes(source.read())
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        body = b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def logged_body(body: bytes, content_type: str) -> Any:
    text = body[:20_000].decode("utf-8", "replace")
    if "json" in content_type:
        try:
            return _without_secrets(json.loads(text))
        except ValueError:
            return text
    if "form" in content_type:
        return _without_secrets_form(text)
    return text


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "(left out)" if SECRET.search(k) else _without_secrets(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_secrets(v) for v in value]
    return value


def _without_secrets_form(text: str) -> str:
    pairs = parse_qsl(text, keep_blank_values=True)
    return urlencode([(k, "(left out)" if SECRET.search(k) else v) for k, v in pairs])
