"""How soon a page is there, and how much of it is on the way: in Chromium, with an empty cache, on loopback."""

import re
import statistics
import sys
from pathlib import Path

import requests
from playwright.sync_api import Browser, expect, sync_playwright

from cli.stage import Stage, staged, wait

CHROMIUM = "/usr/bin/chromium"
_FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_LINE_OF_TEXT = "/healthz"
_ON_THE_WAY = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .reduce((sum, it) => sum + it.transferSize, 0)"""


def measure(place: Path, *, quick: bool) -> dict[str, float]:
    """Milliseconds to the first paint that shows something (median and worst median), and kB of the heaviest page.

    The baseline is a line of text of the same server, so that the browser's own share can be seen.
    """
    if not Path(CHROMIUM).exists():
        sys.stderr.write("The figures of pages need Chromium (apt-get install chromium); they are left out.\n")
        return {}
    rounds = 3 if quick else 15
    with staged(place) as stage, sync_playwright() as it:
        browser = it.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        technician, auditor = _signed_in(browser, stage, "technician"), _signed_in(browser, stage, "administrator")
        elevation = _active(browser, stage, technician)
        theirs = {
            technician: ["/", "/account", "/roles", "/approvals", f"/elevations/{elevation}"],
            auditor: ["/review", "/review/month", "/administration"],
        }
        # In turns, so that what else the machine does falls on all of them alike.
        every = [(state, path) for state, paths in theirs.items() for path in paths]
        every.append((technician, _LINE_OF_TEXT))
        looks: dict[str, list[tuple[float, int]]] = {path: [] for _, path in every}
        for _ in range(rounds):
            for state, path in every:
                looks[path].append(_look(browser, state, stage.public_url + path))
        browser.close()
    paint = {path: statistics.median(look[0] for look in found) for path, found in looks.items()}
    bytes_ = {path: max(look[1] for look in found) for path, found in looks.items()}
    baseline = paint.pop(_LINE_OF_TEXT)
    each = ", ".join(f"{path} {paint[path]:.0f}" for path in sorted(paint, key=lambda path: -paint[path]))
    sys.stderr.write(f"First paint in ms: {each}\n")
    slowest = max(paint, key=lambda path: paint[path])
    return {
        "first_paint_ms_of_a_line_of_text": round(baseline, 1),
        "first_paint_ms_median": round(statistics.median(paint.values()), 1),
        "first_paint_ms_slowest": round(paint[slowest], 1),
        "first_paint_ratio": round(paint[slowest] / baseline, 2),
        "page_kb_heaviest": round(max(bytes_.values()) / 1000, 1),
    }


def _signed_in(browser: Browser, stage: Stage, key: str) -> str:
    """Where the cookies of this person are kept."""
    person = next(p for p in stage.facts["people"] if p["key"] == key)
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(stage.public_url)
        page.get_by_role("button", name="Sign in with Microsoft").click()
        page.get_by_role("button", name=person["upn"], exact=False).click()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        kept = stage.directory / f"{key}.json"
        context.storage_state(path=kept)
    return str(kept)


def _active(browser: Browser, stage: Stage, state: str) -> str:
    """The id of an elevation that the technician has now."""
    people = {p["key"]: p for p in stage.facts["people"]}

    def call(by: str, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {people[by]['helpdesk_password_or_token']}"}
        url = stage.facts["helpdesk_url"] + path
        answer = requests.request(method, url, json=body, headers=headers, timeout=10)
        answer.raise_for_status()
        found: dict[str, object] = answer.json()
        return found

    made = call("requester", "POST", "/api/tickets", {"subject": "Locked out", "category": "Password reset"})
    ticket = made["id"]
    call("technician", "POST", f"/api/tickets/{ticket}/assign", {"assignee": "technician"})

    def link() -> str | None:
        found = call("technician", "GET", f"/api/tickets/{ticket}/notes")["notes"]
        return next((it for it in re.findall(r"/elevations/(\w+)", str(found))), None)

    with browser.new_context(storage_state=state, ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(f"{stage.public_url}/elevations/{wait('the ticket has a link', link)}")
        page.get_by_role("button", name="Sign in with Microsoft").click()
        page.get_by_role("button", name=people["technician"]["upn"], exact=False).click()
        expect(page.locator(".badge")).to_have_text("Active")
        context.storage_state(path=state)
        return page.url.rpartition("/")[2]


def _look(browser: Browser, state: str, url: str) -> tuple[float, int]:
    """Milliseconds to the first paint with something in it, and bytes on the way, of one visit."""
    with browser.new_context(storage_state=state, ignore_https_errors=True) as context:
        page = context.new_page()
        answer = page.goto(url, wait_until="networkidle")
        assert answer is not None
        assert answer.ok, (url, answer.status)
        page.wait_for_function(f"() => {_FIRST_PAINT} !== undefined")
        return float(page.evaluate(_FIRST_PAINT)), int(page.evaluate(f"() => {_ON_THE_WAY}"))
