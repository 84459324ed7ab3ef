"""What a rule requires of a ticket, as a technician and an approver read it, in a real browser."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import Practice
from tests.end_to_end.conftest import Someone

pytestmark = pytest.mark.browser
DEVICE = "Cloud Device Administrator"


def rules(_facts: dict[str, Any]) -> str:
    return f"""
[[rule]]
name = "Device"
match = {{ category = "BitLocker key" }}
require = {{ status = "open" }}
roles = ["{DEVICE}"]
duration = "30m"
"""


def test_a_ticket_that_changes_while_an_approver_takes_their_time_loses_the_role_in_words(
    someone: Callable[..., Someone], live_practice: Practice
) -> None:
    live_practice.control(f"/policies/{DEVICE}", {"approval_required": True})
    me, boss = someone("technician"), someone("approver")
    me.comes_to("/")
    ticket = live_practice.new_ticket("BitLocker key")
    live_practice.set_status(ticket, "pending")

    live_practice.assign(ticket)
    me.note(ticket, "requires more of ticket")

    me.at(f"/elevate/practice/{ticket}")
    me.reads("Set its status to open.")
    me.reads("The ticket is not solved: It is on hold.")
    expect(me.page.get_by_role("button", name="Elevate")).to_have_count(0)

    live_practice.set_status(ticket, "open")
    me.at(f"/elevate/practice/{ticket}")
    me.page.get_by_role("button", name="Elevate").click()
    me.reads("Waiting for approval")
    live_practice.set_status(ticket, "pending")

    boss.comes_to("/approvals")
    boss.reads("on hold")
    boss.page.get_by_label("Your reason").fill("The device is theirs.")
    boss.page.get_by_role("button", name="Approve").click()

    me.note(ticket, "looked at again after the approval")
    me.reads("the ticket is not what its rule requires any more")
    me.sees(me.page.get_by_role("link", name="Elevate again"))
    me.note(ticket, "was given back")
    assert live_practice.active_roles() == []
