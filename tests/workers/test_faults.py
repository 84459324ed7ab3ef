"""Bad input and faults, stepped by hand: nothing is lost, nothing is done twice, the role still ends.

SQLite only: what depends on the database has its tests in test_races.py and in tests/integration/records.
"""

import json
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from integration import verify
from integration.elevation import Activation, ActivationState, State, move
from integration.records import comments, elevations, journal, people
from integration.records.tables import activations, deliveries
from integration.records.tables import comments as notes
from integration.records.tables import elevations as held
from tests.conftest import Desk, Practice
from tests.workers.steps import (
    PASSWORD_ADMINISTRATOR,
    activations_of,
    by_hand,
    end_now,
    fault,
    pick,
    said,
    wait_for,
)
from workers.deciding import decide
from workers.run import Due, Run, What

REQUESTS = "roleAssignmentScheduleRequests"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


def picked(desk: Desk, practice: Practice, **ticket: Any) -> str:
    """A linked technician's own pick, delivered."""
    desk.link()
    return pick(desk, practice, **ticket)


def activation_of(desk: Desk) -> Activation:
    (only,) = activations_of(desk)
    return only


# Who may, and for what


def test_a_requester_with_the_technicians_address_in_capitals_is_the_technician(desk: Desk, practice: Practice) -> None:
    """Threat 9, by mail and case."""
    practice.control("/people/requester", {"helpdesk_mail": practice.people["technician"]["mail"].upper()})

    ticket = picked(desk, practice)

    assert desk.only(ticket).state is State.REFUSED
    assert practice.activation_requests() == []


def test_a_requester_whose_account_is_linked_to_the_same_user_is_the_technician(desk: Desk, practice: Practice) -> None:
    """Threat 9, by linked oid: a second account, of another connection's rows, must not open the door."""
    desk.link()
    technician = practice.people["technician"]
    with desk.deployment.records.write() as tx:
        link = people.link_of(tx, "practice", technician["helpdesk_account"])
        assert link is not None
        tx.execute(sa.text("UPDATE links SET account = 'requester'"))
    ticket = practice.new_ticket()
    practice.assign(ticket)

    run = Run(desk.deployment, cause="sweep", clock=desk.now)
    read = run.ticket("practice", ticket)
    desk.deliver(ticket)
    known = desk.only(ticket)

    decision = decide(run, replace(known, tid=link.tid, oid=link.oid), read)

    assert getattr(decision, "code", None) == "own_ticket"
    assert practice.activation_requests() == []


@pytest.mark.parametrize("change", ["solved", "handed over", "deleted", "nobody's"])
def test_a_ticket_that_changes_between_pick_and_activation_stops_it(
    desk: Desk, practice: Practice, change: str
) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    if change == "solved":
        practice.solve(ticket)
    elif change == "deleted":
        url = f"{practice.facts['practice_url']}/_practice/tickets/{ticket}"
        import requests

        requests.delete(url, timeout=10).raise_for_status()
    else:
        to = "technician2" if change == "handed over" else None
        practice.desk("POST", f"/api/tickets/{ticket}/assign", {"assignee": to}, by="technician2")

    desk.link()
    resume(desk, ticket)
    desk.sweep()

    assert desk.only(ticket).state is State.CANCELLED
    assert practice.activation_requests() == []


def resume(desk: Desk, ticket: str) -> None:
    """What the callback does for what waits for a sign-in."""

    with desk.deployment.records.write() as tx:
        elevations.save_elevation(tx, move(desk.only(ticket), State.REQUESTED, due_at=desk.now()))


def test_a_technician_without_a_fitting_role_is_refused_with_a_sentence(desk: Desk, practice: Practice) -> None:
    practice.control("/people/technician", {"eligible": ["Reports Reader"]})

    ticket = picked(desk, practice)

    assert desk.only(ticket).state is State.REFUSED
    assert said(practice, ticket, "not eligible for any role") == 1
    assert practice.activation_requests() == []


def test_an_eligibility_that_was_taken_away_after_it_was_read_ends_in_a_sentence_and_is_read_again(
    desk: Desk, practice: Practice
) -> None:
    first = picked(desk, practice)
    end_now(desk, first)
    wait_for(desk, timedelta(minutes=6))
    practice.control("/people/technician", {"eligible": ["Authentication Administrator"]})
    second = practice.new_ticket()
    practice.assign(second)
    desk.deliver(second)

    assert desk.only(second).state is State.FAILED
    assert said(practice, second, "you are not eligible") == 1
    third = practice.new_ticket()
    practice.assign(third)
    desk.deliver(third)
    assert desk.only(third).target_name == "Authentication Administrator"


def test_a_technician_whose_sign_ins_were_revoked_must_sign_in_before_a_role_is_asked_for(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    practice.control("/people/technician", {"enabled": False, "revoke_sign_ins": True, "expire_access_tokens": True})
    ticket = practice.new_ticket()
    practice.assign(ticket)

    desk.deliver(ticket)

    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert practice.activation_requests() == []
    wait_for(desk, timedelta(hours=25))
    assert desk.only(ticket).state is State.CANCELLED


def test_a_sign_in_lost_while_active_ends_the_elevation_when_the_time_is_up(desk: Desk, practice: Practice) -> None:
    ticket = picked(desk, practice)
    practice.control("/people/technician", {"enabled": False, "revoke_sign_ins": True, "expire_access_tokens": True})
    practice.solve(ticket)
    desk.deliver(ticket)
    wait_for(desk, timedelta(minutes=6))
    assert said(practice, ticket, "could not be given back yet") == 1

    wait_for(desk, timedelta(hours=1), steps=2)

    assert desk.only(ticket).state is State.ENDED
    assert activation_of(desk).state is ActivationState.EXPIRED
    assert practice.active_roles() == []


def test_a_sign_in_lost_without_a_let_go_ends_the_elevation_too(desk: Desk, practice: Practice) -> None:
    ticket = picked(desk, practice)
    practice.control("/people/technician", {"enabled": False, "revoke_sign_ins": True, "expire_access_tokens": True})

    wait_for(desk, timedelta(hours=1), steps=2)

    assert desk.only(ticket).state is State.ENDED


def test_a_linked_address_that_belongs_to_somebody_else_now_suspends_the_link(desk: Desk, practice: Practice) -> None:
    """Threat 10."""
    desk.link()
    practice.control("/people/technician", {"helpdesk_mail": "somebody.else@practice.example"})
    ticket = practice.new_ticket()
    practice.assign(ticket)

    desk.deliver(ticket)

    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert practice.activation_requests() == []
    with desk.deployment.records.read() as connection:
        link = people.link_of(connection, "practice", practice.people["technician"]["helpdesk_account"])
    assert link is not None
    assert link.suspended_at is not None


@pytest.mark.parametrize(
    "subject",
    [
        "x" * 1_000_000,
        "CANARY\u202e\u2066gnp.exe\u0000\u001b[2J",
        "<script>CANARY</script> [a](http://b) @everyone {{x}}",
    ],
    ids=["1 MB", "control and bidi", "markup"],
)
def test_a_hostile_subject_changes_nothing_and_is_never_echoed(desk: Desk, practice: Practice, subject: str) -> None:
    """Threats 31, 32 and 33."""
    ticket = picked(desk, practice, subject=subject)

    assert desk.only(ticket).state is State.ACTIVE
    (note,) = practice.notes(ticket)
    (request,) = practice.activation_requests()
    for text in (note, request["justification"]):
        assert "CANARY" not in text
        assert "xxxxxxxxxxxx" not in text
        assert len(text) < 600


# A helpdesk that is down


def test_a_helpdesk_that_is_down_delays_comments_and_nothing_else(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    fault(practice, "status", method="POST", path="/notes", times=1000)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.ACTIVE
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]
    wait_for(desk, timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []
    assert practice.notes(ticket) == []

    clear = f"{practice.facts['practice_url']}/_practice/faults"

    requests.delete(clear, timeout=10).raise_for_status()
    wait_for(desk, timedelta(hours=2))
    assert said(practice, ticket, "is active until") == 1
    assert said(practice, ticket, "was given back") == 1
    assert len(practice.notes(ticket)) == 3


def test_a_note_whose_answer_was_lost_is_found_by_its_marker_and_not_written_again(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    fault(practice, "lose_answer", method="POST", path="/notes")

    desk.deliver(ticket)
    wait_for(desk, timedelta(minutes=2))

    assert said(practice, ticket, "is active until") == 1
    with desk.deployment.records.read() as connection:
        found = comments.of_elevation(connection, desk.only(ticket).id)
    assert {comment.outcome for comment in found} == {"written"}


def test_a_helpdesk_that_cannot_be_read_delays_the_pick(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    fault(practice, "status", method="GET", path=f"/tickets/{ticket}", times=2)
    desk.deliver(ticket)
    assert desk.elevations(ticket) == []

    wait_for(desk, timedelta(seconds=10), steps=2)

    assert desk.only(ticket).state is State.ACTIVE


# A tenant that misbehaves


@pytest.mark.parametrize("kind", ["throttle", "status", "lose_answer", "drop", "truncate"])
def test_whatever_happens_to_the_request_exactly_one_activation_results(
    desk: Desk, practice: Practice, kind: str
) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    fault(practice, kind, method="POST", path=REQUESTS, times=2, retry_after="7")

    desk.deliver(ticket)
    wait_for(desk, timedelta(seconds=70), steps=3)

    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1
    assert said(practice, ticket, "is active until") == 1
    assert not activation_of(desk).by_hand


def test_retry_after_is_honoured(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    fault(practice, "throttle", method="POST", path=REQUESTS, retry_after="40")
    desk.deliver(ticket)

    wait_for(desk, timedelta(seconds=30))
    assert practice.activation_requests() == []
    wait_for(desk, timedelta(seconds=15))
    assert desk.only(ticket).state is State.ACTIVE


@pytest.mark.parametrize("kind", ["status", "lose_answer", "drop", "throttle"])
def test_whatever_happens_to_the_give_back_the_role_ends(desk: Desk, practice: Practice, kind: str) -> None:
    ticket = picked(desk, practice)
    desk.advance(timedelta(minutes=6))
    fault(practice, kind, method="POST", path=REQUESTS, times=2)
    end_now(desk, ticket)

    wait_for(desk, timedelta(seconds=70), steps=3)

    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []
    assert activation_of(desk).state is ActivationState.GIVEN_BACK
    assert said(practice, ticket, "was given back") == 1


def test_a_lost_answer_and_a_solved_ticket_leave_no_role_behind(desk: Desk, practice: Practice) -> None:
    """The request that nobody needs any more may have been carried out all the same."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    fault(practice, "lose_answer", method="POST", path=REQUESTS)
    desk.deliver(ticket)
    practice.solve(ticket)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.ENDING

    wait_for(desk, timedelta(minutes=6), steps=3)

    assert practice.active_roles() == []
    assert desk.only(ticket).state is State.ENDED


def test_a_request_that_never_arrived_and_a_solved_ticket_end_quietly(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    fault(practice, "drop", method="POST", path=REQUESTS)
    desk.deliver(ticket)
    practice.solve(ticket)
    desk.deliver(ticket)

    wait_for(desk, timedelta(minutes=2), steps=10)

    assert practice.activation_requests() == []
    assert desk.only(ticket).state is State.ENDED


def test_an_instance_that_appears_late_is_waited_for(desk: Desk, practice: Practice) -> None:
    practice.control("/settings", {"instance_delay": 45})
    ticket = picked(desk, practice)
    assert desk.only(ticket).state is State.WAITING
    assert practice.notes(ticket) == []

    wait_for(desk, timedelta(seconds=20), steps=3)

    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


def test_a_request_that_waits_for_approval_is_not_called_active(desk: Desk, practice: Practice) -> None:
    practice.control("/policies/Password Administrator", {"approval_required": True})
    ticket = picked(desk, practice)
    wait_for(desk, timedelta(minutes=30), steps=2)
    assert desk.only(ticket).state is State.PENDING
    assert said(practice, ticket, "is active") == 0

    (request,) = practice.activation_requests()
    practice.control(f"/requests/{request['id']}", {"decision": "approve"})
    wait_for(desk, timedelta(seconds=70), steps=2)

    assert desk.only(ticket).state is State.ACTIVE


def test_a_denied_request_ends_in_a_sentence(desk: Desk, practice: Practice) -> None:
    practice.control("/policies/Password Administrator", {"approval_required": True})
    ticket = picked(desk, practice)
    (request,) = practice.activation_requests()
    practice.control(f"/requests/{request['id']}", {"decision": "deny"})

    wait_for(desk, timedelta(seconds=20), steps=2)

    assert desk.only(ticket).state is State.FAILED
    assert said(practice, ticket, "denied it") == 1


def test_a_role_made_active_by_hand_is_used_and_never_given_back(desk: Desk, practice: Practice) -> None:
    desk.link()
    by_hand(desk, practice)
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.ACTIVE
    assert said(practice, ticket, "activated outside Ticket Elevate") == 1

    desk.advance(timedelta(minutes=6))
    end_now(desk, ticket)
    desk.sweep()

    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]
    assert activation_of(desk).state is ActivationState.LEFT


# The end of the work


def test_end_now_before_it_is_active_gives_the_role_back_all_the_same(desk: Desk, practice: Practice) -> None:
    practice.control("/settings", {"instance_delay": 30})
    ticket = picked(desk, practice)
    end_now(desk, ticket)
    assert desk.only(ticket).state is State.ENDING

    wait_for(desk, timedelta(minutes=3), steps=4)

    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []
    assert said(practice, ticket, "is active until") == 0


def test_nothing_is_given_back_in_the_tenants_first_five_minutes(desk: Desk, practice: Practice) -> None:
    ticket = picked(desk, practice)
    end_now(desk, ticket)
    wait_for(desk, timedelta(minutes=4, seconds=50))
    asked = [e for e in practice.log()["requests"] if "selfDeactivate" in json.dumps(e.get("body", ""))]
    assert asked == []
    assert said(practice, ticket, "it will be given back at") == 1

    wait_for(desk, timedelta(seconds=15))
    assert practice.active_roles() == []


def test_a_second_ticket_while_the_role_is_given_back_gets_a_new_activation(desk: Desk, practice: Practice) -> None:
    first = picked(desk, practice)
    desk.advance(timedelta(minutes=6))
    fault(practice, "status", method="POST", path=REQUESTS)
    end_now(desk, first)
    assert activation_of(desk).state is ActivationState.GIVING_BACK
    second = practice.new_ticket()
    practice.assign(second)
    desk.deliver(second)
    assert desk.only(second).state is State.REQUESTED

    wait_for(desk, timedelta(seconds=65), steps=3)

    assert desk.only(first).state is State.ENDED
    assert desk.only(second).state is State.ACTIVE
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]
    assert len(practice.activation_requests()) == 2


def test_a_ticket_that_is_reopened_and_picked_again_starts_again(desk: Desk, practice: Practice) -> None:
    ticket = picked(desk, practice)
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    practice.set_status(ticket, "open")
    desk.deliver(ticket)
    assert [it.state for it in desk.elevations(ticket)] == [State.ENDED]

    practice.desk("POST", f"/api/tickets/{ticket}/assign", {"assignee": None})
    practice.assign(ticket)
    desk.deliver(ticket)

    assert [it.state for it in desk.elevations(ticket)] == [State.ENDED, State.ACTIVE]
    assert len(practice.activation_requests()) == 2


def test_every_step_once_more_changes_nothing(desk: Desk, practice: Practice) -> None:

    ticket = picked(desk, practice)
    desk.advance(timedelta(minutes=6))
    end_now(desk, ticket)
    desk.sweep()

    def facts() -> Any:
        with desk.deployment.records.read() as connection:
            return list(journal.export(connection)), practice.notes(ticket), practice.activation_requests()

    before = facts()
    tables = {
        What.ELEVATION: held,
        What.ACTIVATION: activations,
        What.COMMENT: notes,
        What.DELIVERY: deliveries,
    }
    for what, table in tables.items():
        with desk.deployment.records.read() as connection:
            rows = [row.id for row in connection.execute(sa.select(table.c.id))]
        for row in rows * 2:
            desk.step(Due(what, row))
    desk.deliver(ticket, delivery_id=f"again_{time.time_ns()}")

    after = facts()
    assert after == before


def test_the_journal_folds_to_the_states_of_the_tables(desk: Desk, practice: Practice) -> None:
    """An auditor who reads only the journal comes to the same states."""
    numbers = [picked(desk, practice), practice.new_ticket(), practice.new_ticket(by="technician")]
    for ticket in numbers[1:]:
        practice.assign(ticket)
        desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))
    end_now(desk, numbers[0])
    desk.sweep()

    folded: dict[str, str] = {}
    with desk.deployment.records.read() as connection:
        lines = list(journal.export(connection))
    for line in lines:
        entry = json.loads(line)["entry"]
        entry = json.loads(entry) if isinstance(entry, str) else entry
        if "to" in entry["facts"]:
            folded[entry["elevation"]] = entry["facts"]["to"]
    for ticket in numbers[:2]:
        it = desk.only(ticket)
        assert folded[it.id] == it.state
    report = verify.verify(lines)
    assert report.ok, verify.render(report)


def test_a_ticket_that_joins_in_the_first_minutes_lets_the_one_before_it_end(desk: Desk, practice: Practice) -> None:
    """Solved in minute one, the next picked in minute two: the first must not wait until the second is done."""
    first = picked(desk, practice)
    end_now(desk, first)
    second = practice.new_ticket()
    practice.assign(second)
    desk.deliver(second)
    assert desk.only(second).state is State.ACTIVE

    wait_for(desk, timedelta(minutes=6))

    assert desk.only(first).state is State.ENDED
    assert said(practice, first, "stays active for another ticket") == 1
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]
    end_now(desk, second)
    desk.sweep()
    assert practice.active_roles() == []


@pytest.mark.parametrize(
    ("status", "code", "message", "says"),
    [
        (400, "RoleAssignmentRequestPolicyValidationFailed", 'failed: ["TicketingRule"]', "a ticket number is missing"),
        (400, "RoleAssignmentRequestPolicyValidationFailed", 'failed: ["ExpirationRule"]', "longer than the policy"),
        (400, "AadPremiumLicenseRequired", "CANARY", "lacks the Entra ID P2"),
        (403, "Authorization_RequestDenied", "CANARY", "Microsoft Entra does not let you do this"),
        (400, "SomethingNew", "CANARY <b>", "Microsoft Entra refused this (SomethingNew)"),
        (400, "not a code\u202e", "CANARY", "Microsoft Entra refused this (status 400)"),
    ],
)
def test_a_refusal_of_the_tenant_ends_in_a_sentence_on_the_ticket(
    desk: Desk, practice: Practice, status: int, code: str, message: str, says: str
) -> None:
    """Threat 31: the tenant's own words are not echoed either."""
    body = json.dumps({"error": {"code": code, "message": message}})
    fault(practice, "status", method="POST", path=REQUESTS, status=status, body=body)

    ticket = picked(desk, practice)
    wait_for(desk, timedelta(minutes=2))

    assert desk.only(ticket).state is State.FAILED
    (note,) = practice.notes(ticket)
    assert says in note
    assert "CANARY" not in note
    assert practice.activation_requests() == []
