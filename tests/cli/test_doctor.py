"""`ticket-elevate doctor`. Contract: each thing that is wrong is found, and said with its fix."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.doctor import examine
from cli.main import commands
from integration.deployment import Deployment
from integration.tickets import Finding
from tests.conftest import Practice, settings_for
from tests.end_to_end.product import settings_file

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
