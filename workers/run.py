"""One run of work: a row that is due, taken one step further, then whatever that step made due at once.

A step claims its row, works outside any transaction, commits state, journal entry and comments together, and returns
what may go on immediately. What it does not return is found by the sweep when its time comes.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from integration.deployment import Deployment
from integration.elevation import TICKET_FRESHNESS
from integration.tickets import Ticket


class What(StrEnum):
    DELIVERY = "delivery"
    ELEVATION = "elevation"
    ACTIVATION = "activation"
    COMMENT = "comment"


@dataclass(frozen=True)
class Due:
    what: What
    id: str


@dataclass
class Run:
    deployment: Deployment
    cause: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _tickets: dict[tuple[str, str], Ticket] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return self.clock()

    def ticket(self, connection: str, number: str, *, revision: str | None = None) -> Ticket:
        """Read a ticket, or take what this very run read a moment ago. Raises HelpdeskError."""
        known = self._tickets.get((connection, number))
        if known and revision is None and self.now - known.read_at < TICKET_FRESHNESS:
            return known
        read = self.deployment.helpdesks[connection].ticket(number, revision=revision, now=self.now)
        self._tickets[(connection, number)] = read
        return read


Step = Callable[[Run, str], Iterable[Due]]
MOST_STEPS = 100  # a run that goes on for longer is a mistake of ours; its rows stay due


def go(run: Run, first: Due, steps: dict[What, Step]) -> None:
    """Do `first` and what follows from it. Comments come last: a slow helpdesk must not hold up Entra."""
    urgent, comments = deque([first]), deque[Due]()
    for _ in range(MOST_STEPS):
        if not urgent and not comments:
            return
        due = (urgent or comments).popleft()
        for following in steps[due.what](run, due.id):
            (comments if following.what is What.COMMENT else urgent).append(following)
