"""Names that reviewers gave to what they filter by. Each has their own."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from ulid import ULID

from integration.records.tables import saved_views

MOST = 50  # of one person


class TooMany(Exception):
    """This person has MOST views already."""


@dataclass(frozen=True)
class View:
    """`asked`: the parameters of the list's address."""

    id: str
    name: str
    asked: Mapping[str, str]


def of(connection: sa.Connection, tid: str, oid: str) -> list[View]:
    query = sa.select(saved_views).where(_of(tid, oid)).order_by(saved_views.c.name)
    return [View(row.id, row.name, json.loads(row.asked)) for row in connection.execute(query)]


def save(tx: sa.Connection, tid: str, oid: str, name: str, asked: Mapping[str, str], *, now: datetime) -> None:
    """One that is called so already is replaced. Raises TooMany."""
    tx.execute(saved_views.delete().where(_of(tid, oid), saved_views.c.name == name))
    count = sa.select(sa.func.count()).select_from(saved_views).where(_of(tid, oid))
    if tx.execute(count).scalar_one() >= MOST:
        raise TooMany
    row = {"id": str(ULID()), "tid": tid, "oid": oid, "name": name, "asked": json.dumps(dict(asked)), "saved_at": now}
    tx.execute(saved_views.insert().values(row))


def delete(tx: sa.Connection, tid: str, oid: str, view: str) -> bool:
    """False where this person has no such view."""
    return bool(tx.execute(saved_views.delete().where(_of(tid, oid), saved_views.c.id == view)).rowcount)


def forget(tx: sa.Connection, people: Iterable[str]) -> None:
    """Delete the views, whoever saved them, that ask for one of these people, or are called so.

    `people`: whole names and object ids.
    """
    named = [name.casefold() for name in people if name]
    rows = tx.execute(sa.select(saved_views.c.id, saved_views.c.name, saved_views.c.asked)).all() if named else []
    for row in rows:
        asked = json.loads(row.asked)
        said = "\n".join([row.name, asked.get("technician", ""), asked.get("person", "")]).casefold()
        if any(name in said for name in named):
            tx.execute(saved_views.delete().where(saved_views.c.id == row.id))


def _of(tid: str, oid: str) -> sa.ColumnElement[bool]:
    return sa.and_(saved_views.c.tid == tid, saved_views.c.oid == oid)
