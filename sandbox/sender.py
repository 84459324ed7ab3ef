"""Webhooks: made when something happened, sent from the background, and again by the vendor's own rules."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests

from sandbox.clock import Clock, plain, real_now

GAPS = (0.5, 1, 2, 5, 10, 30, 60, 120)
Headers = Mapping[str, str]


@dataclass
class Message:
    id: str
    body: bytes
    ticket: str = ""
    attempt: int = 0
    due: float = field(default_factory=time.monotonic)


class Dialect(Protocol):
    """How a vendor's webhooks look on the wire, and when they come again."""

    patience: float  # seconds that it waits for an answer

    def message(self, kind: str, ticket: str, actor: str) -> Message | None:
        """What is sent of one event; None where this vendor sends nothing of the kind. The desk's lock is held."""

    def headers(self, message: Message, secrets: Sequence[str]) -> Headers:
        """Those of one attempt, besides the content type."""

    def again(self, message: Message, status: int | None, answer: Headers) -> float | None:
        """Seconds until the next attempt; None for never. `status`: None without an answer."""


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class StandardWebhooks:
    """The practice helpdesk's own: signed as Standard Webhooks says, with the same id until it is taken."""

    patience = 15.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def message(self, kind: str, ticket: str, actor: str) -> Message | None:
        event = {
            "type": kind,
            "timestamp": plain(self._clock.now()),
            "data": {"ticket": {"id": ticket}, "actor": {"id": actor}},
        }
        return Message("msg_" + secrets.token_urlsafe(18), json.dumps(event, separators=(",", ":")).encode())

    def headers(self, message: Message, secrets: Sequence[str]) -> Headers:
        timestamp = int(real_now().timestamp())
        signatures = " ".join(signature(s, message.id, timestamp, message.body) for s in secrets)
        return {
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures,
        }

    def again(self, message: Message, status: int | None, answer: Headers) -> float | None:  # noqa: ARG002
        """2xx and 410 are final."""
        if status is not None and (200 <= status < 300 or status == 410):
            return None
        return GAPS[message.attempt - 1] if message.attempt <= len(GAPS) else None


def signature(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 HMAC-SHA256 of id, time and body, with the decoded bytes of the secret as the key."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{number}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Sender:
    """One thread that posts what is due. Every attempt is written to `log`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.dialect: Dialect = StandardWebhooks(clock)
        self._wake = threading.Condition()
        self._waiting: list[Message] = []
        self._stopping = False
        self._held = False
        self._posting = False
        self.url = ""
        self.secrets: list[str] = [new_secret()]
        self.events: frozenset[str] | None = None  # which are sent, as an administrator would choose them; None: all
        self.log: deque[dict[str, Any]] = deque(maxlen=5000)
        self._session = requests.Session()
        self._session.trust_env = False
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout=5)

    def reset(self) -> None:
        with self._wake:
            self._waiting.clear()
            self._held = False
            self.events = None
            self.log.clear()

    def waiting(self) -> int:
        """How many messages are still to be sent, or on their way."""
        with self._wake:
            return len(self._waiting) + self._posting

    def hold(self, held: bool, backwards: bool = False) -> None:
        """Keeps events back, or lets them go: in order, or the newest first."""
        with self._wake:
            self._held = held
            if backwards:
                self._waiting.reverse()
            self._wake.notify()

    def send(self, kind: str, ticket: str, actor: str) -> None:
        """Queues one event. Without an address, or of a kind that nobody asked for, nothing is sent."""
        if not self.url or (self.events is not None and kind not in self.events):
            return
        message = self.dialect.message(kind, ticket, actor)
        if message is not None:
            message.ticket = ticket
            self._queue(message)

    def repeat(self, number: str, body: bytes) -> None:
        self._queue(Message(number, body))

    def _queue(self, message: Message) -> None:
        with self._wake:
            self._waiting.append(message)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._stopping:
                    return
                now = time.monotonic()
                waiting = [] if self._held else self._waiting
                ready = [m for m in waiting if m.due <= now]
                if not ready:
                    due = min((m.due for m in waiting), default=now + 60)
                    self._wake.wait(timeout=max(0.01, due - now))
                    continue
                message = ready[0]
                self._waiting.remove(message)
                self._posting = True
            self._post(message)
            self._posting = False

    def _post(self, message: Message) -> None:
        headers = {"content-type": "application/json", **self.dialect.headers(message, self.secrets)}
        status: int | None = None
        problem: str | None = None
        told: Headers = {}
        try:
            answer = self._session.post(
                self.url, data=message.body, headers=headers, timeout=self.dialect.patience, allow_redirects=False
            )
            status, told = answer.status_code, answer.headers
        except requests.RequestException as failed:
            problem = type(failed).__name__
        message.attempt += 1
        again = self._again(message, status, told)
        self.log.append(
            {
                "id": message.id,
                "at": plain(self._clock.now()),
                "attempt": message.attempt,
                "event": json.loads(message.body),
                "ticket": message.ticket,
                "sent": message.body.decode(),
                "headers": headers,
                "status": status,
                "problem": problem,
                "again": again,
            }
        )

    def _again(self, message: Message, status: int | None, answer: Headers) -> bool:
        """Puts a message that was not taken back into the queue."""
        wait = self.dialect.again(message, status, answer)
        if wait is None:
            return False
        message.due = time.monotonic() + wait
        self._queue(message)
        return True
