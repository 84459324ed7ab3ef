"""What a reviewer's address asks for. It can be kept, sent to somebody else, and saved under a name."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _

from integration.elevation import State
from integration.marks import Mark
from integration.month import begins
from integration.records.review import Filter
from webhooks import current

ANY = "any"
LONGEST = 202  # characters of one parameter: the longest name there is, in quotes
LONGER = {"target": 2000}  # an Azure scope is a path
PAGE = 50  # rows
SPANS = (1, 7, 30, 90, 365)  # days that the page offers


@dataclass(frozen=True)
class Asked:
    """Each field is a parameter of the address; what cannot be understood is left out and said on the page."""

    technician: str = ""
    role: str = ""
    rule: str = ""
    ticket: str = ""
    person: str = ""
    target: str = ""
    state: str = ""
    unusual: str = ""
    active: str = ""
    days: str = ""
    since: str = ""
    until: str = ""

    @staticmethod
    def of(given: Mapping[str, str]) -> "Asked":
        names = [it.name for it in fields(Asked)]
        return Asked(**{it: str(given.get(it, "")).strip()[: LONGER.get(it, LONGEST)] for it in names})

    @staticmethod
    def now() -> "Asked":
        return Asked.of(request.args)

    @property
    def shown(self) -> dict[str, str]:
        """What it asks for, as parameters of an address."""
        return {name: text for name, text in vars(self).items() if text}

    def address(self, endpoint: str) -> str:
        shown: dict[str, Any] = self.shown
        return url_for(endpoint, **shown)

    def date(self, name: str) -> str:
        """What a field for a date takes: nothing else than a date."""
        text: str = getattr(self, name)
        return text if _day(text) else ""

    @property
    def problems(self) -> list[str]:
        wrong = [text for text in (self.since, self.until) if text and _day(text) is None]
        found = [_("“%(text)s” is not a date. Write it like 2026-11-24.", text=text) for text in wrong]
        known = (
            (self.state, set(State)),
            (self.unusual, {ANY, *Mark}),
            (self.active, {"yes", "no"}),
            (self.days, {self.days} if _span(self.days) else set()),
        )
        unknown = [text for text, words in known if text and text not in words]
        return found + [_("“%(text)s” is nothing to filter by, and was left out.", text=text) for text in unknown]

    @property
    def filter(self) -> Filter:
        until = _day(self.until)
        return Filter(
            technician=self.technician,
            role=self.role,
            rule=self.rule,
            ticket=self.ticket,
            person=self.person,
            target=self.target,
            state=State(self.state) if self.state in set(State) else None,
            marks=_marks(self.unusual),
            became_active={"yes": True, "no": False}.get(self.active),
            since=_day(self.since) or _back(_span(self.days)),
            before=until + timedelta(days=1) if until else None,
        )


def edges() -> dict[str, str]:
    """Where the page of the list goes on: next to the elevation with this id."""
    return {name: request.args.get(name, "")[:32] for name in ("older_than", "newer_than")}


def _marks(text: str) -> frozenset[Mark]:
    if text == ANY:
        return frozenset(Mark)
    return frozenset({Mark(text)}) if text in set(Mark) else frozenset()


def _span(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0


def _back(days: int) -> datetime | None:
    """When the first of so many days began at the desk, today being the last."""
    if not days:
        return None
    zone = current.deployment().settings.zone
    return begins(datetime.now(zone).date() - timedelta(days=days - 1), zone)


def _day(text: str) -> datetime | None:
    """When that day begins at the desk, whose clock the pages show."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=current.deployment().settings.zone)
    except ValueError:
        return None
    return day if text.isascii() and 1900 < day.year < 9999 else None
