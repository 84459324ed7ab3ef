"""Two lists with a page of their own for reviewers: roles without a ticket, and what watching rules would have done."""

from flask import render_template, request

from integration.elevation import LABELS, State
from integration.marks import Mark
from integration.records import review, story
from integration.records.review import Filter
from webhooks import current
from webhooks.people import Viewer, reviewer
from webhooks.review_filter import PAGE, edges


@reviewer
def emergencies(viewer: Viewer) -> str:
    """`show=waiting`: those alone that nobody has reviewed."""
    waiting = request.args.get("show") == "waiting"
    asked = Filter(emergencies=True, marks=frozenset({Mark.NOT_REVIEWED}) if waiting else frozenset())
    with current.deployment().records.read() as connection:
        found = review.page(connection, asked, limit=PAGE, **edges())
        said = story.reviewers_notes(connection, [it.row.id for it in found.rows])
        left = review.unreviewed(connection)
    return render_template(
        "review_break_glass.html", found=found, said=said, labels=LABELS, waiting=waiting, left=left, viewer=viewer
    )


@reviewer
def watched(viewer: Viewer) -> str:
    """Shadow mode: what would have happened; of one rule, or of all."""
    rule = request.args.get("rule", "")[:100]
    asked = Filter(state=State.WATCHED, rule=rule if rule in ("", review.NONE) else f'"{rule}"')
    with current.deployment().records.read() as connection:
        found = review.page(connection, asked, limit=PAGE, **edges())
        counts = review.watched_by_rule(connection)
    return render_template("review_watched.html", found=found, counts=counts, rule=rule)
