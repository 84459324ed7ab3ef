"""Sign-in health, with the product as programs and a browser: revoked, told, signed in again, gone on."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.conftest import Practice
from tests.end_to_end.conftest import Someone

pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]


def picked(practice: Practice, *, by: str) -> str:
    """Given by somebody else it starts with the button; taken by oneself it starts by itself."""
    ticket = practice.new_ticket("MFA reset")
    practice.assign(ticket, "technician2", by=by)
    return ticket


def is_active(me: Someone) -> None:
    expect(me.page.locator(".badge")).to_have_text("Active")


def end_now(me: Someone, ticket: str) -> None:
    me.at("/")
    me.page.get_by_role("article", name=f"Ticket {ticket}").get_by_role("listitem").get_by_role("link").click()
    me.page.get_by_role("button", name="End now").click()
    expect(me.page.locator(".badge")).to_have_text("Ended")


def test_a_revoked_technician_is_signed_out_told_on_the_ticket_and_goes_on_after_signing_in(
    someone: Arrive, live_practice: Practice
) -> None:
    me, first = someone("technician2"), picked(live_practice, by="approver")
    me.comes_to("/")
    me.at(f"/elevate/practice/{first}")
    me.page.get_by_role("button", name="Elevate").click()
    is_active(me)
    me.at("/account")
    me.reads("It is in order: Microsoft last accepted it at")

    live_practice.control("/people/technician2", {"revoke_sign_ins": True})
    ticket = picked(live_practice, by="technician2")
    note = me.note(ticket, "please sign in once")
    me.at("/")
    expect(me.page.get_by_role("heading", name="Sign in with Microsoft")).to_be_visible()

    me.page.goto(me.link(note))
    me.signs_in()
    is_active(me)
    me.at("/account")
    me.reads("It is in order: Microsoft last accepted it at")
    expect(me.page.get_by_role("button", name="Sign in again")).to_have_count(0)
    for each in (first, ticket):
        end_now(me, each)
