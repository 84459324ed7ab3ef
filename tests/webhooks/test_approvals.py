"""What an approver sees, and what their word does: on the ticket, in the journal, in the tenant."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integration.deployment import Deployment
from integration.elevation import State
from integration.entra import tokens
from integration.entra.tenant import Tenant
from integration.records import story
from integration.tickets import clean
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import Browser, rows, words
from tests.workers.steps import by_hand, end_now, fault, mend, pick, said, wait_for
from webhooks import approvals
from webhooks.app import create_app

ROLE = "Password Administrator"
Opened = Callable[..., Browser]


@pytest.fixture
def asked(desk: Desk, practice: Practice) -> str:
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    return pick(desk, practice, subject="Cannot <b>sign in</b>")


@pytest.fixture
def approver(browser: Opened, asked: str) -> Browser:
    return browser("approver")


def decide(page: Browser, decision: str, reason: str, **more: str) -> object:
    text = page.get("/approvals").text
    found = re.search(r'action="(/approvals/[^"]+)"', text)
    shown = re.search(r'name="shown" value="([^"]+)"', text)
    assert found, text
    assert shown
    fields = {"decision": decision, "reason": reason, "shown": shown[1], **more}
    return page.press(found[1], page="/approvals", **fields)


def test_the_request_stands_beside_the_facts_of_its_ticket(approver: Browser, asked: str) -> None:
    text = approver.get("/approvals").text
    for fact in (
        ROLE,
        "Technician One",
        "in the whole directory",
        "30 min, from the moment of your approval",
        f"Ticket {asked}: Password reset",
        f">Ticket {asked}</a>",
        "Cannot &lt;b&gt;sign in&lt;/b&gt;",
        "Requester One",
        "Why this role",
    ):
        assert fact in text, fact


def test_an_approval_is_said_on_the_ticket_written_down_and_followed_at_once(
    desk: Desk, practice: Practice, approver: Browser, asked: str
) -> None:
    assert decide(approver, "approve", "The user is here.").headers["Location"] == "/approvals"  # type: ignore[attr-defined]
    assert "Approved. The ticket says so" in words(approver.get("/approvals"))
    desk.sweep()
    assert desk.only(asked).state is State.ACTIVE
    assert said(practice, asked, "Approved by Approver One at") == 1
    assert said(practice, asked, "\u201cThe user is here.\u201d") == 1
    with desk.deployment.records.read() as connection:
        kinds = [entry.kind for entry in story.entries(connection, desk.only(asked).id, None)]
    assert "approval.decided" in kinds


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_a_decision_that_a_worker_saw_first_is_said_and_written_down_all_the_same(
    desk: Desk,
    practice: Practice,
    approver: Browser,
    asked: str,
    monkeypatch: pytest.MonkeyPatch,
    decision: str,
) -> None:
    tenant = type(desk.deployment.tenant)
    real = tenant.decide

    def slow(self: Tenant, *args: Any) -> None:
        real(self, *args)
        wait_for(desk, timedelta(seconds=20), steps=2)

    monkeypatch.setattr(tenant, "decide", slow)
    decide(approver, decision, "It is noon.")
    desk.sweep()
    with desk.deployment.records.read() as connection:
        kinds = [entry.kind for entry in story.entries(connection, desk.only(asked).id, None)]
    assert "approval.decided" in kinds
    assert said(practice, asked, "ied by Approver One at" if decision == "deny" else "Approved by Approver One at") >= 1


def test_a_decision_is_written_down_before_the_tenant_hears_of_it(
    desk: Desk, practice: Practice, approver: Browser, asked: str
) -> None:
    fault(practice, "status", method="PATCH", status=403, times=1)
    assert decide(approver, "approve", "It is noon.").status_code == 403  # type: ignore[attr-defined]
    with desk.deployment.records.read() as connection:
        kinds = [entry.kind for entry in story.entries(connection, desk.only(asked).id, None)]
    assert "approval.intended" in kinds
    assert "approval.decided" not in kinds


def test_a_denial_says_its_reason_once(desk: Desk, practice: Practice, approver: Browser, asked: str) -> None:
    decide(approver, "deny", "Not\n before   noon.")
    desk.sweep()
    assert desk.only(asked).state is State.FAILED
    assert said(practice, asked, "Denied by Approver One at") == 1
    assert said(practice, asked, "Not before noon.") == 1


@pytest.mark.parametrize(("decision", "reason"), [("approve", "  \u200b "), ("deny", "x" * 501), ("perhaps", "So.")])
def test_without_a_reason_that_can_be_read_nothing_is_decided(
    practice: Practice, approver: Browser, decision: str, reason: str
) -> None:
    answer = decide(approver, decision, reason)
    assert answer.status_code == 400  # type: ignore[attr-defined]
    assert "Nothing was decided" in answer.text  # type: ignore[attr-defined]
    assert f'value="{clean(reason, limit=501)}" required aria-invalid' in answer.text  # type: ignore[attr-defined]
    assert practice.activation_requests()[-1]["status"] == "PendingApproval"


def test_who_is_no_approver_sees_nothing_and_decides_nothing(
    desk: Desk, practice: Practice, browser: Opened, asked: str
) -> None:
    request = practice.activation_requests()[-1]["id"]
    for who in ("technician2", "technician"):
        page = browser(who)
        assert "Nothing waits for you" in page.get("/approvals").text
        before = rows(desk.deployment)
        answer = page.press(f"/approvals/{request}", decision="approve", reason="Me too.", shown="x")
        assert answer.status_code == 409
        assert rows(desk.deployment) == before
    assert practice.activation_requests()[-1]["status"] == "PendingApproval"


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (403, "does not know you as an approver"),
        (404, "The request is gone"),
        (409, "Another approver decided this at the same moment"),
    ],
)
def test_a_decision_that_the_tenant_refuses_says_why_and_changes_nothing(
    desk: Desk, practice: Practice, approver: Browser, asked: str, status: int, sentence: str
) -> None:
    fault(practice, "status", method="PATCH", path="roleAssignmentApprovals", status=status, times=1)
    written = frozenset({"tenant_answers", "journal", "journal_private"})
    before = rows(desk.deployment, but=written)
    answer = decide(approver, "approve", "Yes.")
    assert answer.status_code == status  # type: ignore[attr-defined]
    assert sentence in answer.text  # type: ignore[attr-defined]
    assert rows(desk.deployment, but=written) == before


def test_what_was_withdrawn_meanwhile_cannot_be_decided(
    desk: Desk, practice: Practice, approver: Browser, asked: str
) -> None:
    text = approver.get("/approvals").text
    end_now(desk, asked)
    desk.sweep()
    path = re.search(r'action="(/approvals/[^"]+)"', text)
    assert path
    answer = approver.press(path[1], decision="approve", reason="Yes.", shown="x")
    assert answer.status_code == 409
    assert "nothing to decide" in answer.text


def test_what_was_not_shown_is_not_decided(practice: Practice, approver: Browser) -> None:
    answer = decide(approver, "approve", "Yes.", shown="another page")
    assert answer.status_code == 409  # type: ignore[attr-defined]
    assert practice.activation_requests()[-1]["status"] == "PendingApproval"


def test_a_helpdesk_that_is_away_does_not_hide_the_request(practice: Practice, approver: Browser) -> None:
    fault(practice, "status", side="helpdesk", method="GET", status=503, times=9)
    text = approver.get("/approvals").text
    assert ROLE in text
    assert "The helpdesk does not answer" in text


def test_a_helpdesk_that_is_slow_keeps_nobody_waiting(
    practice: Practice, approver: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "PATIENCE", timedelta(milliseconds=50))
    fault(practice, "slow_answer", side="helpdesk", method="GET", seconds=2, times=9)
    text = approver.get("/approvals").text
    assert ROLE in text
    assert "The helpdesk does not answer" in text
    mend(practice)


def test_what_was_decided_before_is_the_approvers_own_to_see(
    desk: Desk, approver: Browser, browser: Opened, asked: str
) -> None:
    assert "What you decided before" not in words(approver.get("/approvals"))
    decide(approver, "deny", "Not <b>today</b>.")
    desk.sweep()
    page = words(approver.get("/approvals"))
    assert re.search(rf"Denied ?Not <b>today</b>\. {ROLE} Technician One {asked} —", page)
    assert "What you decided before" in page
    assert "What you decided before" not in words(browser("auditor").get("/approvals"))


def test_requests_beyond_what_a_page_holds_are_counted(
    desk: Desk, practice: Practice, approver: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.link("technician2")
    practice.control("/policies/Authentication Administrator", {"approval_required": True})
    ticket = practice.new_ticket("MFA reset")
    practice.assign(ticket, "technician2")
    desk.deliver(ticket)
    monkeypatch.setattr(approvals, "MOST", 1)
    page = words(approver.get("/approvals"))
    assert "1 more waits." in page
    assert ROLE in page
    assert "Authentication Administrator" not in page


def test_a_request_made_in_a_portal_is_shown_as_that_and_can_be_decided(
    desk: Desk, practice: Practice, browser: Opened
) -> None:
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    by_hand(desk, practice)
    page = browser("approver")
    assert "Made outside Ticket Elevate" in page.get("/approvals").text
    decide(page, "approve", "Yes.")
    assert practice.activation_requests()[-1]["status"] == "Provisioned"


def test_a_decision_whose_answer_got_lost_is_found_and_written_down(
    desk: Desk, practice: Practice, approver: Browser, asked: str
) -> None:
    fault(practice, "lose_answer", method="PATCH", path="roleAssignmentApprovals", times=1)
    assert decide(approver, "approve", "The user is here.").status_code == 303  # type: ignore[attr-defined]
    desk.sweep()
    assert said(practice, asked, "Approved by Approver One at") == 1


def test_an_approved_request_that_fails_afterwards_is_not_called_denied(
    desk: Desk, practice: Practice, approver: Browser, asked: str
) -> None:
    decide(approver, "approve", "The user is here.")
    practice.control(f"/requests/{practice.activation_requests()[-1]['id']}", {"status": "Failed"})
    desk.sweep()
    assert said(practice, asked, "denied it") == 0


@pytest.fixture
def with_azure(practice: Practice, desk: Desk, asked: str, tmp_path: Path) -> Iterator[Browser]:
    """An approver of the request for a directory role, and of one for an Azure role, where both are in the rules."""
    azure = practice.people["technician"]["eligible_azure"][0]
    place = tmp_path / "rules.toml"
    place.write_text(f"""
[[rule]]
name = "Azure"
match = {{ category = "BitLocker key" }}
roles = [{{ azure_role = "{azure["roleDefinitionId"]}", scope = "{azure["scope"]}" }}]
""")
    practice.control(f"/policies/{azure['role']}", {"approval_required": True})
    made = Deployment(settings_for(practice, desk.deployment.settings.database_url, tmp_path, rules_file=place))
    mixed = Desk(made, practice)
    mixed.sign_in()
    assert mixed.only(pick(mixed, practice, category="BitLocker key")).state is State.PENDING
    page = Browser(create_app(made).test_client(), practice)
    assert page.sign_in("approver").status_code == 303
    yield page
    made.records.dispose()


@pytest.mark.parametrize("status", [503, 403])
def test_a_source_that_is_away_is_named_and_the_rest_can_be_decided(
    practice: Practice, with_azure: Browser, status: int
) -> None:
    assert words(with_azure.get("/approvals")).count("Who asks") == 2
    fault(practice, "status", side="arm", status=status, times=1000)
    page = words(with_azure.get("/approvals"))
    assert "Azure resources cannot be shown now." in page
    assert page.count("Who asks") == 1
    assert decide(with_azure, "approve", "Yes.").status_code == 303  # type: ignore[attr-defined]
    assert "Nothing waits for you" not in words(with_azure.get("/approvals"))


def test_a_request_whose_source_is_away_is_not_called_gone(practice: Practice, with_azure: Browser) -> None:
    text = with_azure.get("/approvals").text
    fault(practice, "status", side="arm", status=503, times=1000)
    both = re.findall(r'action="(/approvals/[^"]+)"', text)
    for path, shown in zip(both, re.findall(r'name="shown" value="([^"]+)"', text), strict=True):
        answer = with_azure.press(path, decision="deny", reason="No.", shown=shown)
        assert answer.status_code in (303, 502)
    waits = [it["status"] for it in practice.activation_requests()]
    assert sorted(waits) == ["Denied", "PendingApproval"]


def test_a_source_that_is_slow_does_not_keep_the_rest_waiting(
    practice: Practice, with_azure: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "TENANT_PATIENCE", timedelta(seconds=2))
    fault(practice, "slow_answer", side="arm", seconds=5, times=1000)
    page = words(with_azure.get("/approvals"))
    assert "Azure resources cannot be shown now." in page
    assert page.count("Who asks") == 1
    mend(practice)


def test_a_reason_survives_the_sign_in_that_its_decision_needs(
    desk: Desk, practice: Practice, approver: Browser, asked: str
) -> None:
    text = approver.get("/approvals").text
    action = found(r'action="(/approvals/[^"]+)"', text)
    shown = found(r'name="shown" value="([^"]+)"', text)
    assert approver.press("/forget-sign-in", page="/account").status_code == 200
    answer = approver.press(action, page="/account", decision="approve", reason="She <stands> here.", shown=shown)
    assert answer.status_code == 401
    assert practice.activation_requests()[-1]["status"] == "PendingApproval"
    back_to = found(r'name="back_to" value="([^"]+)"', answer.text)
    assert approver.sign_in("approver", back_to=back_to).status_code == 303
    page = approver.get("/approvals")
    assert "Your last press decided nothing, since you had to sign in first. Your reason still stands" in words(page)
    for _ in range(2):  # until it is decided
        assert 'value="She &lt;stands&gt; here."' in approver.get("/approvals").text
    assert decide(approver, "approve", "She <stands> here.").status_code == 303  # type: ignore[attr-defined]
    said = words(approver.get("/approvals"))
    assert "Approved. The ticket says so" in said
    assert "Your last press" not in said


def test_a_reason_is_not_shown_to_somebody_else_who_signs_in(practice: Practice, approver: Browser) -> None:
    text = approver.get("/approvals").text
    approver.press("/forget-sign-in", page="/account")
    shown = found(r'name="shown" value="([^"]+)"', text)
    approver.press(found(r'action="(/approvals/[^"]+)"', text), page="/account", reason="Between us.", shown=shown)
    approver.sign_in("administrator", back_to="/approvals")
    assert "Your last press" not in words(approver.get("/approvals"))


def pressed_without_a_sign_in(page: Browser, reason: str, *, which: str = "") -> tuple[str, str]:
    """The form of the request (of `which` kind) and what it showed; its approver is asked to sign in."""
    for form in re.findall(r"<form.*?</form>", page.get("/approvals").text, re.DOTALL):
        if f'name="kind" value="{which}' in form:
            action, shown = found(r'action="([^"]+)"', form), found(r'name="shown" value="([^"]+)"', form)
            page.press("/forget-sign-in", page="/account")
            answer = page.press(action, page="/account", decision="approve", reason=reason, shown=shown)
            assert answer.status_code == 401
            assert "What you pressed was not done" in words(answer)
            return action, shown
    raise AssertionError


def test_a_reason_outlives_what_comes_between_the_press_and_the_page(practice: Practice, approver: Browser) -> None:
    """The sign-in page is reloaded by its address, and the tenant is away when the page is drawn."""
    action, _ = pressed_without_a_sign_in(approver, "Long words.")
    assert approver.get(action).status_code == 303
    assert approver.get("/approvals").status_code == 401
    approver.sign_in("approver", back_to="/approvals")
    fault(practice, "status", side="graph", status=503, times=1000)
    assert approver.get("/approvals").status_code == 502
    mend(practice)
    assert "Long words." in approver.get("/approvals").text


def test_a_request_that_cannot_be_shown_is_not_called_gone(practice: Practice, with_azure: Browser) -> None:
    pressed_without_a_sign_in(with_azure, "Long words.", which="azure-role")
    with_azure.sign_in("approver", back_to="/approvals")
    fault(practice, "status", side="arm", status=503, times=1000)
    said = words(with_azure.get("/approvals"))
    assert "your reason is kept until it can" in said
    assert "does not wait for you any more" not in said
    mend(practice)
    assert "Long words." in with_azure.get("/approvals").text


@pytest.mark.parametrize("which", ["azure-role", "entra-role"])
def test_a_request_with_a_reason_is_among_those_that_are_shown(
    with_azure: Browser, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    pressed_without_a_sign_in(with_azure, "Long words.", which=which)
    monkeypatch.setattr(approvals, "MOST", 1)
    with_azure.sign_in("approver", back_to="/approvals")
    page = with_azure.get("/approvals")
    assert "1 more waits" in words(page)
    assert 'value="Long words."' in page.text


def test_a_request_that_is_gone_takes_its_reason_along(practice: Practice, approver: Browser, asked: str) -> None:
    pressed_without_a_sign_in(approver, "Long words.")
    practice.control(f"/requests/{practice.activation_requests()[-1]['id']}", {"status": "Denied"})
    approver.sign_in("approver", back_to="/approvals")
    assert "does not wait for you any more" in words(approver.get("/approvals"))
    assert "Your last press" not in words(approver.get("/approvals"))


def test_who_signed_in_elsewhere_and_pressed_again_is_told_of_the_decision_alone(
    approver: Browser, browser: Opened
) -> None:
    action, shown = pressed_without_a_sign_in(approver, "Yes.")
    browser("approver")  # on another device: what is kept is the person's sign-in
    assert approver.press(action, page="/account", decision="approve", reason="Yes.", shown=shown).status_code == 303
    said = words(approver.get("/approvals"))
    assert "Approved. The ticket says so" in said
    assert "Your last press" not in said


def test_all_kinds_are_shown_although_each_needs_a_fresh_token(
    with_azure: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in is renewed by one alone at a time."""
    renew, at_hand, run_out = tokens._silent, tokens.Tokens._at_hand, set()

    def slow(*given: Any) -> Any:
        time.sleep(0.3)  # as long as Microsoft takes
        return renew(*given)

    def as_an_hour_later(self: tokens.Tokens, tid: str, oid: str, row: Any, wanted: Any, now: Any) -> str | None:
        fresh = wanted in run_out
        run_out.add(wanted)
        return at_hand(self, tid, oid, row, wanted, now) if fresh else None

    monkeypatch.setattr(tokens, "_silent", slow)
    monkeypatch.setattr(tokens.Tokens, "_at_hand", as_an_hour_later)
    said = words(with_azure.get("/approvals"))
    assert "cannot be shown now" not in said
    assert said.count("Who asks") == 2


def test_a_decision_asks_the_kind_that_its_form_names_first(practice: Practice, with_azure: Browser) -> None:
    text = with_azure.get("/approvals").text
    (form,) = (it for it in re.findall(r"<form.*?</form>", text, re.DOTALL) if 'name="kind" value="azure-role"' in it)
    fields = dict(re.findall(r'name="(kind|shown)" value="([^"]+)"', form))
    before = len(practice.log()["requests"])
    action = found(r'action="([^"]+)"', form)
    assert with_azure.press(action, page="/account", decision="approve", reason="Yes.", **fields).status_code == 303
    asked_since = practice.log()["requests"][before:]
    assert not [it for it in asked_since if it["side"] == "graph" and "ApprovalRequests" in it["path"]]


def found(pattern: str, text: str) -> str:
    it = re.search(pattern, text)
    assert it, text
    return it[1]
