"""Pick to active: the real product (web, workers, beat, Redis, SQLite) against the practice tenant without delays.

The practice tenant's own log says when each upstream call came and how long it took. A pick begins when the helpdesk
takes the assignment and ends when it has taken the comment; overhead is what is left without the upstream calls, so
the way of the webhook, the queue, and our side of each call all count as ours.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from benchmarks import memory, parts, straight
from integration import settings
from integration.deployment import Deployment
from integration.records import people
from integration.records.people import Link

# Each of these needs another role of a technician's, so that as many picks can go on side by side: enough to keep the
# cores busy while some wait for the tenant.
CATEGORIES = ("Password reset", "MFA reset", "Login error", "BitLocker key")
TECHNICIANS = ("technician", "technician2")
Lane = tuple[str, str]  # who, and the category of their tickets
LANES: tuple[Lane, ...] = tuple((who, category) for who in TECHNICIANS for category in CATEGORIES)
ACTIVE, ENDED = "is active until", "was given back"


@dataclass(frozen=True)
class Desk:
    """The people's side: what the technician and the requester do at the practice helpdesk."""

    facts: dict[str, Any]
    port: int = 0  # of our web process

    def call(self, who: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        token = next(p["helpdesk_password_or_token"] for p in self.facts["people"] if p["key"] == who)
        url = self.facts["helpdesk_url"] + path
        answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def ticket(self, category: str) -> str:
        made = self.call("requester", "/api/tickets", {"subject": "Cannot sign in", "category": category})
        return str(made["id"])

    def pick(self, who: str, ticket: str) -> None:
        self.call(who, f"/api/tickets/{ticket}/assign", {"assignee": who})

    def solve(self, who: str, ticket: str) -> None:
        self.call(who, f"/api/tickets/{ticket}/status", {"status": "solved"})

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        url = f"{self.facts['practice_url']}/_practice/log"
        rows: list[dict[str, Any]] = requests.get(url, params={"since": since, "webhooks": 0}, timeout=10).json()[
            "requests"
        ]
        return rows


class Notes:
    """Waits for sentences on tickets by reading the practice tenant's log."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._since = desk, 0
        self._seen: list[tuple[str, str]] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def wait(self, ticket: str, words: str) -> None:
        def there() -> bool:
            return any(t == ticket and words in body for t, body in self._seen)

        with self._changed:
            if not self._changed.wait_for(there, parts.PATIENCE):
                raise TimeoutError(f"Ticket {ticket} never said {words!r}.")

    def _follow(self) -> None:
        while not self._stop.wait(0.03):
            rows = self._desk.log(self._since)
            with self._changed:
                for row in rows:
                    self._since = max(self._since, row["n"])
                    if row["method"] == "POST" and row["path"].endswith("/notes"):
                        self._seen.append((row["path"].split("/")[3], str(row.get("body"))))
                self._changed.notify_all()


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    paced, seconds = (8, 6.0) if quick else (60, 20.0)
    with running(directory) as desk:
        figures = _paced(desk, paced)
        reached = _sustained(desk, seconds)
        figures |= memory.of_processes_below(directory)
    with _practice_alone(directory / "straight") as desk:
        unsafe = straight.cycles_per_second(desk, LANES, seconds, _browse)
    figures |= {
        "sustained_picks_per_second": round(reached, 2),
        "straight_picks_per_second": round(unsafe, 2),
        "sustained_ratio": round(reached / unsafe, 3),
    }
    return figures


@contextmanager
def running(directory: Path, *, also: Mapping[str, str] | None = None) -> Iterator[Desk]:
    """The product and what it is connected to, warm. `also`: names and secrets of more connections to the helpdesk."""
    port = parts.free_port()
    with ExitStack() as stack:
        facts = stack.enter_context(parts.sandbox(directory, port))
        database = f"sqlite:///{directory}/elevate.sqlite"
        environment = parts.settings(directory, "picks", facts, database=database, redis_url="", port=port, also=also)
        _prepare_people(facts)
        # As an administrator sets up a helpdesk's webhook: what can start or end something, and nothing else.
        events = ["ticket.assigned", "ticket.status_changed"]
        requests.post(f"{facts['practice_url']}/_practice/webhooks", json={"events": events}, timeout=10)
        _link_technicians(Path(environment[settings.SETTINGS_VARIABLE]), facts)
        product = [sys.executable, "-m", "cli", "run"]
        stack.enter_context(parts.program(product, directory / "product.log", environment))
        parts.until(lambda: _ready(port), "Ticket Elevate is ready")
        desk = Desk(facts, port)
        _warm(desk)
        yield desk


@contextmanager
def _practice_alone(directory: Path) -> Iterator[Desk]:
    directory.mkdir()
    with parts.sandbox(directory, 1) as facts:
        _prepare_people(facts)
        requests.post(f"{facts['practice_url']}/_practice/webhooks", json={"url": ""}, timeout=10)
        yield Desk(facts)


def _ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=2).ok
    except requests.RequestException:
        return False


def _prepare_people(facts: dict[str, Any]) -> None:
    """All technicians are eligible for what the first one is."""
    roles = [held["role"] for held in _person(facts, TECHNICIANS[0])["eligible"]]
    for who in TECHNICIANS[1:]:
        url = f"{facts['practice_url']}/_practice/people/{who}"
        requests.post(url, json={"eligible": roles}, timeout=10).raise_for_status()


def _person(facts: dict[str, Any], key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in facts["people"] if p["key"] == key)
    return found


def _link_technicians(path: Path, facts: dict[str, Any]) -> None:
    """The one sign-in of each, and the link of the helpdesk account that the pages make from it."""
    os.environ[settings.SETTINGS_VARIABLE] = str(path)
    deployment = Deployment(settings.load())
    deployment.records.migrate()
    now, tid = datetime.now(UTC), facts["tenant_id"]
    for who in TECHNICIANS:
        me = _person(facts, who)
        url, flow = deployment.tenant.start_sign_in(deployment.settings.redirect_uri)
        deployment.tenant.finish_sign_in(flow, _browse(url, facts, who), now=now)
        link = Link(parts.CONNECTION, me["helpdesk_account"], tid, me["oid"], me["name"], me["mail"], now, None)
        with deployment.records.write() as tx:
            people.make_link(tx, link)
    deployment.records.dispose()


def _browse(url: str, facts: dict[str, Any], who: str) -> dict[str, str]:
    """What a technician's browser does at Microsoft: what comes back in the callback's query."""
    browser = requests.Session()
    browser.trust_env, browser.verify = False, facts["ca_bundle"]
    answer = browser.get(f"{url}&practice_person={_person(facts, who)['upn']}", allow_redirects=False, timeout=10)
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def _warm(desk: Desk) -> None:
    """Each category once or twice, so that both workers have what a long day has: caches and connections."""
    notes = Notes(desk)
    for lane in LANES * 2:
        _cycle(desk, notes, lane)
    notes.stop()


def _cycle(desk: Desk, notes: Notes, lane: Lane) -> None:
    who, category = lane
    ticket = desk.ticket(category)
    desk.pick(who, ticket)
    notes.wait(ticket, ACTIVE)
    desk.solve(who, ticket)
    notes.wait(ticket, ENDED)


def _paced(desk: Desk, count: int) -> dict[str, float]:
    """One pick each second. Nothing is polled meanwhile: what happened is read from the log afterwards."""
    since = max(row["n"] for row in desk.log())
    tickets = [desk.ticket(CATEGORIES[n % len(CATEGORIES)]) for n in range(count)]
    began = time.monotonic()
    for number, ticket in enumerate(tickets):
        sleep_until(began + number)
        desk.pick(TECHNICIANS[0], ticket)
        sleep_until(began + number + 0.7)
        desk.solve(TECHNICIANS[0], ticket)
    time.sleep(3)
    rows = desk.log(since)
    # On a machine that is busy with other things a ticket may be solved before its role was there: said, not hidden.
    seen = [_one_pick(rows, ticket) for ticket in tickets]
    found = [pick for pick in seen if pick is not None]
    took = sorted(overhead for overhead, _ in found)
    calls = median(len(names) for _, names in found)
    print("Upstream calls of one pick:", *found[-1][1], sep="\n  ")
    return {
        "overhead_p50_ms": round(median(took), 1),
        "overhead_p99_ms": round(took[min(len(took) - 1, len(took) * 99 // 100)], 1),
        "upstream_calls": calls,
        "picks_solved_before_active": len(seen) - len(found),
    }


def sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.monotonic()))


def _one_pick(rows: list[dict[str, Any]], ticket: str) -> tuple[float, list[str]] | None:
    """Our own milliseconds, and the upstream calls between assignment and comment; None without comment."""
    assigned = next(i for i, row in enumerate(rows) if row["path"] == f"/api/tickets/{ticket}/assign")
    told = next((i for i, row in enumerate(rows) if _says_active(row, ticket)), None)
    if told is None:
        return None
    between = [row for row in rows[assigned + 1 : told + 1] if not row["path"].endswith("/status")]
    total = (_moment(rows[told]) - _moment(rows[assigned])).total_seconds() * 1000
    names = [f"{row['side']} {row['method']} {row['path']}" for row in between]
    return total - sum(row["milliseconds"] for row in between), names


def took(rows: list[dict[str, Any]], ticket: str) -> float:
    """Milliseconds from the assignment to the note that the role is active."""
    assigned = next(row for row in rows if row["path"] == f"/api/tickets/{ticket}/assign")
    told = next(row for row in rows if _says_active(row, ticket))
    return (_moment(told) - _moment(assigned)).total_seconds() * 1000


def _says_active(row: dict[str, Any], ticket: str) -> bool:
    note = row["method"] == "POST" and row["path"] == f"/api/tickets/{ticket}/notes"
    return note and ACTIVE in str(row.get("body"))


def _moment(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["at"])


def _sustained(desk: Desk, seconds: float) -> float:
    """Whole cycles (pick, active, solved, given back) per second, all lanes side by side."""
    notes = Notes(desk)
    stop = time.monotonic() + seconds
    done: list[Lane] = []

    def go_round(lane: Lane) -> None:
        while time.monotonic() < stop:
            _cycle(desk, notes, lane)
            done.append(lane)

    began = time.monotonic()
    straight.side_by_side(go_round, LANES)
    notes.stop()
    return len(done) / (time.monotonic() - began)
