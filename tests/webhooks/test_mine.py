"""Now: what runs, what waits for the viewer, what was; and the account behind it."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from integration.deployment import Deployment
from integration.elevation import State
from integration.records.tables import elevations
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser, words
from tests.workers.steps import pick, wait_for

Opened = Callable[..., Browser]
NOTHING = "Nothing is active, and nothing waits for you."


@pytest.fixture
def deployment(bundled: Deployment) -> Deployment:
    return bundled


def version(page: Browser) -> str:
    return str(page.get("/now/status").get_json()["version"])


def test_nothing_is_said_to_be_nothing(browser: Opened) -> None:
    assert NOTHING in words(browser("technician").get("/"))
    assert "There are none." in words(browser("technician").get("/earlier"))


def test_a_role_that_two_tickets_hold_is_said_on_both_and_is_there_once_in_the_tenant(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    first, second = pick(desk, practice), pick(desk, practice)
    page = browser("technician")
    text = words(page.get("/"))
    assert f"also held for ticket {first};" in text
    assert f"also held for ticket {second};" in text
    assert len(practice.active_roles()) == 1
    assert "End all 2" in text

    before = version(page)
    it = desk.only(first)
    answer = page.press(f"/elevations/{it.id}/end", back_to_now="1")
    assert answer.location == "/"
    assert version(page) != before
    text = words(page.get("/"))
    assert "also held" not in text
    assert "the technician ended it" in text
    assert "End all" not in text


def test_all_is_ended_with_one_button(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    tickets = [pick(desk, practice), pick(desk, practice, category="MFA reset")]
    page = browser("technician")
    assert page.press("/now/end-all").location == "/"
    ended = {it.state for ticket in tickets for it in desk.elevations(ticket)}
    assert ended <= {State.ENDING, State.ENDED}
    others = browser("technician2")
    assert NOTHING in words(others.get("/"))


def test_all_of_one_technician_is_nothing_of_another(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    ticket = pick(desk, practice)
    browser("technician2").press("/now/end-all")
    assert desk.only(ticket).state is State.ACTIVE
    assert ticket not in browser("technician2").get("/").text


def test_the_roles_of_one_task_stand_together_with_one_button(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    pick(desk, practice, category="MFA reset")
    desk.sweep()
    text = browser("technician").get("/").text
    assert text.count('<article class="card') == 1
    assert text.count("state-active") == 2
    assert text.count("End now") == 1


def test_what_waits_for_the_viewer_stands_first_and_says_what_to_do(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    pick(desk, practice)
    waiting = practice.new_ticket()
    practice.assign(waiting, by="approver")
    desk.deliver(waiting)
    text = words(browser("technician").get("/"))
    assert text.index("Waits for you") < text.index("Look and elevate") < text.index("Running")


def test_what_ended_yesterday_is_one_page_further_and_pages_follow_each_other(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    page = browser("technician")
    page.press(f"/elevations/{desk.only(ticket).id}/end")
    wait_for(desk, timedelta(minutes=6))
    assert "Done today" in words(page.get("/"))
    assert "Earlier elevations" not in words(page.get("/"))
    with desk.deployment.records.write() as tx:
        ago = timedelta(days=2)
        tx.execute(elevations.update().values(created_at=desk.now() - ago, ended_at=desk.now() - ago))
    text = words(page.get("/"))
    assert "Done today" not in text
    assert "Earlier elevations" in text
    assert ticket in page.get("/earlier").text


def test_what_was_is_read_a_page_at_a_time_and_nothing_twice(
    desk: Desk, practice: Practice, browser: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.mine.MOST", 2)
    desk.link()
    page = browser("technician")
    tickets = []
    for _ in range(5):
        practice.assign(ticket := practice.new_ticket(), by="approver")
        desk.deliver(ticket)
        page.press(f"/elevations/{desk.only(ticket).id}/end")
        practice.assign(ticket, "technician2")
        desk.deliver(ticket)
        tickets.append(ticket)
    seen, at = [], "/earlier"
    while at:
        text = page.get(at).text
        seen += re.findall(r'<a href="/elevations/\w+">(\d+)<', text)
        older = re.search(r'href="(/earlier\?before=\w+)"', text)
        at = older[1] if older else ""
    assert seen == tickets[::-1]


def test_the_account_says_who_one_is_and_what_is_linked(desk: Desk, browser: Opened, practice: Practice) -> None:
    desk.link()
    text = words(browser("technician").get("/account"))
    for fact in ("Technician One", practice.people["technician"]["upn"], "in use", "It is in order"):
        assert fact in text, fact
