"""The link in a note works whenever it is opened: one clear sentence, and what to do next."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser, words
from tests.workers.steps import pick, wait_for

Opened = Callable[..., Browser]


def offered(desk: Desk, practice: Practice) -> str:
    practice.assign(ticket := practice.new_ticket(), by="approver")
    desk.deliver(ticket)
    return ticket


def link(desk: Desk, ticket: str) -> str:
    return f"/elevations/{desk.only(ticket).id}"


def read(page: Browser, address: str) -> str:
    return words(page.get(address, follow_redirects=True))


def test_signed_out_it_asks_for_a_sign_in_and_comes_back(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    here, page = link(desk, offered(desk, practice)), browser()
    assert "Sign in and you come straight back to it" in read(page, here)
    assert page.sign_in("technician", back_to=here).location == here
    assert "Use of this role is monitored" in read(page, here)


def test_signed_in_as_somebody_else_it_says_so_and_how_to_become_the_right_one(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    here = link(desk, offered(desk, practice))
    desk.link("technician2")
    text = read(browser("technician2"), here)
    assert "it belongs to another technician" in text
    assert f"signed in as {practice.people['technician2']['upn']}; if that is the wrong account, sign out" in text


def test_of_a_ticket_that_is_solved_it_says_that_and_leads_to_it(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    ticket = offered(desk, practice)
    here = link(desk, ticket)
    practice.solve(ticket)
    page = browser("technician")
    assert "This ticket is solved" in read(page, here), "before the helpdesk has told us"
    desk.deliver(ticket)
    text = read(page, here)
    assert "Ended: the ticket was solved." in text
    assert "Back to the ticket" in text
    assert "Elevate again" not in text


@pytest.mark.parametrize("handed_over", [False, True])
def test_of_an_elevation_that_is_over_it_says_why_and_leads_to_the_next_one(
    desk: Desk, practice: Practice, browser: Opened, handed_over: bool
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    here, page = link(desk, ticket), browser("technician")
    if handed_over:
        practice.assign(ticket, "technician2", by="technician")
        desk.deliver(ticket)
    else:
        page.press(f"{here}/end", page=here)
    wait_for(desk, timedelta(minutes=6))
    text = read(page, here)
    why = "the ticket was handed over" if handed_over else "the technician ended it"
    assert f"Ended: {why}." in text
    assert ("Elevate again" in text) is not handed_over
    if not handed_over:
        assert "Use of this role is monitored" in read(page, f"/elevate/practice/{ticket}")
