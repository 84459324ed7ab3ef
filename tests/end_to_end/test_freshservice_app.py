"""Our app in Freshservice's double: nobody proves who looks, so the window that the button opens tells the frame."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.conftest import Practice
from tests.end_to_end.conftest import Someone
from tests.end_to_end.framed import before_ticket, signs_in
from tests.end_to_end.test_live_page import rules

__all__ = ["rules"]
pytestmark = pytest.mark.browser
HELPDESK = "freshservice"
FRAMES = ("iframe[title='Ticket Elevate']", "#elevate")
Arrive = Callable[..., Someone]


def test_the_frame_is_told_by_the_window_and_forgets_with_the_sign_out(
    someone: Arrive, live_practice: Practice
) -> None:
    me = someone("technician")
    at = before_ticket(me, live_practice, "freshservice", *FRAMES)
    expect(at.ours.locator("#number")).to_have_text(f"Ticket {at.ticket}")
    at.shows("It opens a window of its own")
    window = at.presses()
    signs_in(window, me)
    at.shows("No role of yours")
    window.get_by_role("button", name="Elevate", exact=True).click()
    at.shows("Active")
    at.shows("Password Administrator")
    window.get_by_role("button", name="Sign out").click()
    expect(at.ours.locator("#status")).to_be_empty()


def test_a_sign_in_that_forgets_who_opened_it_costs_one_more_press(someone: Arrive, live_practice: Practice) -> None:
    """Microsoft's pages may cut the window off from the frame. The button works all the same."""
    me = someone("technician")

    def cuts_off(route: Route) -> None:
        answer = route.fetch(max_redirects=0)
        route.fulfill(response=answer, headers={**answer.headers, "Cross-Origin-Opener-Policy": "same-origin"})

    me.page.context.route(f"{me.stage.facts['practice_url']}/**", cuts_off)
    at = before_ticket(me, live_practice, "freshservice", *FRAMES)
    window = at.presses()
    signs_in(window, me)
    window.get_by_role("button", name="Elevate", exact=True).click()
    expect(window.locator(".badge").first).to_have_text("Active")
    assert window.evaluate("window.opener") is None
    at.shows("It opens a window of its own")
    at.presses()
    at.shows("Active")


def test_who_is_signed_in_sees_it_with_the_first_press(someone: Arrive, live_practice: Practice) -> None:
    me = someone("technician2")
    me.comes_to("/")
    at = before_ticket(me, live_practice, "freshservice", *FRAMES)
    at.presses()
    at.shows("No role of yours")


def test_a_window_that_a_stranger_opened_is_told_nothing(someone: Arrive, live_practice: Practice) -> None:
    me = someone("technician")
    me.comes_to("/")
    at = before_ticket(me, live_practice, "freshservice", *FRAMES)
    page = me.page.context.new_page()
    told = "window.told = []; addEventListener('message', (event) => told.push(event.data))"
    page.route(
        "http://elsewhere.example/",
        lambda route: route.fulfill(body=f"<script>{told}</script>", content_type="text/html"),
    )
    page.goto("http://elsewhere.example/")
    address = f"{me.stage.public_url}/elevate/practice/{at.ticket}"
    with page.context.expect_page() as opened:
        page.evaluate("address => { window.opened = open(address) }", address)
    expect(opened.value.get_by_role("button", name="Elevate", exact=True)).to_be_visible()
    assert opened.value.evaluate("window.opener") is None
    assert page.evaluate("told") == []


def test_the_helpdesks_page_does_not_jump_to_the_frame_that_has_the_focus(
    someone: Arrive, live_practice: Practice
) -> None:
    me = someone("technician")
    me.comes_to("/")
    at = before_ticket(me, live_practice, "freshservice", *FRAMES)
    window = at.presses()
    window.get_by_role("button", name="Elevate", exact=True).click()
    at.shows("Active")
    me.page.bring_to_front()
    role = at.ours.locator("#status a").first
    role.focus()
    me.page.evaluate("document.body.style.paddingBottom = '3000px'")  # the ticket has a long history
    me.page.evaluate("scrollTo(0, 2000)")
    role.evaluate("it => { it.dataset.old = 'yes' }")
    window.get_by_role("button", name="End now").click()
    at.shows("Ended")
    expect(role).not_to_have_attribute("data-old", "yes")  # drawn anew
    expect(role).to_be_focused()
    assert me.page.evaluate("scrollY") == 2000


def test_the_page_within_the_frame_is_accessible(someone: Arrive, live_practice: Practice) -> None:
    me = someone("technician")
    me.comes_to("/")
    at = before_ticket(me, live_practice, "freshservice", *FRAMES)
    me.at(f"/embed/practice/{at.ticket}")
    me.is_accessible("embed")
    with me.page.expect_popup() as opened:
        me.page.get_by_role("link", name="Elevate").click()
    opened.value.get_by_role("button", name="Elevate", exact=True).click()
    expect(me.page.locator("#status")).to_contain_text("Active")
    me.is_accessible("embed-active")


def test_the_keyboard_stays_where_it_was(someone: Arrive, live_practice: Practice) -> None:
    me = someone("technician")
    me.comes_to("/")
    at = before_ticket(me, live_practice, "freshservice", *FRAMES)
    me.at(f"/embed/practice/{at.ticket}")
    with me.page.expect_popup() as opened:
        me.page.get_by_role("link", name="Elevate").click()
    opened.value.get_by_role("button", name="Elevate", exact=True).click()
    expect(me.page.locator("#status")).to_contain_text("Active")
    link = me.page.locator("#status a")
    link.focus()
    opened.value.get_by_role("button", name="End now").first.click()
    expect(me.page.locator("#status")).not_to_contain_text("Active")
    expect(link).to_be_focused()
    opened.value.get_by_role("button", name="Sign out").click()
    expect(me.page.locator("#status")).to_be_empty()
    expect(me.page.get_by_role("link", name="Elevate")).to_be_focused()


def test_the_keyboard_is_not_taken_from_the_helpdesks_page(someone: Arrive, live_practice: Practice) -> None:
    me = someone("technician")
    me.comes_to("/")
    at = before_ticket(me, live_practice, "freshservice", *FRAMES)
    window = at.presses()
    window.get_by_role("button", name="Elevate", exact=True).click()
    at.shows("Active")
    at.ours.locator("#status a").focus()
    theirs = me.page.locator("a[href], button, textarea").first
    theirs.focus()
    window.get_by_role("button", name="End now").first.click()
    expect(at.ours.locator("#status")).not_to_contain_text("Active")
    expect(theirs).to_be_focused()


def test_without_a_script_the_button_is_a_link(someone: Arrive, live_practice: Practice) -> None:
    me = someone("technician", java_script_enabled=False)
    me.at("/embed/practice/4821")
    with me.page.context.expect_page() as opened:
        me.page.get_by_role("link", name="Elevate").click()
    expect(opened.value.get_by_role("button", name="Sign in with Microsoft")).to_be_visible()
    assert opened.value.url == f"{me.stage.public_url}/elevate/practice/4821"
