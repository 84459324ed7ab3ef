"""What the rules answer: a match, a plan or a refusal, each with everything that was looked at. Pure."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum

from integration.rule import Mode, Rule, Start
from integration.rules_fit import Condition
from integration.targets import Target

Analysis = tuple[Condition, ...]


class RefusalCode(StrEnum):
    NO_RULE = "no_rule"  # none of our business
    DENIED = "denied"
    NOT_ELIGIBLE = "not_eligible"
    OWN_TICKET = "own_ticket"
    NOT_OPEN = "not_open"
    NOT_READY = "not_ready"  # the ticket is not what its rule requires
    JOURNAL_BROKEN = "journal_broken"
    NO_BREAK_GLASS = "no_break_glass"  # the rules file has no such table, or not for this target
    NO_REASON = "no_reason"  # break glass without a reason that tells anything


@dataclass(frozen=True)
class RuleMatch:
    """The rule that concerns a ticket, and what was looked at to find it."""

    rule: Rule
    analysis: Analysis

    @property
    def mode(self) -> Mode:
        return self.rule.mode


@dataclass(frozen=True)
class Plan:
    """What to ask the tenant for, in the technician's own name.

    `total` is the longest that this pick may be active in all. `parts` is how many targets the rule activates together,
    each with its own plan. `probe` is a member of `Probe`. Without a ticket `ticket_number` is empty.
    """

    rule: str
    start: Start
    target: Target
    target_name: str
    duration: timedelta
    justification: str
    ticket_number: str
    analysis: Analysis
    total: timedelta
    mode: Mode = Mode.ACT
    parts: int = 1
    probe: str | None = None
    revoke_sessions: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why nothing is activated; `reason` is for a technician and says who must act. `rule` is None for NO_RULE."""

    rule: str | None
    code: RefusalCode
    reason: str
    analysis: Analysis
    mode: Mode = Mode.ACT


def analysis_to_json(analysis: Sequence[Condition]) -> str:
    return json.dumps([asdict(condition) for condition in analysis])


def analysis_from_json(text: str) -> Analysis:
    """The inverse of `analysis_to_json`."""
    return tuple(Condition(**condition) for condition in json.loads(text))
