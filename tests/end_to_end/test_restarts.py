"""The database and Redis go away and come back under the running product. Contract: nothing is lost, the role ends."""

import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from integration.records import polls
from integration.records.tables import deliveries
from tests.conftest import Practice, until
from tests.end_to_end.product import REDIS, START, WEB, WORKER, Product, running
from tests.end_to_end.test_processes import faults_left, once_and_over, says

pytestmark = [pytest.mark.kills, pytest.mark.timeout(300)]
REQUESTS = "roleAssignmentScheduleRequests"


@dataclass
class Postgres:
    """A PostgreSQL of this test alone, to be stopped and started as it likes."""

    server: Any

    @property
    def url(self) -> str:
        url = sa.make_url(self.server.get_uri()).set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)

    def crash(self) -> None:
        """Every session is cut off and nothing is flushed; what was committed must be found in the log."""
        import pgserver

        arguments = ["-w", "-m", "immediate", "stop"]
        pgserver.pg_ctl(arguments, pgdata=self.server.pgdata, user=self.server.system_user)

    def start(self) -> None:
        self.server.ensure_postgres_running()


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pgserver

    made = pgserver.get_server(tmp_path_factory.mktemp("pg"))
    yield Postgres(made)
    made.ensure_postgres_running()
    made.cleanup()


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="te-") as made:
        yield Path(made)


def held_call(practice: Practice, *, side: str, method: str, path: str, seconds: float) -> None:
    """The next such call does its work at once and answers late."""
    match = {"side": side, "method": method, "path": path}
    practice.control("/faults", [{"match": match, "times": 1, "kind": "slow_answer", "seconds": seconds}])


def test_a_postgresql_that_crashes_while_the_tenant_is_asked_and_while_the_ticket_is_solved_loses_nothing(
    practice: Practice, postgres: Postgres, place: Path
) -> None:
    with running(practice, place, postgres.url) as product:
        product.desk.link()
        ticket = practice.new_ticket()
        held_call(practice, side="graph", method="POST", path=REQUESTS, seconds=3)
        practice.assign(ticket)
        until(lambda: not faults_left(practice), "the tenant is being asked", patience=START)
        postgres.crash()
        until(lambda: practice.active_roles(), "the tenant did as it was asked")
        until(lambda: not product.ready(), "the web process says that it is not ready", patience=START)
        postgres.start()
        until(product.ready, "the web process is ready again", patience=START)
        product.let_leases_run_out()
        says(practice, ticket, "is active until")

        postgres.crash()
        practice.solve(ticket)
        until(lambda: _refused(practice), "the helpdesk is told to come again", patience=START)
        postgres.start()

        says(practice, ticket, "was given back")
        once_and_over(product, practice, ticket)


def _refused(practice: Practice) -> bool:
    return any(it["status"] in (500, 503) and it["again"] for it in practice.log()["webhooks"])


def test_a_redis_that_is_flushed_and_killed_while_the_tenant_is_asked_loses_nothing(
    practice: Practice, place: Path
) -> None:
    with running(practice, place) as product:
        product.desk.link()
        product.redis().lpush("celery", b"not even a message")  # ends the worker (threat 28); it is started again
        until(lambda: product.redis().llen("celery") == 0, "the poison is taken", patience=START)
        first, second = practice.new_ticket(), practice.new_ticket()
        held_call(practice, side="graph", method="POST", path=REQUESTS, seconds=3)
        practice.assign(first)
        until(lambda: not faults_left(practice), "the tenant is being asked", patience=START)
        practice.assign(second)
        product.redis().flushall()
        product.kill(REDIS)
        for ticket in (first, second):
            says(practice, ticket, "is active until")

        held_call(practice, side="graph", method="POST", path=REQUESTS, seconds=3)
        practice.solve(first)
        practice.solve(second)
        until(lambda: not faults_left(practice), "the role is being given back", patience=START)
        product.kill(REDIS)

        says(practice, second, "was given back")
        once_and_over(product, practice, second)
        once_and_over(product, practice, first)


def test_a_web_process_killed_between_its_commit_and_the_wake_up_loses_nothing(practice: Practice, place: Path) -> None:
    """Redis stands still, so that no message can get out; then web and Redis die. The sweep finds the row."""
    with running(practice, place) as product:
        product.desk.link()
        ticket = practice.new_ticket()
        until(
            lambda: _kept(product, "ticket.created", done=True), "the new ticket is heard of, and none of our business"
        )
        os.kill(until(lambda: product.child(REDIS), "Redis runs"), signal.SIGSTOP)
        practice.assign(ticket)
        until(lambda: _kept(product, "ticket.assigned", done=False), "the pick is committed, and nobody is at it")
        # Redis standing still did not keep the helpdesk waiting.
        until(lambda: [it["status"] for it in practice.log()["webhooks"]] == [202, 202], "the helpdesk has its answer")
        product.kill(WEB)
        product.kill(REDIS)

        says(practice, ticket, "is active until")
        assert len(practice.activation_requests()) == 1


def _kept(product: Product, kind: str, *, done: bool) -> bool:
    over = deliveries.c.due_at.is_(None) if done else deliveries.c.due_at.is_not(None)
    with product.desk.deployment.records.read() as connection:
        return connection.execute(sa.select(deliveries.c.id).where(deliveries.c.kind == kind, over)).first() is not None


def test_everything_killed_at_once_and_started_again_goes_on(practice: Practice, place: Path) -> None:
    """A machine that loses its power, as far as a test can play it: what was committed is on the disk."""
    with running(practice, place) as product:
        product.desk.link()
        ticket = practice.new_ticket()
        held_call(practice, side="graph", method="POST", path=REQUESTS, seconds=2)
        practice.assign(ticket)
        until(lambda: not faults_left(practice), "the tenant is being asked", patience=START)
        for words in (WORKER, WEB, REDIS, "workers.main beat"):
            product.kill(words)
        product.let_leases_run_out()

        says(practice, ticket, "is active until")
        practice.solve(ticket)
        says(practice, ticket, "was given back")
        once_and_over(product, practice, ticket)


def test_a_pick_and_a_close_that_the_helpdesk_never_told_of_are_found(practice: Practice, place: Path) -> None:
    """The calls go nowhere, as they do while a network is down and until the helpdesk has given them up."""

    def asked() -> bool:
        with product.desk.deployment.records.read() as connection:
            row = polls.of(connection, "practice")
        return row is not None and row.asked_at is not None

    with running(practice, place, poll_seconds="2") as product:
        product.desk.link()
        until(asked, "the helpdesk is asked what changed", patience=2 * START)
        practice.control("/webhooks", {"url": ""})
        ticket = practice.new_ticket()
        practice.assign(ticket)
        says(practice, ticket, "is active until")
        practice.solve(ticket)
        says(practice, ticket, "was given back")
        once_and_over(product, practice, ticket)
