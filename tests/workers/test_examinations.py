"""Doctor's look by a worker. Contract: what is wrong now is found, in a time that a task has, and kept once."""

import time
from datetime import timedelta
from pathlib import Path

from integration.deployment import Deployment
from integration.records import examinations
from integration.records.examinations import AGAIN, Examination
from integration.tickets import Finding
from tests.conftest import Desk, Practice, settings_for
from workers import doctor, schedule
from workers.run import Due, What


def asked(desk: Desk) -> Due:
    with desk.deployment.records.write() as tx:
        return Due(What.EXAMINATION, examinations.ask(tx, now=desk.now()))


def last(desk: Desk) -> Examination:
    with desk.deployment.records.read() as connection:
        found = examinations.last(connection)
    assert found is not None
    return found


def test_the_sweep_finds_what_was_asked_for_and_it_comes_again_by_itself(desk: Desk) -> None:
    due = asked(desk)
    assert due in schedule.due(desk.deployment, now=desk.now())
    desk.sweep()
    it = last(desk)
    assert not it.under_way
    assert "database" in {each.what for each in it.found if each.ok}
    assert schedule.due(desk.deployment, now=desk.now()) == []
    assert schedule.due(desk.deployment, now=desk.now() + AGAIN) == [due]


def test_files_are_looked_at_as_they_are_now(practice: Practice, database_url: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "a"\nroles = ["Global Reader"]\nmatch = { category = "x" }\n')
    deployment = Deployment(settings_for(practice, database_url, tmp_path, rules_file=rules))
    deployment.records.migrate()
    desk = Desk(deployment, practice)
    assert len(deployment.rules.rules) == 1
    rules.write_text("no rules file")
    desk.step(asked(desk))
    (wrong,) = [it for it in last(desk).found if it.what == "rules"]
    assert not wrong.ok
    deployment.records.dispose()


def test_one_that_was_asked_for_again_meanwhile_is_left_to_whoever_took_that(desk: Desk) -> None:
    due = asked(desk)
    with desk.deployment.records.write() as tx:
        first = examinations.claim(tx, due.id, now=desk.now())
    assert first is not None
    asked(desk)
    with desk.deployment.records.write() as tx:
        second = examinations.claim(tx, due.id, now=desk.now())
    assert second is not None
    with desk.deployment.records.write() as tx:
        assert not examinations.finish(tx, first, [Finding("first", True)], now=desk.now())
        assert examinations.finish(tx, second, [Finding("second", True)], now=desk.now())
    assert [it.what for it in last(desk).found] == ["second"]


def test_a_look_that_is_cut_off_each_time_is_given_up_and_said(desk: Desk) -> None:
    due = asked(desk)
    for _ in range(3):
        with desk.deployment.records.write() as tx:
            assert examinations.claim(tx, due.id, now=desk.now()) is not None
        desk.ahead += timedelta(minutes=2)
    desk.step(due)
    assert [(it.what, it.ok) for it in last(desk).found] == [("this examination", False)]


def test_a_slow_tenant_does_not_make_it_longer_than_a_task_may_take(desk: Desk, practice: Practice) -> None:
    desk.link()
    deadline = time.monotonic()
    found = [it for it in doctor.examine(desk.deployment, deadline=deadline) if it.what.startswith("policies")]
    assert [(it.what, it.ok) for it in found] == [("policies (the tenant is slow: not all were read)", True)]
    paths = [it["path"] for it in practice.log()["requests"]]
    assert paths
    assert not [path for path in paths if "roleEligibility" in path]
