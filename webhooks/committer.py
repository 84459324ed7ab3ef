"""Deliveries that arrive together are committed together: one transaction, and one fsync, for all that wait.

There is no thread of its own. Whoever is first in line commits for everybody who waits by then, wakes them, and whoever
came in the meantime is first in line. Nothing is answered before the commit that holds it.
"""

import logging
import threading
from collections import deque
from datetime import datetime

import sqlalchemy as sa

from integration.records import deliveries
from integration.records.deliveries import Row
from integration.records.store import Records
from integration.tickets import TicketEvent

log = logging.getLogger(__name__)
# Seconds at most that the first in line waits until as many stand there as the last commit was for: they are just being
# read. Who comes alone again and again is not kept waiting.
LINGER = 0.005


class _Waiting:
    def __init__(self, row: Row) -> None:
        self.row = row
        self.taken = False  # somebody tried to commit it
        self.kept: bool | None = None  # how that came out; None: it failed with its neighbours, and is tried alone
        self.failed: Exception | None = None  # or what its own bringer is told
        self.woken = threading.Lock()  # let go when it was taken, or is first in line
        self.woken.acquire()


class Committer:
    """One per web process; its threads share it."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._waiting: deque[_Waiting] = deque()  # those that are being committed stay in it until they are
        self._changing = threading.Condition(threading.Lock())  # told when enough stand in line
        self._together = 1  # how many the last commit was for

    def keep(self, connection: str, event: TicketEvent, *, now: datetime, waits: bool = False) -> bool:
        """Commit a delivery: True when it is new, False when it was kept before. Raises what the database raises."""
        mine = _Waiting(deliveries.row(connection, event, now=now, waits=waits))
        with self._changing:
            self._waiting.append(mine)
            first = self._waiting[0] is mine
            if self._enough():
                self._changing.notify()
        if not first:
            mine.woken.acquire()
        if not mine.taken:
            self._commit_line(mine)
        if mine.failed is not None:
            raise mine.failed
        if mine.kept is not None:
            return mine.kept
        # A neighbour may have been what the database refuses; then it is refused alone, and this one is kept.
        with self._records.write_apart() as tx:
            return bool(deliveries.store_all(tx, [mine.row]))

    def _commit_line(self, mine: _Waiting) -> None:
        batch: list[_Waiting] = []
        try:
            with self._changing:
                self._changing.wait_for(self._enough, LINGER)
            with self._records.write_apart() as tx:
                # Only now, with the database's own lock in hand: the longer that took, the more go along.
                batch = self._line()
                self._together = len(batch)
                kept = deliveries.store_all(tx, [it.row for it in batch])
            for it in batch:
                it.kept = it.row["id"] in kept
        except Exception as error:  # noqa: BLE001 - whatever refuses one of them; whoever brought that one is told
            # A connection that was cut is not the database's end: the next one may stand.
            if len(batch) > 1 or (batch and isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated):
                log.warning("deliveries_tried_alone", extra={"count": len(batch)})
            else:
                # It was alone; or the database is away, and one after another each would wait as long for it.
                batch = batch or self._line()
                for it in batch:
                    it.failed = error
        finally:
            with self._changing:
                for it in batch or [mine]:
                    self._waiting.popleft()
                    it.taken = True
                following = self._waiting[0] if self._waiting else None
            for it in batch[1:]:
                it.woken.release()
            if following is not None:
                following.woken.release()

    def _enough(self) -> bool:
        return len(self._waiting) >= self._together

    def _line(self) -> list[_Waiting]:
        with self._changing:
            return list(self._waiting)
