"""My roles in a real browser, against the whole running product with rules for all three kinds."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.conftest import Practice
from tests.end_to_end import test_tenant_answers
from tests.end_to_end.conftest import Someone

pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]
ROLE = "Password Administrator"
rules = test_tenant_answers.rules  # of this file's stage


def rows(person: Someone, count: int) -> None:
    expect(person.page.locator("tbody tr")).to_have_count(count)


def test_a_technician_finds_a_role_picks_a_ticket_and_sees_it_active(someone: Arrive, live_practice: Practice) -> None:
    """From the menu to an active role, with nothing typed but the filter; each state fits a phone and both themes."""
    live_practice.control("/policies/Reports Reader", {"approval_required": True, "maximum_duration": "PT4H"})
    eligible = [
        ROLE,
        {"role": "Reports Reader", "end": "2027-01-31T00:00:00Z"},
        {"role": "Authentication Administrator", "scope": "unit:berlin"},
        "Helpdesk Administrator",
        "Cloud Device Administrator",
    ]
    live_practice.control("/units", {"berlin": ["requester"]})
    live_practice.control("/people/technician", {"eligible": eligible})
    ticket = live_practice.new_ticket("Password reset", subject="Cannot sign in after the holidays")
    live_practice.assign(ticket, "technician", by="approver")
    me = someone("technician")
    me.comes_to("/")
    me.page.get_by_role("link", name="My roles").click()
    # The first visit: read while the page waits, and shown by itself.
    rows(me, 9)
    expect(me.page.get_by_text("not read yet")).to_have_count(0)
    me.reads("One administrative unit")
    me.reads("approval")
    me.is_accessible("roles-full")

    me.page.get_by_role("searchbox").fill("bitlocker keys")
    me.page.keyboard.press("Enter")
    rows(me, 2)
    assert me.page.url.endswith("/roles?q=bitlocker+keys")
    me.reads("2 of 9")
    me.is_accessible("roles-filtered")
    me.page.reload()
    rows(me, 2)

    me.page.get_by_role("searchbox").fill("nothing like that")
    me.page.get_by_role("button", name="Filter").click()
    me.reads("No role of yours holds")
    me.is_accessible("roles-no-match")
    me.page.get_by_role("main").get_by_role("link", name="Show all").first.click()
    rows(me, 9)

    me.page.get_by_role("link", name=f"Elevate for a ticket: {ROLE}").click()
    me.sees(me.page.get_by_role("heading", name=ROLE))
    me.is_accessible("roles-ticket")
    me.page.get_by_label("Ticket number").fill("no such number!")
    me.page.get_by_role("button", name="Go on").click()
    me.reads("That is no ticket number of this helpdesk")
    me.is_accessible("roles-ticket-wrong")
    me.page.get_by_label("Ticket number").fill(ticket)
    me.page.get_by_role("button", name="Go on").click()
    me.page.get_by_role("button", name="Elevate").click()
    expect(me.page.locator(".badge")).to_have_text("Active")

    # Linked by that click: now their tickets are there to be picked.
    me.at("/roles")
    expect(me.page.get_by_role("link", name=f"for ticket {ticket}")).to_be_visible()
    me.is_accessible("roles-active")
    me.page.get_by_role("link", name="Elevate for a ticket: Reports Reader").click()
    me.sees(me.page.get_by_role("link", name=f"{ticket} Cannot sign in after the holidays"))
    me.is_accessible("roles-ticket-pick")
    me.at("/roles")
    me.page.get_by_role("link", name=f"for ticket {ticket}").click()
    me.page.get_by_role("button", name="End now").click()
    expect(me.page.locator(".badge")).to_have_text("Ended")
    me.at("/roles")
    rows(me, 9)
    expect(me.page.get_by_role("link", name=f"for ticket {ticket}")).to_have_count(0)


def test_where_the_rules_give_another_role_the_tickets_page_says_so(someone: Arrive, live_practice: Practice) -> None:
    ticket = live_practice.new_ticket("Password reset")
    live_practice.assign(ticket, "technician", by="approver")
    me = someone("technician")
    me.comes_to("/roles")
    me.page.get_by_role("link", name="Elevate for a ticket: Helpdesk Administrator").click()
    me.page.get_by_label("Ticket number").fill(ticket)
    me.page.get_by_role("button", name="Go on").click()
    me.reads("You came for Helpdesk Administrator. For this ticket the rules give another role")
    me.sees(me.page.get_by_role("heading", name=ROLE))
    me.is_accessible("roles-another")


def test_who_is_eligible_for_nothing_is_told_whom_to_ask(someone: Arrive) -> None:
    me = someone("ineligible")
    me.comes_to("/roles")
    me.reads("You are not eligible for any role.")
    me.reads("the administrator of this practice desk")
    me.is_accessible("roles-empty")


def test_azure_that_is_slow_or_away_hides_nothing_else(someone: Arrive, live_practice: Practice) -> None:
    live_practice.control("/faults", {"match": {"side": "arm"}, "kind": "slow_answer", "seconds": 9, "times": 1})
    fault = {"match": {"side": "arm"}, "kind": "status", "status": 503, "times": 9}
    live_practice.control("/faults", fault)
    me = someone("technician2")
    me.comes_to("/roles")
    me.reads("Azure resources: being read. This page goes on by itself.")
    rows(me, 1)
    me.is_accessible("roles-being-read")  # the page stays as it is until Azure has answered
    me.reads("Azure resources could not be read")
    rows(me, 1)
    me.is_accessible("roles-one-source-away")


def test_it_needs_no_javascript(someone: Arrive, live_practice: Practice) -> None:
    me = someone("approver", java_script_enabled=False)
    live_practice.control("/people/approver", {"eligible": [ROLE, "Reports Reader"]})
    me.at("/roles")
    me.page.get_by_role("button", name="Sign in with Microsoft").click()
    me.page.get_by_role("button", name=me.person["upn"], exact=False).click()
    rows(me, 2)  # the page reloads itself
    me.page.get_by_role("searchbox").fill("reports")
    me.page.get_by_role("button", name="Filter").click()
    rows(me, 1)
    me.page.get_by_role("link", name="Elevate for a ticket").click()
    me.page.get_by_label("Ticket number").fill("4821")
    me.page.get_by_role("button", name="Go on").click()
    me.reads("not a ticket of yours")
