"""What rules would answer, for a ticket that somebody names and for those of last month. Nothing is started or written.

Rows do not keep what a ticket looked like, so the tickets are read again: a limited number, within a time that is told.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

import sqlalchemy as sa

from integration.deployment import Deployment
from integration.elevation import Elevation, State
from integration.entra.errors import EntraError
from integration.records import administration as records
from integration.records import people
from integration.records.administration import Past
from integration.records.people import Link
from integration.rules import Rules
from integration.rules_diff import Answers, Known, answers, as_picked, differ, supposed
from integration.tickets import HelpdeskError, Person, Status, Ticket, TicketGone
from workers import at_once
from workers.deciding import decide_all, last_told
from workers.deliveries import is_fresh, is_own_act
from workers.run import Run

LATELY = timedelta(days=30)


class Eligible(StrEnum):
    """Where what was taken for the technician's eligibilities comes from."""

    TOLD = "told"  # by the tenant
    STRANGER = "stranger"  # supposed: nobody has the ticket, or they never signed in
    SILENT = "silent"  # supposed: the tenant does not say


class Hand(StrEnum):
    """Who made the assignee the assignee."""

    OWN = "own"  # they did, with their own hand: a pick
    STALE = "stale"  # they did, too long ago for it to start anything
    OTHER = "other"  # somebody else
    UNTOLD = "untold"  # the helpdesk does not say, or a rule of it did
    NOBODY = "nobody"  # nobody has the ticket


class Linked(StrEnum):
    """Whether the assignee's account belongs to somebody in the tenant."""

    LIVE = "live"
    SUSPENDED = "suspended"
    MOVED = "moved"  # the account has another address than when it was linked
    NO = "no"


@dataclass(frozen=True)
class Tried:
    """One ticket. `after` is None where there is no other file to try; `link` where the assignee's account has none."""

    ticket: Ticket
    eligible: Eligible
    before: Answers
    after: Answers | None
    hand: Hand
    link: Link | None
    # Told, but for kinds of targets that the rules in force do not name.
    partly: bool = False

    @property
    def linked(self) -> Linked:
        if self.link is None or self.ticket.assignee is None:
            return Linked.NO
        if self.link.suspended_at is not None:
            return Linked.SUSPENDED
        return Linked.LIVE if self.link.is_of(self.ticket.assignee.address) else Linked.MOVED

    @property
    def solved(self) -> bool:
        """So that it was decided as if it were open."""
        return self.ticket.status is Status.SOLVED

    @property
    def differs(self) -> bool:
        return self.after is not None and differ(self.before, self.after)


@dataclass(frozen=True)
class Changed:
    """A ticket that the other file answers in another way."""

    past: Past
    ticket: Ticket
    before: Answers
    after: Answers


@dataclass
class Month:
    """What came of comparing. Every ticket is in one of these counts, or `changed`."""

    changed: list[Changed] = field(default_factory=list)
    same: int = 0
    nobodys: int = 0  # never anybody's, so that nothing could be decided
    gone: int = 0
    unread: int = 0  # the helpdesk did not tell, or is not connected any more
    late: int = 0  # the time was up
    beyond: int = 0  # older than the newest that are read
    strangers: int = 0  # of those that were compared: the technician's eligibilities were supposed

    @property
    def compared(self) -> int:
        return len(self.changed) + self.same


def picked_by(deployment: Deployment, ticket: Ticket, address: str, *, now: datetime) -> Ticket:
    """The ticket as if whoever has this address had just taken it. Their account is known by its link alone."""
    with deployment.records.read() as connection:
        links = [it for it in people.all_links(connection) if it.connection == ticket.connection]
    link = next((it for it in links if it.is_of(address)), None)
    has_it = ticket.assignee is not None and (ticket.assignee.address or "").casefold() == address.casefold()
    stranger = ticket.assignee if has_it and ticket.assignee else Person(address, address=address)
    by = Person(link.account, link.technician, link.address) if link else stranger
    return replace(ticket, assignee=by, assigned_by=by.account, assigned_at=now, change=ticket.change or "now")


def one(deployment: Deployment, ticket: Ticket, edited: Rules | None, *, now: datetime) -> Tried:
    """The answers for this ticket, as if it were open and picked. The tenant is asked in its technician's name."""
    files = [deployment.rules, *([edited] if edited else [])]
    link = None
    if ticket.assignee is not None:
        with deployment.records.read() as connection:
            link = people.link_of(connection, ticket.connection, ticket.assignee.account)
    picked, eligible = as_picked(ticket), Eligible.STRANGER
    if link is not None and ticket.assignee is not None and link.is_of(ticket.assignee.address):
        it = _pick(picked, link.tid, link.oid, now)
        more = supposed(Known(kinds=deployment.rules.kinds), files)
        run = Run(deployment, cause="click")
        try:
            each = [tuple(decide_all(run, it, picked, rules=rules, supposed=more)) for rules in files]
        except EntraError:
            eligible = Eligible.SILENT
        else:
            return Tried(
                ticket, Eligible.TOLD, each[0], each[1] if edited else None, _hand(ticket, now), link, bool(more)
            )
    each = [answers(rules, picked, supposed(Known(), files)) for rules in files]
    return Tried(ticket, eligible, each[0], each[1] if edited else None, _hand(ticket, now), link)


def _hand(ticket: Ticket, now: datetime) -> Hand:
    if ticket.assignee is None:
        return Hand.NOBODY
    if ticket.assigned_by is None or ticket.change is None:
        return Hand.UNTOLD
    if not is_own_act(ticket):
        return Hand.OTHER
    return Hand.OWN if is_fresh(ticket, now) else Hand.STALE


def _pick(ticket: Ticket, tid: str, oid: str, now: datetime) -> Elevation:
    """What a pick would open. It is only decided about."""
    assert ticket.assignee is not None
    return Elevation(
        id="",
        connection=ticket.connection,
        ticket=ticket.number,
        account=ticket.assignee.account,
        address=ticket.assignee.address,
        pick="",
        state=State.REQUESTED,
        version=0,
        due_at=None,
        created_at=now,
        tid=tid,
        oid=oid,
    )


def month(deployment: Deployment, edited: Rules, *, now: datetime, most: int, patience: timedelta) -> Month:
    """The rules in force against `edited`: the newest `most` tickets of the last month, as far as `patience` goes."""
    deadline = time.monotonic() + patience.total_seconds()
    with deployment.records.read() as connection:
        pasts, total = records.pasts(connection, since=now - LATELY, limit=most)
    found = Month(beyond=total - len(pasts))
    with at_once.reading(partial(_read, deployment, now), pasts, patience=patience) as reading:
        for past, ticket in _read_in_time(reading, deadline, found):
            _compare(deployment, edited, past, ticket, now, found)
    return found


def _read(deployment: Deployment, now: datetime, past: Past) -> Ticket | None:
    """Raises HelpdeskError; None where that helpdesk is not connected any more."""
    desk = deployment.helpdesks.get(past.connection)
    return None if desk is None else desk.ticket(past.ticket, now=now)


def _read_in_time(
    reading: Iterable[tuple[Past, Callable[[], Ticket | None]]], deadline: float, found: Month
) -> Iterable[tuple[Past, Ticket]]:
    for past, answer in reading:
        try:
            ticket = answer()
        except at_once.TookTooLong:
            found.late += 1
        except TicketGone:
            found.gone += 1
        except HelpdeskError:
            found.unread += 1
        else:
            if ticket is None:
                found.unread += 1
            elif time.monotonic() > deadline:  # patterns take their time, too
                found.late += 1
            else:
                yield past, ticket


def _compare(deployment: Deployment, edited: Rules, past: Past, ticket: Ticket, now: datetime, found: Month) -> None:
    by = _technician(past, ticket)
    if by is None:
        found.nobodys += 1
        return
    files = [deployment.rules, edited]
    with deployment.records.read() as connection:
        known = _known(connection, deployment, past, ticket, by, now)
    found.strangers += not known.kinds
    eligibilities = [*known.eligibilities, *supposed(known, files)]
    before, after = (answers(rules, as_picked(ticket, by, at=past.at), eligibilities) for rules in files)
    if differ(before, after):
        found.changed.append(Changed(past, ticket, before, after))
    else:
        found.same += 1


def _technician(past: Past, ticket: Ticket) -> Person | None:
    """Who held it then, else who has it now."""
    now = ticket.assignee
    if past.account is None or (now is not None and now.account == past.account):
        return now
    return Person(past.account, address=past.address)


def _known(
    connection: sa.Connection, deployment: Deployment, past: Past, ticket: Ticket, by: Person, now: datetime
) -> Known:
    """What the tenant last told of them within the month, if it was asked."""
    who = (past.tid, past.oid)
    if past.oid is None:
        link = people.link_of(connection, ticket.connection, by.account)
        who = (link.tid, link.oid) if link else (None, None)
    tid, oid = who
    if tid is None or oid is None:
        return Known()
    return last_told(people.answers(connection, tid, oid, newer_than=now - LATELY), deployment.rules.kinds)
