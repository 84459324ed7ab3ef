"""What is read for one elevation's timeline. Whatever stands in a row of the journal, the others are read."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from integration.journal import Kind
from integration.records.tables import comments, journal, journal_private
from integration.timeline import Entry, Note


def entries(connection: sa.Connection, elevation: str, activation: str | None) -> list[Entry]:
    """Those about the elevation and its activation, in the journal's order."""
    mine = journal.c.elevation == elevation
    either = sa.or_(mine, journal.c.activation == activation) if activation else mine
    columns = [_as_bytes(connection, journal.c[name]) for name in ("seq", "at", "kind", "entry", "hash")]
    rows = connection.execute(sa.select(journal.c.place, *columns).where(either).order_by(journal.c.place)).all()
    private = _private(connection, [row.place for row in rows])
    return [
        Entry(
            row.place,
            _number(row.seq),
            _moment(row.at),
            _text(row.kind),
            _text(row.entry),
            _text(row.hash),
            tuple(private.get(row.place, ())),
        )
        for row in rows
    ]


def notes(connection: sa.Connection, elevation: str) -> list[Note]:
    query = sa.select(comments).where(comments.c.elevation == elevation).order_by(comments.c.created_at)
    return [
        Note(row.text, row.created_at, row.written_at, row.due_at, row.outcome) for row in connection.execute(query)
    ]


def reviewers_notes(connection: sa.Connection, elevations: Iterable[str]) -> dict[str, str]:
    """What reviewers said that they found, by elevation; without those that were erased."""
    value = _as_bytes(connection, journal_private.c.value)
    joined = journal.join(journal_private, journal_private.c.place == journal.c.place)
    query = sa.select(journal.c.elevation, value).select_from(joined).where(journal.c.elevation.in_(list(elevations)))
    said = sa.and_(journal.c.kind == Kind.BREAKGLASS_REVIEWED, journal_private.c.name == "note")
    return {row.elevation: _text(row.value) for row in connection.execute(query.where(said))}


def review(connection: sa.Connection, elevation: str) -> dict[str, str]:
    """Who reviewed it (`actor`) and what they found (`note`), without what was erased."""
    columns = (journal_private.c.name, _as_bytes(connection, journal_private.c.value))
    joined = journal.join(journal_private, journal_private.c.place == journal.c.place)
    said = sa.and_(journal.c.kind == Kind.BREAKGLASS_REVIEWED, journal.c.elevation == elevation)
    rows = connection.execute(sa.select(*columns).select_from(joined).where(said))
    return {_text(row.name): _text(row.value) for row in rows}


def _private(connection: sa.Connection, places: list[int]) -> dict[int, list[tuple[str, bytes, str]]]:
    columns = [_as_bytes(connection, journal_private.c[name]) for name in ("name", "salt", "value")]
    query = sa.select(journal_private.c.place, *columns).where(journal_private.c.place.in_(places))
    found: dict[int, list[tuple[str, bytes, str]]] = {}
    for row in connection.execute(query.order_by(journal_private.c.place)):
        salt = row.salt if isinstance(row.salt, bytes) else b""
        found.setdefault(row.place, []).append((_text(row.name), salt, _text(row.value)))
    return found


def _as_bytes(connection: sa.Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """SQLite keeps anything in any column, and its driver raises for text that is not UTF-8."""
    if connection.dialect.name != "sqlite":
        return column
    return sa.cast(column, sa.LargeBinary).label(column.name)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _number(value: object) -> int | None:
    if isinstance(value, int):
        return value
    text = _text(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(_text(value)).replace(tzinfo=UTC)
    except ValueError:
        return None
