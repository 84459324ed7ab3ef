"""The door to the tenant, against the practice tenant over real TLS."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from integration.entra.errors import (
    EntraError,
    EntraRefused,
    EntraUnavailable,
    NotActive,
    RoleAssignmentExists,
    SignInFailed,
    SignInNeeded,
    StepUpNeeded,
    TooEarlyToGiveBack,
)
from integration.entra.pim import Request, RequestKind
from integration.entra.sign_in import SignedIn
from integration.entra.tenant import Tenant
from integration.targets import Target
from tests.integration.entra.conftest import Practice
from tests.integration.entra.store import MemoryStore


def now() -> datetime:
    return datetime.now(UTC)


def signed_in(tenant: Tenant, practice: Practice, key: str = "technician", claims: str | None = None) -> SignedIn:
    url, flow = tenant.start_sign_in(practice.facts["redirect_uris"][0], claims=claims)
    return tenant.finish_sign_in(flow, practice.browser(url, practice.person(key)["upn"]), now=now())


def first_target(tenant: Tenant, who: SignedIn) -> Target:
    return tenant.eligibilities(who.tid, who.oid, now())[0].target


def activate(tenant: Tenant, who: SignedIn, target: Target, hours: float = 1) -> Request:
    return tenant.activate(
        who.tid,
        who.oid,
        now(),
        target=target,
        duration=timedelta(hours=hours),
        justification="Ticket 4821: password reset",
        ticket_number="4821",
        ticket_system="Practice desk",
        asked_as=str(uuid4()),
    )


def test_a_sign_in_names_the_technician_and_hands_out_no_token(tenant: Tenant, practice: Practice) -> None:
    who = signed_in(tenant, practice)
    person = practice.person("technician")
    assert (who.tid, who.oid, who.upn) == (practice.facts["tenant_id"], person["oid"], person["upn"])
    assert who.cache == ""
    assert tenant.addresses(who.tid, who.oid, now()) >= {person["mail"].lower()}


def test_a_role_goes_the_whole_way_from_asking_to_giving_back(tenant: Tenant, practice: Practice) -> None:
    practice.control("settings", instance_delay=0)
    who = signed_in(tenant, practice)
    target = first_target(tenant, who)
    policy = tenant.policy(who.tid, who.oid, now(), target)
    assert policy is None or policy.maximum >= timedelta(minutes=30)
    since = now() - timedelta(minutes=1)
    asked = activate(tenant, who, target)
    assert asked.kind is RequestKind.ACTIVE
    assert tenant.request(who.tid, who.oid, now(), target, asked.id) == asked
    active = tenant.active(who.tid, who.oid, now(), target)
    assert active is not None
    assert active.activated
    assert active.end is not None
    found = tenant.find_own_request(
        who.tid,
        who.oid,
        now(),
        target=target,
        ticket_number="4821",
        ticket_system="Practice desk",
        justification="Ticket 4821: password reset",
        since=since,
        asked_as=str(uuid4()),
    )
    assert found == asked
    with pytest.raises(RoleAssignmentExists):
        activate(tenant, who, target)
    with pytest.raises(TooEarlyToGiveBack):
        tenant.give_back(who.tid, who.oid, now(), target)
    practice.control("clock", advance_seconds=301)
    assert tenant.give_back(who.tid, who.oid, now(), target).kind is RequestKind.ENDED_OK
    with pytest.raises(NotActive):
        tenant.give_back(who.tid, who.oid, now(), target)


def test_a_duration_beyond_the_policy_is_refused_with_the_rule(tenant: Tenant, practice: Practice) -> None:
    who = signed_in(tenant, practice)
    with pytest.raises(EntraRefused, match="longer than the policy allows") as refused:
        activate(tenant, who, first_target(tenant, who), hours=23)
    assert "ExpirationRule" in refused.value.rules


def test_a_lost_answer_is_an_unknown_outcome_and_is_found_again(tenant: Tenant, practice: Practice) -> None:
    who = signed_in(tenant, practice)
    target = first_target(tenant, who)
    since = now() - timedelta(minutes=1)
    practice.control("faults", kind="lose_answer", match={"method": "POST", "path": "ScheduleRequests"})
    with pytest.raises(EntraUnavailable) as failed:
        activate(tenant, who, target)
    assert failed.value.outcome_unknown
    found = tenant.find_own_request(
        who.tid,
        who.oid,
        now(),
        target=target,
        ticket_number="4821",
        ticket_system="Practice desk",
        justification="Ticket 4821: password reset",
        since=since,
        asked_as=str(uuid4()),
    )
    assert found is not None
    assert found.kind is RequestKind.ACTIVE


def test_throttling_says_how_long_to_wait(tenant: Tenant, practice: Practice) -> None:
    who = signed_in(tenant, practice)
    practice.control("faults", kind="throttle", retry_after="7", match={"path": "Eligibility"})
    with pytest.raises(EntraUnavailable) as failed:
        tenant.eligibilities(who.tid, who.oid, now())
    assert failed.value.after == 7
    assert not failed.value.outcome_unknown


def test_an_authentication_context_asks_for_a_step_up_that_then_works(tenant: Tenant, practice: Practice) -> None:
    who = signed_in(tenant, practice)
    target = first_target(tenant, who)
    practice.control(f"policies/{target.id}", authentication_context="c1", enabled_rules=["Justification", "Ticketing"])
    with pytest.raises(StepUpNeeded) as challenge:
        activate(tenant, who, target)
    assert challenge.value.claims is not None
    assert "c1" in challenge.value.claims
    signed_in(tenant, practice, claims=challenge.value.claims)
    assert activate(tenant, who, target).kind is RequestKind.ACTIVE


def test_a_step_up_answered_by_another_person_stores_nothing(tenant: Tenant, practice: Practice) -> None:
    """Threat 19."""
    who = signed_in(tenant, practice)
    other = next(p for p in practice.facts["people"] if p["oid"] != who.oid)
    url, flow = tenant.start_sign_in(practice.facts["redirect_uris"][0])
    with pytest.raises(SignInFailed, match="Somebody else"):
        tenant.finish_sign_in(flow, practice.browser(url, other["upn"]), now=now(), expected=(who.tid, who.oid))
    with pytest.raises(SignInNeeded):
        tenant.eligibilities(who.tid, other["oid"], now())


def test_wrong_state_replayed_code_and_cancelling_are_sentences(tenant: Tenant, practice: Practice) -> None:
    """Threats 17 and 18."""
    url, flow = tenant.start_sign_in(practice.facts["redirect_uris"][0])
    args = practice.browser(url, practice.person("technician")["upn"])
    tenant.finish_sign_in(flow, args, now=now())
    cancelled = {"state": args["state"], "error": "access_denied", "error_description": "<script>"}
    for bad in (args, {**args, "state": "x"}, {}, cancelled):
        with pytest.raises(SignInFailed) as failed:
            tenant.finish_sign_in(flow, bad, now=now())
        assert "<" not in str(failed.value)


def test_revoked_sign_ins_ask_for_a_new_one_and_keep_the_row(
    tenant: Tenant, practice: Practice, store: MemoryStore
) -> None:
    who = signed_in(tenant, practice)
    before = store.read(who.tid, who.oid)
    practice.control("people/technician", revoke_sign_ins=True, expire_access_tokens=True)
    with pytest.raises(SignInNeeded):
        tenant.eligibilities(who.tid, who.oid, now())
    assert before is not None
    assert store.read(who.tid, who.oid) == replace(before, lost="Your sessions were revoked. Please sign in again.")


def test_a_token_the_tenant_no_longer_likes_is_renewed_once_silently(
    tenant: Tenant, practice: Practice, store: MemoryStore
) -> None:
    who = signed_in(tenant, practice)
    practice.control("people/technician", expire_access_tokens=True)
    assert tenant.eligibilities(who.tid, who.oid, now())
    assert store.writes == 1


def test_many_workers_spend_one_refresh_token(tenant: Tenant, practice: Practice, store: MemoryStore) -> None:
    practice.control("settings", one_time_refresh_tokens=True)
    who = signed_in(tenant, practice)
    late = now() + timedelta(hours=3)  # as if the access token had run out

    def ask(_: int) -> str:
        try:
            tenant.eligibilities(who.tid, who.oid, late)
        except EntraUnavailable as busy:
            return str(busy.after)
        return "done"

    with ThreadPoolExecutor(6) as pool:
        outcomes = set(pool.map(ask, range(6)))
    assert outcomes <= {"done", "1"}
    assert "done" in outcomes
    assert store.read(who.tid, who.oid) is not None
    assert tenant.eligibilities(who.tid, who.oid, now())


def test_no_error_carries_a_token(tenant: Tenant, practice: Practice, caplog: pytest.LogCaptureFixture) -> None:
    """Threat 24."""
    caplog.set_level("DEBUG")
    who = signed_in(tenant, practice)
    practice.control("faults", kind="truncate", match={"path": "token"})
    practice.control("people/technician", expire_access_tokens=True)
    with pytest.raises(EntraError) as failed:
        tenant.eligibilities(who.tid, who.oid, now())
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    assert "eyJ" not in str(failed.value) + caplog.text
    assert "client_secret" not in caplog.text


def _context(practice: Practice, target: Target, context: str = "c1") -> None:
    practice.control(
        f"policies/{target.id}", authentication_context=context, enabled_rules=["Justification", "Ticketing"]
    )


def test_the_same_challenge_after_it_was_answered_is_final(
    tenant: Tenant, practice: Practice, store: MemoryStore
) -> None:
    """No loop, and no silent try: the token in use is the very one that the technician confirmed for."""
    who = signed_in(tenant, practice)
    target = first_target(tenant, who)
    _context(practice, target, "c2")
    with pytest.raises(StepUpNeeded) as first:
        activate(tenant, who, target)
    assert not first.value.silently
    assert not first.value.final
    _context(practice, target, "c1")
    url, flow = tenant.start_sign_in(practice.facts["redirect_uris"][0], claims=None)
    flow["answers"] = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'  # and Entra forgot it
    tenant.finish_sign_in(flow, practice.browser(url, who.upn), now=now())
    writes = store.writes
    with pytest.raises(StepUpNeeded, match="asks again") as again:
        activate(tenant, who, target)
    assert again.value.final
    assert store.writes == writes


def test_a_renewal_forgets_what_the_sign_in_answered(tenant: Tenant, practice: Practice, store: MemoryStore) -> None:
    who = signed_in(tenant, practice, claims='{"access_token":{"acrs":{"essential":true,"value":"c1"}}}')
    row = store.read(who.tid, who.oid)
    assert row is not None
    assert row.answered is not None
    practice.control("people/technician", expire_access_tokens=True)
    later = now() + timedelta(seconds=1)
    tenant.eligibilities(who.tid, who.oid, later)
    row = store.read(who.tid, who.oid)
    assert row is not None
    assert row.answered is None
    assert store.renewed_at == later


def test_a_fresh_token_leaves_the_stepped_up_one_in_use(tenant: Tenant, practice: Practice, store: MemoryStore) -> None:
    who = signed_in(tenant, practice)
    target = first_target(tenant, who)
    _context(practice, target)
    with pytest.raises(StepUpNeeded) as challenge:
        activate(tenant, who, target)
    signed_in(tenant, practice, claims=challenge.value.claims)
    before = store.read(who.tid, who.oid)
    tokens = len(practice.log("/token"))
    tenant.fresh(who.tid, who.oid, now(), None)
    after = store.read(who.tid, who.oid)
    assert before is not None
    assert after is not None
    assert len(practice.log("/token")) == tokens + 1
    assert (after.version, after.answered) == (before.version + 1, before.answered)
    assert activate(tenant, who, target).kind is RequestKind.ACTIVE
    assert len(practice.log("/token")) == tokens + 1
