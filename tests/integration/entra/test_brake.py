"""The tenant asks to wait: everybody does, one tries first, and giving back stands behind nobody."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from integration.brake import PROBE, Brake
from integration.entra.errors import EntraRefused, EntraUnavailable
from integration.entra.slowed import GRAPH, brake
from integration.entra.tenant import Tenant
from integration.records.brake import BrakeRows
from integration.records.store import Records
from tests.integration.entra.conftest import Practice
from tests.integration.entra.store import MemoryStore
from tests.integration.entra.test_tenant import activate, first_target, now, signed_in

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
OVER = NOON + timedelta(seconds=8)  # the tenant asked for seven


@pytest.fixture
def rows(database_url: str) -> Iterator[BrakeRows]:
    records = Records(database_url)
    records.migrate()
    yield BrakeRows(records)
    records.dispose()


def throttled(it: Brake, at: datetime = NOON, after: float | None = 7) -> None:
    with pytest.raises(EntraUnavailable), it.passing(GRAPH, at):
        raise EntraUnavailable("busy", after=after, throttled=True)


def goes(it: Brake, at: datetime, *, urgent: bool = False) -> bool:
    try:
        with it.passing(GRAPH, at, urgent=urgent):
            return True
    except EntraUnavailable:
        return False


def test_one_process_is_throttled_and_all_wait_until_the_time_that_was_named(rows: BrakeRows) -> None:
    throttled(brake(rows))
    other = brake(rows)
    with pytest.raises(EntraUnavailable) as held, other.passing(GRAPH, NOON + timedelta(seconds=2)):
        pytest.fail("it called the tenant")
    assert held.value.after is not None
    assert held.value.after > 5
    assert goes(other, OVER)
    assert rows.read(GRAPH) is None
    assert goes(brake(rows), OVER)


def test_of_many_at_once_one_probes_and_the_rest_follow_when_it_got_through(rows: BrakeRows) -> None:
    throttled(brake(rows))
    together = Barrier(6)
    probing = Barrier(6)

    def call(_: int) -> bool:
        mine = brake(rows)
        together.wait(20)
        try:
            with mine.passing(GRAPH, OVER):
                probing.wait(20)
                return True
        except EntraUnavailable:
            probing.wait(20)
            return False

    with ThreadPoolExecutor(6) as pool:
        went = list(pool.map(call, range(6)))
    assert sorted(went) == [False] * 5 + [True]
    assert rows.read(GRAPH) is None
    assert goes(brake(rows), OVER)


def test_a_probe_that_never_comes_back_is_followed_by_another(rows: BrakeRows) -> None:
    throttled(brake(rows))
    assert rows.probe(GRAPH, now=OVER, until=OVER + PROBE)
    assert not goes(brake(rows), OVER + timedelta(seconds=1))
    assert goes(brake(rows), OVER + PROBE)


def test_a_probe_that_is_throttled_keeps_the_brake_on(rows: BrakeRows) -> None:
    throttled(brake(rows))
    throttled(brake(rows), OVER, after=20)
    assert not goes(brake(rows), OVER + timedelta(seconds=10))
    assert goes(brake(rows), OVER + timedelta(seconds=21))


def test_a_later_answer_never_shortens_the_wait(rows: BrakeRows) -> None:
    rows.hold(GRAPH, NOON + timedelta(minutes=5))
    rows.hold(GRAPH, NOON + timedelta(minutes=1))
    held = rows.read(GRAPH)
    assert held is not None
    assert held.until == NOON + timedelta(minutes=5)
    rows.lift(GRAPH, until=NOON + timedelta(minutes=1))  # by somebody who saw another one
    assert rows.read(GRAPH) is not None


def test_giving_back_waits_for_the_tenant_and_for_no_probe(rows: BrakeRows) -> None:
    throttled(brake(rows))
    assert not goes(brake(rows), NOON + timedelta(seconds=1), urgent=True)
    assert rows.probe(GRAPH, now=OVER, until=OVER + PROBE)  # an activation probes, and hangs
    assert not goes(brake(rows), OVER)
    assert goes(brake(rows), OVER, urgent=True)


def test_a_refusal_is_an_answer_and_lifts_the_brake(rows: BrakeRows) -> None:
    throttled(brake(rows))
    with pytest.raises(EntraRefused), brake(rows).passing(GRAPH, OVER):
        raise EntraRefused("no", code="X")
    assert rows.read(GRAPH) is None


def test_without_a_brake_the_database_is_asked_once_a_second_at_most(rows: BrakeRows) -> None:
    mine = brake(rows)
    assert goes(mine, NOON)
    rows.hold(GRAPH, NOON + timedelta(seconds=30))
    assert goes(mine, NOON + timedelta(seconds=0.9))
    assert not goes(mine, NOON + timedelta(seconds=1))


@pytest.mark.parametrize("path", ["Eligibility", "token"])
def test_the_tenant_s_own_throttling_holds_back_other_technicians(
    path: str, rows: BrakeRows, tenant: Tenant, practice: Practice, store: MemoryStore
) -> None:
    tenant = Tenant(practice.settings, store, tenant._tokens._seal, rows)
    one, other = signed_in(tenant, practice), signed_in(tenant, practice, "auditor")
    if path == "token":
        practice.control("people/technician", expire_access_tokens=True)
        practice.control("people/auditor", expire_access_tokens=True)
    practice.control("faults", kind="throttle", retry_after="7", match={"path": path})
    with pytest.raises(EntraUnavailable) as first:
        tenant.eligibilities(one.tid, one.oid, now())
    assert first.value.throttled
    assert first.value.after == 7
    calls = len(practice.log("ScheduleInstances/filterByCurrentUser(on='principal')")), len(practice.log("/token"))
    with pytest.raises(EntraUnavailable, match="wait") as second:
        tenant.eligibilities(other.tid, other.oid, now() + timedelta(seconds=2))
    assert not second.value.throttled
    if path == "token":
        assert len(practice.log("/token")) == calls[1]
    later = now() + timedelta(seconds=20)
    tenant.eligibilities(other.tid, other.oid, later)
    assert first_target(tenant, one)


def test_a_role_is_given_back_while_an_activation_probes(
    rows: BrakeRows, tenant: Tenant, practice: Practice, store: MemoryStore
) -> None:
    practice.control("settings", instance_delay=0)
    tenant = Tenant(practice.settings, store, tenant._tokens._seal, rows)
    who = signed_in(tenant, practice)
    target = first_target(tenant, who)
    asked = activate(tenant, who, target)
    practice.control("clock", advance_seconds=301)
    later = now() + timedelta(seconds=5)
    rows.hold(GRAPH, later - timedelta(seconds=1))
    assert rows.probe(GRAPH, now=later, until=later + PROBE)
    with pytest.raises(EntraUnavailable, match="wait"):
        tenant.active(who.tid, who.oid, later, target)
    there = tenant.active(who.tid, who.oid, later, target, schedule_id=asked.schedule_id, urgent=True)
    assert there is not None
    rows.hold(GRAPH, later - timedelta(seconds=1))
    assert rows.probe(GRAPH, now=later, until=later + PROBE)
    assert tenant.give_back(who.tid, who.oid, later, target).status == "Revoked"
