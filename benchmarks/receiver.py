"""The receiver, durable, against a bare Flask route under the same gunicorn in the same run.

Two gthread processes, eight connections, deliveries signed as Standard Webhooks says. The rounds take turns (bare,
SQLite, PostgreSQL, bare, ...), because a shared machine is not equally fast from minute to minute; a ratio is the
median over the rounds, each against the bare round beside it. Then the same for a connection of each kind of helpdesk,
with its own deliveries, on SQLite; the bare route is sent the same.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import adapters, parts
from integration.records.store import Records
from integration.settings import SETTINGS_VARIABLE

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # noqa: S105  # of this benchmark alone
NOWHERE = "https://127.0.0.1:1"  # neither tenant nor helpdesk is called while a delivery is received
FACTS = {
    "authority": f"{NOWHERE}/00000000-0000-4000-8000-000000000001",
    "tenant_id": "00000000-0000-4000-8000-000000000001",
    "client_id": "00000000-0000-4000-8000-000000000002",
    "client_secret": "nobody",
    "graph_url": NOWHERE,
    "arm_url": NOWHERE,
    "ca_bundle": "/dev/null",
    "helpdesk_url": NOWHERE,
    "helpdesk_token": "nobody",
    "helpdesk_service_account": "ticket-elevate",
    "webhook_secret": SECRET,
}


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    rounds, seconds = (2, 1.5) if quick else (7, 4.0)
    with ExitStack() as stack:
        queue = stack.enter_context(parts.redis(directory))
        databases = {
            "sqlite": f"sqlite:///{directory}/receiver.sqlite",
            "postgresql": stack.enter_context(parts.postgresql(directory)),
        }
        ports = {"bare": stack.enter_context(parts.gunicorn("benchmarks.bare:create_app()", directory, "bare"))}
        for name, database in databases.items():
            environment = parts.settings(directory, name, FACTS, database=database, redis_url=queue, port=1)
            records = Records(database)
            records.migrate()
            records.dispose()
            _connect_all(Path(environment[SETTINGS_VARIABLE]))
            ports[name] = stack.enter_context(parts.gunicorn("webhooks.app:create_app()", directory, name, environment))
        for port in ports.values():
            _load(port, 1.0)  # imports, connections and caches
        found = [{name: _load(port, seconds) for name, port in ports.items()} for _ in range(rounds)]
        each = [_of_each_kind(ports, 0.7 if quick else 2.0) for _ in range(1 if quick else 7)]
    return _figures(found, list(databases)) | _ratios(each)


def _connect_all(path: Path) -> None:
    """A connection of each kind beside the practice helpdesk, under the name of its kind."""
    with path.open("a", encoding="utf-8") as out:
        for kind in adapters.KINDS:
            out.write(f"[helpdesks.{kind}]\n")
            out.writelines(f"{key} = {_toml(value)}\n" for key, value in adapters.table(kind).items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)  # texts, numbers, truth values and lists of them are written alike


def _of_each_kind(ports: dict[str, int], seconds: float) -> dict[str, float]:
    """The ratio of each kind, against a bare round with the same deliveries just before it."""

    def ratio(kind: str) -> float:
        bare: float = _load(ports["bare"], seconds / 2, kind)["per_second"]
        found: float = _load(ports["sqlite"], seconds, kind)["per_second"]
        return found / bare

    return {kind: ratio(kind) for kind in adapters.KINDS}


def _ratios(each: list[dict[str, float]]) -> dict[str, float]:
    return {f"receiver_ratio_of_{kind}": round(median(it[kind] for it in each), 3) for kind in adapters.KINDS}


def _load(port: int, seconds: float, kind: str = "") -> dict[str, Any]:
    path = f"/webhooks/{kind or 'practice'}"
    command = [sys.executable, "-m", "benchmarks.load", str(port), path, SECRET, str(seconds), "8"]
    command += [kind] if kind else []
    out = subprocess.run(command, cwd=parts.ROOT, check=True, capture_output=True)
    answer: dict[str, Any] = json.loads(out.stdout)
    return answer


def _figures(found: list[dict[str, dict[str, Any]]], databases: list[str]) -> dict[str, float]:
    figures = {"bare_per_second": round(median(r["bare"]["per_second"] for r in found), 0)}
    figures["bare_p99_ms"] = round(median(r["bare"]["p99_ms"] for r in found), 1)
    for name in databases:
        figures[f"receiver_per_second_{name}"] = round(median(r[name]["per_second"] for r in found), 0)
        ratio = median(r[name]["per_second"] / r["bare"]["per_second"] for r in found)
        figures[f"receiver_ratio_{name}"] = round(ratio, 3)
        figures[f"receiver_p99_ms_{name}"] = round(median(r[name]["p99_ms"] for r in found), 1)
        figures[f"receiver_worst_ms_{name}"] = round(max(r[name]["worst_ms"] for r in found), 1)
    return figures
