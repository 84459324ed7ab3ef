"""A role that is ended outside while a ticket holds it: noticed within minutes, and never for want of an answer."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from integration.deployment import Deployment
from integration.elevation import ActivationState, EndReason, State
from integration.records import elevations, journal
from integration.targets import Target, TargetKind
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import PASSWORD_ADMINISTRATOR, activations_of, by_hand, fault, mend, pick, said, wait_for
from workers.run import Run
from workers.watching import EVERY, LISTS_PER_MINUTE, next_look

LIST = "ssignmentScheduleInstances"
MINUTE = timedelta(minutes=1)
pytestmark = pytest.mark.usefixtures("at_the_portal")


def end_in_portal(desk: Desk, practice: Practice, target: Target = PASSWORD_ADMINISTRATOR) -> None:
    oid = practice.people["technician"]["oid"]
    desk.deployment.tenant.give_back(practice.facts["tenant_id"], oid, desk.now(), target)


def looks(practice: Practice) -> int:
    return sum(LIST in it["path"] for it in practice.log()["requests"])


@pytest.fixture
def active(desk: Desk, practice: Practice) -> str:
    """A ticket whose role has been on for six minutes."""
    desk.link()
    ticket = pick(desk, practice)
    wait_for(desk, timedelta(seconds=2))  # usable
    wait_for(desk, MINUTE, steps=6)
    assert desk.only(ticket).state is State.ACTIVE
    return ticket


def test_a_role_that_is_ended_in_the_portal_is_noticed_and_said(desk: Desk, practice: Practice, active: str) -> None:
    end_in_portal(desk, practice)
    wait_for(desk, MINUTE, steps=6)
    it = desk.only(active)
    assert (it.state, it.end_reason) == (State.ENDED, EndReason.OUTSIDE)
    assert said(practice, active, "is no longer active: the role was ended outside Ticket Elevate") == 1
    assert [it.state for it in activations_of(desk)] == [ActivationState.EXPIRED]
    with desk.deployment.records.read() as connection:
        entries = [json.loads(line)["entry"] for line in journal.export(connection)]
    assert [it["facts"]["reason"] for it in entries if it["kind"] == "activation.expired"] == ["outside"]


def test_a_role_that_stays_is_looked_for_every_few_minutes(desk: Desk, practice: Practice, active: str) -> None:
    before = looks(practice)
    wait_for(desk, MINUTE, steps=18)
    assert desk.only(active).state is State.ACTIVE
    assert 3 <= looks(practice) - before <= 8


def test_a_role_that_was_made_by_hand_is_noticed_too(desk: Desk, practice: Practice) -> None:
    desk.link()
    by_hand(desk, practice)
    ticket = pick(desk, practice)
    assert activations_of(desk)[0].by_hand
    wait_for(desk, MINUTE, steps=6)
    end_in_portal(desk, practice)
    wait_for(desk, MINUTE, steps=6)
    assert (desk.only(ticket).state, desk.only(ticket).end_reason) == (State.ENDED, EndReason.OUTSIDE)


def test_a_role_held_for_good_that_is_taken_away_is_noticed_too(desk: Desk, practice: Practice) -> None:
    practice.control("/people/technician", {"standing": ["Password Administrator"]})
    desk.link()
    ticket = pick(desk, practice)
    assert activations_of(desk)[0].ends_at is None
    wait_for(desk, MINUTE, steps=6)
    assert desk.only(ticket).state is State.ACTIVE
    practice.control("/people/technician", {"standing": []})
    wait_for(desk, MINUTE, steps=6)
    assert (desk.only(ticket).state, desk.only(ticket).end_reason) == (State.ENDED, EndReason.OUTSIDE)


def test_one_that_was_made_by_hand_since_is_not_taken_for_ours(desk: Desk, practice: Practice, active: str) -> None:
    end_in_portal(desk, practice)
    by_hand(desk, practice)
    wait_for(desk, MINUTE, steps=6)
    assert desk.only(active).end_reason == EndReason.OUTSIDE
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, None),
        (403, None),
        (401, None),
        (200, "{}"),
        (200, ""),
        (200, '{"value": null}'),
        (200, '{"value": [7]}'),
        (200, '{"value": [{}]}'),
        (200, '{"value": [], "@odata.nextLink": 7}'),
        (200, '{"value": [], "@odata.nextLink": "https://elsewhere.example/next"}'),
        (200, '{"value": ['),
    ],
)
def test_a_list_that_cannot_be_read_whole_ends_nothing(
    desk: Desk, practice: Practice, active: str, status: int, body: str | None
) -> None:
    fault(practice, "status", method="GET", path=LIST, status=status, body=body, times=1000)
    wait_for(desk, MINUTE, steps=12)
    assert desk.only(active).state is State.ACTIVE
    mend(practice)
    wait_for(desk, MINUTE, steps=5)
    assert desk.only(active).state is State.ACTIVE


def test_a_sign_in_that_is_lost_ends_nothing(desk: Desk, practice: Practice, active: str) -> None:
    practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})
    wait_for(desk, MINUTE, steps=12)
    assert desk.only(active).state is State.ACTIVE


def test_a_role_that_is_missed_once_is_looked_for_again(desk: Desk, practice: Practice, active: str) -> None:
    """Entra does not agree with itself at each moment, and a look that failed is no second look."""
    empty = json.dumps({"value": []})
    for _ in range(3):
        fault(practice, "status", method="GET", path=LIST, status=200, body=empty)
        fault(practice, "status", method="GET", path=LIST, status=503, times=1)
    wait_for(desk, timedelta(seconds=31), steps=40)
    assert desk.only(active).state is State.ACTIVE


def test_a_role_that_has_just_been_seen_is_not_missed(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = pick(desk, practice)
    fault(practice, "status", method="GET", path=LIST, status=200, body=json.dumps({"value": []}), times=1000)
    wait_for(desk, timedelta(seconds=20), steps=14)
    mend(practice)
    assert desk.only(ticket).state is State.ACTIVE


def test_one_list_serves_all_roles_of_a_technician(desk: Desk, practice: Practice, active: str) -> None:
    others = [pick(desk, practice, category=category) for category in ("MFA reset", "BitLocker key")]
    wait_for(desk, timedelta(seconds=2))
    together = [desk.only(ticket).target for ticket in (active, *others)]
    assert len(set(together)) == 3, together
    wait_for(desk, MINUTE, steps=6)
    before = looks(practice)
    wait_for(desk, timedelta(seconds=15), steps=48)
    assert [desk.only(ticket).state for ticket in (active, *others)] == [State.ACTIVE] * 3
    assert looks(practice) - before <= 12 * MINUTE / EVERY + 1


def test_a_look_for_others_delays_no_give_back(desk: Desk, practice: Practice, active: str) -> None:
    second = pick(desk, practice, category="MFA reset")
    wait_for(desk, timedelta(seconds=2))
    practice.solve(second)
    desk.deliver(second)
    assert desk.only(second).state is State.ENDING
    wait_for(desk, timedelta(seconds=15), steps=21)
    assert desk.only(second).state is State.ENDED
    assert practice.active_roles() == [PASSWORD_ADMINISTRATOR.id]


def test_what_is_gone_of_several_is_noticed_each_for_itself(desk: Desk, practice: Practice, active: str) -> None:
    second = pick(desk, practice, category="MFA reset")
    wait_for(desk, timedelta(seconds=2))
    wait_for(desk, MINUTE, steps=6)
    end_in_portal(desk, practice)
    wait_for(desk, timedelta(seconds=30), steps=12)
    assert desk.only(active).end_reason == EndReason.OUTSIDE
    assert desk.only(second).state is State.ACTIVE


def test_ten_thousand_technicians_are_looked_after_one_by_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, active: str
) -> None:
    monkeypatch.setattr(elevations, "lists_active", lambda connection, kind: 10_000)
    (it,), start = activations_of(desk), desk.now()

    def later(n: int) -> datetime:
        return start + timedelta(seconds=n * 7919 % 2880)

    at = [
        next_look(Run(desk.deployment, cause="sweep", clock=partial(later, n)), replace(it, oid=f"technician-{n}"))
        for n in range(10_000)
    ]
    a_minute = Counter(int(moment.timestamp() // 60) for moment in at)
    assert max(a_minute.values()) <= LISTS_PER_MINUTE
    assert all(moment > later(n) for n, moment in enumerate(at))


@pytest.fixture
def azure(practice: Practice, desk: Desk, tmp_path: Path) -> Iterator[Desk]:
    held = practice.people["technician"]["eligible_azure"][0]
    place = tmp_path / "azure.toml"
    place.write_text(f"""
[[rule]]
name = "Azure"
match = {{ category = "BitLocker key" }}
roles = [{{ azure_role = "{held["roleDefinitionId"]}", scope = "{held["scope"]}" }}]
duration = "2h"
""")
    made = Deployment(settings_for(practice, desk.deployment.settings.database_url, tmp_path, rules_file=place))
    yield Desk(made, practice)
    made.records.dispose()


def test_an_azure_role_is_looked_for_less_often(azure: Desk, practice: Practice) -> None:
    azure.link()
    ticket = pick(azure, practice, category="BitLocker key")
    wait_for(azure, timedelta(seconds=2))
    before = looks(practice)
    wait_for(azure, MINUTE, steps=40)
    assert 2 <= looks(practice) - before <= 6
    (it,) = activations_of(azure)
    assert Target.from_key(it.target).kind is TargetKind.AZURE_ROLE
    end_in_portal(azure, practice, Target.from_key(it.target))
    wait_for(azure, MINUTE, steps=16)
    assert azure.only(ticket).end_reason == EndReason.OUTSIDE
