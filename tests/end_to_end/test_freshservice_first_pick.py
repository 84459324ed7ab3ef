"""Our app in Freshservice's double, on somebody's first pick of all: a file by itself, since nobody is linked yet."""

from collections.abc import Callable

import pytest

from tests.conftest import Practice
from tests.end_to_end.conftest import Someone
from tests.end_to_end.framed import opens, signs_in
from tests.end_to_end.test_freshservice_app import FRAMES, HELPDESK
from tests.end_to_end.test_live_page import rules

__all__ = ["HELPDESK", "rules"]
pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]


def test_the_frame_is_told_after_the_first_pick_of_all_and_after_a_sign_in_to_what_is_on(
    someone: Arrive, live_practice: Practice
) -> None:
    """Both ways lead from Microsoft over a redirect of ours, to the page that links and to that of the elevation."""
    me = someone("technician")
    ticket = live_practice.new_ticket("Password reset")
    live_practice.assign(ticket, me.key)
    me.note(ticket, "sign in once")
    at = opens(me, live_practice, ticket, "freshservice", *FRAMES)
    window = at.presses()
    signs_in(window, me)
    window.get_by_role("button", name="Link the accounts").click()
    at.shows("Active")
    elsewhere = someone("technician")  # another browser, where nobody is signed in
    at = opens(elsewhere, live_practice, ticket, "freshservice", *FRAMES)
    at.shows("It opens a window of its own")
    signs_in(at.presses(), elsewhere)
    at.shows("Active")
