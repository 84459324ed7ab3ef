"""The auditor's pages: every elevation by filter, one elevation as a timeline, and what is saved or exported of it."""

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from integration.elevation import END_WORDS, LABELS, State
from integration.entra import catalogue
from integration.journal import Kind
from integration.marks import MEANINGS, WORDS
from integration.records import elevations, review, story, views
from integration.records.tables import elevations as table
from integration.rules import analysis_from_json
from integration.tickets import clean
from integration.timeline import SOURCES, Entry, timeline
from webhooks import current, review_lists, review_month
from webhooks.people import Viewer, reviewer
from webhooks.problems import page
from webhooks.review_filter import PAGE, SPANS, Asked, edges

blueprint = Blueprint("review", __name__, url_prefix="/review")
blueprint.get("/month", endpoint="month")(review_month.show)
blueprint.get("/break-glass", endpoint="emergencies")(review_lists.emergencies)
blueprint.get("/watched", endpoint="watched")(review_lists.watched)
SUGGESTED = 200  # names that a field proposes
NAME_LIMIT = 60  # visible characters of a view's name
COLUMNS = (
    "created_at",
    "ticket",
    "connection",
    "technician",
    "account",
    "address",
    "oid",
    "target_name",
    "target",
    "rule",
    "justification",
    "state",
    "active_at",
    "until",
    "let_go_at",
    "ended_at",
    "end_reason",
    "outcome",
    "emergency",
    "reason",
    "reviewed_at",
    "reviewed_by",
    "id",
)


@blueprint.get("")
@reviewer
def overview(viewer: Viewer) -> str:
    asked = Asked.now()
    with current.deployment().records.read() as connection:
        found = review.page(connection, asked.filter, limit=PAGE, **edges())
        saved = views.of(connection, viewer.tid, viewer.oid)
        columns = {"technician": table.c.technician, "role": table.c.target_name, "rule": table.c.rule}
        known = {name: review.names(connection, column, limit=SUGGESTED) for name, column in columns.items()}
    here, shown = url_for("review.overview"), asked.shown

    def only(name: str, text: str) -> str:
        """The list as it is, and of these alone. `url_for` would take longer than all rows together."""
        whole = text if name == "ticket" else f'"{text}"'
        return f"{here}?{urlencode({**shown, name: whole})}"

    return render_template(
        "review.html",
        found=found,
        here=here,
        only=only,
        asked=asked,
        shown=shown,
        saved=saved,
        known=known,
        labels=LABELS,
        states=State,
        marks=WORDS,
        meanings=MEANINGS,
        spans=SPANS,
        alone=_alone(asked, found),
        name_limit=NAME_LIMIT,
    )


def _alone(asked: Asked, found: review.Page) -> list[tuple[str, str, str]]:
    """Which one person and target is asked for: the parameter, a sentence, and the address of the list without it."""
    row = found.rows[0].row if found.rows else None
    said = {}
    if asked.person == review.NONE:
        said["person"] = _("Only people who are not linked, or erased")
    elif asked.person:
        who = f"{row.technician or '—'} ({row.address or row.account})" if row else asked.person
        said["person"] = _("Only this person: %(name)s", name=who)
    if asked.target == review.NONE:
        said["target"] = _("Only without a role")
    elif asked.target:
        what = f"{row.target_name or '—'} ({review_month.place(asked.target)})" if row else asked.target
        said["target"] = _("Only this role: %(name)s", name=what)
    return [(name, text, replace(asked, **{name: ""}).address("review.overview")) for name, text in said.items()]


@blueprint.post("/views")
@reviewer
def save_view(viewer: Viewer) -> AnyResponse:
    """The filter that the page showed, under a name."""
    asked = Asked.of(request.form)
    back = (_("Back to the list"), asked.address("review.overview"))
    name = clean(request.form.get("name", ""), limit=NAME_LIMIT + 1)
    if not 1 <= len(name) <= NAME_LIMIT or not asked.shown:
        sentence = _("Filter the list first, and give the view a name of 1 to %(most)s characters.", most=NAME_LIMIT)
        return page(400, _("Nothing was saved"), sentence, link=back)
    try:
        with current.deployment().records.write() as tx:
            views.save(tx, viewer.tid, viewer.oid, name, asked.shown, now=datetime.now(UTC))
    except views.TooMany:
        sentence = _("You have %(most)s saved views. Delete one first.", most=views.MOST)
        return page(409, _("Nothing was saved"), sentence, link=back)
    return redirect(back[1], code=303)


@blueprint.post("/views/<view_id>/delete")
@reviewer
def delete_view(viewer: Viewer, view_id: str) -> AnyResponse:
    with current.deployment().records.write() as tx:
        if not views.delete(tx, viewer.tid, viewer.oid, view_id):
            abort(404)
    return redirect(url_for("review.overview"), code=303)


@blueprint.get("/<elevation_id>")
@reviewer
def detail(viewer: Viewer, elevation_id: str) -> str:
    with current.deployment().records.read() as connection:
        it = elevations.elevation(connection, elevation_id)
        marked = review.one(connection, elevation_id)
        if it is None or marked is None:
            abort(404)
        activation = elevations.activation(connection, it.activation) if it.activation else None
        entries = story.entries(connection, it.id, it.activation)
        events = timeline(entries, story.notes(connection, it.id), activation)
        found = story.reviewers_notes(connection, [it.id]) if it.emergency else {}
    return render_template(
        "review_detail.html",
        it=it,
        found=marked.marks,
        events=events,
        sources=SOURCES,
        analysis=analysis_from_json(it.analysis) if it.analysis else (),
        end_words=END_WORDS,
        labels=LABELS,
        marks=WORDS,
        meanings=MEANINGS,
        ticket_url=current.ticket_url(it.connection, it.ticket) if it.has_ticket else None,
        advice=_advice(entries) if it.state is State.FAILED else "",
        reviewers_note=found.get(it.id, ""),
    )


def _advice(entries: list[Entry]) -> str:
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
        yield _line([*COLUMNS, "unusual"])
        with records.read() as connection:
            for it in review.each(connection, asked):
                unusual = "; ".join(WORDS[mark] for mark in it.marks)
                yield _line([*(_cell(getattr(it.row, name)) for name in COLUMNS), _cell(unusual)])

    headers = {"Content-Disposition": "attachment; filename=elevations.csv"}
    return Response(lines(), mimetype="text/csv", headers=headers)


def _cell(value: object) -> str:
    """Text that no spreadsheet takes for a formula: full-width signs fold to the plain ones and count too."""
    text = "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    start = unicodedata.normalize("NFKC", text).lstrip(" ")[:1]
    return f"'{text}" if start and start in "=+-@\t\r\n" else text


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow(cells)
    return out.getvalue()
