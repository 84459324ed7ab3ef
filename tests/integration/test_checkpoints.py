"""Checkpoints in a running deployment, on both databases.

Contract: where the journal stands is signed once a day, also when idle, and copied to where insiders cannot reach. A
key or a store that is away is reported and hinders nothing; a checkpoint that was hidden, or a cut, shows.
"""

import logging
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cli.main import commands
from integration import checkpoints, verify
from integration.checkpoints import KeyUnusable, StoreAway
from integration.deployment import Deployment
from integration.journal import Kind
from integration.records import checkpoints as rows
from integration.records import journal
from integration.records.tables import journal as entries
from tests.conftest import Practice, until
from tests.end_to_end.product import settings_file
from tests.integration.records.test_tables import NOON
from workers.app import app

DAY = timedelta(days=1)


def write(deployment: Deployment, times: int = 1) -> None:
    for _ in range(times):
        with deployment.records.write() as tx:
            journal.append(tx, Kind.PICK_PLANNED, now=NOON, cause="sweep")


def signed(deployment: Deployment) -> list[rows.Note]:
    with deployment.records.read() as connection:
        return rows.every(connection)


def verified(deployment: Deployment, *, drop: int = 0) -> verify.Report:
    with deployment.records.read() as connection:
        lines = list(journal.export(connection))
    found = sorted(deployment.settings.checkpoint_dir.glob("[0-9]*.txt"))
    public = verify.read_key(deployment.settings.checkpoint_key_file.with_suffix(".pub").read_bytes())
    return verify.verify(lines[: len(lines) - drop], checkpoints=[f.read_bytes() for f in found], public_key=public)


def test_one_is_signed_a_day_also_when_nothing_happened(deployment: Deployment) -> None:
    """Threat 41: a cut is noticed although nothing was written since."""
    write(deployment, 3)
    for now in (NOON, NOON + timedelta(minutes=5), NOON + DAY, NOON + DAY, NOON + 2 * DAY):
        checkpoints.keep(deployment, now=now)

    assert [note.number for note in signed(deployment)] == [1, 2, 3]
    report = verified(deployment)
    assert report.ok, verify.render(report)
    assert [seq for seq, _ in report.anchors_met] == [3, 4, 5]
    assert not any("checkpoint" in line for line in report.not_checked)
    assert verified(deployment, drop=2).anchors_beyond


def test_however_many_beats_there_are_one_is_signed(deployment: Deployment) -> None:
    write(deployment)
    together = threading.Barrier(4)

    def keep() -> None:
        together.wait(20)
        checkpoints.keep(deployment, now=NOON)

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(signed(deployment)) == 1


def test_beat_asks_for_them() -> None:
    assert "checkpoint" in {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert "checkpoint" in app.tasks


def test_an_empty_journal_has_nothing_to_sign(deployment: Deployment) -> None:
    checkpoints.keep(deployment, now=NOON)

    assert signed(deployment) == []


def test_without_a_key_nothing_is_signed_and_the_log_says_so(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    deployment.settings.checkpoint_key_file.unlink()
    write(deployment)

    with caplog.at_level(logging.WARNING):
        checkpoints.keep(deployment, now=NOON)

    assert signed(deployment) == []
    assert [record.message for record in caplog.records] == ["no_checkpoint"]
    write(deployment)


@pytest.mark.parametrize("mode", [0o440, 0o404])
def test_a_key_that_others_can_read_signs_nothing(deployment: Deployment, mode: int) -> None:
    """Threat 25."""
    path = deployment.settings.checkpoint_key_file
    path.chmod(mode)

    with pytest.raises(KeyUnusable, match="chmod 400"):
        checkpoints.read_key(path)


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "\xff"])
def test_a_file_that_is_no_key_is_said_and_never_quoted(deployment: Deployment, content: str) -> None:
    path = deployment.settings.checkpoint_key_file
    path.chmod(0o600)
    path.write_text(content, encoding="latin-1")

    with pytest.raises(KeyUnusable, match="keys generate --checkpoint") as error:
        checkpoints.read_key(path)
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_a_store_that_is_away_delays_the_copies_and_nothing_else(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead anchor delays and alarms; it never blocks."""
    store = deployment.settings.checkpoint_dir
    store.rename(store.with_name("away"))
    write(deployment)
    with caplog.at_level(logging.ERROR):
        checkpoints.keep(deployment, now=NOON)
        checkpoints.keep(deployment, now=NOON + DAY)
    assert [record.message for record in caplog.records] == ["checkpoint_store_away"] * 2
    assert [note.stored_at for note in signed(deployment)] == [None, None]

    store.with_name("away").rename(store)
    checkpoints.keep(deployment, now=NOON + DAY)

    assert verified(deployment).ok
    assert len(list(store.iterdir())) == 2
    assert all(note.stored_at for note in signed(deployment))


def test_a_store_that_hangs_holds_up_nobody(deployment: Deployment) -> None:
    write(deployment)
    note = checkpoints.sign(deployment, now=NOON, cause="cli")
    assert note is not None
    hanging = deployment.settings.checkpoint_dir / note.file_name
    os.mkfifo(hanging)  # whoever opens it for reading waits for a writer

    with pytest.raises(StoreAway, match="no answer"):
        checkpoints.copy(deployment, now=NOON, seconds=0.1)
    with pytest.raises(StoreAway, match="still hangs"):
        checkpoints.copy(deployment, now=NOON, seconds=30)
    write(deployment)

    hanging.write_text("")  # a writer: the one that hung goes on, and sees that this is no checkpoint
    until(lambda: not checkpoints._at_work.locked(), "the thread ends")
    hanging.unlink()
    checkpoints.copy(deployment, now=NOON)
    assert verified(deployment).ok


def test_a_copy_that_was_changed_is_never_written_over(deployment: Deployment) -> None:
    write(deployment)
    note = checkpoints.sign(deployment, now=NOON, cause="cli")
    assert note is not None
    (deployment.settings.checkpoint_dir / note.file_name).write_text("something else")

    with pytest.raises(StoreAway, match="something else"):
        checkpoints.copy(deployment, now=NOON)


def test_a_checkpoint_that_somebody_hid_is_missed(deployment: Deployment) -> None:
    """Threat 40: the journal names each; the table refuses to forget one."""
    for day in range(3):
        write(deployment)
        checkpoints.keep(deployment, now=NOON + day * DAY)
    for statement in ("DELETE FROM journal_checkpoints", "UPDATE journal_checkpoints SET note = ''"):
        with pytest.raises(sa.exc.DatabaseError, match="append-only"), deployment.records.write() as tx:
            tx.exec_driver_sql(statement)
    _, second, third = sorted(deployment.settings.checkpoint_dir.iterdir())
    newest = third.read_bytes()

    third.unlink()
    report = verified(deployment)
    assert report.ok
    assert any("1 checkpoints that the journal names" in line for line in report.not_checked)

    third.write_bytes(newest)
    second.unlink()
    report = verified(deployment)
    assert not report.ok
    assert "does not name the one given before it" in report.checkpoints[0].text


def test_a_broken_end_is_not_signed_and_begins_no_new_log(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    write(deployment, 2)
    with deployment.records.write() as tx:
        trigger = {
            "sqlite": "DROP TRIGGER journal_no_update",
            "postgresql": "ALTER TABLE journal DISABLE TRIGGER USER",
        }
        tx.exec_driver_sql(trigger[tx.dialect.name])
        tx.execute(entries.update().where(entries.c.place == 2).values(hash="0" * 64))

    checkpoints.keep(deployment, now=NOON)

    assert "no_checkpoint" in caplog.messages
    assert signed(deployment) == []
    with deployment.records.read() as connection:
        assert len(list(journal.export(connection))) == 2


@pytest.fixture
def command(practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(settings_file(practice, tmp_path)))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(commands, arguments)

    assert run("init").exit_code == 0
    return run


def test_an_auditor_verifies_an_export_with_the_directory_and_the_public_key(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from integration import settings

    deployment = Deployment(settings.load())
    write(deployment, 3)
    assert command("journal", "checkpoint").exit_code == 0
    (tmp_path / "public.pem").write_text(command("keys", "public").output)
    out = tmp_path / "export.jsonl"
    assert command("export", "--output", str(out)).exit_code == 0
    options = ["--checkpoints", str(tmp_path / "checkpoints"), "--public-key", str(tmp_path / "public.pem")]

    good = command("journal", "verify", str(out), *options)
    assert (good.exit_code, "Anchors met: entry 3, entry 4" in good.output) == (0, True), good.output

    out.write_text("".join(out.read_text().splitlines(keepends=True)[:2]))
    cut = command("journal", "verify", str(out), *options)
    assert (cut.exit_code, "entry 3 was witnessed" in cut.output) == (1, True)
    deployment.records.dispose()


def test_an_export_is_made_although_no_checkpoint_can_be(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "checkpoint-key").unlink()

    made = command("export")

    assert made.exit_code == 0
    assert "init" in made.stderr
    assert command("journal", "checkpoint").exit_code == 1


def test_a_generated_checkpoint_key_is_one(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "other"
    path.write_text(command("keys", "generate", "--checkpoint").output)
    path.chmod(0o400)

    assert checkpoints.read_key(path)


def test_init_keeps_the_key_that_is_there(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = (tmp_path / "checkpoint-key").read_bytes()

    command("init")

    assert (tmp_path / "checkpoint-key").read_bytes() == before
    assert (tmp_path / "checkpoint-key.pub").read_text() == command("keys", "public").output
