"""What the feed of a TeamDynamix ticket tells of its responsibility.

Wire facts: "TeamDynamix Web API": TeamDynamix.Api.Feed.ItemUpdate, UpdateType and FeedItemType. An entry names its
author by id, and what happened in prose alone. So it is believed as little as possible: that somebody took a ticket is
only believed of an entry of their own whose first line says so in the words that TeamDynamix itself uses.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integration.helpdesks.values import exact, moment
from integration.tickets import clean

TICKET = "9"  # of FeedItemType; a ticket's tasks have owners of their own
COMMENT, STATUS_CHANGE, EDIT = "1", "2", "3"  # of UpdateType
# Types in which nobody's responsibility changes: in and out of "My Work", and comments that were moved here.
_ASIDE = frozenset({"5", "7"})
_ABOUT = re.compile(r"responsib|assign", re.IGNORECASE)
_BY_ITSELF = re.compile(r"\b(via|rules?|workflows?|automat\w*)\b", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>|\r?\n", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_LONGEST = 4000  # characters of a body that are looked at: what TeamDynamix says stands before what people say
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Words:
    """How TeamDynamix begins the two sentences that tell of a new responsibility."""

    taken: str
    reassigned: str


@dataclass(frozen=True)
class Assignment:
    """The newest entry that tells of the responsibility."""

    change: str
    at: datetime | None
    author: Any
    says_taken: bool  # it says, in words that leave no doubt, that its author took the ticket


def newest_first(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The order of the answer is documented nowhere. An entry without a time that we can read comes first."""
    return sorted(entries, key=_order, reverse=True)


def newest_assignment(entries: Sequence[Mapping[str, Any]], name: str, words: Words) -> Assignment | None:
    """Who last changed whose ticket it is, `name` being the one who has it now. None where no entry tells."""
    for entry in newest_first(entries):
        kind = exact(entry.get("UpdateType"))
        if exact(entry.get("ItemType")) not in (None, TICKET) or kind in _ASIDE:
            continue
        lines = _lines(entry.get("Body"))
        if kind == COMMENT:
            # People may write what they like. But what looks like TeamDynamix's own sentence makes all else doubtful.
            concerns = bool(lines) and lines[0].startswith((words.taken, words.reassigned))
        else:
            concerns = any(_ABOUT.search(line) or line.startswith((words.taken, words.reassigned)) for line in lines)
        if concerns:
            fits = kind in (STATUS_CHANGE, EDIT) and _fits(lines[0], name, words)
            change = exact(entry.get("ID")) or "unnamed"
            return Assignment(change, moment(entry.get("CreatedDate")), entry.get("CreatedUid"), fits)
    return None


def _fits(line: str, name: str, words: Words) -> bool:
    if _BY_ITSELF.search(line):
        return False  # 'via rule "..."': an automation, under whomever it stands
    if line.startswith(f"{words.taken} "):
        return " from " in line
    return bool(name) and line.startswith(f"{words.reassigned} ") and line.removesuffix(".").endswith(f" to {name}")


def _lines(body: Any) -> list[str]:
    text = body[:_LONGEST] if isinstance(body, str) else ""
    told = (clean(html.unescape(_TAG.sub("", line)), limit=500) for line in _BREAK.split(text))
    return [line for line in told if line]


def _order(entry: Mapping[str, Any]) -> tuple[datetime, int]:
    number = exact(entry.get("ID")) or ""
    return moment(entry.get("CreatedDate")) or _LATEST, int(number) if re.fullmatch(r"[0-9]{1,18}", number) else 0
