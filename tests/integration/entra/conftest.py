"""The practice tenant as a program of its own, started once for these tests, and put right before each."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from integration.entra.client import EntraSettings
from integration.entra.seal import Sealer, generate, parse_keys
from integration.entra.tenant import Tenant
from tests.integration.entra.store import MemoryStore

ROOT = Path(__file__).parents[3]


@dataclass
class Practice:
    """What the sandbox wrote about itself, and its control API."""

    facts: dict[str, Any]

    @property
    def settings(self) -> EntraSettings:
        names = ("authority", "tenant_id", "client_id", "client_secret", "graph_url", "arm_url", "ca_bundle")
        return EntraSettings(**{name: self.facts[name] for name in names})

    @property
    def _base(self) -> str:
        return str(self.facts["practice_url"])

    def control(self, path: str, **body: Any) -> Any:
        url = f"{self._base}/_practice/{path}"
        answer = requests.post(url, json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self) -> Any:
        return requests.get(f"{self._base}/_practice/state", timeout=10).json()

    def log(self, path_end: str) -> list[dict[str, Any]]:
        rows = requests.get(f"{self._base}/_practice/log", timeout=10).json()["requests"]
        return [row for row in rows if row["path"].endswith(path_end)]

    def person(self, key: str) -> dict[str, Any]:
        return next(p for p in self.facts["people"] if p["key"] == key)

    def browser(self, url: str, upn: str) -> dict[str, str]:
        """Follow the sign-in as that person; the query of the callback."""
        answer = requests.get(
            f"{url}&practice_person={upn}", verify=self.facts["ca_bundle"], allow_redirects=False, timeout=10
        )
        assert answer.status_code in (302, 303), answer.text
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    folder = tmp_path_factory.mktemp("practice")
    with (folder / "output").open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--dir", str(folder)], cwd=ROOT, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 30
        while not (folder / "sandbox.json").exists():
            assert program.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < deadline, "the practice tenant did not start"
        yield Practice(json.loads((folder / "sandbox.json").read_text()))
    finally:
        program.terminate()
        program.wait(10)


@pytest.fixture
def practice(running: Practice) -> Practice:
    running.control("reset")
    return running


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def seal() -> Sealer:
    return Sealer(parse_keys(generate()))


@pytest.fixture
def tenant(practice: Practice, store: MemoryStore, seal: Sealer) -> Tenant:
    return Tenant(practice.settings, store, seal)
