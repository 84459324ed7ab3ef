"""The link in a note works whenever it is opened: one clear sentence, and what to do next."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest

from integration.elevation import State
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser, words
from tests.workers.steps import pick, wait_for
from webhooks.app import create_app

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


@pytest.mark.parametrize(
    ("asked", "back"),
    [
        ("/account", "/account"),
        ("/earlier", "/earlier"),
        ("/roles?q=reader", "/roles?q=reader"),
        ("/review?state=active", "/review?state=active"),
        ("/review/export.csv?state=active", "/review?state=active"),
        ("/approvals", "/approvals"),
        ("/approvals/00000000-0000-4000-8000-000000000000", "/approvals/00000000-0000-4000-8000-000000000000"),
    ],
)
def test_who_signs_in_comes_back_to_the_page_that_they_asked_for(browser: Opened, asked: str, back: str) -> None:
    page = browser()
    answer = page.get(asked)
    assert answer.status_code == 401
    (form,) = re.findall(r'name="back_to" value="([^"]*)"', answer.text)
    assert page.sign_in("auditor", back_to=unescape(form)).location == back


@pytest.mark.parametrize(
    ("button", "back"),
    [("/elevations/{id}/end", "/elevations/{id}"), ("/approvals/{id}", "/approvals/{id}"), ("/now/end-all", "/now")],
)
def test_a_button_of_an_old_page_asks_for_a_sign_in_and_leads_to_its_page(
    desk: Desk, practice: Practice, browser: Opened, button: str, back: str
) -> None:
    desk.link()
    it = desk.only(pick(desk, practice))
    page = browser("technician")
    token = page.token("/")
    page.press("/sign-out")
    answer = page.client.post(button.format(id=it.id), data={"csrf_token": token})
    assert answer.status_code == 401
    assert f'name="back_to" value="{back.format(id=it.id)}"' in answer.text
    assert desk.only(it.ticket).state is State.ACTIVE


def test_a_denial_is_read_on_the_page_in_the_approver_s_words(desk: Desk, practice: Practice, browser: Opened) -> None:
    practice.control("/policies/Password Administrator", {"approval_required": True})
    desk.link()
    ticket = pick(desk, practice)
    assert "/approvals or in the Entra portal" in practice.notes(ticket)[0]
    (asked,) = practice.activation_requests()
    practice.control(f"/requests/{asked['id']}", {"decision": "deny", "reason": "Not before noon."})
    wait_for(desk, timedelta(minutes=1))
    text = read(browser("technician"), link(desk, ticket))
    assert "Not activated" in text
    assert "denied it: \u201cNot before noon.\u201d" in text


def test_a_page_of_before_a_deploy_still_does_what_its_button_says(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    here, page = link(desk, ticket), browser("technician")
    token = page.token(here)
    desk.deployment.records.dispose()
    page.client.application = create_app(desk.deployment)
    answer = page.client.post(f"{here}/end", data={"csrf_token": token})
    assert (answer.status_code, answer.location) == (303, here)
    assert desk.only(ticket).let_go_at is not None
