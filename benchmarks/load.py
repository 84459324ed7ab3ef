"""The load generator: a process of its own, raw sockets, 8 connections at a time; prints one JSON line.

`python -m benchmarks.load PORT PATH SECRET SECONDS CONNECTIONS [KIND]`: each connection sends the next request when the
last one is answered, and is opened anew now and then. KIND is that of the helpdesk whose deliveries they are, with a
secret of its own. Everything is prepared before the clock starts, so that the generator takes little of the processors.
"""

import base64
import hashlib
import hmac
import json
import secrets
import selectors
import socket
import sys
import time
from dataclasses import dataclass

from benchmarks import adapters

BODY = b'{"type": "ticket.assigned", "data": {"ticket": {"id": "4821"}, "actor": {"id": "technician"}}}'
PREPARED = 12_000  # requests per second of the run; more than any server here answers
# Requests on one connection. Kept for a whole run, eight of them fall unevenly to a server's processes, one of which is
# then idle for half of its time: the ratio of two servers would be that of two falls of the dice.
KEPT = 50


@dataclass
class Connection:
    socket: socket.socket
    sent_at: float = 0.0
    sent: int = 0


def prepare(path: str, secret: str, count: int) -> list[bytes]:
    """Signed deliveries, each with an id of its own (Standard Webhooks, spec/standard-webhooks.md)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stamp, run = str(int(time.time())), secrets.token_hex(6)
    requests = []
    for number in range(count):
        name = f"msg_{run}_{number}"
        mac = hmac.digest(key, b".".join((name.encode(), stamp.encode(), BODY)), hashlib.sha256)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(BODY)}\r\nwebhook-id: {name}\r\nwebhook-timestamp: {stamp}\r\n"
            f"webhook-signature: v1,{base64.b64encode(mac).decode()}\r\n\r\n"
        )
        requests.append(head.encode() + BODY)
    return requests


def run(port: int, requests: list[bytes], seconds: float, connections: int) -> dict[str, float]:
    """Answers per second and latencies in milliseconds; raises where anything but 202 is answered."""
    selector = selectors.DefaultSelector()
    took: list[float] = []
    todo = iter(requests)

    def open_one() -> Connection:
        it = Connection(socket.create_connection(("127.0.0.1", port)))
        it.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(it.socket, selectors.EVENT_READ, it)
        return it

    for _ in range(connections):
        _send(open_one(), next(todo))
    began = time.perf_counter()
    waiting = connections
    while waiting:
        for key, _ in selector.select(10):
            it = key.data
            _read_202(it.socket)
            now = time.perf_counter()
            took.append(now - it.sent_at)
            following = next(todo, None) if now - began < seconds else None
            if following is None or it.sent == KEPT:
                selector.unregister(it.socket)
                it.socket.close()
            if following is None:
                waiting -= 1
            else:
                _send(open_one() if it.sent == KEPT else it, following)
    spent = time.perf_counter() - began
    took.sort()
    return {
        "per_second": len(took) / spent,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[len(took) * 99 // 100] * 1000,
        "worst_ms": took[-1] * 1000,
        "answers": len(took),
    }


def _send(it: Connection, request: bytes) -> None:
    it.sent_at = time.perf_counter()
    it.sent += 1
    it.socket.sendall(request)


def _read_202(source: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:  # both servers answer 202 without a body
        part = source.recv(65536)
        if not part:
            raise ConnectionError("The server closed the connection.")
        answer += part
    if not answer.startswith(b"HTTP/1.1 202"):
        raise ValueError(f"The server answered {answer[:200]!r}.")


if __name__ == "__main__":
    port, path, secret, seconds, connections, *kind = sys.argv[1:]
    count = int(float(seconds) * PREPARED)
    prepared = adapters.prepare(kind[0], path, count) if kind else prepare(path, secret, count)
    print(json.dumps(run(int(port), prepared, float(seconds), int(connections))))
