"""The practice clock: real time plus an offset that the control API moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        """Practice time, aware UTC."""
        return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)

    def reset(self) -> None:
        self._offset = timedelta()


def real_now() -> datetime:
    """Unmoved time: clients judge tokens and signatures by their own clock, so those are stamped with it."""
    return datetime.now(UTC)


def seven_digits(moment: datetime) -> str:
    """Graph writes seven fractional digits; the last one is always 1 here so that nobody can parse it by luck."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "1Z"


def plain(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """An ISO 8601 moment with any number of fractional digits, as aware UTC. ValueError if it is not one."""
    head, dot, tail = text.strip().replace("Z", "+00:00").partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        head = f"{head}.{digits[:6].ljust(6, '0')}{tail[len(digits) :]}"
    moment = datetime.fromisoformat(head)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
