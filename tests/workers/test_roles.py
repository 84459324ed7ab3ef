"""What a technician is eligible for, read behind the page: each source for itself, a share at a time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integration.deployment import Deployment
from integration.records import people, roles
from integration.records.roles import Known
from integration.targets import TargetKind
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import by_hand, fault, mend, pick
from tests.workers.test_other_targets import rules
from workers import roles as work

ROLE, GROUP, AZURE = TargetKind.DIRECTORY_ROLE, TargetKind.GROUP, TargetKind.AZURE_ROLE
END = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    place = tmp_path / "rules.toml"
    place.write_text(rules(practice))
    made = Deployment(settings_for(practice, database_url, tmp_path, rules_file=place))
    made.records.migrate()
    yield made
    made.records.dispose()


def whose(desk: Desk) -> tuple[str, str]:
    return desk.practice.facts["tenant_id"], desk.practice.people["technician"]["oid"]


def known(desk: Desk) -> Known:
    with desk.deployment.records.read() as connection:
        return roles.known(connection, *whose(desk))


def want(desk: Desk) -> None:
    with desk.deployment.records.write() as tx:
        roles.want(tx, *whose(desk), now=desk.now())


def read(desk: Desk) -> Known:
    want(desk)
    while work.refresh(desk.deployment, *whose(desk), clock=desk.now):
        pass
    return known(desk)


def names(it: Known, kind: TargetKind) -> list[str]:
    return [held.name for held in it.sources[kind].eligible]


def test_all_three_kinds_are_read_with_their_policies_and_their_ends(desk: Desk, practice: Practice) -> None:
    eligible = [{"role": "Reports Reader", "end": END.isoformat()}, "Helpdesk Administrator"]
    practice.control("/people/technician", {"eligible": eligible})
    desk.sign_in()
    it = read(desk)
    assert names(it, ROLE) == ["Reports Reader", "Helpdesk Administrator"]
    assert [held.until for held in it.sources[ROLE].eligible] == [END, None]
    assert len(it.sources[GROUP].eligible) == 2
    assert names(it, AZURE)[0].startswith("Virtual Machine Administrator Login on ")
    assert len(it.policies) == 6
    told = {key.partition(":")[0] for key, told in it.policies.items() if told.policy and told.policy.ticketing}
    assert told == {"entra-role", "entra-group"}, "Azure does not tell its policies to who is eligible only"
    assert it.wanted is None


def test_what_is_active_is_known_whoever_activated_it(desk: Desk, practice: Practice) -> None:
    practice.control("/people/technician", {"standing": ["Reports Reader"]})
    desk.sign_in()
    by_hand(desk, practice)
    active = read(desk).sources[ROLE].active
    (mine,) = [it for key, it in active.items() if "966707d0" in key]
    (standing,) = [it for key, it in active.items() if "966707d0" not in key]
    assert mine.activated
    assert mine.end is not None
    assert (standing.activated, standing.end) == (False, None)


@pytest.mark.parametrize(
    ("path", "lost"),
    [("roleEligibilityScheduleInstances", ROLE), ("group/eligibilityScheduleInstances", GROUP)],
)
def test_a_source_that_fails_hides_none_of_the_others(
    desk: Desk, practice: Practice, path: str, lost: TargetKind
) -> None:
    desk.sign_in()
    fault(practice, "status", path=path, side="graph", status=503, times=9)
    it = read(desk)
    assert [kind for kind in TargetKind if it.sources[kind].read_at is None] == [lost]
    trouble = it.sources[lost].trouble
    assert trouble is not None
    assert not trouble.sign_in
    assert not work.is_old(desk.deployment, it, now=desk.now()), "it was tried a moment ago"
    mend(practice)
    desk.advance(work.FRESH)
    assert work.is_old(desk.deployment, it, now=desk.now())
    it = read(desk)
    assert it.sources[lost].trouble is None
    assert it.sources[lost].eligible


def test_what_was_read_before_stays_while_the_tenant_is_away(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    before = read(desk)
    desk.advance(timedelta(minutes=20))
    fault(practice, "status", side="graph", status=503, times=99)
    fault(practice, "status", side="arm", status=503, times=99)
    it = read(desk)
    assert [it.sources[kind].read_at for kind in TargetKind] == [before.sources[kind].read_at for kind in TargetKind]
    assert all(source.eligible and source.trouble for source in it.sources.values())


def test_policies_that_cannot_be_read_are_told_apart_from_roles_that_cannot(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    fault(practice, "status", path="roleManagementPolicyAssignments", side="graph", status=503, times=99)
    it = read(desk)
    trouble = it.sources[ROLE].trouble
    assert trouble is not None
    assert trouble.policies
    asked = [row for row in practice.log()["requests"] if "PolicyAssignments" in row["path"] and row["side"] == "graph"]
    assert len(asked) == 2, "one for each kind: the first failure is enough"
    assert {key.partition(":")[0] for key in it.policies} == {"azure-role"}


def test_without_a_sign_in_it_is_said_that_one_is_needed(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})
    it = read(desk)
    assert all(source.trouble and source.trouble.sign_in for source in it.sources.values())


def test_a_message_alone_starts_nothing(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    before = len(practice.log()["requests"])
    assert not work.refresh(desk.deployment, *whose(desk), clock=desk.now)
    assert len(practice.log()["requests"]) == before


def test_it_is_read_in_shares_and_each_comes_further(
    desk: Desk, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SHARE", timedelta())
    desk.sign_in()
    want(desk)
    seen = []
    while work.refresh(desk.deployment, *whose(desk), clock=desk.now):
        it = known(desk)
        assert it.is_being_read(desk.now())
        seen.append((sum(bool(source.active_at) for source in it.sources.values()), len(it.policies)))
    assert seen == [(1, 0), (2, 0), (3, 0), *((3, number) for number in range(1, 10))]
    assert not known(desk).is_being_read(desk.now())


def test_what_is_young_is_not_read_again(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    it = read(desk)
    assert not work.is_old(desk.deployment, it, now=desk.now())
    desk.advance(work.FRESH)
    before = len(practice.log()["requests"])
    read(desk)
    assert len(practice.log()["requests"]) - before == 6, "what may change from minute to minute, not the policies"


def test_a_reading_that_was_lost_is_wanted_again(desk: Desk) -> None:
    want(desk)
    assert known(desk).is_being_read(desk.now())
    desk.ahead += roles.PATIENCE
    assert not known(desk).is_being_read(desk.now())


def test_elevate_decides_by_what_the_page_read(desk: Desk, practice: Practice) -> None:
    desk.link()
    read(desk)
    before = len(practice.log()["requests"])
    ticket = pick(desk, practice, category="Password reset")
    assert desk.only(ticket).target_name == "Exchange helpers"
    paths = [row["path"] for row in practice.log()["requests"][before:]]
    assert not [path for path in paths if "ligibilitySchedule" in path or "PolicyAssignments" in path]


def test_what_is_forgotten_while_it_is_read_stops_the_reading(desk: Desk) -> None:
    desk.sign_in()
    want(desk)
    with desk.deployment.records.write() as tx:
        people.forget_answers(tx, *whose(desk))
    assert not work.refresh(desk.deployment, *whose(desk), clock=desk.now)
    assert known(desk).wanted is None
