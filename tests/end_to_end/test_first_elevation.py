"""docs/first-elevation.md, done as it is written: what it sets in bold is pressed, in its order."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.conftest import Practice, until
from tests.end_to_end.conftest import Someone

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Arrive = Callable[..., Someone]
WALK = Path(__file__).parents[2] / "docs" / "first-elevation.md"


def steps() -> list[list[str]]:
    """What is pressed in each numbered step."""
    text = WALK.read_text(encoding="utf-8").split("\n\n")
    (numbered,) = [part for part in text if part.startswith("1. ")]
    return [re.findall(r"\*\*(.+?)\*\*", step) for step in re.split(r"\n(?=\d+\. )", numbered)]


def press(me: Someone, *names: str) -> None:
    for name in names:
        button = me.page.get_by_role("button", name=name, exact=False)
        link = me.page.get_by_role("link", name=name, exact=True)
        with me.page.expect_navigation():  # or what comes next is asked of the page that is left
            button.or_(link).first.click()


def reload_until(me: Someone, words: str) -> str:
    def look() -> str | None:
        me.page.reload()
        note = me.page.locator(".note", has_text=words)
        return note.first.inner_text() if note.count() else None

    return str(until(look, words, patience=30))


def test_the_walk(someone: Arrive, live_practice: Practice) -> None:
    signs_in, takes, opens_link, at_microsoft, watches, goes_now, solves = steps()
    live_practice.new_ticket("MFA reset", subject="New phone")
    me = someone("technician2")
    me.page.goto(live_practice.facts["helpdesk_url"])
    me.page.get_by_label("Who are you?").select_option(label="Technician Two")
    press(me, *signs_in)
    me.page.get_by_role("row").filter(has_text="MFA reset").filter(has_text="nobody").get_by_role("link").first.click()
    ticket = me.page.url
    press(me, *takes)
    assert opens_link == watches == []
    me.page.goto(me.link(reload_until(me, "sign in once at")))
    press(me, *at_microsoft)
    expect(me.page.locator(".badge")).to_have_text("Active")
    for name in ("Asked", "Validated", "Active", "Usable"):
        me.sees(me.page.get_by_role("listitem").filter(has_text=name).first)
    me.sees(me.page.get_by_role("heading", name="Authentication Administrator"))
    expect(me.page).to_have_title(re.compile(r"^\d+:\d\d"))
    me.sees(me.page.get_by_text("Why this role"))
    press(me, *goes_now)
    me.sees(me.page.get_by_role("heading", name="Running"))
    me.page.goto(ticket)
    press(me, *solves)
    reload_until(me, "was given back")


@pytest.mark.parametrize(
    ("who", "page"), [("auditor", "Review"), ("approver", "Approvals"), ("administrator", "Administration")]
)
def test_what_the_others_see(someone: Arrive, who: str, page: str) -> None:
    me = someone(who)
    assert f"**{page}**" in WALK.read_text(encoding="utf-8")
    me.comes_to("/")
    press(me, page)
    expect(me.page.get_by_role("heading", level=1)).to_be_visible()
    me.page.get_by_role("button", name="Sign out").click()
    me.reads("You are signed out")
