"""The whole product as programs beside the practice tenant and helpdesk, and people with browsers in front of it."""

import json
import os
import re
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from cli.stage import Stage, staged
from tests.conftest import Practice, until

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--test-third-party-cookie-phaseout",  # no cookie within another site's page, as it is with most browsers
]
PATIENCE = 30_000  # milliseconds; on a busy machine a start of Chromium's renderer alone takes seconds
# A browser reports the status of a page that answers 4xx as an error of its console; the page itself is what we test.
STATUS_OF_A_PAGE = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
Errors = list[str]
_AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
# It is evaluated, not put on the page as an element, which our own security policy would refuse.
_RUN_AXE = """async ([source, rules]) => {
  if (!window.axe) (0, eval)(source);
  const { violations } = await axe.run(document, rules);
  const told = (node) => node.html + " " + node.failureSummary;
  return violations.map(it => ({ rule: it.id, help: it.help, nodes: it.nodes.map(told) }));
}"""


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One for each file: who is linked and what is active there must not depend on other files.

    Where the file has a function `rules`, with the rules file that it makes of the practice tenant's facts; where it
    names a HELPDESK, with the double of that one.
    """
    rules, helpdesk = (getattr(request.module, name, None) for name in ("rules", "HELPDESK"))
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), rules, helpdesk=helpdesk) as running:
        yield running


@pytest.fixture(scope="module")
def live_practice(stage: Stage) -> Practice:
    return Practice(stage.facts)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@dataclass
class Someone:
    """A person of the practice desk at a browser of their own."""

    page: Page
    key: str
    person: dict[str, Any]
    stage: Stage
    practice: Practice

    def at_desk(self, ticket: str) -> None:
        """Sign in to the helpdesk and open the ticket's page there."""
        self.page.goto(f"{self.stage.facts['helpdesk_url']}/sign-in?next=/tickets/{ticket}")
        self.page.get_by_label("Who are you?").select_option(self.person["helpdesk_account"])
        self.page.get_by_role("button", name="Sign in").click()
        self.sees(self.page.get_by_role("heading", name=f"{ticket}:"))

    def at(self, path: str) -> None:
        self.page.goto(self.stage.public_url + path)

    def signs_in(self) -> None:
        """Our button, then Microsoft's page; ends on the page of ours that was asked for."""
        self.page.get_by_role("button", name="Sign in with Microsoft").click()
        self.page.get_by_role("button", name=self.person["upn"], exact=False).click()
        self.sees(self.page.get_by_role("button", name="Sign out"))

    def comes_to(self, path: str) -> None:
        self.at(path)
        self.signs_in()

    def sees(self, what: Any) -> None:
        expect(what).to_be_visible()

    def reads(self, words: str | re.Pattern[str]) -> None:
        expect(self.page.locator("main")).to_contain_text(words)

    def is_accessible(self, name: str) -> None:
        """What stands on the page now, judged by axe for WCAG 2.2 AA in both themes, and at 320 px, to which 400 % of
        zoom on a screen of 1280 comes: nothing may reach over its side. PICTURES=DIR keeps what was judged there.
        """
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        size = self.page.viewport_size or {"width": 1280, "height": 800}
        for theme in ("light", "dark"):
            # Without motion: halfway from one theme to the other a button has a colour of neither.
            self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
            for width in (size["width"], 320):
                self.page.set_viewport_size({"width": width, "height": size["height"]})
                if pictures := os.environ.get("PICTURES"):
                    self.page.screenshot(path=f"{pictures}/{name}-{theme}-{width}.png", full_page=True)
                found = self._judged(rules)
                assert not found, f"{name}, {theme}, {width} px: {json.dumps(found, indent=1)}"
                over = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert over <= 0, f"{name}, {theme}: {over} px too wide for {width}"
        self.page.set_viewport_size(size)
        self.page.emulate_media(color_scheme="light", reduced_motion="no-preference")

    def _judged(self, rules: dict[str, Any]) -> Any:
        """A page may load itself again while it is being judged: then what stands there afterwards is judged."""
        for left in reversed(range(3)):
            try:
                return self.page.evaluate(_RUN_AXE, [_AXE.read_text(), rules])
            except PlaywrightError as error:
                if "navigation" not in str(error) or not left:
                    raise
                self.page.wait_for_load_state()
        raise AssertionError

    def note(self, ticket: str, words: str) -> str:
        """The note on the ticket with these words, as soon as it is there."""
        return str(
            until(lambda: next((n for n in self.practice.notes(ticket) if words in n), None), words, patience=30)
        )

    def link(self, note: str) -> str:
        found = re.search(r"https?://\S+/(?:elevations|elevate)/\S+", note)
        assert found is not None
        return found[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure is told with what each browser showed then."""
    report = yield
    if report.when == "call" and report.failed:
        for context in getattr(item, "contexts", []):
            for page in context.pages:
                report.sections.append((f"What stood on {page.url}", page.inner_text("body")))
    return report


@pytest.fixture
def someone(
    request: pytest.FixtureRequest, stage: Stage, live_practice: Practice, browser: Browser
) -> Iterator[Callable[..., Someone]]:
    """`someone("technician")`: that person with a fresh browser. A console or CSP error of any page fails the test."""
    errors: Errors = []
    expect.set_options(timeout=PATIENCE)
    contexts = request.node.contexts = []

    def heard(message: ConsoleMessage) -> None:
        loading = message.location.get("url", "")
        if STATUS_OF_A_PAGE.match(message.text) and "/static/" not in loading:
            return
        if message.type in ("error", "warning"):
            errors.append(f"{loading}: {message.text}")

    def arrive(key: str, **options: Any) -> Someone:
        context = browser.new_context(
            **{"ignore_https_errors": True, "viewport": {"width": 1280, "height": 800}, **options}
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return Someone(page, key, live_practice.people[key], stage, live_practice)

    yield arrive
    for context in contexts:
        context.close()
    assert not errors
