"""A month at a glance: charts, and the same numbers in tables, each a link to its rows."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from flask import render_template, request
from flask_babel import format_date
from flask_babel import gettext as _
from markupsafe import Markup

from integration.month import Group, Month, begins, last_month, month, next_month
from integration.records import review
from webhooks import charts, current
from webhooks.people import Viewer, reviewer
from webhooks.review_filter import Asked
from webhooks.role_words import where


@dataclass(frozen=True)
class Line:
    name: str
    group: Group
    rows: str  # the address of its rows


@dataclass(frozen=True)
class Section:
    """The elevations of the month, parted by one thing."""

    by: str
    title: str
    lines: tuple[Line, ...]

    @property
    def cut(self) -> str:
        return _cut(len(self.lines))

    @property
    def chart(self) -> Markup:
        return charts.bars([(it.name, it.group.count, it.rows) for it in self.lines])


@reviewer
def show(viewer: Viewer) -> str:
    zone = current.deployment().settings.zone
    this = datetime.now(UTC).astimezone(zone).date().replace(day=1)
    text = request.args.get("month", "")[:20]
    first = _first(text) or this
    after = next_month(first)
    with current.deployment().records.read() as connection:
        found = month(first, review.held(connection, begins(first, zone), begins(after, zone)), zone)
    days = [(day, count, _rows(day, day)) for day, count in found.days]
    sections = _sections(found)
    minutes = _minutes(sections[0])
    return render_template(
        "review_month.html",
        found=found,
        wrong=bool(text) and _first(text) is None,
        neighbours=[(it, format_date(it, "MMMM y")) for it in (last_month(first), after) if it <= this],
        name=format_date(first, "MMMM y"),
        rows=_of_month(found),
        unusual=_of_month(found, active="", unusual="any"),
        nothing=_of_month(found, active="no"),
        days=[(format_date(day, "EEE d MMM"), count, rows) for day, count, rows in days],
        days_chart=charts.days([(day.day, count, rows) for day, count, rows in days]),
        sections=sections,
        minutes_chart=charts.pairs((_("Used"), _("Held")), minutes) if minutes else Markup(),
        minutes_cut=_cut(len(minutes)),
    )


def _rows(since: date, until: date, **more: str) -> str:
    asked = Asked.of({"since": since.isoformat(), "until": until.isoformat(), "active": "yes", **more})
    return asked.address("review.overview")


def _of_month(found: Month, **more: str) -> str:
    return _rows(found.first, next_month(found.first) - timedelta(days=1), **more)


def _sections(found: Month) -> list[Section]:
    def lines(by: str, groups: Sequence[Group], names: list[str], quote: str = "") -> tuple[Line, ...]:
        asked = [review.NONE if it.key is None else f"{quote}{it.key}{quote}" for it in groups]
        rows = [_of_month(found, **{by: it}) for it in asked]
        return tuple(Line(*it) for it in zip(names, groups, rows, strict=True))

    none, nobody = _("none"), _("not linked, or erased")
    roles = told_apart(found.roles, none, lambda it: place(it.key))
    people = told_apart(found.technicians, nobody, lambda it: it.account)
    return [
        Section("role", _("Role"), lines("target", found.roles, roles)),
        Section("rule", _("Rule"), lines("rule", found.rules, [it.name or none for it in found.rules], '"')),
        Section("technician", _("Technician"), lines("person", found.technicians, people)),
    ]


def told_apart(groups: Sequence[Group], nobody: str, words: Callable[[Group], str]) -> list[str]:
    """What to call each: its name; beside it `words` where names are the same, and the key where these are, too."""
    names = [nobody if it.key is None else it.name or words(it) or it.key for it in groups]
    for beside in (words, lambda it: it.key or ""):
        often = Counter(names)
        pairs = zip(groups, names, strict=True)
        names = [f"{name} ({more})" if often[name] > 1 and (more := beside(it)) else name for it, name in pairs]
    return names


def place(target: str | None) -> str:
    """Where a target counts, in words; nothing where it does not say."""
    _kind, at, scope = (target or "").partition("@")
    return where(scope) if at else ""


def _minutes(by_role: Section) -> list[tuple[str, float, float, str]]:
    return [
        (it.name, it.group.used, it.group.held, it.rows)
        for it in by_role.lines
        if it.group.used is not None and it.group.held is not None
    ]


def _cut(number: int) -> str:
    """What a chart of so many bars says when it does not show them all."""
    if number <= charts.MOST:
        return ""
    return str(_("The chart shows the first %(shown)s of %(number)s.", shown=charts.MOST, number=number))


def _first(text: str) -> date | None:
    try:
        found = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        return None
    return found if text.isascii() and 1900 < found.year < 9998 else None
