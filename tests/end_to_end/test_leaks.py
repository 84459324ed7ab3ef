"""The whole story with real processes at DEBUG, then every output is searched for every secret. Threats 22, 24, 35.

What is looked for: the secrets of the deployment, the tokens and the code that the tenant gave out, cookies, the PKCE
verifier, and what a hostile ticket said. Where: logs, Redis' own files and the commands that it got, the database's
files, the pages, the ticket, the journal, the metrics, and the command lines of our processes.
"""

import base64
import json
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
import requests
import sqlalchemy as sa

from integration.records import journal
from integration.records.tables import sign_in_flows, token_caches
from tests.conftest import Practice, until
from tests.end_to_end.product import START, Product, running
from tests.end_to_end.test_processes import once_and_over, says

pytestmark = [pytest.mark.kills, pytest.mark.timeout(300)]
METRICS = "canary-metrics-token-5b1f"
SUBJECT = 'CANARY-SUBJECT-9c2e\n{"level":"CANARY-SUBJECT-9c2e"}\x1b[31m <script>CANARY-SUBJECT-9c2e</script> @everyone'
VENDOR = "CANARY-VENDOR-77a0"
FORGED = "CANARY-FORGED-12d8"


@dataclass
class Outputs:
    """What came out, by where; and the secrets, by name."""

    found: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def leaks(self, *places: str, of: tuple[str, ...] = ("",)) -> list[str]:
        """`secret in place` for each secret (whose name starts with one of `of`) in each such place."""
        return [
            f"{name} in {place}"
            for place, content in self.found.items()
            for name, secret in self.secrets.items()
            if place.startswith(places) and name.startswith(of) and any(it in content for it in written(secret))
        ]


def written(secret: str) -> set[bytes]:
    """The ways in which a text may stand in an output."""
    plain = secret.encode()
    forms = {plain, base64.b64encode(plain), plain.hex().encode(), json.dumps(secret)[1:-1].encode()}
    return forms | {plain[:40] if len(plain) > 60 else plain}  # a line may be cut


@dataclass
class Person:
    """A browser as a library: our pages, Microsoft's page, and back."""

    product: Product
    practice: Practice
    out: Outputs

    def __post_init__(self) -> None:
        self.web = requests.Session()
        self.web.trust_env = False

    @property
    def base(self) -> str:
        return f"http://localhost:{self.product.port}"

    def get(self, path: str, **more: Any) -> requests.Response:
        answer = self.web.get(self.base + path, timeout=20, **more)
        self.out.found[f"page {path} {len(self.out.found)}"] = answer.content + str(answer.headers).encode()
        return answer

    def sign_in(self, who: str, path: str) -> None:
        page = self.get(path)
        hidden = dict(re.findall(r'name="(csrf_token|back_to)" value="([^"]+)"', page.text))
        start = self.web.post(f"{self.base}/sign-in", data=hidden, allow_redirects=False, timeout=20)
        assert start.status_code == 200, start.text
        found = re.search(r'id="onward" href="([^"]+)"', start.text)
        assert found, start.text
        to_microsoft = unescape(found[1])
        self._keep_flow(who, to_microsoft)
        upn = self.practice.people[who]["upn"]
        back = requests.get(
            f"{to_microsoft}&practice_person={upn}",
            allow_redirects=False,
            timeout=20,
            verify=self.practice.facts["ca_bundle"],
        ).headers["Location"]
        self.out.secrets[f"code of {who}"] = parse_qs(urlsplit(back).query)["code"][0]
        done = self.web.get(back, allow_redirects=False, timeout=20)
        assert done.status_code == 303, done.text
        self.out.secrets[f"session cookie of {who}"] = str(self.web.cookies.get("te"))

    def _keep_flow(self, who: str, authorize: str) -> None:
        """The sealed flow holds what nobody else may know: the verifier and the nonce."""
        deployment = self.product.desk.deployment
        with deployment.records.read() as connection:
            row = connection.execute(sa.select(sign_in_flows)).one()
        flow = json.loads(deployment.sealer.open(row.sealed, tid="flow", oid=row.id, version=1))["flow"]
        assert parse_qs(urlsplit(authorize).query)["state"] == [flow["state"]]
        self.out.secrets[f"verifier of {who}"] = flow["code_verifier"]
        self.out.secrets[f"nonce of {who}"] = flow["nonce"]
        self.out.secrets[f"state of {who}"] = flow["state"]
        self.out.secrets[f"flow cookie of {who}"] = str(self.web.cookies.get("te-flow"))


def deployment_secrets(practice: Practice, directory: Path) -> dict[str, str]:
    line = (directory / "keys").read_text().split()
    return {
        "client secret": practice.facts["client_secret"],
        "helpdesk token": practice.facts["helpdesk_token"],
        "webhook secret": practice.facts["webhook_secret"],
        "key, as written": line[1],
        "key, in hex": base64.b64decode(line[1]).hex(),
        "metrics token": METRICS,
        "technician's desk token": practice.people["technician"]["helpdesk_password_or_token"],
    }


def tokens(product: Product) -> dict[str, str]:
    deployment, found = product.desk.deployment, {}
    with deployment.records.read() as connection:
        rows = list(connection.execute(sa.select(token_caches)))
    for row in rows:
        cache = json.loads(deployment.sealer.open(row.sealed, tid=row.tid, oid=row.oid, version=row.version))
        for kind in ("AccessToken", "RefreshToken", "IdToken"):
            for number, entry in enumerate(cache.get(kind, {}).values()):
                found[f"token {kind} {number} of {row.oid[:8]}"] = entry["secret"]
    assert {name.split()[1] for name in found} == {"AccessToken", "RefreshToken", "IdToken"}
    return found


@contextmanager
def listening(client: "redis.Redis") -> Iterator[list[bytes]]:
    """Every command that Redis is given meanwhile."""
    heard: list[bytes] = []
    stop = threading.Event()
    with client.monitor() as monitor:

        def hear() -> None:
            while not stop.is_set():
                try:
                    heard.append(str(monitor.next_command()).encode())
                except redis.exceptions.TimeoutError:
                    continue
                except (redis.exceptions.ConnectionError, ValueError, OSError):
                    return  # Redis is gone

        thread = threading.Thread(target=hear, daemon=True)
        thread.start()
        try:
            yield heard
        finally:
            stop.set()
            thread.join(15)


def misbehave(practice: Practice, product: Product) -> None:
    """What makes programs talk: broken answers, answers full of words, forged calls."""
    graph = {"side": "graph", "path": "roleEligibilityScheduleInstances"}
    desk = {"side": "helpdesk", "method": "GET", "path": "^/api/tickets/"}
    words = json.dumps({"error": {"code": VENDOR, "message": VENDOR}})
    faults = [
        {"match": graph, "kind": "truncate"},
        {"match": graph, "kind": "status", "status": 500, "body": f"<html>{VENDOR}</html>"},
        {"match": graph, "kind": "status", "status": 401, "body": words},
        {"match": desk, "kind": "status", "status": 500, "body": VENDOR, "headers": {"X-Words": VENDOR}},
        {"match": desk, "kind": "truncate"},
    ]
    practice.control("/faults", faults)
    url = f"http://localhost:{product.port}/webhooks/practice"
    for headers in ({}, {"webhook-id": FORGED, "webhook-timestamp": FORGED, "webhook-signature": f"v1,{FORGED}"}):
        assert requests.post(url, FORGED, headers=headers, timeout=20).status_code == 401
    for path in (
        f"/elevations/{FORGED}",
        f"/{FORGED}?token={FORGED}",
        f"/sign-in/callback?code={FORGED}&state={FORGED}",
    ):
        requests.get(f"http://localhost:{product.port}{path}", headers={"Cookie": f"te={FORGED}"}, timeout=20)


def story(product: Product, practice: Practice, out: Outputs) -> str:
    ticket = practice.new_ticket(subject=SUBJECT)
    misbehave(practice, product)
    practice.assign(ticket)
    says(practice, ticket, "sign in once at")
    link = next(re.search(r"/elevations/[0-9A-Z]{26}", n) for n in practice.notes(ticket))
    assert link is not None
    technician, auditor = Person(product, practice, out), Person(product, practice, out)
    technician.sign_in("technician", link[0])
    says(practice, ticket, "is active until")
    auditor.sign_in("auditor", "/review")
    for path in ("/", link[0], f"{link[0]}/status", f"/elevate/practice/{ticket}", f"/elevate/practice/{FORGED}"):
        technician.get(path)
    review = link[0].replace("elevations", "review")
    for path in ("/review", review, "/review/export.csv", f"/review?ticket={FORGED}"):
        assert auditor.get(path).status_code == 200
    assert auditor.get("/metrics", headers={"Authorization": f"Bearer {METRICS}"}).status_code == 200
    out.secrets |= tokens(product)
    practice.control("/people/technician", {"expire_access_tokens": True})
    practice.solve(ticket)
    says(practice, ticket, "was given back")
    once_and_over(product, practice, ticket)
    out.secrets |= tokens(product)
    return ticket


def kept_by_processes(product: Product, out: Outputs) -> None:
    for pid, line in product.processes().items():
        out.found[f"command line of {pid}"] = line.encode()
        try:
            out.found[f"environment of {pid}"] = Path(f"/proc/{pid}/environ").read_bytes()
            limits = Path(f"/proc/{pid}/limits").read_text()
        except OSError:
            continue
        core = next(it for it in limits.splitlines() if it.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"], f"{line} may leave a core file"


SEALED_OR_ABSENT = ("token", "code", "session", "flow", "verifier", "nonce", "state", "client", "key", "helpdesk")


def test_no_secret_and_no_hostile_word_comes_out_anywhere(practice: Practice) -> None:
    """Threats 22, 24, 35 and 52; no process of ours may leave a core file either."""
    out = Outputs()
    with tempfile.TemporaryDirectory(prefix="te-") as made:
        place = Path(made)
        with running(practice, place, log_level='"DEBUG"', metrics_token=f'"{METRICS}"') as product:
            out.secrets |= deployment_secrets(practice, place)
            with listening(product.redis()) as heard:
                ticket = story(product, practice, out)
            until(lambda: any(b"LPUSH" in it for it in heard), "Redis was listened to", patience=START)
            kept_by_processes(product, out)
            client = product.redis()
            out.found["redis keys"] = b"".join(key + (client.dump(key) or b"") for key in client.keys("*"))
            with product.desk.deployment.records.read() as connection:
                out.found["journal"] = "\n".join(journal.export(connection)).encode()
        out.found["redis commands"] = b"\n".join(heard)
        out.found["comments"] = "\n".join(practice.notes(ticket)).encode()
        mine = {"settings.toml", "keys"}
        for path in [it for it in place.rglob("*") if it.is_file() and it.name not in mine]:
            kind = "database" if "sqlite" in path.name else "file"
            out.found[f"{kind} {path.relative_to(place)}"] = path.read_bytes()

        out.found["control"] = (place / "settings.toml").read_bytes() + (place / "keys").read_bytes()

    assert len(out.leaks("control")) == 5, "a secret that is there is not found"
    assert {"file log", "database elevate.sqlite"} <= set(out.found)
    assert any(place.startswith("file appendonly") for place in out.found)
    assert b"DEBUG" in out.found["file log"]
    assert b"Control socket" not in out.found["file log"], "gunicorn opens a door in the home directory"
    del out.found["control"]
    assert out.leaks("", of=SEALED_OR_ABSENT) == []
    out.secrets = {"subject": "CANARY-SUBJECT", "vendor's words": VENDOR, "forged words": FORGED}
    assert out.leaks("page /elevate/practice/"), "nothing shows the ticket: the search would not find it elsewhere"
    assert out.leaks("file", "redis", "journal", "comments", "command", "environment") == []
    assert out.leaks("page /metrics") == []
    assert not any(it in out.found["file log"] for it in (b"\x1b[31m", b"Bearer ", b"eyJ"))
