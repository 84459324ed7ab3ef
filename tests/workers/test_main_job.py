"""The main job, stepped by hand on both databases, against the practice tenant and helpdesk.

Contract: a technician's own pick of a ticket becomes the smallest role they are eligible for, once, with the story on
the ticket; the end of the work gives it back.
"""

from datetime import timedelta

import sqlalchemy as sa

from integration import verify
from integration.elevation import State
from integration.records import journal
from integration.records.tables import activations
from tests.conftest import Desk, Practice

PASSWORD_ADMINISTRATOR = "966707d0-3269-4727-9be2-8c3a10f19b9d"


def test_a_pick_makes_the_smallest_role_active_and_the_ticket_says_so(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)

    desk.deliver(ticket)

    assert desk.only(ticket).state is State.ACTIVE
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR]
    (note,) = practice.notes(ticket)
    assert "Password Administrator is active until" in note


def test_the_tenant_gets_ticket_number_system_and_justification(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)

    desk.deliver(ticket)

    (request,) = practice.activation_requests()
    assert request["ticketInfo"] == {"ticketNumber": ticket, "ticketSystem": "Practice helpdesk"}
    assert ticket in request["justification"]


def test_the_first_pick_asks_for_a_sign_in_and_goes_on_by_itself(desk: Desk, practice: Practice) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)

    desk.deliver(ticket)

    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert f"/elevations/{desk.only(ticket).id}" in practice.notes(ticket)[0]
    assert practice.activation_requests() == []


def test_a_solved_ticket_gives_the_role_back_after_the_tenants_minimum(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)

    practice.solve(ticket)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.ENDING
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR]

    desk.advance(timedelta(minutes=5, seconds=2))
    desk.sweep()

    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []
    assert any("was given back" in note for note in practice.notes(ticket))


def test_two_tickets_share_one_role_until_the_last_is_done(desk: Desk, practice: Practice) -> None:
    desk.link()
    first, second = practice.new_ticket(), practice.new_ticket()
    for ticket in (first, second):
        practice.assign(ticket)
        desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))

    practice.solve(first)
    desk.deliver(first)
    desk.sweep()
    assert desk.only(first).state is State.ENDED
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR]

    practice.solve(second)
    desk.deliver(second)
    desk.sweep()
    assert practice.active_roles() == []
    assert len(practice.activation_requests()) == 1


def test_the_same_delivery_and_the_same_pick_start_one_activation(desk: Desk, practice: Practice) -> None:
    """Threats 2 and 4: repeats and reorderings of true deliveries change nothing."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)

    for delivery in ("msg_a", "msg_a", "msg_b", "msg_c"):
        desk.deliver(ticket, delivery_id=delivery)

    desk.only(ticket)
    assert len(practice.activation_requests()) == 1


def test_a_ticket_assigned_by_somebody_else_only_gets_the_link(desk: Desk, practice: Practice) -> None:
    """Threat 7."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket, "technician", by="technician2")

    desk.deliver(ticket)

    assert desk.only(ticket).state is State.OFFERED
    assert practice.activation_requests() == []
    assert "assigned by somebody else" in practice.notes(ticket)[0]


def test_a_ticket_taken_back_within_the_tenants_minimum_is_a_new_pick(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    for account in ("technician", "technician2", "technician"):
        practice.assign(ticket, account)
        desk.deliver(ticket)

    first, _, again = desk.elevations(ticket)
    assert (first.state, again.state) == (State.ENDING, State.ACTIVE)
    desk.advance(timedelta(minutes=6))
    desk.sweep()
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR]
    assert len(practice.activation_requests()) == 1


def test_an_offer_gives_way_to_the_technicians_own_pick(desk: Desk, practice: Practice) -> None:
    """Threat 7: and the other way round, what somebody else assigned again does not start."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket, "technician", by="technician2")
    desk.deliver(ticket)
    practice.assign(ticket, "technician2")
    practice.assign(ticket, "technician")
    desk.deliver(ticket)

    offer, pick = desk.elevations(ticket)
    assert (offer.state, pick.state) == (State.CANCELLED, State.ACTIVE)


def test_nobody_elevates_for_their_own_ticket(desk: Desk, practice: Practice) -> None:
    """Threat 9."""
    desk.link()
    ticket = practice.new_ticket(by="technician")
    practice.assign(ticket)

    desk.deliver(ticket)

    assert desk.only(ticket).state is State.REFUSED
    assert practice.activation_requests() == []


def test_time_up_ends_the_elevation_without_a_call_of_ours(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)

    desk.advance(timedelta(hours=9))
    desk.sweep()

    assert desk.only(ticket).state is State.ENDED
    assert any("the time was up" in note for note in practice.notes(ticket))


def test_a_lost_answer_leads_to_exactly_one_activation(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    fault = {"match": {"method": "POST", "path": "roleAssignmentScheduleRequests"}, "times": 1, "kind": "lose_answer"}
    practice.control("/faults", fault)

    desk.deliver(ticket)
    desk.advance(timedelta(seconds=70))
    desk.sweep()

    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests()) == 1


def test_the_journal_of_a_whole_life_verifies_and_comments_witness_it(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()

    with desk.deployment.records.read() as connection:
        lines = list(journal.export(connection))
        assert connection.execute(sa.select(activations.c.state)).scalar() == "given_back"
    report = verify.verify(lines)
    assert report.ok, verify.render(report)
    assert all("Journal " in note for note in practice.notes(ticket))
