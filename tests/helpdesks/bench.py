"""What a helpdesk on trial must let the contract suite do: the hands of its people, and a look at what it recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from integration.tickets import Status


@dataclass(frozen=True)
class Note:
    """One comment of a ticket, as its people see it: with mark-up and placeholders turned into what they become."""

    text: str
    internal: bool


@dataclass(frozen=True)
class Delivery:
    """One webhook call as it arrived: header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


class Bench(Protocol):
    """A real helpdesk, or a double of one, that is nobody's work place.

    `settings` is the table `[helpdesks.<name>]` of a connection to it: `kind`, `url`, a table `secrets` with one secret
    in it (the suite replaces it by others of the same length), and what else its adapter asks for. `technician` and
    `colleague` are accounts of two people who work on tickets, `requester` that of somebody who files them, all as the
    adapter names accounts.
    `tells_repeats`: whether a call that is sent again can be told from a new one.
    `signs_time`: whether its signature covers the time at which a call was sent.
    """

    settings: Mapping[str, Any]
    technician: str
    colleague: str
    requester: str
    tells_repeats: bool
    signs_time: bool

    def new_ticket(self, subject: str = "Cannot sign in", category: str = "Password reset") -> str:
        """The number of a ticket that the requester filed; nobody has it yet."""

    def assign(self, number: str, to: str | None, *, by: str) -> None: ...

    def assign_by_rule(self, number: str, to: str, *, under: str) -> bool:
        """An automation sets the assignee while `under` does something. False where this helpdesk has none."""

    def set_status(self, number: str, status: Status) -> None: ...

    def delete(self, number: str) -> None:
        """As its people do it: where they have a bin, the ticket is in it."""

    def comment(self, number: str, text: str, *, by: str) -> None:
        """An internal comment of one of its people."""

    def comment_often(self, number: str, times: int, *, by: str) -> bool:
        """So many internal comments, as fast as this helpdesk can. False where it takes too long."""

    def comments(self, number: str) -> Sequence[Note]: ...

    def set_person(self, account: str, *, address: str | None, active: bool = True) -> bool:
        """What the helpdesk knows of somebody; None is no address. False where it does not let that be so, or does not
        tell.
        """

    def address_of(self, account: str) -> str:
        """What the helpdesk has for somebody at the beginning."""

    def deliveries(self, number: str) -> Sequence[Delivery]:
        """The webhook calls about this ticket so far, the oldest first; waits until what was just done has arrived."""

    def signed(self, body: bytes) -> Mapping[str, str]:
        """The headers with which the helpdesk would send this body now."""

    def calls(self) -> Sequence[tuple[str, str]]:
        """The API calls that it answered since the last look: method, and path without the query."""

    def break_down(self, status: int, *, body: str = "{}", headers: Mapping[str, str] | None = None) -> None:
        """Answer the next API calls with this."""

    def mend(self) -> None: ...

    def now(self) -> datetime:
        """By the helpdesk's clock."""

    def later(self) -> bool:
        """Let time go by until what was done is told and what follows is told as later: two minutes, where a list lags.
        False where that cannot be done, or where the helpdesk tells no changes.
        """

    def changed_together(self, count: int) -> Sequence[str]:
        """The numbers of `count` tickets of the technician that changed at one moment; none if that cannot be done."""
