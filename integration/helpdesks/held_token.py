"""A token that a helpdesk gives for a while: kept in this process alone, and asked for again before it ends."""

import threading
import time
from abc import ABC, abstractmethod


class HeldToken(ABC):
    """Satisfies integration.helpdesks.http.Credentials."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[str, float] | None = None

    @abstractmethod
    def asked(self) -> tuple[str, float]:
        """The Authorization header with a new token, and for how many seconds it is used. Raises HelpdeskError."""

    def authorization(self) -> str:
        with self._lock:
            if self._held is None or self._held[1] < time.monotonic():
                header, seconds = self.asked()
                self._held = (header, time.monotonic() + seconds)
            return self._held[0]

    def refused(self, authorization: str) -> None:
        with self._lock:
            if self._held is not None and self._held[0] == authorization:
                self._held = None
