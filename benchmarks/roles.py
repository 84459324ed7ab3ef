"""My roles with 200 eligibilities over three sources, from what is kept, against a bare page with as many rows.

One reader who asks again when the last page has arrived, under the same gunicorn; nobody is at the tenant's address, so
a page that asked it would fail. The rounds take turns (bare, SQLite, PostgreSQL, bare, ...); a ratio is the median over
the rounds, each against the bare round beside it.
"""

import gzip
import http.client
import json
import secrets
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from benchmarks import bare, parts
from benchmarks.receiver import FACTS
from integration.entra.pim import Active, Policy
from integration.records import roles, sessions
from integration.records.store import Records
from integration.roles import BUILT_IN
from integration.targets import Eligibility, Target, TargetKind

OID = "00000000-0000-4000-8000-000000000003"
SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000005"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"  # of Azure
RULES = f"""
[[rule]]
name = "directory"
match = {{ category = "Password reset" }}
roles = ["Password Administrator"]

[[rule]]
name = "group"
match = {{ category = "Mailbox" }}
roles = [{{ group = "00000000-0000-4000-8000-000000000004", access = "member", name = "Helpers" }}]

[[rule]]
name = "azure"
match = {{ category = "Server" }}
roles = [{{ azure_role = "{READER}", scope = "{SUBSCRIPTION}" }}]
"""


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    rounds, seconds = (2, 1.5) if quick else (7, 4.0)
    rules = directory / "rules.toml"
    rules.write_text(RULES, encoding="utf-8")
    with ExitStack() as stack:
        queue = stack.enter_context(parts.redis(directory))
        databases = {
            "sqlite": f"sqlite:///{directory}/roles.sqlite",
            "postgresql": stack.enter_context(parts.postgresql(directory)),
        }
        bare_port = stack.enter_context(parts.gunicorn("benchmarks.bare:create_app()", directory, "bare"))
        pages = {"bare": (bare_port, bare.ROWS_PATH, "")}
        kept = {name: Records(database) for name, database in databases.items()}
        for name, database in databases.items():
            environment = parts.settings(directory, name, FACTS, database=database, redis_url=queue, port=1)
            environment["TICKET_ELEVATE_RULES_FILE"] = str(rules)
            kept[name].migrate()
            port = stack.enter_context(parts.gunicorn("webhooks.app:create_app()", directory, name, environment))
            pages[name] = (port, "/roles", _session(kept[name]))
        found: dict[str, list[list[float]]] = {name: [] for name in pages}
        for number in range(rounds + 1):
            for name, page in pages.items():
                if name in kept:
                    _keep(kept[name])  # young enough for the whole round: nothing is read behind it
                took = _read(*page, seconds=seconds if number else 1.0)
                found[name] += [took] if number else []  # the first fills caches and imports
        size = len(gzip.compress(_page(*pages["sqlite"])))
        for records in kept.values():
            records.dispose()
    return _figures(found) | {"my_roles_kb_compressed": round(size / 1024, 1)}


def _session(records: Records) -> str:
    """The cookie of a technician who is signed in."""
    cookie, now, tid = secrets.token_urlsafe(32), datetime.now(UTC), FACTS["tenant_id"]
    data = {"tid": tid, "oid": OID, "name": "Technician", "upn": "technician@desk.example", "roles": []}
    with records.write() as tx:
        text = json.dumps({**data, "signed_in_at": now.isoformat()})
        sessions.start_session(tx, cookie, text, tid=tid, oid=OID, now=now)
    return f"te={cookie}"


def _eligible() -> list[Eligibility]:
    """70 directory roles (each at the whole directory and at units), 60 groups, 70 Azure roles."""
    end = datetime.now(UTC) + timedelta(days=40)
    units = ["/", *(f"/administrativeUnits/00000000-0000-4000-8000-0000000001{number:02}" for number in range(4))]
    found = [
        Eligibility(Target(TargetKind.DIRECTORY_ROLE, role.id, scope), role.name, end)
        for scope in units
        for role in BUILT_IN
    ]
    found += [
        Eligibility(Target(TargetKind.GROUP, f"00000000-0000-4000-8000-0000000002{number:02}", "member"), f"G{number}")
        for number in range(60)
    ]
    groups = [f"{SUBSCRIPTION}/resourceGroups/group-{number}" for number in range(70)]
    return found + [
        Eligibility(Target(TargetKind.AZURE_ROLE, READER, it), f"Reader on {it[-8:]}", end) for it in groups
    ]


def _keep(records: Records) -> None:
    """As if the tenant had told everything just now."""
    now, who, every = datetime.now(UTC), (FACTS["tenant_id"], OID), _eligible()
    policy = Policy(timedelta(hours=8), mfa=True, justification=True, ticketing=True, approval=True, context=None)
    active = Active("", None, now + timedelta(hours=1), True)
    with records.write() as tx:
        for kind in TargetKind:
            mine = [it for it in every if it.target.kind is kind]
            roles.keep_eligible(tx, *who, kind, mine, now=now)
            roles.keep_active(tx, *who, kind, [(it.target, active) for it in mine[:2]], now=now)
        for it in every:
            roles.keep_policy(tx, *who, it.target, policy, now=now)


def _read(port: int, path: str, cookie: str, *, seconds: float) -> list[float]:
    """How long each page took, in milliseconds. Raises ValueError where one is not the whole list."""
    connection = http.client.HTTPConnection("localhost", port, timeout=30)
    took: list[float] = []
    stop = time.perf_counter() + seconds
    while (began := time.perf_counter()) < stop:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        body = answer.read()
        took.append((time.perf_counter() - began) * 1000)
        if answer.status != 200 or body.count(b"<tr>") < bare.ROWS or b"being read again" in body:
            raise ValueError(f"{path} answered {answer.status} with {body.count(b'<tr>')} rows.")
    connection.close()
    return sorted(took)


def _page(port: int, path: str, cookie: str) -> bytes:
    connection = http.client.HTTPConnection("localhost", port, timeout=30)
    connection.request("GET", path, headers={"Cookie": cookie})
    body = connection.getresponse().read()
    connection.close()
    return body


def _figures(found: dict[str, list[list[float]]]) -> dict[str, float]:
    def middle(name: str, part: float) -> list[float]:
        return [took[int(len(took) * part)] for took in found[name]]

    figures = {"bare_rows_p50_ms": round(median(middle("bare", 0.5)), 2)}
    for name in found.keys() - {"bare"}:
        pairs = zip(middle(name, 0.5), middle("bare", 0.5), strict=True)
        figures[f"my_roles_ratio_{name}"] = round(median(ours / theirs for ours, theirs in pairs), 2)
        figures[f"my_roles_p50_ms_{name}"] = round(median(middle(name, 0.5)), 1)
        figures[f"my_roles_p95_ms_{name}"] = round(median(middle(name, 0.95)), 1)
        figures[f"my_roles_worst_ms_{name}"] = round(max(took[-1] for took in found[name]), 1)
    return dict(sorted(figures.items()))
