"""The log of our processes: one line of JSON for each event, made of an allow-list, so that nothing leaks by itself."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import IO

OURS = ("webhooks", "workers", "integration", "cli")
# Ids, codes and names of our own. No text of a helpdesk, a tenant or a browser is among them.
FIELDS = (
    "correlation_id",
    "method",
    "rule",
    "status",
    "seconds",
    "due",
    "connection",
    "secret",
    "elevation",
    "activation",
    "delivery",
    "kind",
    "place",
    "row_version",
    "count",
    "reason",
    "code",
    "raised",
)


class JsonLines(logging.Formatter):
    """Text is escaped to ASCII: a line break or a terminal's escape code in it cannot make a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            # A library's message may hold what it was working on (an address, a header): the place has to do.
            "event": str(record.msg) if record.name.startswith(OURS) else f"{record.module}:{record.lineno}",
        }
        line.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _where(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True, default=str)


def _where(error: BaseException) -> list[str]:
    """The kinds of an error and its causes, and the lines they went through; never their text or anybody's values."""
    found: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < 5:
        frames = traceback.extract_tb(cause.__traceback__)[-8:]
        steps = " > ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames)
        found.append(f"{type(cause).__name__} at {steps}")
        cause = cause.__cause__ or cause.__context__
    return found


def install(level: str, out: IO[str] | None = None) -> logging.Handler:
    """Log to `out` (standard error) as JSON lines; in place of what logged before. Level: a name of `logging`."""
    handler = logging.StreamHandler(out or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    return handler
