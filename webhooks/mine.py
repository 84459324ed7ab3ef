"""What is the viewer's own: their elevations now and before, their helpdesk accounts, and the sign-in kept for them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from integration.elevation import END_WORDS, HOLDING, LABELS, State
from integration.month import begins
from integration.records import elevations, overview, people, signins
from webhooks import current, live
from webhooks.people import Viewer, signed_in, viewer
from webhooks.sessions import BY_ITSELF

blueprint = Blueprint("mine", __name__)
MOST = 50
Row = sa.Row[Any]


@dataclass(frozen=True)
class Task:
    """What one act of the viewer's asked for: a ticket's role, or several side by side.

    `shared`: the other tickets that hold one of these roles too; it is given back when the last of them lets go.
    """

    rows: Sequence[Row]
    shared: Sequence[str]
    waits_for_viewer: bool

    @property
    def first(self) -> Row:
        return self.rows[0]

    @property
    def url(self) -> str | None:
        return current.ticket_url(self.first.connection, self.first.ticket) if self.first.ticket else None

    @property
    def can_end(self) -> bool:
        return any(row.state in live.CAN_END for row in self.rows)


@blueprint.get("/")
@signed_in
def show(viewer: Viewer) -> str:
    records = current.deployment().records
    tasks = _tasks(viewer)
    with records.read() as connection:
        today = _today(connection, viewer)
        older = overview.done_of(connection, viewer.tid, viewer.oid, limit=len(today) + 1)
    return render_template(
        "now.html",
        waiting=[task for task in tasks if task.waits_for_viewer],
        running=[task for task in tasks if not task.waits_for_viewer],
        can_end=[task for task in tasks if task.can_end],
        today=today,
        older=len(older) > len(today),
        labels=LABELS,
        end_words=END_WORDS,
        version=_version(tasks, today),
        by_itself=BY_ITSELF,
        now=datetime.now(UTC),
    )


def _tasks(viewer: Viewer) -> list[Task]:
    with current.deployment().records.read() as connection:
        rows = overview.open_of(connection, viewer.tid, viewer.oid)
        held = {row.activation for row in rows if row.activation}
        activations = {name: elevations.activation(connection, name) for name in held}
    waiting = {
        row.id
        for row in rows
        if row.state == State.OFFERED or live.waits_for_sign_in(row, activations.get(row.activation))
    }
    several = len(current.deployment().helpdesks) > 1
    by_act: dict[tuple[str, ...], list[Row]] = {}
    on: dict[str | None, set[tuple[str, str]]] = {}  # the tickets by the activation that they hold
    for row in rows:
        by_act.setdefault((row.connection, row.ticket, row.account, row.pick), []).append(row)
        if row.state in HOLDING:
            on.setdefault(row.activation, set()).add((row.connection, row.ticket))
    return [
        Task(
            rows=of_it,
            shared=[
                f"{ticket} ({desk})" if several else ticket
                for desk, ticket in sorted(set().union(*(on.get(row.activation, ()) for row in of_it)) - {act[:2]})
                if ticket
            ],
            waits_for_viewer=any(row.id in waiting for row in of_it),
        )
        for act, of_it in by_act.items()
    ]


def _today(connection: sa.Connection, viewer: Viewer) -> list[Row]:
    """What was begun or ended since today began at the desk, and is over."""
    zone = current.deployment().settings.zone
    midnight = begins(datetime.now(zone).date(), zone)
    return overview.done_of(connection, viewer.tid, viewer.oid, since=midnight, limit=MOST)


def _version(tasks: Sequence[Task], today: Sequence[Row]) -> str:
    """Another one as soon as the page would show something else."""
    shown = [(row.id, row.version, task.waits_for_viewer) for task in tasks for row in task.rows]
    return hashlib.sha256(repr((shown, [row.id for row in today])).encode()).hexdigest()[:16]


@blueprint.get("/now/status")
@signed_in
def status(viewer: Viewer) -> Response:
    """What the open page asks every second: whether it shows what is."""
    tasks = _tasks(viewer)
    with current.deployment().records.read() as connection:
        today = _today(connection, viewer)
    response = jsonify(version=_version(tasks, today), open=True)
    response.add_etag()
    return response.make_conditional(request)


@blueprint.post("/now/end-all")
@signed_in
def end_all(viewer: Viewer) -> Response:
    """End whatever of the viewer's can be ended: the end of a shift, or of a worry."""
    for task in _tasks(viewer):
        for row in task.rows:
            if row.state in live.CAN_END:
                live.end_now(row.id)
    return redirect(url_for("mine.show"), code=303)


@blueprint.get("/earlier")
@signed_in
def earlier(viewer: Viewer) -> str:
    """What is over, the newest first, a page at a time: `before` is the last elevation of the page before this one."""
    with current.deployment().records.read() as connection:
        before = request.args.get("before", "")
        found = overview.done_of(connection, viewer.tid, viewer.oid, before=before, limit=MOST + 1)
    rows = found[:MOST]
    return render_template(
        "earlier.html",
        rows=rows,
        older=rows[-1].id if len(found) > MOST else None,
        labels=LABELS,
        end_words=END_WORDS,
    )


@blueprint.get("/account")
@signed_in
def account(viewer: Viewer) -> str:
    with current.deployment().records.read() as connection:
        links = people.links_of_user(connection, viewer.tid, viewer.oid)
    return render_template("account.html", links=links)


@blueprint.app_context_processor
def everywhere() -> dict[str, object]:
    """A function, so that only a page that asks for it costs a look into the database."""
    return {"my_sign_in": my_sign_in}


def my_sign_in() -> dict[str, object] | None:
    """How the sign-in is that is kept for whoever looks at the page; None for nobody's, and where none is."""
    who, now = viewer(), datetime.now(UTC)
    if who is None:
        return None
    with current.deployment().records.read() as connection:
        kept = signins.of(connection, who.tid, who.oid)
    return None if kept is None else {"kept": kept, "health": kept.health(now)}


@blueprint.post("/forget-sign-in")
@signed_in
def forget(viewer: Viewer) -> str:
    """Delete the sealed sign-in that work is done with. The session of these pages goes on: it holds no token."""
    current.deployment().tenant.forget(viewer.tid, viewer.oid, now=datetime.now(UTC))
    return render_template("forgotten.html", help_contact=current.deployment().settings.help_contact)
