"""The rules: a ticket and what its technician is eligible for go in, a Plan or a Refusal comes out. Pure.

Deny rules win, wherever they stand; among the others the first in the file that fits is the ticket's rule. Plan and
Refusal carry everything that was looked at. Nothing of it holds a subject, a person or a field's value: an analysis is
stored and shown, the justification alone says what a template asked for.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from unicodedata import normalize

from integration import rules_file
from integration.rule import SHORTEST, Rule, Start, folded, in_words, justify, place
from integration.rules_file import Problem, RulesInvalid
from integration.rules_fit import Condition, either, fits
from integration.targets import Eligibility, Target, TargetKind
from integration.tickets import Person, Status, Ticket, clean

__all__ = [
    "SHIPPED",
    "Condition",
    "Plan",
    "Problem",
    "Refusal",
    "RefusalCode",
    "Rule",
    "RuleMatch",
    "Rules",
    "RulesInvalid",
    "Start",
    "analysis_from_json",
    "analysis_to_json",
    "load",
]

# The rules that come with the product: in force where the settings name no other file.
SHIPPED = Path(__file__).with_name("rules.toml")


class RefusalCode(StrEnum):
    NO_RULE = "no_rule"  # none of our business
    DENIED = "denied"
    NOT_ELIGIBLE = "not_eligible"
    OWN_TICKET = "own_ticket"
    NOT_OPEN = "not_open"
    JOURNAL_BROKEN = "journal_broken"


Analysis = tuple[Condition, ...]


@dataclass(frozen=True)
class RuleMatch:
    """The rule that concerns a ticket, and what was looked at to find it."""

    rule: Rule
    analysis: Analysis


@dataclass(frozen=True)
class Plan:
    """What to ask the tenant for, in the technician's own name."""

    rule: str
    start: Start
    target: Target
    target_name: str
    duration: timedelta
    justification: str
    ticket_number: str
    analysis: Analysis


@dataclass(frozen=True)
class Refusal:
    """Why nothing is activated; `reason` is for a technician and says who must act. `rule` is None for NO_RULE."""

    rule: str | None
    code: RefusalCode
    reason: str
    analysis: Analysis


@dataclass(frozen=True)
class Rules:
    """A rules file that was found valid. `digest` is the SHA-256 of its bytes, in hex."""

    digest: str
    rules: tuple[Rule, ...]

    def match(self, ticket: Ticket) -> Rule | Refusal:
        """The rule that concerns `ticket`, or whatever refusal stands before anybody's eligibilities are known."""
        found = self.look(ticket)
        return found.rule if isinstance(found, RuleMatch) else found

    def look(self, ticket: Ticket) -> RuleMatch | Refusal:
        """As `match`, with the analysis."""
        found = self._find(ticket)
        return _check_ticket(found, ticket) if isinstance(found, RuleMatch) else found

    def plan(
        self,
        ticket: Ticket,
        *,
        eligibilities: Sequence[Eligibility],
        maximum: Callable[[Target], timedelta | None] = lambda _: None,
        duration: timedelta | None = None,
    ) -> Plan | Refusal:
        """What to activate for the ticket's assignee, who has these `eligibilities`.

        `maximum` gives the tenant's longest activation of a target, None where it is not known. `duration` is what the
        technician asked for, None for the rule's; it is kept between SHORTEST and the rule's own.
        """
        found = self.look(ticket)
        if isinstance(found, Refusal):
            return found
        rule, analysis = found.rule, list(found.analysis)
        if ticket.assignee is None:
            return _nobody(rule, ticket, found.analysis)
        chosen = _first_eligible(rule, eligibilities, analysis)
        if chosen is None:
            return _not_eligible(rule, tuple(analysis))
        granted, how = _duration(rule, duration, maximum(chosen.target))
        analysis.append(how)
        name = clean(chosen.name) or chosen.target.id
        justification = justify(rule, ticket)
        return Plan(
            rule.name,
            rule.start_for(ticket),
            chosen.target,
            name,
            granted,
            justification,
            ticket.number,
            tuple(analysis),
        )

    def _find(self, ticket: Ticket) -> RuleMatch | Refusal:
        looked: list[Condition] = []
        for rule in self.rules:
            if rule.deny and fits(rule, ticket, looked):
                return Refusal(rule.name, RefusalCode.DENIED, _sentences(rule.reason, rule.help), tuple(looked))
        for rule in self.rules:
            if not rule.deny and fits(rule, ticket, looked):
                return RuleMatch(rule, tuple(looked))
        reason = (
            f"No rule concerns ticket {clean(ticket.number)}, so nothing is activated for it. If one should, an "
            "administrator must add it to the rules file."
        )
        return Refusal(None, RefusalCode.NO_RULE, reason, tuple(looked))


def load(path: Path) -> Rules:
    """Read and check the rules file at `path`.

    Raises RulesInvalid, whose str() lists every problem as "FILE:LINE: what is wrong, what was probably meant".
    """
    digest, rules = rules_file.read(path)
    return Rules(digest, rules)


def analysis_to_json(analysis: Sequence[Condition]) -> str:
    return json.dumps([asdict(condition) for condition in analysis])


def analysis_from_json(text: str) -> Analysis:
    """The inverse of `analysis_to_json`."""
    return tuple(Condition(**condition) for condition in json.loads(text))


def _check_ticket(found: RuleMatch, ticket: Ticket) -> RuleMatch | Refusal:
    rule, number = found.rule, clean(ticket.number)
    is_open = ticket.status is not Status.SOLVED
    analysis = (*found.analysis, Condition("The ticket is open", is_open, f"Its status is {ticket.status}."))
    if not is_open:
        reason = f"Ticket {number} is solved, so nothing is activated for it. Reopen it if there is still work to do."
        return Refusal(rule.name, RefusalCode.NOT_OPEN, _sentences(reason, rule.help), analysis)
    if ticket.assignee is None:  # plan refuses that; here there is nobody to compare yet
        return RuleMatch(rule, analysis)
    own = _is_requester(ticket.assignee, ticket.requesters)
    whose = "One of the requesters" if own else "No requester"
    detail = f"{whose} has the technician's account or address."
    analysis = (*analysis, Condition("Technician and requester are different people", not own, detail))
    if own:
        reason = f"You are a requester of ticket {number}. Another technician must work on it."
        return Refusal(rule.name, RefusalCode.OWN_TICKET, _sentences(reason, rule.help), analysis)
    return RuleMatch(rule, analysis)


def _is_requester(technician: Person, requesters: Sequence[Person]) -> bool:
    return any(_identities(technician) & _identities(person) for person in requesters)


def _identities(person: Person) -> set[str]:
    # In one set: some helpdesks take the address as the account.
    return {folded(normalize("NFKC", word[:400])) for word in (person.account, person.address or "")} - {""}


def _first_eligible(rule: Rule, eligibilities: Sequence[Eligibility], analysis: list[Condition]) -> Eligibility | None:
    held = {
        (e.target.id.casefold(), e.target.scope.casefold()): e
        for e in eligibilities
        if e.target.kind is TargetKind.DIRECTORY_ROLE
    }
    for role in rule.roles:
        found = held.get((role.id.casefold(), rule.scope.casefold()))
        detail = "The technician is eligible." if found else "The technician is not eligible."
        analysis.append(Condition(f'Eligible for "{role.name}" {place(rule.scope)}', found is not None, detail))
        if found:
            return found
    return None


def _nobody(rule: Rule, ticket: Ticket, analysis: Analysis) -> Refusal:
    # Without an assignee nobody could be compared with the requesters, so this must not pass.
    reason = f"Nobody is assigned to ticket {clean(ticket.number)}. Whoever works on it must assign it to themselves."
    looked = Condition("The ticket has a technician", False, "It is assigned to nobody.")
    return Refusal(rule.name, RefusalCode.NOT_ELIGIBLE, _sentences(reason, rule.help), (*analysis, looked))


def _not_eligible(rule: Rule, analysis: Analysis) -> Refusal:
    where = "" if rule.scope == "/" else f" {place(rule.scope)}"
    reason = (
        f'You are not eligible for any role that the rule "{rule.name}" names{where}: '
        f"{either([role.name for role in rule.roles])}. Somebody who administers roles must make you eligible for one."
    )
    return Refusal(rule.name, RefusalCode.NOT_ELIGIBLE, _sentences(reason, rule.help), analysis)


def _duration(rule: Rule, asked: timedelta | None, maximum: timedelta | None) -> tuple[timedelta, Condition]:
    wish = rule.duration if asked is None else min(max(asked, SHORTEST), rule.duration)
    granted = wish if maximum is None else min(wish, maximum)
    who = "The rule says" if asked is None else "The technician asked for"
    policy = "is not known" if maximum is None else f"is {in_words(maximum)}"
    detail = f"{who} {in_words(wish)}; the tenant's maximum {policy}."
    return granted, Condition(f"Active for {in_words(granted)}", True, detail)


def _sentences(*texts: str) -> str:
    return " ".join(text for text in texts if text)
