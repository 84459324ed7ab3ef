"""`ticket-elevate connect request_tracker` against a real Request Tracker 5: from nothing to what works."""

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import commands
from integration import helpdesks
from tests.conftest import Practice
from tests.end_to_end.product import settings_file
from tests.end_to_end.request_tracker import RtInstance, install_packages

pytestmark = [pytest.mark.request_tracker, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtInstance]:
    install_packages()
    secret = "whsec_" + "VGhlIHNlY3JldCBvZiBhIHRlc3QsIDMyIGJ5dGVzISE="
    nowhere = "http://127.0.0.1:9"
    instance = RtInstance.start(
        tmp_path_factory.mktemp("rt"), webhook_url=nowhere, secret=secret, elevate_url=f"{nowhere}/{{ticket}}"
    )
    yield instance
    instance.stop()


@pytest.fixture
def settings(practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = settings_file(practice, tmp_path, public_url='"https://elevate.example.org"')
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(path))
    return path


def connect(rt: RtInstance, number: str, monkeypatch: pytest.MonkeyPatch, *, who: str = "elevate-bot") -> Result:
    monkeypatch.setenv("TICKET_ELEVATE_CONNECT_TOKEN", rt.tokens[who])
    answers = [f"--set=url={rt.url}", f"--set=service_account={who}"]
    command = ["connect", "request_tracker", "--name", "rt", *answers, "--test-ticket", number, "--yes"]
    return CliRunner().invoke(commands, command)


def test_a_real_one_is_connected_and_its_rights_are_tried(
    rt: RtInstance, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = rt.create_ticket("for trials")

    said = connect(rt, number, monkeypatch)

    assert said.exit_code == 0, said.output
    table = tomllib.loads(settings.read_text())["helpdesks"]["rt"]
    assert helpdesks.connect("rt", table).ticket(number, now=datetime.now(UTC)).subject == "for trials"
    assert "Nothing was started by it" in rt.comments(number)[-1]
    assert "sh install.sh --webhook https://elevate.example.org/webhooks/rt" in said.output
    secret = Path(table["secrets"]["current"]["file"]).read_text().strip()
    assert re.fullmatch("whsec_[A-Za-z0-9+/]+=*", secret)
    assert secret not in said.output
    assert rt.tokens["elevate-bot"] not in said.output


def test_an_account_that_may_not_see_the_ticket_is_told_so_and_nothing_is_written(
    rt: RtInstance, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, before = rt.create_ticket("not for them"), settings.read_text()

    said = connect(rt, number, monkeypatch, who="requester")

    assert said.exit_code == 1
    assert "FAIL" in said.output
    assert settings.read_text() == before
