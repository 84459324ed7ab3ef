"""What a helpdesk is to us: its tickets, its people, its events, and the protocol that every adapter satisfies.

Everything here is in our words. An adapter translates its vendor's JSON at its door and lets none of it through.
Text that came from people outside (subject, names, category) is cleaned by `clean` at that same door.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

# Controls, format characters (bidi and tag letters among them), surrogates, private use, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_HANGUL_FILLER = "\u3164"  # a letter by category, and yet invisible


def clean(text: str, *, limit: int = 200) -> str:
    """`text` as one line of visible characters in NFC, at most `limit` code points long.

    Controls, format characters, lone surrogates and NUL are dropped without exception, so that what a reviewer reads is
    what stands there, and so that no database refuses it.
    """
    text = text[: limit * 4]  # before normalising: a subject of a megabyte must not cost a megabyte's work
    if text.isascii() and text.isprintable():  # nothing to drop in it: most ids and many subjects, a good deal sooner
        if len(text) <= limit and "  " not in text:
            return text.strip()
        return " ".join(text.split())[:limit].strip()
    spaced = (" " if c in "\t\r\n\u2028\u2029" else c for c in text)
    seen = "".join(c for c in spaced if unicodedata.category(c) not in _UNSEEN and c != _HANGUL_FILLER)
    return " ".join(unicodedata.normalize("NFC", seen).split())[:limit].strip()


@dataclass(frozen=True)
class Person:
    """Somebody a helpdesk knows. `account` is the helpdesk's own stable id; `address` is its word, not a proof."""

    account: str
    name: str = ""
    address: str | None = None


UNTOLD = "untold:"  # how a pick is named of which the helpdesk's history says nothing


class Status(StrEnum):
    OPEN = "open"
    ON_HOLD = "on_hold"
    SOLVED = "solved"  # solved, closed, rejected: nobody is working on it any more

    @property
    def words(self) -> str:
        """As people read it."""
        return self.value.replace("_", " ")


@dataclass(frozen=True)
class Ticket:
    """One ticket as the helpdesk's API told it at `read_at`."""

    connection: str
    number: str
    subject: str
    status: Status
    read_at: datetime
    category: str | None = None
    queue: str | None = None
    assignee: Person | None = None
    # Who made `assignee` the assignee, by account, from the helpdesk's own history; None where it does not say.
    assigned_by: str | None = None
    assigned_at: datetime | None = None
    # The helpdesk's id of that change: together with ticket and assignee it names one pick.
    change: str | None = None
    # When anything of the ticket last changed, by the helpdesk's own clock; None where it does not say.
    updated_at: datetime | None = None
    # Everybody for whom the ticket was filed: requester, on-behalf, submitter.
    requesters: tuple[Person, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def pick(self) -> str:
        """What names this assignment: one elevation comes of it at most. Where the helpdesk tells of no change, all
        assignments to one account are the same one.
        """
        account = self.assignee.account if self.assignee else ""
        return (self.change or f"{UNTOLD}{account}")[:128]


@dataclass(frozen=True)
class ListedTicket:
    """One line of a list of tickets: enough for a person to pick it by."""

    number: str
    subject: str


@dataclass(frozen=True)
class ChangedTicket:
    """One line of a list of changes. `at` is what a reading would give as Ticket.updated_at."""

    number: str
    at: datetime


@dataclass(frozen=True)
class Changes:
    """Some of what changed, the longest ago first. `more`: the helpdesk may know of others that changed since."""

    tickets: tuple[ChangedTicket, ...]
    more: bool = False


@dataclass(frozen=True)
class TicketEvent:
    """What one verified delivery says: a hint that a ticket changed. The ticket itself is read back."""

    delivery_id: str
    ticket: str
    kind: str  # the helpdesk's own name of the event, for the log
    secret: str  # the name of the signing secret that matched, so that a rotation can be watched
    # The ticket must be read in a state at least this new (Request Tracker: a transaction id). None: any state will do.
    revision: str | None = None
    # A digest of what the call shows of the ticket, without what every edit changes (times, authors). After a call with
    # the same one the ticket is not read again: nothing changed that a rule looks at. None: it shows too little.
    fingerprint: str | None = None
    # Ticket.updated_at as the call shows it, beside a fingerprint: then it is known without a reading, too.
    shown_at: datetime | None = None
    # The ticket as the call shows it, where it shows all that rules are matched by; its people may be left out. Nothing
    # follows from it but the order in which calls are worked.
    shown: Ticket | None = None
    # Our own account caused it, or it says itself that nothing changed that we look at: it is stored for the record,
    # and the ticket is not read.
    idle: bool = False


@dataclass(frozen=True)
class Presser:
    """Who looks at a ticket's page, by the helpdesk's signature; `ticket` is None where that does not cover it.

    `proof` names what was signed, the same whenever it is shown again. None where it is no proof of a press, but of a
    look alone.
    """

    account: str
    ticket: str | None = None
    proof: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that `doctor` looked at. `fix` says what to do when it is not ok."""

    what: str
    ok: bool
    fix: str = ""


class DeliveryRefused(Exception):
    """A webhook call that we do not take; str() is a sentence for the administrator who set the webhook up.

    * DeliveryRefused
      - SignatureRefused   401: the signature, its time or its headers are missing or wrong
      - DeliveryUnreadable 400: signed, but not an event that we can name
    """


class SignatureRefused(DeliveryRefused):
    """`reason`: a word of our own for the log."""

    def __init__(self, reason: str = "signature") -> None:
        # One text for every cause, so that a forger learns nothing from trying.
        super().__init__(
            "The signature of this call is missing, wrong or too old. Check the webhook's secret and clock."
        )
        self.reason = reason


class DeliveryUnreadable(DeliveryRefused):
    pass


class HelpdeskError(Exception):
    """A call to a helpdesk did not do its job; str() is fit for a technician to read.

    * HelpdeskError
      - HelpdeskUnavailable  try again later (time-out, 429, 5xx, or a state that is still too old)
      - TicketGone           never again: the ticket was deleted or merged away
      - HelpdeskRefused      not before an administrator changes something (any other 4xx)
        + NotConnected       it is not in the settings
    """

    try_again = False


class HelpdeskUnavailable(HelpdeskError):
    try_again = True

    def __init__(self, connection: str, *, after: float | None = None, throttled: bool = False) -> None:
        super().__init__(f"The helpdesk {connection} is not answering. We will try again by ourselves.")
        self.after = after  # seconds the helpdesk asked us to wait; None where it did not say
        self.throttled = throttled  # it said that we call too often: all calls of this connection wait


class TicketGone(HelpdeskError):
    def __init__(self, connection: str, number: str) -> None:
        super().__init__(
            f"There is no ticket {number} in {connection} that our account may see: it was deleted or merged, or the "
            f"number is wrong."
        )


class HelpdeskRefused(HelpdeskError):
    def __init__(self, connection: str, status: int) -> None:
        super().__init__(
            f"The helpdesk {connection} refused our call (HTTP {status}). An administrator must check our service "
            f"account's rights there."
        )
        self.status = status


class NotConnected(HelpdeskRefused):
    """There are rows of a connection that was taken out of the settings."""

    def __init__(self, connection: str) -> None:
        HelpdeskError.__init__(self, f"The helpdesk {connection} is not connected any more.")
        self.status = 0


class Helpdesk(Protocol):
    """One connected helpdesk. Source of each wire fact: the adapter's own docstring."""

    @property
    def connection(self) -> str:
        """The name that this connection has in the settings."""

    @property
    def service_account(self) -> str:
        """Our own account in the helpdesk: what it does never starts anything."""

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        """Check the signature of `body` (raw bytes) and name the event. No I/O.

        `headers` has lower-case names. `now` is aware UTC. Raises SignatureRefused or DeliveryUnreadable.
        """

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:
        """Read a ticket, at least as new as `revision`; an older one raises HelpdeskUnavailable(after=...).

        Raises HelpdeskError.
        """

    def ticket_url(self, number: str) -> str:
        """Where a person opens the ticket. Built from settings, never from a payload."""

    def write_note(self, number: str, text: str) -> None:
        """Write `text` (plain, our own words, several lines) as an internal note. Raises HelpdeskError."""

    def has_note(self, number: str, marker: str) -> bool:
        """Whether a note that holds `marker` stands on the ticket (newest first). Raises HelpdeskError."""

    def check(self) -> Sequence[Finding]:
        """What `doctor` wants to know: can we reach it, are we who we think, may we read and write."""


@runtime_checkable
class ListsTickets(Protocol):
    """A helpdesk that can say what somebody works on. Not every one can: ask with isinstance."""

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        """At most `limit` tickets that are assigned to `account` and not solved; the newest change first, if it can.

        None of them where its settings do not say how to ask. Raises HelpdeskError.
        """


@runtime_checkable
class TellsChanges(Protocol):
    """A helpdesk that can be asked what changed, for the calls of it that never arrived. Ask with isinstance."""

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        """Tickets that changed at `since` (the helpdesk's clock) or later, the longest ago first: one call.

        As many as one answer holds; `page` 2 is what follows when all of them changed at the very same time, or when
        none is told yet though more may follow. A helpdesk whose answers come in no order, or are cut before what we
        may not see is taken out, costs further calls. It may leave out tickets that have no assignee and are not
        solved, since nothing follows from those. None of them where its settings do not say how to ask. Raises
        HelpdeskError.
        """


@runtime_checkable
class ProvesPresser(Protocol):
    """A helpdesk that signs who looks at its page, or presses on it. Ask with isinstance."""

    def presser(self, headers: Mapping[str, str], form: Mapping[str, str], *, now: datetime) -> Presser:
        """Whom the signature of a call from the helpdesk's page names. No I/O but for the vendor's public keys.

        `headers` has lower-case names, `form` holds the fields of a form that was posted. It proves who looks, and
        that they pressed only where there is a Presser.proof. Raises SignatureRefused, also where its settings do not
        say how to check one, or HelpdeskUnavailable when the keys cannot be had.
        """
