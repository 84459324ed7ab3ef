"""What it costs a person: clicks and typed characters from the ticket to a usable role, and all of it by keyboard."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import Practice
from tests.end_to_end.conftest import Someone
from tests.end_to_end.test_pages import offered

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Arrive = Callable[..., Someone]
# Source: learn.microsoft.com/entra/id-governance/privileged-identity-management/pim-how-to-activate-role: open the
# portal, open My roles, find the role, Activate, duration, ticket number, reason, Activate; then three stages.
PORTAL_STEPS = 8
MOST_TABS = 60
_COUNT = """for (const kind of ["click", "keydown"])
  addEventListener(kind, (event) => event.isTrusted && window.counted(kind), { capture: true });"""


@dataclass
class Effort:
    """What a person did at a browser: real clicks and key presses, whatever page they hit."""

    clicks: int = 0
    keys: int = 0

    def watch(self, page: Page) -> None:
        page.context.expose_function("counted", self._count)
        page.context.add_init_script(_COUNT)

    def _count(self, kind: str) -> None:
        if kind == "click":
            self.clicks += 1
        else:
            self.keys += 1


def usable(me: Someone) -> None:
    expect(me.page.locator(".badge")).to_have_text("Active")
    me.reads(re.compile("Usable since"))


def end(me: Someone, ticket: str) -> None:
    me.page.get_by_role("button", name="End now").click()
    expect(me.page.locator(".badge")).to_have_text("Ended")  # it follows by itself until then
    me.note(ticket, "was given back")


def test_a_pick_costs_nothing_and_the_button_one_click_and_no_typing(
    someone: Arrive, live_practice: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the portal's eight steps. Taking the ticket and opening its page are work that was done before, too."""
    me = someone("technician")
    me.comes_to("/")
    ticket = offered(live_practice, "Password reset", "technician")
    me.at_desk(ticket)
    pressed = Effort()
    me.page.get_by_role("link", name="Elevate").click()
    me.sees(me.page.get_by_role("button", name="Elevate"))
    pressed.watch(me.page)
    me.page.reload()
    me.page.get_by_role("button", name="Elevate").click()
    usable(me)
    by_button = (pressed.clicks, pressed.keys)
    end(me, ticket)

    picked = live_practice.new_ticket("MFA reset")
    me.at_desk(picked)
    me.page.get_by_role("button", name="Take").click()
    before = (pressed.clicks, pressed.keys)
    me.note(picked, "is usable since")
    on_pick = (pressed.clicks - before[0], pressed.keys - before[1])
    me.at("/")
    me.page.get_by_role("button", name="End now").click()
    me.note(picked, "was given back")

    with capsys.disabled():
        sys.stdout.write(
            f"\nsteps to a usable role: portal {PORTAL_STEPS}; clicks and typed characters: "
            f"pick {on_pick}, button {by_button}\n"
        )
    assert on_pick == (0, 0)
    assert by_button == (1, 0)


def tab_to(me: Someone, wanted: Locator) -> None:
    me.sees(wanted)
    for _ in range(MOST_TABS):
        if wanted.evaluate("it => it === document.activeElement"):
            return
        me.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {wanted}")


def press(me: Someone, name: str | re.Pattern[str], role: Literal["button", "link"] = "button") -> None:
    tab_to(me, me.page.get_by_role(role, name=name).first)
    assert me.page.evaluate(
        "() => { const it = document.activeElement.getBoundingClientRect(); return it.width > 0 && it.height > 0 }"
    ), f"{name} has the focus and cannot be seen"
    me.page.keyboard.press("Enter")


def test_the_whole_story_without_a_mouse(someone: Arrive, live_practice: Practice) -> None:
    ticket = offered(live_practice, "Password reset", "technician2")
    me = someone("technician2")
    effort = Effort()
    effort.watch(me.page)
    me.at(f"/elevate/practice/{ticket}")
    press(me, "Sign in with Microsoft")
    press(me, re.compile(re.escape(me.person["upn"])))
    tab_to(me, me.page.get_by_role("radio", checked=True))
    me.page.keyboard.press("ArrowLeft")
    press(me, "Elevate")
    usable(me)

    me.at("/")
    me.page.keyboard.press("Tab")
    me.page.keyboard.press("Enter")  # the first stop of each page leads past the menu
    expect(me.page).to_have_url(re.compile("#main$"))
    press(me, re.compile("End now"))
    me.sees(me.page.get_by_role("heading", name="Done today"))
    press(me, re.compile(me.person["name"]), "link")
    press(me, "Sign out")
    me.reads("You are signed out")
    assert effort.clicks <= 8, "only what a key press on a button makes itself"
    me.note(ticket, "was given back")
