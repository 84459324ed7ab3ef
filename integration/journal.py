"""The journal: entries in one hash chain, private values as salted commitments, signed checkpoints. Pure.

An entry is canonical JSON (RFC 8785). Its hash covers the hash before it, so that one head that somebody else has kept
(`witness`, printed on every ticket comment; or a checkpoint) proves everything up to it. What names a person is not in
the entry: only a commitment is; the value with its salt is a row beside it that can be erased while the chain holds.
`integration/verify.py` checks all of it and shares no code with this file, so that both cannot be wrong together.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Fact = str | int | bool | None

_ENTRY = b"ticket-elevate/journal/entry/v1\x00"
_GENESIS = b"ticket-elevate/journal/genesis/v1\x00"
_PRIVATE = b"ticket-elevate/journal/private/v1\x00"
_CHECKPOINT = "ticket-elevate/journal/checkpoint/v1"
_LARGEST = 2**53 - 1  # beyond it JSON readers disagree about a number
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_LOG = re.compile(r"te-[0-9a-f]{16}")
_HASH = re.compile(r"[0-9a-f]{64}")
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_CAUSE = re.compile(r"delivery:[!-~]{1,128}|click|sweep|tenant|admin|cli")
# A mail program may break the line, so any white space stands between the groups.
_WITNESS = re.compile(r"\bJournal\s+([1-9][0-9]{0,15})" + r"\s+([0-9a-f]{8})" * 4 + r"\b")
NO_CHECKPOINT = "0" * 64


class Kind(StrEnum):
    """Everything that can be recorded. A closed list: docs/journal.md explains each, the verifier refuses any other."""

    PICK_PLANNED = "pick.planned"
    PICK_OFFERED = "pick.offered"
    PICK_REFUSED = "pick.refused"
    PICK_WATCHED = "pick.watched"
    PICK_LONGER = "pick.longer"
    BREAKGLASS_STARTED = "breakglass.started"
    BREAKGLASS_TICKET = "breakglass.ticket"
    BREAKGLASS_REVIEWED = "breakglass.reviewed"
    APPROVAL_ASKED = "approval.asked"
    APPROVAL_INTENDED = "approval.intended"
    APPROVAL_DECIDED = "approval.decided"
    ACTIVATION_USABLE = "activation.usable"
    ACTIVATION_WITHDRAWN = "activation.withdrawn"
    SESSIONS_REVOKED = "sessions.revoked"
    SIGNIN_LOST = "signin.lost"
    SIGNIN_PURGED = "signin.purged"
    NOTICE_REFUSED = "notice.refused"
    SIGNIN_NEEDED = "signin.needed"
    SIGNIN_DONE = "signin.done"
    LINK_MADE = "link.made"
    LINK_SUSPENDED = "link.suspended"
    LINK_ENDED = "link.ended"
    ACTIVATION_INTENDED = "activation.intended"
    ACTIVATION_JOINED = "activation.joined"
    ACTIVATION_ASKED = "activation.asked"
    ACTIVATION_SEEN = "activation.seen"
    ACTIVATION_FAILED = "activation.failed"
    ACTIVATION_EXPIRED = "activation.expired"
    ACTIVATION_LEFT = "activation.left"
    GIVEBACK_INTENDED = "giveback.intended"
    GIVEBACK_DONE = "giveback.done"
    ELEVATION_ENDING = "elevation.ending"
    ELEVATION_ENDED = "elevation.ended"
    ELEVATION_CANCELLED = "elevation.cancelled"
    ELEVATION_FAILED = "elevation.failed"
    COMMENT_REFUSED = "comment.refused"
    SESSION_SIGNED_IN = "session.signed_in"
    SESSION_SIGNED_OUT = "session.signed_out"
    PRIVACY_ERASED = "privacy.erased"
    LOG_CONTINUED = "log.continued"
    LOG_ACCEPTED = "log.accepted"
    CHECKPOINT_SIGNED = "checkpoint.signed"


# What gives somebody something. After a break none of it is written before an administrator has accepted the break.
STARTS = frozenset(
    {
        Kind.PICK_PLANNED,
        Kind.PICK_OFFERED,
        Kind.PICK_LONGER,
        Kind.BREAKGLASS_STARTED,
        Kind.ACTIVATION_INTENDED,
        Kind.ACTIVATION_JOINED,
        Kind.LINK_MADE,
    }
)


class JournalError(Exception):
    """The journal cannot be written or read as asked; trying again does not help; str() is for an administrator.

    * JournalError
      - EntryRefused       what should be recorded is not fit for the journal (a mistake in our code)
      - TailBroken         the last entry does not have its own hash any more: somebody changed it
      - StartsStopped      it was found broken, and nobody has accepted that yet; str() is fit for a technician
      - WitnessUnreadable  a text holds no "Journal N ..." line
      - CheckpointRefused  a checkpoint is malformed or its signature is not by that key
    """


class EntryRefused(JournalError):
    pass


class TailBroken(JournalError):
    def __init__(self) -> None:
        super().__init__("The journal's last entry does not have its hash any more: it was changed.")


class StartsStopped(JournalError):
    def __init__(self) -> None:
        super().__init__(
            "The journal of Ticket Elevate was damaged or changed from outside. No role is activated until an "
            "administrator has looked into it; what is active already is still given back."
        )


class WitnessUnreadable(JournalError):
    def __init__(self) -> None:
        super().__init__('No line like "Journal 18231 23f430da 6a901b27 f318a26a a0d2a6a0" was found in this text.')


class CheckpointRefused(JournalError):
    pass


@dataclass(frozen=True)
class Entry:
    """One entry, with exactly the keys that are hashed. `private` maps a name to its commitment, never to the value."""

    v: int
    log: str
    seq: int
    at: str
    kind: str
    elevation: str | None
    activation: str | None
    cause: str
    facts: Mapping[str, Fact]
    private: Mapping[str, str]
    prev: str

    def canonical(self) -> bytes:
        """The bytes that are hashed (RFC 8785)."""
        return rfc8785.dumps(vars(self))


@dataclass(frozen=True)
class Tail:
    """Where the chain stands: the last entry's number, hash (hex) and time. An empty log: 0, its genesis, None."""

    log: str
    seq: int
    hash: str
    at: datetime | None


@dataclass(frozen=True)
class Opened:
    """A private value beside its entry. Erasing this row closes the commitment for ever. `salt` is 32 bytes."""

    name: str
    salt: bytes
    value: str


@dataclass(frozen=True)
class Appended:
    """What to store in one row, and one more row for each of `opened`. `tail` is where the chain stands afterwards."""

    entry_json: str
    hash: str
    seq: int
    at: datetime
    opened: tuple[Opened, ...]
    tail: Tail


def new_log(*, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """The name of a new log, made once for each deployment: `te-` and 16 hex digits."""
    return "te-" + random(8).hex()


def genesis(log: str) -> str:
    """The hash (hex) that stands as `prev` in entry 1 of `log`."""
    if not _LOG.fullmatch(log):
        raise EntryRefused("A log is named te- and 16 hex digits.")
    return hashlib.sha256(_GENESIS + log.encode()).hexdigest()


def empty(log: str) -> Tail:
    """The tail of a log that has no entry yet."""
    return Tail(log, 0, genesis(log), None)


def entry_hash(canonical: bytes) -> str:
    """The hash (hex) of an entry's canonical bytes."""
    return hashlib.sha256(_ENTRY + canonical).hexdigest()


def tail_of(entry_json: str, stored_hash: str) -> Tail:
    """The tail as stored, its hash recomputed. Raises TailBroken: then append to a new log (`continuation`).

    It is also broken where nothing can stand after it: somebody else may have written it and its hash.
    """
    if entry_hash(entry_json.encode("utf-8", "surrogatepass")) != stored_hash:
        raise TailBroken
    try:
        raw = json.loads(entry_json)
        log, seq, at = raw["log"], raw["seq"], raw["at"]
        if not (_LOG.fullmatch(log) and _AT.fullmatch(at) and type(seq) is int and 0 < seq < _LARGEST):
            raise TailBroken
        return Tail(log, seq, stored_hash, read_time(at))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise TailBroken from None


def commit(salt: bytes, name: str, value: str) -> str:
    """The commitment (hex) to a private value. `salt` is 32 random bytes of its own for each field."""
    if len(salt) != 32:
        raise EntryRefused("A commitment needs a salt of 32 bytes.")
    return hmac.new(salt, _PRIVATE + name.encode() + b"\x00" + rfc8785.dumps(value), hashlib.sha256).hexdigest()


def append(
    tail: Tail,
    *,
    at: datetime,
    kind: Kind,
    elevation: str | None = None,
    activation: str | None = None,
    cause: str,
    facts: Mapping[str, Fact] | None = None,
    private: Mapping[str, str] | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Appended:
    """The entry after `tail`. Call it under the journal's lock, as the last thing of the transaction, and store it all.

    `at` is aware UTC and taken under that lock; where a clock went backwards the tail's time is used, so that time
    never falls. `cause` is `delivery:<id>`, `click`, `sweep`, `tenant`, `admin` or `cli`. `facts` is flat and names no
    person; what names one goes into `private`. Texts are brought to NFC. Raises EntryRefused.
    """
    opened = tuple(Opened(_name(n), random(32), _text(v)) for n, v in sorted((private or {}).items()))
    if tail.at is not None and at < tail.at:
        at = tail.at
    entry = Entry(
        v=1,
        log=tail.log,
        seq=tail.seq + 1,
        at=write_time(at),
        kind=Kind(kind).value,
        elevation=None if elevation is None else _text(elevation),
        activation=None if activation is None else _text(activation),
        cause=_cause(cause),
        facts={_name(n): _fact(v) for n, v in (facts or {}).items()},
        private={o.name: commit(o.salt, o.name, o.value) for o in opened},
        prev=tail.hash,
    )
    canonical = entry.canonical()
    digest = entry_hash(canonical)
    return Appended(canonical.decode(), digest, entry.seq, at, opened, Tail(tail.log, entry.seq, digest, at))


def continuation(old_log: object, old_seq: object, old_hash: object) -> dict[str, Fact]:
    """The facts of `log.continued`, the first entry of the log that goes on after a broken one.

    They are as somebody may have left them: what is not a log's name, an entry's number or a hash is said as null.
    """
    log = old_log if isinstance(old_log, str) and _LOG.fullmatch(old_log) else None
    seq = old_seq if type(old_seq) is int and 0 < old_seq <= _LARGEST else None
    digest = old_hash if isinstance(old_hash, str) and _HASH.fullmatch(old_hash) else None
    return {"old_log": log, "old_seq": seq, "old_hash": digest}


def export_line(
    entry: str | bytes, digest: str | bytes, opened: Mapping[str, tuple[str | bytes | None, str | bytes]]
) -> str:
    """One line of an export (no line end), in the bytes the verifier demands. `opened`: name -> (salt, value) kept.

    What somebody changed is exported as it stands, so that the verifier names it: mended it would pass. An entry or a
    hash that is not even text comes as bytes; a salt that is not bytes is not shown.
    """
    private = {
        name: {"salt": salt.hex() if isinstance(salt, bytes) else None, "value": _shown(value)}
        for name, (salt, value) in opened.items()
    }
    stated = None if isinstance(digest, bytes) else _shown(digest)
    rest = rfc8785.dumps({"hash": stated, "private": private}).decode()
    exact = entry if isinstance(entry, str) and _is_canonical(entry) else rfc8785.dumps(_shown(entry)).decode()
    return f'{{"entry":{exact},{rest[1:]}'


def _is_canonical(entry_json: str) -> bool:
    try:
        return rfc8785.dumps(json.loads(entry_json)).decode() == entry_json
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return False


def _shown(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def witness(seq: int, head: str) -> str:
    """The words that end a ticket comment: the entry's number and the first 128 bits of its hash.

    128 and not 64: who writes the journal picks its salts, so two histories with one 64-bit head cost only 2^32 tries.
    """
    if not _HASH.fullmatch(head):
        raise EntryRefused("A head is 64 hex digits.")
    return f"Journal {seq} " + " ".join(head[i : i + 8] for i in range(0, 32, 8))


def parse_witness(text: str) -> tuple[int, str]:
    """The last (number, 32 hex digits) in `text`, which may be a whole comment. Raises WitnessUnreadable."""
    found = _WITNESS.findall(text)
    if not found:
        raise WitnessUnreadable
    return int(found[-1][0]), "".join(found[-1][1:])


@dataclass(frozen=True)
class Checkpoint:
    """What the deployment signs every day and at each export: where the log stood at `at`.

    `previous` is the SHA-256 (hex) of the checkpoint file before, NO_CHECKPOINT for the first.
    """

    log: str
    seq: int
    hash: str
    at: datetime
    previous: str = NO_CHECKPOINT


def key_name(host: str, log: str) -> str:
    """The name a checkpoint key goes by: the public host, and the log."""
    return f"{host}/{log}"


def key_id(name: str, public: bytes) -> bytes:
    """The four bytes that say which key signed. Source: c2sp.org/signed-note."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey, *, name: str) -> str:
    """The checkpoint file: a signed note of six lines. `name` comes from `key_name`. Source: c2sp.org/signed-note."""
    at = checkpoint.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    c = checkpoint
    text = f"{_CHECKPOINT}\n{c.log}\n{c.seq}\n{c.hash}\n{at}\n{c.previous}\n"
    signed = key_id(name, key.public_key().public_bytes_raw()) + key.sign(text.encode())
    return f"{text}\n\u2014 {name} {base64.b64encode(signed).decode()}\n"


def checkpoint_hash(note: str) -> str:
    """What the next checkpoint names as `previous`."""
    return hashlib.sha256(note.encode()).hexdigest()


def read_checkpoint(note: str, public: Ed25519PublicKey, *, name: str) -> Checkpoint:
    """Check `note` against the key that goes by `name`. Raises CheckpointRefused."""
    text, gap, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = text.split("\n")
    if not gap or len(lines) != 7 or lines[0] != _CHECKPOINT or not _LOG.fullmatch(lines[1]):
        raise CheckpointRefused("This is not a checkpoint of a Ticket Elevate journal.")
    if not any(_signed_by(line, text, public, name) for line in signatures.splitlines()):
        raise CheckpointRefused(f"This checkpoint is not signed by the key {name!r}.")
    at = datetime.strptime(lines[4], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return Checkpoint(lines[1], int(lines[2]), lines[3], at, lines[5])


def _signed_by(line: str, text: str, public: Ed25519PublicKey, name: str) -> bool:
    start = f"\u2014 {name} "
    if not line.startswith(start):
        return False
    try:
        blob = base64.b64decode(line.removeprefix(start), validate=True)
        public.verify(blob[4:], text.encode())
    except (ValueError, InvalidSignature):
        return False
    # Base64 has idle bits at its end: only one way of writing a signature counts.
    exact = base64.b64encode(blob).decode() == line.removeprefix(start)
    return exact and blob[:4] == key_id(name, public.public_bytes_raw())


def write_time(at: datetime) -> str:
    """`at` (aware) in UTC, always with six digits and Z, so that times sort as text."""
    if at.tzinfo is None:
        raise EntryRefused("A time without its zone cannot be recorded.")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(text: str) -> datetime:
    """The inverse of `write_time`."""
    return datetime.fromisoformat(text)


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise EntryRefused(
            "A fact's name is a letter, then up to 63 ASCII letters, digits, dots, dashes or underscores."
        )
    return name


def _cause(cause: str) -> str:
    if not _CAUSE.fullmatch(cause):
        raise EntryRefused("A cause is delivery:<id>, click, sweep, tenant, admin or cli.")
    return str(cause)


def _fact(value: Fact) -> Fact:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, int):
        raise EntryRefused("A fact is a text, a whole number, true, false or nothing: no fractions, no lists.")
    if abs(value) > _LARGEST:
        raise EntryRefused("A whole number in the journal is smaller than 2^53.")
    return value


def _text(value: str) -> str:
    if not isinstance(value, str):
        raise EntryRefused("A text was expected.")
    # NFC so that the same word has the same bytes; a plain str, because an enum member would be written by its name.
    text = unicodedata.normalize("NFC", str(value))
    if any("\ud800" <= c <= "\udfff" for c in text) or "\x00" in text:
        raise EntryRefused("A text with NUL or half a character cannot be recorded: clean it where it came in.")
    return text
