"""Tells the workers that deliveries are due, after the answer and never in its way: a Redis that is slow or away costs
the caller nothing. Deliveries that arrive together share the messages; the sweep finds what was not told.
"""

import threading
from collections.abc import Callable

PAUSE = 0.005  # seconds until the next message for each delivery that shared the last one
LONGEST_PAUSE = 0.2  # reached in a flood alone, when every worker is at it already


class Bell:
    """One per web process. Its thread starts with the first ring, that is after any fork, and dies with the process."""

    def __init__(self, publish: Callable[[], None]) -> None:
        self._publish = publish
        self._changed = threading.Condition()
        self._rings = 0
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """One delivery is due. Returns at once."""
        with self._changed:
            self._rings += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                self._thread.start()
            elif self._rings == 1:
                self._changed.notify()

    def _run(self) -> None:
        quiet = threading.Event()
        while True:
            with self._changed:
                while not self._rings:
                    self._changed.wait()
                shared, self._rings = self._rings, 0
            # One message: it keeps a worker at it while anything is due, and the next one sets the next worker to work.
            self._publish()
            quiet.wait(min(PAUSE * shared, LONGEST_PAUSE))
