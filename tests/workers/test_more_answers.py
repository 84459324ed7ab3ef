"""Usable and not just active; longer without a gap that surprises; several roles for one pick; watched and not done."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from integration.deployment import Deployment
from integration.elevation import ActivationState, Elevation, State
from integration.records import story
from integration.rules import Plan
from integration.targets import Target
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import activations_of, end_now, fault, mend, pick, said, wait_for
from tests.workers.test_broken_journal import tamper
from workers import longer
from workers.deciding import decide
from workers.run import Run

RULES = """
[[rule]]
name = "Password reset"
match = {{ category = "Password reset" }}
roles = ["Password Administrator"]
duration = "30m"
{more}

[[rule]]
name = "Both"
match = {{ category = "MFA reset" }}
roles = ["Authentication Administrator", "Reports Reader"]
bundle = "{bundle}"
duration = "30m"
"""
Ruled = Callable[..., Desk]


@pytest.fixture
def ruled(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Ruled]:
    """A desk with the rules above; `more` is written into the first one, `top` above all."""
    made: list[Deployment] = []

    def build(more: str = "", *, bundle: str = "all", top: str = "", link: bool = True) -> Desk:
        rules = tmp_path / "rules.toml"
        rules.write_text(top + RULES.format(more=more, bundle=bundle))
        deployment = Deployment(settings_for(practice, database_url, tmp_path, rules_file=rules))
        deployment.records.migrate()
        made.append(deployment)
        desk = Desk(deployment, practice)
        if link:
            desk.link()
        return desk

    yield build
    for each in made:
        each.records.dispose()


def parts(desk: Desk, ticket: str) -> list[Elevation]:
    return sorted(desk.elevations(ticket), key=lambda it: it.part)


# Usable


def test_ticket_and_row_say_since_when_a_role_is_usable(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice)
    assert said(practice, ticket, "is usable since") == 0
    wait_for(desk, timedelta(seconds=2))
    assert said(practice, ticket, "Password Administrator is usable since") == 1
    (it,) = activations_of(desk)
    assert it.usable_at is not None
    wait_for(desk, timedelta(minutes=1), steps=3)
    assert said(practice, ticket, "usable") == 1


def test_looking_whether_it_is_usable_loses_no_confirmation(desk: Desk, practice: Practice) -> None:
    """A fresh token may lack the context that the technician confirmed; the next role must not ask for it again."""
    for role in ("Password Administrator", "Authentication Administrator"):
        practice.control(f"/policies/{role}", {"authentication_context": "c1"})
    desk.link()
    desk.sign_in(claims='{"access_token":{"acrs":{"essential":true, "value":"c1"}}}')
    first = pick(desk, practice)
    wait_for(desk, timedelta(seconds=2))
    assert said(practice, first, "usable since") == 1
    assert desk.only(pick(desk, practice, category="MFA reset")).state is State.ACTIVE


def test_a_role_that_is_let_go_before_anybody_looked_is_given_back_all_the_same(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice)
    end_now(desk, ticket)
    wait_for(desk, timedelta(minutes=1), steps=6)
    assert (desk.only(ticket).state, practice.active_roles()) == (State.ENDED, [])
    assert said(practice, ticket, "remember a sign-in may do so for up to") == 1


LOGS = """
[[rule]]
name = "Logs"
match = { category = "Investigation" }
roles = ["Reports Reader"]
usable = "sign_in_logs"

[[rule]]
name = "Sharp"
match = { category = "Server" }
roles = ["Helpdesk Administrator"]
revoke_sessions = true
"""


def test_a_role_that_does_not_count_yet_is_looked_at_until_its_read_works(ruled: Ruled, practice: Practice) -> None:
    practice.control("/settings", {"role_delay": 60})
    desk = ruled(top=LOGS)
    ticket = pick(desk, practice, category="Investigation")
    wait_for(desk, timedelta(seconds=10), steps=3)
    assert desk.only(ticket).state is State.ACTIVE
    assert said(practice, ticket, "is usable since") == 0
    wait_for(desk, timedelta(seconds=40), steps=2)
    assert said(practice, ticket, "Reports Reader is usable since") == 1


def test_a_role_that_never_counts_is_said_so_after_twenty_minutes(ruled: Ruled, practice: Practice) -> None:
    practice.control("/settings", {"role_delay": 86_400})
    desk = ruled(top=LOGS)
    ticket = pick(desk, practice, category="Investigation")
    wait_for(desk, timedelta(minutes=1), steps=23)
    assert said(practice, ticket, "Entra did not let it be used within 20 min") == 1
    assert desk.only(ticket).state is State.ACTIVE


def test_a_sharp_rule_ends_the_technicians_sign_ins_with_the_role(ruled: Ruled, practice: Practice) -> None:
    desk = ruled(top=LOGS)
    ticket = pick(desk, practice, category="Server")
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    assert (desk.only(ticket).state, practice.active_roles()) == (State.ENDED, [])
    with desk.deployment.records.read() as connection:
        kinds = [entry.kind for entry in story.entries(connection, "", desk.only(ticket).activation)]
    assert "sessions.revoked" in kinds
    assert desk.only(pick(desk, practice)).state is State.SIGN_IN_NEEDED


def test_no_sign_in_ends_while_another_role_needs_it_to_be_given_back(ruled: Ruled, practice: Practice) -> None:
    desk = ruled(top=LOGS)
    other = pick(desk, practice)
    ticket = pick(desk, practice, category="Server")
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    practice.solve(other)
    desk.deliver(other)
    desk.sweep()
    assert practice.active_roles() == []


# Longer


def room(desk: Desk, it: Elevation) -> timedelta:
    run = Run(desk.deployment, cause="click", clock=desk.now)
    plan = decide(run, it, run.ticket(it.connection, it.ticket))
    assert isinstance(plan, Plan)
    return longer.room(run, it, plan)


def wish(desk: Desk, it: Elevation, minutes: int) -> None:
    for due in longer.ask(Run(desk.deployment, cause="click", clock=desk.now), it, minutes * 60):
        desk.step(due)


def test_a_role_that_is_needed_for_longer_is_asked_for_again_when_it_ends(ruled: Ruled, practice: Practice) -> None:
    desk = ruled('total = "1h"')
    ticket = pick(desk, practice)
    first = desk.only(ticket)
    assert room(desk, first) == timedelta(minutes=30)
    wish(desk, first, 20)
    assert said(practice, ticket, "is asked for again at once, for 20 min") == 1

    wait_for(desk, timedelta(minutes=31))
    wait_for(desk, timedelta(seconds=5), steps=3)
    old, new = sorted(desk.elevations(ticket), key=lambda it: it.created_at)
    assert (old.state, new.state) == (State.ENDED, State.ACTIVE)
    assert longer.followed_by(Run(desk.deployment, cause="click", clock=desk.now), old) == new
    asked = practice.activation_requests()
    assert [r["scheduleInfo"]["expiration"]["duration"] for r in asked] == ["PT30M", "PT20M"]
    assert room(desk, new) < timedelta(minutes=11)


def test_the_time_in_all_is_never_more_than_the_rule_says(ruled: Ruled, practice: Practice) -> None:
    desk = ruled('total = "30m"')
    ticket = pick(desk, practice)
    assert room(desk, desk.only(ticket)) == timedelta()


def test_who_ends_it_now_does_not_get_longer(ruled: Ruled, practice: Practice) -> None:
    desk = ruled('total = "1h"')
    ticket = pick(desk, practice)
    wish(desk, desk.only(ticket), 20)
    wait_for(desk, timedelta(minutes=6))
    end_now(desk, ticket)
    wait_for(desk, timedelta(minutes=40))
    assert desk.only(ticket).state is State.ENDED
    assert practice.active_roles() == []


# Several roles for one pick


def test_one_pick_gives_every_role_of_the_task(ruled: Ruled, practice: Practice) -> None:
    desk = ruled()
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    assert [(it.part, it.state) for it in parts(desk, ticket)] == [(0, State.ACTIVE), (1, State.ACTIVE)]
    assert len(practice.active_roles()) == 2
    assert said(practice, ticket, "is active until") == 2

    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    assert {it.state for it in parts(desk, ticket)} == {State.ENDED}
    assert practice.active_roles() == []


def test_all_or_none_gives_back_what_was_given_when_the_other_is_refused(ruled: Ruled, practice: Practice) -> None:
    practice.control("/policies/Reports Reader", {"maximum_duration": "PT5M", "answer_status": "Failed"})
    desk = ruled()
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    wait_for(desk, timedelta(minutes=2), steps=5)
    first, second = parts(desk, ticket)
    assert (first.state, second.state) == (State.ENDED, State.FAILED)
    assert first.end_reason == "bundle"
    assert practice.active_roles() == []


def test_best_effort_keeps_what_was_given(ruled: Ruled, practice: Practice) -> None:
    practice.control("/policies/Reports Reader", {"answer_status": "Failed"})
    desk = ruled(bundle="best_effort")
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    assert [it.state for it in parts(desk, ticket)] == [State.ACTIVE, State.FAILED]


def test_best_effort_gives_the_second_role_to_who_is_eligible_for_it_alone(ruled: Ruled, practice: Practice) -> None:
    practice.control("/people/technician", {"eligible": ["Reports Reader"]})
    desk = ruled(bundle="best_effort")
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    assert [it.state for it in parts(desk, ticket)] == [State.REFUSED, State.ACTIVE]


def test_who_is_not_eligible_for_all_gets_none(ruled: Ruled, practice: Practice) -> None:
    practice.control("/people/technician", {"eligible": ["Authentication Administrator"]})
    desk = ruled()
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    assert desk.only(ticket).state is State.REFUSED
    assert practice.activation_requests() == []


def test_all_or_none_when_one_request_is_withdrawn_at_microsoft(ruled: Ruled, practice: Practice) -> None:
    practice.control("/policies/Reports Reader", {"approval_required": True})
    desk = ruled()
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    (waiting,) = [r for r in practice.activation_requests() if r["status"] == "PendingApproval"]
    part = parts(desk, ticket)[1]
    assert part.tid
    assert part.oid
    assert part.target
    desk.deployment.tenant.withdraw(part.tid, part.oid, desk.now(), Target.from_key(part.target), waiting["id"])
    wait_for(desk, timedelta(minutes=1), steps=8)
    assert practice.active_roles() == []
    assert [it.end_reason for it in parts(desk, ticket)] == ["bundle", "withdrawn"]


def test_all_or_none_when_the_approval_comes_after_the_other_ran_out(ruled: Ruled, practice: Practice) -> None:
    practice.control("/policies/Reports Reader", {"approval_required": True})
    desk = ruled()
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    (waiting,) = [r for r in practice.activation_requests() if r["status"] == "PendingApproval"]
    wait_for(desk, timedelta(minutes=11), steps=4)
    assert [r["status"] for r in practice.activation_requests() if r["id"] == waiting["id"]] == ["Canceled"]
    assert practice.active_roles() == []
    assert {it.state for it in parts(desk, ticket)} == {State.ENDED}


def test_all_or_none_go_on_together_or_not_at_all(ruled: Ruled, practice: Practice) -> None:
    desk = ruled()
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    wish(desk, parts(desk, ticket)[1], 20)
    assert [it.longer_seconds for it in desk.elevations(ticket)] == [1200, 1200]
    wait_for(desk, timedelta(minutes=31))
    wait_for(desk, timedelta(seconds=5), steps=3)
    longer_ones = [it for it in desk.elevations(ticket) if it.state is State.ACTIVE]
    assert sorted(it.part for it in longer_ones) == [0, 1]
    assert len({it.pick for it in longer_ones}) == 1


def test_all_or_none_end_together_when_one_cannot_go_on(ruled: Ruled, practice: Practice) -> None:
    desk = ruled()
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    wish(desk, parts(desk, ticket)[0], 20)
    practice.control("/policies/Reports Reader", {"approval_required": True})
    wait_for(desk, timedelta(minutes=31))
    wait_for(desk, timedelta(seconds=10), steps=3)
    assert sorted(it.state for it in desk.elevations(ticket)) == ["active", "ended", "ended", "pending_approval"]
    (waiting,) = [r for r in practice.activation_requests() if r["status"] == "PendingApproval"]
    practice.control(f"/requests/{waiting['id']}", {"decision": "deny"})
    wait_for(desk, timedelta(minutes=2), steps=4)
    assert practice.active_roles() == []
    assert sorted(it.state for it in desk.elevations(ticket)) == ["ended", "ended", "ended", "failed"]


def test_no_longer_is_offered_while_the_other_role_is_not_active(ruled: Ruled, practice: Practice) -> None:
    practice.control("/policies/Reports Reader", {"approval_required": True})
    desk = ruled()
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    assert room(desk, parts(desk, ticket)[0]) == timedelta()


def test_each_role_of_a_best_effort_goes_on_for_itself(ruled: Ruled, practice: Practice) -> None:
    desk = ruled(bundle="best_effort")
    ticket = pick(desk, practice, category="MFA reset")
    desk.sweep()
    wish(desk, parts(desk, ticket)[0], 20)
    wait_for(desk, timedelta(minutes=31))
    wait_for(desk, timedelta(seconds=5), steps=3)
    assert [it.part for it in desk.elevations(ticket) if it.state is State.ACTIVE] == [0]


# Watched


@pytest.mark.parametrize(("more", "top"), [('mode = "watch"', ""), ("", 'mode = "watch"\n')])
def test_a_watched_pick_is_planned_and_written_down_and_nothing_else(
    ruled: Ruled, practice: Practice, more: str, top: str
) -> None:
    desk = ruled(more, top=top)
    ticket = pick(desk, practice)
    desk.sweep()
    it = desk.only(ticket)
    assert it.state is State.WATCHED
    assert it.outcome == "It would have activated Password Administrator for 30 min."
    assert (practice.notes(ticket), practice.activation_requests()) == ([], [])
    with desk.deployment.records.read() as connection:
        kinds = [entry.kind for entry in story.entries(connection, it.id, None)]
    assert kinds[-1] == "pick.watched"


def test_a_watched_assignment_by_somebody_else_shows_no_link(ruled: Ruled, practice: Practice) -> None:
    desk = ruled('mode = "watch"')
    ticket = practice.new_ticket()
    practice.assign(ticket, by="approver")
    desk.deliver(ticket)
    it = desk.only(ticket)
    assert (it.state, practice.notes(ticket)) == (State.WATCHED, [])
    assert it.outcome is not None
    assert it.outcome.startswith("It would have shown the link.")


def test_a_watched_ticket_that_the_technician_filed_by_another_address_is_not_commented(
    ruled: Ruled, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = "first.last@practice.example"
    practice.control("/people/technician", {"mail": mail, "helpdesk_mail": mail})
    monkeypatch.setitem(practice.people["technician"], "mail", mail)
    practice.control("/people/requester", {"helpdesk_mail": practice.people["technician"]["upn"].upper()})
    desk = ruled('mode = "watch"')
    ticket = pick(desk, practice)
    it = desk.only(ticket)
    assert (it.state, practice.notes(ticket)) == (State.WATCHED, [])
    assert "You filed this ticket yourself" in (it.outcome or "")


def test_a_watched_pick_is_not_commented_while_the_journal_is_broken(ruled: Ruled, practice: Practice) -> None:
    desk = ruled('mode = "watch"')
    pick(desk, practice)
    tamper(desk)
    ticket = pick(desk, practice)
    it = desk.only(ticket)
    assert (it.state, practice.notes(ticket)) == (State.WATCHED, [])
    assert "until an administrator has looked into it" in (it.outcome or "")


def eligibilities_answer(practice: Practice, status: int) -> None:
    fault(practice, "status", method="GET", path="roleEligibilityScheduleInstances", status=status, times=500)


@pytest.mark.parametrize("top", ['mode = "watch"\n', ""])
@pytest.mark.parametrize(
    ("hindrance", "words"),
    [
        ("sign_in", "It would have asked the technician to sign in"),
        ("solved", "It would have been cancelled before anything was active. Ended: the ticket was solved."),
        ("handed_over", "It would have been cancelled before anything was active. Ended: the ticket was handed over."),
        ("away", "It would have shown the link."),
        ("refused", "It would have failed."),
    ],
)
def test_a_watched_pick_that_comes_to_something_else_is_not_commented_either(
    ruled: Ruled, practice: Practice, hindrance: str, words: str, top: str
) -> None:
    desk = ruled("" if top else 'mode = "watch"', top=top)
    if hindrance == "sign_in":
        practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})
    elif hindrance == "refused":
        eligibilities_answer(practice, 403)
    else:
        eligibilities_answer(practice, 503)
    ticket = pick(desk, practice)
    if hindrance == "solved":
        practice.solve(ticket)
        desk.deliver(ticket)
    elif hindrance == "handed_over":
        practice.assign(ticket, "technician2", by="technician")
        desk.deliver(ticket)
    elif hindrance == "away":
        wait_for(desk, timedelta(minutes=6), steps=4)
    desk.sweep()
    it = min(desk.elevations(ticket), key=lambda it: it.created_at)
    assert (it.state, practice.notes(ticket)) == (State.WATCHED, [])
    assert (it.outcome or "").startswith(words)


def test_a_watched_ticket_that_became_another_rule_s_and_is_refused_by_it_is_not_commented(
    ruled: Ruled, practice: Practice
) -> None:
    desk = ruled('mode = "watch"')
    eligibilities_answer(practice, 503)
    ticket = pick(desk, practice)
    practice.control("/people/technician", {"eligible": []})
    mend(practice)
    practice.desk("PATCH", f"/api/tickets/{ticket}", {"category": "MFA reset"}, by="technician")
    wait_for(desk, timedelta(seconds=30), steps=2)
    it = desk.only(ticket)
    assert (it.state, practice.notes(ticket)) == (State.WATCHED, [])
    assert (it.outcome or "").startswith("It would have refused: ")


def test_what_a_rule_began_before_it_was_told_to_watch_is_told_to_its_end(ruled: Ruled, practice: Practice) -> None:
    ticket = pick(ruled(), practice)
    desk = ruled(top='mode = "watch"\n', link=False)
    practice.solve(ticket)
    desk.advance(timedelta(minutes=6))
    desk.deliver(ticket)
    desk.sweep()
    assert desk.only(ticket).state is State.ENDED
    assert said(practice, ticket, "was given back") == 1


# What cannot be read or told


def test_a_duration_that_the_tenant_refused_is_not_asked_for_again(ruled: Ruled, practice: Practice) -> None:
    """Entra does not let everybody read the policy: then its refusal is learned from."""
    practice.control("/policies/Password Administrator", {"maximum_duration": "PT20M"})
    fault(practice, "status", method="GET", path="roleManagementPolicyAssignments", status=403, times=50)
    desk = ruled()
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.FAILED
    second = pick(desk, practice)
    assert desk.only(second).state is State.ACTIVE
    asked = practice.activation_requests()
    assert [r["scheduleInfo"]["expiration"]["duration"] for r in asked] == ["PT15M"]


def test_a_role_held_for_good_is_used_and_left_alone(desk: Desk, practice: Practice) -> None:
    practice.control("/people/technician", {"standing": ["Password Administrator"]})
    desk.link()
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.ACTIVE
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    assert desk.only(ticket).state is State.ENDED
    assert [it.state for it in activations_of(desk)] == [ActivationState.LEFT]


def test_an_activation_right_after_giving_back_waits_until_the_tenant_takes_it(desk: Desk, practice: Practice) -> None:
    practice.control("/settings", {"release_delay": 12})
    desk.link()
    first = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    practice.solve(first)
    desk.deliver(first)
    second = pick(desk, practice)
    wait_for(desk, timedelta(seconds=10), steps=4)
    assert desk.only(second).state is State.ACTIVE
    assert said(practice, second, "outside Ticket Elevate") == 0
