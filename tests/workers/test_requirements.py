"""A rule that requires something of its ticket. Contract: no role is asked for, or kept after an approval, for a ticket
that lacks it at that moment, and the ticket says what is missing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from integration.deployment import Deployment
from integration.elevation import ActivationState, State
from integration.records import deliveries, elevations, people
from integration.rules import analysis_from_json
from integration.tickets import TicketEvent
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import PASSWORD_ADMINISTRATOR, activations_of, by_hand, fault, mend, pick, said, wait_for
from workers import longer
from workers.app import STEPS
from workers.change import change
from workers.parking import go_on
from workers.run import Due, Run, What

ROLE = "Password Administrator"
ROLES = f"roles = [{ROLE!r}]\nduration = '30m'\n"
RULES = f"""
[[rule]]
name = "reset"
match = {{ category = "Password reset" }}
require = {{ status = "open", filled = ["Site"], sla = {{ field = "Due", overdue = "2h" }} }}
{ROLES}
[[rule]]
name = "other"
match = {{ category = "MFA reset" }}
{ROLES}
"""
REQUESTS = "/roleAssignmentScheduleRequests"
EVER = 10_000
DUE = "2099-01-01"


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """The practice helpdesk's queue is the field Site, and a subject is a time."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    helpdesk = {**practice.facts["helpdesk"], "fields": "{Site: queue, Due: subject}"}
    settings = settings_for(practice, database_url, tmp_path, rules_file=rules, helpdesks={"practice": helpdesk})
    made = Deployment(settings)
    made.records.migrate()
    yield made
    made.records.dispose()


def edit(practice: Practice, ticket: str, **changes: str) -> None:
    practice.desk("PATCH", f"/api/tickets/{ticket}", changes)


def empty(practice: Practice, ticket: str) -> None:
    edit(practice, ticket, queue="")


def hold(practice: Practice, ticket: str) -> None:
    practice.set_status(ticket, "pending")


def planned(desk: Desk, practice: Practice, **ticket: str) -> str:
    """A ticket that was picked, and whose plan is made: the tenant is asked next."""
    number = practice.new_ticket(**{"subject": DUE, **ticket})
    practice.assign(number)
    event = TicketEvent(f"msg_{number}", number, "ticket.assigned", "first")
    with desk.deployment.records.write() as tx:
        delivery = deliveries.store(tx, "practice", event, now=desk.now())
    run = Run(desk.deployment, cause="sweep", clock=desk.now)
    assert delivery is not None
    for due in STEPS[What.DELIVERY](run, Due(What.DELIVERY, delivery)):
        list(STEPS[due.what](run, due))
    assert [it.state for it in activations_of(desk)] == [ActivationState.ASKED]
    return number


def reads_of(practice: Practice) -> int:
    log = practice.log()["requests"]
    return sum(it["side"] == "helpdesk" and it["method"] == "GET" and it["path"].count("/") == 3 for it in log)


def looked_at(desk: Desk, ticket: str, what: str) -> list[bool]:
    return [it.met for it in analysis_from_json(desk.only(ticket).analysis or "[]") if what in it.what]


def test_a_ticket_that_has_it_all_gets_its_role_and_shows_what_was_looked_at(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice, subject=DUE)

    assert desk.only(ticket).state is State.ACTIVE
    assert looked_at(desk, ticket, 'The field "Site"') == [True]
    assert looked_at(desk, ticket, 'The time in the field "Due"') == [True]


def test_a_pick_of_a_ticket_that_lacks_something_is_refused_with_what_to_do(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice, subject="none")

    assert desk.only(ticket).state is State.REFUSED
    assert practice.activation_requests() == []
    assert said(practice, ticket, 'Fill in the field "Due" with the time it is due. Then press Elevate.') == 1
    assert said(practice, ticket, f"/elevate/practice/{ticket}") == 1
    assert looked_at(desk, ticket, 'The field "Site"') == [True]
    assert looked_at(desk, ticket, 'The time in the field "Due"') == [False]


@pytest.mark.parametrize(
    ("change", "words"),
    [(empty, 'Fill in the field "Site".'), (hold, "Set its status to open.")],
)
def test_a_ticket_that_changes_before_the_tenant_is_asked_is_refused(
    desk: Desk, practice: Practice, change: Callable[[Practice, str], None], words: str
) -> None:
    desk.link()
    ticket = planned(desk, practice)
    change(practice, ticket)
    desk.sweep()

    assert practice.activation_requests() == []
    assert desk.only(ticket).state is State.REFUSED
    assert [it.state for it in activations_of(desk)] == [ActivationState.FAILED]
    assert said(practice, ticket, words) == 1


def test_the_ticket_is_read_once_more_before_the_tenant_is_asked(desk: Desk, practice: Practice) -> None:
    """However short a run is: what the plan was made of is not looked at again, but the helpdesk."""
    desk.link()
    reads = []
    for category, times in (("Password reset", 2), ("MFA reset", 1)):
        before = reads_of(practice)
        pick(desk, practice, subject=DUE, category=category)
        reads.append((reads_of(practice) - before, times))

    assert [read for read, _times in reads] == [times for _read, times in reads]


def test_a_ticket_that_changes_while_the_tenant_is_away_is_refused(desk: Desk, practice: Practice) -> None:
    desk.link()
    fault(practice, "status", side="graph", method="POST", path=REQUESTS, times=EVER)
    ticket = pick(desk, practice, subject=DUE)
    assert desk.only(ticket).state is State.WAITING
    empty(practice, ticket)
    wait_for(desk, timedelta(minutes=1), steps=12)

    assert desk.only(ticket).state is State.REFUSED
    assert practice.activation_requests() == []
    assert said(practice, ticket, 'Fill in the field "Site".') == 1


def test_while_the_helpdesk_is_away_nothing_is_asked_for_and_then_it_is(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = planned(desk, practice)
    fault(practice, "status", side="helpdesk", path="/api/", times=EVER)
    wait_for(desk, timedelta(seconds=40), steps=3)
    assert desk.only(ticket).state is State.WAITING
    assert practice.activation_requests() == []

    mend(practice)
    wait_for(desk, timedelta(minutes=1), steps=2)
    assert desk.only(ticket).state is State.ACTIVE


def test_a_helpdesk_that_stays_away_leaves_the_link(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = planned(desk, practice)
    fault(practice, "status", side="helpdesk", path="/api/", times=EVER)
    wait_for(desk, timedelta(minutes=2), steps=10)

    assert desk.only(ticket).state is State.OFFERED
    assert practice.activation_requests() == []
    mend(practice)
    wait_for(desk, timedelta(minutes=10), steps=3)
    assert said(practice, ticket, "could not be started within a quarter of an hour") == 1


def test_a_helpdesk_that_is_away_delays_no_role_that_requires_nothing(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = planned(desk, practice, category="MFA reset")
    desk.advance(timedelta(minutes=1))
    fault(practice, "status", side="helpdesk", path="/api/", times=EVER)
    desk.sweep()

    assert desk.only(ticket).state is State.ACTIVE


@pytest.fixture
def asked(desk: Desk, practice: Practice) -> str:
    """A ticket whose role waits for an approver."""
    practice.control(f"/policies/{ROLE}", {"approval_required": True})
    desk.link()
    ticket = pick(desk, practice, subject=DUE)
    assert desk.only(ticket).state is State.PENDING
    return ticket


def approve(desk: Desk, practice: Practice) -> None:
    practice.control(f"/requests/{practice.activation_requests()[-1]['id']}", {"decision": "approve", "reason": "Ok"})
    wait_for(desk, timedelta(seconds=35), steps=2)


def test_an_approval_for_a_ticket_that_still_has_it_all_is_kept(desk: Desk, practice: Practice, asked: str) -> None:
    approve(desk, practice)
    assert desk.only(asked).state is State.ACTIVE
    wait_for(desk, timedelta(minutes=6), steps=2)
    assert desk.only(asked).state is State.ACTIVE


def test_an_approval_for_a_ticket_that_changed_meanwhile_is_given_back_in_words(
    desk: Desk, practice: Practice, asked: str
) -> None:
    empty(practice, asked)
    approve(desk, practice)
    assert desk.only(asked).state is State.ENDING
    assert said(practice, asked, "looked at again after the approval") == 1
    assert said(practice, asked, 'Fill in the field "Site".') == 1

    wait_for(desk, timedelta(minutes=3), steps=2)
    assert (desk.only(asked).state, practice.active_roles()) == (State.ENDED, [])
    assert desk.only(asked).end_reason == "not_ready"
    assert 'Fill in the field "Site".' in (desk.only(asked).outcome or "")
    assert said(practice, asked, "the ticket is not what its rule requires any more") == 1


def test_a_ticket_whose_rule_is_another_by_then_loses_the_role(desk: Desk, practice: Practice, asked: str) -> None:
    edit(practice, asked, category="MFA reset")
    approve(desk, practice)
    wait_for(desk, timedelta(minutes=3), steps=2)

    assert practice.active_roles() == []
    assert said(practice, asked, 'a matter of the rule "other" by now') == 1


def test_a_ticket_that_was_solved_unheard_loses_the_role_after_the_approval(
    desk: Desk, practice: Practice, asked: str
) -> None:
    practice.solve(asked)  # and no delivery of it
    approve(desk, practice)
    wait_for(desk, timedelta(minutes=3), steps=2)

    assert practice.active_roles() == []
    assert desk.only(asked).end_reason == "solved"


def test_a_helpdesk_that_is_away_after_the_approval_is_asked_until_it_answers(
    desk: Desk, practice: Practice, asked: str
) -> None:
    empty(practice, asked)
    fault(practice, "status", side="helpdesk", path="/api/", times=EVER)
    approve(desk, practice)
    wait_for(desk, timedelta(minutes=1), steps=3)
    assert desk.only(asked).state is State.ACTIVE

    mend(practice)
    wait_for(desk, timedelta(minutes=1), steps=4)
    assert (desk.only(asked).state, practice.active_roles()) == (State.ENDED, [])


def test_another_ticket_that_still_has_it_all_keeps_the_role(desk: Desk, practice: Practice, asked: str) -> None:
    other = pick(desk, practice, subject=DUE)
    assert desk.only(other).state is State.PENDING
    empty(practice, asked)
    approve(desk, practice)

    assert (desk.only(asked).state, desk.only(other).state) == (State.ENDED, State.ACTIVE)
    assert said(practice, asked, 'Fill in the field "Site".') == 1
    assert len(practice.active_roles()) == 1


def test_more_time_is_not_given_to_a_ticket_that_lacks_something_by_then(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice, subject=DUE)
    longer.ask(Run(desk.deployment, cause="click", clock=desk.now), desk.only(ticket), 600)
    empty(practice, ticket)
    wait_for(desk, timedelta(minutes=16), steps=3)

    assert [it.state for it in desk.elevations(ticket)] == [State.ENDED, State.REFUSED]
    assert practice.active_roles() == []
    assert len(practice.activation_requests()) == 1


def test_a_step_up_that_took_a_while_does_not_get_around_it(desk: Desk, practice: Practice) -> None:
    ticket = pick(desk, practice, subject=DUE)
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    empty(practice, ticket)
    desk.link()
    with change(Run(desk.deployment, cause="click", clock=desk.now)) as changed:
        link = people.link_of(changed.tx, "practice", desk.only(ticket).account)
        assert link is not None
        go_on(changed, desk.only(ticket), link)
    desk.sweep()
    assert desk.only(ticket).state is State.REFUSED


def test_a_role_that_was_on_by_hand_is_left_alone_for_a_ticket_that_lacks_something(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    by_hand(desk, practice)
    ticket = pick(desk, practice, subject="none")

    assert desk.only(ticket).state is State.REFUSED
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]


def test_a_ticket_that_cannot_be_read_does_not_hold_up_another_that_needs_the_same_role(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    fault(practice, "status", side="graph", method="POST", path=REQUESTS, times=1)
    strict, other = practice.new_ticket(subject=DUE), practice.new_ticket(category="MFA reset")
    for ticket in (strict, other):
        practice.assign(ticket)
        desk.deliver(ticket)
    fault(practice, "status", side="helpdesk", method="GET", path=f"/api/tickets/{strict}", times=EVER, status=503)
    wait_for(desk, timedelta(seconds=20), steps=6)

    assert desk.only(other).state is State.ACTIVE
    assert desk.only(strict).state is State.REQUESTED
    mend(practice)
    wait_for(desk, timedelta(minutes=1), steps=6)
    assert desk.only(strict).state is State.ACTIVE


@pytest.mark.parametrize("rules", ["deny", "none"])
def test_rules_that_changed_since_the_pick_are_asked_before_the_tenant_is(
    desk: Desk, practice: Practice, rules: str
) -> None:
    desk.link()
    fault(practice, "status", side="graph", method="POST", path=REQUESTS, times=EVER)
    ticket = pick(desk, practice, category="MFA reset")
    assert desk.only(ticket).state is State.WAITING
    denied = '[[rule]]\nname = "no"\nmatch = { category = "MFA reset" }\ndeny = true\nreason = "Not today."\n'
    text = RULES.split("[[rule]]")[1] if rules == "none" else denied
    desk.deployment.settings.rules_file.write_text(text if rules == "deny" else "[[rule]]" + text)  # type: ignore[union-attr]
    del desk.deployment.rules
    mend(practice)
    wait_for(desk, timedelta(minutes=1), steps=14)

    assert practice.active_roles() == []
    assert desk.only(ticket).state in (State.REFUSED, State.FAILED, State.CANCELLED)


def test_the_ticket_of_a_connection_that_was_taken_out_ends_what_was_not_begun(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = planned(desk, practice)
    del desk.deployment.helpdesks["practice"]
    wait_for(desk, timedelta(minutes=2), steps=20)

    assert practice.activation_requests() == []
    assert desk.only(ticket).state in (State.CANCELLED, State.ENDED)


def test_what_is_changed_while_the_role_is_active_ends_nothing_whatever_wakes_the_elevation(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    ticket = pick(desk, practice, subject=DUE)
    assert desk.only(ticket).state is State.ACTIVE
    empty(practice, ticket)
    it = desk.only(ticket)
    with desk.deployment.records.write() as tx:
        elevations.save_elevation(tx, replace(it, due_at=desk.now()))
    desk.sweep()

    assert desk.only(ticket).state is State.ACTIVE
