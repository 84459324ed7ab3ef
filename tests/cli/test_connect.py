"""`ticket-elevate connect`. Contract: from nothing to a connection that works, nothing twice, nothing by halves, no
secret on the screen."""

import json
import re
import secrets
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from cli.main import commands
from integration import helpdesks, settings
from integration.deployment import Deployment
from tests.conftest import Practice, practice_runs
from tests.end_to_end.product import settings_file
from workers.doctor import examine

PUBLIC = "https://elevate.example.org"
KINDS = ("jira", "zammad", "zendesk")
FOUND = dict.fromkeys(("jira", "zammad", "zendesk"), ("service_account",))
NOTES = {  # the call that writes one
    "jira": ("/rest/servicedeskapi/request/.+/comment$", "POST"),
    "zammad": ("/ticket_articles$", "POST"),
    "zendesk": (r"^/api/v2/tickets/[0-9]+$", "PUT"),
}
COMMENT = "# the desk of the main office\n"


@dataclass
class Administrator:
    """Somebody with what they know of their helpdesk, at a machine on which it is not connected yet."""

    practice: Practice
    directory: Path
    name: str
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Path:
        return self.directory / "settings.toml"

    def answers(self, **changes: Any) -> Path:
        path = self.directory / "answers.toml"
        lines = [f"{key} = {toml(value)}" for key, value in {**self.known, **changes}.items() if value is not None]
        path.write_text("\n".join(lines))
        return path

    def connect(self, *more: str, keys: str | None = None, **changes: Any) -> Result:
        kind = self.practice.facts["helpdesk"]["kind"]
        command = ["connect", kind, "--name", self.name, "--answers", str(self.answers(**changes)), *more]
        return CliRunner().invoke(commands, [*command, *([] if keys is not None else ["--yes"])], input=keys)

    def table(self) -> dict[str, Any]:
        found: dict[str, Any] = tomllib.loads(self.settings.read_text())["helpdesks"][self.name]
        return found

    def secrets(self) -> list[str]:
        """Everything that must never be seen."""
        kept = [it.read_text().strip() for it in (self.directory / "helpdesks").glob("*")]
        hidden = re.compile("secret|token|password|key$")
        return kept + [str(value) for name, value in self.known.items() if hidden.search(name)]

    def created(self) -> list[str]:
        """What a helpdesk was asked to create, apart from notes; what was deleted again is named, too."""
        rows = self.practice.log()["requests"]
        mine = [it for it in rows if it["side"] == "helpdesk" and it["method"] in ("POST", "PUT", "PATCH", "DELETE")]
        return [f"{it['method']} {it['path']}" for it in mine if re.search("webhooks|triggers", it["path"])]

    def forbid(self, path: str, method: str = "") -> None:
        match = {"side": "helpdesk", "method": method, "path": path}
        fault = {"match": match, "kind": "status", "status": 403, "body": "{}", "times": 100}
        self.practice.control("/faults", fault)

    def left_nothing(self, created: list[str], settings_before: str) -> None:
        assert self.settings.read_text() == settings_before
        assert list((self.directory / "helpdesks").glob("*")) == []
        new = [it.partition(" ")[0] for it in self.created()[len(created) :]]
        assert new.count("POST") == new.count("DELETE")

    def doctor(self) -> dict[str, bool]:
        """What doctor says of this connection alone."""
        deployment = Deployment(settings.load())
        return {it.what: it.ok for it in examine(deployment) if it.what.startswith(f"{self.name}: ")}


def kind_of(administrator: Administrator) -> str:
    return str(administrator.practice.facts["helpdesk"]["kind"])


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    kind = request.param
    options = [] if kind == "generic" else ["--helpdesk", kind]
    with practice_runs(tmp_path_factory.mktemp(kind), *options) as practice:
        yield practice


@pytest.fixture
def administrator(running: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Administrator:
    running.control("/reset")
    requests.delete(f"{running.facts['practice_url']}/_practice/faults", timeout=10).raise_for_status()
    path = settings_file(running, tmp_path, public_url=f'"{PUBLIC}"')
    without, _, _ = path.read_text().partition("[helpdesks")
    path.write_text(COMMENT + without)
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(path))
    table = running.facts["helpdesk"]
    told = ("kind", "secrets", *FOUND.get(table["kind"], ()))
    known = {name: it for name, it in table.items() if name not in told} | running.facts["helpdesk_once"]
    # Each test makes a connection of its own at a helpdesk that outlives it.
    return Administrator(running, tmp_path, f"desk-{secrets.token_hex(4)}", known)


def ticket(practice: Practice) -> str:
    return str(practice.facts["helpdesk_number"]).replace("{number}", practice.new_ticket())


def test_from_nothing_to_a_connection_that_works(administrator: Administrator) -> None:
    number = ticket(administrator.practice)

    said = administrator.connect("--test-ticket", number)

    assert said.exit_code == 0, said.output
    assert "FAIL" not in said.output
    assert "Left to be done by hand:" in said.output
    helpdesk = helpdesks.connect(administrator.name, administrator.table())
    assert helpdesk.ticket(number, now=datetime.now(UTC)).number == number
    assert all(administrator.doctor().values())
    for secret in administrator.secrets():
        assert secret not in said.output
        assert secret not in administrator.settings.read_text()


def test_secrets_are_in_files_that_nobody_else_reads(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0

    files = list((administrator.directory / "helpdesks").iterdir())
    assert files
    assert {stat.S_IMODE(it.stat().st_mode) for it in files} == {0o600}
    assert stat.S_IMODE((administrator.directory / "helpdesks").stat().st_mode) == 0o700


def test_the_rest_of_the_settings_stays_as_it_is(administrator: Administrator) -> None:
    before = administrator.settings.read_text()
    administrator.settings.chmod(0o640)

    assert administrator.connect().exit_code == 0

    assert administrator.settings.read_text().startswith(before.rstrip())
    assert stat.S_IMODE(administrator.settings.stat().st_mode) == 0o640


def test_a_connection_that_is_there_is_not_overwritten_unasked(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    before = administrator.settings.read_text()

    said = administrator.connect()

    assert said.exit_code == 1
    assert "--replace" in said.output
    assert administrator.settings.read_text() == before


def test_twice_makes_nothing_twice(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    table = administrator.table()
    text = administrator.settings.read_text()
    files = sorted((administrator.directory / "helpdesks").iterdir())
    before = administrator.created()

    said = administrator.connect("--replace")

    assert said.exit_code == 0, said.output
    assert administrator.table() == table
    assert administrator.settings.read_text() == text
    assert sorted((administrator.directory / "helpdesks").iterdir()) == files
    assert administrator.created() == before


def test_a_right_that_is_missing_is_told_and_nothing_is_left(administrator: Administrator) -> None:
    number = ticket(administrator.practice)
    before, settings_before = administrator.created(), administrator.settings.read_text()
    administrator.forbid(*NOTES[kind_of(administrator)])

    said = administrator.connect("--test-ticket", number)

    assert said.exit_code == 1
    assert f"FAIL an internal note can be written on ticket {number}" in said.output
    assert "Let our account write internal notes" in said.output
    administrator.left_nothing(before, settings_before)
