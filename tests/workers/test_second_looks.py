"""What changed between the pick and the act: in the tenant, in the rules, at the helpdesk, or only the time."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from integration import rules
from integration.deployment import Deployment
from integration.elevation import ActivationState, EndReason, State, move
from integration.journal import Kind
from integration.records import comments, deliveries, elevations, journal, story
from integration.tickets import HelpdeskUnavailable, TicketEvent
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import PASSWORD_ADMINISTRATOR, activations_of, fault, mend, pick, said, wait_for
from workers.run import Due, What

REQUESTS = "roleAssignmentScheduleRequests"
EVER = 10_000


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


def pass_time(desk: Desk, minutes: int) -> None:
    wait_for(desk, timedelta(minutes=1), steps=minutes)


def press(desk: Desk, ticket: str) -> None:
    """What the page's button does with an open offer."""
    it = desk.only(ticket)
    clicked = replace(it, acted_at=desk.now(), clicked=True)
    with desk.deployment.records.write() as tx:
        elevations.save_elevation(tx, move(clicked, State.REQUESTED, due_at=desk.now()))
        facts = {"ticket": f"{it.connection}/{it.ticket}"}
        journal.append(tx, Kind.PICK_PLANNED, now=desk.now(), cause="click", elevation=it.id, facts=facts)
    desk.sweep()


@pytest.mark.usefixtures("at_the_portal")
def test_a_role_that_was_ended_in_the_portal_is_not_joined_but_asked_for_again(desk: Desk, practice: Practice) -> None:
    desk.link()
    first = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    oid = practice.people["technician"]["oid"]
    desk.deployment.tenant.give_back(practice.facts["tenant_id"], oid, desk.now(), PASSWORD_ADMINISTRATOR)

    second = pick(desk, practice)
    desk.advance(timedelta(seconds=3))  # not seen once proves nothing: it is looked for twice
    desk.sweep()

    assert desk.only(first).state is State.ENDED
    assert desk.only(first).end_reason == EndReason.OUTSIDE
    assert said(practice, first, "ended outside Ticket Elevate") == 1
    assert desk.only(second).state is State.ACTIVE
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]
    assert [it.state for it in activations_of(desk)] == [ActivationState.EXPIRED, ActivationState.ACTIVE]


def test_a_role_that_ends_in_a_moment_is_waited_out_and_asked_for_again(desk: Desk, practice: Practice) -> None:
    desk.link()
    first = pick(desk, practice)
    pass_time(desk, 26)

    second = pick(desk, practice)
    assert desk.only(second).state is State.REQUESTED
    pass_time(desk, 6)

    assert desk.only(first).state is State.ENDED
    again = desk.only(second)
    assert again.state is State.ACTIVE
    assert again.until is not None
    assert again.until - desk.now() > timedelta(minutes=25)
    assert len(practice.activation_requests()) == 2


def test_a_rule_that_asks_for_a_click_since_the_pick_gets_one(desk: Desk, practice: Practice, tmp_path: Path) -> None:
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    careful = tmp_path / "careful.toml"
    careful.write_text(rules.SHIPPED.read_text().replace('start = "on_pick"', 'start = "on_click"'))
    desk.deployment.__dict__["rules"] = rules.load(careful)

    desk.link()
    waiting = replace(desk.only(ticket), acted_at=desk.now())
    with desk.deployment.records.write() as tx:
        elevations.save_elevation(tx, move(waiting, State.REQUESTED, due_at=desk.now()))
        journal.append(tx, Kind.SIGNIN_DONE, now=desk.now(), cause="click", elevation=waiting.id)
    desk.sweep()

    assert desk.only(ticket).state is State.OFFERED
    assert practice.activation_requests() == []
    assert said(practice, ticket, "before the assigned technician starts it") == 1

    press(desk, ticket)
    assert desk.only(ticket).state is State.ACTIVE


def test_a_helpdesk_that_is_away_for_long_leaves_a_link_and_no_role(desk: Desk, practice: Practice) -> None:
    """Threat 3: the technician may long be doing something else."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    event = TicketEvent("msg_away", ticket, "ticket.assigned", "first")
    with desk.deployment.records.write() as tx:
        kept = deliveries.store(tx, "practice", event, now=desk.now())
    assert kept is not None
    fault(practice, "status", side="helpdesk", path=f"/api/tickets/{ticket}", times=EVER)
    desk.step(Due(What.DELIVERY, kept))
    pass_time(desk, 16)
    mend(practice)
    pass_time(desk, 60)

    assert desk.only(ticket).state is State.OFFERED
    assert practice.activation_requests() == []


def test_a_tenant_that_is_away_for_long_leaves_a_link_and_no_role(desk: Desk, practice: Practice) -> None:
    """Threat 3. A click starts it again, with an activation of its own."""
    desk.link()
    fault(practice, "status", side="graph", method="POST", path=REQUESTS, times=EVER)
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.WAITING

    pass_time(desk, 20)
    mend(practice)
    pass_time(desk, 60)

    assert desk.only(ticket).state is State.OFFERED
    assert [it.state for it in activations_of(desk)] == [ActivationState.FAILED]
    assert practice.activation_requests() == []
    assert said(practice, ticket, "could not be started within a quarter of an hour") == 1

    press(desk, ticket)
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


@pytest.mark.parametrize("change", ["solved", "handed over", "gone"])
def test_a_request_that_comes_late_looks_at_the_ticket_again(desk: Desk, practice: Practice, change: str) -> None:
    """Its webhook was lost, or is still under way."""
    desk.link()
    fault(practice, "status", side="graph", method="POST", path=REQUESTS, times=EVER)
    ticket = pick(desk, practice)
    desk.advance(timedelta(minutes=2))
    if change == "solved":
        practice.solve(ticket)
    elif change == "handed over":
        practice.assign(ticket, "technician2")
    else:
        url = f"{practice.facts['practice_url']}/_practice/tickets/{ticket}"
        requests.delete(url, timeout=10).raise_for_status()
    mend(practice)
    pass_time(desk, 12)

    assert practice.activation_requests() == []
    assert desk.only(ticket).state in (State.ENDED, State.CANCELLED)
    assert [it.state for it in activations_of(desk)] == [ActivationState.FAILED]


def test_a_helpdesk_that_is_away_does_not_hold_up_a_request_that_comes_late(desk: Desk, practice: Practice) -> None:
    desk.link()
    fault(practice, "status", side="graph", method="POST", path=REQUESTS, times=EVER)
    ticket = pick(desk, practice)
    mend(practice)
    fault(practice, "status", side="helpdesk", path="/api/", times=EVER)
    pass_time(desk, 2)

    assert desk.only(ticket).state is State.ACTIVE


def test_a_technician_who_filed_the_ticket_by_another_address_of_theirs_is_refused(
    desk: Desk, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 9: by mail alias. The helpdesk knows two accounts, the directory one person."""
    practice.control("/people/technician", {"mail": "first.last@practice.example"})
    practice.control("/people/technician", {"helpdesk_mail": "first.last@practice.example"})
    monkeypatch.setitem(practice.people["technician"], "mail", "first.last@practice.example")
    practice.control("/people/requester", {"helpdesk_mail": practice.people["technician"]["upn"].upper()})

    desk.link()
    ticket = pick(desk, practice)

    assert desk.only(ticket).state is State.REFUSED
    assert practice.activation_requests() == []
    assert said(practice, ticket, "You filed this ticket yourself") == 1


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path, request: Any) -> Iterator[Deployment]:
    """As everywhere; `requesters` may be said by the test."""
    settings = settings_for(practice, database_url, tmp_path)
    if (path := getattr(request, "param", None)) is not None:
        settings.helpdesks["practice"]["requesters"] = path
    made = Deployment(settings)
    made.records.migrate()
    yield made
    made.records.dispose()


@pytest.mark.parametrize("deployment", ["`[]`"], ids=["no requester"], indirect=True)
def test_a_ticket_that_names_no_requester_needs_a_click(desk: Desk, practice: Practice) -> None:
    """Threat 9: nobody can tell that the technician did not file it."""
    desk.link()
    ticket = pick(desk, practice)

    assert desk.only(ticket).state is State.OFFERED
    assert practice.activation_requests() == []
    press(desk, ticket)
    assert desk.only(ticket).state is State.ACTIVE


def test_a_role_that_entra_says_is_there_and_does_not_show_ends_in_a_sentence(desk: Desk, practice: Practice) -> None:
    desk.link()
    first = pick(desk, practice)
    practice.control("/settings", {"release_delay": 3600})
    desk.advance(timedelta(minutes=6))
    practice.solve(first)
    desk.deliver(first)
    asked = len(tries(practice))

    second = pick(desk, practice)
    pass_time(desk, 10)

    assert desk.only(second).state is State.FAILED
    assert said(practice, second, "No role was activated") == 1
    assert len(tries(practice)) - asked < 15


def tries(practice: Practice) -> list[dict[str, Any]]:
    return [r for r in practice.log()["requests"] if r["method"] == "POST" and r["path"].endswith(REQUESTS)]


def test_a_second_sign_in_that_is_needed_is_said_again(desk: Desk, practice: Practice) -> None:
    ticket = pick(desk, practice)
    assert said(practice, ticket, "please sign in once") == 1
    desk.link()
    practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})
    waiting = replace(desk.only(ticket), acted_at=desk.now())
    with desk.deployment.records.write() as tx:
        elevations.save_elevation(tx, move(waiting, State.REQUESTED, due_at=desk.now()))
        journal.append(tx, Kind.SIGNIN_DONE, now=desk.now(), cause="click", elevation=waiting.id)
    desk.sweep()

    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert said(practice, ticket, "please sign in once") == 2
    with desk.deployment.records.read() as connection:
        steps = [it.step for it in comments.of_elevation(connection, desk.only(ticket).id)]
    assert steps == ["sign-in", "sign-in-2"]


def test_a_state_that_never_comes_is_asked_for_less_and_less_and_then_not_waited_for(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    helpdesk, asked = desk.deployment.helpdesks["practice"], []
    real = helpdesk.ticket

    def never(number: str, *, revision: str | None = None, now: Any) -> Any:
        asked.append(revision)
        if revision is not None:
            raise HelpdeskUnavailable("practice", after=0.5)
        return real(number, now=now)

    helpdesk.ticket = never  # type: ignore[method-assign]
    event = TicketEvent("msg_1", ticket, "ticket.assigned", "first", revision="99")
    with desk.deployment.records.write() as tx:
        deliveries.store(tx, "practice", event, now=desk.now())
    for _ in range(420):
        desk.sweep()
        desk.advance(timedelta(seconds=1))

    assert desk.only(ticket).state is State.ACTIVE
    assert len(asked) < 25


def test_a_comment_that_cannot_be_written_any_more_is_given_up_and_that_is_recorded(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    fault(practice, "status", side="helpdesk", method="POST", path="/notes", times=EVER)
    ticket = pick(desk, practice)
    requests.delete(f"{practice.facts['practice_url']}/_practice/tickets/{ticket}", timeout=10).raise_for_status()
    mend(practice)
    pass_time(desk, 3)

    it = desk.only(ticket)
    with desk.deployment.records.read() as connection:
        (comment,) = [c for c in comments.of_elevation(connection, it.id) if c.step == "active"]
        entries = [json.loads(row.entry) for row in story.entries(connection, it.id, it.activation)]
    assert (comment.due_at, comment.written_at) == (None, None)
    refused = [entry["facts"] for entry in entries if entry["kind"] == "comment.refused"]
    assert {"step": "active", "error": "TicketGone"} in refused


@pytest.fixture
def policy_cut(desk: Desk, practice: Practice) -> Iterator[None]:
    """A policy that allowed more when it was read for the first ticket."""
    desk.link()
    first = pick(desk, practice)
    pass_time(desk, 6)
    practice.solve(first)
    desk.deliver(first)
    desk.sweep()
    practice.control("/policies/Password Administrator", {"maximum_duration": "PT10M"})
    yield
    # The judge holds every request against the policy as it is then.
    practice.control("/policies/Password Administrator", {"maximum_duration": "PT8H"})


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.usefixtures("policy_cut")
def test_a_policy_that_was_cut_since_it_was_read_is_read_again(desk: Desk, practice: Practice, joined: bool) -> None:
    if joined:
        fault(practice, "status", side="graph", method="POST", path=REQUESTS, status=503)
    second = pick(desk, practice)
    third = pick(desk, practice) if joined else second
    wait_for(desk, timedelta(seconds=5), steps=2)

    for ticket in (second, third):
        assert desk.only(ticket).state is State.ACTIVE, desk.only(ticket).outcome
        assert desk.only(ticket).duration_seconds == 600
        assert "cut to that" in (desk.only(ticket).analysis or "")
        assert said(practice, ticket, "No role was activated") == 0
    durations = [it["scheduleInfo"]["expiration"]["duration"] for it in practice.activation_requests()]
    assert durations == ["PT30M", "PT10M"]


def test_a_duration_that_is_refused_although_the_policy_allows_it_is_refused_once(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    practice.control("/policies/Password Administrator", {"maximum_duration": "PT10M"})
    message = 'The following policy rules failed: ["ExpirationRule"]'
    body = json.dumps({"error": {"code": "RoleAssignmentRequestPolicyValidationFailed", "message": message}})
    fault(practice, "status", side="graph", method="POST", path=REQUESTS, status=400, body=body, times=EVER)
    ticket = pick(desk, practice)
    pass_time(desk, 3)
    assert desk.only(ticket).state is State.FAILED
    assert len(tries(practice)) == 1

    practice.control("/policies/Password Administrator", {"maximum_duration": "PT5M"})
    second = pick(desk, practice)
    pass_time(desk, 3)
    assert desk.only(second).state is State.FAILED
    assert said(practice, second, "longer than the policy") == 1
    assert len(tries(practice)) == 1 + 2
    practice.control("/policies/Password Administrator", {"maximum_duration": "PT8H"})


@pytest.mark.usefixtures("policy_cut")
@pytest.mark.parametrize("status", [403, 503])
def test_a_policy_that_cannot_be_read_again_leaves_the_tenants_refusal(
    desk: Desk, practice: Practice, status: int
) -> None:
    fault(practice, "status", method="GET", path="roleManagementPolicyAssignments", status=status, times=1)
    second = pick(desk, practice)
    assert desk.only(second).state is State.FAILED
    assert desk.only(pick(desk, practice)).state is State.ACTIVE


def test_a_ticket_on_hold_needs_a_click_and_what_runs_goes_on(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.set_status(ticket, "pending")
    practice.assign(ticket)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.OFFERED
    other = pick(desk, practice)
    assert desk.only(other).state is State.ACTIVE
    practice.set_status(other, "pending")
    desk.deliver(other)
    assert desk.only(other).state is State.ACTIVE


def told(desk: Desk, practice: Practice, ticket: str, times: int, **changes: Any) -> None:
    """The helpdesk answers the next readings of the ticket with these changes."""
    raw = practice.desk("GET", f"/api/tickets/{ticket}")
    body = json.dumps({**raw, **changes})
    fault(
        practice,
        "status",
        side="helpdesk",
        method="GET",
        path=f"/api/tickets/{ticket}$",
        status=200,
        body=body,
        times=times,
    )


def test_a_history_that_comes_later_than_its_ticket_is_waited_for(desk: Desk, practice: Practice) -> None:
    desk.link()
    practice.assign(ticket := practice.new_ticket())
    told(desk, practice, ticket, 2, assigned_by=None, assignment_id=None, assigned_at=None)
    desk.deliver(ticket)
    assert desk.elevations(ticket) == []
    pass_time(desk, 4)
    assert desk.only(ticket).state is State.ACTIVE


def test_a_history_that_never_comes_is_not_waited_for_for_ever(desk: Desk, practice: Practice) -> None:
    desk.link()
    practice.assign(ticket := practice.new_ticket())
    told(desk, practice, ticket, 100, assigned_by=None, assignment_id=None, assigned_at=None)
    desk.deliver(ticket)
    pass_time(desk, 30)
    reads = [it for it in practice.log()["requests"] if it["path"] == f"/api/tickets/{ticket}" and it.get("fault")]
    assert 2 <= len(reads) <= 8
    assert desk.only(ticket).state is State.OFFERED
    mend(practice)


def test_a_pick_from_the_future_is_no_fresh_one(desk: Desk, practice: Practice) -> None:
    """A helpdesk that tells its times with a wrong offset: a stale pick would look fresh for hours."""
    desk.link()
    practice.assign(ticket := practice.new_ticket())
    at = (desk.now() + timedelta(hours=9)).isoformat()
    told(desk, practice, ticket, 2, assigned_at=at)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.OFFERED
    mend(practice)
