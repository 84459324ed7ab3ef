"""What is unusual about an elevation. Pure.

Each mark is a list of conditions on the elevation, its activation and its notes. `marks` holds them against what was
read; `integration/records/review.py` makes the very same list a question to the database. So the list, its filter, the
timeline and the export cannot disagree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from integration.marked import N_


class Mark(StrEnum):
    BREAK_GLASS = "break_glass"
    NOT_REVIEWED = "not_reviewed"
    BY_HAND = "by_hand"
    NOT_GIVEN_BACK = "not_given_back"
    NEVER_USABLE = "never_usable"
    ENDED_OUTSIDE = "ended_outside"
    NOTE_MISSING = "note_missing"


WORDS: Mapping[Mark, str] = {
    Mark.BREAK_GLASS: N_("Break glass"),
    Mark.NOT_REVIEWED: N_("Not reviewed yet"),
    Mark.BY_HAND: N_("Activated by hand outside"),
    Mark.NOT_GIVEN_BACK: N_("Ended by time although its ticket let go"),
    Mark.NEVER_USABLE: N_("Never seen usable"),
    Mark.ENDED_OUTSIDE: N_("Ended outside"),
    Mark.NOTE_MISSING: N_("A note is missing on the ticket"),
}
MEANINGS: Mapping[Mark, str] = {
    Mark.BREAK_GLASS: N_("The role was asked for without a ticket."),
    Mark.NOT_REVIEWED: N_("The role was asked for without a ticket, and nobody has said yet that they looked at it."),
    Mark.BY_HAND: N_(
        "The technician activated the role, or asked for it, outside Ticket Elevate, and the ticket used it."
    ),
    Mark.NOT_GIVEN_BACK: N_(
        "The ticket was solved or handed over, or its technician ended it, and yet the role was active until its time "
        "was up."
    ),
    Mark.NEVER_USABLE: N_(
        "The role was active, and no look showed before it ended that it could be used. Whether anything was done with "
        "it only the tenant's own log says."
    ),
    Mark.ENDED_OUTSIDE: N_("The role was ended before its time in the tenant, and not by Ticket Elevate."),
    Mark.NOTE_MISSING: N_("The helpdesk did not take a note about it, so the ticket does not tell the whole story."),
}


class Of(StrEnum):
    """What a condition looks at. Of notes one that meets all conditions is enough."""

    ELEVATION = "elevation"
    ACTIVATION = "activation"
    NOTE = "note"


class Is(StrEnum):
    EQUAL = "equal"  # to `than`
    OTHER = "other"  # known, and not `than`
    KNOWN = "known"
    UNKNOWN = "unknown"
    NOT_BEFORE = "not_before"  # the moment that the column `than` has


@dataclass(frozen=True)
class Condition:
    of: Of
    column: str
    what: Is
    than: str | bool | None = None

    def met(self, row: object) -> bool:
        value = getattr(row, self.column)
        if self.what is Is.EQUAL:
            return bool(value == self.than)
        if self.what is Is.OTHER:
            return value is not None and value != self.than
        if self.what is Is.NOT_BEFORE:
            other = getattr(row, str(self.than))
            return value is not None and other is not None and bool(value >= other)
        return (value is not None) is (self.what is Is.KNOWN)


def _elevation(column: str, what: Is, than: str | bool | None = None) -> Condition:
    return Condition(Of.ELEVATION, column, what, than)


def _activation(column: str, what: Is, than: str | bool | None = None) -> Condition:
    return Condition(Of.ACTIVATION, column, what, than)


CONDITIONS: Mapping[Mark, tuple[Condition, ...]] = {
    Mark.BREAK_GLASS: (_elevation("emergency", Is.EQUAL, True),),
    Mark.NOT_REVIEWED: (_elevation("emergency", Is.EQUAL, True), _elevation("reviewed_at", Is.UNKNOWN)),
    Mark.BY_HAND: (_activation("by_hand", Is.EQUAL, True),),
    Mark.NOT_GIVEN_BACK: (
        _elevation("active_at", Is.KNOWN),
        _elevation("ended_at", Is.NOT_BEFORE, "until"),
        _elevation("end_reason", Is.OTHER, "time_up"),
    ),
    Mark.NEVER_USABLE: (
        _elevation("active_at", Is.KNOWN),
        _activation("started_at", Is.KNOWN),
        _activation("ended_at", Is.KNOWN),
        _activation("usable_at", Is.UNKNOWN),
        _activation("by_hand", Is.EQUAL, False),
    ),
    Mark.ENDED_OUTSIDE: (_elevation("end_reason", Is.EQUAL, "outside"),),
    Mark.NOTE_MISSING: (
        Condition(Of.NOTE, "written_at", Is.UNKNOWN),
        Condition(Of.NOTE, "due_at", Is.UNKNOWN),
    ),
}


def marks(elevation: object, activation: object | None, notes: Iterable[object]) -> tuple[Mark, ...]:
    """The marks of an elevation with this activation (None: it has none) and these notes, in the order of `Mark`.

    Each row has the columns that CONDITIONS name as attributes.
    """
    rows = {Of.ELEVATION: [elevation], Of.ACTIVATION: [] if activation is None else [activation], Of.NOTE: list(notes)}
    return tuple(mark for mark in Mark if _has(mark, rows))


def _has(mark: Mark, rows: Mapping[Of, list[object]]) -> bool:
    asked = {of: [it for it in CONDITIONS[mark] if it.of is of] for of in Of}
    return all(any(all(it.met(row) for it in asked[of]) for row in rows[of]) for of in Of if asked[of])
