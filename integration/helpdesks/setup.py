"""How a connection is made: what is asked, what the API of the helpdesk creates for us, and what is left by hand.

An adapter whose helpdesk can do some of it says so with `Connects`. For any other kind `ByHand` is enough: its settings
say what must be asked, and everything at the helpdesk is done by hand.
"""

import base64
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable
from urllib.parse import urlsplit

from integration.helpdesks.http import AnswerUnusable
from integration.tickets import Finding, Helpdesk, HelpdeskError, HelpdeskRefused, HelpdeskUnavailable, clean

OURS = "Ticket Elevate"  # what everything that we create is called, with the connection's name behind it


@dataclass(frozen=True)
class Place:
    """Where we are, for the helpdesk to call and its people to open."""

    connection: str
    public_url: str

    @property
    def webhook(self) -> str:
        return f"{self.public_url}/webhooks/{self.connection}"

    def page(self, ticket: str) -> str:
        """`ticket`: what the helpdesk puts the number in place of."""
        return f"{self.public_url}/elevate/{self.connection}/{ticket}"

    @property
    def name(self) -> str:
        return f"{OURS} ({self.connection})"

    def left_elsewhere(self, addresses: Iterable[object]) -> list[Finding]:
        """Of the `addresses` that webhooks call: which are ours by another name, or from where we were once."""
        others = [str(it) for it in addresses if it != self.webhook and self.is_called_by(it)]
        advice = "delete it if we are not there any more"
        return [Finding(f"another webhook calls {clean(it, limit=200)}: {advice}", True) for it in others]

    def is_called_by(self, address: object) -> bool:
        """Whether `address` is our webhook's, perhaps by another name of our host."""
        try:
            return urlsplit(str(address)).path.endswith(f"/webhooks/{self.connection}")
        except ValueError:
            return False


@dataclass(frozen=True)
class Once:
    """Something that is asked for and used once, and kept nowhere. Without an answer that part is left by hand."""

    name: str
    words: str
    secret: bool = False
    after: str = ""  # another one, without whose answer this one is of no use


@dataclass(frozen=True)
class Undo:
    """What takes away again something that was just created, or may have been.

    `call` says whether there was something to take away, and raises HelpdeskError where it cannot.
    """

    what: str
    call: Callable[[], bool]


@contextmanager
def creating(
    what: str, *, found: Callable[[], Iterable[str]], delete: Callable[[str], object], undo: list[Undo]
) -> Iterator[None]:
    """Around the call that creates `what`: puts into `undo` how it is taken away, also where the answer never came.

    `found`: the ids of all that is there and looks like it, of which there was nothing before.
    """

    def take_away() -> bool:
        there = list(found())
        for number in there:
            delete(number)
        return bool(there)

    it = Undo(what, take_away)
    undo.append(it)
    try:
        yield
    except AnswerUnusable:
        raise  # there was an answer, so there may be more
    except HelpdeskRefused:
        undo.remove(it)
        raise


@dataclass(frozen=True)
class Kept:
    """The secrets of the helpdesk's calls that will be in the settings whatever is created."""

    newest: str | None = None
    # There were some in the settings, and all of them stay. Whatever signs with one of them will then be believed.
    whole: bool = False


@dataclass(frozen=True)
class Made:
    """What came of creating. `secret`: what the helpdesk signs its calls with from now on."""

    secret: str
    findings: tuple[Finding, ...]


class ByHand:
    """A helpdesk whose API creates nothing for us. Other kinds begin with this and say what is different."""

    # Settings to ask for beside those that are needed in any case.
    asks: ClassVar[tuple[str, ...]] = ()
    once: ClassVar[tuple[Once, ...]] = ()
    # What stands for a setting that the helpdesk itself tells (`found`), until it did.
    stand_ins: ClassVar[Mapping[str, str]] = {}
    # False: the helpdesk makes the secret of its calls, and it cannot be told one.
    takes_our_secret: ClassVar[bool] = True

    @classmethod
    def is_asked(cls, name: str, given: Mapping[str, Any]) -> bool:  # noqa: ARG003
        """Whether the setting among `asks` matters, after what was `given` so far."""
        return True

    @staticmethod
    def new_secret() -> str:
        """A secret for the helpdesk's calls, where we may choose it."""
        return secrets.token_hex(32)

    def found(self) -> Mapping[str, str]:
        """The settings among `stand_ins`, as the helpdesk tells them. Raises HelpdeskError."""
        return {}

    def is_left(self, found: Finding) -> bool:  # noqa: ARG002
        """Whether what `check` found wrong can wait: what is left by hand mends it, or it only makes us do less."""
        return False

    def creates(self, once: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG002
        """What `make` would create, unless it is there: nothing without the right answers among `once`."""
        return ()

    def make(self, place: Place, kept: Kept, once: Mapping[str, str], undo: list[Undo]) -> Made:
        """Create what is not there yet, and put into `undo` how it is taken away again. Raises HelpdeskError."""
        raise NotImplementedError

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:
        """What is left to be done at the helpdesk, in sentences.

        `secret`: the file that holds the secret of its calls. `made`: what `creates` names is there.
        """
        return (
            *(() if made else (_webhook(place, secret),)),
            f"Where the helpdesk can show a link on each ticket, let it be {place.page('NUMBER')}.",
        )

    def standing(self, place: Place) -> Sequence[Finding]:  # noqa: ARG002
        """For `doctor`: whether what calls us is still there, as far as our account may see that."""
        return ()

    def take_back(self, number: str, marker: str) -> bool:  # noqa: ARG002
        """Delete our note that holds `marker`, where the helpdesk lets us. Raises HelpdeskError."""
        return False


def _webhook(place: Place, secret: Path | None) -> str:
    return (
        f"Make a webhook that POSTs JSON to {place.webhook} on every change of a ticket's assignee and status. Its "
        f"secret is what {secret} holds."
    )


@runtime_checkable
class Connects(Protocol):
    """A helpdesk that helps to connect it. Not every one does: ask with isinstance.

    The adapter's class names the class of its setup as `Setup`, for what must be known before there is a connection.
    """

    def setup(self) -> ByHand: ...


def standard_secret() -> str:
    """A secret of Standard Webhooks: `whsec_` and the base64 of 32 bytes."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def of_class(adapter: Any) -> type[ByHand]:
    found = getattr(adapter, "Setup", ByHand)
    return found if isinstance(found, type) and issubclass(found, ByHand) else ByHand


def of(helpdesk: Helpdesk) -> ByHand:
    return helpdesk.setup() if isinstance(helpdesk, Connects) else ByHand()


def in_words(error: HelpdeskError, fix: str = "") -> str:
    """For somebody who waits for a command: nothing of it is tried again by itself."""
    if isinstance(error, HelpdeskUnavailable):
        return "The helpdesk is not answering. Run this again when it does."
    return f"{error} {fix}".rstrip()


def try_ticket(helpdesk: Helpdesk, number: str, *, now: datetime) -> Iterator[Finding]:
    """Try each right that an elevation needs on one ticket: read it with its history, write a note, find it again.

    The note says that it was a trial, and is deleted where the helpdesk lets us.
    """
    read = f"ticket {number} can be read, with its history"
    try:
        helpdesk.ticket(number, now=now)
    except HelpdeskError as error:
        yield Finding(read, False, in_words(error, "Let our account read that ticket and its history."))
        return
    yield Finding(read, True)
    marker = f"[te:trial-{secrets.token_hex(6)}:connect]"
    text = f"{OURS} tried whether it may write internal notes here. Nothing was started by it.\n\n{marker}"
    wrote = f"an internal note can be written on ticket {number}"
    try:
        helpdesk.write_note(number, text)
    except HelpdeskError as error:
        yield Finding(
            wrote, False, in_words(error, "Let our account write internal notes; it needs no other right to write.")
        )
        return
    yield Finding(wrote, True)
    yield from _found_again(helpdesk, number, marker)


def _found_again(helpdesk: Helpdesk, number: str, marker: str) -> Iterator[Finding]:
    again = "that note is found again"
    try:
        seen = helpdesk.has_note(number, marker)
        yield Finding(again, seen, "" if seen else "Let our account read its own notes, or it writes them twice.")
    except HelpdeskError as error:
        yield Finding(again, False, in_words(error))
    try:
        gone = of(helpdesk).take_back(number, marker)
    except HelpdeskError:
        gone = False
    yield Finding(
        "the note is deleted again" if gone else "the note stays, and says in words that it was a trial", True
    )
