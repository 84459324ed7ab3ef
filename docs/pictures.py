"""Takes the pictures in docs/pictures from the running product beside the practice tenant and helpdesk.

`python docs/pictures.py`; needs Chromium (`apt-get install chromium`). Run it again when the pages changed.
"""

import base64
import re
import tempfile
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cli.stage import CONNECTION, Stage, staged, wait
from integration.helpdesks import apps
from integration.rules import SHIPPED

HERE = Path(__file__).parent / "pictures"
CHROMIUM = "/usr/bin/chromium"
APPROVED = "Authentication Administrator"
# The frames in which our page stands on a ticket of each helpdesk, one in another; none where there is a link alone.
BUTTONS = {"zendesk": ["iframe"], "freshservice": ["iframe", "#elevate"], "zammad": []}
BREAK_GLASS = '[break_glass]\nroles = ["Helpdesk Administrator"]\nduration = "15m"\n\n'
SIZE = {"width": 1000, "height": 300}


class Desk:
    """The people's side of the practice helpdesk."""

    def __init__(self, stage: Stage) -> None:
        self._facts = stage.facts

    def person(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = next(p for p in self._facts["people"] if p["key"] == key)
        return found

    def call(self, by: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.person(by)['helpdesk_password_or_token']}"}
        url = self._facts["helpdesk_url"] + path
        answer = requests.request(method, url, json=body, headers=headers, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def practice(self, path: str, body: dict[str, Any]) -> None:
        """Have the practice tenant be so."""
        answer = requests.post(f"{self._facts['practice_url']}/_practice{path}", json=body, timeout=10)
        answer.raise_for_status()

    def ticket(self, subject: str, category: str) -> str:
        body = {"subject": subject, "category": category}
        return str(self.call("requester", "POST", "/api/tickets", body)["id"])

    def assign(self, ticket: str, by: str = "technician") -> None:
        self.call(by, "POST", f"/api/tickets/{ticket}/assign", {"assignee": "technician"})

    def note(self, ticket: str, words: str) -> str:
        def look() -> str | None:
            notes = self.call("technician", "GET", f"/api/tickets/{ticket}/notes")["notes"]
            return next((str(note["body"]) for note in notes if words in note["body"]), None)

        return wait(f"ticket {ticket} says {words!r}", look)


def take(page: Page, name: str) -> None:
    page.screenshot(path=HERE / f"{name}.png", animations="disabled", full_page=True)


def sign_in(page: Page, upn: str) -> None:
    page.get_by_role("button", name="Sign in with Microsoft").click()
    page.get_by_role("button", name=upn, exact=False).click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def technician(browser: Browser, stage: Stage, desk: Desk) -> None:
    """The first pick with its sign-in, the ticket afterwards, an Elevate page before its button, and the list."""
    page = browser.new_page(viewport=SIZE, ignore_https_errors=True)
    first = desk.ticket("Locked out after the holidays", "Password reset")
    desk.assign(first)
    link = re.search(r"https?://\S+/elevations/\w+", desk.note(first, "sign in once"))
    assert link is not None
    page.goto(link[0])
    take(page, "sign-in")
    sign_in(page, desk.person("technician")["upn"])
    expect(page.locator(".badge")).to_have_text("Active")
    take(page, "active")
    page.goto(f"{stage.facts['helpdesk_url']}/sign-in?next=/tickets/{first}")
    page.get_by_label("Who are you?").select_option(desk.person("technician")["helpdesk_account"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".note", has_text="is active until")).to_be_visible()
    take(page, "ticket")
    second = desk.ticket("Laptop asks for a recovery key", "BitLocker key")
    desk.assign(second, by="approver")
    desk.note(second, "was assigned by somebody else")
    page.goto(f"{stage.public_url}/elevate/{CONNECTION}/{second}")
    page.get_by_text("Why this role").click()
    take(page, "elevate")
    page.goto(stage.public_url)
    take(page, "now")
    page.goto(f"{stage.public_url}/roles")
    expect(page.get_by_text("sent for you")).to_have_count(5)  # the first visit reads while the page waits
    take(page, "my-roles")


def auditor(browser: Browser, stage: Stage, desk: Desk) -> None:
    page = browser.new_page(viewport=SIZE, ignore_https_errors=True)
    page.goto(f"{stage.public_url}/review")
    sign_in(page, desk.person("auditor")["upn"])
    take(page, "review")
    take_month(page, stage)
    page.goto(f"{stage.public_url}/review")
    page.get_by_role("cell", name="Password Administrator").first.locator("xpath=..").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    take(page, "review-detail")


def take_month(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.public_url}/review/month")
    take(page, "review-month")


def approver(browser: Browser, stage: Stage, desk: Desk) -> None:
    """A request that waits, with its ticket beside it; the technician's page of it; and break glass."""
    desk.practice(f"/policies/{APPROVED}", {"approval_required": True})
    ticket = desk.ticket("New phone, no sign-in codes any more", "MFA reset")
    desk.assign(ticket)
    desk.note(ticket, "waits for an approver")
    page = browser.new_page(viewport=SIZE, ignore_https_errors=True)
    page.goto(f"{stage.public_url}/approvals")
    sign_in(page, desk.person("approver")["upn"])
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    take(page, "approvals")
    desk.practice("/people/technician", {"app_roles": ["BreakGlass"]})
    page = browser.new_page(viewport=SIZE, ignore_https_errors=True)
    page.goto(f"{stage.public_url}/break-glass")
    sign_in(page, desk.person("technician")["upn"])
    take(page, "break-glass")


def administrator(browser: Browser, stage: Stage, desk: Desk) -> None:
    page = browser.new_page(viewport=SIZE, ignore_https_errors=True)
    page.goto(f"{stage.public_url}/administration")
    sign_in(page, desk.person("administrator")["upn"])
    take(page, "administration")
    page.goto(f"{stage.public_url}/administration/try")
    page.get_by_label("Ticket").first.fill(desk.ticket("Cannot sign in since this morning", "Login error"))
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("heading", level=2).first).to_be_visible()
    take(page, "try-a-rule")


def button(browser: Browser, kind: str) -> None:
    """Our button on a ticket of a hosted helpdesk's double, pressed and with the role active where it shows that."""
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), rules, helpdesk=kind) as stage:
        desk, page = Desk(stage), browser.new_page(viewport=SIZE, ignore_https_errors=True)
        if kind in apps.kinds():
            packed = apps.pack(kind, url=stage.public_url, connection=CONNECTION)
            desk.practice("/app", {"zip": base64.b64encode(packed).decode()})
        ticket = desk.ticket("Locked out after the holidays", "Password reset")
        desk.assign(ticket, by="approver")
        desk.note(ticket, "was assigned by somebody else")
        page.goto(f"{stage.facts['helpdesk_url']}/sign-in?next=/tickets/{ticket}")
        page.get_by_label("Who are you?").select_option(desk.person("technician")["helpdesk_account"])
        page.get_by_role("button", name="Sign in").click()
        ours: Any = page
        for frame in BUTTONS[kind]:
            ours = ours.frame_locator(frame)
        if BUTTONS[kind]:
            with page.expect_popup() as opened:
                ours.get_by_role("link", name="Elevate").click()
            sign_in(opened.value, desk.person("technician")["upn"])
            opened.value.get_by_role("button", name="Elevate", exact=True).click()
            expect(ours.locator("#status")).to_contain_text("Active")
        expect(ours.get_by_role("link", name="Elevate")).to_be_visible()
        take(page, f"button-{kind}")
        page.close()


def rules(facts: dict[str, Any]) -> str:
    """The rules that come with the product, and break glass."""
    return '[break_glass]\nroles = ["Helpdesk Administrator"]\nduration = "15m"\n\n' + SHIPPED.read_text(
        encoding="utf-8"
    )


def pages(browser: Browser) -> None:
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), rules) as stage:
        desk = Desk(stage)
        technician(browser, stage, desk)
        approver(browser, stage, desk)
        auditor(browser, stage, desk)
        administrator(browser, stage, desk)


def main() -> None:
    HERE.mkdir(exist_ok=True)
    with sync_playwright() as it:
        browser = it.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        pages(browser)
        for kind in BUTTONS:
            button(browser, kind)
        browser.close()


if __name__ == "__main__":
    main()
