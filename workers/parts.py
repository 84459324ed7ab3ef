"""Several roles for one task: one pick, and an elevation for each of its rule's targets."""

from dataclasses import replace

import sqlalchemy as sa
from ulid import ULID

from integration.elevation import Elevation, State
from integration.journal import Kind
from integration.records import elevations
from workers.change import change
from workers.run import Due, Run, What


def open_parts(run: Run, it: Elevation, parts: int) -> list[Due]:
    """The elevations for the other targets of the pick that `it` is for; none where they are there already."""
    if parts == 1 or it.part != 0:
        return []
    due: list[Due] = []
    for part in range(1, parts):
        sibling = replace(
            it,
            id=str(ULID()),
            part=part,
            version=1,
            state=State.REQUESTED,
            due_at=run.now,
            created_at=run.now,
            attempts=0,
            target=None,
            target_name=None,
            justification=None,
            analysis=None,
        )
        try:
            with change(run) as changed:
                elevations.open_elevation(changed.tx, sibling)
                facts = {
                    "ticket": f"{it.connection}/{it.ticket}",
                    "rule": it.rule,
                    "rules_digest": run.deployment.rules.digest,
                    "with": it.id,
                    "part": part,
                }
                changed.record(Kind.PICK_PLANNED, elevation=sibling, facts=facts, private={"account": it.account})
            due.append(Due(What.ELEVATION, sibling.id))
        except sa.exc.IntegrityError:
            continue  # an earlier try of this step opened it
    return due
