"""Fifty deliveries a second beside the picks: what a pick takes then, as a ratio to what it takes on a quiet desk.

The flood is what a helpdesk sends that tells of every edit of every ticket: signed calls about tickets that nobody has,
so each that is worked costs a reading and starts nothing. It comes over another connection, then over the picks' own.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import requests
from standardwebhooks import Webhook

from benchmarks import parts, picks
from benchmarks.picks import CATEGORIES, TECHNICIANS, Desk

BUSY, SECRET = "busy", "whsec_" + "Yn" * 20
PER_SECOND = 50
POOL = 200  # tickets that are edited; several edits of one may wait together
OVER = {"other": (BUSY, SECRET), "own": (parts.CONNECTION, "")}


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    count = 6 if quick else 30
    with picks.running(directory, also={BUSY: SECRET}) as desk:
        quiet = _paced(desk, count)
        figures = {"flood_quiet_pick_p50_ms": round(median(quiet), 1)}
        pool = [desk.ticket("Something else") for _ in range(POOL)]
        for name, (connection, secret) in OVER.items():
            with _flood(desk, connection, secret or desk.facts["webhook_secret"], pool) as sent:
                flooded = _paced(desk, count)
            figures[f"flood_{name}_connection_sent_per_second"] = round(sent(), 1)
            figures[f"flood_{name}_connection_ratio"] = round(median(flooded) / median(quiet), 2)
            figures[f"flood_{name}_connection_worst_ms"] = round(max(flooded), 1)
    return figures


def _paced(desk: Desk, count: int) -> list[float]:
    """Milliseconds from the assignment to the note that the role is active, one pick each second."""
    since = max(row["n"] for row in desk.log())
    tickets = [desk.ticket(CATEGORIES[n % len(CATEGORIES)]) for n in range(count)]
    began = time.monotonic()
    for number, ticket in enumerate(tickets):
        picks.sleep_until(began + number)
        desk.pick(TECHNICIANS[0], ticket)
    notes = picks.Notes(desk)
    for ticket in tickets:
        notes.wait(ticket, picks.ACTIVE)
    notes.stop()
    took = [picks.took(desk.log(since), ticket) for ticket in tickets]
    for ticket in tickets:
        desk.solve(TECHNICIANS[0], ticket)
    time.sleep(3)  # what follows from that is no part of the next round
    return took


@contextmanager
def _flood(desk: Desk, connection: str, secret: str, pool: list[str]) -> Iterator[Any]:
    """Calls at their own pace, whatever the answers take; yields what says how many a second were answered."""
    stop, answered, began = threading.Event(), [0], time.monotonic()
    ends = [began]
    url = f"http://127.0.0.1:{desk.port}/webhooks/{connection}"

    def send() -> None:
        sender, session, number = Webhook(secret), requests.Session(), 0
        session.trust_env = False
        for number, ticket in enumerate(cycle(pool)):
            if stop.is_set():
                break
            picks.sleep_until(began + number / PER_SECOND)
            now, name = datetime.now(UTC), f"msg_{connection}_{number}_{int(began * 1000)}"
            body = json.dumps({"type": "ticket.updated", "data": {"ticket": {"id": ticket}, "actor": {"id": "x"}}})
            headers = {"webhook-id": name, "webhook-timestamp": str(int(now.timestamp()))}
            headers["webhook-signature"] = sender.sign(name, now, body)
            answer = session.post(url, data=body, headers=headers, timeout=10)
            if answer.status_code != 202:
                raise ValueError(f"The receiver answered {answer.status_code}: {answer.text[:200]}")
            answered[0] += 1
        ends[0] = time.monotonic()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    time.sleep(2)  # until as much waits as will
    yield lambda: answered[0] / (ends[0] - began)
    stop.set()
    thread.join(15)
