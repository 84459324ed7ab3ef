"""Health of worker and beat. Contract: healthy is who did their work a moment ago; nothing is written per task."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import commands
from tests.conftest import Practice
from tests.end_to_end.product import settings_file
from tests.integration.records.test_tables import NOON
from workers import health
from workers.health import BEAT, WORKER, fault, mark


@pytest.mark.parametrize("what", [WORKER, BEAT])
def test_who_did_its_work_is_healthy_for_a_while(tmp_path: Path, what: str) -> None:
    assert "redis" in (fault(tmp_path, what) or "").casefold()
    mark(tmp_path, what)
    assert fault(tmp_path, what) is None

    (path,) = (tmp_path / "health").iterdir()
    old = time.time() - health.PATIENCE[what] - 1
    os.utime(path, (old, old))
    assert fault(tmp_path, what) is not None


def test_a_worker_does_not_speak_for_beat(tmp_path: Path) -> None:
    mark(tmp_path, WORKER)

    assert fault(tmp_path, BEAT) is not None


def test_a_directory_that_cannot_be_written_hinders_no_work(tmp_path: Path) -> None:
    (tmp_path / "health").write_text("in the way")

    mark(tmp_path, WORKER)

    assert fault(tmp_path, WORKER) is not None


def test_the_database_hears_of_a_sweep_every_few_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_noted", None)
    noted = [health.should_note(NOON + timedelta(seconds=s)) for s in range(25)]

    assert [s for s, it in enumerate(noted) if it] == [0, 10, 20]
    assert health.should_note(NOON - timedelta(hours=1))  # a clock that was set back does not silence it


def test_the_command_says_it_with_its_exit_status(
    practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(settings_file(practice, tmp_path)))

    def ask() -> tuple[int, int]:
        return CliRunner().invoke(commands, ["health", "worker"]).exit_code, health.main(["worker"])

    assert ask() == (1, 1)
    mark(tmp_path, WORKER)
    assert ask() == (0, 0)
    assert health.main([]) == 2
