"""The rules' answer for a technician: what the tenant knows of them, kept for a while, and the ticket go in."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta

import sqlalchemy as sa

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
    others = [requester for requester in ticket.requesters if requester.account != it.account]
    technician = _Technician(run, it.tid, it.oid)
    with run.deployment.records.read() as connection:
        technician.look_up(connection)
        links = [people.link_of(connection, it.connection, requester.account) for requester in others]
    filed_by_another = any(link is not None and (link.tid, link.oid) == (it.tid, it.oid) for link in links)
    if filed_by_another or (others and technician.has_address_of(others)):
        reason = "You filed this ticket yourself. Somebody else must work on it."
        return Refusal(rule=it.rule, code=RefusalCode.OWN_TICKET, reason=reason, analysis=())
    rules, asked = run.deployment.rules, timedelta(seconds=it.duration_seconds) if it.duration_seconds else None
    known = technician.eligibilities()
    decision = rules.plan(ticket, eligibilities=known, maximum=technician.maximum, duration=asked)
    if isinstance(decision, Refusal) and decision.code is RefusalCode.NOT_ELIGIBLE and not technician.asked:
        known = technician.eligibilities(again=True)
        decision = rules.plan(ticket, eligibilities=known, maximum=technician.maximum, duration=asked)
    return decision


class _Technician:
    """What the tenant knows of one technician. Its answers are kept for `eligibilities_seconds`."""

    def __init__(self, run: Run, tid: str, oid: str) -> None:
        self._run, self._tid, self._oid = run, tid, oid
        self._kept: dict[str, str] = {}
        self.asked = False  # whether the tenant was asked for the eligibilities just now

    def look_up(self, connection: sa.Connection) -> None:
        """Take what is kept, all at once."""
        since = self._run.now - timedelta(seconds=self._run.deployment.settings.eligibilities_seconds)
        self._kept = people.answers(connection, self._tid, self._oid, newer_than=since)

    def eligibilities(self, *, again: bool = False) -> Sequence[Eligibility]:
        def read() -> str:
            self.asked = True
            found = self._run.deployment.tenant.eligibilities(self._tid, self._oid, self._run.now)
            return json.dumps([{"target": it.target.key, "name": it.name} for it in found])

        kept = self._answer("eligibilities", read, again=again)
        return [Eligibility(Target.from_key(it["target"]), it["name"]) for it in json.loads(kept)]

    def has_address_of(self, persons: Sequence[Person]) -> bool:
        """Whether one of them goes by an address that the directory has for this technician."""

        def read() -> str:
            return json.dumps(sorted(self._run.deployment.tenant.addresses(self._tid, self._oid, self._run.now)))

        mine = {address.casefold() for address in json.loads(self._answer("addresses", read))}
        return any((person.address or person.account).casefold() in mine for person in persons)

    def maximum(self, target: Target) -> timedelta | None:
        """The longest activation that the tenant's policy allows; None where it does not tell."""

        def read() -> str:
            policy = self._run.deployment.tenant.policy(self._tid, self._oid, self._run.now, target)
            return str(int(policy.maximum.total_seconds())) if policy and policy.maximum else ""

        # By person: that one of them may not read it says nothing about the next.
        kept = self._answer(f"policy:{target.key}", read)
        return timedelta(seconds=int(kept)) if kept else None

    def _answer(self, name: str, read: Callable[[], str], *, again: bool = False) -> str:
        if again or name not in self._kept:
            found = read()
            with self._run.deployment.records.write() as tx:
                people.keep_answer(tx, self._tid, self._oid, name, found, now=self._run.now)
            self._kept[name] = found
        return self._kept[name]
