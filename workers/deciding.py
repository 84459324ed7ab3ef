"""The rules' answer for a technician: what the tenant knows of them, kept for a while, and the ticket go in."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from integration import rules_break_glass
from integration.elevation import Activation, Elevation
from integration.entra.errors import EntraError
from integration.entra.pim import Policy
from integration.records import people, roles
from integration.rules import Plan, Refusal, RefusalCode, Rules
from integration.rules_diff import Known
from integration.targets import Affected, Eligibility, Target, TargetKind
from integration.tickets import Person, Ticket
from workers.run import Run


def decide(
    run: Run, it: Elevation, ticket: Ticket, *, rules: Rules | None = None, supposed: Sequence[Eligibility] = ()
) -> Plan | Refusal:
    """What to activate for `it`, or why not. Raises EntraError where the tenant must be asked and does not answer.

    For a try with `rules` that are not in force; the technician counts as eligible for what is `supposed`, too.
    """
    assert it.tid is not None
    assert it.oid is not None
    others = [requester for requester in ticket.requesters if requester.account != it.account]
    technician = _Technician(run, it.tid, it.oid)
    with run.deployment.records.read() as connection:
        technician.look_up(connection)
        links = [people.link_of(connection, it.connection, requester.account) for requester in others]
    rules = rules or run.deployment.rules
    asked = timedelta(seconds=it.duration_seconds) if it.duration_seconds else None
    found = rules.match(ticket)
    filed_by_another = any(link is not None and (link.tid, link.oid) == (it.tid, it.oid) for link in links)
    if filed_by_another or (others and technician.has_address_of(others)):
        reason = "You filed this ticket yourself. Somebody else must work on it."
        return Refusal(rule=it.rule, code=RefusalCode.OWN_TICKET, reason=reason, analysis=(), mode=found.mode)
    affected = technician.affected(ticket) if not isinstance(found, Refusal) and found.by_unit else None
    # Another rule's group or Azure role is no business of this ticket: its source may be slow, or away. Of a kind that
    # the rules in force do not name nobody was asked for a permission.
    kinds = frozenset[TargetKind]() if isinstance(found, Refusal) else found.kinds & run.deployment.rules.kinds

    def plan(again: bool) -> Plan | Refusal:
        return rules.plan(
            ticket,
            eligibilities=[*technician.eligibilities(kinds, again=again), *supposed],
            maximum=technician.maximum,
            too_long=technician.too_long,
            duration=asked,
            part=it.part,
            affected=affected,
        )

    return _twice(technician, kinds, plan)


def decide_all(
    run: Run, it: Elevation, ticket: Ticket, *, rules: Rules | None = None, supposed: Sequence[Eligibility] = ()
) -> list[Plan | Refusal]:
    """What becomes of each target of the rule: one answer, but for a rule with a bundle. Raises EntraError."""
    found = (rules or run.deployment.rules).match(ticket)
    parts = 1 if isinstance(found, Refusal) else found.parts
    return [decide(run, replace(it, part=part), ticket, rules=rules, supposed=supposed) for part in range(parts)]


def last_told(answers: Mapping[str, str], kinds: frozenset[TargetKind]) -> Known:
    """The eligibilities among what the tenant told of a technician, who is asked for these `kinds`."""
    told = {kind: answers[roles.eligible_name(kind)] for kind in kinds if roles.eligible_name(kind) in answers}
    return Known(tuple(it for text in told.values() for it in roles.eligible_from_text(text)), frozenset(told))


def decide_emergency(run: Run, it: Elevation, wanted: str) -> Plan | Refusal:
    """As `decide`, for break glass: `wanted` is the key of a target that the rules name for it."""
    technician, table = _known(run, it), run.deployment.rules.break_glass
    named = rules_break_glass.named(table, wanted) if table else None
    kinds = frozenset({named.kind} if named else ())

    def plan(again: bool) -> Plan | Refusal:
        return run.deployment.rules.plan_break_glass(
            wanted,
            it.reason or "",
            technician.eligibilities(kinds, again=again),
            technician.maximum,
            too_long=technician.too_long,
        )

    return _twice(technician, kinds, plan)


def policy_of(run: Run, it: Elevation, target: Target) -> Policy | None:
    """What the tenant asks for an activation of `target` by the technician of `it`; None where it does not tell."""
    return _known(run, it).policy(target)


def kept_policy(run: Run, it: Elevation, target: Target) -> Policy | None:
    """What the tenant last told of the policy, however long ago; None where it never did. Asks nobody."""
    with run.deployment.records.read() as connection:
        kept = people.last_answer(connection, it.tid or "", it.oid or "", roles.policy_name(target))
    return roles.policy_from_text(kept) if kept else None


def kept_limits(run: Run, it: Elevation, target: Target) -> tuple[timedelta | None, timedelta | None]:
    """The longest activation that the tenant allows, and one that it refused, as far as that is kept. Asks nobody."""
    policy = kept_policy(run, it, target)
    with run.deployment.records.read() as connection:
        refused = people.last_answer(connection, it.tid or "", it.oid or "", _too_long_name(target))
    return policy.maximum if policy else None, timedelta(seconds=int(refused)) if refused else None


def forget_policy(run: Run, it: Elevation, target: Target) -> None:
    """What is kept of the policy was disproved: whoever needs it next asks the tenant."""
    with run.deployment.records.write() as tx:
        people.forget_answer(tx, it.tid or "", it.oid or "", roles.policy_name(target))


def _known(run: Run, it: Elevation) -> "_Technician":
    """Its technician, with what the tenant told of them a while ago."""
    assert it.tid is not None
    assert it.oid is not None
    technician = _Technician(run, it.tid, it.oid)
    with run.deployment.records.read() as connection:
        technician.look_up(connection)
    return technician


def eligibility_of(run: Run, it: Activation) -> str:
    """What Azure calls the eligibility that `it` rests on, as it was read for the plan; "" where that is forgotten."""
    target = Target.from_key(it.target)
    if target.kind is not TargetKind.AZURE_ROLE:
        return ""
    with run.deployment.records.read() as connection:
        kept = people.last_answer(connection, it.tid, it.oid, roles.eligible_name(target.kind))
    found = roles.eligible_from_text(kept) if kept else []
    return next((one.schedule_id for one in found if one.target == target), "")


def learn_too_long(run: Run, it: Activation) -> bool:
    """The tenant refused this duration: whether its policy, read again, says a shorter one.

    Where the policy cannot be read, the next plan asks for less.
    """
    target = Target.from_key(it.target)
    with run.deployment.records.write() as tx:
        people.forget_answer(tx, it.tid, it.oid, roles.policy_name(target))
        people.keep_answer(tx, it.tid, it.oid, _too_long_name(target), str(it.duration_seconds), now=run.now)
    try:
        maximum = _Technician(run, it.tid, it.oid).maximum(target)
    except EntraError:
        return False
    return maximum is not None and maximum < timedelta(seconds=it.duration_seconds)


def _twice(
    technician: "_Technician", kinds: frozenset[TargetKind], plan: Callable[[bool], Plan | Refusal]
) -> Plan | Refusal:
    """Somebody may have been made eligible since the tenant was last asked."""
    decision = plan(False)
    if isinstance(decision, Refusal) and decision.code is RefusalCode.NOT_ELIGIBLE and not kinds <= technician.asked:
        return plan(True)
    return decision


def _too_long_name(target: Target) -> str:
    return f"too_long:{target.key}"


class _Technician:
    """What the tenant knows of one technician. Its answers are kept for `eligibilities_seconds`."""

    def __init__(self, run: Run, tid: str, oid: str) -> None:
        self._run, self._tid, self._oid = run, tid, oid
        self._kept: dict[str, str] = {}
        self.asked: set[TargetKind] = set()  # of which eligibilities the tenant was asked just now

    def look_up(self, connection: sa.Connection) -> None:
        """Take what is kept, all at once."""
        since = self._run.now - timedelta(seconds=self._run.deployment.settings.eligibilities_seconds)
        self._kept = people.answers(connection, self._tid, self._oid, newer_than=since)

    def eligibilities(self, kinds: frozenset[TargetKind], *, again: bool = False) -> Sequence[Eligibility]:
        """Of these kinds. `again`: what was not asked for just now is."""
        return [one for kind in sorted(kinds) for one in self._eligibilities(kind, again=again)]

    def _eligibilities(self, kind: TargetKind, *, again: bool) -> Sequence[Eligibility]:
        def read() -> str:
            self.asked.add(kind)
            tenant = self._run.deployment.tenant
            return roles.eligible_to_text(tenant.eligibilities(self._tid, self._oid, self._run.now, frozenset({kind})))

        return roles.eligible_from_text(
            self._answer(roles.eligible_name(kind), read, again=again and kind not in self.asked)
        )

    def has_address_of(self, persons: Sequence[Person]) -> bool:
        """Whether one of them goes by an address that the directory has for this technician."""

        def read() -> str:
            return json.dumps(sorted(self._run.deployment.tenant.addresses(self._tid, self._oid, self._run.now)))

        mine = {address.casefold() for address in json.loads(self._answer("addresses", read))}
        return any((person.address or person.account).casefold() in mine for person in persons)

    def affected(self, ticket: Ticket) -> Affected | None:
        """Whom the ticket is about: its one requester, whom the directory knows by their address; None otherwise."""
        addresses = {person.address for person in ticket.requesters if person.address}
        if len(addresses) != 1:
            return None
        address = addresses.pop()

        def read() -> str:
            found = self._run.deployment.tenant.affected(self._tid, self._oid, self._run.now, address)
            return json.dumps([found.user_id, sorted(found.units)] if found else None)

        kept = json.loads(self._answer(f"affected:{address.casefold()}", read))
        return Affected(kept[0], frozenset(kept[1])) if kept else None

    def policy(self, target: Target) -> Policy | None:
        """What an activation of `target` must carry; None where the tenant does not tell this technician."""

        def read() -> str:
            policy = self._run.deployment.tenant.policy(self._tid, self._oid, self._run.now, target)
            return roles.policy_to_text(policy)

        # By person: that one of them may not read it says nothing about the next.
        return roles.policy_from_text(self._answer(roles.policy_name(target), read))

    def maximum(self, target: Target) -> timedelta | None:
        """The longest activation that the tenant's policy allows; None where it does not tell."""
        policy = self.policy(target)
        return policy.maximum if policy else None

    def too_long(self, target: Target) -> timedelta | None:
        """A duration that the tenant refused a while ago."""
        kept = self._kept.get(_too_long_name(target))
        return timedelta(seconds=int(kept)) if kept else None

    def _answer(self, name: str, read: Callable[[], str], *, again: bool = False) -> str:
        if again or name not in self._kept:
            found = read()
            with self._run.deployment.records.write() as tx:
                people.keep_answer(tx, self._tid, self._oid, name, found, now=self._run.now)
            self._kept[name] = found
        return self._kept[name]
