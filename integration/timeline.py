"""One elevation as one column: our journal, the notes on its ticket and the tenant's requests, by time. Pure.

A journal entry is judged by itself: where it does not have its hash any more it is shown as it stands and marked, and
whatever somebody made of it, the others are shown too.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from integration import journal
from integration.elevation import Activation, ActivationState
from integration.journal import Kind
from integration.marked import N_


class Source(StrEnum):
    """In the order in which they are told of one moment."""

    JOURNAL = "journal"
    TENANT = "tenant"
    TICKET = "ticket"


SOURCES: Mapping[Source, str] = {
    Source.JOURNAL: N_("Our journal"),
    Source.TICKET: N_("On the ticket"),
    Source.TENANT: N_("The tenant"),
}
KINDS: Mapping[Kind, str] = {
    Kind.PICK_PLANNED: N_("Picked; the rules found a role"),
    Kind.PICK_OFFERED: N_("The link was offered"),
    Kind.PICK_REFUSED: N_("The rules refused"),
    Kind.PICK_WATCHED: N_("Watched: nothing was done"),
    Kind.PICK_LONGER: N_("The technician asked for more time, or took that back"),
    Kind.BREAKGLASS_STARTED: N_("Break glass: asked for without a ticket"),
    Kind.BREAKGLASS_TICKET: N_("A ticket was named afterwards"),
    Kind.BREAKGLASS_REVIEWED: N_("Reviewed"),
    Kind.APPROVAL_ASKED: N_("An approver is waited for"),
    Kind.APPROVAL_INTENDED: N_("An approver is about to decide on our page"),
    Kind.APPROVAL_DECIDED: N_("An approver decided on our page"),
    Kind.ACTIVATION_USABLE: N_("It was looked at whether the role can be used"),
    Kind.ACTIVATION_WITHDRAWN: N_("The request was taken back, or left to the technician"),
    Kind.SESSIONS_REVOKED: N_("The technician's sign-ins were ended with the role"),
    Kind.SIGNIN_NEEDED: N_("The technician has to sign in"),
    Kind.SIGNIN_DONE: N_("The technician signed in"),
    Kind.SIGNIN_LOST: N_("The kept sign-in was lost"),
    Kind.SIGNIN_PURGED: N_("The kept sign-in was deleted"),
    Kind.NOTICE_REFUSED: N_("A notice was given up"),
    Kind.LINK_MADE: N_("The helpdesk account was linked"),
    Kind.LINK_SUSPENDED: N_("The link of the helpdesk account was suspended"),
    Kind.LINK_ENDED: N_("The link of the helpdesk account ended"),
    Kind.ACTIVATION_INTENDED: N_("We are about to ask the tenant"),
    Kind.ACTIVATION_JOINED: N_("It shares a role that is active or asked for"),
    Kind.ACTIVATION_ASKED: N_("The tenant took the request"),
    Kind.ACTIVATION_SEEN: N_("Seen active in the tenant"),
    Kind.ACTIVATION_FAILED: N_("Nothing came of the request"),
    Kind.ACTIVATION_EXPIRED: N_("The tenant ended the role"),
    Kind.ACTIVATION_LEFT: N_("The role is left to the technician, who had activated it"),
    Kind.GIVEBACK_INTENDED: N_("We are about to give the role back"),
    Kind.GIVEBACK_DONE: N_("The role is gone from the tenant"),
    Kind.ELEVATION_ENDING: N_("The ticket let go of the role"),
    Kind.ELEVATION_ENDED: N_("The ticket holds no role any more"),
    Kind.ELEVATION_CANCELLED: N_("Called off before the role was active"),
    Kind.ELEVATION_FAILED: N_("It did not come to an active role"),
    Kind.COMMENT_REFUSED: N_("A note on the ticket was given up"),
    Kind.SESSION_SIGNED_IN: N_("Signed in to our pages"),
    Kind.SESSION_SIGNED_OUT: N_("Signed out of our pages"),
    Kind.PRIVACY_ERASED: N_("Personal data were erased"),
    Kind.LOG_CONTINUED: N_("The journal was found damaged, and goes on in a new log"),
    Kind.LOG_ACCEPTED: N_("The damage of the journal was accepted"),
    Kind.CHECKPOINT_SIGNED: N_("A checkpoint was signed"),
}
# Where one kind of entry says two things: by the fact that tells which, and what it is.
TOLD_APART: Mapping[Kind, tuple[str, Mapping[journal.Fact, str]]] = {
    Kind.ACTIVATION_USABLE: (
        "usable",
        {True: N_("Seen that the role can be used"), False: N_("Not seen that the role can be used")},
    ),
    Kind.APPROVAL_DECIDED: (
        "decision",
        {"approved": N_("An approver approved on our page"), "denied": N_("An approver denied on our page")},
    ),
}
ENDS: Mapping[ActivationState, str] = {
    ActivationState.GIVEN_BACK: N_("The role was given back"),
    ActivationState.EXPIRED: N_("The role ran out, or was ended in the tenant"),
    ActivationState.FAILED: N_("The request came to nothing"),
    ActivationState.WITHDRAWN: N_("The request was withdrawn"),
    ActivationState.LEFT: N_("The role is used by no ticket any more"),
}


@dataclass(frozen=True)
class Entry:
    """A journal entry as its row holds it, read so that nothing in it can stand in the way; None: it is unreadable."""

    place: int
    seq: int | None
    at: datetime | None
    kind: str
    entry: str
    hash: str
    private: tuple[tuple[str, bytes, str], ...] = ()  # name, salt, value


class Standing(StrEnum):
    """How a note is."""

    WRITTEN = "written"
    DUE = "due"
    GIVEN_UP = "given_up"


@dataclass(frozen=True)
class Note:
    """What was to be written on the ticket."""

    text: str
    created_at: datetime
    written_at: datetime | None
    due_at: datetime | None
    outcome: str | None

    @property
    def at(self) -> datetime:
        return self.written_at or self.created_at

    @property
    def standing(self) -> Standing:
        return Standing.WRITTEN if self.written_at else Standing.DUE if self.due_at else Standing.GIVEN_UP


@dataclass(frozen=True)
class Event:
    """One step of the column. `at` is None where it cannot be told; it then stands where it was written."""

    at: datetime | None
    source: Source
    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    note: Note | None = None
    entry: Entry | None = None
    changed: bool = False  # somebody changed the entry, or a private value of it


def timeline(entries: Iterable[Entry], notes: Iterable[Note], activation: Activation | None) -> list[Event]:
    """Everything by time. Two things are placed by what must have been before them, whatever their clock says: an
    entry behind the entry before it, and what the tenant did behind our request, whose time the journal knows better.
    """
    journal_events = [_of_entry(it) for it in entries]
    tenant_events = list(_of_activation(activation, _asked_at(journal_events))) if activation else []
    placed = [*_in_order(journal_events), *_in_order(tenant_events)]
    placed += [(it.at, Event(it.at, Source.TICKET, N_("A note"), note=it)) for it in notes]
    order = list(Source)
    return [it for _, it in sorted(placed, key=lambda each: (each[0], order.index(each[1].source)))]


def _in_order(events: Iterable[Event]) -> Iterable[tuple[datetime, Event]]:
    last = datetime.min.replace(tzinfo=UTC)
    for it in events:
        last = last if it.at is None or it.changed else max(last, it.at)
        yield last, it


def _asked_at(events: Iterable[Event]) -> datetime | None:
    taken = (it.at for it in events if it.title == KINDS[Kind.ACTIVATION_ASKED] and not it.changed)
    return next(taken, None)


def _of_entry(it: Entry) -> Event:
    try:
        tail = journal.tail_of(it.entry, it.hash)
        raw = json.loads(it.entry)
        facts = {str(name): _said(value) for name, value in raw["facts"].items() if value is not None}
        shown = {name: value for name, salt, value in it.private if _fits(raw, name, salt, value)}
        wrong = len(shown) < len(it.private)
        kind = Kind(raw["kind"])
        title = _title(kind, raw["facts"])
        return Event(tail.at, Source.JOURNAL, title, {**facts, **shown}, entry=it, changed=wrong)
    except (journal.JournalError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        known = KINDS.get(Kind(it.kind)) if it.kind in set(Kind) else None
        return Event(it.at, Source.JOURNAL, known or it.kind, entry=it, changed=True)


def _title(kind: Kind, facts: Mapping[str, journal.Fact]) -> str:
    name, titles = TOLD_APART.get(kind, ("", {}))
    return titles.get(facts.get(name), KINDS[kind])


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _fits(raw: Mapping[str, Mapping[str, str]], name: str, salt: bytes, value: str) -> bool:
    return raw["private"].get(name) == journal.commit(salt, name, value)


def _of_activation(it: Activation, asked_at: datetime | None) -> Iterable[Event]:
    """What the tenant told us, at its own times where it names them."""
    about = {"request": it.request_id or "", "schedule": it.schedule_id or "", "justification": it.justification}
    here = Event(
        asked_at or it.created_at, Source.TENANT, N_("The role was asked for"), {k: v for k, v in about.items() if v}
    )
    if it.by_hand:
        yield replace(here, title=N_("The role was asked for outside Ticket Elevate, and is used from here on"))
    else:
        yield here
    if it.pending_at:
        yield Event(it.pending_at, Source.TENANT, N_("An approver is asked"))
    if it.started_at:
        yield Event(it.started_at, Source.TENANT, N_("The role is active"))
    if it.ended_at and it.state in ENDS:
        yield Event(it.ended_at, Source.TENANT, ENDS[it.state])
