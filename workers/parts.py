"""Several roles for one task: one pick, and an elevation for each of its rule's targets."""

import sqlalchemy as sa
from ulid import ULID

from integration.elevation import Elevation, another
from integration.journal import Kind
from workers import longer
from workers.change import change
from workers.run import Due, Run, What


def open_parts(run: Run, it: Elevation, parts: int) -> list[Due]:
    """The elevations for the other targets of the pick that `it` is for; none where they are there already."""
    if parts == 1 or it.part != 0 or longer.follows(it):
        return []
    due: list[Due] = []
    for part in range(1, parts):
        sibling = another(it, str(ULID()), now=run.now, part=part)
        try:
            with change(run) as changed:
                changed.open(sibling, Kind.PICK_PLANNED, facts={"with": it.id, "part": part})
            due.append(Due(What.ELEVATION, sibling.id))
        except sa.exc.IntegrityError:
            continue  # an earlier try of this step opened it
    return due
