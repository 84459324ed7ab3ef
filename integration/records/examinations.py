"""What doctor found when a worker last looked: asked for by an administrator, and from then on done again by itself."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from integration.records import due
from integration.records.store import put
from integration.records.tables import examinations
from integration.tickets import Finding

ONE = "doctor"  # the row's id
AGAIN = timedelta(hours=6)


@dataclass(frozen=True)
class Examination:
    id: str
    due_at: datetime | None
    version: int
    attempts: int
    asked_at: datetime
    done_at: datetime | None
    findings: str | None

    @property
    def under_way(self) -> bool:
        """Whether somebody asked for it since it was last done."""
        return self.done_at is None or self.done_at < self.asked_at

    @property
    def found(self) -> list[Finding]:
        return [Finding(**each) for each in json.loads(self.findings or "[]")]


_CLAIM, _SETTLE = due.claiming(examinations), due.saving(examinations)


def ask(tx: sa.Connection, *, now: datetime) -> str:
    """Have it done as soon as a worker can; the row's id."""
    put(tx, examinations, {"id": ONE}, {"due_at": now, "asked_at": now})
    return ONE


def last(connection: sa.Connection) -> Examination | None:
    """None where nobody has asked for one yet."""
    row = connection.execute(sa.select(examinations).where(examinations.c.id == ONE)).first()
    return None if row is None else Examination(**row._mapping)


def claim(tx: sa.Connection, row_id: str, *, now: datetime) -> Examination | None:
    row = due.claim(tx, _CLAIM, row_id=row_id, now=now)
    return None if row is None else Examination(**row._mapping)


def finish(tx: sa.Connection, it: Examination, found: Sequence[Finding], *, now: datetime) -> bool:
    """False where it was asked for again meanwhile, and another worker is at it."""
    told = json.dumps([asdict(each) for each in found])
    values = {"due_at": now + AGAIN, "attempts": 0, "done_at": now, "findings": told}
    return due.save(tx, _SETTLE, it.id, values, seen=it.version)
