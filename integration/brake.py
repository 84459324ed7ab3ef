"""The tenant or a helpdesk asked to wait: everybody does, in all processes, and one tries first.

Each technician's calls are few, but the other side counts all of ours together. Without this, a hundred workers would
each learn for themselves that it is busy, and keep it so.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

OF_HELPDESK = "helpdesk:"  # how the names of helpdesks' brakes begin; the tenant's have none
PROBE = timedelta(seconds=45)  # longer than a call takes: then another one may try
UNSAID = 10.0  # seconds to wait where nobody named any
LONGEST_SILENCE = 20.0  # seconds
_CLEAR = timedelta(seconds=1)  # how long a process trusts that there is no brake
_random = random.SystemRandom()


@dataclass(frozen=True)
class Held:
    """A brake that is on. Nobody calls before `until`; afterwards only who holds the probe, until `probe_until`."""

    until: datetime
    probe_until: datetime | None


class BrakeStore(Protocol):
    """Brakes by name, shared by all processes. Each method is one short transaction of its own."""

    def read(self, name: str) -> Held | None: ...

    def hold(self, name: str, until: datetime) -> None:
        """Put the brake on, or keep it on, until the later of `until` and what it has; nobody probes any more."""
        ...

    def probe(self, name: str, *, now: datetime, until: datetime) -> bool:
        """True if the probe is now the caller's until `until`; False if another has it or the brake was changed."""
        ...

    def lift(self, name: str, *, until: datetime) -> None:
        """Take the brake off, if it is still the one that ends at `until`."""
        ...


class Brake:
    """Stands before every call to one side, which may be out of reach or just say no.

    `unavailable` errors have `throttled` (we were asked to wait) and `after` (for how many seconds; None where nobody
    said); `answered` is the family of all others. `busy` makes the error of whoever is not let through, from seconds.
    `silence`: seconds after which a call without an answer holds the others for as long as it took itself, so that
    one side that is away does not take all the workers from the others; None: it holds nobody. Without a store there is
    no brake.
    """

    def __init__(
        self,
        store: BrakeStore | None,
        *,
        unavailable: type[Exception],
        answered: type[Exception],
        busy: Callable[[float], Exception],
        silence: float | None = None,
    ) -> None:
        self._store = store
        self._silence = silence
        self._unavailable, self._answered, self._busy = unavailable, answered, busy
        self._clear: dict[str, datetime] = {}

    @contextmanager
    def passing(self, name: str, now: datetime, *, urgent: bool = False) -> Iterator[None]:
        """Around a call: lets it through, or raises what `busy` makes without one; learns from how it ends.

        `urgent`: it goes as soon as the time that was named is over, probe or none (giving back).
        """
        if self._store is None:
            yield
            return
        held = self._admit(self._store, name, now, urgent=urgent)
        started = time.monotonic()
        try:
            yield
        except self._unavailable as error:
            passed = time.monotonic() - started
            wait = self._wait(error, passed)
            if wait is not None:
                self._clear.pop(name, None)
                self._store.hold(name, now + timedelta(seconds=passed + wait))
            elif held is not None:
                self._store.hold(name, held.until)  # it told nothing: the next one may try
            raise
        except self._answered:  # it answered, though it said no
            self._lift(self._store, name, held)
            raise
        self._lift(self._store, name, held)

    def _admit(self, store: BrakeStore, name: str, now: datetime, *, urgent: bool) -> Held | None:
        clear = self._clear.get(name)
        if clear is not None and timedelta() <= now - clear < _CLEAR:
            return None
        held = store.read(name)
        if held is None:
            self._clear[name] = now
            return None
        left = (held.until - now).total_seconds()
        if left > 0:
            raise self._busy(left + _random.uniform(0.1, 1 + min(left / 4, 30)))
        if not urgent and not store.probe(name, now=now, until=now + PROBE):
            raise self._busy(_random.uniform(2, 6))
        return held

    def _wait(self, error: Exception, passed: float) -> float | None:
        """For how many seconds everybody waits because of this failure; None where nobody does."""
        if getattr(error, "throttled", False):
            return getattr(error, "after", None) or UNSAID
        return min(passed, LONGEST_SILENCE) if self._silence is not None and passed > self._silence else None

    def _lift(self, store: BrakeStore, name: str, held: Held | None) -> None:
        if held is not None:
            store.lift(name, until=held.until)
