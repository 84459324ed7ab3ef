"""What is the viewer's own: their elevations, their linked helpdesk accounts, and the sign-in that is kept for them."""

from datetime import UTC, datetime

from flask import Blueprint, render_template

from integration.elevation import LABELS, OPEN
from integration.records import overview, people, signins
from webhooks import current
from webhooks.people import Viewer, signed_in, viewer

blueprint = Blueprint("mine", __name__)
MOST = 100


@blueprint.get("/")
@signed_in
def show(viewer: Viewer) -> str:
    records = current.deployment().records
    with records.read() as connection:
        rows = overview.of_technician(connection, viewer.tid, viewer.oid, limit=MOST)
        links = people.links_of_user(connection, viewer.tid, viewer.oid)
    return render_template(
        "mine.html",
        running=[row for row in rows if row.state in OPEN],
        done=[row for row in rows if row.state not in OPEN],
        labels=LABELS,
        links=links,
    )


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
