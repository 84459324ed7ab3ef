"""The reviewers' list over 100,000 elevations: how long each filter takes, on both databases.

Through the pages as they are served (gunicorn, a signed-in auditor), each filter many times; beside it in the same run
the straight way: one SELECT with LIKE and OFFSET, by the driver, on a copy of the database without the indexes for it.
"""

import json
import random
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import requests
import sqlalchemy as sa

from benchmarks import parts
from benchmarks.receiver import FACTS
from integration.elevation import ActivationState, EndReason, State
from integration.records import sessions
from integration.records.store import Records
from integration.records.tables import activations, comments, elevations

COUNT, SPREAD = 100_000, timedelta(days=365)
TECHNICIANS = [f"Technician {n:03}" for n in range(300)]
ROLES = [f"Role {n:02} Administrator" for n in range(39)] + ["Global Reader"]
RULES = [f"rule-{n:02}" for n in range(25)]
NOW = datetime.now(UTC)
# name: the page's parameters, and the same in SQL for the straight way.
FILTERS: dict[str, tuple[dict[str, str], str]] = {
    "nothing": ({}, "1 = 1"),
    "technician": ({"technician": '"Technician 017"'}, "technician = 'Technician 017'"),
    "technician_part": ({"technician": "cian 01"}, "lower(technician) like '%cian 01%'"),
    "technician_all": ({"technician": "tech"}, "lower(technician) like '%tech%'"),
    "technician_nobody": ({"technician": "nobody"}, "lower(technician) like '%nobody%'"),
    "person": ({"person": "t/Technician 017"}, "oid = 'Technician 017'"),
    "target": ({"target": "entra-role:Global Reader@/"}, "target = 'entra-role:Global Reader@/'"),
    "role": ({"role": "global"}, "lower(target_name) like '%global%'"),
    "rule": ({"rule": '"rule-07"'}, "rule = 'rule-07'"),
    "ticket": ({"ticket": "T50000"}, "ticket = 'T50000'"),
    "state_common": ({"state": "ended"}, "state = 'ended'"),
    "state_rare": ({"state": "active"}, "state = 'active'"),
    "state_none": ({"state": "pending_approval"}, "state = 'pending_approval'"),
    "never_active": ({"active": "no"}, "active_at is null"),
    "days_7": ({"days": "7"}, f"created_at >= '{NOW - timedelta(days=7):%Y-%m-%d}'"),
    "dates": (
        {"since": f"{NOW - timedelta(days=200):%Y-%m-%d}", "until": f"{NOW - timedelta(days=170):%Y-%m-%d}"},
        f"created_at >= '{NOW - timedelta(days=200):%Y-%m-%d}' and created_at < '{NOW - timedelta(days=169):%Y-%m-%d}'",
    ),
    "unusual": ({"unusual": "any"}, "emergency or end_reason = 'outside'"),
    "break_glass": ({"unusual": "break_glass"}, "emergency"),
    "by_hand": (
        {"unusual": "by_hand"},
        "activation in (select id from activations where by_hand)",
    ),
    "never_usable": (
        {"unusual": "never_usable"},
        "activation in (select id from activations where usable_at is null and ended_at is not null)",
    ),
    "note_missing": (
        {"unusual": "note_missing"},
        "id in (select elevation from comments where written_at is null and due_at is null)",
    ),
    "who_and_state": (
        {"technician": '"Technician 017"', "state": "failed"},
        "technician = 'Technician 017' and state = 'failed'",
    ),
    "never_together": ({"state": "ended", "active": "no"}, "state = 'ended' and active_at is null"),
    "role_and_rule": ({"role": "role 3", "rule": "rule-1"}, "target_name like '%Role 3%' and rule like '%rule-1%'"),
    "unusual_who": (
        {"unusual": "any", "technician": "cian 01", "days": "90"},
        f"emergency and lower(technician) like '%cian 01%' and created_at >= '{NOW - timedelta(days=90):%Y-%m-%d}'",
    ),
}
DROPPED = (
    "ix_elevations_technician",
    "ix_elevations_role",
    "ix_elevations_rule",
    "ix_elevations_state",
    "ix_elevations_ticket",
    "ix_elevations_never_active",
    "ix_elevations_break_glass",
    "ix_elevations_outside",
    "ix_elevations_not_given_back",
    "ix_activations_by_hand",
    "ix_activations_never_usable",
    "ix_comments_missing",
)
STRAIGHT = "select * from elevations where {where} order by created_at desc limit 51 offset 0"
Ask = Callable[[str], object]


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    count, times = (5_000, 5) if quick else (COUNT, 40)
    figures: dict[str, float] = {}
    with parts.postgresql(directory) as postgres:
        for name, url in (("sqlite", f"sqlite:///{directory}/review.sqlite"), ("postgresql", postgres)):
            records = Records(url)
            records.migrate()
            _fill(records, count)
            figures |= _measured(directory, name, records, times)
    return figures


def _measured(directory: Path, name: str, records: Records, times: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    cookie = _signed_in(records)
    settings = parts.settings(
        directory, f"review-{name}", FACTS, database=records.url, redis_url="redis://127.0.0.1:1/0", port=1
    )
    with parts.gunicorn("webhooks.app:create_app()", directory, f"review-{name}", settings) as port:
        session = requests.Session()
        session.trust_env = False
        session.cookies.set("te", cookie)

        def page(path: str, asked: dict[str, str]) -> str:
            answer = session.get(f"http://127.0.0.1:{port}{path}", params=asked, headers={"Host": "localhost:1"})
            answer.raise_for_status()
            return answer.text

        for _ in range(10):
            page("/review", {})  # imports, connections and caches, in both processes
        # What this machine, just now, takes for a page that does nothing.
        figures[f"bare_page_p95_ms_{name}"] = _p95(_times(times, lambda: page("/healthz", {})))
        for asked, (parameters, _sql) in FILTERS.items():
            took = _times(times, lambda parameters=parameters: page("/review", parameters))
            figures[f"review_{asked}_p95_ms_{name}"] = _p95(took)
        deep = _oldest_half(records)
        figures[f"review_deep_p95_ms_{name}"] = _p95(_times(times, lambda: page("/review", {"older_than": deep})))
        month = f"{NOW - timedelta(days=60):%Y-%m}"
        figures[f"review_month_ms_{name}"] = _p95(_times(times // 4, lambda: page("/review/month", {"month": month})))
        began = time.perf_counter()
        lines = page("/review/export.csv", {}).count("\r\n")
        figures[f"review_export_rows_per_second_{name}"] = round(lines / (time.perf_counter() - began))
    records.dispose()
    worst = max(value for key, value in figures.items() if key.startswith("review_") and "_p95_ms_" in key)
    with _straight(records, directory) as ask:
        plain = {it: _p95(_times(max(times // 8, 3), lambda sql=sql: ask(sql))) for it, (_, sql) in FILTERS.items()}
    figures[f"straight_worst_p95_ms_{name}"] = max(plain.values())
    figures[f"straight_median_p95_ms_{name}"] = round(median(plain.values()), 1)
    figures[f"review_worst_p95_ms_{name}"] = worst
    return figures


def _times(count: int, act: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(count):
        began = time.perf_counter()
        act()
        found.append((time.perf_counter() - began) * 1000)
    return found


def _p95(took: list[float]) -> float:
    return round(sorted(took)[max(int(len(took) * 0.95) - 1, 0)], 1)


def _signed_in(records: Records) -> str:
    who = {"tid": "t", "oid": "auditor", "name": "Auditor", "upn": "auditor@practice.example", "roles": ["Auditor"]}
    cookie = secrets.token_urlsafe(32)
    data = json.dumps({**who, "signed_in_at": NOW.isoformat(), "csrf_token": secrets.token_hex(20)})
    with records.write() as tx:
        sessions.start_session(tx, cookie, data, tid="t", oid="auditor", now=NOW)
    return cookie


def _oldest_half(records: Records) -> str:
    query = sa.select(elevations.c.id).order_by(elevations.c.created_at).offset(20).limit(1)
    with records.read() as connection:
        return str(connection.execute(query).scalar_one())


@contextmanager
def _straight(records: Records, directory: Path) -> Iterator[Ask]:
    """The straight way to ask, on a copy without our indexes."""
    if records.sqlite:
        copy = directory / "straight.sqlite"
        shutil.copy(sa.make_url(records.url).database or "", copy)
        connection: Any = sqlite3.connect(copy)
    else:
        url = sa.make_url(records.url)
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True, dbname="template1") as admin:
            admin.execute(f'CREATE DATABASE straight TEMPLATE "{url.database}"')
        connection = psycopg.connect(plain, autocommit=True, dbname="straight")
    with closing(connection):
        for index in DROPPED:
            connection.execute(f"DROP INDEX {index}")
        yield lambda where: connection.execute(STRAIGHT.format(where=where)).fetchall()


def _fill(records: Records, count: int) -> None:
    """The same rows each time. Rare things are as rare as an auditor hopes."""
    chance = random.Random(7)  # noqa: S311
    for start in range(0, count, 5_000):
        made = [_story(chance, n, count) for n in range(start, min(start + 5_000, count))]
        with records.write() as tx:
            tx.execute(activations.insert(), [activation for _, activation, _ in made if activation])
            tx.execute(elevations.insert(), [elevation for elevation, _, _ in made])
            tx.execute(comments.insert(), [comment for _, _, comment in made])
    with records.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if not records.sqlite else "PRAGMA wal_checkpoint(TRUNCATE)")


def _story(chance: random.Random, n: int, count: int) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
    at = NOW - SPREAD + SPREAD * (n / count)
    states = (State.ENDED, State.REFUSED, State.CANCELLED, State.FAILED, State.WATCHED, State.ACTIVE)
    state = chance.choices(states, (820, 60, 40, 30, 49, 1))[0]
    active = state in (State.ENDED, State.ACTIVE)
    who, role, rule = (chance.choice(names) for names in (TECHNICIANS, ROLES, RULES))
    name = f"E{n:025}"
    ended = at + timedelta(minutes=chance.randint(6, 55)) if state is State.ENDED else None
    late = chance.random() < 0.003
    elevation = {
        "id": name,
        "connection": "practice",
        "ticket": f"T{n}",
        "account": who,
        "pick": name,
        "state": state,
        "version": 6,
        "created_at": at,
        "attempts": 0,
        "tid": "t",
        "oid": who,
        "technician": who,
        "rule": rule,
        "target": f"entra-role:{role}@/",
        "target_name": role,
        "duration_seconds": 3600,
        "justification": f"{rule} for ticket T{n}",
        "activation": name if active else None,
        "active_at": at + timedelta(seconds=3) if active else None,
        "until": (ended if late and ended else at + timedelta(hours=1)) if active else None,
        "ended_at": ended or (None if active else at + timedelta(seconds=2)),
        "end_reason": chance.choices((EndReason.SOLVED, EndReason.OUTSIDE), (997, 3))[0] if ended else None,
        "outcome": "Ended: the ticket was solved." if ended else None,
        "analysis": json.dumps([{"what": f"Condition {i}", "detail": "d" * 90, "met": True} for i in range(10)]),
        "emergency": chance.random() < 0.002,
        "reason": None,
        "reviewed_at": at,
        "reviewed_by": "Auditor",
        "let_go_at": ended,
    }
    activation = {
        "id": name,
        "tid": "t",
        "oid": who,
        "target": f"entra-role:{role}@/{n}",
        "target_name": role,
        "state": ActivationState.GIVEN_BACK if ended else ActivationState.ACTIVE,
        "version": 5,
        "created_at": at,
        "duration_seconds": 3600,
        "justification": "",
        "ticket_number": f"T{n}",
        "attempts": 0,
        "by_hand": chance.random() < 0.005,
        "started_at": at,
        "ended_at": ended,
        "usable_at": at if chance.random() < 0.99 else None,
    }
    comment = {
        "id": name,
        "connection": "practice",
        "ticket": f"T{n}",
        "elevation": name,
        "step": "ended",
        "text": "The role was given back. " * 8,
        "created_at": at,
        "version": 2,
        "attempts": 1,
        "written_at": at if chance.random() < 0.9995 else None,
    }
    return elevation, activation if active else None, comment
