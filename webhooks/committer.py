"""Deliveries that arrive together are committed together: one transaction, and one fsync, for all that wait.

There is no thread of its own. Whoever gets the turn first commits for everybody who waits by then, and the others find
their answer there when their turn comes. Nothing is answered before the commit that holds it.
"""

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from integration.records import deliveries
from integration.records.deliveries import Row
from integration.records.store import Records
from integration.tickets import TicketEvent

log = logging.getLogger(__name__)


@dataclass
class _Waiting:
    row: Row
    taken: bool = False  # somebody tried to commit it
    kept: bool | None = None  # how that came out; None: it failed with its neighbours, and is tried again alone


class Committer:
    """One per web process; its threads share it."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._waiting: deque[_Waiting] = deque()
        self._turn = threading.Lock()

    def keep(self, connection: str, event: TicketEvent, *, now: datetime) -> bool:
        """Commit a delivery: True when it is new, False when it was kept before. Raises what the database raises."""
        mine = _Waiting(deliveries.row(connection, event, now=now))
        self._waiting.append(mine)
        with self._turn:
            if not mine.taken:
                self._commit_waiting(mine)
        if mine.kept is not None:
            return mine.kept
        # A neighbour may have been what the database refuses; then it is refused alone, and this one is kept.
        with self._records.write() as tx:
            return bool(deliveries.store_all(tx, [mine.row]))

    def _commit_waiting(self, mine: _Waiting) -> None:
        batch: list[_Waiting] = []
        try:
            with self._records.write() as tx:
                # Only now, with the database's own lock in hand: the longer that took, the more go along.
                batch = self._take()
                kept = deliveries.store_all(tx, [it.row for it in batch])
        except (sa.exc.SQLAlchemyError, OSError, UnicodeError):
            if len(batch) > 1:
                log.warning("deliveries_tried_alone", extra={"count": len(batch)})
                return
            raise
        finally:
            if not mine.taken:
                self._waiting.remove(mine)  # the database did not even begin; the next one tries for itself
        for it in batch:
            it.kept = it.row["id"] in kept

    def _take(self) -> list[_Waiting]:
        batch = []
        while self._waiting:
            it = self._waiting.popleft()
            it.taken = True
            batch.append(it)
        return batch
