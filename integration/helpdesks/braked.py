"""A helpdesk with the brake of its connection before every call, whoever wrote its adapter."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from integration.brake import OF_HELPDESK, Brake, BrakeStore
from integration.helpdesks.setup import ByHand, Connects
from integration.tickets import (
    Changes,
    Finding,
    Helpdesk,
    HelpdeskError,
    HelpdeskUnavailable,
    ListedTicket,
    ListsTickets,
    Presser,
    ProvesPresser,
    TellsChanges,
    Ticket,
    TicketEvent,
)


def braked(helpdesk: Helpdesk, store: BrakeStore) -> Helpdesk:
    """`helpdesk`, whose calls wait when it asked to or does not answer: in all processes, for this connection alone.

    It lists tickets (ListsTickets), tells changes (TellsChanges), proves who looks (ProvesPresser) and helps to connect
    (Connects) if the helpdesk does.
    """
    abilities: list[type] = []
    if isinstance(helpdesk, Connects):
        abilities.append(_Connects)
    if isinstance(helpdesk, ListsTickets):
        abilities.append(_Lists)
    if isinstance(helpdesk, TellsChanges):
        abilities.append(_Tells)
    if isinstance(helpdesk, ProvesPresser):
        abilities.append(_Proves)
    made: Helpdesk = type("Braked", (*abilities, _Braked), {})(helpdesk, store)
    return made


class _Braked:
    def __init__(self, helpdesk: Helpdesk, store: BrakeStore) -> None:
        self._helpdesk = helpdesk
        self._brake = Brake(
            store,
            unavailable=HelpdeskUnavailable,
            answered=HelpdeskError,
            busy=lambda after: HelpdeskUnavailable(helpdesk.connection, after=after),
            silence=2.0,
        )

    def _passing(self, what: str = "") -> AbstractContextManager[None]:
        return self._brake.passing(f"{OF_HELPDESK}{self.connection}{what}", datetime.now(UTC))

    @property
    def connection(self) -> str:
        return self._helpdesk.connection

    @property
    def service_account(self) -> str:
        return self._helpdesk.service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        return self._helpdesk.read_delivery(headers, body, now=now)

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:
        with self._passing():
            return self._helpdesk.ticket(number, revision=revision, now=now)

    def ticket_url(self, number: str) -> str:
        return self._helpdesk.ticket_url(number)

    def write_note(self, number: str, text: str) -> None:
        # A brake of its own: some count the notes on one ticket, and all others must still be read.
        with self._passing(":notes"):
            self._helpdesk.write_note(number, text)

    def has_note(self, number: str, marker: str) -> bool:
        with self._passing():
            return self._helpdesk.has_note(number, marker)

    def check(self) -> Sequence[Finding]:
        return self._helpdesk.check()  # doctor wants to know now


class _Lists(_Braked):
    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        assert isinstance(self._helpdesk, ListsTickets)
        with self._passing():
            return self._helpdesk.open_tickets(account, limit=limit)


class _Connects(_Braked):
    def setup(self) -> ByHand:
        assert isinstance(self._helpdesk, Connects)
        return self._helpdesk.setup()  # without the brake: doctor wants to know now


class _Tells(_Braked):
    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        assert isinstance(self._helpdesk, TellsChanges)
        with self._passing():
            return self._helpdesk.changed_since(since, page=page, now=now)


class _Proves(_Braked):
    def presser(self, headers: Mapping[str, str], form: Mapping[str, str], *, now: datetime) -> Presser:
        assert isinstance(self._helpdesk, ProvesPresser)
        return self._helpdesk.presser(headers, form, now=now)  # a signature is checked, and the helpdesk not called
