"""One rule of the rules file, as a value. What `rules` decides with and `rules_file` reads. Pure."""

import string
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

import regex  # type: ignore[import-untyped]  # its stubs are a package of their own, for two calls

from integration.marked import N_
from integration.targets import Probe, TargetKind
from integration.tickets import Status, Ticket, clean

# The tenant takes no activation back within its first five minutes, and allows at most a day.
SHORTEST = timedelta(minutes=5)
LONGEST = timedelta(hours=24)
DEFAULT_DURATION = timedelta(hours=1)
DEFAULT_JUSTIFICATION = "Ticket {ticket}: {category} (rule {rule})"
JUSTIFICATION_LIMIT = 500
# Written as the scope of a role: wherever the technician's eligibility covers the person whom the ticket is about.
REQUESTERS_UNIT = "requester's administrative unit"
# What an activation without a ticket is called where others name their rule. No rule may have this name.
BREAK_GLASS = "break glass"
TEMPLATE_FIELDS = ("ticket", "category", "rule", "connection", "queue", "subject", "requester")

PatternError: type[Exception] = regex.error


class Start(StrEnum):
    """Whether the pick alone starts an elevation, or the technician must press the button."""

    ON_PICK = "on_pick"
    ON_CLICK = "on_click"


class Bundle(StrEnum):
    """Several targets for one task: all or nothing, or whatever the technician is eligible for."""

    ALL = "all"
    BEST_EFFORT = "best_effort"


class Mode(StrEnum):
    """Whether a rule acts, or only has written down what it would have done."""

    ACT = "act"
    WATCH = "watch"


@dataclass(frozen=True)
class Wanted:
    """A target that a rule names. `scope` is the tenant's own, REQUESTERS_UNIT, or "member"/"owner" for a group."""

    kind: TargetKind
    id: str
    scope: str
    name: str

    @property
    def by_unit(self) -> bool:
        return self.scope == REQUESTERS_UNIT

    def in_words(self) -> str:
        return f'"{self.name}" {place(self.scope)}'


@dataclass(frozen=True)
class Match:
    """What a ticket must look like. Every key that is given must fit; within a key one of its values is enough.

    `subject` holds patterns of the `regex` package; `field` holds (name, values) of the ticket's own fields.
    """

    connection: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    field: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __bool__(self) -> bool:
        return any((self.connection, self.category, self.queue, self.subject, self.field))


@dataclass(frozen=True)
class Sla:
    """The time that stands in the ticket's `field` lies ahead, or was over no longer than `overdue` ago."""

    field: str
    overdue: timedelta = timedelta()


@dataclass(frozen=True)
class Require:
    """What a ticket must be like before anything is activated for it. Every key that is given must hold.

    `match` chooses the rule, this does not: a ticket that fits a rule and lacks something is refused in words. `filled`
    names fields that are not empty; `field` holds (name, values), of which one must stand there.
    """

    status: tuple[Status, ...] = ()
    filled: tuple[str, ...] = ()
    field: tuple[tuple[str, tuple[str, ...]], ...] = ()
    sla: Sla | None = None

    def __bool__(self) -> bool:
        return any((self.status, self.filled, self.field, self.sla))


@dataclass(frozen=True)
class Rule:
    """Either it allows `targets`, smallest first, or (`deny`) it forbids, and `reason` says why.

    `scope` is what the file says for directory roles without a scope of their own; each target carries it already.
    `total` is the longest that one pick may be active in all; `usable` is what is tried after an activation.
    """

    name: str
    match: Match = Match()
    targets: tuple[Wanted, ...] = ()
    scope: str = "/"
    duration: timedelta = DEFAULT_DURATION
    justification: str = DEFAULT_JUSTIFICATION
    start: Start = Start.ON_PICK
    deny: bool = False
    reason: str = ""
    help: str = ""
    line: int = 0  # where it stands in the file
    bundle: Bundle | None = None
    mode: Mode = Mode.ACT
    total: timedelta | None = None
    usable: Probe | None = None
    revoke_sessions: bool = False
    require: Require = Require()

    @property
    def kinds(self) -> frozenset[TargetKind]:
        return frozenset(wanted.kind for wanted in self.targets)

    @property
    def by_unit(self) -> bool:
        """Whether it must be known whom a ticket is about."""
        return any(wanted.by_unit for wanted in self.targets)

    @property
    def in_all(self) -> timedelta:
        """The longest that one pick may be active: `total`, or room for more time once."""
        return min(2 * self.duration, LONGEST) if self.total is None else self.total

    @property
    def parts(self) -> int:
        """How many targets are activated together."""
        return len(self.targets) if self.bundle else 1

    def start_for(self, ticket: Ticket) -> Start:
        """A ticket that names no requester needs a click: its technician may have filed it themselves. So does one that
        is on hold, where nobody works at the moment, or whose status nobody has told us the meaning of.
        """
        return self.start if ticket.requesters and ticket.status is Status.OPEN else Start.ON_CLICK


@dataclass(frozen=True)
class BreakGlass:
    """What a technician may activate without a ticket, for how long; `justification` has the one field {reason}."""

    targets: tuple[Wanted, ...]
    duration: timedelta = timedelta(minutes=30)
    justification: str = "Break glass: {reason}"
    line: int = 0


def folded(text: str) -> str:
    """`text` as it is compared: what can be seen of it, without regard to letter case."""
    return clean(text, limit=400).casefold()


def justify(rule: Rule, ticket: Ticket) -> str:
    """The justification: one line of visible characters, at most JUSTIFICATION_LIMIT code points, never empty."""
    values = _template_values(rule, ticket)
    text = clean(fill(rule.justification, values), limit=JUSTIFICATION_LIMIT)
    return text or clean(fill(DEFAULT_JUSTIFICATION, values), limit=JUSTIFICATION_LIMIT)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put `values` into `template`. Not str.format, whose fields could reach into objects.

    Raises ValueError for a lone brace and KeyError for a field that is not in `values`.
    """
    return "".join(part if field is None else part + values[field] for part, field in parts(template))


def parts(template: str) -> Iterator[tuple[str, str | None]]:
    """The literal texts of `template`, each with the field that follows it. Raises ValueError for a lone brace."""
    for literal, field, spec, conversion in string.Formatter().parse(template):
        # Conversions and formats are glued back on: "{ticket!r}" is to be an unknown field, not an accepted one.
        extra = (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
        yield literal, None if field is None else field + extra


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> "regex.Pattern[str]":
    """`pattern` for subjects, without regard to letter case. Raises regex.error."""
    with warnings.catch_warnings():
        # It warns of what a later version may read differently; nobody who could act would see that.
        warnings.simplefilter("ignore", FutureWarning)
        return regex.compile(pattern, regex.IGNORECASE)


def in_words(duration: timedelta) -> str:
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    named = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{amount} {unit}" for amount, unit in named if amount) or "0 min"


PLACES = {
    "/": N_("in the whole directory"),
    "member": N_("as a member"),
    "owner": N_("as an owner"),
    REQUESTERS_UNIT: N_("where it covers the requester"),
}


def place(scope: str) -> str:
    """A scope as people read it, to stand behind a role's name: `in the whole directory`."""
    return PLACES.get(scope) or f"at {scope}"


def _template_values(rule: Rule, ticket: Ticket) -> dict[str, str]:
    requesters = (person.name or person.address or person.account for person in ticket.requesters)
    values = {
        "ticket": ticket.number,
        "category": ticket.category or "no category",
        "rule": rule.name,
        "connection": ticket.connection,
        "queue": ticket.queue or "no queue",
        "subject": ticket.subject,
        "requester": ", ".join(requesters) or "no requester",
    }
    return {name: clean(value) for name, value in values.items()}
