"""The story in front of people: every page of ours in a real browser, against the whole running product."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.conftest import Practice, until
from tests.end_to_end.conftest import Someone

pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]
COUNTDOWN = re.compile(r"^\d+:\d\d")


def offered(practice: Practice, category: str, to: str, subject: str = "Cannot sign in") -> str:
    """A ticket that somebody else gave to this technician: nothing starts before they press the button."""
    ticket = practice.new_ticket(category, subject=subject)
    practice.assign(ticket, to, by="approver")
    return ticket


def elevate(person: Someone, ticket: str) -> None:
    """From the ticket's page to an active role: the Elevate button there, and the one on our page."""
    person.at_desk(ticket)
    person.page.get_by_role("link", name="Elevate").click()
    person.sees(person.page.get_by_role("button", name=re.compile("Elevate|Sign in with Microsoft")))
    if person.page.get_by_role("button", name="Sign in with Microsoft").is_visible():
        person.signs_in()
    person.page.get_by_role("button", name="Elevate").click()
    expect(person.page.locator(".badge")).to_have_text("Active")


def end_now(person: Someone, ticket: str) -> None:
    person.page.get_by_role("button", name="End now").click()
    expect(person.page.locator(".badge")).to_have_text("Ended")
    person.note(ticket, "was given back")


def test_a_technician_takes_a_ticket_signs_in_once_and_the_page_becomes_active_by_itself(
    someone: Arrive, live_practice: Practice
) -> None:
    ticket = live_practice.new_ticket("Password reset")
    me = someone("technician")
    me.at_desk(ticket)
    me.page.get_by_role("button", name="Take").click()
    me.page.goto(me.link(me.note(ticket, "sign in once at")))
    me.signs_in()

    expect(me.page.locator(".badge")).to_have_text("Active")
    me.sees(me.page.get_by_role("heading", name="Password Administrator"))
    expect(me.page).to_have_title(COUNTDOWN)
    expect(me.page.locator("#countdown")).to_have_text(re.compile(r"\d+:\d\d left"))
    assert len(live_practice.active_roles()) == 1

    end_now(me, ticket)
    me.page.get_by_role("link", name=f"Ticket {ticket}").click()
    expect(me.page.locator(".note", has_text="was given back")).to_be_visible()
    until(lambda: not live_practice.active_roles(), "the role is gone from the tenant")


def test_the_elevate_button_on_the_ticket_leads_to_an_active_role_in_two_clicks(
    someone: Arrive, live_practice: Practice
) -> None:
    ticket = offered(live_practice, "BitLocker key", "technician", "Asks for the recovery key")
    me = someone("technician")
    me.note(ticket, "was assigned by somebody else")
    me.comes_to("/")
    me.at_desk(ticket)
    me.page.get_by_role("link", name="Elevate").click()

    me.sees(me.page.get_by_role("heading", name="Cloud Device Administrator"))
    me.reads("Asks for the recovery key")
    me.reads(f"Ticket {ticket}")
    me.reads("Use of this role is monitored")
    me.page.get_by_text("Why this role").click()
    me.reads("Justification")
    me.page.get_by_text("15 min").click()
    me.page.get_by_role("button", name="Elevate").click()

    expect(me.page.locator(".badge")).to_have_text("Active")
    (asked,) = [r for r in live_practice.activation_requests() if r["ticketInfo"]["ticketNumber"] == ticket]
    assert asked["scheduleInfo"]["expiration"]["duration"] == "PT15M"
    end_now(me, ticket)


def test_another_technician_who_opens_the_link_learns_what_to_do_and_nothing_else(
    someone: Arrive, live_practice: Practice
) -> None:
    """Threat 20."""
    ticket = offered(live_practice, "MFA reset", "technician", "A subject that is nobody's business")
    me, other = someone("technician"), someone("technician2")
    me.comes_to("/")
    link = me.link(me.note(ticket, "was assigned by somebody else"))
    other.page.goto(link)
    other.signs_in()
    other.reads("it belongs to another technician")
    other.at(f"/elevate/practice/{ticket}")
    other.reads(re.compile("not a ticket of yours|another technician's ticket"))
    for fact in ("nobody's business", "Technician One", "technician@", "Authentication Administrator"):
        expect(other.page.locator("main")).not_to_contain_text(fact)
    assert not live_practice.active_roles("technician2")


def test_a_requester_finds_no_button_on_the_ticket_and_nothing_behind_the_link(
    someone: Arrive, live_practice: Practice
) -> None:
    ticket = offered(live_practice, "MFA reset", "technician")
    asker = someone("requester")
    asker.at_desk(ticket)
    expect(asker.page.get_by_role("link", name="Elevate")).to_have_count(0)
    asker.comes_to(f"/elevate/practice/{ticket}")
    asker.reads("not a ticket of yours")
    asker.at("/review")
    asker.reads("There is nothing here for you")


@pytest.mark.parametrize(
    ("who", "category", "by", "words"),
    [
        ("ineligible", "Password reset", "requester", "eligible"),
        ("ineligible", "Password reset", "ineligible", "You are a requester of ticket"),
        ("ineligible", "Office plants", "requester", "[Nn]o rule"),
    ],
)
def test_a_refusal_says_why_and_what_was_looked_at_and_whom_to_ask(
    someone: Arrive, live_practice: Practice, who: str, category: str, by: str, words: str
) -> None:
    """Threat 9 for the ticket of one's own."""
    ticket = live_practice.new_ticket(category, by=by)
    live_practice.assign(ticket, who, by="approver")
    me = someone(who)
    me.comes_to(f"/elevate/practice/{ticket}")
    me.sees(me.page.get_by_role("heading", name="No role for this ticket"))
    me.reads(re.compile(words))
    me.reads("the administrator of this practice desk")
    expect(me.page.get_by_role("button", name="Elevate")).to_have_count(0)


def test_a_solved_ticket_says_so_and_leads_back_to_it(someone: Arrive, live_practice: Practice) -> None:
    ticket = offered(live_practice, "MFA reset", "technician")
    live_practice.solve(ticket)
    me = someone("technician")
    me.at_desk(ticket)
    me.comes_to(f"/elevate/practice/{ticket}")
    me.reads("This ticket is solved")
    me.page.get_by_role("link", name=f"Back to ticket {ticket}").click()
    expect(me.page).to_have_url(re.compile(f"/tickets/{ticket}$"))


def fits_a_phone(person: Someone) -> None:
    person.page.set_viewport_size({"width": 360, "height": 700})
    assert person.page.evaluate("document.documentElement.scrollWidth") == 360, person.page.url
    person.page.set_viewport_size({"width": 1280, "height": 800})


def test_a_technician_sees_what_the_button_links_unlinks_it_and_forgets_the_sign_in(
    someone: Arrive, live_practice: Practice
) -> None:
    """Threat 11. Each page of it fits a phone."""
    me = someone("technician2")
    me.comes_to("/account")
    if me.page.get_by_role("button", name="Unlink").is_visible():
        me.page.get_by_role("button", name="Unlink").click()
    me.reads("No helpdesk account is linked to you")
    ticket = offered(live_practice, "MFA reset", "technician2")
    me.at(f"/elevate/practice/{ticket}")
    me.reads("Elevate also links your account in practice")
    me.page.get_by_text("Why this role").click()
    fits_a_phone(me)
    me.page.get_by_role("button", name="Elevate").click()
    expect(me.page.locator(".badge")).to_have_text("Active")
    fits_a_phone(me)

    me.at("/account")
    me.reads("technician2@practice.example")
    fits_a_phone(me)
    me.page.get_by_role("button", name="Unlink").click()
    me.reads("No helpdesk account is linked to you")
    me.at("/")
    card = me.page.get_by_role("article", name=f"Ticket {ticket}")
    card.get_by_role("link", name="Authentication Administrator").click()
    end_now(me, ticket)
    me.at("/account")
    me.page.get_by_role("button", name="Forget my sign-in").click()
    me.reads("Nothing was revoked at Entra")
    me.at("/account")
    expect(me.page.get_by_role("button", name="Forget my sign-in")).to_have_count(0)


def test_a_live_link_is_replaced_on_a_page_that_names_both_accounts(someone: Arrive, live_practice: Practice) -> None:
    """Threats 10 and 11."""
    ticket = offered(live_practice, "MFA reset", "ineligible")
    me, other = someone("ineligible"), someone("auditor")
    taken = live_practice.new_ticket("Password reset")
    live_practice.assign(taken, "ineligible")
    me.page.goto(me.link(me.note(taken, "sign in once at")))
    me.signs_in()
    expect(me.page.locator(".badge")).to_have_text("Refused by the rules")
    live_practice.control("/people/ineligible", {"helpdesk_mail": other.person["mail"]})
    try:
        other.comes_to(f"/elevate/practice/{ticket}")
        other.sees(other.page.get_by_role("heading", name="Replace a link"))
        other.reads(f"{other.person['mail']} in practice")
        other.reads(f"{me.person['mail']} in practice, linked to {me.person['name']}")
        fits_a_phone(other)
        other.page.get_by_role("button", name="Replace the link").click()
        other.sees(other.page.get_by_role("heading", name="No role for this ticket"))
        me.at("/account")
        me.reads("No helpdesk account is linked to you")
    finally:
        live_practice.control("/people/ineligible", {"helpdesk_mail": ""})


def test_a_tenant_that_sends_people_on_to_another_host_can_be_signed_in_to(
    someone: Arrive, live_practice: Practice
) -> None:
    """Chromium holds each redirect that follows a form against form-action; a federated tenant's is none of ours."""
    me = someone("technician")
    federated = f"{live_practice.facts['helpdesk_url']}/sign-in"
    me.page.route("**/oauth2/v2.0/authorize*", lambda route: route.fulfill(status=302, headers={"Location": federated}))
    me.at("/")
    me.page.get_by_role("button", name="Sign in with Microsoft").click()
    me.sees(me.page.get_by_label("Who are you?"))


def test_signing_out_ends_the_session_on_every_page(someone: Arrive) -> None:
    me = someone("auditor")
    me.comes_to("/review")
    me.page.get_by_role("button", name="Sign out").click()
    me.reads("You are signed out")
    me.at("/review")
    me.sees(me.page.get_by_role("button", name="Sign in with Microsoft"))


def test_the_story_needs_no_javascript(someone: Arrive, live_practice: Practice) -> None:
    ticket = live_practice.new_ticket("Password reset")
    me = someone("technician2", java_script_enabled=False)
    me.at_desk(ticket)
    me.page.get_by_role("button", name="Take").click()
    me.page.goto(me.link(me.note(ticket, "sign in once at")))
    me.page.get_by_role("button", name="Sign in with Microsoft").click()
    me.page.get_by_role("button", name=me.person["upn"], exact=False).click()
    expect(me.page.locator(".badge")).to_have_text("Active")  # the page reloads itself
    me.reads("Authentication Administrator")
    end_now(me, ticket)
