"""What administrators' pages list and count. Nothing here changes a row."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from integration.brake import OF_HELPDESK
from integration.elevation import State
from integration.records import polls as polls_of
from integration.records.deliveries import PANEL, POLL
from integration.records.due import is_late
from integration.records.erasure import ERASED
from integration.records.tables import (
    UtcDateTime,
    activations,
    brakes,
    comments,
    deliveries,
    elevations,
    examinations,
    notices,
    polls,
)

WORK = {
    "activations": activations,
    "deliveries": deliveries,
    "elevations": elevations,
    "comments": comments,
    "notices": notices,
    "examinations": examinations,
    "polls": polls,
}


@dataclass(frozen=True)
class Held:
    """What waits because the last try failed: how much, since when, and the last failure in words."""

    number: int
    since: datetime
    why: str


@dataclass(frozen=True)
class Traffic:
    """What went over one connection. `delivered` is None where nothing ever came."""

    delivered_at: datetime | None
    delivered: str  # the helpdesk's own name of the event
    written_at: datetime | None
    unread: Held | None  # deliveries whose ticket could not be read
    unwritten: Held | None  # comments that could not be written
    asked_at: datetime | None  # when it last said what changed
    unasked: str | None  # why it did not


@dataclass(frozen=True)
class Work:
    """Rows of one kind: how many should be worked on by now and since when, and how many wait for their time."""

    kind: str
    due: int
    oldest: datetime | None
    waiting: int

    @property
    def any(self) -> bool:
        return bool(self.due or self.waiting)


@dataclass(frozen=True)
class Did:
    """What one rule did. `minutes` is the median of what was active and has ended; None where nothing was."""

    rule: str | None
    activated: int
    refused: int  # by the rules
    failed: int  # by the tenant
    watched: int
    would: int  # of those that were watched: would have activated something
    minutes: float | None


@dataclass(frozen=True)
class Past:
    """A ticket that was delivered or picked, and what matters of its newest elevation, where it has one."""

    connection: str
    ticket: str
    at: datetime
    account: str | None = None
    address: str | None = None
    tid: str | None = None
    oid: str | None = None
    target_name: str | None = None
    state: State | None = None


def pasts(connection: sa.Connection, *, since: datetime, limit: int) -> tuple[list[Past], int]:
    """The tickets that were delivered or picked since then, the newest first, and how many there are in all."""
    came = sa.select(deliveries.c.connection, deliveries.c.ticket, deliveries.c.received_at.label("at"))
    picked = sa.select(elevations.c.connection, elevations.c.ticket, elevations.c.created_at.label("at"))
    both = sa.union_all(
        came.where(deliveries.c.received_at >= since),
        picked.where(elevations.c.created_at >= since, elevations.c.emergency.is_(False)),
    ).subquery()
    at = sa.func.max(both.c.at, type_=UtcDateTime()).label("at")
    tickets = sa.select(both.c.connection, both.c.ticket, at).group_by(both.c.connection, both.c.ticket)
    total = connection.execute(sa.select(sa.func.count()).select_from(tickets.subquery())).scalar_one()
    newest = tickets.order_by(at.desc(), both.c.ticket.desc()).limit(limit)
    return [_past(connection, row) for row in connection.execute(newest).all()], total


def _past(connection: sa.Connection, row: Any) -> Past:
    it = elevations.c
    wanted = sa.select(it.account, it.address, it.tid, it.oid, it.target_name, it.state)
    on = sa.and_(it.connection == row.connection, it.ticket == row.ticket, it.emergency.is_(False))
    held = connection.execute(wanted.where(on).order_by(it.created_at.desc(), it.part).limit(1)).first()
    past = Past(row.connection, row.ticket, row.at)
    if held is None:
        return past
    erased = held.account.startswith(f"{ERASED}:")  # who it was is nobody's business any more
    who = {} if erased else {"account": held.account, "address": held.address, "tid": held.tid, "oid": held.oid}
    return replace(past, **who, target_name=held.target_name, state=State(held.state))


def traffic(connection: sa.Connection, desk: str) -> Traffic:
    came = sa.and_(deliveries.c.connection == desk, deliveries.c.kind.not_in((PANEL, POLL)))
    # An id begins with its time, and has an index.
    last = sa.select(deliveries.c.received_at, deliveries.c.kind).where(came).order_by(deliveries.c.id.desc())
    delivered = connection.execute(last.limit(1)).first()
    written = sa.select(comments.c.written_at).where(comments.c.connection == desk, comments.c.written_at.is_not(None))
    polled = polls_of.of(connection, desk)
    return Traffic(
        delivered.received_at if delivered else None,
        delivered.kind if delivered else "",
        connection.execute(written.order_by(comments.c.id.desc()).limit(1)).scalar(),
        _held(connection, deliveries, desk, deliveries.c.received_at),
        _held(connection, comments, desk, comments.c.created_at),
        polled.asked_at if polled else None,
        polled.outcome if polled and polled.due_at else None,
    )


def _held(connection: sa.Connection, table: sa.Table, desk: str, since: sa.Column[Any]) -> Held | None:
    failed = sa.and_(table.c.connection == desk, table.c.due_at.is_not(None), table.c.outcome.is_not(None))
    number, oldest = connection.execute(sa.select(sa.func.count(), sa.func.min(since)).where(failed)).one()
    if not number:
        return None
    latest = sa.select(table.c.outcome).where(failed).order_by(table.c.id.desc()).limit(1)
    return Held(number, oldest, connection.execute(latest).scalar_one())


def work(connection: sa.Connection, *, now: datetime) -> list[Work]:
    return [_work(connection, kind, table, now) for kind, table in WORK.items()]


def _work(connection: sa.Connection, kind: str, table: sa.Table, now: datetime) -> Work:
    late = sa.case((is_late(table, now), table.c.due_at))
    counts = sa.select(sa.func.count(late), sa.func.count(), sa.func.min(late, type_=UtcDateTime()))
    due, all_of_them, first = connection.execute(counts.where(table.c.due_at.is_not(None))).one()
    return Work(kind, due, first, all_of_them - due)


def held_until(connection: sa.Connection, *, now: datetime) -> datetime | None:
    """Until when the tenant asked everybody to wait; None where it did not."""
    of_tenant = brakes.c.name.not_like(f"{OF_HELPDESK}%")
    until: datetime | None = connection.execute(sa.select(sa.func.max(brakes.c.until)).where(of_tenant)).scalar()
    return until if until and until > now else None


def by_rule(connection: sa.Connection, *, since: datetime) -> Mapping[str | None, Did]:
    """What each rule did since then, by its name; None: what no rule was found for, which only watching keeps."""
    it = elevations.c
    lately = sa.and_(it.created_at >= since, it.emergency.is_(False))

    def counted(*what: sa.ColumnElement[bool]) -> sa.Function[int]:
        return sa.func.count(sa.case((sa.and_(*what), 1)))

    query = sa.select(
        it.rule,
        counted(it.active_at.is_not(None)).label("activated"),
        counted(it.state == State.REFUSED).label("refused"),
        counted(it.state == State.FAILED).label("failed"),
        counted(it.state == State.WATCHED).label("watched"),
        counted(it.state == State.WATCHED, it.justification.is_not(None)).label("would"),
    )
    rows = connection.execute(query.where(lately).group_by(it.rule)).all()
    minutes = _medians(connection, lately)
    return {row.rule: Did(**row._mapping, minutes=minutes.get(row.rule)) for row in rows}


def _medians(connection: sa.Connection, lately: sa.ColumnElement[bool]) -> dict[str | None, float]:
    """The median of the minutes, by rule: the mean of the one or two that stand in the middle."""
    it = elevations.c
    lasted = _minutes(connection.dialect.name).label("lasted")
    place = sa.func.row_number().over(partition_by=it.rule, order_by=lasted).label("place")
    among = sa.func.count().over(partition_by=it.rule).label("among")
    over = sa.and_(lately, it.active_at.is_not(None), it.ended_at.is_not(None))
    ranked = sa.select(it.rule, lasted, place, among).where(over).subquery()
    middle = sa.and_(ranked.c.place * 2 >= ranked.c.among, ranked.c.place * 2 <= ranked.c.among + 2)
    query = sa.select(ranked.c.rule, sa.func.avg(ranked.c.lasted)).where(middle).group_by(ranked.c.rule)
    return {rule: float(minutes) for rule, minutes in connection.execute(query)}


def _minutes(dialect: str) -> sa.ColumnElement[Any]:
    began, ended = elevations.c.active_at, elevations.c.ended_at
    if dialect == "sqlite":
        return (sa.func.julianday(ended) - sa.func.julianday(began)) * 1440.0
    return sa.extract("epoch", sa.type_coerce(ended, sa.DateTime) - sa.type_coerce(began, sa.DateTime)) / 60.0
