"""A role that an approver has to give: waited for in words, decided, withdrawn, run out, and never forgotten."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from integration.comments import marker
from integration.elevation import Activation, ActivationState, Elevation, State
from integration.entra.errors import EntraUnavailable
from integration.entra.tenant import Tenant
from integration.records import elevations
from integration.records.tables import activations as activations_table
from tests.conftest import Desk, Practice
from tests.workers.steps import PASSWORD_ADMINISTRATOR, activations_of, end_now, fault, mend, pick, said, wait_for
from workers import approvals, schedule
from workers.approvals import CALLS_PER_MINUTE
from workers.decisions import Decision, record
from workers.run import Run, What

ROLE = "Password Administrator"


@pytest.fixture
def asked(desk: Desk, practice: Practice) -> str:
    """A ticket whose role waits for an approver."""
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    return pick(desk, practice)


def request_of(practice: Practice) -> str:
    return str(practice.activation_requests()[-1]["id"])


def decide(practice: Practice, decision: str, reason: str = "") -> None:
    practice.control(f"/requests/{request_of(practice)}", {"decision": decision, "reason": reason})


def a_minute(desk: Desk) -> None:
    wait_for(desk, timedelta(seconds=35), steps=2)


def only(desk: Desk) -> Activation:
    (it,) = activations_of(desk)
    return it


def test_the_ticket_says_since_when_and_until_when_an_approver_is_waited_for(
    desk: Desk, practice: Practice, asked: str
) -> None:
    it = desk.only(asked)
    assert it.state is State.PENDING
    assert only(desk).state is ActivationState.PENDING
    assert it.until is not None
    assert timedelta(hours=23, minutes=59) < it.until - desk.now() <= timedelta(hours=24)
    assert said(practice, asked, "waits for an approver since") == 1
    assert practice.active_roles() == []


def test_an_approved_request_becomes_active_by_itself_and_is_given_back(
    desk: Desk, practice: Practice, asked: str
) -> None:
    decide(practice, "approve")
    a_minute(desk)
    assert desk.only(asked).state is State.ACTIVE
    assert said(practice, asked, "is active until") == 1

    desk.advance(timedelta(minutes=6))
    practice.solve(asked)
    desk.deliver(asked)
    desk.sweep()
    assert (desk.only(asked).state, practice.active_roles()) == (State.ENDED, [])


def test_a_denied_request_ends_with_the_approvers_words_on_the_ticket(
    desk: Desk, practice: Practice, asked: str
) -> None:
    decide(practice, "deny", "Ask for it\n\n again **tomorrow**.")
    a_minute(desk)
    assert desk.only(asked).state is State.FAILED
    assert said(practice, asked, "denied it") == 1
    assert said(practice, asked, "Ask for it again **tomorrow**.") == 1


def test_a_request_that_nobody_decides_ends_after_a_day_in_words(desk: Desk, practice: Practice, asked: str) -> None:
    wait_for(desk, timedelta(hours=6), steps=3)
    assert desk.only(asked).state is State.PENDING
    wait_for(desk, timedelta(hours=3), steps=3)
    assert desk.only(asked).state is State.FAILED
    assert said(practice, asked, "Nobody approved it within 24 hours") == 1


def test_a_solved_ticket_withdraws_its_request(desk: Desk, practice: Practice, asked: str) -> None:
    practice.solve(asked)
    desk.deliver(asked)
    desk.sweep()
    assert practice.activation_requests()[-1]["status"] == "Canceled"
    assert (desk.only(asked).state, only(desk).state) == (State.ENDED, ActivationState.WITHDRAWN)
    assert said(practice, asked, "withdrawn before an approver decided it: the ticket was solved") == 1


def test_a_technician_withdraws_with_one_button(desk: Desk, practice: Practice, asked: str) -> None:
    end_now(desk, asked)
    desk.sweep()
    assert practice.activation_requests()[-1]["status"] == "Canceled"
    assert said(practice, asked, "withdrawn before an approver decided it") == 1


def test_a_withdrawal_that_comes_after_the_approval_gives_the_role_back(
    desk: Desk, practice: Practice, asked: str
) -> None:
    decide(practice, "approve")
    end_now(desk, asked)
    desk.sweep()
    wait_for(desk, timedelta(minutes=1), steps=8)
    assert (practice.active_roles(), only(desk).state) == ([], ActivationState.GIVEN_BACK)
    assert desk.only(asked).state is State.ENDED


def test_a_request_taken_back_in_the_portal_cancels_the_elevation(desk: Desk, practice: Practice, asked: str) -> None:
    person, tid = practice.people["technician"]["oid"], practice.facts["tenant_id"]
    desk.deployment.tenant.withdraw(tid, person, desk.now(), PASSWORD_ADMINISTRATOR, request_of(practice))
    a_minute(desk)
    assert desk.only(asked).state is State.CANCELLED
    assert said(practice, asked, "the request was withdrawn in Entra") == 1


def test_a_second_ticket_waits_for_the_same_approval(desk: Desk, practice: Practice, asked: str) -> None:
    second = pick(desk, practice)
    assert desk.only(second).state is State.PENDING
    assert len(practice.activation_requests()) == 1

    practice.solve(asked)
    desk.deliver(asked)
    desk.sweep()
    assert practice.activation_requests()[-1]["status"] == "PendingApproval"
    decide(practice, "approve")
    a_minute(desk)
    assert desk.only(second).state is State.ACTIVE


def test_a_request_made_in_the_portal_is_used_and_never_withdrawn_by_us(desk: Desk, practice: Practice) -> None:
    from tests.workers.steps import by_hand

    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    by_hand(desk, practice)
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.PENDING
    assert said(practice, ticket, "made outside Ticket Elevate") == 1

    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    assert [r["status"] for r in practice.activation_requests()] == ["PendingApproval"]
    assert only(desk).state is ActivationState.WITHDRAWN


def test_a_policy_that_changes_while_a_request_waits_changes_nothing_for_it(
    desk: Desk, practice: Practice, asked: str
) -> None:
    practice.control(f"/policies/{ROLE}", {"approval_required": False, "maximum_duration": "PT30M"})
    a_minute(desk)
    assert desk.only(asked).state is State.PENDING
    decide(practice, "approve")
    a_minute(desk)
    assert desk.only(asked).state is State.ACTIVE


def test_an_approver_s_words_are_never_taken_for_a_note_of_ours(desk: Desk, practice: Practice, asked: str) -> None:
    """The elevation's id is in each link on the ticket, so anybody can write a marker of it."""
    it = desk.only(asked)
    (activation,) = activations_of(desk)
    said_so = Decision(True, "Approver", "oid", f"Fine. {marker(it.id, 'active')}", desk.now())
    practice.control(f"/requests/{request_of(practice)}", {"decision": "approve"})
    record(Run(desk.deployment, cause="click", clock=desk.now), activation, [], said_so)
    for due in schedule.due(desk.deployment, now=desk.now()):
        if due.what is What.COMMENT:
            desk.step(due)
    assert said(practice, asked, "Fine. (te:") == 1
    fault(practice, "status", side="helpdesk", method="POST", status=503, times=1)
    desk.sweep()
    mend(practice)
    wait_for(desk, timedelta(minutes=1), steps=4)
    assert said(practice, asked, "is active until") == 1


def test_a_ticket_that_joins_while_the_request_is_taken_back_asks_for_one_of_its_own(
    desk: Desk, practice: Practice, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = type(desk.deployment.tenant)
    withdraw, second = tenant.withdraw, practice.new_ticket()
    practice.assign(second)

    def meanwhile(self: Tenant, *args: Any) -> None:
        if not desk.elevations(second):
            desk.deliver(second)  # another worker, in this very moment
        withdraw(self, *args)

    monkeypatch.setattr(tenant, "withdraw", meanwhile)
    practice.solve(asked)
    desk.deliver(asked)
    desk.sweep()
    a_minute(desk)
    assert (desk.only(asked).state, desk.only(second).state) == (State.ENDED, State.PENDING)
    assert sorted(r["status"] for r in practice.activation_requests()) == ["Canceled", "PendingApproval"]
    assert said(practice, second, "withdrawn") == 0


def test_a_withdrawal_of_which_the_answer_got_lost_is_not_blamed_on_the_ticket_that_joined(
    desk: Desk, practice: Practice, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = type(desk.deployment.tenant)
    withdraw, second = tenant.withdraw, practice.new_ticket()
    practice.assign(second)

    def lost(self: Tenant, *args: Any) -> None:
        withdraw(self, *args)
        desk.deliver(second)
        raise EntraUnavailable("Microsoft Entra did not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(tenant, "withdraw", lost)
        practice.solve(asked)
        desk.deliver(asked)
    a_minute(desk)
    desk.sweep()
    assert desk.only(second).state is State.PENDING
    assert said(practice, second, "withdrawn") == 0


def test_an_unanswered_look_is_repeated(desk: Desk, practice: Practice, asked: str) -> None:
    fault(practice, "status", method="GET", path="roleAssignmentScheduleRequests", status=503, times=3)
    decide(practice, "approve")
    wait_for(desk, timedelta(seconds=30), steps=6)
    mend(practice)
    a_minute(desk)
    assert desk.only(asked).state is State.ACTIVE


def waiting_rows(desk: Desk, technicians: int, each: int) -> list[dict[str, Any]]:
    """Rows of requests that wait: what they say is not to be asked for in this test."""
    since = desk.now() - timedelta(minutes=1)
    return [
        vars(
            Activation(
                id=f"{who:05}-{number:05}",
                tid="tenant",
                oid=f"technician-{who}",
                target=f"entra-role:{number}@/",
                target_name="A role",
                state=ActivationState.PENDING,
                version=1,
                due_at=since,
                created_at=since,
                duration_seconds=3600,
                justification="",
                ticket_number="1",
                request_id=f"request-{who}-{number}",
                pending_at=since,
            )
        )
        for who in range(technicians)
        for number in range(each)
    ]


def emptied(desk: Desk) -> None:
    """The journal knows nothing of these rows."""
    with desk.deployment.records.write() as tx:
        tx.execute(activations_table.delete())


def test_ten_thousand_technicians_are_looked_after_one_by_one_and_not_in_one_burst(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request each, asked for at any time of the last three hours, last looked at in the last half hour."""
    monkeypatch.setattr(elevations, "lists_pending", lambda connection: 10_000)
    (row,) = waiting_rows(desk, 1, 1)
    it, start = Activation(**row), desk.now()

    def later(n: int) -> datetime:
        return start + timedelta(seconds=n * 7919 % 1800)

    looks = [
        approvals.next_look(
            Run(desk.deployment, cause="sweep", clock=partial(later, n)),
            replace(it, oid=f"technician-{n}", pending_at=start - timedelta(minutes=n % 180)),
        )
        for n in range(10_000)
    ]
    a_minute = Counter(int(at.timestamp() // 60) for at in looks)
    assert max(a_minute.values()) <= CALLS_PER_MINUTE


@pytest.mark.parametrize("lists", [1, 200, 3_000, 20_000])
def test_all_requests_of_a_technician_come_due_in_one_moment_however_old_they_are(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, lists: int
) -> None:
    monkeypatch.setattr(elevations, "lists_pending", lambda connection: lists)
    (row,) = waiting_rows(desk, 1, 1)
    it, run = Activation(**row), Run(desk.deployment, cause="sweep", clock=desk.now)
    old = approvals.next_look(run, replace(it, pending_at=desk.now() - timedelta(hours=3)))
    desk.ahead = old - desk.now() + desk.ahead - timedelta(seconds=1)
    young = approvals.next_look(run, replace(it, pending_at=desk.now()))
    assert abs(young - old) < timedelta(milliseconds=1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("technicians", "each"), [(200, 50)])
def test_ten_thousand_waiting_approvals_cost_a_bounded_number_of_calls(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, technicians: int, each: int
) -> None:
    calls: list[str] = []

    def pending(self: object, tid: str, oid: str, now: object, kind: object) -> frozenset[str]:
        calls.append(oid)
        return frozenset(f"request-{oid.removeprefix('technician-')}-{n}" for n in range(each))

    def held(connection: object, activation_id: str) -> list[Elevation]:
        return [None]  # type: ignore[list-item]  # somebody needs it

    monkeypatch.setattr(type(desk.deployment.tenant), "pending", pending)
    monkeypatch.setattr(elevations, "holders", held)
    with desk.deployment.records.write() as tx:
        tx.execute(activations_table.insert(), waiting_rows(desk, technicians, each))
    request.addfinalizer(lambda: emptied(desk))
    minutes = 0.0
    for sweep in range(19):
        while found := schedule.due(desk.deployment, now=desk.now(), at_most=20):
            for due in found:
                assert due.what is What.ACTIVATION
                desk.step(due)
        desk.ahead += timedelta(seconds=15)
        if sweep == 6:  # everybody was asked for once, and has a time of their own now
            assert len(set(calls)) == technicians
            calls.clear()
            minutes = 12 / 4
    assert technicians <= len(calls) <= minutes * CALLS_PER_MINUTE + technicians
