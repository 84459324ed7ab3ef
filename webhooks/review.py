"""The auditor's pages: every elevation, one elevation with its journal, and exports."""

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, Response, abort, render_template, request

from integration.elevation import LABELS, State
from integration.entra import catalogue
from integration.journal import Kind
from integration.records import comments, elevations, journal
from integration.records import overview as lists
from integration.records.overview import Filter
from integration.rules import analysis_from_json
from webhooks import current
from webhooks.people import Viewer, reviewer

blueprint = Blueprint("review", __name__, url_prefix="/review")
PAGE = 50
COLUMNS = (
    "created_at",
    "ticket",
    "connection",
    "technician",
    "target_name",
    "target",
    "rule",
    "justification",
    "state",
    "active_at",
    "until",
    "ended_at",
    "end_reason",
    "outcome",
    "emergency",
    "reason",
    "reviewed_at",
    "reviewed_by",
    "id",
)


@dataclass(frozen=True)
class Asked:
    """What the address asks for; a date that is none is left out and said on the page."""

    technician: str
    role: str
    ticket: str
    state: str
    since: str
    until: str

    @staticmethod
    def now() -> "Asked":
        names = ("technician", "role", "ticket", "state", "since", "until")
        return Asked(**{name: request.args.get(name, "").strip()[:100] for name in names})

    @property
    def problem(self) -> str:
        wrong = [text for text in (self.since, self.until) if text and _day(text) is None]
        return f"{wrong[0]!r} is not a date. Write it like 2026-11-24." if wrong else ""

    @property
    def filter(self) -> Filter:
        until = _day(self.until)
        return Filter(
            technician=self.technician,
            role=self.role,
            ticket=self.ticket,
            state=State(self.state) if self.state in set(State) else None,
            since=_day(self.since),
            before=until + timedelta(days=1) if until else None,
        )


def _day(text: str) -> datetime | None:
    """When that day begins at the desk, whose clock the pages show."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=current.deployment().settings.zone)
    except ValueError:
        return None
    return day if 1900 < day.year < 9999 else None


@blueprint.get("")
@reviewer
def overview(viewer: Viewer) -> str:
    asked = Asked.now()
    number = min(max(1, request.args.get("page", 1, type=int)), 100_000)  # what a database can count to
    with current.deployment().records.read() as connection:
        rows = lists.page(connection, asked.filter, limit=PAGE + 1, offset=(number - 1) * PAGE)
    return render_template(
        "review.html",
        rows=rows[:PAGE],
        more=len(rows) > PAGE,
        number=number,
        asked=asked,
        shown={name: text for name, text in asdict(asked).items() if text},
        labels=LABELS,
        states=State,
    )


@blueprint.get("/<elevation_id>")
@reviewer
def detail(viewer: Viewer, elevation_id: str) -> str:
    with current.deployment().records.read() as connection:
        it = elevations.elevation(connection, elevation_id)
        if it is None:
            abort(404)
        entries = journal.of_elevation(connection, it.id, it.activation)
        said = comments.of_elevation(connection, it.id)
    analysis = analysis_from_json(it.analysis) if it.analysis else ()
    url = current.ticket_url(it.connection, it.ticket) if it.has_ticket else None
    return render_template(
        "review_detail.html",
        it=it,
        entries=entries,
        said=said,
        analysis=analysis,
        labels=LABELS,
        ticket_url=url,
        advice=_advice(entries) if it.state is State.FAILED else "",
    )


def _advice(entries: list[sa.Row[Any]]) -> str:
    """What an administrator can do about the last failure in these journal entries."""
    failed = [it.entry for it in entries if it.kind == Kind.ELEVATION_FAILED]
    try:
        return catalogue.for_administrator(json.loads(failed[-1])["facts"]["code"]) if failed else ""
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""  # somebody edited the entry: the page must still show it


@blueprint.get("/export.csv")
@reviewer
def export(viewer: Viewer) -> Response:
    asked = Asked.now().filter
    records = current.deployment().records

    def lines() -> Iterator[str]:
        yield _line(COLUMNS)
        with records.read() as connection:
            for row in lists.each(connection, asked):
                yield _line([_cell(getattr(row, name)) for name in COLUMNS])

    headers = {"Content-Disposition": "attachment; filename=elevations.csv"}
    return Response(lines(), mimetype="text/csv", headers=headers)


def _cell(value: object) -> str:
    """Text that no spreadsheet takes for a formula: full-width signs fold to the plain ones and count too."""
    text = "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    start = unicodedata.normalize("NFKC", text).lstrip(" ")[:1]
    return f"'{text}" if start and start in "=+-@\t\r\n" else text


def _line(cells: list[str] | tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow(cells)
    return out.getvalue()
