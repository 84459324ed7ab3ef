"""The key ring's commands. Contract: a rotated ring seals anew and still opens what it sealed before."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import commands
from integration.entra.seal import Sealer, parse_keys, read_keys
from tests.conftest import Practice
from tests.end_to_end.product import settings_file


def test_a_generated_line_is_a_key_file() -> None:
    made = CliRunner().invoke(commands, ["keys", "generate"])

    assert made.exit_code == 0
    assert len(parse_keys(made.output)) == 1


def test_rotating_seals_with_a_fresh_key_and_opens_the_old(
    practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(settings_file(practice, tmp_path)))
    before = Sealer(read_keys(tmp_path / "keys"))
    sealed = before.seal(b"a sign-in", tid="t", oid="o", version=1)

    assert CliRunner().invoke(commands, ["keys", "rotate"]).exit_code == 0

    ring = read_keys(tmp_path / "keys")
    assert len(ring) == 2
    assert Sealer(ring).open(sealed, tid="t", oid="o", version=1) == b"a sign-in"
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o400


def test_a_ring_that_is_not_there_is_said_and_not_made(
    practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(settings_file(practice, tmp_path)))
    (tmp_path / "keys").unlink()

    answer = CliRunner().invoke(commands, ["keys", "rotate"])

    assert answer.exit_code == 1
    assert "cannot be read" in answer.output
    assert not (tmp_path / "keys").exists()
