"""Whether a ticket is what its rule requires, and what to do where it is not. Pure.

It is looked at as the ticket was at `read_at`. Like every analysis, what is found names no field's value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from integration.rule import Require, Sla, folded, in_words
from integration.rules_fit import Condition, either
from integration.tickets import Ticket


@dataclass(frozen=True)
class Requirement:
    """One thing that a rule requires. `step` says what to do where it is not met."""

    condition: Condition
    step: str


def look(require: Require, ticket: Ticket) -> tuple[Requirement, ...]:
    """Everything that is required of `ticket`, and how each came out."""
    fields = {folded(name): value for name, value in ticket.fields.items()}
    return (*_status(require, ticket), *_filled(require, fields), *_values(require, fields), *_sla(require, ticket))


def moment(text: str) -> datetime | None:
    """A time as helpdesks write it. Without an offset it counts as UTC; a day alone ends when the day is over, in UTC.

    None where it is no time.
    """
    try:
        return datetime.combine(date.fromisoformat(text.strip()) + timedelta(days=1), time(), UTC)
    except (ValueError, OverflowError):
        pass  # not a day alone
    try:
        told = datetime.fromisoformat(text.strip())
        return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _status(require: Require, ticket: Ticket) -> Iterator[Requirement]:
    if require.status:
        words = " or ".join(status.words for status in require.status)
        condition = Condition(
            f"The ticket is {words}", ticket.status in require.status, f"It is {ticket.status.words}."
        )
        yield Requirement(condition, f"Set its status to {words}.")


def _filled(require: Require, fields: Mapping[str, str]) -> Iterator[Requirement]:
    for name in require.filled:
        met = bool(folded(fields.get(folded(name), "")))
        detail = "Something stands there." if met else "It is empty, or the ticket has no such field."
        yield Requirement(Condition(f'The field "{name}" is filled in', met, detail), f'Fill in the field "{name}".')


def _values(require: Require, fields: Mapping[str, str]) -> Iterator[Requirement]:
    for name, wanted in require.field:
        found = folded(fields.get(folded(name), ""))
        met = found in {folded(value) for value in wanted}
        detail = "The ticket says so." if met else "The ticket says something else." if found else "It is empty."
        condition = Condition(f'The field "{name}" is {either(wanted)}', met, detail)
        yield Requirement(condition, f'Set the field "{name}" to {either(wanted)}.')


def _sla(require: Require, ticket: Ticket) -> Iterator[Requirement]:
    if require.sla is not None:
        named = {folded(name): value for name, value in ticket.fields.items()}
        yield _in_time(require.sla, moment(named.get(folded(require.sla.field), "")), ticket.read_at)


def _in_time(sla: Sla, due: datetime | None, now: datetime) -> Requirement:
    allowed = f", or was over no longer than {in_words(sla.overdue)} ago" if sla.overdue else ""
    what = f'The time in the field "{sla.field}" lies ahead{allowed}'
    if due is None:
        detail = "It is empty, or holds no time."
        return Requirement(Condition(what, False, detail), f'Fill in the field "{sla.field}" with the time it is due.')
    late = now - due
    ago = f"It was over {in_words(timedelta(minutes=late // timedelta(minutes=1)))} ago."
    detail = ago if late > timedelta() else "It lies ahead."
    step = f'The time in the field "{sla.field}" is over: whoever plans this ticket must move it.'
    return Requirement(Condition(what, late <= sla.overdue, detail), step)
