"""State, journal entry and comment in one transaction: the one way in which a step settles an elevation."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from integration import comments as words
from integration.elevation import Elevation, State, move
from integration.journal import Kind
from integration.records import comments, elevations, journal
from workers.run import Due, Run, What


def settle(
    run: Run,
    tx: sa.Connection,
    it: Elevation,
    to: State,
    *,
    kind: Kind,
    due_at: datetime | None,
    step: str | None = None,
    text: str | None = None,
    facts: Mapping[str, str | int | bool | None] | None = None,
) -> tuple[Elevation, list[Due]]:
    """Move `it`, write it down, and make the comment due. Raises Overtaken and IllegalMove: nothing is kept then."""
    changed = move(it, to, due_at=due_at)
    if due_at is None and changed.ended_at is None:
        changed = replace(changed, ended_at=run.now)
    changed = elevations.save_elevation(tx, changed)
    written = journal.append(
        tx,
        kind,
        now=run.now,
        cause=run.cause,
        elevation=it.id,
        activation=it.activation,
        facts={"from": it.state, "to": to, **(facts or {})},
        private={"actor": it.oid},
    )
    if text is None or step is None:
        return changed, []
    comment = comments.add(tx, it, step, words.with_witness(text, it.id, step, written.witness), now=run.now)
    return changed, [Due(What.COMMENT, comment)] if comment else []
