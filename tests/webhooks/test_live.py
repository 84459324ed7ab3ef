"""The technician's pages: what the tenant asks for, how it stands, longer, and all roles of a task."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from integration.deployment import Deployment
from integration.elevation import State
from integration.records import elevations
from integration.records.tables import tenant_answers
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser, words
from tests.workers.steps import end_now, fault, mend, pick, said, wait_for

ROLE = "Password Administrator"
Opened = Callable[..., Browser]


def offered(desk: Desk, practice: Practice, category: str = "Password reset") -> str:
    ticket = practice.new_ticket(category)
    practice.assign(ticket, by="approver")
    desk.deliver(ticket)
    return ticket


def version(page: Browser, elevation_id: str) -> str:
    return str(page.get(f"/elevations/{elevation_id}/status").get_json()["version"])


def test_what_the_tenant_asks_for_stands_before_the_button(desk: Desk, practice: Practice, browser: Opened) -> None:
    practice.control(
        f"/policies/{ROLE}",
        {"maximum_duration": "PT15M", "approval_required": True, "authentication_context": "c1"},
    )
    desk.link()
    text = browser("technician").get(f"/elevate/practice/{offered(desk, practice)}").text
    for fact in (
        "At most 15 min at a time",
        "authentication context c1",
        "Approval by Approver One",
        "sent for you",
        "Active for 15 min",
    ):
        assert fact in text, fact
    assert text.index("What your organisation asks") < text.index("Why this role")


def test_a_policy_that_cannot_be_read_is_said_to_be_unknown(desk: Desk, practice: Practice, browser: Opened) -> None:
    fault(practice, "status", method="GET", path="roleManagementPolicyAssignments", status=403, times=9)
    desk.link()
    assert "Entra does not tell you" in browser("technician").get(f"/elevate/practice/{offered(desk, practice)}").text


def test_a_policy_that_changed_since_the_page_was_drawn_is_shown_again(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    page, ticket = browser("technician"), offered(desk, practice)
    before = page.get(f"/elevate/practice/{ticket}").text
    shown = before.split('name="shown" value="')[1].split('"')[0]
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    with desk.deployment.records.write() as tx:
        tx.execute(tenant_answers.delete())
    answer = page.press(f"/elevate/practice/{ticket}", shown=shown, seconds="900")
    assert answer.status_code == 409
    assert "Approval by" in answer.text


def test_the_page_tells_of_an_approver_and_withdraws_with_one_button(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    it = desk.only(pick(desk, practice))
    page = browser("technician")
    text = page.get(f"/elevations/{it.id}").text
    for fact in ("Waiting for approval", "Approver One can approve it", "Withdraw request", ">Approval<"):
        assert fact in text, fact
    page.press(f"/elevations/{it.id}/end", page=f"/elevations/{it.id}")
    desk.sweep()
    assert practice.activation_requests()[-1]["status"] == "Canceled"


def test_the_page_says_since_when_the_role_is_usable_and_notices_by_itself(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    it = desk.only(pick(desk, practice))
    page = browser("technician")
    before = version(page, it.id)
    assert "is being looked at" in page.get(f"/elevations/{it.id}").text
    wait_for(desk, timedelta(seconds=2))
    assert version(page, it.id) != before
    assert "Usable since" in page.get(f"/elevations/{it.id}").text


def test_more_time_is_asked_for_and_taken_back_with_a_button(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    ticket = pick(desk, practice)
    it, page = desk.only(ticket), browser("technician")
    here = f"/elevations/{it.id}"
    assert "30 min more" in page.get(here).text
    page.press(f"{here}/longer", page=here, seconds="1800")
    assert desk.only(ticket).longer_seconds == 1800
    assert "Not longer after all" in page.get(here).text
    page.press(f"{here}/longer", page=here, seconds="")
    assert desk.only(ticket).longer_seconds is None
    desk.sweep()
    assert said(practice, ticket, "is asked for again at once") == 1


@pytest.mark.parametrize("seconds", ["86400", "-5", "1", "many", "1800 "])
def test_more_than_the_rule_allows_cannot_be_asked_for(
    desk: Desk, practice: Practice, browser: Opened, seconds: str
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    here, page = f"/elevations/{desk.only(ticket).id}", browser("technician")
    page.press(f"{here}/longer", page=here, seconds=seconds)
    assert desk.only(ticket).longer_seconds is None


def test_nobody_asks_for_more_of_anothers_time(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    ticket = pick(desk, practice)
    answer = browser("technician2").press(f"/elevations/{desk.only(ticket).id}/longer", seconds="1800")
    assert answer.status_code == 404
    assert desk.only(ticket).longer_seconds is None


def test_what_followed_is_one_click_away(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    ticket = pick(desk, practice)
    it, page = desk.only(ticket), browser("technician")
    page.press(f"/elevations/{it.id}/longer", page=f"/elevations/{it.id}", seconds="900")
    wait_for(desk, timedelta(minutes=31))
    wait_for(desk, timedelta(seconds=5), steps=3)
    new = next(each for each in desk.elevations(ticket) if each.id != it.id)
    assert new.state is State.ACTIVE
    assert f"/elevations/{new.id}" in page.get(f"/elevations/{it.id}").text


def test_the_page_with_the_buttons_asks_neither_helpdesk_nor_tenant(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    it, page = desk.only(pick(desk, practice)), browser("technician")
    with desk.deployment.records.write() as tx:  # so that nothing is young enough to be trusted
        tx.execute(tenant_answers.update().values(read_at=desk.now() - timedelta(days=2)))
    before = practice.log()
    text = page.get(f"/elevations/{it.id}").text
    assert "30 min more" in text
    assert "End now" in text
    assert practice.log() == before


def test_the_choices_follow_the_policy_that_is_kept(desk: Desk, practice: Practice, browser: Opened) -> None:
    practice.control(f"/policies/{ROLE}", {"maximum_duration": "PT15M"})
    desk.link()
    text = browser("technician").get(f"/elevations/{desk.only(pick(desk, practice)).id}").text
    assert "15 min more" in text
    assert "30 min more" not in text


def refused(page: Browser, here: str, seconds: str) -> str:
    """What the page says after the button for so much more was pressed."""
    answer = page.press(f"{here}/longer", page=here, seconds=seconds)
    assert answer.status_code == 303
    return str(words(page.get(answer.location)))


def test_a_helpdesk_that_is_away_takes_neither_page_nor_choices_and_the_button_says_so(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    here, page = f"/elevations/{desk.only(ticket).id}", browser("technician")
    fault(practice, "status", side="helpdesk", method="GET", status=503, times=20)
    assert "I need longer" in page.get(here).text
    text = refused(page, here, "1800")
    assert "did not answer" in text
    assert "30 min more" in text
    mend(practice)
    assert desk.only(ticket).longer_seconds is None
    page.press(f"{here}/longer", page=here, seconds="1800")
    assert desk.only(ticket).longer_seconds == 1800


def test_what_is_not_possible_after_all_is_said_in_words(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    ticket = pick(desk, practice)
    here, page = f"/elevations/{desk.only(ticket).id}", browser("technician")
    assert "Choose again" in refused(page, here, "86400")
    practice.solve(ticket)
    practice.assign(ticket, "technician2", by="approver")
    text = refused(page, here, "1800")
    assert "leaves no room" in text, text
    assert desk.only(ticket).longer_seconds is None
    assert "cannot go on" not in words(page.get(f"{here}?longer=anything"))


def test_to_take_more_time_back_nobody_is_asked(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    ticket = pick(desk, practice)
    here, page = f"/elevations/{desk.only(ticket).id}", browser("technician")
    page.press(f"{here}/longer", page=here, seconds="1800")
    fault(practice, "status", side="helpdesk", method="GET", status=503, times=20)
    page.press(f"{here}/longer", page=here, seconds="")
    assert desk.only(ticket).longer_seconds is None


def test_an_open_page_goes_on_by_itself_to_what_followed_when_time_was_up_and_to_nothing_else(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    it, page = desk.only(ticket), browser("technician")
    here = f"/elevations/{it.id}"
    page.press(f"{here}/longer", page=here, seconds="900")
    assert "data-next" not in page.get(here).text
    wait_for(desk, timedelta(minutes=31))
    wait_for(desk, timedelta(seconds=5), steps=3)
    new = next(each for each in desk.elevations(ticket) if each.id != it.id)
    assert f'data-next="/elevations/{new.id}?by-itself"' in page.get(here).text
    page.press(f"/elevations/{new.id}/end", page=here)
    wait_for(desk, timedelta(minutes=6))
    assert "data-next" not in page.get(f"/elevations/{new.id}").text


@pytest.mark.parametrize(
    ("asked_for", "gone"),
    [
        ({"approval_required": True}, "Nobody has to approve it"),
        ({"authentication_context": "c1"}, "No further confirmation"),
    ],
)
def test_a_policy_that_the_state_disproves_is_not_shown_and_read_anew(
    desk: Desk, practice: Practice, browser: Opened, asked_for: dict[str, object], gone: str
) -> None:
    desk.link()
    page = browser("technician")
    end_now(desk, pick(desk, practice))
    wait_for(desk, timedelta(minutes=6), steps=2)
    practice.control(f"/policies/{ROLE}", asked_for)
    it = desk.only(pick(desk, practice))
    assert it.state in (State.PENDING, State.SIGN_IN_NEEDED)
    assert gone not in page.get(f"/elevations/{it.id}").text
    other = offered(desk, practice)
    assert gone not in page.get(f"/elevate/practice/{other}").text
    text = page.get(f"/elevations/{it.id}").text
    assert "What your organisation asks" in text
    assert gone not in text


def stages(page: Browser, elevation_id: str) -> list[str]:
    """What the steps are called, and by which mark; what only a reader of the screen hears is left away."""
    found = re.search(r'<ol class="stages">(.*?)</ol>', page.get(f"/elevations/{elevation_id}").text, re.DOTALL)
    assert found
    text = re.sub(r'<span class="visually-hidden">.*?</span>', "", found[1])
    return [re.sub("<[^>]+>", "", each).strip() for each in re.findall(r"<li.*?</li>", text, re.DOTALL)]


def test_a_stage_that_is_waited_for_is_called_by_that_and_a_done_one_has_a_mark(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    it, page = desk.only(pick(desk, practice)), browser("technician")
    assert stages(page, it.id) == ["✓ Asked", "✓ Validated", "Approval", "Activation", "Becoming usable"]
    assert '<span aria-hidden="true">✓ </span>' in page.get(f"/elevations/{it.id}").text


def test_a_confirmation_is_waited_for_before_anything_else(desk: Desk, practice: Practice, browser: Opened) -> None:
    practice.control(f"/policies/{ROLE}", {"authentication_context": "c1"})
    desk.link()
    page = browser("technician")
    it = desk.only(pick(desk, practice))
    assert stages(page, it.id) == ["Confirmation", "Request", "Validation", "Activation", "Becoming usable"]


def test_an_active_role_has_done_its_stages(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    it, page = desk.only(pick(desk, practice)), browser("technician")
    assert stages(page, it.id) == ["✓ Asked", "✓ Validated", "✓ Active", "Becoming usable"]
    wait_for(desk, timedelta(seconds=2))
    assert stages(page, it.id)[-1] == "✓ Usable"


def test_the_tabs_title_says_how_it_stands(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    ticket = pick(desk, practice)
    text = browser("technician").get(f"/elevations/{desk.only(ticket).id}").text
    assert f"<title>Active · {ROLE} for ticket {ticket} · Ticket Elevate</title>" in text


@pytest.fixture
def deployment(bundled: Deployment) -> Deployment:
    return bundled


def test_each_role_of_a_task_has_its_own_state_and_one_button_ends_all(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    desk.link()
    page = browser("technician")
    ticket = offered(desk, practice, "MFA reset")
    practice.control("/policies/Reports Reader", {"approval_required": True})
    text = page.get(f"/elevate/practice/{ticket}").text
    assert "Together with, all or none: Reports Reader" in text
    assert "What your organisation asks for Reports Reader" in text
    assert "Approval by Approver One" in text
    practice.control("/policies/Reports Reader", {"approval_required": False})
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    first, second = sorted(desk.elevations(ticket), key=lambda it: it.part)
    text = page.get(f"/elevations/{first.id}").text
    assert "All roles of this task" in text
    assert f"/elevations/{second.id}" in text

    page.press(f"/elevations/{second.id}/end", page=f"/elevations/{first.id}")
    wait_for(desk, timedelta(minutes=6))
    assert {it.state for it in desk.elevations(ticket)} == {State.ENDED}
    assert practice.active_roles() == []


def test_what_takes_longer_than_usual_says_that_it_goes_on(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    fault(practice, "status", method="POST", path="roleAssignmentScheduleRequests", status=503, times=9)
    it, page = desk.only(pick(desk, practice)), browser("technician")
    before = version(page, it.id)
    assert "longer than usual" not in page.get(f"/elevations/{it.id}").text
    with desk.deployment.records.write() as tx:
        elevations.save_elevation(tx, replace(it, acted_at=desk.now() - timedelta(minutes=1)))
    assert version(page, it.id) != before
    assert "It takes longer than usual" in page.get(f"/elevations/{it.id}").text
