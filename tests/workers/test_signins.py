"""Stored sign-ins are looked after: often while they are in use, once a day else, and never all at once."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from integration.elevation import State
from integration.records import sessions, signins
from integration.records.signins import Health
from integration.records.tables import token_caches, web_sessions
from tests.conftest import Desk, Practice
from tests.workers.steps import pick, said
from workers import signins as work
from workers.app import app

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def whose(practice: Practice, who: str = "technician") -> tuple[str, str]:
    return practice.facts["tenant_id"], practice.people[who]["oid"]


def browse(desk: Desk, who: str = "technician") -> None:
    tid, oid = whose(desk.practice, who)
    with desk.deployment.records.write() as tx:
        sessions.start_session(tx, f"cookie of {who}", "{}", tid=tid, oid=oid, now=desk.now())


def pages(desk: Desk) -> int:
    with desk.deployment.records.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(web_sessions)).scalar_one()


def look(desk: Desk) -> int:
    return work.look(desk.deployment, clock=desk.now)


def kept(desk: Desk, who: str = "technician") -> signins.Kept:
    with desk.deployment.records.read() as connection:
        found = signins.of(connection, *whose(desk.practice, who))
    assert found is not None
    return found


def test_who_was_revoked_is_off_the_pages_with_the_next_look(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    browse(desk)
    desk.advance(5 * MINUTE)
    assert look(desk) == 1
    assert pages(desk) == 1

    practice.control("/people/technician", {"revoke_sign_ins": True})
    desk.advance(4 * MINUTE)
    assert (look(desk), pages(desk)) == (0, 1)
    desk.advance(MINUTE)
    assert (look(desk), pages(desk)) == (1, 0)
    assert kept(desk).health(desk.now()) is Health.LOST
    desk.advance(DAY)
    assert look(desk) == 0


@pytest.mark.parametrize("work_of", ["an elevation", "a role that is being given back"])
def test_who_has_something_under_way_is_looked_at_as_often(desk: Desk, practice: Practice, work_of: str) -> None:
    desk.link()
    ticket = pick(desk, practice)
    if work_of == "a role that is being given back":
        practice.solve(ticket)
        desk.deliver(ticket)
        assert desk.only(ticket).state is State.ENDING
    desk.ahead += 5 * MINUTE
    assert look(desk) == 1


def test_a_disabled_person_who_is_not_at_work_is_found_within_a_day(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    practice.control("/people/technician", {"enabled": False})
    desk.advance(DAY - MINUTE)
    assert look(desk) == 0
    desk.advance(MINUTE)
    assert look(desk) == 1
    assert kept(desk).why == "Your account is disabled. Ask an administrator."
    with desk.deployment.records.read() as connection:
        assert connection.execute(sa.select(token_caches.c.sealed)).scalar_one() == b""


def test_a_sign_in_that_nobody_uses_is_kept_alive(desk: Desk) -> None:
    desk.sign_in()
    for _ in range(3):
        desk.advance(30 * DAY)
        assert look(desk) == 1
    assert kept(desk).used_at == kept(desk).renewed_at
    assert kept(desk).health(desk.now()) is Health.WORKS


def test_one_that_could_not_be_looked_at_for_eighty_days_is_about_to_end(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    at = kept(desk).used_at
    practice.control("/faults", {"match": {}, "kind": "status", "times": 1000})
    for _ in range(3):
        desk.advance(25 * DAY)
        assert look(desk) == 1
    it = kept(desk)
    assert (it.lost_at, it.used_at) == (None, at)
    assert it.health(at + 80 * DAY - MINUTE) is Health.WORKS
    assert it.health(at + 80 * DAY) is Health.ENDING
    assert it.health(at + 90 * DAY) is Health.LOST
    assert it.ended_at == it.ends_at == at + 90 * DAY


def test_microsoft_not_answering_ends_nobodys_pages_and_holds_up_the_others_for_a_minute(
    desk: Desk, practice: Practice
) -> None:
    people = ("technician", "technician2", "auditor", "administrator", "approver")
    for who in people:
        desk.sign_in(who)
        browse(desk, who)
    practice.control("/faults", {"match": {}, "kind": "status", "times": 1000})
    desk.advance(5 * MINUTE)
    assert [look(desk), look(desk)] == [3, 2]
    assert pages(desk) == len(people)
    assert all(kept(desk, who).lost_at is None for who in people)


def test_a_step_up_that_is_asked_for_is_no_loss(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    browse(desk)
    claims = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
    practice.control("/faults", {"match": {"path": "/me$"}, "kind": "challenge", "claims": claims, "times": 10})
    desk.advance(5 * MINUTE)
    assert look(desk) == 1
    assert kept(desk).lost_at is None
    assert pages(desk) == 1


def test_a_thousand_sign_ins_cost_a_bounded_number_of_calls(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in use do not stand behind the others, which are all due at once after an outage."""
    start, calls = desk.now(), Counter[str]()
    monkeypatch.setattr(desk.deployment.tenant, "addresses", _counting(calls))
    rows = [
        {"tid": "t", "oid": f"o{n}", "home_account_id": "h", "sealed": b"s", "version": 1, "signed_in_at": start - DAY}
        for n in range(1000)
    ]
    with desk.deployment.records.write() as tx:
        tx.execute(token_caches.insert(), rows)
        for n in range(20):
            sessions.start_session(tx, f"c{n}", "{}", tid="t", oid=f"o{n}", now=start)
    runs = []
    for minute in range(25):
        desk.ahead = timedelta(minutes=minute)
        runs.append(look(desk))
        if minute == 0:
            assert all(calls[f"o{n}"] == 1 for n in range(20))
    assert max(runs) == work.MOST
    assert runs[-1] == 0
    assert {calls[f"o{n}"] for n in range(20)} == {5}
    assert {calls[f"o{n}"] for n in range(20, 1000)} == {1}


def _counting(calls: Counter[str]) -> Callable[..., Any]:
    def addresses(_tid: str, oid: str, _now: datetime) -> frozenset[str]:
        calls[oid] += 1
        return frozenset()

    return addresses


def test_no_look_begins_after_the_share_of_a_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("technician", "technician2", "auditor"):
        desk.sign_in(who)
    desk.advance(DAY)

    def slow(_tid: str, _oid: str, _now: datetime) -> frozenset[str]:
        desk.ahead += timedelta(seconds=25)
        return frozenset()

    monkeypatch.setattr(desk.deployment.tenant, "addresses", slow)
    assert [look(desk), look(desk)] == [2, 1]


def test_of_two_workers_that_list_one_sign_in_one_looks(desk: Desk) -> None:
    desk.sign_in()
    desk.advance(DAY)
    with desk.deployment.records.read() as connection:
        alive = sessions.alive(desk.deployment.settings, desk.now())
        (it,) = signins.due(connection, alive, now=desk.now(), limit=9)
    with desk.deployment.records.write() as tx:
        assert [signins.claim(tx, it, now=desk.now()), signins.claim(tx, it, now=desk.now())] == [True, False]


@pytest.mark.parametrize("still_active", [True, False])
def test_a_pick_with_a_lost_sign_in_is_parked_without_asking_the_tenant(
    desk: Desk, practice: Practice, still_active: bool
) -> None:
    desk.link()
    first = pick(desk, practice)  # what the tenant tells about the technician is kept from now on
    if not still_active:
        desk.advance(6 * MINUTE)
        practice.solve(first)
        desk.deliver(first)
    browse(desk)
    practice.control("/people/technician", {"revoke_sign_ins": True})
    desk.advance(5 * MINUTE)
    assert look(desk) == 1
    before = practice.log()["requests"][-1]["n"]
    ticket = pick(desk, practice)

    asked = [it for it in practice.log()["requests"] if it["n"] > before and it["side"] != "helpdesk"]
    assert asked == []
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert said(practice, ticket, "please sign in once") == 1
    assert desk.only(first).state is (State.ACTIVE if still_active else State.ENDED)

    desk.sign_in()
    with desk.deployment.records.read() as connection:
        assert signins.counts(connection, now=desk.now()) == {Health.WORKS: 1, Health.ENDING: 0, Health.LOST: 0}


@pytest.mark.parametrize("kept_answers", [True, False])
def test_an_elevation_that_finds_the_loss_itself_asks_for_a_sign_in_and_not_for_a_confirmation(
    desk: Desk, practice: Practice, kept_answers: bool
) -> None:
    desk.link()
    browse(desk)
    if kept_answers:
        pick(desk, practice)
    practice.control("/people/technician", {"revoke_sign_ins": True})
    ticket = pick(desk, practice)

    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert said(practice, ticket, "please sign in once") == 1
    assert kept(desk).health(desk.now()) is Health.LOST
    assert pages(desk) == 0


def test_the_beat_asks_for_it_every_minute() -> None:
    entry = app.conf.beat_schedule["signins"]
    assert (entry["task"], entry["schedule"]) == ("signins", 60.0)
    assert "signins" in app.tasks
