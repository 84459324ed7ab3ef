"""A technician's sign-in ends in the middle, or comes back in the very moment in which it is missed."""

import inspect
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from integration.elevation import ActivationState, State, move
from integration.journal import Kind
from integration.records import elevations
from integration.records import journal as records
from integration.records.tables import comments as comments_table
from integration.records.tables import journal, journal_private
from integration.tickets import HelpdeskUnavailable
from tests.conftest import Desk, Practice
from tests.workers.steps import PASSWORD_ADMINISTRATOR, activations_of, by_hand, mend, pick, said, wait_for
from workers.run import Due, What

REQUESTS = "roleAssignmentScheduleRequests"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/elevate.sqlite"


def pass_time(desk: Desk, minutes: int) -> None:
    wait_for(desk, timedelta(minutes=1), steps=minutes)


def loses_sign_in(practice: Practice) -> None:
    practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})


def comes_back(desk: Desk) -> None:
    """What the callback does when the technician has signed in again."""
    desk.sign_in()
    oid, tid = desk.practice.people["technician"]["oid"], desk.practice.facts["tenant_id"]
    with desk.deployment.records.write() as tx:
        elevations.wake_waiting(tx, tid, oid, now=desk.now())
        for it in elevations.parked_for(tx, "practice", "technician"):
            known = replace(it, tid=tid, oid=oid, technician="Technician One", acted_at=desk.now())
            elevations.save_elevation(tx, move(known, State.REQUESTED, due_at=desk.now()))
            records.append(tx, Kind.SIGNIN_DONE, now=desk.now(), cause="click", elevation=it.id)


def asked_and_not_seen(desk: Desk, practice: Practice) -> str:
    """Entra took the request, and the sign-in ends before the role is seen."""
    desk.link()
    practice.control("/settings", {"instance_delay": 20})
    ticket = pick(desk, practice)
    loses_sign_in(practice)
    desk.advance(timedelta(seconds=3))
    desk.sweep()
    desk.advance(timedelta(minutes=1))
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]
    return ticket


def test_a_role_that_came_while_the_sign_in_was_lost_is_ours_and_given_back(desk: Desk, practice: Practice) -> None:
    ticket = asked_and_not_seen(desk, practice)
    assert desk.only(ticket).state is State.WAITING
    assert said(practice, ticket, "please sign in once") == 1

    comes_back(desk)
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE
    assert said(practice, ticket, "outside Ticket Elevate") == 0

    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    assert practice.active_roles() == []
    assert [(it.state, it.by_hand) for it in activations_of(desk)] == [(ActivationState.GIVEN_BACK, False)]


def test_a_ticket_solved_meanwhile_does_not_say_that_nothing_was_active(desk: Desk, practice: Practice) -> None:
    ticket = asked_and_not_seen(desk, practice)
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    assert desk.only(ticket).state is State.ENDING
    assert said(practice, ticket, "before a role was active") == 0

    comes_back(desk)
    desk.sweep()
    pass_time(desk, 7)
    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []
    assert len(practice.activation_requests()) == 1


def test_without_a_sign_in_it_ends_when_the_role_can_no_longer_be_there(desk: Desk, practice: Practice) -> None:
    ticket = asked_and_not_seen(desk, practice)
    pass_time(desk, 45)
    assert desk.only(ticket).state is State.FAILED
    assert said(practice, ticket, "nobody could see it") == 1


def test_a_lost_answer_and_then_a_lost_sign_in_leave_no_role_behind(desk: Desk, practice: Practice) -> None:
    desk.link()
    match = {"path": REQUESTS, "method": "POST"}
    practice.control("/faults", {"match": match, "kind": "lose_answer", "times": 1})
    ticket = pick(desk, practice)
    loses_sign_in(practice)
    desk.advance(timedelta(seconds=3))
    desk.sweep()
    practice.solve(ticket)
    desk.deliver(ticket)

    comes_back(desk)
    pass_time(desk, 8)
    assert practice.active_roles() == []
    assert [it.by_hand for it in activations_of(desk)] == [False]


def test_a_role_that_does_not_show_for_a_moment_is_not_taken_for_ended(desk: Desk, practice: Practice) -> None:
    desk.link()
    first = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    tenant, looks = desk.deployment.tenant, []
    real = tenant.active

    def flickers(*given: Any, **more: Any) -> Any:
        looks.append(given)
        return None if len(looks) == 1 else real(*given, **more)

    tenant.active = flickers  # type: ignore[method-assign]
    second = pick(desk, practice)
    desk.advance(timedelta(seconds=3))
    desk.sweep()

    assert [desk.only(ticket).state for ticket in (first, second)] == [State.ACTIVE, State.ACTIVE]
    assert len(activations_of(desk)) == 1
    for ticket in (first, second):
        practice.solve(ticket)
        desk.deliver(ticket)
    assert practice.active_roles() == []


def test_a_role_that_was_closed_by_mistake_is_known_as_ours_again(desk: Desk, practice: Practice) -> None:
    """Two looks in a row that miss it: the first ticket ends too early, and yet the role is not left behind."""
    desk.link()
    pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    tenant, looks = desk.deployment.tenant, []
    real = tenant.active

    def misses(*given: Any, **more: Any) -> Any:
        looks.append(given)
        return None if len(looks) <= 2 else real(*given, **more)

    tenant.active = misses  # type: ignore[method-assign]
    second = pick(desk, practice)
    desk.advance(timedelta(seconds=3))
    desk.sweep()
    assert desk.only(second).state is State.ACTIVE
    assert [it.by_hand for it in activations_of(desk)] == [False, False]

    desk.advance(timedelta(minutes=6))
    practice.solve(second)
    desk.deliver(second)
    assert practice.active_roles() == []


def test_a_role_that_cannot_be_given_back_asks_the_next_pick_for_a_sign_in_and_goes_on(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    first = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    loses_sign_in(practice)
    practice.solve(first)
    desk.deliver(first)
    assert said(practice, first, "could not be given back yet") == 1

    second = pick(desk, practice)
    assert desk.only(second).state is State.SIGN_IN_NEEDED
    comes_back(desk)
    desk.sweep()
    desk.advance(timedelta(seconds=4))
    desk.sweep()

    assert desk.only(first).state is State.ENDED
    assert desk.only(second).state is State.ACTIVE
    assert len(practice.activation_requests()) == 2


@pytest.mark.parametrize("where", ["planning", "asking"])
def test_a_sign_in_in_the_moment_in_which_it_is_missed_wakes(desk: Desk, practice: Practice, where: str) -> None:
    desk.link()
    if where == "planning":
        with desk.deployment.records.write() as tx:
            tx.exec_driver_sql("DELETE FROM token_caches")
    else:
        pick_and_end(desk, practice)
        loses_sign_in(practice)
    desk.deployment.__dict__["records"] = _BackBefore(desk, desk.deployment.records)

    ticket = pick(desk, practice)
    pass_time(desk, 1)
    assert desk.only(ticket).state is State.ACTIVE


def pick_and_end(desk: Desk, practice: Practice) -> None:
    """So that what the tenant tells about the technician is kept, and the next pick asks for nothing but the role."""
    ticket = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)


class _BackBefore:
    """The records; the technician signs in just before the transaction that parks an elevation begins."""

    def __init__(self, desk: Desk, records: Any) -> None:
        self._desk, self._records, self._left = desk, records, 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def write(self) -> Any:
        inside = [frame.function for frame in inspect.stack()[1:8]]
        if self._left and ("_park" in inside or "_sign_in_needed" in inside):
            self._left = 0
            comes_back(self._desk)
        return self._records.write()


@pytest.mark.usefixtures("at_the_portal")
def test_an_activation_that_the_technician_made_after_ending_ours_is_left_to_them(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    tenant, tid, oid = desk.deployment.tenant, practice.facts["tenant_id"], practice.people["technician"]["oid"]
    tenant.give_back(tid, oid, desk.now(), PASSWORD_ADMINISTRATOR)
    by_hand(desk, practice, duration=timedelta(minutes=30))
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)

    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]
    assert desk.only(ticket).state is State.ENDED


def test_an_account_that_changed_hands_names_nobody_until_its_new_owner_signs_in(
    desk: Desk, practice: Practice
) -> None:
    """Threat 10: not in the row, and not in the journal."""
    desk.link()
    former = practice.people["technician"]["oid"]
    practice.control("/people/technician", {"helpdesk_mail": practice.people["technician2"]["mail"]})
    tickets = [pick(desk, practice) for _ in range(2)]

    assert [desk.only(ticket).oid for ticket in tickets] == [None, None]
    actors = sa.select(journal.c.kind).join(journal_private, journal_private.c.place == journal.c.place)
    with desk.deployment.records.read() as connection:
        named = connection.execute(
            actors.where(journal_private.c.name == "actor", journal_private.c.value == former)
        ).scalars()
        assert list(named) == []


def test_a_note_is_not_written_twice_when_looking_for_it_took_longer_than_a_lease(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    helpdesk = desk.deployment.helpdesks["practice"]
    write, has = helpdesk.write_note, helpdesk.has_note
    state = {"fails": True, "slow": True}

    def fails_once(number: str, text: str) -> None:
        if state.pop("fails", False):
            raise HelpdeskUnavailable("practice")
        write(number, text)

    def slow_once(number: str, marker: str) -> bool:
        found = has(number, marker)
        if state.pop("slow", False):
            desk.advance(timedelta(seconds=61))
            with desk.deployment.records.read() as connection:
                ids = connection.execute(sa.select(comments_table.c.id)).scalars().all()
            for name in ids:
                desk.step(Due(What.COMMENT, name))
        return found

    helpdesk.write_note, helpdesk.has_note = fails_once, slow_once  # type: ignore[method-assign]
    ticket = pick(desk, practice)
    desk.advance(timedelta(seconds=2))
    desk.sweep()
    assert said(practice, ticket, "is active until") == 1


def test_a_ticket_solved_before_entra_could_be_asked_says_so(desk: Desk, practice: Practice) -> None:
    desk.link()
    practice.control("/faults", {"match": {"path": REQUESTS, "method": "POST"}, "kind": "status", "times": 1000})
    ticket = pick(desk, practice)
    practice.solve(ticket)
    desk.deliver(ticket)
    mend(practice)
    pass_time(desk, 12)
    assert desk.only(ticket).state is State.ENDED
    assert said(practice, ticket, "cancelled before a role was active") == 1
