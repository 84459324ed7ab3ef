"""Whether a rule fits a ticket, and what was looked at to know it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from integration.rule import Rule, compile_pattern, folded
from integration.tickets import Ticket, clean

# For one pattern on one subject of 200 characters: ordinary patterns take microseconds.
_PATTERN_SECONDS = 0.1


@dataclass(frozen=True)
class Condition:
    """One thing that was looked at: `met` says whether `what` holds, `detail` what was found."""

    what: str
    met: bool
    detail: str


def fits(rule: Rule, ticket: Ticket, looked: list[Condition]) -> bool:
    """Whether `rule` is about `ticket`. What was looked at is added to `looked`."""
    if not rule.match:
        looked.append(Condition(f"{_named(rule)}: every ticket", True, "This rule asks for nothing in particular."))
        return True
    conditions = [*_words(rule, ticket), *_fields(rule, ticket)]
    # A pattern is tried last, and only where the rest fits: it is the one test that can cost time.
    if rule.match.subject and all(condition.met for condition in conditions):
        conditions.append(_subject(rule, ticket.subject))
    looked.extend(conditions)
    return all(condition.met for condition in conditions)


def _words(rule: Rule, ticket: Ticket) -> Iterator[Condition]:
    asked = (
        ("connection", rule.match.connection, ticket.connection),
        ("category", rule.match.category, ticket.category),
        ("queue", rule.match.queue, ticket.queue),
    )
    for key, wanted, found in asked:
        if wanted:
            detail = f"The ticket has no {key}." if found is None else f'The ticket\'s {key} is "{clean(found)}".'
            yield Condition(f"{_named(rule)}: {key} is {either(wanted)}", _among(found, wanted), detail)


def _fields(rule: Rule, ticket: Ticket) -> Iterator[Condition]:
    given = {folded(name): value for name, value in ticket.fields.items()} if rule.match.field else {}
    for name, wanted in rule.match.field:
        found = given.get(folded(name))
        met = _among(found, wanted)
        absent = "The ticket has no such field."
        detail = absent if found is None else "The ticket says so." if met else "The ticket says something else."
        yield Condition(f'{_named(rule)}: field "{name}" is {either(wanted)}', met, detail)


def _subject(rule: Rule, subject: str) -> Condition:
    what = f"{_named(rule)}: subject fits {either(rule.match.subject)}"
    try:
        met = any(compile_pattern(p).search(clean(subject), timeout=_PATTERN_SECONDS) for p in rule.match.subject)
    except TimeoutError:
        # Whoever wrote the subject may have meant this: it must neither open a door nor get around a deny rule.
        return Condition(
            what, rule.deny, "The pattern took too long on this subject. An administrator must simplify it."
        )
    return Condition(what, met, "The subject fits." if met else "The subject does not fit.")


def _among(found: str | None, wanted: Sequence[str]) -> bool:
    return found is not None and folded(found) in {folded(word) for word in wanted}


def _named(rule: Rule) -> str:
    return f'{"Deny rule" if rule.deny else "Rule"} "{rule.name}"'


def either(words: Sequence[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)
