"""One elevation's page for auditors. Contract: a failure says what an administrator can do about it."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from integration.elevation import END_WORDS, State
from integration.entra import catalogue
from integration.journal import Kind
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser
from tests.workers.steps import end_now, pick, wait_for
from tests.workers.test_broken_journal import tamper
from tests.workers.test_every_refusal import refuse

Opened = Callable[..., Browser]
CODE = "RoleNotFound"
ADVICE = "For administrators"


@pytest.fixture
def failed(desk: Desk, practice: Practice) -> str:
    """The address of an elevation that the tenant refused with `CODE`."""
    refuse(practice, CODE)
    desk.link()
    ticket = pick(desk, practice)
    wait_for(desk, timedelta(minutes=1), steps=7)
    it = desk.only(ticket)
    assert it.state is State.FAILED
    return f"/review/{it.id}"


def test_a_failure_says_what_an_administrator_can_do(failed: str, browser: Opened) -> None:
    text = browser("auditor").get(failed).text
    assert ADVICE in text
    assert catalogue.CODES[CODE].administrator in text


@pytest.mark.parametrize("entry", ["", "[]", "null", '{"facts": null}', '{"facts": {"code": ["a"]}}', "[" * 100_000])
def test_an_edited_journal_is_still_shown(failed: str, desk: Desk, browser: Opened, entry: str) -> None:
    tamper(desk, lambda _: entry, kind=Kind.ELEVATION_FAILED)
    answer = browser("auditor").get(failed)
    assert answer.status_code == 200
    assert ADVICE not in answer.text


def test_why_it_ended_is_said_in_words_and_what_people_wrote_is_quoted(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    end_now(desk, ticket)
    wait_for(desk, timedelta(minutes=6), steps=2)
    text = browser("auditor").get(f"/review/{desk.only(ticket).id}").text
    assert "Why: the technician ended it" in text
    assert not [it for it in re.findall(r'<blockquote class="comment">(.*?)</blockquote>', text) if it in END_WORDS]


def test_what_worked_needs_no_advice(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    it = desk.only(pick(desk, practice))
    assert it.state is State.ACTIVE
    assert ADVICE not in browser("auditor").get(f"/review/{it.id}").text
