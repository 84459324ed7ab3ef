"""Elevate is pressed in Jira, on the ticket, and our pages are opened once: the whole product beside Jira's double."""

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cli.stage import Stage, staged
from tests.conftest import Practice, until
from tests.end_to_end.conftest import Someone

pytestmark = [pytest.mark.stories, pytest.mark.timeout(300)]
Arrive = Callable[..., Someone]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), helpdesk="jira") as running:
        yield running


def test_the_story_of_the_panel(someone: Arrive, live_practice: Practice) -> None:
    first = live_practice.new_ticket("Password reset", subject="Cannot sign in")
    live_practice.assign(first, by="approver")  # somebody else did: nothing starts by itself
    me = someone("technician")
    me.at_desk(first)
    panel = me.page.get_by_label("Ticket Elevate")
    expect(panel).to_contain_text("Sign in with Microsoft on our page first")
    expect(panel.get_by_role("button")).to_be_hidden()

    with me.page.expect_popup() as opened:
        panel.get_by_role("link", name="Open Ticket Elevate").click()
    links_itself(me, opened.value)
    until(lambda: live_practice.active_roles(), "the role is active", patience=30)
    live_practice.solve(first)
    until(lambda: not live_practice.active_roles(), "the role is given back", patience=60)

    second = live_practice.new_ticket("Password reset", subject="Cannot sign in again")
    live_practice.assign(second, by="approver")
    me.page.goto(f"{live_practice.facts['helpdesk_url']}/tickets/{second}")
    expect(panel).to_contain_text("Password Administrator")
    panel.get_by_role("button", name="Elevate").click()
    expect(panel).to_contain_text(re.compile(r"Active\s+until \d"))
    expect(panel.get_by_role("button")).to_be_hidden()
    assert len(live_practice.active_roles()) == 1
    assert "is active until" in me.note(second, "is active until")
    assert len(me.page.context.pages) == 2  # no page of ours but the one of the first time

    colleague = someone("technician2")
    colleague.at_desk(second)
    expect(colleague.page.get_by_label("Ticket Elevate").get_by_role("button")).to_be_hidden()

    live_practice.solve(second)
    until(lambda: not live_practice.active_roles(), "the role is given back", patience=60)


def links_itself(me: Someone, page: Page) -> None:
    """The first time: Microsoft's sign-in, and the button, which links the account."""
    page.set_default_timeout(30_000)
    page.get_by_role("button", name="Sign in with Microsoft").click()
    page.get_by_role("button", name=me.person["upn"], exact=False).click()
    page.get_by_role("button", name="Elevate").click()
    expect(page.locator(".badge")).to_have_text("Active")
