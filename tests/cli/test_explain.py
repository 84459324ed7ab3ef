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
    assert "There is no ticket 99999 in practice" in answer.output


@pytest.mark.usefixtures("settings")
def test_an_unknown_connection_lists_the_known_ones() -> None:
    answer = CliRunner().invoke(rules, ["explain", "--ticket", "1", "--connection", "elsewhere"])

    assert answer.exit_code == 2
    assert "practice" in answer.output


UNIT = "11111111-aaaa-4bbb-8ccc-000000000001"
GROUP = "entra-group:22222222-bbbb-4ccc-8ddd-000000000001@member"
BUNDLE = """\
mode = "watch"
[break_glass]
roles = ["Global Reader"]
[[rule]]
name = "Lost device"
match = { category = "Lost device" }
roles = ["Security Reader", { group = "22222222-bbbb-4ccc-8ddd-000000000001", name = "Device desk" }]
scope = "requester's administrative unit"
bundle = "best_effort"
total = "4h"
usable = "bitlocker_keys"
revoke_sessions = true
"""


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = tmp_path / "bundle.toml"
    path.write_text(BUNDLE)
    return str(path)


def test_each_part_of_a_bundle_is_explained_with_its_scope_and_what_comes_after(bundle: str) -> None:
    held = ["--eligible", "Security Reader", "--scope", f"/administrativeUnits/{UNIT}", "--unit", UNIT]

    answer = CliRunner().invoke(rules, ["explain", bundle, "--category", "Lost device", *held])

    assert answer.exit_code == 0, answer.output
    assert 'Part 1 of 2 (best_effort): "Security Reader" where it covers the requester' in answer.output
    assert f"Taken at /administrativeUnits/{UNIT}, the only one that covers them." in answer.output
    assert "in all         at most 4 h" in answer.output
    assert "usable         when bitlocker_keys can be read" in answer.output
    assert "afterwards     the technician's sessions are ended" in answer.output
    assert 'Part 2 of 2 (best_effort): "Device desk" as a member' in answer.output
    assert answer.output.count("Refused (not_eligible)") == 1
    assert answer.output.count("This rule only watches") == 2


def test_an_eligibility_may_be_given_by_its_key(bundle: str) -> None:
    answer = CliRunner().invoke(rules, ["explain", bundle, "--category", "Lost device", "--eligible", GROUP])

    assert "role           Device desk as a member for 1 h" in answer.output


def test_check_notes_what_only_watches_and_what_needs_no_ticket(bundle: str) -> None:
    answer = CliRunner().invoke(rules, ["check", bundle])

    assert answer.exit_code == 0, answer.output
    assert f'{bundle}:4: Note: rule "Lost device" only watches' in answer.output
    assert f'{bundle}:2: Note: break glass allows "Global Reader" in the whole directory for 30 min' in answer.output
