"""Every sentence that is sent beyond the ticket: to a chat, or by e-mail. Pure.

A notice is made of our own words, numbers, links and the tenant's display name of a role. What people typed into a
ticket is not in it; the reason of a break glass is, as plain words in which no channel finds a link or a mention.
"""

from enum import StrEnum

from integration.elevation import Elevation
from integration.tickets import clean

TITLE_LIMIT = 100
REASON_LIMIT = 300
# Of what others wrote, this stands beside letters, digits and spaces. The rest is markup to one channel or another:
# mentions, links, HTML and Markdown.
_HARMLESS = frozenset(".,;:!?'()=%/-")


class NoticeKind(StrEnum):
    APPROVAL = "approval"
    STEP_UP = "step_up"
    BREAK_GLASS = "break_glass"


def plain(text: str, *, limit: int) -> str:
    """`text` as one line that is no markup, link or mention in a chat or a mail program."""
    seen = "".join(c if c.isalnum() or c in _HARMLESS else " " for c in clean(text, limit=limit))
    # `https://a.example` and `a.example` alone are made links by many a reader; apart they are words.
    for mark in (":", "/", "."):
        seen = seen.replace(mark, f"{mark} ")
    return " ".join(seen.split())[:limit].strip()


def title(kind: NoticeKind, elevation: Elevation) -> str:
    """At most TITLE_LIMIT characters."""
    name = _role(elevation)
    words = {
        NoticeKind.APPROVAL: f"Approval needed: {name}",
        NoticeKind.STEP_UP: f"Sign-in needed: {name}",
        NoticeKind.BREAK_GLASS: f"Break glass: {name}",
    }
    return words[kind][:TITLE_LIMIT].strip()


def text(kind: NoticeKind, elevation: Elevation, *, ticket_url: str | None, link: str, approvals: str) -> str:
    """`link`: the page of the elevation; `approvals`: the page of everything that waits for an approver."""
    of = _of(elevation, ticket_url)
    name = _role(elevation)
    if kind is NoticeKind.APPROVAL:
        return (
            f"{name} was asked for {of} and waits for an approver, who has 24 hours. It is decided at {approvals}\n\n"
            f"The elevation: {link}"
        )
    if kind is NoticeKind.STEP_UP:
        return (
            f"{name} was asked for {of}. Before it is given, the tenant wants the technician to sign in once more, and "
            f"more strongly: {link}"
        )
    reason = plain(elevation.reason or "", limit=REASON_LIMIT) or "none was given"
    return f"{name} was asked for as a break glass, {of}. Reason: {reason}\n\nThe elevation, and its review: {link}"


def _role(elevation: Elevation) -> str:
    return plain(elevation.target_name or "", limit=80) or "A role"


def _of(elevation: Elevation, ticket_url: str | None) -> str:
    number = plain(elevation.ticket, limit=64)
    if elevation.emergency or not number:
        return "without a ticket"
    return f"ticket {number} ({ticket_url})" if ticket_url else f"ticket {number}"
