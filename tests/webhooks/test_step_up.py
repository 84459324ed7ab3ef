"""The tenant asks for more than the sign-in showed: the technician confirms once, and everything goes on by itself."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from integration.deployment import Deployment
from integration.elevation import State
from integration.records import elevations
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import Browser
from tests.workers.steps import fault, mend, pick, said, wait_for
from tests.workers.test_other_targets import policy, rules
from webhooks.app import create_app

CONTEXT = {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
Opened = Callable[..., Browser]


def asks_for(practice: Practice, role: str, **policy: object) -> None:
    practice.control(f"/policies/{role}", policy)


@pytest.fixture
def technician(desk: Desk, practice: Practice, browser: Opened) -> Browser:
    """Signed in and linked."""
    desk.link()
    return browser("technician")


def confirm(page: Browser, elevation_id: str, who: str = "technician") -> str:
    """Press the button of the elevation's page, and come back from Microsoft; what our page says or where it leads."""
    here = f"/elevations/{elevation_id}"
    answer = page.get(page.at_microsoft(page.to_microsoft(here, page=here), who))
    return answer.headers.get("Location") or answer.text


@pytest.mark.parametrize("shape", ["plain", "nested"])
def test_a_context_is_asked_for_on_the_ticket_and_one_confirmation_makes_the_role_active(
    desk: Desk, practice: Practice, technician: Browser, shape: str
) -> None:
    asks_for(practice, "Password Administrator", authentication_context="c1", challenge_shape=shape)
    ticket = pick(desk, practice)
    it = desk.only(ticket)
    assert (it.state, json.loads(it.challenge or "")) == (State.SIGN_IN_NEEDED, CONTEXT)
    assert said(practice, ticket, "please confirm once at") == 1
    assert "Confirm with Microsoft" in technician.get(f"/elevations/{it.id}").text

    assert confirm(technician, it.id) == f"/elevations/{it.id}"
    assert desk.only(ticket).state is State.REQUESTED  # the page that they come back to is on its way already
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


def test_a_missing_second_factor_is_asked_for_though_the_tenant_attaches_no_challenge(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    asks_for(practice, "Password Administrator", enabled_rules=["MultiFactorAuthentication", "Justification"])
    ticket = pick(desk, practice)
    it = desk.only(ticket)
    assert it.state is State.SIGN_IN_NEEDED
    assert "Confirm with Microsoft" in technician.get(f"/elevations/{it.id}").text

    confirm(technician, it.id)
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE


def test_a_challenge_at_the_edge_is_answered_the_same_way(desk: Desk, practice: Practice, technician: Browser) -> None:
    """401 insufficient_claims, with the challenge in a header."""
    fault(
        practice, "challenge", method="POST", path="roleAssignmentScheduleRequests", times=1, claims=json.dumps(CONTEXT)
    )
    ticket = pick(desk, practice)
    it = desk.only(ticket)
    assert (it.state, json.loads(it.challenge or "")) == (State.SIGN_IN_NEEDED, CONTEXT)

    confirm(technician, it.id)
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE


def test_one_confirmation_serves_everything_that_waits_for_the_same_context(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    for role in ("Password Administrator", "Authentication Administrator"):
        asks_for(practice, role, authentication_context="c1")
    asks_for(practice, "Cloud Device Administrator", authentication_context="c2")
    first = pick(desk, practice)
    long_ago = desk.now() - timedelta(hours=1)
    with desk.deployment.records.write() as tx:
        elevations.save_elevation(tx, replace(desk.only(first), acted_at=long_ago))
    second = pick(desk, practice, category="MFA reset")
    other = pick(desk, practice, category="BitLocker key")

    confirm(technician, desk.only(second).id)
    desk.sweep()
    assert desk.only(first).state is State.ACTIVE
    assert desk.only(second).state is State.ACTIVE
    assert (desk.only(other).state, said(practice, other, "please confirm once")) == (State.SIGN_IN_NEEDED, 2)


def test_a_confirmation_that_somebody_else_gave_changes_nothing(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    asks_for(practice, "Password Administrator", authentication_context="c1")
    ticket = pick(desk, practice)
    it = desk.only(ticket)

    assert "Somebody else signed in" in confirm(technician, it.id, "technician2")
    desk.sweep()
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert technician.get("/").text.count("Technician One") >= 1
    assert practice.active_roles() == practice.active_roles("technician2") == []


def test_a_throttled_first_try_does_not_hide_the_challenge(desk: Desk, practice: Practice, technician: Browser) -> None:
    """The second try may follow one that was carried out: it is looked for, and the ticket says what to do."""
    asks_for(practice, "Password Administrator", authentication_context="c1")
    fault(practice, "throttle", method="POST", path="roleAssignmentScheduleRequests", times=1, retry_after="1")
    ticket = pick(desk, practice)
    desk.advance(timedelta(seconds=30))
    desk.sweep()
    it = desk.only(ticket)
    assert said(practice, ticket, "please confirm once at") == 1
    assert "Confirm with Microsoft" in technician.get(f"/elevations/{it.id}").text

    confirm(technician, it.id)
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


def test_a_confirmation_that_got_lost_in_a_refresh_is_asked_for_once_more(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    asks_for(practice, "Password Administrator", authentication_context="c1")
    practice.control("/settings", {"refresh_loses_context": True})
    ticket = pick(desk, practice)
    confirm(technician, desk.only(ticket).id)
    practice.control("/people/technician", {"expire_access_tokens": True})
    desk.sweep()
    it = desk.only(ticket)
    assert it.state is not State.FAILED
    assert practice.active_roles() == []

    confirm(technician, it.id)
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


def test_a_tenant_that_asks_again_for_what_was_just_given_ends_in_words_and_not_in_a_circle(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    more = {"method": "POST", "path": "roleAssignmentScheduleRequests", "times": 50, "claims": json.dumps(CONTEXT)}
    fault(practice, "challenge", **more)
    ticket = pick(desk, practice)
    confirm(technician, desk.only(ticket).id)
    for _ in range(8):
        desk.sweep()
        desk.advance(timedelta(seconds=70))
    assert desk.only(ticket).state is State.FAILED
    assert said(practice, ticket, "asks again for what you have just confirmed") == 1
    assert practice.activation_requests() == []


@pytest.fixture
def other_targets(desk: Desk, practice: Practice, tmp_path: Path, browser: Opened) -> Iterator[tuple[Desk, Browser]]:
    """A desk whose rules name a group and an Azure role, and its technician before it.

    What was confirmed is in the token that came with it, and in none that is got later.
    """
    practice.control("/settings", {"refresh_loses_context": True})
    place = tmp_path / "rules.toml"
    place.write_text(rules(practice))
    made = Deployment(settings_for(practice, desk.deployment.settings.database_url, tmp_path, rules_file=place))
    there = Desk(made, practice)
    there.link()
    page = Browser(create_app(made).test_client(), practice)
    assert page.sign_in("technician").status_code == 303
    yield there, page
    made.records.dispose()


@pytest.mark.parametrize("category", ["Password reset", "BitLocker key"], ids=["group", "azure"])
def test_a_confirmation_for_a_group_or_an_azure_role_makes_it_active(
    other_targets: tuple[Desk, Browser], practice: Practice, category: str
) -> None:
    desk, page = other_targets
    policy(practice, category, authentication_context="c1")
    ticket = pick(desk, practice, category=category)
    it = desk.only(ticket)
    assert (it.state, json.loads(it.challenge or "")) == (State.SIGN_IN_NEEDED, CONTEXT)

    assert confirm(page, it.id) == f"/elevations/{it.id}"
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


def test_a_confirmation_for_azure_serves_the_directory_too_and_is_not_taken_for_a_circle_there(
    other_targets: tuple[Desk, Browser], practice: Practice
) -> None:
    """A step-up is one resource's token; the other one gets its own silently, as the session has what is asked."""
    desk, page = other_targets
    for category in ("Password reset", "BitLocker key"):
        policy(practice, category, authentication_context="c1")
    azure, group = (pick(desk, practice, category=category) for category in ("BitLocker key", "Password reset"))
    confirm(page, desk.only(azure).id)
    desk.sweep()
    assert desk.only(azure).state is State.ACTIVE
    assert desk.only(group).state is State.ACTIVE
    assert said(practice, group, "asks again for what you have just confirmed") == 0


def test_the_header_and_the_message_ask_for_the_same_in_other_letters(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    asks_for(practice, "Authentication Administrator", authentication_context="c1")
    compact = json.dumps(CONTEXT, separators=(",", ":"))
    fault(practice, "challenge", method="POST", path="roleAssignmentScheduleRequests", times=1, claims=compact)
    first = pick(desk, practice)
    with desk.deployment.records.write() as tx:
        long_ago = replace(desk.only(first), acted_at=desk.now() - timedelta(hours=1))
        elevations.save_elevation(tx, long_ago)
    second = pick(desk, practice, category="MFA reset")
    confirm(technician, desk.only(second).id)
    desk.sweep()
    assert [desk.only(ticket).state for ticket in (first, second)] == [State.ACTIVE, State.ACTIVE]


def test_a_confirmation_begun_without_a_session_is_still_for_the_elevation_s_technician_alone(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    asks_for(practice, "Password Administrator", authentication_context="c1")
    desk.link()
    ticket = pick(desk, practice)
    assert "Somebody else signed in" in confirm(browser(), desk.only(ticket).id, "technician2")
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert confirm(browser(), desk.only(ticket).id).startswith("/elevations/")
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE


def test_a_challenge_while_an_approver_is_waited_for_is_answered_and_waiting_goes_on(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    asks_for(practice, "Password Administrator", approval_required=True)
    ticket = pick(desk, practice)
    challenged(practice, "GET")
    wait_for(desk, timedelta(seconds=35))
    here = f"/elevations/{desk.only(ticket).id}"
    assert "Confirm with Microsoft" in technician.get(here).text
    assert '"acrs"' in unquote(technician.to_microsoft(here, page=here))
    confirm(technician, desk.only(ticket).id)
    mend(practice)
    wait_for(desk, timedelta(minutes=1))
    assert desk.only(ticket).state is State.PENDING
    assert "Confirm with Microsoft" not in technician.get(here).text


def test_a_challenge_at_giving_back_is_answered_by_the_button_of_the_page(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    ticket = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    challenged(practice, "POST")
    practice.solve(ticket)
    desk.deliver(ticket)
    it = desk.only(ticket)
    assert it.state is State.ENDING
    assert said(practice, ticket, f"please do so once at {desk.deployment.link(it.id)}") == 1
    assert "before the role can be given back" in technician.get(f"/elevations/{it.id}").text
    mend(practice)
    confirm(technician, it.id)
    desk.sweep()
    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []


def test_a_challenge_at_giving_back_that_is_over_needs_nobody(
    desk: Desk, practice: Practice, technician: Browser
) -> None:
    practice.control("/people/technician", {"silent_step_up": "refuse"})
    ticket = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    challenged(practice, "POST")
    practice.solve(ticket)
    desk.deliver(ticket)
    assert practice.active_roles() != []
    mend(practice)
    wait_for(desk, timedelta(minutes=1), steps=6)
    assert practice.active_roles() == []


def challenged(practice: Practice, method: str) -> None:
    fault(
        practice,
        "challenge",
        method=method,
        path="roleAssignmentScheduleRequests",
        times=9,
        claims=json.dumps(CONTEXT),
    )
