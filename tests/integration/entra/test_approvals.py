"""Waiting for an approver, deciding, and who a ticket is about: against the practice tenant."""

from dataclasses import replace

import pytest

from integration.entra.errors import EntraRefused
from integration.entra.pim import RequestKind
from integration.entra.tenant import Tenant
from integration.targets import TargetKind
from tests.integration.entra.conftest import Practice
from tests.integration.entra.store import MemoryStore
from tests.integration.entra.test_tenant import activate, first_target, now, signed_in

ROLE = TargetKind.DIRECTORY_ROLE


@pytest.mark.parametrize("approve", [True, False])
def test_an_approver_sees_what_waits_and_decides_it_once(tenant: Tenant, practice: Practice, approve: bool) -> None:
    practice.control("settings", instance_delay=0)
    who, approver = signed_in(tenant, practice), signed_in(tenant, practice, "approver")
    target = first_target(tenant, who)
    practice.control(f"policies/{target.id}", approval_required=True)
    asked = activate(tenant, who, target)
    assert asked.kind is RequestKind.HUMAN
    assert asked.approval_id is not None
    assert asked.created is not None
    assert tenant.pending(who.tid, who.oid, now(), ROLE) == {asked.id}
    assert tenant.decision(who.tid, who.oid, now(), target, asked.approval_id) is None
    assert tenant.approvals(who.tid, who.oid, now()) == []

    (waiting,) = tenant.approvals(approver.tid, approver.oid, now())
    assert (waiting.request_id, waiting.approval_id) == (asked.id, asked.approval_id)
    assert (waiting.target, waiting.requestor, waiting.ticket_number) == (target, who.oid, "4821")
    assert waiting.target_name != target.id
    tenant.decide(approver.tid, approver.oid, now(), waiting, approve, "as agreed by phone")

    decision = tenant.decision(who.tid, who.oid, now(), target, asked.approval_id)
    assert decision is not None
    assert (decision.approved, decision.words) == (approve, "as agreed by phone")
    found = tenant.request(who.tid, who.oid, now(), target, asked.id)
    assert found is not None
    assert found.kind is (RequestKind.ACTIVE if approve else RequestKind.ENDED_BAD)
    assert tenant.pending(who.tid, who.oid, now(), ROLE) == frozenset()
    with pytest.raises(EntraRefused) as late:
        tenant.decide(approver.tid, approver.oid, now(), waiting, not approve, "too late")
    assert late.value.status == 409


def test_who_is_no_approver_decides_nothing(tenant: Tenant, practice: Practice) -> None:
    who, approver = signed_in(tenant, practice), signed_in(tenant, practice, "approver")
    target = first_target(tenant, who)
    practice.control(f"policies/{target.id}", approval_required=True)
    asked = activate(tenant, who, target)
    (waiting,) = tenant.approvals(approver.tid, approver.oid, now())
    with pytest.raises(EntraRefused):
        tenant.decide(who.tid, who.oid, now(), waiting, True, "my own")
    assert tenant.pending(who.tid, who.oid, now(), ROLE) == {asked.id}


def test_a_request_is_withdrawn_while_it_waits_and_not_afterwards(tenant: Tenant, practice: Practice) -> None:
    who = signed_in(tenant, practice)
    target = first_target(tenant, who)
    practice.control(f"policies/{target.id}", approval_required=True)
    asked = activate(tenant, who, target)
    tenant.withdraw(who.tid, who.oid, now(), target, asked.id)
    assert tenant.pending(who.tid, who.oid, now(), ROLE) == frozenset()
    with pytest.raises(EntraRefused):
        tenant.withdraw(who.tid, who.oid, now(), target, asked.id)


def test_the_affected_person_is_found_by_address_with_their_units(
    practice: Practice, store: MemoryStore, tenant: Tenant
) -> None:
    tenant = Tenant(replace(practice.settings, by_unit=True), store, tenant._tokens._seal)
    who, person = signed_in(tenant, practice), practice.person("requester")
    found = tenant.affected(who.tid, who.oid, now(), person["mail"])
    assert found is not None
    assert found.user_id == person["oid"]
    assert tenant.affected(who.tid, who.oid, now(), "o'nobody@example.com") is None


def test_one_sign_in_serves_every_resource_that_the_rules_use(
    practice: Practice, store: MemoryStore, tenant: Tenant
) -> None:
    practice.control("consent", grant=["PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup"])
    settings = replace(practice.settings, kinds=frozenset(TargetKind))
    tenant = Tenant(settings, store, tenant._tokens._seal)
    who = signed_in(tenant, practice)
    assert tenant.addresses(who.tid, who.oid, now())
    graph = len(practice.log("/token"))
    arm = (f"{settings.arm_url}/user_impersonation",)
    token = tenant._tokens.access_token(who.tid, who.oid, now=now(), wanted=arm)
    assert len(practice.log("/token")) == graph + 1
    assert tenant._tokens.access_token(who.tid, who.oid, now=now(), wanted=arm) == token
    assert tenant.addresses(who.tid, who.oid, now())
    assert len(practice.log("/token")) == graph + 1
