"""Signed deliveries of each kind of helpdesk, as its double sends them, prepared without a server.

Each has an id of its own, where there is one, and a body that no other has, so that none is taken for a repeat.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from sandbox.clock import Clock
from sandbox.desk import Desk
from sandbox.sender import Message, Sender, StandardWebhooks
from sandbox.tenant import Tenant
from sandbox.vendors import VENDORS

KINDS = ("generic", "request_tracker", *sorted(VENDORS))
NOWHERE = "http://localhost:1"  # no helpdesk is called while a delivery is received
# What Request Tracker's extension sends (docs/connect-request-tracker.md).
_TAKEN = {"event": "ticket.owner_changed", "ticket": "4821", "transaction": "50", "actor": "technician"}


class _Signs(Protocol):
    def headers(self, message: Message, secrets: Sequence[str]) -> Mapping[str, str]: ...


def secret_of(kind: str) -> str:
    """No two connections share one."""
    return "whsec_" + base64.b64encode(hashlib.sha256(kind.encode()).digest()).decode()


def table(kind: str) -> dict[str, Any]:
    """The connection's table in the settings."""
    secret = secret_of(kind)
    plain = {"url": NOWHERE, "token": "nobody", "service_account": "elevate-bot", "secrets": {"first": secret}}
    if kind in VENDORS:
        desk, sender, clock = _desk()
        vendor = VENDORS[kind](desk, sender, clock)
        sender.secrets = [secret]
        return {"kind": kind, **vendor.settings(NOWHERE)}
    return {"kind": kind, **plain}


def prepare(kind: str, path: str, count: int) -> list[bytes]:
    """`count` whole HTTP requests about a ticket that its technician picked."""
    return list(_requests(kind, path, count))


def _requests(kind: str, path: str, count: int) -> Iterator[bytes]:
    (dialect, first), secret = _pick(kind), secret_of(kind)
    assert first.body.endswith(b"}")
    run = secrets.token_hex(6)
    for number in range(count):
        body = first.body[:-1] + f', "benchmark": "{run}-{number}"}}'.encode()
        message = Message(f"{run}-{number}", body)
        named = {"content-type": "application/json", **dialect.headers(message, [secret])}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        start = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        yield f"{start}{head}\r\n".encode() + body


def _pick(kind: str) -> tuple[_Signs, Message]:
    desk, sender, clock = _desk()
    if kind == "request_tracker":
        return StandardWebhooks(clock), Message("1", json.dumps(_TAKEN).encode())
    dialect = VENDORS[kind](desk, sender, clock).dialect if kind in VENDORS else StandardWebhooks(clock)
    technician = desk.account("technician")
    assert technician is not None
    number = desk.create("Cannot sign in", "Password reset", "Service desk", technician).id
    desk.assign(number, technician.id, technician)
    message = dialect.message("ticket.assigned", number, technician.id)
    assert message is not None
    return dialect, message


def _desk() -> tuple[Desk, Sender, Clock]:
    clock = Clock()
    sender = Sender(clock)
    return Desk(Tenant(clock, 300, 0, 0), clock, sender.send), sender, clock
