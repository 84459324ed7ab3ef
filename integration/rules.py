"""The rules: a ticket and what its technician is eligible for go in, a Plan or a Refusal comes out. Pure.

Deny rules win, wherever they stand; among the others the first in the file that fits is the ticket's rule. Plan and
Refusal carry everything that was looked at. Nothing of it holds a subject, a person or a field's value: an analysis is
stored and shown, the justification alone says what a template asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unicodedata import normalize

from integration import rules_break_glass, rules_choice, rules_file, rules_require
from integration.rule import BreakGlass, Bundle, Mode, Require, Rule, Sla, Start, Wanted, folded, justify, place
from integration.rules_answers import (
    Analysis,
    Plan,
    Refusal,
    RefusalCode,
    RuleMatch,
    analysis_from_json,
    analysis_to_json,
)
from integration.rules_choice import Limit
from integration.rules_file import Problem, RulesInvalid
from integration.rules_fit import Condition, either, fits
from integration.targets import Affected, Eligibility, Probe, TargetKind
from integration.tickets import Person, Status, Ticket, clean

__all__ = [
    "SHIPPED",
    "BreakGlass",
    "Bundle",
    "Condition",
    "Mode",
    "Plan",
    "Problem",
    "Refusal",
    "RefusalCode",
    "Require",
    "Rule",
    "RuleMatch",
    "Rules",
    "RulesInvalid",
    "Sla",
    "Start",
    "Wanted",
    "analysis_from_json",
    "analysis_to_json",
    "load",
    "loads",
]

# The rules that come with the product: in force where the settings name no other file.
SHIPPED = Path(__file__).with_name("rules.toml")


@dataclass(frozen=True)
class Rules:
    """A rules file that was found valid. `digest` is the SHA-256 of its bytes, in hex.

    Each rule's mode says already what the file's own `mode` says of all of them. Without `break_glass` there is none.
    """

    digest: str
    rules: tuple[Rule, ...]
    mode: Mode = Mode.ACT
    break_glass: BreakGlass | None = None

    @property
    def targets(self) -> tuple[Wanted, ...]:
        """Everything that may be activated, as the file names it."""
        urgent = self.break_glass.targets if self.break_glass else ()
        return tuple(wanted for rule in self.rules for wanted in rule.targets) + urgent

    @property
    def kinds(self) -> frozenset[TargetKind]:
        return frozenset(wanted.kind for wanted in self.targets)

    @property
    def probes(self) -> frozenset[Probe]:
        return frozenset(rule.usable for rule in self.rules if rule.usable)

    @property
    def by_unit(self) -> bool:
        """Whether some rule must know whom a ticket is about."""
        return any(rule.by_unit for rule in self.rules)

    def watches(self, rule: str | None) -> bool:
        """Whether what rests on the rule of this name is only to be watched."""
        return self.mode is Mode.WATCH or any(it.name == rule and it.mode is Mode.WATCH for it in self.rules)

    def concern(self, ticket: Ticket) -> bool:
        """Whether any rule is for this ticket, whatever it says then."""
        found = self._find(ticket)
        return not isinstance(found, Refusal) or found.code is not RefusalCode.NO_RULE

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
        maximum: Limit = lambda _: None,
        duration: timedelta | None = None,
        part: int = 0,
        affected: Affected | None = None,
        too_long: Limit = lambda _: None,
    ) -> Plan | Refusal:
        """What to activate for the ticket's assignee, who has these `eligibilities`.

        `maximum` gives the tenant's longest activation of a target, None where it is not known; `too_long` a duration
        that the tenant refused, of use where the maximum is not known. `duration` is what the technician asked for,
        None for the rule's; it is kept between SHORTEST and the rule's own. `part` counts from 0 through the targets
        of a rule with a bundle. `affected` is whom the ticket is about, None where that is not known.
        """
        found = self.look(ticket)
        if isinstance(found, Refusal):
            return found
        rule, analysis = found.rule, list(found.analysis)
        if ticket.assignee is None:
            return _nobody(rule, ticket, found.analysis)
        chosen = _choose(rule, part, eligibilities, affected, analysis)
        if isinstance(chosen, Refusal):
            return chosen
        wanted, held = chosen
        wish, who = rules_choice.wish(rule, duration)
        granted, how = rules_choice.how_long(wish, who, maximum(held.target), too_long(held.target))
        return Plan(
            rule=rule.name,
            start=rule.start_for(ticket),
            target=held.target,
            target_name=rules_choice.name_of(wanted, held),
            duration=granted,
            justification=justify(rule, ticket),
            ticket_number=ticket.number,
            analysis=(*analysis, how),
            total=rule.in_all,
            mode=rule.mode,
            parts=rule.parts,
            probe=rule.usable,
            revoke_sessions=rule.revoke_sessions,
        )

    def plan_break_glass(
        self,
        wanted: int | str,
        reason: str,
        eligibilities: Sequence[Eligibility],
        maximum: Limit = lambda _: None,
        *,
        too_long: Limit = lambda _: None,
    ) -> Plan | Refusal:
        """What to activate without a ticket, for a technician who has these `eligibilities`.

        `wanted` is a place in `break_glass.targets` or a target's key. `reason` is the technician's own text, and is
        in the plan's justification only. The limits are those of `plan`.
        """
        return rules_break_glass.plan(
            self.break_glass,
            wanted,
            reason,
            eligibilities=eligibilities,
            maximum=maximum,
            too_long=too_long,
            mode=self.mode,
        )

    def _find(self, ticket: Ticket) -> RuleMatch | Refusal:
        looked: list[Condition] = []
        for rule in self.rules:
            if rule.deny and fits(rule, ticket, looked):
                return Refusal(
                    rule.name, RefusalCode.DENIED, _sentences(rule.reason, rule.help), tuple(looked), rule.mode
                )
        for rule in self.rules:
            if not rule.deny and fits(rule, ticket, looked):
                return RuleMatch(rule, tuple(looked))
        reason = (
            f"No rule concerns ticket {clean(ticket.number)}, so nothing is activated for it. If one should, an "
            "administrator must add it to the rules file."
        )
        return Refusal(None, RefusalCode.NO_RULE, reason, tuple(looked), self.mode)


def load(path: Path) -> Rules:
    """Read and check the rules file at `path`.

    Raises RulesInvalid, whose str() lists every problem as "FILE:LINE: what is wrong, what was probably meant".
    """
    return _rules(*rules_file.read(path))


def loads(raw: bytes, path: Path) -> Rules:
    """As `load`, of a file's bytes; `path` is what it is called. Raises RulesInvalid."""
    return _rules(*rules_file.check(raw, path))


def _rules(digest: str, contents: rules_file.Contents) -> Rules:
    return Rules(digest, contents.rules, contents.mode, contents.break_glass)


def _check_ticket(found: RuleMatch, ticket: Ticket) -> RuleMatch | Refusal:
    rule, number = found.rule, clean(ticket.number)
    solved = ticket.status is Status.SOLVED
    analysis = (*found.analysis, Condition("The ticket is not solved", not solved, f"It is {ticket.status.words}."))
    if solved:
        reason = f"Ticket {number} is solved, so nothing is activated for it. Reopen it if there is still work to do."
        return _refused(rule, RefusalCode.NOT_OPEN, reason, analysis)
    if ticket.assignee is not None:  # plan refuses a ticket without one; here there is nobody to compare yet
        own = _is_requester(ticket.assignee, ticket.requesters)
        whose = "One of the requesters" if own else "No requester"
        detail = f"{whose} has the technician's account or address."
        analysis = (*analysis, Condition("Technician and requester are different people", not own, detail))
        if own:
            reason = f"You are a requester of ticket {number}. Another technician must work on it."
            return _refused(rule, RefusalCode.OWN_TICKET, reason, analysis)
    return _check_required(RuleMatch(rule, analysis), ticket)


def _check_required(found: RuleMatch, ticket: Ticket) -> RuleMatch | Refusal:
    """Last, so that nobody fills in what would do them no good."""
    rule, required = found.rule, rules_require.look(found.rule.require, ticket)
    analysis = (*found.analysis, *(it.condition for it in required))
    steps = [it.step for it in required if not it.condition.met]
    if not steps:
        return RuleMatch(rule, analysis)
    reason = f'The rule "{rule.name}" requires more of ticket {clean(ticket.number)}.'
    return _refused(rule, RefusalCode.NOT_READY, _sentences(reason, *steps, "Then press Elevate."), analysis)


def _is_requester(technician: Person, requesters: Sequence[Person]) -> bool:
    return any(_identities(technician) & _identities(person) for person in requesters)


def _identities(person: Person) -> set[str]:
    # In one set: some helpdesks take the address as the account.
    return {folded(normalize("NFKC", word[:400])) for word in (person.account, person.address or "")} - {""}


def _choose(
    rule: Rule, part: int, eligibilities: Sequence[Eligibility], affected: Affected | None, analysis: list[Condition]
) -> tuple[Wanted, Eligibility] | Refusal:
    """The target to activate as the `part`-th of this rule, and the eligibility that serves for it."""
    if not 0 <= part < rule.parts:  # the file was changed while an elevation waited
        reason = f'The rule "{rule.name}" no longer names this target. Press Elevate again if you still need it.'
        return _refused(rule, RefusalCode.NOT_ELIGIBLE, reason, tuple(analysis))
    asked = rule.targets[part : part + 1] if rule.bundle is Bundle.BEST_EFFORT else rule.targets
    found: list[tuple[Wanted, Eligibility | None]] = []
    for wanted in asked:
        found.append((wanted, rules_choice.held(wanted, eligibilities, affected, analysis)))
        if found[-1][1] and not rule.bundle:
            break
    missing = [wanted for wanted, held in found if held is None]
    held_ones = [(wanted, held) for wanted, held in found if held is not None]
    if not held_ones or (missing and rule.bundle):
        return _not_eligible(rule, missing, affected, tuple(analysis))
    return held_ones[part if rule.bundle is Bundle.ALL else 0]


def _nobody(rule: Rule, ticket: Ticket, analysis: Analysis) -> Refusal:
    # Without an assignee nobody could be compared with the requesters, so this must not pass.
    reason = f"Nobody is assigned to ticket {clean(ticket.number)}. Whoever works on it must assign it to themselves."
    looked = Condition("The ticket has a technician", False, "It is assigned to nobody.")
    return _refused(rule, RefusalCode.NOT_ELIGIBLE, reason, (*analysis, looked))


def _not_eligible(rule: Rule, missing: Sequence[Wanted], affected: Affected | None, analysis: Analysis) -> Refusal:
    who = "Somebody who administers roles must make you eligible for"
    if rule.bundle is Bundle.ALL:
        reason = (
            f'The rule "{rule.name}" activates {len(rule.targets)} targets together or none, and you are not eligible '
            f"for {_listed(missing, ' and ')}. {who} {'it' if len(missing) == 1 else 'them'}."
        )
    elif rule.bundle:
        reason = f"You are not eligible for {_listed(missing, ' or ')}. {who} it."
    else:
        what = "anything" if any(it.kind is TargetKind.GROUP for it in rule.targets) else "any role"
        reason = f'You are not eligible for {what} that the rule "{rule.name}" names{_named(rule)}. {who} one.'
    if affected is None and any(wanted.by_unit for wanted in missing):
        reason += (
            " It is not known whom this ticket is about, so only an eligibility for the whole directory would count: "
            "the ticket must name one requester whom the directory knows by their address."
        )
    return _refused(rule, RefusalCode.NOT_ELIGIBLE, reason, analysis)


def _named(rule: Rule) -> str:
    scopes = {wanted.scope for wanted in rule.targets}
    if len(scopes) > 1:
        return f": {_listed(rule.targets, ' or ')}"
    where = "" if scopes == {"/"} else f" {place(next(iter(scopes)))}"
    return f"{where}: {either([wanted.name for wanted in rule.targets])}"


def _listed(targets: Sequence[Wanted], between: str) -> str:
    return between.join(wanted.in_words() for wanted in targets)


def _refused(rule: Rule, code: RefusalCode, reason: str, analysis: Analysis) -> Refusal:
    return Refusal(rule.name, code, _sentences(reason, rule.help), analysis, rule.mode)


def _sentences(*texts: str) -> str:
    return " ".join(text for text in texts if text)
