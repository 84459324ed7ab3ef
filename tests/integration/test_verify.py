"""The offline verifier against an insider: whatever he changes, it names the entry, or says what it cannot know.

The export is made by integration.journal, which shares no code with the verifier.
"""

import ast
import base64
import json
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rfc8785
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.journal import journal
from integration import verify as verifier
from integration.journal import (
    STARTS,
    Checkpoint,
    EntryRefused,
    Kind,
    append,
    checkpoint_hash,
    continuation,
    empty,
    export_line,
    key_name,
    sign_checkpoint,
    witness,
)
from integration.verify import verify

LOG = "te-9f2c41d07a6be358"
START = datetime(2026, 11, 24, 9, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
NAME = key_name("elevate.example", LOG)


def test_an_honest_export_fits_and_says_what_was_not_checked(export):
    report = verify(export.lines)

    assert (report.ok, report.entries, report.private_open, report.private_closed) == (True, 50, 100, 0)
    assert any("no anchor" in line for line in report.not_checked)
    assert any("tenant's own audit log" in line for line in report.not_checked)


def test_flipping_any_byte_names_the_entry_that_was_touched(export):
    """Trust row 39. All fifty are touched at once, at the same place; the next test touches one at a time."""
    for at in range(max(len(line) for line in export.lines)):
        lines = []
        for line in export.lines:
            place = at % len(line)
            lines.append(line[:place] + bytes([line[place] ^ 0x01]) + line[place + 1 :])
        assert {p.seq for p in verify(lines).problems} == set(range(1, 51)), f"byte {at}"


def test_a_random_change_anywhere_in_the_file_names_the_entry_first(export):
    """Trust row 39, one byte at a time and with any value, line ends among them."""
    whole = b"\n".join(export.lines) + b"\n"
    dice = random.Random(39)  # noqa: S311 - a repeatable choice, not a secret

    for at in [dice.randrange(len(whole)) for _ in range(300)] + [i for i, b in enumerate(whole) if b == 0x0A]:
        changed = bytearray(whole)
        changed[at] ^= dice.randrange(1, 256)
        named = [p.seq for p in verify(_split(bytes(changed))).problems]
        assert named, at
        assert named[0] == whole[:at].count(b"\n") + 1
        # Where the lines are still the same ones, no neighbour is accused.
        assert len(named) == 1 or changed.count(b"\n") != whole.count(b"\n")


def test_a_chain_rewritten_after_an_entry_passes_alone_and_fails_with_one_anchor(export):
    """Trust row 40."""
    rewritten = make_export(50, change_at=20)
    anchor = (45, export.heads[44][:32])

    assert rewritten.lines[:19] == export.lines[:19]
    assert verify(rewritten.lines).ok
    report = verify(rewritten.lines, [(10, export.heads[9]), anchor])
    assert (report.ok, report.first.seq) == (False, 45)
    assert (report.anchors_met, report.anchors_missed) == ([(10, export.heads[9])], [anchor])


@pytest.mark.parametrize("dropped", [1, 10, 50])
def test_a_tail_that_was_cut_off_is_missed_by_whoever_saw_it(export, dropped):
    """Trust row 41."""
    kept = export.lines[: 50 - dropped]
    anchor = (50, export.heads[49][:32])

    assert verify(kept).ok
    report = verify(kept, [anchor])
    assert (report.ok, report.anchors_beyond, report.first.seq) == (False, [anchor], 50 - dropped + 1)


@pytest.mark.parametrize("dropped", [1, 10, 50])
def test_a_tail_that_was_cut_off_is_missed_by_a_checkpoint(export, dropped):
    """Trust row 41."""
    report = verify(export.lines[: 50 - dropped], checkpoints=[note(export, 50)], public_key=PUBLIC)
    assert (report.ok, [s for s, _ in report.anchors_beyond]) == (False, [50])


def test_missing_entries_are_a_gap(export):
    report = verify(export.lines[:10] + export.lines[13:])

    assert (report.gaps, report.breaks) == ([(11, 13)], [])
    assert report.first.seq == 14


def test_a_missing_beginning_is_a_gap(export):
    assert verify(export.lines[5:]).gaps == [(1, 5)]


def test_an_entry_that_comes_twice_is_named(export):
    assert verify(export.lines[:10] + export.lines[9:]).first.seq == 10


def test_exchanged_entries_are_named(export):
    lines = list(export.lines)
    lines[4], lines[5] = lines[5], lines[4]
    assert not verify(lines).ok


def test_an_entry_hashed_again_is_betrayed_by_the_next(export):
    row = json.loads(export.lines[6])
    row["entry"]["facts"]["duration_seconds"] = 28800
    row["hash"] = verifier.entry_hash(verifier.canonical(row["entry"]))
    lines = [*export.lines[:6], rfc8785.dumps(row), *export.lines[7:]]

    report = verify(lines)

    assert [p.seq for p in report.breaks] == [8]
    assert "entry 7" in report.first.text


def test_erasing_private_values_leaves_the_chain_whole():
    """ASVS 14.2.4: the erase test. Neither the value nor anything that could be tied to it is left."""
    erased = make_export(50, erase={7, 8})
    report = verify(erased.lines, [(50, erased.heads[49])])

    assert (report.ok, report.private_open, report.private_closed) == (True, 96, 4)
    assert erased.heads == make_export(50).heads
    assert b"technician-7" not in b"".join(erased.lines)


def test_a_changed_private_value_is_wrong(export):
    lines = list(export.lines)
    lines[6] = lines[6].replace(b"technician-7", b"technician-8")
    report = verify(lines)

    assert (report.ok, report.first.seq, [p.seq for p in report.private_wrong]) == (False, 7, [7])


def test_a_private_value_that_the_entry_never_had_is_wrong(export):
    row = json.loads(export.lines[6])
    row["private"]["other"] = row["private"]["actor"]
    assert [p.seq for p in verify([*export.lines[:6], rfc8785.dumps(row), *export.lines[7:]]).private_wrong] == [7]


def test_checkpoints_that_follow_one_another_are_met(export):
    first = note(export, 20)
    second = note(export, 50, previous=checkpoint_hash(first.decode()))
    report = verify(export.lines, checkpoints=[first, second], public_key=PUBLIC)

    assert report.ok
    assert [s for s, _ in report.anchors_met] == [20, 50]


def test_a_checkpoint_that_is_left_out_is_noticed(export):
    report = verify(export.lines, checkpoints=[note(export, 20), note(export, 50, previous="1" * 64)])
    assert [p.seq for p in report.checkpoints] == [50]


def test_a_checkpoint_of_the_empty_log_begins_the_row(export):
    zero = sign_checkpoint(Checkpoint(LOG, 0, empty(LOG).hash, START), KEY, name=NAME).encode()
    wrong = sign_checkpoint(Checkpoint(LOG, 0, "a" * 64, START), KEY, name=NAME).encode()

    assert verify(export.lines, checkpoints=[zero], public_key=PUBLIC).ok
    assert not verify(export.lines, checkpoints=[wrong], public_key=PUBLIC).ok


def test_a_checkpoint_by_another_key_is_refused(export):
    report = verify(export.lines, checkpoints=[note(export, 50, key=Ed25519PrivateKey.generate())], public_key=PUBLIC)
    assert (report.ok, report.first.seq) == (False, 50)


def test_without_the_public_key_the_signature_is_said_to_be_unchecked(export):
    report = verify(export.lines, checkpoints=[note(export, 50)])

    assert report.ok
    assert any("signature" in line and "no public key" in line for line in report.not_checked)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_openssl_judges_signatures_as_cryptography_does():
    signature = KEY.sign(b"text")
    assert verifier._openssl(PUBLIC, b"text", signature) is True
    assert verifier._openssl(PUBLIC, b"texT", signature) is False


def test_a_log_that_goes_on_after_a_broken_one_is_followed(export):
    old_hash = export.heads[49]
    first = append(
        empty("te-00000000000000aa"),
        at=START + timedelta(days=1),
        kind=Kind.LOG_CONTINUED,
        cause="admin",
        facts=continuation(LOG, 50, old_hash),
    )
    line = export_line(first.entry_json, first.hash, {}).encode()

    report = verify([*export.lines, line], [(50, old_hash), (1, first.hash)])
    assert report.ok
    assert f"Log: {LOG}, continued as te-00000000000000aa" in verifier.render(report)
    assert verify([*export.lines[:49], line]).first.seq == 1


def test_a_log_cut_short_and_continued_is_still_missed_by_whoever_saw_the_rest(export):
    """Trust row 41, by way of a continuation that names the shorter end."""
    first = append(
        empty("te-00000000000000aa"),
        at=START + timedelta(days=1),
        kind=Kind.LOG_CONTINUED,
        cause="admin",
        facts=continuation(LOG, 30, export.heads[29]),
    )
    lines = [*export.lines[:30], export_line(first.entry_json, first.hash, {}).encode()]

    assert verify(lines).ok
    assert verify(lines, [(45, export.heads[44])]).anchors_beyond == [(45, export.heads[44])]


def test_nothing_may_start_in_a_new_log_before_somebody_accepted_it(export):
    """Trust section 2: elevations stop, giving back goes on."""

    def lines(*kinds):
        tail, made = empty("te-00000000000000aa"), []
        for kind in kinds:
            facts = continuation(LOG, 50, export.heads[49]) if kind is Kind.LOG_CONTINUED else {}
            entry = append(tail, at=START + timedelta(days=1), kind=kind, cause="cli", facts=facts)
            made.append(export_line(entry.entry_json, entry.hash, {}).encode())
            tail = entry.tail
        return [*export.lines, *made]

    going_back = (Kind.LOG_CONTINUED, Kind.ELEVATION_ENDING, Kind.GIVEBACK_INTENDED, Kind.GIVEBACK_DONE)
    assert verify(lines(*going_back)).ok
    assert verify(lines(*going_back, Kind.LOG_ACCEPTED, Kind.ACTIVATION_INTENDED)).ok
    for kind in STARTS:
        report = verify(lines(*going_back, kind))
        assert (report.ok, report.first.seq, "accepted" in report.first.text) == (False, 5, True)


def test_a_log_that_goes_on_from_one_that_was_left_out_does_not_fit(export):
    """Trust row 41: dropping the whole old log, and keeping the one after it."""
    first = append(
        empty("te-00000000000000aa"),
        at=START,
        kind=Kind.LOG_CONTINUED,
        cause="sweep",
        facts=continuation(LOG, 50, export.heads[49]),
    )
    report = verify([export_line(first.entry_json, first.hash, {}).encode()])
    assert (report.ok, "does not have" in report.first.text) == (False, True)


def test_what_no_anchor_vouches_for_in_a_second_log_is_said(export):
    first = append(
        empty("te-00000000000000aa"),
        at=START + timedelta(days=1),
        kind=Kind.LOG_CONTINUED,
        cause="sweep",
        facts=continuation(LOG, 50, export.heads[49]),
    )
    report = verify([*export.lines, export_line(first.entry_json, first.hash, {}).encode()], [(45, export.heads[44])])
    assert any("The last 6 entries against a rewrite" in line for line in report.not_checked)


def test_another_logs_entries_are_not_taken_for_this_ones(export):
    stranger = append(empty("te-00000000000000aa"), at=START, kind=Kind.LINK_MADE, cause="click")
    report = verify([*export.lines, export_line(stranger.entry_json, stranger.hash, {}).encode()])
    assert "another log" in report.first.text


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b"\xff",
        b'{"entry":{},"entry":{},"hash":"","private":{}}',
        b'{"entry":NaN,"hash":"","private":{}}',
        b'{"entry":' + b"9" * 5000 + b',"hash":"","private":{}}',
        b'{"entry":"\\ud800","hash":"","private":{}}',
        b'{"entry":1.0,"hash":"","private":{}}',
    ],
)
def test_hostile_lines_are_named_and_never_crash(export, line):
    """Trust row 46."""
    assert verify([*export.lines[:3], line, *export.lines[3:]]).first.seq == 4


def test_unknown_keys_and_kinds_do_not_fit():
    row = json.loads(make_export(1).lines[0])
    for change in (
        {"kind": "pick.invented"},
        {"cause": "queue"},
        {"cause": "click\n"},
        {"extra": "x"},
        {"v": 2},
        {"v": True},
    ):
        entry = row["entry"] | change
        changed = {"entry": entry, "hash": verifier.entry_hash(verifier.canonical(entry)), "private": row["private"]}
        assert verify([rfc8785.dumps(changed)]).first.seq == 1


def test_the_verifier_knows_every_kind():
    assert frozenset(Kind) == verifier.KINDS


def test_the_verifier_needs_nothing_but_the_standard_library():
    tree = ast.parse(Path(verifier.__file__).read_text("utf-8"))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {n.split(".")[0] for n in names} - set(sys.stdlib_module_names) == {"cryptography"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_the_file_alone_verifies_in_a_bare_python(export, files):
    """-I -S: no site-packages, so that the signature goes through openssl."""
    script = shutil.copy(verifier.__file__, files / "verify.py")
    command = [sys.executable, "-I", "-S", script, "export.jsonl", "--checkpoint", "note", "--public-key", "key.pem"]
    ran = subprocess.run(
        [*command, "--comments", "comments", "--anchor", f"9:{export.heads[8]}"],
        cwd=files,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Anchors met: entry 9, entry 30, entry 50" in ran.stdout
    assert "signature" not in ran.stdout


def test_the_command_says_which_entry_does_not_fit_and_exits_1(export, files):
    (files / "bad.jsonl").write_bytes(b"\n".join(export.lines).replace(b"technician-7", b"technician-8"))
    ran = CliRunner().invoke(journal, ["verify", str(files / "bad.jsonl"), "--comments", str(files / "comments")])

    assert ran.exit_code == 1
    assert "The first entry that does not fit is entry 7." in ran.output


@pytest.mark.parametrize("key", ["key.pem", "key.b64", "key.hex"])
def test_the_command_takes_the_key_in_every_form_and_exits_0(files, key):
    options = ["--checkpoint", str(files / "note"), "--public-key", str(files / key)]
    ran = CliRunner().invoke(journal, ["verify", str(files / "export.jsonl"), *options])

    assert ran.exit_code == 0, ran.output
    assert "Everything that was checked fits." in ran.output


@pytest.mark.parametrize("anchor", ["9", "9:abc", "x:" + "a" * 32, "0:" + "a" * 32, "9:" + "a" * 31])
def test_an_anchor_too_short_to_prove_anything_is_refused(files, anchor):
    """Trust section 0, item 5."""
    ran = CliRunner().invoke(journal, ["verify", str(files / "export.jsonl"), "--anchor", anchor])

    assert ran.exit_code == 2
    assert "at least the first 32 hex digits" in ran.output


def test_comments_without_a_witness_are_an_error_and_not_a_pass(files):
    ran = CliRunner().invoke(journal, ["verify", str(files / "export.jsonl"), "--comments", str(files / "key.hex")])
    assert ran.exit_code == 2


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), TEXT),
    lambda inner: st.dictionaries(TEXT, inner, max_size=5),
)


@given(VALUE)
def test_canonical_json_is_that_of_the_oracle(value):
    assert verifier.canonical(value).encode() == rfc8785.dumps(value)


def test_keys_are_ordered_by_utf16_and_not_by_code_point():
    value = {"\uff01": 1, "\U0001f600": 2}
    assert verifier.canonical(value).encode() == rfc8785.dumps(value)
    assert next(iter(json.loads(verifier.canonical(value)))) == "\U0001f600"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_subset_in_order_is_whole_or_has_gaps_where_it_was_cut(data):
    """Whatever is dropped, what is missing before the last kept entry is exactly what the report says."""
    whole = make_export(12)
    kept = sorted(data.draw(st.sets(st.integers(0, 11), min_size=1)))
    missing = {s for a, b in verify([whole.lines[i] for i in kept]).gaps for s in range(a, b + 1)}

    assert missing == set(range(1, kept[-1] + 2)) - {i + 1 for i in kept}


@given(st.binary(max_size=300))
def test_no_line_makes_it_crash_or_pass(noise):
    assert not verify([noise]).ok


FACT = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9), st.sampled_from([LOG, "a" * 64]))


@given(st.sampled_from(sorted(verifier._KEYS)), st.one_of(FACT, st.lists(FACT), st.dictionaries(st.text(), FACT)))
@settings(max_examples=200, deadline=None)
def test_no_value_in_an_entry_that_was_hashed_again_makes_it_crash(key, value):
    """The insider knows the format: only the value is odd, the line and its hash are as they have to be."""
    lines = list(make_export(3).lines)
    row = json.loads(lines[1])
    row["entry"][key] = value
    try:
        row["hash"] = verifier.entry_hash(verifier.canonical(row["entry"]))
        lines[1] = rfc8785.dumps(row)
    except (ValueError, rfc8785.CanonicalizationError):
        lines[1] = json.dumps(row).encode()

    assert verifier.render(verify(lines, [(2, "a" * 64)]))


@given(st.dictionaries(st.sampled_from(["old_log", "old_seq", "old_hash", "other"]), FACT), st.binary(max_size=9))
@settings(max_examples=100, deadline=None)
def test_no_continuation_makes_it_crash(facts, noise):
    for before in ([], [noise], make_export(2).lines, [*make_export(2).lines, noise]):
        try:
            first = append(empty("te-" + "1" * 16), at=START, kind=Kind.LOG_CONTINUED, cause="cli", facts=facts)
        except EntryRefused:
            return
        line = export_line(first.entry_json, first.hash, {}).encode()
        assert verifier.render(verify([*before, line, *before]))


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)), st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_an_export_of_anything_is_a_line_that_the_verifier_names(entry, digest):
    line = export_line(entry, digest, {"actor": (b"", b"\xff"), "other": (None, "x"), "third": ("salt", "\ud800")})

    assert not verify([line]).ok


def test_an_entry_nested_without_end_is_exported_and_named():
    for depth in (90, 900, 100_000):
        entry = '{"a":' * depth + "1" + "}" * depth
        assert not verify([export_line(entry, "a" * 64, {})]).ok


@pytest.mark.parametrize("end", ["\u2028", "\x0b", "\r", "\x85"])
def test_a_line_end_of_another_kind_in_a_checkpoint_is_not_one(export, end):
    """It was taken for the end of the signature's line, and stopped the verifier."""
    odd = note(export, 50).decode().replace("elevate.example/", f"elevate{end}example/").encode()

    report = verify(export.lines, checkpoints=[odd], public_key=PUBLIC)

    assert [p.seq for p in report.checkpoints] == [50]


@dataclass(frozen=True)
class Export:
    lines: list[bytes]
    heads: list[str]


def make_export(n: int, *, change_at: int = 0, erase: frozenset[int] | set[int] = frozenset()) -> Export:
    """An export of `n` entries with repeatable salts; the duration in entry `change_at` is another one."""
    dice = random.Random(7)  # noqa: S311 - repeatable on purpose
    tail, lines, heads = empty(LOG), [], []
    for seq in range(1, n + 1):
        made = append(
            tail,
            at=START + timedelta(seconds=seq),
            kind=list(Kind)[seq % len(Kind)],
            elevation=f"01JDEMO{seq:019}",
            cause="delivery:msg_1",
            facts={"duration_seconds": 28800 if seq == change_at else 3600, "rule": "Zürich\n", "ok": True, "to": None},
            private={"actor": f"technician-{seq}", "justification": "TKT-4821: reset"},
            random=dice.randbytes,
        )
        opened = {} if seq in erase else {o.name: (o.salt, o.value) for o in made.opened}
        lines.append(export_line(made.entry_json, made.hash, opened).encode())
        heads.append(made.hash)
        tail = made.tail
    return Export(lines, heads)


def note(export: Export, seq: int, *, previous: str = "0" * 64, key: Ed25519PrivateKey = KEY) -> bytes:
    at = START.replace(hour=23)
    return sign_checkpoint(Checkpoint(LOG, seq, export.heads[seq - 1], at, previous), key, name=NAME).encode()


def _split(whole: bytes) -> list[bytes]:
    lines = whole.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


@pytest.fixture(scope="module")
def export() -> Export:
    return make_export(50)


@pytest.fixture
def files(export, tmp_path):
    public = KEY.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "export.jsonl").write_bytes(b"\n".join(export.lines) + b"\n")
    (tmp_path / "note").write_bytes(note(export, 50))
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "key.b64").write_bytes(base64.b64encode(PUBLIC))
    (tmp_path / "key.hex").write_text(PUBLIC.hex())
    (tmp_path / "comments").write_text(f"Active until 10:30.\nElevation 01J. {witness(30, export.heads[29])}\n")
    return tmp_path
