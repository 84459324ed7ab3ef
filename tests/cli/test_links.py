"""An administrator sees and ends links from the shell."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import commands
from cli.stage import settings_for
from integration import settings
from integration.deployment import Deployment
from integration.records import journal, people
from integration.records.people import Link
from integration.settings import SETTINGS_VARIABLE
from tests.conftest import Practice

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def deployment(practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    path = tmp_path / "settings.toml"
    path.write_text(settings_for(practice.facts, tmp_path, 8080))
    monkeypatch.setenv(SETTINGS_VARIABLE, str(path))
    made = Deployment(settings.load())
    made.records.migrate()
    with made.records.write() as tx:
        people.make_link(tx, Link("practice", "7", "T", "o7", "Technician\x1b[31m", "a@b.example", NOON, None))
        people.make_link(tx, Link("practice", "8", "T", "o8", "Technician Two", "b@b.example", NOON, NOON))
    return made


def said(*words: str) -> Result:
    return CliRunner().invoke(commands, ["links", *words])


@pytest.mark.usefixtures("deployment")
def test_each_link_is_one_line_that_a_terminal_may_be_shown() -> None:
    """Threat 35: a display name of the tenant is outside text."""
    answer = said("list")
    assert answer.exit_code == 0
    first, second = answer.output.splitlines()
    assert first.split("\t") == ["practice", "7", "a@b.example", "Technician[31m (o7)", "2026-11-24", "in use"]
    assert second.endswith("suspended 2026-11-24")


def test_a_removed_link_is_gone_and_written_down(deployment: Deployment) -> None:
    answer = said("remove", "practice", "7")
    assert answer.exit_code == 0, answer.output
    assert "7 in practice is no longer linked" in answer.output
    with deployment.records.read() as connection:
        assert [link.account for link in people.all_links(connection)] == ["8"]
        (line,) = [json.loads(line) for line in journal.export(connection)]
    assert (line["entry"]["kind"], line["entry"]["cause"]) == ("link.ended", "cli")
    assert {name: it["value"] for name, it in line["private"].items()} == {"account": "7", "linked_to": "o7"}


@pytest.mark.parametrize(
    ("connection", "account", "words"),
    [("practice", "9", "is not linked"), ("elsewhere", "7", "no helpdesk of that name in the settings")],
)
def test_an_unknown_name_is_said_to_be_one_and_nothing_is_changed(
    deployment: Deployment, connection: str, account: str, words: str
) -> None:
    answer = said("remove", connection, account)
    assert answer.exit_code == 1
    assert words in answer.output
    with deployment.records.read() as reading:
        assert len(people.all_links(reading)) == 2
        assert list(journal.export(reading)) == []
