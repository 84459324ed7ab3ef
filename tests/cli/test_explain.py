"""`ticket-elevate rules explain --ticket N`: the whole verdict for a live ticket, and nothing is changed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.rules import rules
from cli.stage import settings_for
from integration.settings import SETTINGS_VARIABLE
from tests.conftest import Practice


@pytest.fixture
def settings(practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(settings_for(practice.facts, tmp_path, 8080))
    monkeypatch.setenv(SETTINGS_VARIABLE, str(path))
    return path


@pytest.mark.usefixtures("settings")
def test_a_live_ticket_is_read_and_explained(practice: Practice) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)

    answer = CliRunner().invoke(rules, ["explain", "--ticket", ticket, "--eligible", "Password Administrator"])

    assert answer.exit_code == 0, answer.output
    assert "Password Administrator in the whole directory for 30" in answer.output
    assert f"Ticket {ticket}: Password reset" in answer.output
    assert practice.notes(ticket) == []


@pytest.mark.usefixtures("settings")
def test_a_ticket_that_is_not_there_is_said_in_words() -> None:
    answer = CliRunner().invoke(rules, ["explain", "--ticket", "99999"])

    assert answer.exit_code == 1
    assert "Ticket 99999 is no longer in practice" in answer.output


@pytest.mark.usefixtures("settings")
def test_an_unknown_connection_lists_the_known_ones() -> None:
    answer = CliRunner().invoke(rules, ["explain", "--ticket", "1", "--connection", "elsewhere"])

    assert answer.exit_code == 2
    assert "practice" in answer.output
