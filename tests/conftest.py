"""The real parts that tests stand on: the practice tenant and helpdesk, both databases, and a deployment on them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import sqlalchemy as sa

from integration import checkpoints
from integration.deployment import Deployment
from integration.elevation import Elevation
from integration.entra import seal
from integration.records import elevations
from integration.records.tables import elevations as elevations_table
from integration.settings import Settings
from workers import schedule
from workers.app import STEPS
from workers.run import Due, Run, What, go

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 20.0  # seconds
REDIRECT = "http://localhost:8080/sign-in/callback"


def until(look: Callable[[], Any], what: str, *, patience: float = PATIENCE) -> Any:
    """Poll with a deadline: what `look` gives as soon as it is true; fails with `what` when it never is."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"never seen: {what}")
        time.sleep(0.02)


class Practice:
    """The practice tenant and helpdesk as a test drives them: by their own HTTP doors and the control API."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.people = {person["key"]: person for person in facts["people"]}

    def control(self, path: str, body: Any = None) -> Any:
        answer = requests.post(f"{self.facts['practice_url']}/_practice{path}", json=body or {}, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{self.facts['practice_url']}/_practice/state", timeout=10).json()
        return found

    def log(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{self.facts['practice_url']}/_practice/log", timeout=10).json()
        return found

    def desk(self, method: str, path: str, body: Any = None, *, by: str = "technician") -> Any:
        headers = {"Authorization": f"Bearer {self.people[by]['helpdesk_password_or_token']}"}
        url = self.facts["helpdesk_url"] + path
        answer = requests.request(method, url, json=body, headers=headers, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def new_ticket(
        self, category: str = "Password reset", *, subject: str = "Cannot sign in", by: str = "requester"
    ) -> str:
        made = self.desk("POST", "/api/tickets", {"subject": subject, "category": category}, by=by)
        return str(made["id"])

    def assign(self, ticket: str, to: str = "technician", *, by: str | None = None) -> None:
        self.desk("POST", f"/api/tickets/{ticket}/assign", {"assignee": to}, by=by or to)

    def set_status(self, ticket: str, status: str, *, by: str = "technician") -> None:
        self.desk("POST", f"/api/tickets/{ticket}/status", {"status": status}, by=by)

    def solve(self, ticket: str, *, by: str = "technician") -> None:
        self.set_status(ticket, "solved", by=by)

    def notes(self, ticket: str) -> list[str]:
        found = next(t for t in self.state()["tickets"] if str(t["id"]) == ticket)
        return [note["body"] for note in found["notes"]]

    def active_roles(self, who: str = "technician") -> list[str]:
        oid = self.people[who]["oid"]
        return [i["roleDefinitionId"] for i in self.state()["instances"] if i["principalId"] == oid]

    def activation_requests(self, who: str = "technician") -> list[dict[str, Any]]:
        """Every selfActivate that the tenant took from this person."""
        oid = self.people[who]["oid"]
        found = self.state()["requests"]
        return [r for r in found if r["principalId"] == oid and r["action"].casefold() == "selfactivate"]


@contextmanager
def practice_runs(directory: Path, *options: str) -> Iterator[Practice]:
    command = [sys.executable, "-m", "sandbox", "--dir", str(directory), "--active-minimum", "300"]
    command += ["--instance-delay", "0", "--redirect-uri", REDIRECT, *options]
    with (directory / "log").open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    facts = directory / "sandbox.json"
    until(facts.exists, "the practice tenant starts")
    yield Practice(json.loads(facts.read_text()))
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="session")
def practice_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    with practice_runs(tmp_path_factory.mktemp("sandbox")) as practice:
        yield practice


@pytest.fixture
def practice(practice_program: Practice) -> Practice:
    practice_program.control("/reset")
    practice_program.control("/settings", {"instance_delay": 0, "active_minimum": 300})
    practice_program.control("/webhooks", {"url": ""})
    return practice_program


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))  # pgserver's own lock file
    import pgserver

    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


@pytest.fixture(params=["sqlite_url", "postgres_database"], ids=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """An empty PostgreSQL database."""
    server = sa.make_url(postgres_url).set(drivername="postgresql+psycopg")
    name = f"t{time.time_ns()}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


def cut_connections(url: str) -> None:
    """As a PostgreSQL does that is restarted: every connection ends, those that nobody uses too."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    engine.dispose()


def settings_for(practice: Practice, database_url: str, directory: Path, **more: Any) -> Settings:
    facts = practice.facts
    keys = directory / "keys"
    if not keys.exists():
        with os.fdopen(os.open(keys, os.O_WRONLY | os.O_CREAT, 0o400), "w") as out:
            out.write(seal.generate() + "\n")
    checkpoints.make_key(directory / "checkpoint-key")
    (directory / "checkpoints").mkdir(exist_ok=True)
    names = ("authority", "tenant_id", "client_id", "client_secret", "graph_url", "arm_url", "ca_bundle")
    given = {
        "public_url": "http://localhost:8080",
        "database_url": database_url,
        "redis_url": "redis://127.0.0.1:1/0",  # nobody there: the queue is a hint, and these tests step by hand
        "data_dir": directory,
        "key_file": keys,
        "checkpoint_key_file": directory / "checkpoint-key",
        "checkpoint_dir": directory / "checkpoints",
        "ticket_system": "Practice helpdesk",
        "practice": True,
        "entra": {name: facts[name] for name in names},
        "helpdesks": {"practice": facts["helpdesk"]},
        **more,
    }
    return Settings(**given)


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(settings_for(practice, database_url, tmp_path))
    made.records.migrate()
    yield made
    made.records.dispose()


@dataclass
class Desk:
    """Steps the workers by hand, with a clock of its own; the tenant's clock is moved along."""

    deployment: Deployment
    practice: Practice
    ahead: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, by: timedelta) -> None:
        self.ahead += by
        self.practice.control("/clock", {"advance_seconds": by.total_seconds()})

    def deliver(self, ticket: str, *, delivery_id: str | None = None) -> None:
        """What the receiver does for a good delivery, and then what the worker does."""
        from integration.records import deliveries
        from integration.tickets import TicketEvent

        event = TicketEvent(delivery_id or f"msg_{time.time_ns()}", ticket, "ticket.assigned", "first")
        with self.deployment.records.write() as tx:
            kept = deliveries.store(tx, "practice", event, now=self.now())
        if kept is not None:
            self.step(Due(What.DELIVERY, kept))

    def step(self, due: Due) -> None:
        go(Run(self.deployment, cause="sweep", clock=self.now), due, STEPS)

    def sweep(self) -> None:
        """Everything that is due, until nothing is."""
        for _ in range(20):
            found = schedule.due(self.deployment, now=self.now())
            if not found:
                return
            for due in found:
                self.step(due)

    def sign_in(self, who: str = "technician", *, claims: str | None = None) -> None:
        """What a technician's browser does at Microsoft, and our callback with it."""
        tenant = self.deployment.tenant
        url, flow = tenant.start_sign_in(REDIRECT, claims=claims)
        browser = requests.Session()
        browser.trust_env = False
        browser.verify = self.practice.facts["ca_bundle"]
        upn = self.practice.people[who]["upn"]
        answer = browser.get(f"{url}&practice_person={upn}", allow_redirects=False, timeout=10)
        args = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
        tenant.finish_sign_in(flow, args, now=self.now())

    def link(self, who: str = "technician") -> None:
        """Sign in and link the helpdesk account, as the pages do."""
        from integration.records import people
        from integration.records.people import Link

        person = self.practice.people[who]
        self.sign_in(who)
        tid = self.practice.facts["tenant_id"]
        link = Link(
            "practice", person["helpdesk_account"], tid, person["oid"], person["name"], person["mail"], self.now(), None
        )
        with self.deployment.records.write() as tx:
            people.make_link(tx, link)

    def elevations(self, ticket: str) -> list[Elevation]:
        query = sa.select(elevations_table.c.id).where(elevations_table.c.ticket == ticket)
        with self.deployment.records.read() as connection:
            ids = [row.id for row in connection.execute(query.order_by(elevations_table.c.created_at))]
            return [it for it in (elevations.elevation(connection, i) for i in ids) if it]

    def only(self, ticket: str) -> Elevation:
        (it,) = self.elevations(ticket)
        return it


@pytest.fixture
def desk(deployment: Deployment, practice: Practice) -> Desk:
    return Desk(deployment, practice)
