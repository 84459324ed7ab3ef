"""An approver's decision that did not arrive, or was sent twice; and one about a request that no ticket waits for."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from integration.elevation import State
from integration.entra.tenant import Tenant
from integration.records.tables import journal
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser, words
from tests.workers.steps import by_hand, fault, mend, pick, said
from webhooks import approvals

ROLE = "Password Administrator"
REASON = "Long and careful words."
Opened = Callable[..., Browser]
Send = Callable[..., TestResponse]


def form(text: str) -> tuple[str, dict[str, str]]:
    """Where the first form of a decision leads, and what it carries."""
    found = re.search(r'<form[^>]*action="(/approvals/[^"]+)">(.*?)</form>', text, re.DOTALL)
    assert found, text
    hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', found[2])
    return found[1], dict(hidden)


def typed(answer: TestResponse) -> list[str]:
    return re.findall(r'name="reason"[^>]* value="([^"]*)"', answer.text)


@pytest.fixture
def asked(desk: Desk, practice: Practice) -> str:
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    return pick(desk, practice)


@pytest.fixture
def approver(browser: Opened, asked: str) -> Browser:
    return browser("approver")


def send(page: Browser, shown: TestResponse, **more: str) -> TestResponse:
    """Press a button of the form that stands on `shown`, without another look."""
    path, hidden = form(shown.text)
    return page.client.post(path, data={**hidden, "decision": "approve", "reason": REASON, **more})


def test_a_decision_that_entra_does_not_answer_keeps_its_words_and_can_be_sent_again(
    desk: Desk, practice: Practice, approver: Browser, asked: str
) -> None:
    shown = approver.get("/approvals")
    fault(practice, "status", side="graph", status=503, times=1000)
    first = send(approver, shown)
    assert first.status_code == 502
    assert "Nothing was decided" in words(first)
    assert ROLE in words(first)
    assert "tried again" not in words(first)
    assert typed(first) == [REASON]
    mend(practice)
    assert send(approver, first, reason=typed(first)[0]).status_code == 303
    desk.sweep()
    assert desk.only(asked).state is State.ACTIVE
    assert said(practice, asked, REASON) == 1


def test_a_decision_that_entra_turned_away_is_known_to_have_decided_nothing(
    practice: Practice, approver: Browser
) -> None:
    shown = approver.get("/approvals")
    fault(practice, "status", method="PATCH", path="roleAssignmentApprovals", status=503, times=1000)
    answer = send(approver, shown)
    assert answer.status_code == 502
    assert "Nothing was decided" in words(answer)
    assert typed(answer) == [REASON]


def test_where_it_is_not_known_whether_it_was_decided_that_is_said(
    desk: Desk, practice: Practice, approver: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = approver.get("/approvals")
    tenant, real = type(desk.deployment.tenant), type(desk.deployment.tenant).decide

    def then_silent(self: Tenant, *args: Any) -> None:
        fault(practice, "lose_answer", method="PATCH", path="roleAssignmentApprovals", times=1)
        try:
            real(self, *args)
        finally:
            fault(practice, "status", side="graph", status=503, times=1000)

    monkeypatch.setattr(tenant, "decide", then_silent)
    answer = send(approver, shown)
    assert answer.status_code == 502
    assert "It is not known whether this was decided" in words(answer)
    assert "Nothing was decided" not in words(answer)
    assert typed(answer) == [REASON]


def test_the_address_of_a_decision_leads_back_to_all_that_waits(browser: Opened) -> None:
    answer = browser("technician2").get("/approvals/anything")
    assert (answer.status_code, answer.location) == (303, "/approvals")


def test_without_an_answer_nobody_else_learns_whose_request_it_is(
    practice: Practice, browser: Opened, asked: str
) -> None:
    page, request = browser("technician2"), practice.activation_requests()[-1]["id"]
    token = page.token("/")
    fault(practice, "status", side="graph", status=503, times=1000)
    answer = page.client.post(
        f"/approvals/{request}", data={"csrf_token": token, "decision": "approve", "reason": "Me too."}
    )
    assert answer.status_code == 502
    assert ROLE not in answer.text


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_a_button_that_is_pressed_twice_decides_once_and_shows_no_error(
    desk: Desk, practice: Practice, approver: Browser, asked: str, decision: str
) -> None:
    shown = approver.get("/approvals")
    first, second = (send(approver, shown, decision=decision) for _ in range(2))
    assert (second.status_code, second.location) == (first.status_code, first.location)
    assert first.status_code == 303
    desk.sweep()
    assert said(practice, asked, REASON) == 1
    other = "deny" if decision == "approve" else "approve"
    for more in ({"decision": other}, {"decision": decision, "reason": "Something else."}):
        assert "There is nothing to decide" in words(send(approver, shown, **more))


def test_a_second_press_that_saw_the_request_still_waiting_shows_no_error(
    desk: Desk, practice: Practice, approver: Browser, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = approver.get("/approvals")
    tenant, real = type(desk.deployment.tenant), type(desk.deployment.tenant).decide

    def after_the_first(self: Tenant, *args: Any) -> None:
        monkeypatch.setattr(tenant, "decide", real)
        assert send(approver, shown).status_code == 303
        real(self, *args)

    monkeypatch.setattr(tenant, "decide", after_the_first)
    assert send(approver, shown).status_code == 303
    desk.sweep()
    assert said(practice, asked, REASON) == 1


@pytest.fixture
def portal(desk: Desk, practice: Practice, browser: Opened) -> Browser:
    """An approver of a request that the technician made in a portal."""
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    by_hand(desk, practice)
    return browser("approver")


def decisions(desk: Desk) -> list[tuple[str, str | None, str | None, dict[str, Any]]]:
    query = sa.select(journal).where(journal.c.kind.like("approval.%")).order_by(journal.c.place)
    with desk.deployment.records.read() as connection:
        found = connection.execute(query).all()
    return [(row.kind, row.elevation, row.activation, json.loads(row.entry)["facts"]) for row in found]


@pytest.mark.parametrize(("decision", "past"), [("approve", "Approved"), ("deny", "Denied")])
def test_a_decision_about_a_request_made_in_a_portal_is_written_down_and_shown(
    desk: Desk, practice: Practice, portal: Browser, decision: str, past: str
) -> None:
    request = practice.activation_requests()[-1]["id"]
    shown = portal.get("/approvals")
    first, second = (send(portal, shown, decision=decision) for _ in range(2))
    assert (first.location, second.location) == ("/approvals", "/approvals")
    facts = {"decision": past.lower(), "request": request}
    assert decisions(desk) == [
        ("approval.intended", None, None, facts),
        ("approval.decided", None, None, facts),
    ]
    page = words(portal.get("/approvals"))
    assert f"{past}. " in page
    assert "No ticket stands behind it that could say so." in page
    assert "The ticket says so" not in page
    assert re.search(rf"{past} ?{REASON} {ROLE} — Made outside Ticket Elevate —", page)


def test_a_decision_in_a_portals_request_that_entra_refused_is_not_shown_as_made(
    practice: Practice, portal: Browser
) -> None:
    shown = portal.get("/approvals")
    fault(practice, "status", method="PATCH", path="roleAssignmentApprovals", status=403, times=1)
    assert send(portal, shown).status_code == 403
    page = words(portal.get("/approvals"))
    assert "What you decided before" not in page
    assert "Approved." not in page


def test_a_link_claims_no_decision(browser: Opened) -> None:
    for done in ("approve", "deny"):
        page = words(browser("approver").get(f"/approvals?done={done}"))
        assert "Approved." not in page
        assert "Denied." not in page


def test_a_decision_of_a_while_ago_is_not_told_as_news(approver: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(approver, approver.get("/approvals")).status_code == 303
    assert "Approved. The ticket says so" in words(approver.get("/approvals"))
    monkeypatch.setattr(approvals, "JUST_NOW", timedelta(0))
    page = words(approver.get("/approvals"))
    assert "Approved. The ticket says so" not in page
    assert "What you decided before" in page
