"""Our app in Zendesk's double: the frame shows who Zendesk proves to look how their role stands, and opens our page."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.conftest import Practice
from tests.end_to_end.conftest import Someone
from tests.end_to_end.framed import before_ticket, signs_in
from tests.end_to_end.test_live_page import rules

__all__ = ["rules"]
pytestmark = pytest.mark.browser
HELPDESK = "zendesk"
FRAME = "iframe[title='Ticket Elevate']"
Arrive = Callable[..., Someone]


def test_press_sign_in_and_see_it_beside_the_ticket(someone: Arrive, live_practice: Practice) -> None:
    me, framed = someone("technician"), []

    def heard(request: Request) -> None:
        if "/embed/" in request.url:
            framed.append(request)

    me.page.context.on("request", heard)
    at = before_ticket(me, live_practice, "zendesk", FRAME)
    expect(at.ours.locator("#number")).to_have_text(f"Ticket {at.ticket}")
    at.shows("Ready to start")  # before any sign-in with us: Zendesk signed who looks
    window = at.presses()
    signs_in(window, me)
    window.get_by_role("button", name="Elevate", exact=True).click()
    at.shows("Active")
    at.shows("Password Administrator")
    window.close()
    again = at.presses()
    expect(again.get_by_role("heading", name="Password Administrator")).to_be_visible()
    again.get_by_role("button", name="End now").click()
    at.shows("Ended")
    assert len(framed) > 2
    assert [it.url for it in framed if "cookie" in it.all_headers()] == []
    assert [it.url for it in framed if "token=" in it.url] == []


def test_a_colleague_sees_nothing_of_it(someone: Arrive, live_practice: Practice) -> None:
    at = before_ticket(someone("technician"), live_practice, "zendesk", FRAME)
    at.shows("Ready to start")
    colleague = someone("technician2")
    colleague.page.goto(at.me.page.url.replace("/tickets/", "/sign-in?next=/tickets/"))
    colleague.page.get_by_label("Who are you?").select_option(colleague.person["helpdesk_account"])
    colleague.page.get_by_role("button", name="Sign in").click()
    expect(colleague.page.frame_locator(FRAME).locator("#status")).to_contain_text("No role of yours")


def test_no_other_site_may_frame_it(browser: Browser, live_practice: Practice, someone: Arrive) -> None:
    me = someone("technician")
    context = browser.new_context()  # one whose console may say that it refused
    page = context.new_page()
    address = f"{me.stage.public_url}/embed/practice/4821"
    page.route("http://elsewhere.example/", lambda route: route.fulfill(body=f'<iframe src="{address}"></iframe>'))
    page.goto("http://elsewhere.example/")
    frame = page.frames[1]
    frame.wait_for_load_state()
    assert frame.url.startswith("chrome-error:")
    assert frame.locator("#elevate").count() == 0
    context.close()
