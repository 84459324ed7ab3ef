"""`ticket-elevate rules diff FILE`. Contract: which tickets of last month another file would have answered
otherwise, and what could not be compared; nothing is changed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.rules import rules
from integration.rules import SHIPPED
from integration.settings import SETTINGS_VARIABLE
from tests.conftest import Desk, Practice
from tests.end_to_end.product import settings_file
from tests.webhooks.conftest import rows


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


@pytest.fixture
def worked(desk: Desk, practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ticket that was worked on, beside one that nobody took."""
    monkeypatch.setenv(SETTINGS_VARIABLE, str(settings_file(practice, tmp_path)))
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    desk.sweep()
    desk.deliver(practice.new_ticket())
    return ticket


def test_it_lists_what_would_have_been_otherwise_and_changes_nothing(
    worked: str, desk: Desk, practice: Practice, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SHIPPED.read_text().replace('duration = "30m"', 'duration = "15m"', 1))
    before, notes = rows(desk.deployment), practice.notes(worked)

    answer = CliRunner().invoke(rules, ["diff", str(file)])

    assert answer.exit_code == 0, answer.output
    assert f"practice {worked} (Password reset), then: Password Administrator, active" in answer.output
    assert "in force:        Password Administrator in the whole directory for 30 min, on_pick" in answer.output
    assert "mine.toml:       Password Administrator in the whole directory for 15 min, on_pick" in answer.output
    assert "1 of 1 tickets that were compared would have got another answer." in answer.output
    assert "1 not compared: never anybody's." in answer.output
    assert (rows(desk.deployment), practice.notes(worked)) == (before, notes)


def test_the_same_rules_make_no_difference(worked: str) -> None:
    answer = CliRunner().invoke(rules, ["diff", str(SHIPPED), "--most", "1"])

    assert answer.exit_code == 0, answer.output
    assert "1 not compared: older than those that are read (--most)." in answer.output


def test_a_file_with_mistakes_is_not_compared(worked: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[[rule]]\n")

    answer = CliRunner().invoke(rules, ["diff", str(file)])

    assert answer.exit_code == 1
    assert f"{file}:1: " in answer.output
