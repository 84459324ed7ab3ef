"""A ticket's page in the double of a hosted helpdesk, which shows our app and is another site to the browser."""

import base64
from dataclasses import dataclass

from playwright.sync_api import FrameLocator, Page, expect

from integration.helpdesks import apps
from tests.conftest import Practice
from tests.end_to_end.conftest import Someone
from tests.end_to_end.test_pages import offered


@dataclass
class AtTicket:
    """Somebody before a ticket's page in the helpdesk."""

    me: Someone
    ticket: str
    ours: FrameLocator

    @property
    def status(self) -> str:
        return self.ours.locator("#status").inner_text()

    def shows(self, words: str) -> None:
        expect(self.ours.locator("#status")).to_contain_text(words)

    def presses(self) -> Page:
        """The button, which opens a window."""
        with self.me.page.context.expect_page() as opened:
            self.ours.get_by_role("link", name="Elevate").click()
        return opened.value


def other_site(practice: Practice) -> str:
    return str(practice.facts["helpdesk_url"]).replace("localhost", "127.0.0.1")


def before_ticket(me: Someone, practice: Practice, kind: str, *frames: str) -> AtTicket:
    """Our app is installed, somebody else assigned the ticket to them, and they open it. `frames`: one in another."""
    ticket = offered(practice, "Password reset", me.key)
    me.note(ticket, "was assigned by somebody else")
    return opens(me, practice, ticket, kind, *frames)


def opens(me: Someone, practice: Practice, ticket: str, kind: str, *frames: str) -> AtTicket:
    """They open a ticket beside which our app stands."""
    packed = apps.pack(kind, url=me.stage.public_url, connection="practice")
    practice.control("/app", {"zip": base64.b64encode(packed).decode()})
    me.page.goto(f"{other_site(practice)}/sign-in?next=/tickets/{ticket}")
    me.page.get_by_label("Who are you?").select_option(me.person["helpdesk_account"])
    me.page.get_by_role("button", name="Sign in").click()
    within = me.page.frame_locator(frames[0])
    for frame in frames[1:]:
        within = within.frame_locator(frame)
    return AtTicket(me, ticket, within)


def signs_in(window: Page, me: Someone) -> None:
    window.get_by_role("button", name="Sign in with Microsoft").click()
    window.get_by_role("button", name=me.person["upn"], exact=False).click()
    expect(window.get_by_role("button", name="Sign out")).to_be_visible()
