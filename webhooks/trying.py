"""Try a rule: what the rules in force, and a file that is being edited, say of a ticket and of those of last month.

The file is read from the form, used for this one answer and dropped. Nothing of it is stored, and nothing is started.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from integration.elevation import LABELS
from integration.records import overview
from integration.rules import Mode, Plan, Problem, Rules, RulesInvalid, Start, loads
from integration.tickets import HelpdeskError, clean
from webhooks import current
from webhooks.administration import blueprint
from webhooks.claims import helpdesk_said
from webhooks.people import Viewer, administrator, viewer
from webhooks.role_words import where
from workers import trying
from workers.run import Run
from workers.trying import Month, Tried

LARGEST = 256 * 1024  # bytes of a form with a rules file in it
MOST = 200  # tickets of last month
NEWEST = 20  # tickets to pick from
PATIENCE = timedelta(seconds=10)  # with all of them together
# What ends an address of a ticket: .../tickets/17, ...?id=17.
NUMBER = re.compile(r"[A-Za-z0-9_-]+$", re.ASCII)


@blueprint.url_value_preprocessor
def take_a_file(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Before anybody reads the form, for this one alone, and not from strangers."""
    who = viewer()
    if endpoint == "administration.try_with_file" and who is not None and who.administers:
        request.max_content_length = request.max_form_memory_size = LARGEST  # the latter bounds its buffer, too


@dataclass(frozen=True)
class Asked:
    """What the form says."""

    desk: str
    number: str

    @staticmethod
    def now() -> "Asked":
        """A ticket may be pasted as people write it (#17), or as its address."""
        desks = current.deployment().helpdesks
        pasted = clean(request.values.get("ticket", ""), limit=500)
        found = NUMBER.search(pasted.rstrip("/"))
        number = found[0][:64] if found else ""
        named = [name for name in desks if number and _address(name, number) == pasted]
        return Asked((named or [clean(request.values.get("connection", ""))])[0] or next(iter(desks), ""), number)


def _address(desk: str, number: str) -> str | None:
    """Where a person opens the ticket; None where the helpdesk has no such number, or is not connected."""
    try:
        return current.ticket_url(desk, number)
    except HelpdeskError:
        return None


@dataclass(frozen=True)
class File:
    """The file that is being edited. Without `rules` it has `problems`."""

    name: str
    rules: Rules | None
    problems: tuple[Problem, ...] = ()


@blueprint.get("/try")
@administrator
def try_out(viewer: Viewer) -> Response:
    return _page(Asked.now(), None, pressed="ticket" in request.args)


@blueprint.post("/try")
@administrator
def try_with_file(viewer: Viewer) -> Response:
    return _page(Asked.now(), _file(), pressed=True)


def _newest() -> list[sa.Row[Any, Any, Any]]:
    """To pick from: the tickets that were picked last, each once."""
    with current.deployment().records.read() as connection:
        return overview.newest_tickets(connection, limit=NEWEST)


def _file() -> File | None:
    given = request.files.get("rules")
    if given is None or not given.filename:
        return None
    name = clean(Path(given.filename).name, limit=100) or "rules.toml"
    try:
        return File(name, loads(given.stream.read(), Path(name)))
    except RulesInvalid as error:
        return File(name, None, error.problems)


def _page(asked: Asked, file: File | None, *, pressed: bool) -> Response:
    deployment, now = current.deployment(), datetime.now(UTC)
    tried: Tried | None = None
    compared: Month | None = None
    wrong = "" if asked.number or file or not pressed else _("Name a ticket, or choose a rules file.")
    edited = file.rules if file else None
    if asked.number and not (file and file.problems):
        tried, wrong = _one(asked, edited, now)
    if edited is not None:
        compared = trying.month(deployment, edited, now=now, most=MOST, patience=PATIENCE)
    body = render_template(
        "administration_try.html",
        asked=asked,
        desks=sorted(deployment.helpdesks),
        newest=_newest(),
        url=_address(asked.desk, asked.number) if tried else None,
        wrong=wrong,
        file=file,
        tried=tried,
        month=compared,
        most=MOST,
        seconds=int(PATIENCE.total_seconds()),
        by_unit=edited is not None and (edited.by_unit or deployment.rules.by_unit),
        is_plan=lambda it: isinstance(it, Plan),
        ticket_url=_address,
        place=where,
        labels=LABELS,
        on_click=Start.ON_CLICK,
        watching=Mode.WATCH,
    )
    return Response(body, 400 if wrong or (file and file.problems) else 200, mimetype="text/html")


def _one(asked: Asked, edited: Rules | None, now: datetime) -> tuple[Tried | None, str]:
    """What comes of the named ticket, or why nothing does."""
    deployment = current.deployment()
    if asked.desk not in deployment.helpdesks:
        return None, _("No helpdesk of this name is connected.")
    try:
        ticket = Run(deployment, cause="click").ticket(asked.desk, asked.number)
    except HelpdeskError as error:
        return None, helpdesk_said(error, asked.desk)
    return trying.one(deployment, ticket, edited, now=now), ""
