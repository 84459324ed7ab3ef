"""Takes the pictures in docs/pictures from the running product beside the practice tenant, and beside each helpdesk.

`PYTHONPATH=. python docs/pictures.py` takes all; names after it, such as `pages` or `jira`, take those alone. It needs
Chromium (`apt-get install chromium`), and for `request_tracker` Debian's package of it. Run it again when the pages
changed.
"""

import base64
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cli.stage import CONNECTION, Stage, staged, wait
from integration.helpdesks import apps, zammad_setup
from integration.helpdesks.setup import Place
from integration.rules import SHIPPED
from tests.end_to_end.request_tracker import PASSWORD
from tests.end_to_end.request_tracker_stage import Stage as RequestTracker
from tests.end_to_end.test_django_desk_story import Stage as DjangoDesk

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
    desk.note(second, "so nothing was activated")
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


def add_attribute(stage: Stage) -> None:
    """What `ticket-elevate connect zammad` plans, and an administrator of Zammad then updates the database for."""
    api = f"{stage.facts['helpdesk_url']}/api/v1/object_manager_attributes"
    admin = {"Authorization": f"Token token={stage.facts['helpdesk_once']['admin_token']}"}
    planned = zammad_setup.attribute(Place(CONNECTION, stage.public_url))
    requests.post(api, json=planned, headers=admin, timeout=10).raise_for_status()
    requests.post(f"{api}_execute_migrations", headers=admin, timeout=10).raise_for_status()


def button(browser: Browser, kind: str) -> None:
    """Our button on a ticket of a hosted helpdesk's double, pressed and with the role active where it shows that."""
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), rules, helpdesk=kind) as stage:
        desk, page = Desk(stage), browser.new_page(viewport=SIZE, ignore_https_errors=True)
        if kind in apps.kinds():
            packed = apps.pack(kind, url=stage.public_url, connection=CONNECTION)
            desk.practice("/app", {"zip": base64.b64encode(packed).decode()})
        if kind == "zammad":
            add_attribute(stage)
        ticket = desk.ticket("Locked out after the holidays", "Password reset")
        desk.assign(ticket, by="approver")
        desk.note(ticket, "so nothing was activated")
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
    """Our own, beside the practice helpdesk."""
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), rules) as stage:
        desk = Desk(stage)
        technician(browser, stage, desk)
        approver(browser, stage, desk)
        auditor(browser, stage, desk)
        administrator(browser, stage, desk)


def at_desk(page: Page, stage: Stage, desk: Desk, ticket: str) -> None:
    """The page of a ticket in the helpdesk, as its technician sees it."""
    page.goto(f"{stage.facts['helpdesk_url']}/sign-in?next=/tickets/{ticket}")
    page.get_by_label("Who are you?").select_option(desk.person("technician")["helpdesk_account"])
    page.get_by_role("button", name="Sign in").click()


@contextmanager
def noted(browser: Browser, kind: str) -> Iterator[Page]:
    """A ticket in a hosted helpdesk's double with our note, which holds the link."""
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), helpdesk=kind) as stage:
        desk, page = Desk(stage), browser.new_page(viewport=SIZE)
        ticket = desk.ticket("Laptop asks for a recovery key", "BitLocker key")
        desk.assign(ticket, by="approver")
        desk.note(ticket, "so nothing was activated")
        at_desk(page, stage, desk, ticket)
        expect(page.locator(".note", has_text="so nothing was activated")).to_be_visible()
        yield page


def servicenow(browser: Browser) -> None:
    """The button among those of the ticket."""
    with noted(browser, "servicenow") as page:
        expect(page.get_by_role("link", name="Elevate")).to_have_attribute("href", re.compile("/INC[0-9]+$"))
        take(page, "servicenow")


def teamdynamix(browser: Browser) -> None:
    """It has no button: the link stands in the note."""
    with noted(browser, "teamdynamix") as page:
        notes = page.locator(".card", has_text="so nothing was activated")
        notes.screenshot(path=HERE / "teamdynamix.png", animations="disabled")


def jira(browser: Browser) -> None:
    """The panel before its button is pressed, and after."""
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), helpdesk="jira") as stage:
        desk, page = Desk(stage), browser.new_page(viewport=SIZE, ignore_https_errors=True)
        first, second = (desk.ticket("Cannot sign in after the holidays", "Password reset") for _ in range(2))
        for ticket in (first, second):
            desk.assign(ticket, by="approver")
        page.goto(f"{stage.public_url}/elevate/{CONNECTION}/IT-{first}")
        sign_in(page, desk.person("technician")["upn"])
        page.get_by_role("button", name="Elevate").click()
        expect(page.locator(".badge")).to_have_text("Active")
        at_desk(page, stage, desk, second)
        panel = page.get_by_label("Ticket Elevate")
        expect(panel.get_by_role("button", name="Elevate")).to_be_visible()
        panel.screenshot(path=HERE / "jira-panel.png", animations="disabled")
        panel.get_by_role("button", name="Elevate").click()
        expect(panel).to_contain_text(re.compile(r"Active\s+until"))
        panel.screenshot(path=HERE / "jira-panel-active.png", animations="disabled")


def request_tracker(browser: Browser) -> None:
    """The real one: our button among those of a ticket, and our comment."""
    with tempfile.TemporaryDirectory(prefix="te-") as place, RequestTracker(Path(place)).raised() as stage:
        number = stage.new_ticket("Cannot sign in after the holidays")
        stage.take(number, by="technician2")
        stage.note(number, "sign in once")
        page = browser.new_page(viewport={"width": 1100, "height": 1500})  # it fetches what comes into sight
        page.goto(f"{stage.rt.url}/Ticket/Display.html?id={number}")
        page.locator("input[name=user]").fill("technician2")
        page.locator("input[name=pass]").fill(PASSWORD)
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_text("sign in once").first).to_be_visible()
        take(page, "request-tracker")


def generic(browser: Browser) -> None:
    """A real django-helpdesk, which we know by its settings alone: our comment, with the link."""
    with tempfile.TemporaryDirectory(prefix="te-") as place, DjangoDesk(Path(place)).raised() as stage:
        number = stage.new_ticket("Cannot sign in after the holidays")
        stage.take(number, by="technician")
        stage.note(number, "sign in once")
        page = browser.new_page(viewport={"width": 1100, "height": 700})
        page.goto(f"{stage.site.url}/tickets/{number}/")
        page.locator("input[name=username]").fill("technician")
        page.locator("input[name=password]").fill("technician-at-the-desk")
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_text("sign in once").first).to_be_visible()
        take(page, "generic")


TAKEN: Mapping[str, Callable[[Browser], None]] = {
    "pages": pages,
    "jira": jira,
    "servicenow": servicenow,
    "teamdynamix": teamdynamix,
    "request_tracker": request_tracker,
    "generic": generic,
    **{kind: partial(button, kind=kind) for kind in BUTTONS},
}


def main() -> None:
    HERE.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or list(TAKEN)
    expect.set_options(timeout=30_000)  # milliseconds; a helpdesk that was just started is slow
    with sync_playwright() as it:
        browser = it.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name in wanted:
            TAKEN[name](browser)
        browser.close()


if __name__ == "__main__":
    main()
