"""The rules' answer for a technician: what the tenant knows of them, kept for a while, and the ticket go in."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta

from integration.elevation import Elevation
from integration.records import people
from integration.rules import Plan, Refusal, RefusalCode
from integration.targets import Eligibility, Target
from integration.tickets import Person, Ticket
from workers.run import Run


def decide(run: Run, it: Elevation, ticket: Ticket) -> Plan | Refusal:
    """What to activate for `it`, or why not. Raises EntraError where the tenant must be asked and does not answer."""
    assert it.tid is not None
    assert it.oid is not None
    technician = _Technician(run, it.tid, it.oid)
    own = _files_for_self(technician, it, ticket)
    if own is not None:
        return own
    rules, asked = run.deployment.rules, timedelta(seconds=it.duration_seconds) if it.duration_seconds else None
    known = technician.eligibilities()
    decision = rules.plan(ticket, eligibilities=known, maximum=technician.maximum, duration=asked)
    if isinstance(decision, Refusal) and decision.code is RefusalCode.NOT_ELIGIBLE and not technician.asked:
        known = technician.eligibilities(again=True)
        decision = rules.plan(ticket, eligibilities=known, maximum=technician.maximum, duration=asked)
    return decision


def _files_for_self(technician: "_Technician", it: Elevation, ticket: Ticket) -> Refusal | None:
    """The technician filed this ticket by another account or address of theirs than the one it is assigned to."""
    requesters = [requester for requester in ticket.requesters if requester.account != it.account]
    if not requesters:
        return None
    addresses = technician.addresses()
    named = any((requester.address or requester.account).casefold() in addresses for requester in requesters)
    if not named and not technician.owns_one_of(it.connection, requesters):
        return None
    reason = "You filed this ticket yourself. Somebody else must work on it."
    return Refusal(rule=it.rule, code=RefusalCode.OWN_TICKET, reason=reason, analysis=())


class _Technician:
    """What the tenant knows of one technician. Its answers are kept for `eligibilities_seconds`."""

    def __init__(self, run: Run, tid: str, oid: str) -> None:
        self._run, self._tid, self._oid = run, tid, oid
        self.asked = False  # whether the tenant was asked for the eligibilities just now

    def eligibilities(self, *, again: bool = False) -> Sequence[Eligibility]:
        def read() -> str:
            self.asked = True
            found = self._run.deployment.tenant.eligibilities(self._tid, self._oid, self._run.now)
            return json.dumps([{"target": it.target.key, "name": it.name} for it in found])

        kept = self._kept(f"eligibilities:{self._tid}:{self._oid}", read, again=again)
        return [Eligibility(Target.from_key(it["target"]), it["name"]) for it in json.loads(kept)]

    def addresses(self) -> frozenset[str]:
        """All addresses of theirs in the directory, case folded."""

        def read() -> str:
            return json.dumps(sorted(self._run.deployment.tenant.addresses(self._tid, self._oid, self._run.now)))

        return frozenset(it.casefold() for it in json.loads(self._kept(f"addresses:{self._tid}:{self._oid}", read)))

    def maximum(self, target: Target) -> timedelta | None:
        """The longest activation that the tenant's policy allows; None where it does not tell."""

        def read() -> str:
            policy = self._run.deployment.tenant.policy(self._tid, self._oid, self._run.now, target)
            return str(int(policy.maximum.total_seconds())) if policy and policy.maximum else ""

        # By person: that one of them may not read it says nothing about the next.
        kept = self._kept(f"policy:{target.key}:{self._tid}:{self._oid}", read)
        return timedelta(seconds=int(kept)) if kept else None

    def owns_one_of(self, desk: str, people_there: Sequence[Person]) -> bool:
        """Whether one of these helpdesk accounts is linked to this technician."""
        with self._run.deployment.records.read() as connection:
            links = (people.link_of(connection, desk, person.account) for person in people_there)
            return any(link is not None and (link.tid, link.oid) == (self._tid, self._oid) for link in links)

    def _kept(self, key: str, read: Callable[[], str], *, again: bool = False) -> str:
        run = self._run
        since = run.now - timedelta(seconds=run.deployment.settings.eligibilities_seconds)
        if not again:
            with run.deployment.records.read() as connection:
                kept = people.answer(connection, key, newer_than=since)
            if kept is not None:
                return kept
        found = read()
        with run.deployment.records.write() as tx:
            people.keep_answer(tx, key, found, now=run.now)
        return found
