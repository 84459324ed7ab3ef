"""One ticket under two rules files: what each answers, and whether that is the same. Pure.

A ticket of last month is solved by now, as a rule, and may be nobody's: it is decided as if it were open and somebody
had picked it. What is not known of the technician's eligibilities is supposed to be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from integration.rules import Plan, Refusal, RefusalCode, Rules
from integration.targets import Affected, Eligibility, Target, TargetKind
from integration.tickets import Person, Status, Ticket

Answers = tuple[Plan | Refusal, ...]  # one for each target of a rule with a bundle, else one
ANYBODY = Person("")  # nobody has this account, so it is no requester's


@dataclass(frozen=True)
class Known:
    """What is known of a technician: `eligibilities`, as far as they are of these `kinds`."""

    eligibilities: tuple[Eligibility, ...] = ()
    kinds: frozenset[TargetKind] = frozenset()


def as_picked(ticket: Ticket, by: Person | None = None, *, at: datetime | None = None) -> Ticket:
    """The ticket, open, and assigned to `by`, or to whom it is assigned, or to somebody whom nothing stands against.

    `at`: when it was picked, so that what was in time then is not overdue now.
    """
    status = Status.OPEN if ticket.status is Status.SOLVED else ticket.status
    assignee = by or ticket.assignee or ANYBODY
    return replace(ticket, status=status, assignee=assignee, read_at=at or ticket.read_at)


def supposed(known: Known, files: Sequence[Rules]) -> tuple[Eligibility, ...]:
    """Eligibilities for everything that the `files` name of the kinds of which nothing is known."""
    named = dict.fromkeys(wanted for rules in files for wanted in rules.targets if wanted.kind not in known.kinds)
    return tuple(Eligibility(Target(it.kind, it.id, "/" if it.by_unit else it.scope), it.name) for it in named)


def answers(
    rules: Rules, ticket: Ticket, eligibilities: Sequence[Eligibility], *, affected: Affected | None = None
) -> Answers:
    """What `rules` say of the ticket, for each target of its rule."""
    found = rules.match(ticket)
    parts = 1 if isinstance(found, Refusal) else found.parts
    return tuple(rules.plan(ticket, eligibilities=eligibilities, part=part, affected=affected) for part in range(parts))


def differ(before: Answers, after: Answers) -> bool:
    """Whether somebody would notice: another role, place, duration or start, another refusal, or none of it any more.

    The name of the rule, its texts and how it came to its answer make no difference.
    """
    return [_effect(it) for it in before] != [_effect(it) for it in after]


def _effect(answer: Plan | Refusal) -> tuple[object, ...]:
    if isinstance(answer, Plan):
        target = answer.target.key.casefold()
        return target, answer.duration, answer.total, answer.start, answer.mode, answer.revoke_sessions
    if answer.code is RefusalCode.NO_RULE:
        return (answer.code,)  # nothing happens, whatever the file's mode
    return answer.code, answer.mode
