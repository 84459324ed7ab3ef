"""Somebody changes the journal's last entry while the desk works, on both databases.

Contract: nothing starts until an administrator accepts the break; what is active is given back all the same, in a new
log that names the old one; the verifier names the changed entry and follows the continuation.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from integration import verify
from integration.elevation import OPEN, EndReason, State
from integration.journal import STARTS, Kind, StartsStopped
from integration.records import journal
from integration.records.journal import Standing
from integration.records.tables import journal as entries
from integration.verify import Report
from tests.conftest import Desk, Practice
from tests.workers.steps import pick
from workers.app import STEPS
from workers.ending import let_go
from workers.run import Due, Run, Step, What, go

TRIGGERS = {
    "sqlite": ("DROP TRIGGER IF EXISTS journal_no_update",),
    "postgresql": ("ALTER TABLE journal DISABLE TRIGGER journal_no_change",),
}


def tamper(
    desk: Desk, change: Callable[[str], str] = lambda entry: entry.replace('"v":1', '"v":2'), *, kind: str = "%"
) -> int:
    """What an insider with the database does to the last entry (of `kind`); its number."""
    with desk.deployment.records.write() as tx:
        for statement in TRIGGERS[tx.dialect.name]:
            tx.exec_driver_sql(statement)
        last = tx.execute(
            sa.select(entries).where(entries.c.kind.like(kind)).order_by(entries.c.place.desc()).limit(1)
        ).one()
        assert change(last.entry) != last.entry
        mine = entries.update().where(entries.c.place == last.place)
        tx.execute(mine.values(entry=change(last.entry)))
    return int(last.seq)


def verified(desk: Desk, comments: list[str]) -> Report:
    with desk.deployment.records.read() as connection:
        lines = list(journal.export(connection))
    return verify.verify(lines, verify.read_comments("\n".join(comments)))


def standing(desk: Desk) -> Standing:
    with desk.deployment.records.read() as connection:
        return journal.standing(connection)


def accept(desk: Desk) -> journal.Written | None:
    with desk.deployment.records.write() as tx:
        return journal.accept_break(tx, now=desk.now(), reason="a restored backup", actor="administrator")


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.replace('"v":1', '"v":2'),
        lambda entry: "not even JSON\n",
        lambda entry: " " + entry,
        lambda entry: '{"entry":1,"entry":2}',
    ],
    ids=["a value", "all of it", "a blank", "keys twice"],
)
def test_a_running_role_is_given_back_and_the_verifier_names_the_entry(
    desk: Desk, practice: Practice, change: Callable[[str], str]
) -> None:
    """Threats 39 and 43, in the middle of a running elevation."""
    desk.link()
    ticket = pick(desk, practice)
    assert practice.active_roles()
    changed = tamper(desk, change)

    practice.solve(ticket)
    desk.deliver(ticket)
    desk.advance(timedelta(minutes=5, seconds=2))
    desk.sweep()

    assert practice.active_roles() == []
    assert desk.only(ticket).state is State.ENDED
    assert any("was given back" in note for note in practice.notes(ticket))
    assert standing(desk) is Standing.HELD
    report = verified(desk, practice.notes(ticket))
    assert {p.seq for p in report.problems} == {changed}
    assert [p.seq for p in report.breaks] == [changed]
    assert len(report.logs) == 2


def test_a_role_whose_time_is_up_ends_although_the_journal_is_broken(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice)
    changed = tamper(desk)

    desk.advance(timedelta(hours=9))
    desk.sweep()

    assert desk.only(ticket).state is State.ENDED
    assert {p.seq for p in verified(desk, practice.notes(ticket)).problems} == {changed}


def test_end_now_works_although_the_journal_is_broken(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice)
    desk.advance(timedelta(minutes=6))
    tamper(desk)

    for due in let_go(Run(desk.deployment, cause="click", clock=desk.now), desk.only(ticket).id, EndReason.END_NOW):
        desk.step(due)

    assert practice.active_roles() == []


def test_a_new_pick_is_refused_with_words_and_no_role_is_asked_for(desk: Desk, practice: Practice) -> None:
    """Invariant 18: with the journal unwritable no call raises privilege."""
    desk.link()
    pick(desk, practice)
    tamper(desk)

    ticket = pick(desk, practice)

    assert desk.only(ticket).state is State.REFUSED
    (note,) = practice.notes(ticket)
    assert "until an administrator has looked into it" in note
    assert len(practice.activation_requests()) == 1


def test_a_pick_that_was_planned_before_the_break_does_not_start(desk: Desk, practice: Practice) -> None:
    """Invariant 18, between plan and intent."""
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    desk.link()
    tamper(desk)
    it = desk.only(ticket)
    with desk.deployment.records.write() as tx:
        tx.execute(sa.text("UPDATE elevations SET state = 'requested', due_at = :now"), {"now": desk.now()})

    desk.step(Due(What.ELEVATION, it.id))

    assert desk.only(ticket).state is State.FAILED
    assert "until an administrator" in practice.notes(ticket)[0]
    assert practice.activation_requests() == []


def test_what_was_intended_before_the_break_is_not_asked_for(desk: Desk, practice: Practice) -> None:
    """Invariant 18, between intent and request: the last moment before the tenant is asked."""
    desk.link()
    fault = {"match": {"method": "POST", "path": "roleAssignmentScheduleRequests"}, "times": 1, "kind": "status"}
    practice.control("/faults", fault)
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.WAITING
    tamper(desk)

    for _ in range(10):
        desk.advance(timedelta(minutes=2))
        desk.sweep()

    assert practice.activation_requests() == []
    assert desk.only(ticket).state is State.FAILED


def test_a_request_whose_answer_got_lost_is_followed_and_given_back(desk: Desk, practice: Practice) -> None:
    desk.link()
    fault = {"match": {"method": "POST", "path": "roleAssignmentScheduleRequests"}, "times": 1, "kind": "lose_answer"}
    practice.control("/faults", fault)
    ticket = pick(desk, practice)
    tamper(desk)
    desk.advance(timedelta(seconds=70))
    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE

    practice.solve(ticket)
    desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))
    desk.sweep()

    assert practice.active_roles() == []
    assert len(practice.activation_requests()) == 1


def test_after_an_administrator_accepted_the_break_picks_start_again(desk: Desk, practice: Practice) -> None:
    desk.link()
    pick(desk, practice)
    changed = tamper(desk)
    refused = pick(desk, practice)
    assert accept(desk) is not None
    assert standing(desk) is Standing.WHOLE

    ticket = practice.new_ticket("MFA reset")
    practice.assign(ticket)
    desk.deliver(ticket)

    assert desk.only(ticket).state is State.ACTIVE
    assert accept(desk) is None
    report = verified(desk, [*practice.notes(refused), *practice.notes(ticket)])
    assert [p.seq for p in report.problems] == [changed]


def test_a_break_may_be_accepted_before_anything_was_given_back(desk: Desk, practice: Practice) -> None:
    desk.link()
    pick(desk, practice)
    tamper(desk)
    assert standing(desk) is Standing.BROKEN

    accept(desk)

    assert standing(desk) is Standing.WHOLE


def test_a_log_that_is_broken_twice_goes_on_twice(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice)
    first = tamper(desk)
    accept(desk)
    second = tamper(desk)
    practice.solve(ticket)
    desk.deliver(ticket)

    report = verified(desk, practice.notes(ticket)[:1])

    assert len(report.logs) == 3
    assert sorted(p.seq for p in report.breaks) == sorted([first, second])


class BreakingDesk(Desk):
    """Changes the journal's last entry after so many steps of work, and notes what the tenant was asked until then."""

    steps_left = 0
    changed: int | None = None
    asked = 0

    def step(self, due: Due) -> None:
        go(
            Run(self.deployment, cause="sweep", clock=self.now),
            due,
            {what: self._then(it) for what, it in STEPS.items()},
        )

    def _then(self, step: Step) -> Step:
        def stepped(run: Run, due: Due) -> Iterable[Due]:
            following = list(step(run, due))
            self.steps_left -= 1
            if self.steps_left == 0:
                self.changed = tamper(self)
                self.asked = len(self.practice.activation_requests())
            return following

        return stepped


def test_wherever_in_a_life_the_journal_breaks_nothing_starts_and_the_role_is_given_back(
    desk: Desk, practice: Practice
) -> None:
    """Invariants 10 and 18, threat 39: after each step of a life, one after the other, each in a log of its own."""
    desk.link()
    life, changed = BreakingDesk(desk.deployment, practice), []
    for steps in range(1, 30):
        life.steps_left, life.changed = steps, None
        ticket = pick(life, practice)
        life.advance(timedelta(minutes=6))
        practice.solve(ticket)
        life.deliver(ticket)
        life.sweep()
        life.advance(timedelta(minutes=6))
        life.sweep()

        assert practice.active_roles() == [], steps
        assert life.only(ticket).state not in OPEN, steps
        if life.changed is None:
            break  # a whole life has fewer steps
        assert len(practice.activation_requests()) == life.asked, steps
        changed.append(life.changed)
        accept(life)

    assert len(changed) >= 5
    report = verified(life, practice.notes(ticket))
    assert sorted(p.seq for p in report.breaks) == sorted(changed)
    assert len(report.logs) == len(changed) + 1


GOES_ON = {
    "pick.refused",
    "pick.watched",
    "breakglass.ticket",
    "breakglass.reviewed",
    "approval.asked",
    "approval.intended",
    "approval.decided",
    "activation.usable",
    "activation.withdrawn",
    "sessions.revoked",
    "signin.lost",
    "signin.purged",
    "notice.refused",
    "signin.needed",
    "signin.done",
    "link.suspended",
    "link.ended",
    "activation.asked",
    "activation.seen",
    "activation.failed",
    "activation.expired",
    "activation.left",
    "giveback.intended",
    "giveback.done",
    "elevation.ending",
    "elevation.ended",
    "elevation.cancelled",
    "elevation.failed",
    "comment.refused",
    "session.signed_in",
    "session.signed_out",
    "privacy.erased",
    "log.continued",
    "log.accepted",
    "checkpoint.signed",
}


def test_every_kind_was_looked_at_for_whether_it_gives_something() -> None:
    assert {str(kind) for kind in Kind} - {str(kind) for kind in STARTS} - GOES_ON == set()
    assert frozenset(STARTS) == verify.STARTS


@pytest.mark.parametrize("kind", sorted(STARTS))
def test_nothing_that_gives_something_is_written_after_a_break(desk: Desk, practice: Practice, kind: Kind) -> None:
    with desk.deployment.records.write() as tx:
        journal.append(tx, Kind.PICK_REFUSED, now=desk.now(), cause="sweep")
    tamper(desk)

    for _ in range(2):  # at the broken end, and in the log that goes on from it
        with pytest.raises(StartsStopped), desk.deployment.records.write() as tx:
            journal.append(tx, kind, now=desk.now(), cause="sweep")
        with desk.deployment.records.write() as tx:
            journal.append(tx, Kind.GIVEBACK_DONE, now=desk.now(), cause="sweep")
