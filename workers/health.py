"""Whether worker and beat do their work, for health checks: `python -m workers.health worker` (or beat).

Celery's remote control is off, so nobody can ask a worker. Each leaves a file when it did what it is there for: beat
when the queue took its sweep, a worker when it did one. One touch of a file a second, no write for a task.
"""

import contextlib
import os
import socket
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from integration import settings
from integration.settings import SettingsInvalid

WORKER, BEAT = "worker", "beat"
# Sweeps go to any one of the workers: among twenty of them it may take a while until each had one.
PATIENCE = {WORKER: 120.0, BEAT: 30.0}
NOTE_EVERY = timedelta(seconds=10)
_noted: datetime | None = None


def mark(data_dir: Path, what: str) -> None:
    """Leave the file that `fault` looks at. A directory that cannot be written shows as ill, and hinders no work."""
    path = _path(data_dir, what)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def should_note(now: datetime) -> bool:
    """Whether this process should write down in the database that it swept, for /metrics: every few seconds."""
    global _noted
    if _noted is not None and timedelta(0) <= now - _noted < NOTE_EVERY:
        return False
    _noted = now
    return True


def fault(data_dir: Path, what: str) -> str | None:
    """What is wrong with the worker or beat of this machine (or container), in a sentence; None: nothing."""
    try:
        age = time.time() - os.stat(_path(data_dir, what)).st_mtime
    except OSError:
        age = float("inf")
    if age <= PATIENCE[what]:
        return None
    did = "did a sweep" if what == WORKER else "could queue a sweep"
    return f"No {what} here {did} within {PATIENCE[what]:.0f} s. Are worker, beat and Redis running?"


def _path(data_dir: Path, what: str) -> Path:
    # Containers may share data_dir, and each has a name of its own.
    return data_dir / "health" / f"{what}-{socket.gethostname()}"


def main(arguments: list[str]) -> int:
    if arguments not in ([WORKER], [BEAT]):
        sys.stderr.write("Say worker or beat.\n")
        return 2
    try:
        said = fault(settings.load().data_dir, arguments[0])
    except SettingsInvalid as error:
        said = str(error)
    sys.stdout.write(f"{said or 'ok'}\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
