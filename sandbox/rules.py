"""Which rules of its policy a wanted activation breaks (entra-pim sheet, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox import schedule
from sandbox.people import Eligibility, Person
from sandbox.policies import duration
from sandbox.targets import Target
from sandbox.tenant import ScheduleRequest, Tenant


@dataclass(frozen=True)
class Caller:
    """The person behind a call, and what their token says. `issued` is the token's birth by the practice clock."""

    person: Person
    acrs: tuple[str, ...] = ()
    mfa: bool = False
    cp1: bool = False
    issued: datetime | None = None


def eligibility(person: Person, what: Target, now: datetime) -> Eligibility | None:
    """The eligibility that carries an activation of `what`: the scope must be the very one."""
    return next((e for e in person.all_eligible() if e.target == what and (e.end is None or e.end > now)), None)


def broken(tenant: Tenant, caller: Caller, asked: ScheduleRequest) -> list[str]:
    """The names of all rules that fail, in no order that one may lean on."""
    policy = tenant.policy(asked.what.policy_key)
    found = eligibility(caller.person, asked.what, tenant.clock.now())
    failed = [] if found and asked.linked in (None, found.schedule_id) else ["EligibilityRule"]
    if "Justification" in policy.enabled_rules and not (asked.justification or "").strip():
        failed.append("JustificationRule")
    ticket = asked.ticket or {}
    if "Ticketing" in policy.enabled_rules and not (ticket.get("ticketNumber") and ticket.get("ticketSystem")):
        failed.append("TicketingRule")
    unused_context = policy.authentication_context is not None and not policy.context_is_used
    if ("MultiFactorAuthentication" in policy.enabled_rules or unused_context) and not caller.mfa:
        failed.append("MfaRule")
    length = schedule.length(asked, asked.start or asked.created)
    if length is None or not timedelta() < length <= duration(policy.maximum_duration):
        failed.append("ExpirationRule")
    return failed
