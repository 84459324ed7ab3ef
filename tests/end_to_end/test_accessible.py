"""Each page, and each state that one can be in, judged by axe (WCAG 2.2 AA) in both themes and on narrow screens."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.conftest import Practice, until
from tests.end_to_end.conftest import Someone
from tests.end_to_end.test_pages import offered

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # axe takes seconds for each of four looks at a page
Arrive = Callable[..., Someone]


@pytest.mark.parametrize(
    ("name", "who", "path"),
    [
        ("sign-in", None, "/"),
        ("now-empty", "technician2", "/"),
        ("account", "technician2", "/account"),
        ("earlier-empty", "auditor", "/earlier"),
        ("approvals-empty", "technician2", "/approvals"),
        ("nothing-here", "technician2", "/no-such-page"),
    ],
)
def test_a_page(someone: Arrive, name: str, who: str | None, path: str) -> None:
    me = someone(who or "technician")
    if who:
        me.comes_to("/")
    me.at(path)
    me.is_accessible(name)


def test_the_states_of_an_elevation_and_of_the_page_now(someone: Arrive, live_practice: Practice) -> None:
    me = someone("technician")
    me.comes_to("/")
    me.at(f"/elevate/practice/{offered(live_practice, 'Password reset', 'technician')}")
    me.page.get_by_role("button", name="Elevate").click()  # which links the accounts, if they are not linked yet
    me.page.get_by_role("button", name="End now").click()
    until(lambda: not live_practice.active_roles(), "the role is given back", patience=30)
    first, second = (offered(live_practice, "Password reset", "technician", "Ä" * 150) for _ in range(2))
    for ticket in (first, second):
        me.note(ticket, "was assigned by somebody else")
    me.at("/")
    me.sees(me.page.get_by_role("heading", name="Waits for you"))
    me.is_accessible("now-waits")
    me.at(f"/elevate/practice/{first}")
    me.page.get_by_text("Why this role").click()
    me.is_accessible("elevate")
    me.page.get_by_role("button", name="Elevate").click()
    expect(me.page.locator(".badge")).to_have_text("Active")
    me.is_accessible("live-active")
    me.at(f"/elevate/practice/{second}")
    me.page.get_by_role("button", name="Elevate").click()
    expect(me.page.locator(".badge")).to_have_text("Active")
    me.reads(re.compile("Usable since"))
    me.is_accessible("live-usable")
    me.at("/")
    me.reads(f"The same role is also held for ticket {first}")
    me.is_accessible("now-running")
    me.page.get_by_role("button", name="End all 2").click()
    me.sees(me.page.get_by_role("heading", name="Done today"))
    me.is_accessible("now-ending")
    me.at(f"/elevate/practice/{live_practice.new_ticket('Password reset')}")
    me.is_accessible("nobodys-ticket")
    until(lambda: not live_practice.active_roles(), "both roles are given back", patience=30)


def test_a_refusal_a_solved_ticket_and_a_sign_out(someone: Arrive, live_practice: Practice) -> None:
    me = someone("ineligible")
    ticket = live_practice.new_ticket("Password reset", by="ineligible")
    live_practice.assign(ticket, "ineligible", by="approver")
    me.comes_to(f"/elevate/practice/{ticket}")
    me.sees(me.page.get_by_role("heading", name="No role for this ticket"))
    me.is_accessible("refused")
    live_practice.solve(ticket, by="ineligible")
    me.page.reload()
    me.reads("This ticket is solved")
    me.is_accessible("solved")
    me.page.get_by_role("button", name="Sign out").click()
    me.is_accessible("signed-out")


SIDES = """() => [...document.body.querySelectorAll("*:not(svg, svg *, option)")].map((it) => {
  const style = getComputedStyle(it);
  return ["padding", "margin", "border"].map((of) => ["left", "right"].map((side) =>
    style.getPropertyValue(of === "border" ? `border-${side}-width` : `${of}-${side}`)))
    .concat([[style.float, `${it.localName}.${it.className}`]]);
})"""


def mirrored(sides: list[list[list[str]]]) -> list[list[list[str]]]:
    other = {"left": "right", "right": "left"}
    return [[*([right, left] for left, right in of), [other.get(float_, float_), it]] for *of, (float_, it) in sides]


def test_what_is_written_from_the_right_is_the_mirror_image(someone: Arrive, live_practice: Practice) -> None:
    live_practice.control("/people/administrator", {"app_roles": ["Auditor", "Administrator", "BreakGlass"]})
    me = someone("administrator")
    me.comes_to("/")
    ticket = offered(live_practice, "Password reset", "administrator")
    elevate = f"/elevate/practice/{ticket}"
    me.note(ticket, "was assigned by somebody else")
    me.at(f"/review?ticket={ticket}")
    me.page.get_by_text("Save this filter as a view").click()
    me.page.get_by_label("Name of the view").fill("Mine")
    me.page.get_by_role("button", name="Save").click()
    me.page.locator("td a[href^='/review/']").first.click()
    me.page.wait_for_url(re.compile(r"/review/[0-9A-Z]{26}$"))
    detail = me.page.url.removeprefix(me.stage.public_url)
    paths = ["/", "/account", "/earlier", "/roles", "/approvals", "/break-glass", elevate]
    for path in [*paths, "/review", "/review/month", detail, "/administration", "/administration/try"]:
        me.at(path)
        # My roles load themselves again when they were read.
        expect(me.page.locator("#roles[data-reading]:not([data-reading=''])")).to_have_count(0)
        me.page.wait_for_load_state("networkidle")
        left = me.page.evaluate(SIDES)
        me.page.evaluate("document.documentElement.dir = 'rtl'")
        assert me.page.evaluate(SIDES) == mirrored(left), path
        me.is_accessible(f"from-the-right{path.replace('/', '-')}")
    live_practice.solve(ticket, by="administrator")


@pytest.mark.parametrize("who", ["technician2", "administrator"])
def test_german_words_which_are_longer(someone: Arrive, live_practice: Practice, who: str) -> None:
    me = someone(who, locale="de-DE")
    me.at("/")
    me.page.get_by_role("button", name="Mit Microsoft anmelden").click()
    me.page.get_by_role("button", name=me.person["upn"], exact=False).click()
    me.sees(me.page.get_by_role("heading", name="Jetzt", exact=True))
    for path in ("/", "/account", "/roles", "/approvals", "/no-such-page"):
        me.at(path)
        me.is_accessible(f"german{path.replace('/', '-')}-{who}")
    ticket = offered(live_practice, "Password reset", who)
    paths = ["/review", "/review/month", "/administration", "/administration/rules", "/administration/try"]
    for path in paths if who == "administrator" else [f"/elevate/practice/{ticket}"]:
        me.at(path)
        me.is_accessible(f"german{path.replace('/', '-')}")
    live_practice.solve(ticket, by=who)
