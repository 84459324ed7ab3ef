"""`ticket-elevate try`. Contract: one number in, the whole verdict out, and nothing is changed by it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import commands
from tests.conftest import Desk, Practice
from tests.end_to_end.product import settings_file
from tests.webhooks.conftest import rows

CACHES = frozenset({"tenant_answers", "token_caches"})
Try = Callable[..., Result]


@pytest.fixture
def attempt(desk: Desk, practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Try:
    url = desk.deployment.settings.database_url
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(settings_file(practice, tmp_path, url)))
    return lambda *words: CliRunner().invoke(commands, ["try", *words])


def facts(said: Result) -> dict[str, str]:
    """What is said of each of the ticket's facts."""
    pairs = (line.partition(" ") for line in said.output.splitlines() if not line.startswith((" ", "[")))
    return {name: words.strip() for name, _, words in pairs}


def test_the_whole_verdict_about_a_pick_is_said_and_nothing_is_changed(
    attempt: Try, desk: Desk, practice: Practice
) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    before = rows(desk.deployment, but=CACHES)

    said = attempt("practice", ticket)

    assert said.exit_code == 0, said.output
    told = facts(said)
    assert told["category"] == "Password reset"
    assert practice.people["technician"]["name"] in told["assignee"]
    assert "own hand, just now: a pick" in told["actor"]
    assert practice.people["technician"]["oid"] in told["link"]
    assert told["eligible"] == "as Entra told"
    assert "Password Administrator in the whole directory for 30" in said.output
    assert rows(desk.deployment, but=CACHES) == before
    assert practice.activation_requests() == []
    assert practice.notes(ticket) == []


def test_a_ticket_that_somebody_else_assigned_is_told_so(attempt: Try, practice: Practice) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket, by="technician2")

    told = facts(attempt("practice", ticket))

    assert "somebody else: the ticket gets the Elevate link" in told["actor"]
    assert told["link"].startswith("not linked")
    assert told["eligible"].startswith("not known")


def test_nobodys_ticket_can_be_tried_as_somebody(attempt: Try, desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()

    said = attempt("practice", ticket, "--as", practice.people["technician"]["mail"].upper())

    told = facts(said)
    assert "(supposed)" in told["assignee"]
    assert told["eligible"] == "as Entra told"
    assert "nobody" in facts(attempt("practice", ticket))["assignee"]


def test_whoever_filed_a_ticket_is_refused_it_whatever_they_are_eligible_for(attempt: Try, practice: Practice) -> None:
    ticket = practice.new_ticket()

    said = attempt("practice", ticket, "--as", practice.people["requester"]["mail"])

    assert "Refused (own_ticket)" in said.output


@pytest.mark.parametrize(
    ("words", "answer"), [(("practice", "99999"), "There is no ticket 99999"), (("else", "1"), "practice")]
)
def test_what_is_not_there_is_said_in_words(attempt: Try, words: tuple[str, str], answer: str) -> None:
    said = attempt(*words)
    assert said.exit_code == 1
    assert answer in said.output
    assert "Traceback" not in said.output


def test_without_tables_it_says_how_to_make_them(
    practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(settings_file(practice, tmp_path)))
    said = CliRunner().invoke(commands, ["try", "practice", practice.new_ticket()])
    assert said.exit_code == 1
    assert "ticket-elevate init" in said.output
