"""The page of one ticket before the button, and the button."""

from datetime import timedelta

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from integration.rules import Mode, Refusal
from webhooks import current, embed, linking, roles
from webhooks.claims import NoClaim, must_be_connected
from webhooks.people import Viewer, signed_in
from webhooks.pressing import Asked, IsOn, LinkFirst, look, press, shown
from webhooks.role_words import role_words, where

blueprint = Blueprint("elevate", __name__)
CHOICES = (timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(hours=4))


def _look(viewer: Viewer, connection: str, number: str) -> Asked | Response:
    """What the page shows, or the page that is shown instead. Changes nothing."""
    must_be_connected(connection)
    seen = look(viewer, connection, number)
    match seen:
        case NoClaim():
            return seen.page()
        case LinkFirst():
            return redirect(url_for("linking.ask", connection=connection, ticket=number), code=303)
        case IsOn(elevation=on):
            return redirect(url_for("live.show", elevation_id=on.id), code=303)
    return seen


@blueprint.get("/elevate/<connection>/<ticket>")
@signed_in
def ask(viewer: Viewer, connection: str, ticket: str) -> Response | str:
    asked = _look(viewer, connection, ticket)
    return asked if isinstance(asked, Response) else _ask_page(asked, connection, ticket)


def _ask_page(asked: Asked, connection: str, ticket: str, *, changed: bool = False) -> str:
    url, handed = current.ticket_url(connection, ticket), embed.handed(connection)
    if isinstance(asked.decision, Refusal):
        contact = current.deployment().settings.help_contact
        return render_template(
            "refused.html",
            asked=asked,
            refusal=asked.decision,
            ticket_url=url,
            help_contact=contact,
            handed=handed,
        )
    most = asked.decision.duration
    rule = next((it for it in current.deployment().rules.rules if it.name == asked.decision.rule), None)
    durations = sorted({d for d in CHOICES if d < most} | {most})
    return render_template(
        "ask.html",
        asked=asked,
        plan=asked.decision,
        shown=shown(asked),
        changed=changed,
        durations=durations,
        ticket_url=url,
        handed=handed,
        policies=asked.policies,
        where=where(asked.decision.target.scope),
        words=role_words(asked.decision.target),
        cut=rule is not None and rule.duration > most,
        instead_of=_instead_of(asked),
        others=[name for name, _policy in asked.policies[1:]],
        together=rule.bundle if rule else None,
    )


def _instead_of(asked: Asked) -> str:
    """The name of the role that was chosen on the list of roles, where the rules give none like it for this ticket."""
    wanted = request.args.get("role", "")
    chosen = roles.came_for(asked.offer.tid or "", asked.offer.oid or "", wanted) if wanted else None
    if chosen is None or isinstance(asked.decision, Refusal):
        return ""
    key, name = chosen
    given = key.casefold() == asked.decision.target.key.casefold() or name in [it for it, _policy in asked.policies[1:]]
    return "" if given else name


@blueprint.post("/elevate/<connection>/<ticket>")
@signed_in
def start(viewer: Viewer, connection: str, ticket: str) -> Response:
    asked = _look(viewer, connection, ticket)
    if isinstance(asked, Response):
        return asked
    if isinstance(asked.decision, Refusal) or asked.decision.mode is Mode.WATCH:
        return redirect(url_for("elevate.ask", connection=connection, ticket=ticket), code=303)
    if request.form.get("shown", "") != shown(asked):
        # The ticket, the rules or the tenant changed since the page was drawn: nobody agreed to this plan yet.
        return Response(_ask_page(asked, connection, ticket, changed=True), 409, mimetype="text/html")
    if asked.link is not None and not linking.make(asked.link):
        return redirect(url_for("linking.ask", connection=connection, ticket=ticket), code=303)
    started = press(asked, seconds=_seconds())
    if started is None:
        return redirect(url_for("elevate.ask", connection=connection, ticket=ticket), code=303)
    return redirect(url_for("live.show", elevation_id=started.id), code=303)


def _seconds() -> int | None:
    """The duration that was picked on the page."""
    try:
        return int(request.form.get("seconds", ""))
    except ValueError:
        return None
