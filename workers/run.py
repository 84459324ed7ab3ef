"""One run of work: a row that is due, taken one step further, then whatever that step made due at once.

A step claims its row, works outside any transaction, commits state, journal entry and comments together, and returns
what may go on immediately. What it does not return is found by the sweep when its time comes.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeVar

import sqlalchemy as sa

from integration.deployment import Deployment
from integration.elevation import LEASE, TICKET_FRESHNESS, Activation, Elevation
from integration.records.comments import Comment
from integration.records.deliveries import Delivery
from integration.tickets import Helpdesk, NotConnected, Ticket


class What(StrEnum):
    DELIVERY = "delivery"
    ELEVATION = "elevation"
    ACTIVATION = "activation"
    COMMENT = "comment"
    NOTICE = "notice"
    EXAMINATION = "examination"
    POLL = "poll"


Row = Delivery | Elevation | Activation | Comment
AnyRow = TypeVar("AnyRow", Delivery, Elevation, Activation, Comment)
Claimed_co = TypeVar("Claimed_co", covariant=True)
OpenRow = TypeVar("OpenRow", Elevation, Activation)


class Claim(Protocol[Claimed_co]):
    def __call__(self, tx: sa.Connection, row_id: str, /, *, now: datetime) -> Claimed_co | None: ...


# Of a lease, for a step to be done in: the slowest answer, which is a list of Azure's, and our writing.
ENOUGH = timedelta(seconds=40)


def claimed_at(it: OpenRow) -> datetime:
    """When the step that works on `it` began."""
    assert it.due_at is not None
    return it.due_at - LEASE


def lease_left(run: "Run", it: OpenRow) -> timedelta:
    return it.due_at - run.now if it.due_at is not None else timedelta()


@dataclass(frozen=True)
class Due:
    what: What
    id: str
    # The row, where this run claimed it already, by writing it under a lease. A message to others carries the id alone.
    row: Row | None = None


@dataclass
class Run:
    deployment: Deployment
    cause: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    goes_on: bool = False  # whether what is due at once is done by this very run; `go` says so
    _tickets: dict[tuple[str, str], Ticket] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return self.clock()

    def take(self, due: Due, kind: type[AnyRow], claim: Claim[AnyRow]) -> AnyRow | None:
        """The row of a step that begins: in hand while its lease lasts long enough, else claimed like any other.

        None where it is not due any more, or another worker has it.
        """
        row = due.row
        if isinstance(row, kind) and row.due_at is not None and row.due_at - self.now > ENOUGH:
            return row
        with self.deployment.records.write() as tx:
            return claim(tx, due.id, now=self.now)

    def at_once(self, row: OpenRow) -> OpenRow:
        """`row`, as it is to be saved when it goes on at once: under our lease, or due for whoever comes first.

        Claiming it with the very write that makes it due spares a transaction each.
        """
        if not self.goes_on:
            return replace(row, due_at=self.now)
        return replace(row, due_at=self.now + LEASE, attempts=row.attempts + 1)

    def due(self, what: What, saved: Row) -> Due:
        """What follows from a row that was saved `at_once`."""
        return Due(what, saved.id, saved if self.goes_on else None)

    def helpdesk(self, connection: str) -> Helpdesk:
        """Raises NotConnected: rows outlive the settings."""
        found = self.deployment.helpdesks.get(connection)
        if found is None:
            raise NotConnected(connection)
        return found

    def ticket(
        self, connection: str, number: str, *, revision: str | None = None, since: datetime | None = None
    ) -> Ticket:
        """Read a ticket, or take what this very run read a moment ago, and not before `since`. Raises HelpdeskError."""
        known = self._tickets.get((connection, number))
        fresh = known is not None and self.now - known.read_at < TICKET_FRESHNESS
        if known and fresh and revision is None and (since is None or known.read_at >= since):
            return known
        read = self.helpdesk(connection).ticket(number, revision=revision, now=self.now)
        self._tickets[(connection, number)] = read
        return read


Step = Callable[[Run, Due], Iterable[Due]]
MOST_STEPS = 100  # a run that goes on for longer is a mistake of ours; its rows stay due


def go(run: Run, first: Due, steps: dict[What, Step]) -> None:
    """Do `first` and what follows from it. Comments come last: a slow helpdesk must not hold up Entra."""
    run.goes_on = True
    urgent, comments = deque([first]), deque[Due]()
    for _ in range(MOST_STEPS):
        if not urgent and not comments:
            return
        due = (urgent or comments).popleft()
        for following in steps[due.what](run, due):
            (comments if following.what is What.COMMENT else urgent).append(following)
