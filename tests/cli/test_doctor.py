"""`ticket-elevate doctor`. Contract: each thing that is wrong is found, and said with its fix."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from freezegun import freeze_time

from cli.main import commands
from integration import checkpoints
from integration.deployment import Deployment
from integration.journal import Kind
from integration.records import journal
from integration.rules import SHIPPED
from integration.tickets import Finding
from tests.conftest import Practice, settings_for
from tests.end_to_end.product import settings_file
from workers.doctor import _clock, examine

Findings = Callable[..., dict[str, Finding]]


def helpdesk_of(practice: Practice, token: str) -> dict[str, Any]:
    return {
        "kind": "generic",
        "url": practice.facts["helpdesk_url"],
        "check_url": "/api/me",
        "token": token,
        "service_account": practice.facts["helpdesk_service_account"],
        "secrets": {"first": practice.facts["webhook_secret"]},
    }


@pytest.fixture
def findings(practice: Practice, tmp_path: Path) -> Iterator[Findings]:
    """What the doctor finds in a deployment with these settings; its tables are there."""
    made: list[Deployment] = []

    def look(**more: Any) -> dict[str, Finding]:
        url = more.pop("database_url", f"sqlite:///{tmp_path}/elevate.sqlite")
        deployment = Deployment(settings_for(practice, url, tmp_path, **more))
        made.append(deployment)
        if url.startswith("sqlite"):
            deployment.records.migrate()
        return {found.what: found for found in examine(deployment)}

    yield look
    for deployment in made:
        deployment.records.dispose()


def test_what_is_right_is_said_to_be_right(findings: Findings, practice: Practice) -> None:
    found = findings(helpdesks={"practice": helpdesk_of(practice, practice.facts["helpdesk_token"])})

    wrong = [name for name, it in found.items() if not it.ok]
    assert wrong == ["queue"]  # nobody started a Redis here
    assert "ticket-elevate run" in found["queue"].fix


def test_no_helpdesk_at_all_is_found(findings: Findings) -> None:
    found = findings(helpdesks={})["helpdesks"]

    assert not found.ok
    assert "ticket-elevate connect" in found.fix


def test_a_key_ring_that_others_can_read_is_found(findings: Findings, tmp_path: Path) -> None:
    findings()
    (tmp_path / "keys").chmod(0o444)

    assert "chmod 400" in findings()["key ring"].fix


def test_missing_tables_are_found(practice: Practice, tmp_path: Path) -> None:
    deployment = Deployment(settings_for(practice, f"sqlite:///{tmp_path}/empty.sqlite", tmp_path))

    found = {it.what: it for it in examine(deployment)}

    assert "ticket-elevate init" in found["database"].fix
    assert not found["database"].ok
    deployment.records.dispose()


def test_a_database_that_does_not_answer_is_found(findings: Findings) -> None:
    found = findings(database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")["database"]

    assert not found.ok
    assert "database_url" in found.fix


def test_rules_that_cannot_be_used_are_found(findings: Findings, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("this is no rules file")

    found = findings(rules_file=tmp_path / "rules.toml")["rules"]

    assert not found.ok
    assert found.fix


BREAK_GLASS = '[break_glass]\nroles = ["Password Administrator"]\n'


@pytest.mark.parametrize(("told", "ok"), [((), False), (("json://127.0.0.1:9/alarm",), True)])
def test_break_glass_of_which_nobody_is_told_is_found(
    findings: Findings, tmp_path: Path, told: tuple[str, ...], ok: bool
) -> None:
    (tmp_path / "rules.toml").write_text(BREAK_GLASS + SHIPPED.read_text())
    found = findings(rules_file=tmp_path / "rules.toml", notify={"break_glass": told})["break glass"]
    assert found.ok is ok


def test_without_break_glass_nobody_needs_to_be_told(findings: Findings) -> None:
    assert "break glass" not in findings()


def test_a_tenant_that_does_not_answer_is_found(findings: Findings, practice: Practice) -> None:
    names = ("tenant_id", "client_id", "client_secret", "graph_url", "arm_url", "ca_bundle")
    entra = {name: practice.facts[name] for name in names}
    entra["authority"] = f"https://127.0.0.1:1/{entra['tenant_id']}"

    found = findings(entra=entra)["tenant"]

    assert not found.ok
    assert "entra.authority" in found.fix


def test_a_helpdesk_that_refuses_our_token_is_found(findings: Findings, practice: Practice) -> None:
    helpdesk = helpdesk_of(practice, "wrong")

    found = findings(helpdesks={"practice": helpdesk})

    wrong = [it for name, it in found.items() if name.startswith("practice") and not it.ok]
    assert wrong
    assert "Make a new API token" in wrong[0].fix


def test_a_broken_journal_is_found_until_an_administrator_accepts_it(
    practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 39."""
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(settings_file(practice, tmp_path)))

    def found() -> Finding:
        return next(it for it in examine(deployment) if it.what == "journal")

    def accept(**more: Any) -> Result:
        return CliRunner().invoke(commands, ["journal", "accept-break", "--reason", "a bad disk"], **more)

    deployment = Deployment(settings_for(practice, f"sqlite:///{tmp_path}/elevate.sqlite", tmp_path))
    deployment.records.migrate()
    append(deployment, 2)
    assert found().ok
    assert accept(input="y\n").exit_code == 1
    with deployment.records.write() as tx:
        tx.exec_driver_sql("DROP TRIGGER journal_no_update")
        tx.exec_driver_sql("UPDATE journal SET entry = replace(entry, 'sweep', 'admin') WHERE place = 2")

    assert "accept-break" in found().fix
    assert not found().ok
    assert accept(input="n\n").exit_code == 1
    assert not found().ok
    said = accept(input="y\n")
    assert (said.exit_code, "Elevations start again. Journal 2 " in said.output) == (0, True), said.output
    assert found().ok
    append(deployment)
    deployment.records.dispose()


def append(deployment: Deployment, times: int = 1) -> None:
    for _ in range(times):
        with deployment.records.write() as tx:
            journal.append(tx, Kind.PICK_PLANNED, now=datetime.now(UTC), cause="sweep")


def test_a_checkpoint_key_that_is_missing_or_open_to_others_is_found(findings: Findings, tmp_path: Path) -> None:
    """Threat 25."""
    assert findings()["checkpoint key"].ok
    (tmp_path / "checkpoint-key").chmod(0o440)
    assert "chmod 400" in findings()["checkpoint key"].fix
    elsewhere = findings(checkpoint_key_file=tmp_path / "elsewhere")["checkpoint key"]
    assert (elsewhere.ok, "ticket-elevate init" in elsewhere.fix) == (False, True)


def test_a_restored_backup_is_found_by_the_newest_checkpoint(practice: Practice, tmp_path: Path) -> None:
    """Threat 41: the journal is shorter than somebody witnessed."""
    made = []
    for name, entries in (("now", 5), ("backup", 3)):
        deployment = Deployment(settings_for(practice, f"sqlite:///{tmp_path}/{name}.sqlite", tmp_path))
        deployment.records.migrate()
        append(deployment, entries)
        made.append(deployment)
    checkpoints.keep(made[0], now=datetime.now(UTC))

    now, backup = [next(it for it in examine(d) if it.what == "checkpoints") for d in made]

    assert now.ok
    assert not backup.ok
    assert "backup" in backup.fix
    for deployment in made:
        deployment.records.dispose()


def test_checkpoints_that_wait_for_their_store_are_found(practice: Practice, tmp_path: Path) -> None:
    deployment = Deployment(settings_for(practice, f"sqlite:///{tmp_path}/elevate.sqlite", tmp_path))
    deployment.records.migrate()
    append(deployment)
    checkpoints.sign(deployment, now=datetime.now(UTC), cause="cli")

    def found() -> Finding:
        return next(it for it in examine(deployment) if it.what == "checkpoints")

    assert "1 are not in" in found().fix
    checkpoints.copy(deployment, now=datetime.now(UTC))
    assert found().ok
    for copy in deployment.settings.checkpoint_dir.iterdir():
        copy.unlink()
    deployment.settings.checkpoint_dir.rmdir()
    assert "checkpoint_dir" in found().fix
    deployment.records.dispose()


@pytest.mark.parametrize(("off", "words"), [(90, "ahead of"), (-90, "behind")])
def test_a_clock_that_is_not_the_tenants_is_found(findings: Findings, off: int, words: str) -> None:
    """Threat 44."""
    assert findings()["clock"].ok
    with freeze_time(datetime.now(UTC) + timedelta(seconds=off / 3), tick=True):
        assert findings()["clock"].ok

    with freeze_time(datetime.now(UTC) + timedelta(seconds=off), tick=True):
        found = findings()

    assert found["tenant"].ok
    assert not found["clock"].ok
    assert f"seconds {words} the tenant's" in found["clock"].fix
    assert "NTP" in found["clock"].fix


@pytest.mark.parametrize(
    "told", ["", "now", "\u0663", "Tue, 24 Nov 99999 09:00:00 GMT", "Tue, 24 Nov 2026 09:00:00 +9999"]
)
def test_a_date_that_is_none_is_not_compared_with(told: str) -> None:
    assert not [found for found in _clock(told, datetime(2026, 11, 24, 9, tzinfo=UTC)) if found.ok]


def run_doctor(settings: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(settings))
    return CliRunner().invoke(commands, ["doctor"])


def test_the_command_exits_with_one_and_prints_no_secret(
    practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run_doctor(settings_file(practice, tmp_path), monkeypatch)

    assert answer.exit_code == 1
    assert "FAIL database" in answer.output
    for name in ("client_secret", "helpdesk_token", "webhook_secret"):
        assert practice.facts[name] not in answer.output
