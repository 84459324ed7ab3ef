"""What is the viewer's own: their elevations, their linked helpdesk accounts, and the sign-in that is kept for them."""

from flask import Blueprint, render_template

from integration.elevation import LABELS, OPEN
from integration.records import overview, people
from webhooks import current
from webhooks.people import Viewer, signed_in

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
        kept=people.TokenRows(records).read(viewer.tid, viewer.oid) is not None,
    )


@blueprint.post("/forget-sign-in")
@signed_in
def forget(viewer: Viewer) -> str:
    """Delete the sealed sign-in that work is done with. The session of these pages goes on: it holds no token."""
    current.deployment().tenant.forget(viewer.tid, viewer.oid)
    return render_template("forgotten.html", help_contact=current.deployment().settings.help_contact)
