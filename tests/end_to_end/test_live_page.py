"""A page that follows what happens: it draws itself anew under whoever reads it, types in it, or sits at a keyboard."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import Practice
from tests.end_to_end.conftest import Someone
from tests.end_to_end.product import START, WEB, processes
from tests.end_to_end.test_pages import offered

pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]
ROLE = "Password Administrator"
MARK = "window.mark = 'the same document'"
PAGE_IS_THE_SAME = "window.mark === 'the same document'"


def rules(_facts: dict[str, Any]) -> str:
    return f"""
[break_glass]
roles = ["Helpdesk Administrator"]
duration = "15m"

[[rule]]
name = "password"
match = {{ category = "Password reset" }}
roles = ["{ROLE}"]
duration = "30m"
"""


@pytest.fixture
def page(someone: Arrive, live_practice: Practice) -> Someone:
    """A technician before the button of a ticket."""
    me = someone("technician")
    me.comes_to("/")
    at_button(me, live_practice)
    return me


def at_button(me: Someone, practice: Practice) -> str:
    ticket = offered(practice, "Password reset", "technician")
    me.note(ticket, "was assigned by somebody else")
    me.at(f"/elevate/practice/{ticket}")
    return ticket


def elevates(me: Someone) -> None:
    me.page.get_by_role("button", name="Elevate", exact=True).press("Enter")
    me.page.wait_for_url("**/elevations/*")
    me.page.evaluate(MARK)


def becomes(me: Someone, label: str) -> None:
    expect(me.page.locator(".badge").first).to_have_text(label)


def focused(me: Someone) -> Any:
    return me.page.evaluate("document.activeElement.textContent.trim()")


def ended(me: Someone) -> None:
    me.page.get_by_role("button", name="End now").click()
    becomes(me, "Ended")


def test_keyboard_focus_stays_and_the_news_is_spoken_and_stands_in_the_tab(page: Someone) -> None:
    elevates(page)
    page.page.locator("form[action$='/end'] button").focus()
    becomes(page, "Active")
    assert focused(page) == "End now"
    assert page.page.evaluate(PAGE_IS_THE_SAME)
    expect(page.page.locator("#said")).to_contain_text("Active until")
    expect(page.page.locator("#said")).to_contain_text("Usable since")
    expect(page.page).to_have_title(re.compile(rf"^\d+:\d\d · Active · {ROLE} for ticket \d+"))
    assert focused(page) == "End now"
    page.page.keyboard.press("Enter")
    becomes(page, "Ended")
    expect(page.page).to_have_title(re.compile(rf"^Ended · {ROLE}"))


def test_what_is_typed_stays_while_the_page_goes_on(someone: Arrive, live_practice: Practice) -> None:
    live_practice.control("/people/technician", {"app_roles": ["BreakGlass"]})
    me = someone("technician")
    me.comes_to("/break-glass")
    me.page.locator("[name=reason]").fill("The helpdesk is down, and somebody is locked out.")
    me.page.locator("main form button").last.click()
    number = me.page.locator("#number")
    number.fill("4711")
    me.page.evaluate(MARK)
    me.page.evaluate("document.querySelector('#number').setSelectionRange(1, 2)")
    me.reads("Usable since")
    expect(number).to_have_value("4711")
    expect(number).to_be_focused()
    assert me.page.evaluate(PAGE_IS_THE_SAME)
    assert me.page.evaluate("document.activeElement.selectionStart") == 1
    ended(me)


def test_what_is_unfolded_stays_and_where_the_focus_has_no_heir_the_heading_has_it(page: Someone) -> None:
    elevates(page)
    page.reads("Usable since")
    why = page.page.get_by_text("Why this role")
    why.click()
    page.page.get_by_role("button", name="15 min more").focus()
    other = page.page.context.new_page()
    other.goto(page.page.url)
    other.get_by_role("button", name="15 min more").click()
    page.reads("Not longer after all")
    assert page.page.evaluate(PAGE_IS_THE_SAME)
    assert page.page.locator("details[open]", has=why).count() == 1
    assert focused(page) == "Not longer after all"
    page.page.locator("fieldset button").first.or_(page.page.get_by_role("button", name="Not longer")).first.focus()
    other.get_by_role("button", name="End now").click()
    becomes(page, "Ended")
    assert focused(page) == ROLE
    assert page.page.evaluate(PAGE_IS_THE_SAME)


def test_an_open_page_prolongs_no_session_and_runs_no_script_that_it_read(page: Someone) -> None:
    seen: list[str] = []
    page.page.on("request", lambda request: seen.append(request.url))

    def with_script(route: Route) -> None:
        answer = route.fetch()
        text = answer.text().replace("<h1", "<script>window.ran = 1</script><h1", 1)
        route.fulfill(response=answer, body=text)

    page.page.route("**/elevations/*?by-itself", with_script)
    elevates(page)
    here = page.page.url
    seen.clear()
    becomes(page, "Active")
    page.reads("Usable since")
    pages = {it for it in seen if "/static/" not in it}
    assert pages == {f"{here}/status", f"{here}?by-itself"}
    assert page.page.evaluate("window.ran") is None
    ended(page)


def test_a_line_that_is_away_is_said_beside_the_countdown_until_it_is_back(page: Someone) -> None:
    elevates(page)
    page.reads("Usable since")
    page.page.evaluate(
        "() => { window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('away')); }"
    )
    away = page.page.locator(".state #away")
    expect(away).to_have_text("No connection: what stands here may be out of date.")
    expect(page.page.locator("#said")).to_have_text("No connection: what stands here may be out of date.")
    expect(page.page.locator("#countdown")).to_have_text(re.compile(r"\d+:\d\d left"))
    page.is_accessible("live-away")
    page.page.evaluate("() => { window.fetch = window.real; }")
    expect(away).to_have_text("")
    ended(page)


def test_the_page_goes_on_to_the_elevation_that_follows(page: Someone, live_practice: Practice) -> None:
    elevates(page)
    becomes(page, "Active")
    page.reads("Usable since")
    second = page.page.context.new_page()
    ticket = offered(live_practice, "Password reset", "technician")
    page.note(ticket, "was assigned by somebody else")
    second.goto(f"{page.stage.public_url}/elevate/practice/{ticket}")
    second.get_by_role("button", name="Elevate", exact=True).click()
    expect(second.locator(".badge").first).to_have_text("Active")
    follower = second.url

    def followed(route: Route) -> None:
        answer = route.fetch()
        next_one = f'id="followed" data-next="{follower}?by-itself"'
        route.fulfill(response=answer, body=answer.text().replace('id="followed"', next_one, 1))

    page.page.route(f"{page.page.url}?by-itself", followed)
    first = second.context.new_page()
    first.goto(page.page.url)
    first.get_by_role("button", name="End now").click()
    expect(page.page).to_have_url(follower)
    expect(page.page).to_have_title(re.compile(rf"^\d+:\d\d · Active · .* for ticket {ticket}"))
    assert page.page.evaluate(PAGE_IS_THE_SAME)
    second.reload()
    second.get_by_role("button", name="End now").click()
    becomes(page, "Ended")


def elevated_elsewhere(page: Someone) -> Page:
    """Another tab, in which the role of the ticket is active; this one shows the page Now."""
    other = page.page.context.new_page()
    other.goto(page.page.url)
    page.at("/")
    page.page.evaluate(MARK)
    other.get_by_role("button", name="Elevate", exact=True).click()
    expect(other.locator(".badge").first).to_have_text("Active")
    return other


def test_the_page_now_goes_on_in_place(page: Someone) -> None:
    other = elevated_elsewhere(page)
    page.sees(page.page.get_by_role("heading", name="Running"))
    expect(page.page.locator("#said")).to_have_text(re.compile(rf"^Active: {ROLE}, Ticket \d+\.$"))
    page.page.locator("article a[href*='/elevations/']").first.focus()
    other.get_by_role("button", name="End now").click()
    expect(page.page.get_by_role("heading", name="Running")).to_have_count(0)
    page.sees(page.page.get_by_role("heading", name="Done today"))
    expect(page.page.locator("#said")).to_have_text(re.compile(rf"^Ended: {ROLE}, Ticket \d+\.$"))
    assert page.page.evaluate(PAGE_IS_THE_SAME)
    assert page.page.evaluate("document.activeElement !== document.body")


def test_twenty_tabs_go_on_over_a_restart_of_the_server(page: Someone) -> None:
    elevates(page)
    becomes(page, "Active")
    page.reads("Usable since")
    tabs = [page.page.context.new_page() for _ in range(20)]
    answers: list[int] = []
    for tab in tabs:
        tab.on("response", lambda answer: answers.append(answer.status))
        tab.goto(page.page.url)
        tab.evaluate(MARK)
    page.page.goto("about:blank")  # its console is watched, and a browser tells there of each line that is away
    web = [pid for pid, line in processes(page.stage.directory).items() if WEB in line]
    assert web
    for pid in web:
        os.kill(pid, signal.SIGKILL)  # `run` starts it again
    with tabs[-1].expect_response("**/status", timeout=START * 1000):
        pass
    tabs[0].get_by_role("button", name="End now").click()
    for tab in tabs:
        expect(tab.locator(".badge").first).to_have_text("Ended")
    assert all(tab.evaluate(PAGE_IS_THE_SAME) for tab in tabs[1:])
    assert set(answers) <= {200, 303, 304}
    for tab in tabs:
        tab.close()


def drawn_with(more: str) -> Callable[[Route], None]:
    """The page as it is, with something more in it, and a status that says that it changed."""

    def answer(route: Route) -> None:
        if "/status" in route.request.url:
            route.fulfill(status=200, json={"version": "another", "open": True})
            return
        real = route.fetch()
        text = real.text().replace("<h1", f"{more}<h1", 1)
        route.fulfill(response=real, body=re.sub(r'data-version="[^"]*"', 'data-version="another"', text))

    return answer


def test_what_is_told_already_is_not_told_again_and_the_same_words_of_another_thing_are(page: Someone) -> None:
    other = elevated_elsewhere(page)
    page.sees(page.page.get_by_role("heading", name="Running"))
    other.get_by_role("button", name="End now").click()
    said = page.page.locator("#said")
    expect(said).to_have_text(re.compile(rf"^Ended: {ROLE}, Ticket \d+\.$"))
    words = said.inner_text()
    again = f'<p data-told="another ended" data-spoken="{words}">Once more</p>'
    page.page.evaluate("document.getElementById('said').textContent = ''")
    page.page.route(re.compile(r"/(now/status|\?by-itself)"), drawn_with(again))
    page.reads("Once more")
    expect(said).to_have_text(words)
    page.page.unroute_all()


def test_a_sentence_is_not_told_again_because_its_time_is_written_otherwise(page: Someone) -> None:
    elevates(page)
    page.reads("Usable since")
    page.page.reload()
    page.reads("Usable since")
    page.page.route(re.compile(r"/elevations/\w+(/status|\?by-itself)"), drawn_with("<p data-spoken>News.</p>"))
    expect(page.page.locator("#said")).to_have_text("News.")
    page.page.unroute_all()
    ended(page)


def test_what_an_add_on_puts_into_the_page_does_not_load_it_anew(page: Someone) -> None:
    elevates(page)
    page.page.evaluate(
        "() => { const it = document.createElement('link'); it.rel = 'stylesheet'; "
        "it.href = location.origin + '/static/elevate.css'; "
        "document.head.append(it); }"
    )
    becomes(page, "Active")
    assert page.page.evaluate(PAGE_IS_THE_SAME)
    ended(page)


def not_found(route: Route) -> None:
    route.fulfill(status=404, body="no")


def another_person(route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, body=answer.text().replace('title="technician@', 'title="somebody@'))


def another_build(route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, body=answer.text().replace("live.js?v=", "live.js?v=0"))


@pytest.mark.parametrize("answered", [not_found, another_person, another_build])
def test_a_page_that_cannot_be_drawn_anew_is_loaded_anew(page: Someone, answered: Callable[[Route], None]) -> None:
    other = elevated_elsewhere(page)
    page.sees(page.page.get_by_role("heading", name="Running"))
    page.page.route("**/?by-itself", answered)
    with page.page.expect_event("load"):
        other.get_by_role("button", name="End now").click()
    page.page.unroute("**/?by-itself")
