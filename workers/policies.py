"""What the tenant's policies make of the rules: asked with the sign-ins that are kept, for `doctor`."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa

from integration.deployment import Deployment
from integration.entra.errors import EntraError
from integration.entra.pim import Policy
from integration.records import signins
from integration.rules import RulesInvalid
from integration.rules_policy import Weight, findings
from integration.targets import PolicyFacts, Target
from integration.tickets import Finding

MOST = 20  # technicians that are asked for; each costs a call for each kind of target


def examine(deployment: Deployment, *, deadline: float = math.inf) -> Iterator[Finding]:
    """One finding for all that fits, or one for each rule that does not. Notes are told and are no fault.

    After `deadline`, on the monotonic clock, nobody else is asked for.
    """
    try:
        kept = _kept(deployment)
        rules = deployment.rules
    except (sa.exc.SQLAlchemyError, RulesInvalid, EntraError):
        return  # said already
    if not kept:
        yield Finding("policies (nobody has signed in yet, so the tenant's policies are not known)", True)
        return
    eligible = _eligible(deployment, kept, deadline)
    policies = _policies(deployment, kept, eligible or frozenset(), deadline)
    facts = {key: _facts(policy) for key, policy in policies.items()}
    found = findings(rules, facts, eligible=eligible)
    for each in found:
        yield Finding(f"policies: {each.text}", each.weight is Weight.NOTE, "Change the rule or the role settings.")
    if time.monotonic() > deadline:
        yield Finding("policies (the tenant is slow: not all were read)", True)
    elif not found:
        yield Finding("policies", True)


def _kept(deployment: Deployment) -> list[tuple[str, str]]:
    assert deployment.sealer  # without the keys nothing can be asked
    with deployment.records.read() as connection:
        return [(it.tid, it.oid) for it in signins.everybodys(connection) if it.lost_at is None][:MOST]


def _eligible(deployment: Deployment, kept: list[tuple[str, str]], deadline: float) -> frozenset[str] | None:
    """Keys of all that somebody who signed in is eligible for; None where nobody's can be read, or not everybody's in
    time: what was not seen may be there."""
    seen: set[str] = set()
    answered = False
    for tid, oid in kept:
        if time.monotonic() > deadline:
            return None
        try:
            found = deployment.tenant.eligibilities(tid, oid, datetime.now(UTC), deployment.rules.kinds)
        except EntraError:
            continue
        answered = True
        seen |= {it.target.key for it in found}
    return frozenset(seen) if answered else None


def _policies(
    deployment: Deployment, kept: list[tuple[str, str]], eligible: frozenset[str], deadline: float
) -> dict[str, Policy]:
    named = {wanted.id.casefold() for wanted in deployment.rules.targets}
    found: dict[str, Policy] = {}
    for key in sorted(eligible):
        target = Target.from_key(key)
        if target.id.casefold() not in named:
            continue
        for tid, oid in kept:
            if time.monotonic() > deadline:
                return found
            try:
                policy = deployment.tenant.policy(tid, oid, datetime.now(UTC), target)
            except EntraError:
                continue
            if policy is not None:
                found[key] = policy
                break
    return found


def _facts(policy: Policy) -> PolicyFacts:
    return PolicyFacts(policy.maximum, policy.mfa, policy.context, policy.approval, policy.approvers)
