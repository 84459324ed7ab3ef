"""The product as processes: `ticket-elevate run` under its supervisor, watched from outside through /proc."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
import requests
import sqlalchemy as sa

from cli import stage
from integration.deployment import Deployment
from integration.elevation import LEASE
from integration.records import journal
from integration.records.tables import activations, comments, deliveries, elevations, token_caches
from tests import history
from tests.conftest import ROOT, Desk, Practice, settings_for, until

START = 45.0  # seconds a loaded machine may take to start everything


def settings_file(
    practice: Practice, directory: Path, database_url: str | None = None, port: int = 8080, **changes: str
) -> Path:
    """settings.toml on embedded defaults, with `changes` (a value as TOML), and the key ring."""
    text = stage.settings_for(practice.facts, directory, port)
    for name, value in changes.items():
        text = re.sub(f"(?m)^{name} = .*\n", "", text)
        text = f"{name} = {value}\n{text}"
    if database_url is not None:
        text = text.replace(f"sqlite:///{directory}/elevate.sqlite", database_url)
    settings_for(practice, "sqlite://", directory)  # makes the key ring
    path = directory / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


@dataclass
class Product:
    directory: Path
    port: int
    desk: Desk
    process: "subprocess.Popen[bytes]"
    began: datetime

    def processes(self) -> dict[int, str]:
        return processes(self.directory, self.process.pid)

    def child(self, words: str) -> int | None:
        """The supervisor's own child whose command line holds `words`."""
        for pid, line in self.processes().items():
            if words in line and _parent(pid) == self.process.pid:
                return pid
        return None

    def pool(self) -> list[int]:
        """The processes that the worker does its tasks in."""
        worker = self.child(WORKER)
        return [pid for pid in self.processes() if _parent(pid) == worker]

    def kill(self, words: str) -> int:
        """SIGKILL to a child and what it started (the supervisor makes each child a process group)."""
        pid: int = until(lambda: self.child(words), f"{words} runs", patience=START)
        os.killpg(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists(), f"{words} is dead")
        return pid

    def ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).ok
        except requests.RequestException:
            return False

    def redis(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=f"{self.directory}/redis.sock", socket_timeout=5)

    def let_leases_run_out(self) -> None:
        """What a minute does: claims of the dead are free again. Nobody who lives may hold one."""
        now = datetime.now(UTC)
        with self.desk.deployment.records.write() as tx:
            for table in (activations, comments, deliveries, elevations):
                claimed = sa.and_(table.c.due_at > now, table.c.due_at <= now + LEASE)
                tx.execute(table.update().where(claimed).values(due_at=now))
            tx.execute(token_caches.update().values(lease_holder=None, lease_until=None))

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-6000:]


WEB, WORKER, BEAT, REDIS = "gunicorn", "workers.main worker", "workers.main beat", "redis-server"


def processes(directory: Path, parent: int | None = None) -> dict[int, str]:
    """Every living process that was started with the settings file of this directory, children of `parent`, and Redis,
    which overwrites its environment: what stands in its command line.
    """
    mark = f"TICKET_ELEVATE_SETTINGS={directory}/settings.toml".encode()
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            ours = mark in (place / "environ").read_bytes().split(b"\0") or f"{directory}/redis" in line
            if ours or (parent is not None and _parent(int(place.name)) == parent):
                found[int(place.name)] = line
        except OSError:
            continue
    return {pid: line for pid, line in found.items() if line}


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def judge(product: Product, practice: Practice) -> None:
    """Hold what the tenant and the helpdesk recorded, and our journal, against the invariants."""
    with product.desk.deployment.records.read() as connection:
        lines = list(journal.export(connection))
    minimum = timedelta(seconds=practice.state()["settings"]["active_minimum"])
    # A call stands in the tenant's log when it is answered, and a story may hold an answer back for longer than itself.
    until(lambda: _all_answered(practice, product.began), "the tenant's log holds what the tenant did", patience=START)
    found = history.complaints(lines, practice.log(), practice.state(), minimum=minimum, since=product.began)
    assert not found, found


def _all_answered(practice: Practice, since: datetime) -> bool:
    answered = [it for it in history.posts(practice.log(), "selfActivate") if it.accepted and it.arrived >= since]
    made = [it for it in practice.state()["requests"] if it["action"].casefold() == "selfactivate"]
    return len(answered) >= len(made)


@contextmanager
def running(practice: Practice, directory: Path, database_url: str | None = None, **changes: str) -> Iterator[Product]:
    """`init` and `run`, with the helpdesk's events pointed at it; stopped at the end whatever happened.

    A story that ends well is judged by what the others recorded of it.
    """
    port, began = stage._free_port(), datetime.now(UTC)
    settings = settings_file(practice, directory, database_url, port, **changes)
    url = database_url or f"sqlite:///{directory}/elevate.sqlite"
    environment = {**os.environ, "TICKET_ELEVATE_SETTINGS": str(settings)}
    command = [sys.executable, "-m", "cli"]
    subprocess.run([*command, "init"], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    practice.control("/settings", {"active_minimum": 3})
    practice.control("/webhooks", {"url": f"http://127.0.0.1:{port}/webhooks/practice"})
    deployment = Deployment(settings_for(practice, url, directory, public_url=f"http://localhost:{port}"))
    with (directory / "log").open("wb") as out:
        process = subprocess.Popen([*command, "run"], env=environment, cwd=ROOT, stdout=out, stderr=out)
    product = Product(directory, port, Desk(deployment, practice), process, began)
    try:
        until(product.ready, "Ticket Elevate answers", patience=START)
        until(product.pool, "the worker takes tasks", patience=START)
        yield product
        judge(product, practice)
    finally:
        _stop(product)
        practice.control("/webhooks", {"url": ""})
        deployment.records.dispose()


def _stop(product: Product) -> None:
    product.process.terminate()
    try:
        product.process.wait(30)
    except subprocess.TimeoutExpired:
        product.process.kill()
        product.process.wait()
    for pid in product.processes():
        os.kill(pid, signal.SIGKILL)
