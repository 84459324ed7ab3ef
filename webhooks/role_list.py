"""A technician's roles as a page lists them: what is kept of the tenant's answers, in the reader's words."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from flask_babel import gettext as _

from integration.elevation import State
from integration.entra.pim import Policy
from integration.records.roles import Known, Running, Source, Trouble, folded
from integration.rule import in_words
from integration.rules import Rules
from integration.targets import Eligibility, Target, TargetKind
from integration.tickets import clean
from webhooks.role_words import role_words, titles

SOON = timedelta(days=14)  # from then on a portal lets one ask for more, too


@dataclass(frozen=True)
class Now:
    """That a role is active, or on its way. `elevation` is empty for what runs outside Ticket Elevate.

    `standing`: it was assigned for good, not activated.
    """

    state: str
    until: datetime | None
    elevation: str = ""
    ticket: str = ""
    standing: bool = False


@dataclass(frozen=True)
class Row:
    """One role. `where` is its scope in words, `detail` what the tenant calls that; `ruled`: some rule names it.

    `asks`: how long at most, and what a technician has to do or wait for; None while that was not read. `sent`: what
    is asked for, too, and is sent for them.
    """

    target: Target
    name: str
    where: str
    detail: str
    allows: str
    not_: str
    asks: Sequence[str] | None
    sent: Sequence[str]
    until: datetime | None
    ends_soon: bool
    now: Now | None
    ruled: bool

    @property
    def named_by_id(self) -> bool:
        return self.name.casefold() == self.target.id.casefold()

    def holds(self, words: Sequence[str]) -> bool:
        """Whether each of these folded words stands somewhere in it."""
        active = _("Active") if words and self.now else ""
        said = (self.name, self.where, self.detail, self.allows, self.not_, active, self.target.id)
        text = " ".join((*said, *(self.asks or ()), *self.sent)).casefold() if words else ""
        return all(word in text for word in words)


@dataclass(frozen=True)
class Section:
    """One kind of role. `total` counts those, too, that a filter leaves out."""

    kind: TargetKind
    title: str
    rows: tuple[Row, ...]
    total: int
    source: Source


@dataclass(frozen=True)
class Failure:
    """What could not be read, and why. `read_at`: of what is known of it from before; None where nothing is."""

    titles: str
    trouble: Trouble
    read_at: datetime | None


@dataclass(frozen=True)
class Ours:
    """What our own tables know better than an answer of a while ago, by the target's folded key."""

    running: Mapping[str, Running]
    ended: Mapping[str, datetime]


def sections(
    known: Known, ours: Ours, rules: Rules, kinds: Collection[TargetKind], query: str, *, now: datetime
) -> list[Section]:
    """All kinds that may be read; in each what holds the words of `query`, by name."""
    words, writer = query.casefold().split(), _Writer(known, ours, rules, now)
    found = []
    for kind in kinds:
        source = known.sources[kind]
        rows = [writer.row(it) for it in source.eligible if it.until is None or it.until > now]
        shown = sorted(
            (row for row in rows if row.holds(words)), key=lambda row: (row.name.casefold(), row.where, row.detail)
        )
        found.append(Section(kind, titles()[kind], tuple(shown), len(rows), source))
    return found


def failures(found: Sequence[Section]) -> list[Failure]:
    """One for each reason."""
    by_reason: dict[tuple[str, bool, bool], list[tuple[Section, Trouble]]] = {}
    for it in found:
        trouble = it.source.trouble
        if trouble:
            key = (trouble.why, trouble.policies, it.source.read_at is None)
            by_reason.setdefault(key, []).append((it, trouble))
    return [
        Failure(
            ", ".join(it.title for it, _trouble in same),
            same[0][1],
            min((it.source.read_at for it, _trouble in same if it.source.read_at), default=None),
        )
        for same in by_reason.values()
    ]


def find(known: Known, key: str) -> Eligibility | None:
    """The role of this key that the technician is eligible for."""
    wanted = key.casefold()
    every = (it for source in known.sources.values() for it in source.eligible)
    return next((it for it in every if folded(it.target) == wanted), None)


def single(it: Eligibility, known: Known, ours: Ours, rules: Rules, *, now: datetime) -> Row:
    return _Writer(known, ours, rules, now).row(it)


class _Writer:
    """Makes rows. What is the same for many of them is put into words once."""

    def __init__(self, known: Known, ours: Ours, rules: Rules, now: datetime) -> None:
        self._known, self._ours, self._now = known, ours, now
        self._scopes: dict[tuple[TargetKind, str], set[str]] = {}
        self._names: dict[tuple[TargetKind, str], str] = {}
        for wanted in (it for rule in rules.rules if not rule.deny for it in rule.targets):
            key = (wanted.kind, wanted.id.casefold())
            self._scopes.setdefault(key, set()).add("" if wanted.by_unit else wanted.scope.casefold())
            self._names.setdefault(key, wanted.name)
        self._place, self._allows = lru_cache(maxsize=None)(place), lru_cache(maxsize=None)(_allows)
        self._asks, self._sent = lru_cache(maxsize=None)(_asks), lru_cache(maxsize=None)(_sent)

    def row(self, it: Eligibility) -> Row:
        where, detail = self._place(it.target.kind, it.target.scope)
        allows, not_ = self._allows(it.target.kind, it.target.id)
        told = self._known.policies.get(it.target.key)
        return Row(
            target=it.target,
            name=self._name(it),
            where=where,
            detail=detail,
            allows=allows,
            not_=not_,
            asks=self._asks(told.policy) if told else None,
            sent=self._sent(told.policy) if told else (),
            until=it.until,
            ends_soon=it.until is not None and it.until - self._now < SOON,
            now=self._active(it.target),
            ruled=self._ruled(it.target),
        )

    def _ruled(self, target: Target) -> bool:
        scopes = self._scopes.get((target.kind, target.id.casefold()), set())
        return "" in scopes or target.scope.casefold() in scopes

    def _name(self, it: Eligibility) -> str:
        """The tenant's; where it tells an id only, as of groups, that of the rules."""
        told = clean(it.name)
        if told and told.casefold() != it.target.id.casefold():
            return told
        return self._names.get((it.target.kind, it.target.id.casefold())) or told or clean(it.target.id)

    def _active(self, target: Target) -> Now | None:
        key, source = folded(target), self._known.sources[target.kind]
        mine = self._ours.running.get(key)
        if mine:
            return Now(mine.state, mine.until, mine.id, mine.ticket)
        active = source.active.get(key)
        if active is None or source.active_at is None or (active.end and active.end <= self._now):
            return None
        ended = self._ours.ended.get(key)
        if ended and ended >= source.active_at:
            return None  # we gave it back since the tenant was asked
        return Now(State.ACTIVE, active.end, standing=not active.activated)


def _allows(kind: TargetKind, role: str) -> tuple[str, str]:
    """What it allows, and what it does not."""
    words = role_words(Target(kind, role, ""))
    return (str(words.allows), str(words.not_)) if words else ("", "")


def place(kind: TargetKind, scope: str) -> tuple[str, str]:
    """A scope in the reader's words, and the tenant's own name or id of it where there is one."""
    scope = clean(scope, limit=400)
    if kind is TargetKind.GROUP:
        return {"member": (_("As a member"), ""), "owner": (_("As an owner"), "")}.get(scope, (scope, ""))
    return _azure(scope) if kind is TargetKind.AZURE_ROLE else _directory(scope)


def _directory(scope: str) -> tuple[str, str]:
    if scope == "/":
        return _("The whole directory"), ""
    unit, inside = scope.strip("/").casefold().startswith("administrativeunits/"), scope.rsplit("/", 1)[-1]
    return (_("One administrative unit") if unit else _("One object of the directory")), inside


def _azure(scope: str) -> tuple[str, str]:
    parts = scope.strip("/").split("/")
    kinds, last = [part.casefold() for part in parts], parts[-1]
    if not last:
        return _("Everything in Azure"), ""
    if "managementgroups" in kinds:
        return _("Management group"), last
    if kinds[0] == "subscriptions" and len(parts) == 2:
        return _("Subscription"), last
    is_group = len(parts) == 4 and kinds[2] == "resourcegroups"
    return (_("Resource group") if is_group else _("Resource")), last


def _asks(policy: Policy | None) -> Sequence[str]:
    if policy is None:
        return (_("Entra does not tell"),)
    asked = [_("%(most)s at most", most=in_words(policy.maximum))]
    if policy.context:
        asked.append(_("confirmation (%(context)s)", context=clean(policy.context, limit=20)))
    elif policy.mfa:
        asked.append(_("MFA"))
    return asked + ([_("approval")] if policy.approval else [])


def _sent(policy: Policy | None) -> Sequence[str]:
    asked = [_("justification")] if policy and policy.justification else []
    return asked + ([_("ticket")] if policy and policy.ticketing else [])
