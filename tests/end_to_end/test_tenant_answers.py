"""What a tenant can answer, in front of people: each in a real browser, against the whole running product."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import expect

from tests.conftest import Practice, until
from tests.end_to_end.conftest import Someone
from tests.workers.steps import fault

pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]
PASSWORD, MFA, DEVICE = "Password Administrator", "Authentication Administrator", "Cloud Device Administrator"
REASON = "The helpdesk is down and a director is locked out."


def rules(facts: dict[str, Any]) -> str:
    person = next(p for p in facts["people"] if p["key"] == "technician")
    group, azure = person["eligible_groups"][0], person["eligible_azure"][0]
    named = f'name = "{group["group"]}"'
    return f"""
[break_glass]
roles = ["Helpdesk Administrator"]
duration = "15m"

[[rule]]
name = "Password"
match = {{ category = "Password reset" }}
roles = ["{PASSWORD}"]
duration = "30m"

[[rule]]
name = "MFA"
match = {{ category = "MFA reset" }}
roles = ["{MFA}"]
duration = "30m"

[[rule]]
name = "Device"
match = {{ category = "BitLocker key" }}
roles = ["{DEVICE}"]
duration = "30m"

[[rule]]
name = "Both"
match = {{ category = "Investigation" }}
roles = ["Reports Reader", "Helpdesk Administrator"]
bundle = "all"
duration = "30m"

[[rule]]
name = "Group"
match = {{ category = "Mailbox" }}
roles = [{{ group = "{group["groupId"]}", access = "member", {named} }}]
duration = "30m"

[[rule]]
name = "Azure"
match = {{ category = "Server" }}
roles = [{{ azure_role = "{azure["roleDefinitionId"]}", scope = "{azure["scope"]}" }}]
duration = "30m"

[[rule]]
name = "Watching"
match = {{ category = "Unlock" }}
roles = ["{PASSWORD}"]
mode = "watch"
"""


@pytest.fixture(autouse=True)
def plain_policies(live_practice: Practice) -> Iterator[None]:
    yield
    plain = {"approval_required": False, "authentication_context": None, "maximum_duration": "PT8H"}
    for role in (PASSWORD, MFA, DEVICE):
        live_practice.control(f"/policies/{role}", {**plain, "enabled_rules": ["Justification", "Ticketing"]})
    requests.delete(f"{live_practice.facts['practice_url']}/_practice/faults", timeout=10).raise_for_status()
    live_practice.control("/people/technician", {"standing": [], "app_roles": []})


@pytest.fixture
def me(someone: Arrive) -> Someone:
    """The technician, signed in, linked by the first ticket of this module."""
    person = someone("technician")
    person.comes_to("/")
    return person


def picked(me: Someone, practice: Practice, category: str) -> str:
    """A ticket that the technician takes; they are linked by the first one, and come to its page."""
    ticket = practice.new_ticket(category)
    practice.assign(ticket)
    return ticket


def opens(me: Someone, ticket: str) -> None:
    """The elevation's page, by way of the Elevate page of its ticket."""
    me.at(f"/elevate/practice/{ticket}")


def badge(me: Someone, text: str) -> None:
    expect(me.page.locator(".badge.state-active, .badge").first).to_have_text(text)


def solves(me: Someone, practice: Practice, ticket: str) -> None:
    practice.solve(ticket)
    me.note(ticket, "was given back")


def first(me: Someone, practice: Practice) -> None:
    """The first pick links the accounts."""
    ticket = picked(me, practice, "Password reset")
    note = until(lambda: next(iter(practice.notes(ticket)), None), "a note", patience=30)
    if "sign in once at" in note:
        me.page.goto(me.link(note))
        me.page.get_by_role("button", name="Sign in with Microsoft").click()
        me.page.get_by_role("button", name=me.person["upn"], exact=False).click()
    me.note(ticket, "is active until")
    opens(me, ticket)
    badge(me, "Active")
    expect(me.page.locator("main")).to_contain_text("Usable since")
    me.note(ticket, "is usable since")
    me.sees(me.page.get_by_role("group", name="I need longer"))
    me.page.get_by_role("button", name="30 min more").click()
    me.reads("You need longer")
    me.note(ticket, "is asked for again at once")
    me.page.get_by_role("button", name="Not longer after all").click()
    me.sees(me.page.get_by_role("button", name="30 min more"))
    solves(me, practice, ticket)


def test_the_page_says_since_when_it_is_usable_and_takes_a_wish_for_more_time(
    me: Someone, live_practice: Practice
) -> None:
    first(me, live_practice)


def test_the_policy_stands_before_the_button(me: Someone, live_practice: Practice) -> None:
    live_practice.control(f"/policies/{DEVICE}", {"maximum_duration": "PT15M", "approval_required": True})
    ticket = live_practice.new_ticket("BitLocker key")
    live_practice.assign(ticket, "technician", by="approver")
    me.note(ticket, "was assigned by somebody else")
    opens(me, ticket)
    me.sees(me.page.get_by_role("button", name="Elevate"))
    me.reads("At most 15 min at a time.")
    me.reads("Approval by Approver One")
    live_practice.solve(ticket)


@pytest.mark.parametrize(
    "policy", [{"authentication_context": "c1"}, {"enabled_rules": ["MultiFactorAuthentication", "Justification"]}]
)
def test_a_confirmation_leads_from_the_ticket_to_a_page_that_goes_on_by_itself(
    me: Someone, live_practice: Practice, policy: dict[str, Any]
) -> None:
    live_practice.control(f"/policies/{MFA}", policy)
    ticket = picked(me, live_practice, "MFA reset")
    me.page.goto(me.link(me.note(ticket, "please confirm once at")))
    me.page.get_by_role("button", name="Confirm with Microsoft").click()
    me.page.get_by_role("button", name=me.person["upn"], exact=False).click()
    badge(me, "Active")
    solves(me, live_practice, ticket)


def test_an_approver_sees_the_ticket_beside_the_request_and_the_technicians_page_goes_on(
    me: Someone, someone: Arrive, live_practice: Practice
) -> None:
    live_practice.control(f"/policies/{DEVICE}", {"approval_required": True})
    ticket = picked(me, live_practice, "BitLocker key")
    me.note(ticket, "waits for an approver since")
    opens(me, ticket)
    badge(me, "Waiting for approval")
    me.reads("Approver One can approve it")

    boss = someone("approver", viewport={"width": 360, "height": 800})
    boss.comes_to("/approvals")
    boss.reads("Cannot sign in")
    boss.reads("Technician One")
    boss.page.get_by_label("Your reason").fill("The device is theirs.")
    boss.page.get_by_role("button", name="Approve").click()
    boss.reads("Approved. The ticket says so")
    state = boss.page.locator("td[data-label='What became of it'] .badge").first
    assert state.evaluate("it => it.offsetHeight") < 32, "one line, beside a label of two"

    badge(me, "Active")
    me.note(ticket, "Approved by Approver One")
    solves(me, live_practice, ticket)


def test_an_approver_who_comes_back_to_the_page_sees_what_has_come_since(
    me: Someone, someone: Arrive, live_practice: Practice
) -> None:
    live_practice.control(f"/policies/{DEVICE}", {"approval_required": True})
    boss = someone("approver")
    boss.comes_to("/approvals")
    boss.reads("Nothing waits for you")
    ticket = picked(me, live_practice, "BitLocker key")
    me.note(ticket, "waits for an approver since")
    comes_to_the_front = "document.dispatchEvent(new Event('visibilitychange'))"
    boss.page.evaluate(comes_to_the_front)
    field = boss.page.get_by_label("Your reason")
    field.fill("Not lost")
    boss.page.evaluate(comes_to_the_front)
    expect(field).to_have_value("Not lost")
    opens(me, ticket)
    me.page.get_by_role("button", name="Withdraw request").click()
    me.note(ticket, "was withdrawn before an approver decided it")


def test_a_denial_is_read_in_the_approvers_words(me: Someone, someone: Arrive, live_practice: Practice) -> None:
    live_practice.control(f"/policies/{DEVICE}", {"approval_required": True})
    ticket = picked(me, live_practice, "BitLocker key")
    me.note(ticket, "waits for an approver since")
    opens(me, ticket)
    boss = someone("approver")
    boss.comes_to("/approvals")
    boss.page.get_by_label("Your reason").fill("Ask the owner first.")
    boss.page.get_by_role("button", name="Deny").click()
    badge(me, "Not activated")
    me.note(ticket, "Ask the owner first.")
    live_practice.solve(ticket)


def test_a_request_is_withdrawn_with_one_button(me: Someone, live_practice: Practice) -> None:
    live_practice.control(f"/policies/{DEVICE}", {"approval_required": True})
    ticket = picked(me, live_practice, "BitLocker key")
    me.note(ticket, "waits for an approver since")
    opens(me, ticket)
    me.page.get_by_role("button", name="Withdraw request").click()
    me.note(ticket, "was withdrawn before an approver decided it")
    assert live_practice.activation_requests()[-1]["status"] == "Canceled"


def test_a_tenant_that_slows_us_down_is_waited_for_and_the_page_goes_on(me: Someone, live_practice: Practice) -> None:
    fault(
        live_practice,
        "throttle",
        method="POST",
        path="roleAssignmentScheduleRequests",
        times=1,
        retry_after="4",
    )
    ticket = live_practice.new_ticket("Password reset")
    live_practice.assign(ticket, "technician", by="approver")
    opens(me, ticket)
    me.page.get_by_role("button", name="Elevate").click()
    badge(me, "Active")
    me.reads("Usable since")
    assert [each["times"] for each in live_practice.state()["faults"]] == [0], "the first try was slowed down"
    solves(me, live_practice, ticket)


@pytest.mark.parametrize(("category", "heading"), [("Mailbox", "Exchange helpers"), ("Server", "Virtual Machine")])
def test_a_group_and_an_azure_role_are_had_the_same_way(
    me: Someone, live_practice: Practice, category: str, heading: str
) -> None:
    ticket = picked(me, live_practice, category)
    me.note(ticket, "is active until")
    opens(me, ticket)
    me.sees(me.page.get_by_role("heading", name=heading))
    badge(me, "Active")
    solves(me, live_practice, ticket)


def test_a_refusal_is_a_sentence_on_page_and_ticket(me: Someone, live_practice: Practice) -> None:
    body = '{"error": {"code": "AadPremiumLicenseRequired", "message": "x"}}'
    match = {"side": "graph", "method": "POST", "path": "roleAssignmentScheduleRequests"}
    live_practice.control("/faults", {"match": match, "kind": "status", "status": 400, "body": body})
    ticket = picked(me, live_practice, "Password reset")
    note = me.note(ticket, "No role was activated.")
    assert "licence" in note
    live_practice.solve(ticket)


def test_every_role_of_a_task_has_its_own_state(me: Someone, live_practice: Practice) -> None:
    ticket = picked(me, live_practice, "Investigation")
    until(lambda: len([n for n in live_practice.notes(ticket) if "is active until" in n]) == 2, "both", patience=30)
    opens(me, ticket)
    me.reads("All roles of this task")
    expect(me.page.locator(".badge", has_text="Active")).to_have_count(3)
    me.page.get_by_role("button", name="End now").click()
    until(lambda: not live_practice.active_roles(), "both roles are gone", patience=30)


def test_a_role_held_already_is_used_and_left_alone(me: Someone, live_practice: Practice) -> None:
    live_practice.control("/people/technician", {"standing": [PASSWORD]})
    ticket = picked(me, live_practice, "Password reset")
    me.note(ticket, "activated outside Ticket Elevate")
    opens(me, ticket)
    me.reads("It was activated outside Ticket Elevate")
    live_practice.solve(ticket)


def test_glass_is_broken_for_a_reason_and_reviewed_by_somebody_else(someone: Arrive, live_practice: Practice) -> None:
    live_practice.control("/people/technician", {"app_roles": ["BreakGlass"]})
    me = someone("technician")
    me.comes_to("/")
    me.page.get_by_role("link", name="Break glass").click()
    me.page.get_by_label("Why it cannot wait").fill(REASON)
    me.page.get_by_role("button", name="Break glass").click()
    badge(me, "Active")
    ticket = live_practice.new_ticket("Other")
    me.page.get_by_label("Ticket number").fill(ticket)
    me.page.get_by_role("button", name="Name the ticket").click()
    me.page.get_by_role("button", name="Write it onto this ticket").click()
    me.note(ticket, "Break glass: Technician One asked for Helpdesk Administrator")
    me.page.get_by_role("button", name="End now").click()

    auditor = someone("auditor")
    auditor.comes_to("/review")
    auditor.page.get_by_role("link", name=re.compile("break glass to review")).click()
    auditor.reads(REASON)
    auditor.page.get_by_label("What you found").fill("Called back: true.")
    auditor.page.get_by_role("button", name="Reviewed").click()
    auditor.reads("Reviewed by Auditor One")
    until(lambda: not live_practice.active_roles(), "the role is gone", patience=30)


def test_a_watching_rule_shows_what_it_would_have_done(me: Someone, someone: Arrive, live_practice: Practice) -> None:
    ticket = picked(me, live_practice, "Unlock")
    auditor = someone("auditor")
    auditor.comes_to("/review/watched")

    def seen() -> bool:
        auditor.at("/review/watched")
        return "It would have activated Password Administrator" in auditor.page.locator("main").inner_text()

    until(seen, "what would have happened", patience=30)
    opens(me, ticket)
    me.reads("This rule only watches so far: nothing is activated.")
    expect(me.page.get_by_role("button", name="Elevate")).to_have_count(0)
    assert live_practice.notes(ticket) == []
