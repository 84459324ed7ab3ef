"""Rows that are due: found, claimed and saved in one way, whatever they are.

Statements are made once: SQLAlchemy spends longer on building one than a database on running it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from integration.elevation import LEASE

Claim = sa.sql.dml.ReturningUpdate[Any]


def claiming(table: sa.Table) -> Claim:
    """The statement for `claim`."""
    return taking(table, table.c.id == sa.bindparam("row_id"), is_due(table))


def taking(table: sa.Table, *where: sa.ColumnElement[bool]) -> Claim:
    taken = {"due_at": sa.bindparam("lease"), "version": table.c.version + 1, "attempts": table.c.attempts + 1}
    return table.update().where(*where).values(taken).returning(*table.c)


def is_due(table: sa.Table) -> sa.ColumnElement[bool]:
    found: sa.ColumnElement[bool] = table.c.due_at <= sa.bindparam("now")
    return found


def is_late(table: sa.Table, now: datetime) -> sa.ColumnElement[bool]:
    """Whether a row should have been worked on by now. Not so calls that wait for all others."""
    passed: sa.ColumnElement[bool] = table.c.due_at < now
    return sa.and_(passed, table.c.waits.is_(False)) if "waits" in table.c else passed


def claim(
    tx: sa.Connection, statement: Claim, *, now: datetime, lease: timedelta = LEASE, **more: str | bool
) -> sa.Row[Any] | None:
    """Take a row that is due, for a lease, after which it is due again; whoever comes second gets None."""
    return tx.execute(statement, {"now": now, "lease": now + lease, **more}).first()


def saving(table: sa.Table) -> sa.Update:
    """The statement for `save`: it sets what the values name."""
    return table.update().where(table.c.id == sa.bindparam("row_id"), table.c.version == sa.bindparam("seen"))


def save(tx: sa.Connection, statement: sa.Update, row_id: str, values: Mapping[str, Any], *, seen: int) -> bool:
    """Write `values` over the version that was `seen`. False where another one stands there by now."""
    return bool(tx.execute(statement, {**values, "row_id": row_id, "seen": seen}).rowcount)


def due(connection: sa.Connection, table: sa.Table, *, now: datetime, limit: int) -> list[str]:
    """Ids, the longest due first."""
    query = sa.select(table.c.id).where(table.c.due_at <= now).order_by(table.c.due_at).limit(limit)
    return [row.id for row in connection.execute(query)]
