"""Verify an export of the journal, offline. One file, standard library only: read it, copy it, run it anywhere.

    python verify.py export.jsonl --comments FILE --checkpoint FILE --public-key FILE --anchor SEQ:HEAD

Exit status: 0 all that was checked fits, 1 something does not, 2 a file could not be read. Signatures are checked by
the package `cryptography` where it is installed, otherwise by the program `openssl`; without either the report says so.
The formats are in docs/journal.md. Nothing here is shared with the code that writes the journal.
"""

import argparse
import base64
import hashlib
import hmac
import json
import re
import shutil
import subprocess  # noqa: S404,RUF100 - openssl, where the package cryptography is not installed
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = frozenset(
    {
        "pick.planned",
        "pick.offered",
        "pick.refused",
        "pick.watched",
        "pick.longer",
        "breakglass.started",
        "breakglass.ticket",
        "breakglass.reviewed",
        "approval.asked",
        "approval.intended",
        "approval.decided",
        "activation.usable",
        "activation.withdrawn",
        "sessions.revoked",
        "signin.lost",
        "signin.purged",
        "notice.refused",
        "signin.needed",
        "signin.done",
        "link.made",
        "link.suspended",
        "link.ended",
        "activation.intended",
        "activation.joined",
        "activation.asked",
        "activation.seen",
        "activation.failed",
        "activation.expired",
        "activation.left",
        "giveback.intended",
        "giveback.done",
        "elevation.ending",
        "elevation.ended",
        "elevation.cancelled",
        "elevation.failed",
        "comment.refused",
        "session.signed_in",
        "session.signed_out",
        "privacy.erased",
        "log.continued",
        "log.accepted",
        "checkpoint.signed",
    }
)
# What gives somebody something: after a break it may not stand before the entry in which somebody accepts the break.
STARTS = frozenset(
    {
        "pick.planned",
        "pick.offered",
        "pick.longer",
        "breakglass.started",
        "activation.intended",
        "activation.joined",
        "link.made",
    }
)
_KEYS = {"v", "log", "seq", "at", "kind", "elevation", "activation", "cause", "facts", "private", "prev"}
_LARGEST = 2**53 - 1
_LOG = re.compile(r"te-[0-9a-f]{16}")
_HASH = re.compile(r"[0-9a-f]{64}")
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_CAUSE = re.compile(r"delivery:[!-~]{1,128}|click|sweep|tenant|admin|cli")
_ANCHOR = re.compile(r"([1-9][0-9]{0,15}):([0-9a-f]{32,64})")
_WITNESS = re.compile(r"\bJournal\s+([1-9][0-9]{0,15})" + r"\s+([0-9a-f]{8})" * 4 + r"\b")
_NOTE = re.compile(
    r"ticket-elevate/journal/checkpoint/v1\n(te-[0-9a-f]{16})\n(0|[1-9][0-9]{0,15})\n([0-9a-f]{64})\n"
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\n([0-9a-f]{64})\n\n((?:\u2014 [^ \n]+ [^ \n]+\n)+)"
)
_SPKI = bytes.fromhex("302a300506032b6570032100")  # what stands before the 32 bytes of an Ed25519 key in a PEM file
_LINE_LIMIT = 1_000_000
_quote = json.JSONEncoder(ensure_ascii=False).encode


class Unreadable(Exception):
    """An input that is not what the option takes; str() says which."""


@dataclass(frozen=True)
class Problem:
    """Something that does not fit. `seq` is the entry's number, from its place where it cannot be believed."""

    seq: int
    text: str


@dataclass
class Report:
    """What was found. `ok` is the verdict; `first` the first entry that does not fit."""

    logs: list[str] = field(default_factory=list)  # more than one: each goes on from a damaged one before it
    entries: int = 0
    first_at: str | None = None
    last_at: str | None = None
    last_seq: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    breaks: list[Problem] = field(default_factory=list)
    anchored_lines: int = 0  # how many of the first entries the newest anchor met vouches for
    anchors_met: list[tuple[int, str]] = field(default_factory=list)
    anchors_missed: list[tuple[int, str]] = field(default_factory=list)
    anchors_beyond: list[tuple[int, str]] = field(default_factory=list)
    checkpoints: list[Problem] = field(default_factory=list)
    private_open: int = 0
    private_closed: int = 0
    private_wrong: list[Problem] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[Problem]:
        """Everything that does not fit, in the order of entries."""
        gaps = [Problem(b + 1, f"Entries {a} to {b} are missing before it.") for a, b in self.gaps]
        missed = [
            Problem(s, "It does not have the head that was witnessed: it or an entry before it was rewritten.")
            for s, _ in self.anchors_missed
        ]
        beyond = [
            Problem(self.last_seq + 1, f"It is missing: the export ends here, but entry {s} was witnessed.")
            for s, _ in self.anchors_beyond
        ]
        found = [*self.breaks, *gaps, *self.private_wrong, *missed, *beyond, *self.checkpoints]
        return sorted(found, key=lambda p: p.seq)

    @property
    def first(self) -> Problem | None:
        return next(iter(self.problems), None)

    @property
    def ok(self) -> bool:
        return self.first is None


def canonical(value: object) -> str:
    """RFC 8785, for what stands in a journal: objects, texts, whole numbers, true, false, null. Raises ValueError."""
    if isinstance(value, str):
        value.encode()  # half a character raises UnicodeEncodeError, which is a ValueError
        return _quote(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) <= _LARGEST:
        return str(value)
    if isinstance(value, dict):
        # Keys go by UTF-16 code units, which differs from Python's own order beyond the first plane.
        names = sorted(value, key=lambda k: k.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(k)}:{canonical(value[k])}" for k in names) + "}"
    raise ValueError("only texts, whole numbers below 2^53, true, false, null and objects stand in a journal")


def entry_hash(entry: str) -> str:
    """The hash of an entry in its canonical form."""
    return hashlib.sha256(b"ticket-elevate/journal/entry/v1\x00" + entry.encode()).hexdigest()


def genesis(log: str) -> str:
    return hashlib.sha256(b"ticket-elevate/journal/genesis/v1\x00" + log.encode()).hexdigest()


def commitment(salt: str, name: str, value: str) -> str:
    text = b"ticket-elevate/journal/private/v1\x00" + name.encode() + b"\x00" + canonical(value).encode()
    return hmac.new(bytes.fromhex(salt), text, hashlib.sha256).hexdigest()


def verify(
    lines: Iterable[bytes | str],
    anchors: Sequence[tuple[int, str]] = (),
    checkpoints: Sequence[bytes] = (),
    public_key: bytes | None = None,
) -> Report:
    """Check an export against itself and against what others kept.

    `lines` are the export's, with or without line ends; `anchors` are (number, at least 32 hex digits of the hash);
    `checkpoints` are whole files, oldest first; `public_key` is 32 bytes. Never raises for what is in `lines`.
    """
    report = Report()
    notes = [_read_note(c) for c in checkpoints]
    wanted = {*anchors, *((n.seq, n.hash) for n in notes if n.seq)}
    chain = _Chain(report, keep={seq for seq, _ in wanted})
    for line in lines:
        chain.take(line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line)
    report.logs, report.last_seq = chain.logs, chain.last + chain.skipped
    for seq, head in sorted(wanted):
        _meet(report, chain, seq, head)
    _check_notes(report, chain, notes, public_key)
    _say_what_was_not_checked(report, bool(wanted))
    return report


class _Chain:
    """Takes line after line. A line that cannot be believed is reported once and does not accuse the next one."""

    def __init__(self, report: Report, keep: set[int]) -> None:
        self.report = report
        self.keep = keep
        self.kept: dict[int, dict[str, int]] = {}  # of each number, the hashes it has and on which line
        self.logs: list[str] = []
        self.last = 0  # the last entry that can be believed
        self.skipped = 0  # lines after it that cannot
        self.heads: set[str] | None = None  # what `prev` of the next may be; None: nothing to compare with
        self.at = ""
        self.notes: list[str] = []  # of each checkpoint that the journal says was signed, the hash of its file
        self.held = False  # in a log that goes on from a broken one, before somebody accepted that

    def take(self, line: bytes) -> None:
        self.report.entries += 1
        expected = self.last + self.skipped + 1
        try:
            entry, stated, private, computed = _read(line)
        except (ValueError, RecursionError) as e:
            self._break(expected, f"Its line cannot be read as an entry: {_say(e)}.")
            self.skipped, self.heads = self.skipped + 1, None
            return
        if not hmac.compare_digest(computed, stated):
            self._break(expected, "Its content does not have the hash that stands beside it.")
            self.skipped, self.heads = self.skipped + 1, {computed, stated}
            return
        self._place(entry, expected)
        self.last, self.skipped, self.heads, self.at = entry["seq"], 0, {computed}, entry["at"]
        if self.last in self.keep:
            self.kept.setdefault(self.last, {})[computed] = self.report.entries
        self.report.first_at = self.report.first_at or self.at
        self.report.last_at = self.at
        if entry["kind"] == "checkpoint.signed" and isinstance(entry["facts"].get("digest"), str):
            self.notes.append(entry["facts"]["digest"])
        _open(self.report, entry, private)

    def _place(self, entry: dict[str, Any], expected: int) -> None:
        seq, log = entry["seq"], entry["log"]
        if not self.logs or log != self.logs[-1]:
            goes_on = seq == 1 and entry["kind"] == "log.continued"
            if self.logs or (goes_on and self.skipped):
                self._continue(entry)
                expected, self.last, self.skipped, self.at = 1, 0, 0, ""
            elif goes_on:
                self._break(1, "It goes on from a log that this export does not have.")
            self.held = goes_on
            self.logs.append(log)
            if not self.skipped:
                self.heads = {genesis(log)}
        if seq > expected:
            self.report.gaps.append((expected, seq - 1))
            self.heads = None
        elif seq <= self.last:
            self._break(seq, f"It stands after entry {self.last}: it comes twice or out of order.")
            self.heads = None
        elif seq < expected:
            self.heads = None  # broken lines before it were not one entry each
        if self.heads is not None and entry["prev"] not in self.heads:
            before = f"entry {seq - 1}" if seq > 1 else "the beginning of the log"
            self._break(seq, f"It does not continue {before} as that stands here: one of the two was changed.")
        if entry["at"] < self.at:
            self._break(seq, "Its time is before the time of the entry before it.")
        if entry["kind"] not in KINDS:
            self._break(seq, "Its kind is not one that this verifier knows.")
        if not _CAUSE.fullmatch(entry["cause"]):
            self._break(seq, "Its cause is not one that this verifier knows.")
        self.held = self.held and entry["kind"] != "log.accepted"
        if self.held and entry["kind"] in STARTS:
            self._break(seq, "It starts something although nobody had accepted yet that the log before was broken.")

    def _continue(self, entry: dict[str, Any]) -> None:
        """Another log's first entry: it must say which log it goes on from."""
        facts = entry["facts"]
        named = entry["kind"] == "log.continued" and entry["seq"] == 1
        if named and self.skipped:
            # The line before was named already. Its log and number are not to be believed: its hash must do.
            if self.heads is not None and facts.get("old_hash") not in self.heads:
                self._break(1, "It goes on from another end of the log before it than the one that stands here.")
            if not self.logs and _matches(_LOG, facts.get("old_log")):
                self.logs.append(str(facts["old_log"]))
        elif not named or facts.get("old_log") != self.logs[-1]:
            self._break(entry["seq"], "It belongs to another log, and does not say that it goes on from this one.")
        elif facts.get("old_seq") != self.last or facts.get("old_hash") not in (self.heads or set()):
            self._break(1, "It goes on from another end of the log before it than the one that stands here.")

    def _break(self, seq: int, text: str) -> None:
        self.report.breaks.append(Problem(seq, text))


def _read(line: bytes) -> tuple[dict[str, Any], str, dict[str, Any], str]:
    """The entry, the hash beside it, its opened values, and the hash that it has.

    Raises ValueError (also UnicodeDecodeError) or RecursionError.
    """
    line = line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
    if len(line) > _LINE_LIMIT:
        raise ValueError("it is too long")
    text = line.decode()
    row = json.loads(text, object_pairs_hook=_once, parse_float=_refuse, parse_constant=_refuse)
    if not isinstance(row, dict) or set(row) != {"entry", "hash", "private"}:
        raise ValueError("it does not have exactly entry, hash and private")
    entry, stated, private = row["entry"], row["hash"], row["private"]
    exact = canonical(entry)
    if text != f'{{"entry":{exact},"hash":{canonical(stated)},"private":{canonical(private)}}}':
        raise ValueError("it is not written in the canonical form")
    if not isinstance(stated, str) or not _HASH.fullmatch(stated) or not isinstance(private, dict):
        raise ValueError("its hash or its private values are malformed")
    _check_shape(entry)
    return entry, stated, private, entry_hash(exact)


def _check_shape(entry: Any) -> None:
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise ValueError("the entry does not have exactly the known keys")
    seq, facts, private = entry["seq"], entry["facts"], entry["private"]
    fits = (
        type(entry["v"]) is int and entry["v"] == 1,
        type(seq) is int and seq > 0,
        _matches(_LOG, entry["log"]) and _matches(_AT, entry["at"]) and _matches(_HASH, entry["prev"]),
        isinstance(entry["kind"], str) and isinstance(entry["cause"], str),
        all(entry[k] is None or isinstance(entry[k], str) for k in ("elevation", "activation")),
        isinstance(facts, dict) and not any(isinstance(v, dict) for v in facts.values()),
        isinstance(private, dict) and all(_matches(_HASH, v) for v in private.values()),
    )
    if not all(fits):
        raise ValueError("a value of the entry is not of its kind")


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a key comes twice")
    return dict(pairs)


def _refuse(_: str) -> object:
    raise ValueError("a number is not a whole one")


def _say(error: Exception) -> str:
    # The library's own words may quote the line, which is outside text: only our sentences are shown.
    return str(error) if type(error) is ValueError else "it is not JSON in UTF-8"


def _open(report: Report, entry: dict[str, Any], private: dict[str, Any]) -> None:
    for name in private:
        if name not in entry["private"]:
            report.private_wrong.append(Problem(entry["seq"], "A private value is shown that it never had."))
    for name, committed in entry["private"].items():
        shown = private.get(name)
        if shown is None:
            report.private_closed += 1
        elif _opens(shown, name, committed):
            report.private_open += 1
        else:
            report.private_wrong.append(Problem(entry["seq"], "A private value shown with it is not the recorded one."))


def _opens(shown: object, name: str, committed: str) -> bool:
    if not isinstance(shown, dict) or set(shown) != {"salt", "value"}:
        return False
    salt, value = shown["salt"], shown["value"]
    if not _matches(_HASH, salt) or not isinstance(value, str):
        return False
    return hmac.compare_digest(commitment(salt, name, value), committed)


def _meet(report: Report, chain: _Chain, seq: int, head: str) -> None:
    if seq > chain.last + chain.skipped and seq not in chain.kept:
        report.anchors_beyond.append((seq, head))
        return
    met = [line for digest, line in chain.kept.get(seq, {}).items() if digest.startswith(head)]
    (report.anchors_met if met else report.anchors_missed).append((seq, head))
    report.anchored_lines = max([report.anchored_lines, *met])


@dataclass(frozen=True)
class _Note:
    log: str
    seq: int
    hash: str
    previous: str
    text: bytes
    signatures: str
    digest: str


def _read_note(raw: bytes) -> _Note:
    try:
        match = _NOTE.fullmatch(raw.decode())
    except UnicodeDecodeError:
        match = None
    if match is None:
        raise Unreadable("A checkpoint file is not a checkpoint of a Ticket Elevate journal.")
    log, seq, head, _, previous, signatures = match.groups()
    text = raw[: raw.index(b"\n\n") + 1]
    return _Note(log, int(seq), head, previous, text, signatures, hashlib.sha256(raw).hexdigest())


def read_checkpoint(raw: bytes) -> tuple[str, int, str]:
    """The log, number and hash that a checkpoint names, its signature unchecked. Raises Unreadable."""
    note = _read_note(raw)
    return note.log, note.seq, note.hash


def _check_notes(report: Report, chain: _Chain, notes: list[_Note], key: bytes | None) -> None:
    missing = len(set(chain.notes) - {n.digest for n in notes})
    if missing:
        report.not_checked.append(f"{missing} checkpoints that the journal names and that were not given.")
    before: _Note | None = None
    for n in notes:
        if chain.logs and n.log not in chain.logs:
            report.checkpoints.append(Problem(n.seq, "A checkpoint at this entry is of another log."))
        if n.seq == 0 and n.hash != genesis(n.log):  # signed while the log was still empty
            report.checkpoints.append(Problem(0, "A checkpoint of the empty log does not hold its beginning."))
        if before is not None and n.previous != before.digest:
            report.checkpoints.append(Problem(n.seq, "A checkpoint here does not name the one given before it."))
        signed = None if key is None else _signed(n, key)
        if signed is False:
            report.checkpoints.append(Problem(n.seq, "A checkpoint here is not signed by the key that was given."))
        elif signed is None:
            why = "no public key was given" if key is None else "neither cryptography nor openssl is installed"
            report.not_checked.append(f"The signature of the checkpoint at entry {n.seq}: {why}.")
        before = n


def _signed(note: _Note, key: bytes) -> bool | None:
    """Whether a signature of `note` is by `key`; None where nothing here can check Ed25519."""
    for line in note.signatures.removesuffix("\n").split("\n"):  # splitlines() knows more line ends than the format
        _, name, encoded = line.split(" ")
        try:
            blob = base64.b64decode(encoded, validate=True)
        except ValueError:
            continue
        exact = base64.b64encode(blob).decode() == encoded and name.endswith("/" + note.log)
        if exact and blob[:4] == hashlib.sha256(name.encode() + b"\n\x01" + key).digest()[:4]:
            return ed25519(key, note.text, blob[4:])
    return False


def ed25519(key: bytes, text: bytes, signature: bytes) -> bool | None:
    """Whether `signature` over `text` is by `key` (32 bytes); None where nothing here can tell."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return _openssl(key, text, signature)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True


def _openssl(key: bytes, text: bytes, signature: bytes) -> bool | None:
    program = shutil.which("openssl")
    if program is None:
        return None
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(_SPKI + key) + b"\n-----END PUBLIC KEY-----\n"
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {"key": pem, "text": text, "sig": signature}.items():
            (Path(folder) / name).write_bytes(content)
        asked = ["pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "text", "-sigfile", "sig"]
        ran = subprocess.run([program, *asked], cwd=folder, capture_output=True, check=False, timeout=30)  # noqa: S603
    return ran.returncode == 0


def _say_what_was_not_checked(report: Report, anchored: bool) -> None:
    say = report.not_checked.append
    newest = max((seq for seq, _ in report.anchors_met), default=0)
    if not anchored:
        say("Whether the whole was rewritten, or its end cut off: no anchor, comment or checkpoint was given.")
    elif len(report.logs) > 1 and report.anchored_lines < report.entries:
        left = report.entries - report.anchored_lines
        say(f"The last {left} entries against a rewrite: they are newer than the newest anchor met.")
    elif len(report.logs) == 1 and newest < report.last_seq:
        say(f"Entries {newest + 1} to {report.last_seq} against a rewrite: they are newer than the newest anchor met.")
    if report.private_closed:
        say(f"{report.private_closed} private values that were erased or withheld.")
    say("Whether everything was written down: compare the tenant's own audit log with the journal, both ways.")
    say("Whether what was written is true: times are the server's clock, and only never fall.")


def read_anchor(text: str) -> tuple[int, str]:
    """`SEQ:HEAD`, at least 32 hex digits of the hash. Raises Unreadable."""
    match = _ANCHOR.fullmatch(text.replace(" ", "").lower())
    if match is None:
        raise Unreadable("An anchor is an entry's number, a colon, and at least the first 32 hex digits of its hash.")
    return int(match[1]), match[2]


def read_comments(text: str) -> list[tuple[int, str]]:
    """The anchors in the last lines of comments, wherever in `text`. Raises Unreadable where there is none."""
    found = [(int(m[1]), "".join(m.groups()[1:])) for m in _WITNESS.finditer(text)]
    if not found:
        raise Unreadable('The comments hold no line like "Journal 18231 23f430da 6a901b27 f318a26a a0d2a6a0".')
    return found


def read_key(raw: bytes) -> bytes:
    """32 bytes out of PEM, base64 or hex. Raises Unreadable."""
    body = re.sub(r"-----[A-Z ]+-----|\s", "", raw.decode("ascii", "replace"))
    try:
        key = bytes.fromhex(body) if re.fullmatch(r"[0-9a-fA-F]{64}", body) else base64.b64decode(body, validate=True)
    except ValueError:
        key = b""
    key = key.removeprefix(_SPKI) if len(key) == 44 else key
    if len(key) != 32:
        raise Unreadable("The public key is not an Ed25519 key as PEM, or 32 bytes as base64 or hex.")
    return key


def verify_files(
    export: str,
    *,
    anchors: Sequence[str] = (),
    checkpoints: Sequence[str] = (),
    checkpoint_dir: str | None = None,
    comments: Sequence[str] = (),
    public_key: str | None = None,
) -> Report:
    """`verify` on files. Raises Unreadable or OSError."""
    known = [read_anchor(a) for a in anchors]
    for name in comments:
        known += read_comments(Path(name).read_text("utf-8", "replace"))
    notes = [Path(name).read_bytes() for name in checkpoints]
    key = None if public_key is None else read_key(Path(public_key).read_bytes())
    if checkpoint_dir is not None:
        notes += [found.read_bytes() for found in sorted(Path(checkpoint_dir).glob("[0-9]*.txt"))]
    with Path(export).open("rb") as lines:
        return verify(lines, known, notes, key)


def render(report: Report) -> str:
    """The report for a person. Nothing of the export is quoted but numbers and times."""
    r = report
    out = [f"Entries: {r.entries}" + (f", from {r.first_at} to {r.last_at}" if r.first_at else "")]
    out.append("Log: " + (", continued as ".join(r.logs) or "none"))
    out.append("Gaps: " + (", ".join(f"{a} to {b}" for a, b in r.gaps) or "none"))
    out.append(f"Breaks: {len(r.breaks) or 'none'}")
    for words, heads in (
        ("met", r.anchors_met),
        ("missed", r.anchors_missed),
        ("beyond the end", r.anchors_beyond),
    ):
        out.append(f"Anchors {words}: " + (", ".join(f"entry {s}" for s, _ in heads) or "none"))
    out.append(f"Private values: {r.private_open} open, {r.private_closed} closed, {len(r.private_wrong)} wrong")
    out.append("Not checked:")
    out += [f"  - {line}" for line in r.not_checked]
    if r.first is None:
        return "\n".join([*out, "", "Everything that was checked fits."])
    out += ["", f"DOES NOT FIT. The first entry that does not fit is entry {r.first.seq}. {r.first.text}"]
    rest = r.problems[1:]
    out += [f"  also entry {p.seq}: {p.text}" for p in rest[:20]]
    if len(rest) > 20:
        out.append(f"  and {len(rest) - 20} more.")
    return "\n".join(out)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify an export of the Ticket Elevate journal, offline.")
    parser.add_argument("export")
    parser.add_argument("--anchor", action="append", default=[], metavar="SEQ:HEAD")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="FILE")
    parser.add_argument("--checkpoints", metavar="DIR")
    parser.add_argument("--comments", action="append", default=[], metavar="FILE")
    parser.add_argument("--public-key", metavar="FILE")
    a = parser.parse_args(argv)
    try:
        report = verify_files(
            a.export,
            anchors=a.anchor,
            checkpoints=a.checkpoint,
            checkpoint_dir=a.checkpoints,
            comments=a.comments,
            public_key=a.public_key,
        )
    except (Unreadable, OSError) as e:
        sys.stderr.write(f"{e}\n")
        return 2
    sys.stdout.write(render(report) + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
