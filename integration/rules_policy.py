"""What the tenant's policies make of the rules, in words for `doctor`: before a technician meets it. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from integration.rule import BREAK_GLASS, Bundle, Rule, Start, Wanted, in_words
from integration.rules import Rules
from integration.targets import PolicyFacts, Target


class Weight(StrEnum):
    NOTE = "note"  # works, and technicians will notice
    WRONG = "wrong"  # cannot work before somebody changes the rules or the tenant


@dataclass(frozen=True)
class Finding:
    """`line` is the rule's in the rules file; `text` says what is so and who can change it."""

    weight: Weight
    rule: str
    line: int
    text: str


def findings(
    rules: Rules,
    policies: Mapping[str, PolicyFacts],
    *,
    eligible: Collection[str] | None = None,
) -> tuple[Finding, ...]:
    """What to know of `rules` in a tenant with these `policies`, by target key; a key that is missing is not known.

    `eligible` holds the keys for which anybody who signed in is eligible, None where nobody could say. Targets at the
    requester's administrative unit are looked up at any scope of theirs.
    """
    world = _World(policies, eligible)
    found = [finding for rule in rules.rules if not rule.deny for finding in _of_rule(rule, world)]
    if rules.break_glass:
        found += _of_break_glass(rules, world)
    return tuple(found)


class _World:
    """What is known of the tenant, by what a rule names."""

    def __init__(self, policies: Mapping[str, PolicyFacts], eligible: Collection[str] | None) -> None:
        self._policies = {key.casefold(): facts for key, facts in policies.items()}
        self._eligible = None if eligible is None else frozenset(key.casefold() for key in eligible)

    def policy(self, wanted: Wanted) -> PolicyFacts | None:
        # The policy of a directory role is that of the role, whatever the scope.
        return next((facts for key, facts in self._policies.items() if _is(wanted, key)), None)

    def is_impossible(self, wanted: Wanted) -> bool:
        """Whether nobody who signed in can activate this."""
        return self._eligible is not None and not any(_is(wanted, key) for key in self._eligible)


def _is(wanted: Wanted, key: str) -> bool:
    own = Target(wanted.kind, wanted.id, "" if wanted.by_unit else wanted.scope).key.casefold()
    return key.startswith(own) if wanted.by_unit else key == own


def _of_rule(rule: Rule, world: _World) -> Iterator[Finding]:
    def finding(weight: Weight, text: str) -> Finding:
        return Finding(weight, rule.name, rule.line, f'Rule "{rule.name}" {text}')

    impossible = [wanted for wanted in rule.targets if world.is_impossible(wanted)]
    if rule.targets and len(impossible) == len(rule.targets):
        text = (
            "names nothing that anybody is eligible for who has signed in, so it refuses all of them. Whoever "
            "administers roles must act, or its ids are wrong."
        )
        yield finding(Weight.WRONG, text)
    elif impossible and rule.bundle is Bundle.ALL:
        names = " and ".join(wanted.in_words() for wanted in impossible)
        text = (
            f"activates all of its targets or none, and nobody is eligible for {names} who has signed in, so it "
            "refuses all of them. Whoever administers roles must act, or take it out of the bundle."
        )
        yield finding(Weight.WRONG, text)
    if rule.total is not None and rule.total < rule.duration:  # the parser refuses it; rules can be made otherwise
        text = f"allows {in_words(rule.total)} in all, less than one activation of {in_words(rule.duration)}. Raise it."
        yield finding(Weight.WRONG, text)
    for wanted in rule.targets:
        if facts := world.policy(wanted):
            yield from (finding(Weight.NOTE, text) for text in _notes(rule, wanted, facts))


def _notes(rule: Rule, wanted: Wanted, facts: PolicyFacts) -> Iterator[str]:
    named = wanted.in_words()
    if facts.maximum is not None and facts.maximum < rule.duration:
        yield (
            f"asks for {in_words(rule.duration)} of {named}, and the tenant's policy allows {in_words(facts.maximum)}, "
            "to which it is cut. Lower its duration, or raise the policy's."
        )
    if facts.approval and rule.start is Start.ON_PICK:
        yield (
            f"starts on the pick alone, and {named} needs an approval, so each pick asks {_approvers(facts)}. With "
            'start = "on_click" only those are asked for who press the button.'
        )
    elif facts.approval:
        yield f"waits for an approval of {named}: {_approvers(facts)}."
    yield from _step_up(named, facts)


def _step_up(named: str, facts: PolicyFacts) -> Iterator[str]:
    if facts.context:
        yield (
            f"needs the authentication context {facts.context} for {named}: whoever signed in without it "
            "is sent to Microsoft for a step-up first."
        )
    elif facts.mfa:
        yield f"needs MFA for {named}: technicians who signed in without it are sent to Microsoft for a step-up first."


def _approvers(facts: PolicyFacts) -> str:
    # An approval without approvers falls to these. Source: learn.microsoft.com/entra/id-governance/
    # privileged-identity-management/pim-how-to-change-default-settings.
    return ", ".join(facts.approvers) or "Privileged Role Administrators and Global Administrators"


def _of_break_glass(rules: Rules, world: _World) -> Iterator[Finding]:
    table = rules.break_glass
    assert table is not None
    for wanted in table.targets:
        named = wanted.in_words()
        if world.is_impossible(wanted):
            text = (
                f"Break glass names {named}, for which nobody is eligible who has signed in. Whoever administers roles "
                "must act."
            )
            yield Finding(Weight.WRONG, BREAK_GLASS, table.line, text)
        facts = world.policy(wanted)
        if facts and facts.maximum is not None and facts.maximum < table.duration:
            text = (
                f"Break glass asks for {in_words(table.duration)} of {named}; it is cut to {in_words(facts.maximum)}."
            )
            yield Finding(Weight.NOTE, BREAK_GLASS, table.line, text)
        if facts and facts.approval:
            text = (
                f"Break glass names {named}, which needs an approval: in an emergency it waits for {_approvers(facts)}."
            )
            yield Finding(Weight.NOTE, BREAK_GLASS, table.line, text)
        for step in _step_up(named, facts) if facts else ():
            yield Finding(Weight.NOTE, BREAK_GLASS, table.line, f"Break glass {step}")
