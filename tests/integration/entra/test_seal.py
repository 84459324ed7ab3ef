"""A sealed sign-in opens in its own row and version, with a known key, and nowhere else (threats 22, 23, 25)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.entra.errors import SetupWrong, Unsealable
from integration.entra.seal import Sealer, generate, parse_keys, read_keys

OLD, NEW = generate(), generate()


def test_what_was_sealed_opens_in_its_row() -> None:
    seal = Sealer(parse_keys(NEW))
    blob = seal.seal(b"canary", tid="t", oid="o", version=3)
    assert b"canary" not in blob
    assert len(blob) == len(b"canary") + 1 + 4 + 12 + 16
    assert seal.open(blob, tid="t", oid="o", version=3) == b"canary"


@pytest.mark.parametrize("row", [("t", "x", 3), ("x", "o", 3), ("t", "o", 2)])
def test_a_copied_or_old_blob_does_not_open(row: tuple[str, str, int]) -> None:
    seal = Sealer(parse_keys(NEW))
    blob = seal.seal(b"canary", tid="t", oid="o", version=3)
    with pytest.raises(Unsealable):
        seal.open(blob, tid=row[0], oid=row[1], version=row[2])


def test_an_old_key_still_opens_and_a_missing_one_does_not() -> None:
    blob = Sealer(parse_keys(OLD)).seal(b"canary", tid="t", oid="o", version=1)
    both = Sealer(parse_keys(f"# newest first\n{NEW} 2026-11-24T00:00:00+00:00\n{OLD}\n"))
    assert both.open(blob, tid="t", oid="o", version=1) == b"canary"
    assert not both.is_current(blob)
    with pytest.raises(Unsealable):
        Sealer(parse_keys(NEW)).open(blob, tid="t", oid="o", version=1)


@given(st.integers(min_value=0, max_value=38), st.integers(min_value=1, max_value=255))
def test_any_flipped_bit_is_seen(place: int, flip: int) -> None:
    seal = Sealer(parse_keys(NEW))
    blob = bytearray(seal.seal(b"canary", tid="t", oid="o", version=1))
    blob[place] ^= flip
    with pytest.raises(Unsealable):
        seal.open(bytes(blob), tid="t", oid="o", version=1)


@given(st.binary(max_size=80))
def test_noise_does_not_open(blob: bytes) -> None:
    with pytest.raises(Unsealable):
        Sealer(parse_keys(NEW)).open(blob, tid="t", oid="o", version=1)


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o660])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    path.write_text(NEW)
    path.chmod(mode)
    with pytest.raises(SetupWrong, match="read by others"):
        read_keys(path)
    path.chmod(0o400)
    assert len(read_keys(path)) == 1


@pytest.mark.parametrize("text", ["", "abcd", "abcd c2hvcnQ=", "toolong " + NEW.split()[1], NEW + " yesterday"])
def test_a_bad_key_file_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(SetupWrong) as refused:
        parse_keys(text)
    assert NEW.split()[1] not in str(refused.value)
