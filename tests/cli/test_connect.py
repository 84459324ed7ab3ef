"""`ticket-elevate connect`. Contract: from nothing to a connection that works, nothing twice, nothing by halves, no
secret on the screen."""

import base64
import errno
import io
import json
import re
import secrets
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from cli.main import commands
from integration import helpdesks, settings
from integration.deployment import Deployment
from integration.helpdesks.setup import of_class
from tests.conftest import ROOT, Practice, practice_runs, until
from tests.end_to_end.product import settings_file
from tests.end_to_end.receiver import Receiver
from workers.doctor import examine

PUBLIC = "https://elevate.example.org"
KINDS = ("freshservice", "generic", "jira", "servicenow", "teamdynamix", "zammad", "zendesk")
FOUND = {kind: ("service_account",) for kind in KINDS if kind != "generic"}
NOTES = {  # the call that writes one
    "freshservice": ("/tickets/[0-9]+/notes$", "POST"),
    "generic": ("/notes$", "POST"),
    "servicenow": ("/api/now/table/incident/", "PATCH"),
    "teamdynamix": ("/feed$", "POST"),
    "jira": ("/rest/servicedeskapi/request/.+/comment$", "POST"),
    "zammad": ("/ticket_articles$", "POST"),
    "zendesk": (r"^/api/v2/tickets/[0-9]+$", "PUT"),
}
LAST_CALL = {"zammad": ("/triggers$", "POST"), "zendesk": ("/signing_secret$", "GET")}
NOT_ASKED = {kind: ("secrets", *FOUND.get(kind, ())) for kind in KINDS}
MAKES = ("jira", "zammad", "zendesk")  # whose API makes what calls us
STOPS = dict(zip(MAKES, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP), strict=True))
BODIES: dict[str, Callable[[str], str]] = {
    "jira": lambda number: json.dumps(
        {
            "timestamp": int(time.time() * 1000),
            "webhookEvent": "jira:issue_updated",
            "issue": {"id": "1", "key": number},
        }
    ),
    "zammad": lambda number: json.dumps({"ticket": {"id": int(number), "updated_at": "2026-01-01T00:00:00Z"}}),
    "zendesk": lambda number: json.dumps({"ticket_id": number, "actor_id": "1"}),
}
COMMENT = "# the desk of the main office\n"


@dataclass
class Administrator:
    """Somebody with what they know of their helpdesk, at a machine on which it is not connected yet."""

    practice: Practice
    directory: Path
    name: str
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Path:
        return self.directory / "settings.toml"

    def answers(self, **changes: Any) -> Path:
        path = self.directory / "answers.toml"
        lines = [f"{key} = {toml(value)}" for key, value in {**self.known, **changes}.items() if value is not None]
        path.write_text("\n".join(lines))
        return path

    def connect(self, *more: str, keys: str | None = None, **changes: Any) -> Result:
        kind = self.practice.facts["helpdesk"]["kind"]
        command = ["connect", kind, "--name", self.name, "--answers", str(self.answers(**changes)), *more]
        return CliRunner().invoke(commands, [*command, *([] if keys is not None else ["--yes"])], input=keys)

    def table(self) -> dict[str, Any]:
        found: dict[str, Any] = tomllib.loads(self.settings.read_text())["helpdesks"][self.name]
        return found

    def secrets(self) -> list[str]:
        """Everything that must never be seen."""
        kept = [it.read_text().strip() for it in (self.directory / "helpdesks").glob("*")]
        hidden = re.compile("secret|token|password|key$")
        return kept + [str(value) for name, value in self.known.items() if hidden.search(name)]

    def created(self) -> list[str]:
        """What was created at the helpdesk apart from notes, or deleted again."""
        rows = self.practice.log()["requests"]
        done = [it for it in rows if (it["status"] or it.get("done_status") or 599) < 300]
        taken = [it for it in done if it["side"] == "helpdesk" and it["method"] != "GET"]
        return [f"{it['method']} {it['path']}" for it in taken if re.search("webhooks|triggers|attributes", it["path"])]

    def forbid(self, path: str, method: str = "", times: int = 100, status: int = 403) -> None:
        match = {"side": "helpdesk", "method": method, "path": path}
        fault = {"match": match, "kind": "status", "status": status, "body": "{}", "times": times}
        self.practice.control("/faults", fault)

    def left_nothing(self, created: list[str], settings_before: str) -> None:
        assert self.settings.read_text() == settings_before
        assert list((self.directory / "helpdesks").glob("*")) == []
        new = [it.partition(" ")[0] for it in self.created()[len(created) :]]
        assert new.count("POST") == new.count("DELETE")

    def doctor(self) -> dict[str, bool]:
        """What doctor says of this connection alone."""
        deployment = Deployment(settings.load())
        return {it.what: it.ok for it in examine(deployment) if it.what.startswith(f"{self.name}: ")}


def kind_of(administrator: Administrator) -> str:
    return str(administrator.practice.facts["helpdesk"]["kind"])


def now() -> datetime:
    return datetime.now(UTC)


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    kind = request.param
    options = [] if kind == "generic" else ["--helpdesk", kind]
    with practice_runs(tmp_path_factory.mktemp(kind), *options) as practice:
        yield practice


@pytest.fixture
def administrator(running: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Administrator:
    running.control("/reset")
    running.control("/webhooks", {"url": ""})
    requests.delete(f"{running.facts['practice_url']}/_practice/faults", timeout=10).raise_for_status()
    path = settings_file(running, tmp_path, public_url=f'"{PUBLIC}"')
    without, _, _ = path.read_text().partition("[helpdesks")
    path.write_text(COMMENT + without)
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(path))
    table = running.facts["helpdesk"]
    told = ("kind", "secrets", *FOUND.get(table["kind"], ()))
    known = {name: it for name, it in table.items() if name not in told} | running.facts["helpdesk_once"]
    # Each test makes a connection of its own at a helpdesk that outlives it.
    return Administrator(running, tmp_path, f"desk-{secrets.token_hex(4)}", known)


def ticket(practice: Practice) -> str:
    return str(practice.facts["helpdesk_number"]).replace("{number}", practice.new_ticket())


def test_from_nothing_to_a_connection_that_works(administrator: Administrator) -> None:
    number = ticket(administrator.practice)

    said = administrator.connect("--test-ticket", number)

    assert said.exit_code == 0, said.output
    assert "FAIL" not in said.output
    assert "Left to be done by hand:" in said.output
    if "(`categories`)" in said.output:
        assert "categories" in helpdesks.load(kind_of(administrator)).Settings.model_fields
    helpdesk = helpdesks.connect(administrator.name, administrator.table())
    assert helpdesk.ticket(number, now=now()).number == number
    assert all(administrator.doctor().values())
    for secret in administrator.secrets():
        assert secret not in said.output
        assert secret not in administrator.settings.read_text()


def test_secrets_are_in_files_that_nobody_else_reads(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0

    files = list((administrator.directory / "helpdesks").iterdir())
    assert files
    assert {stat.S_IMODE(it.stat().st_mode) for it in files} == {0o600}
    assert stat.S_IMODE((administrator.directory / "helpdesks").stat().st_mode) == 0o700


def test_the_rest_of_the_settings_stays_as_it_is(administrator: Administrator) -> None:
    before = administrator.settings.read_text()
    administrator.settings.chmod(0o640)

    assert administrator.connect().exit_code == 0

    assert administrator.settings.read_text().startswith(before.rstrip())
    assert stat.S_IMODE(administrator.settings.stat().st_mode) == 0o640


def test_a_connection_that_is_there_is_not_overwritten_unasked(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    before = administrator.settings.read_text()

    said = administrator.connect()

    assert said.exit_code == 1
    assert "--replace" in said.output
    assert administrator.settings.read_text() == before


def test_twice_makes_nothing_twice(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    table = administrator.table()
    text = administrator.settings.read_text()
    files = sorted((administrator.directory / "helpdesks").iterdir())
    before = administrator.created()

    said = administrator.connect("--replace")

    assert said.exit_code == 0, said.output
    assert administrator.table() == table
    assert administrator.settings.read_text() == text
    assert sorted((administrator.directory / "helpdesks").iterdir()) == files
    assert administrator.created() == before


def test_a_right_that_is_missing_is_told_and_nothing_is_left(administrator: Administrator) -> None:
    number = ticket(administrator.practice)
    before, settings_before = administrator.created(), administrator.settings.read_text()
    administrator.forbid(*NOTES[kind_of(administrator)])

    said = administrator.connect("--test-ticket", number)

    assert said.exit_code == 1
    assert f"FAIL an internal note can be written on ticket {number}" in said.output
    assert "Let our account write internal notes" in said.output
    administrator.left_nothing(before, settings_before)


@pytest.mark.parametrize("running", LAST_CALL, indirect=True, scope="module")
def test_what_was_created_is_taken_away_when_a_later_call_is_refused(administrator: Administrator) -> None:
    last = LAST_CALL[kind_of(administrator)]
    before, settings_before = administrator.created(), administrator.settings.read_text()
    administrator.forbid(*last)

    said = administrator.connect()

    assert said.exit_code == 1
    assert "Taken away again: the webhook." in said.output
    administrator.left_nothing(before, settings_before)


def test_secrets_that_cannot_be_written_leave_nothing(administrator: Administrator) -> None:
    before = administrator.created()
    (administrator.directory / "helpdesks").write_text("in the way")
    settings_before = administrator.settings.read_text()

    said = administrator.connect()

    assert said.exit_code == 1
    assert "Cannot write" in said.output
    administrator.left_nothing(before, settings_before)


def started(administrator: Administrator) -> "subprocess.Popen[str]":
    answers = str(administrator.answers())
    command = ["connect", kind_of(administrator), "--name", administrator.name, "--answers", answers, "--yes"]
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_as_in_a_terminal,
    )


def _as_in_a_terminal() -> None:
    """Also where these tests run behind a shell's `&` or `nohup`, whose children ignore Ctrl-C or a lost line."""
    for ends in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(ends, signal.SIG_DFL)


def webhooks(administrator: Administrator) -> list[dict[str, Any]]:
    """Those that call us, as an administrator there sees them."""
    known, kind = administrator.known, kind_of(administrator)
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "jira": ("/rest/webhooks/1.0/webhook", {"auth": (known.get("admin_email"), known.get("admin_token"))}),
        "zammad": ("/api/v1/webhooks", {"headers": {"Authorization": f"Token token={known.get('admin_token')}"}}),
        "zendesk": ("/api/v2/webhooks", {"headers": at_zendesk(administrator)} if kind == "zendesk" else {}),
    }
    path, proof = ways[kind]
    rows = requests.get(known["url"] + path, timeout=10, **proof).json()
    told: list[dict[str, Any]] = rows["webhooks"] if kind == "zendesk" else rows
    return [it for it in told if str(it.get("endpoint", it.get("url"))).endswith(f"/webhooks/{administrator.name}")]


def at_zendesk(administrator: Administrator) -> dict[str, str]:
    known = administrator.known
    wanted = {"grant_type": "client_credentials", **{it: known[it] for it in ("client_id", "client_secret")}}
    token = requests.post(f"{known['url']}/oauth/tokens", json=wanted, timeout=10).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("running", STOPS, indirect=True, scope="module")
def test_whoever_stops_us_while_it_is_made_leaves_nothing(administrator: Administrator) -> None:
    before, settings_before = administrator.created(), administrator.settings.read_text()
    match = {"side": "helpdesk", "method": "POST", "path": "/webhooks?$"}
    fault = {"match": match, "kind": "slow_answer", "seconds": 4, "times": 1}
    administrator.practice.control("/faults", fault)
    process = started(administrator)
    until(lambda: webhooks(administrator), "the webhook is there, and we do not know it yet")

    process.send_signal(STOPS[kind_of(administrator)])

    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Taken away again: the webhook." in said
    assert webhooks(administrator) == []
    until(lambda: len(administrator.created()) == len(before) + 2, "its late answer is in the log, too")
    administrator.left_nothing(before, settings_before)


@pytest.mark.parametrize("running", MAKES, indirect=True, scope="module")
def test_a_webhook_whose_answer_is_lost_is_taken_away(administrator: Administrator) -> None:
    before, settings_before = administrator.created(), administrator.settings.read_text()
    match = {"side": "helpdesk", "method": "POST", "path": "/webhooks?$"}
    administrator.practice.control("/faults", {"match": match, "kind": "lose_answer", "times": 1})

    said = administrator.connect()

    assert said.exit_code == 1
    assert "Taken away again: the webhook." in said.output
    assert "The helpdesk is not answering. Run this again when it does. Nothing was written." in said.output
    assert webhooks(administrator) == []
    administrator.left_nothing(before, settings_before)


@pytest.mark.parametrize("running", ["zammad"], indirect=True, scope="module")
def test_ctrl_c_twice_says_what_is_left_and_takes_the_rest_away(administrator: Administrator) -> None:
    practice = administrator.practice

    def slow(method: str) -> Callable[[], bool]:
        match = {"side": "helpdesk", "method": method, "path": "/triggers$"}
        practice.control("/faults", {"match": match, "kind": "slow", "seconds": 6, "times": 1})
        return lambda: practice.state()["faults"][-1]["times"] == 0

    under_way = slow("POST")
    process = started(administrator)
    until(under_way, "the first trigger is being made")
    looked_for = slow("GET")
    process.send_signal(signal.SIGINT)
    until(looked_for, "it is looked for")

    process.send_signal(signal.SIGINT)

    said, _ = process.communicate(timeout=30)
    assert f"take away the trigger on the owner 'Ticket Elevate ({administrator.name})' by hand" in said
    assert "Taken away again: the webhook." in said
    assert webhooks(administrator) == []


@pytest.mark.parametrize("running", LAST_CALL, indirect=True, scope="module")
def test_ctrl_c_leaves_nothing(administrator: Administrator) -> None:
    practice, (path, method) = administrator.practice, LAST_CALL[kind_of(administrator)]
    before, settings_before = administrator.created(), administrator.settings.read_text()
    match = {"side": "helpdesk", "method": method, "path": path}
    practice.control("/faults", {"match": match, "kind": "slow", "seconds": 6, "times": 1})
    process = started(administrator)
    until(lambda: practice.state()["faults"][-1]["times"] == 0, "the webhook is there, and the next call is under way")

    process.send_signal(signal.SIGINT)

    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Taken away again: the webhook." in said
    assert said.rstrip().endswith("Aborted!")
    administrator.left_nothing(before, settings_before)


@pytest.mark.parametrize("running", ["generic", "zammad", "zendesk"], indirect=True, scope="module")
def test_a_table_that_is_printed_works_once_it_is_in_the_settings(administrator: Administrator) -> None:
    before = administrator.settings.read_text()

    said = administrator.connect("--print-table")

    assert said.exit_code == 0, said.output
    assert administrator.settings.read_text() == before
    table = re.search(rf"(?ms)^\[helpdesks\.{administrator.name}\]\n.*?(?=^$)", said.output)
    assert table is not None
    administrator.settings.write_text(f"{before}\n{table[0]}")
    assert all(administrator.doctor().values())
    for secret in administrator.secrets():
        assert secret not in said.output


class Hearer(io.StringIO):
    """A terminal or a pipe that is gone when it is to hear what begins with `last`."""

    def __init__(self, last: str) -> None:
        super().__init__()
        self.last = last

    def write(self, text: str) -> int:
        if text.startswith(self.last):
            raise BrokenPipeError(errno.EPIPE, "nobody listens")
        return super().write(text)


@pytest.mark.parametrize("running", LAST_CALL, indirect=True, scope="module")
def test_what_the_settings_name_is_not_taken_away_because_nobody_listens(administrator: Administrator) -> None:
    before = administrator.created()
    command = ["connect", kind_of(administrator), "--name", administrator.name, "--yes"]

    with redirect_stdout(Hearer("Written:")), redirect_stderr(io.StringIO()), pytest.raises(SystemExit):
        commands.main([*command, "--answers", str(administrator.answers())])

    assert administrator.table()["kind"] == kind_of(administrator)
    assert not [it for it in administrator.created()[len(before) :] if it.startswith("DELETE")]
    assert all(administrator.doctor().values())


def test_a_wrong_credential_is_told_in_words_and_nothing_is_tried(administrator: Administrator) -> None:
    hidden = [name for name in administrator.known if re.search("secret|token|password|key$", name)]
    own = next(name for name in hidden if not name.startswith("admin_"))
    before, settings_before = administrator.created(), administrator.settings.read_text()

    said = administrator.connect(**{own: "wrong-" + "x" * 40})

    assert said.exit_code == 1
    assert "FAIL" in said.output
    assert "Traceback" not in said.output
    assert "x" * 40 not in said.output
    administrator.left_nothing(before, settings_before)


def test_questions_are_asked_and_secrets_are_not_echoed(administrator: Administrator) -> None:
    kind, known = kind_of(administrator), dict(administrator.known)
    administrator.known = {}
    model, setup = helpdesks.load(kind).Settings, of_class(helpdesks.load(kind))
    keys = [known.pop("url")]
    needed = [name for name, it in model.model_fields.items() if it.is_required() and name not in NOT_ASKED[kind]]
    given: dict[str, object] = {}
    for name in dict.fromkeys((*needed, *setup.asks)):
        if name == "url" or not setup.is_asked(name, given):
            continue
        value = known.pop(name, "")
        keys.append({True: "y", False: "n"}.get(value, str(value)) if isinstance(value, bool) else str(value))
        given |= {name: value} if value else {}
    keys += [str(known.pop(it.name, "")) for it in setup.once]
    keys += ["", "y"]  # no ticket for trials; go on

    said = administrator.connect(keys="\n".join(keys) + "\n", **known)

    assert said.exit_code == 0, said.output
    administrator.known = known
    assert administrator.table()["url"] == keys[0]
    for secret in administrator.secrets():
        assert secret not in said.output


@pytest.mark.parametrize("running", MAKES, indirect=True, scope="module")
def test_what_the_helpdesk_then_sends_is_taken(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    number = ticket(administrator.practice)
    body = BODIES[kind_of(administrator)](number)

    headers = administrator.practice.control("/webhooks/sign", {"body": body})

    helpdesk = helpdesks.connect(administrator.name, administrator.table())
    event = helpdesk.read_delivery({name.lower(): it for name, it in headers.items()}, body.encode(), now=now())
    assert (event.ticket, event.secret) == (number, "current")


@pytest.mark.parametrize("running", ["jira"], indirect=True, scope="module")
def test_what_a_webhook_signs_with_stays_when_another_secret_is_told(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    body = BODIES["jira"](ticket(administrator.practice))

    said = administrator.connect("--replace", secrets={"mine": "q" * 64})

    assert said.exit_code == 0, said.output
    headers = administrator.practice.control("/webhooks/sign", {"body": body})
    helpdesk = helpdesks.connect(administrator.name, administrator.table())
    event = helpdesk.read_delivery({name.lower(): it for name, it in headers.items()}, body.encode(), now=now())
    assert event.secret == "current"


@pytest.mark.parametrize("running", ["jira"], indirect=True, scope="module")
def test_what_a_webhook_signs_with_is_not_given_up_unasked(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    before = administrator.settings.read_text()

    said = administrator.connect("--replace", secrets={"current": "q" * 64})

    assert said.exit_code == 1
    assert "FAIL that webhook signs with a secret that we have" in said.output
    assert administrator.settings.read_text() == before
    assert Path(administrator.table()["secrets"]["current"]["file"]).exists()


@pytest.mark.parametrize("running", ["zammad", "zendesk"], indirect=True, scope="module")
def test_a_pick_arrives_and_a_note_does_not(administrator: Administrator) -> None:
    receiver = Receiver()
    try:
        public_url = receiver.url.removesuffix("/webhooks/rt")
        administrator.settings.write_text(administrator.settings.read_text().replace(PUBLIC, public_url))
        practice = administrator.practice
        own = practice.new_ticket()
        assert administrator.connect().exit_code == 0

        practice.desk("POST", f"/api/tickets/{own}/notes", {"body": "x", "internal": True}, by="technician")
        practice.assign(own)
        practice.solve(own)

        receiver.wait(lambda: len(receiver.seen) == 2)
        until(lambda: practice.state()["webhooks_waiting"] == 0, "nothing else is on its way")
        helpdesk = helpdesks.connect(administrator.name, administrator.table())
        events = [helpdesk.read_delivery(it.headers, it.body, now=now()) for it in receiver.seen]
        assert [it.ticket for it in events] == [own, own]
        assert not any(it.idle for it in events)
        assert len(receiver.seen) == 2
    finally:
        receiver.stop()


@pytest.mark.parametrize(
    "body", ["[]", '"x"', '{"user": 1, "webhooks": [1], "links": 7}', "<html>", '{"id": {"a": 1}}']
)
def test_an_answer_that_makes_no_sense_is_told_in_words_and_leaves_nothing(
    administrator: Administrator, body: str
) -> None:
    before, settings_before = administrator.created(), administrator.settings.read_text()
    fault = {"match": {"side": "helpdesk", "path": "^(?!.*token)"}, "kind": "status", "status": 200, "body": body}
    administrator.practice.control("/faults", {**fault, "times": 1000})

    said = administrator.connect("--test-ticket", "1")

    assert isinstance(said.exception, SystemExit), said.exception
    assert said.exit_code == 1
    administrator.left_nothing(before, settings_before)


@pytest.mark.parametrize("running", MAKES, indirect=True, scope="module")
@pytest.mark.parametrize("body", ["[]", "{}", "[1]", '{"webhook": {"id": "../x"}}', '[{"id": "1/2", "self": 5}]'])
def test_an_answer_about_webhooks_that_makes_no_sense_is_told_in_words_and_leaves_nothing(
    administrator: Administrator, body: str
) -> None:
    settings_before = administrator.settings.read_text()
    match = {"side": "helpdesk", "method": "POST", "path": "webhooks?$"}
    administrator.practice.control(
        "/faults", {"match": match, "kind": "status", "status": 200, "body": body, "times": 1}
    )

    said = administrator.connect()

    assert isinstance(said.exception, SystemExit), said.exception
    assert said.exit_code == 1
    assert administrator.settings.read_text() == settings_before
    assert list((administrator.directory / "helpdesks").glob("*")) == []


def test_the_note_of_the_trial_is_internal_and_says_so_or_is_gone(administrator: Administrator) -> None:
    own = administrator.practice.new_ticket()
    number = str(administrator.practice.facts["helpdesk_number"]).replace("{number}", own)

    said = administrator.connect("--test-ticket", number)

    state = administrator.practice.state()["tickets"]
    [notes] = [it["notes"] for it in state if it["id"] == own]
    if "the note is deleted again" in said.output:
        assert notes == []
        assert kind_of(administrator) == "zammad"
    else:
        assert [it["internal"] for it in notes] == [True]
        assert "Nothing was started by it" in notes[0]["body"]


@pytest.mark.parametrize("running", ["servicenow"], indirect=True, scope="module")
def test_what_is_only_installed_afterwards_is_no_reason_to_stop(administrator: Administrator) -> None:
    said = administrator.connect(pick_field="u_not_installed_yet")

    assert said.exit_code == 0, said.output
    assert f"left {administrator.name} keeps who picked a ticket" in said.output
    assert "FAIL" not in said.output


@pytest.mark.parametrize("running", [it for it in KINDS if it != "generic"], indirect=True, scope="module")
def test_a_credential_is_not_blamed_for_an_answer_from_elsewhere(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    fault = {"match": {"side": "helpdesk"}, "kind": "status", "status": 301, "body": "{}", "times": 100}
    administrator.practice.control("/faults", fault)

    found = [it for it in examine(Deployment(settings.load())) if it.what.startswith(f"{administrator.name}: ")]

    [wrong] = [it for it in found if not it.ok]
    assert wrong.what == f"{administrator.name}: {administrator.name} can be reached"
    assert "it sends us to another address" in wrong.fix


@pytest.mark.parametrize("running", ["generic", "zammad"], indirect=True, scope="module")
def test_a_credential_is_not_blamed_for_an_address_that_is_not_called(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    text = administrator.settings.read_text()
    administrator.settings.write_text(text.replace("localhost", "127.1"))

    found = [it for it in examine(Deployment(settings.load())) if it.what.startswith(f"{administrator.name}: ")]

    assert [it.what for it in found if not it.ok] == [f"{administrator.name}: {administrator.name} can be reached"]
    assert "internal = true" in found[0].fix


@pytest.mark.parametrize("running", ["zammad"], indirect=True, scope="module")
def test_an_internal_address_is_called_only_if_that_is_said(administrator: Administrator) -> None:
    url = administrator.known["url"].replace("localhost", "127.1")  # which no look at what is written tells
    before, settings_before = administrator.created(), administrator.settings.read_text()

    said = administrator.connect(url=url)

    assert said.exit_code == 1
    assert "internal = true" in said.output
    administrator.left_nothing(before, settings_before)

    assert administrator.connect("--set", "internal=true", url=url).exit_code == 0
    assert administrator.table()["internal"] is True
    assert len(administrator.created()) == len(before) + 4


@pytest.mark.parametrize("running", ["zendesk"], indirect=True, scope="module")
def test_without_creating_the_secret_of_the_webhook_must_be_given(administrator: Administrator) -> None:
    said = administrator.connect("--no-create")
    assert said.exit_code == 1
    assert f"{PUBLIC}/webhooks/{administrator.name}" in said.output

    before = administrator.created()
    said = administrator.connect("--no-create", secrets={"current": "canary" * 8})

    assert said.exit_code == 0, said.output
    assert administrator.created() == before
    assert "agent_assignment_changed" in said.output
    assert "canary" not in said.output + administrator.settings.read_text()


@pytest.mark.parametrize("running", MAKES, indirect=True, scope="module")
def test_without_what_an_administrator_has_the_rest_is_left_by_hand(administrator: Administrator) -> None:
    if not administrator.practice.facts["helpdesk_once"]:
        administrator.forbid("/webhooks$")
        said = administrator.connect()
        assert said.exit_code == 1
        assert "must be allowed to" in said.output
        return
    administrator.known = {name: it for name, it in administrator.known.items() if not name.startswith("admin_")}
    before = administrator.created()

    said = administrator.connect()

    assert said.exit_code == 0
    assert administrator.created() == before
    path = administrator.table()["secrets"]["current"]["file"]
    assert f"{PUBLIC}/webhooks/{administrator.name}" in said.output
    assert path in said.output


def zendesk_webhook(administrator: Administrator) -> Callable[..., object]:
    """What an administrator there does with our webhook."""
    me, [webhook] = at_zendesk(administrator), webhooks(administrator)

    def act(method: str, body: object = None) -> None:
        url = f"{administrator.known['url']}/api/v2/webhooks/{webhook['id']}"
        requests.request(method, url, headers=me, json=body, timeout=10).raise_for_status()

    return act


@pytest.mark.parametrize("running", ["zendesk"], indirect=True, scope="module")
def test_doctor_finds_a_webhook_that_was_switched_off_and_one_that_is_gone(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    there = f"{administrator.name}: {administrator.name} has a webhook that calls us"
    ours = zendesk_webhook(administrator)
    ours("PATCH", {"webhook": {"status": "inactive"}})
    assert administrator.doctor()[there]
    assert not administrator.doctor()[f"{administrator.name}: that webhook is active"]
    said = administrator.connect("--replace")
    assert said.exit_code == 1
    assert "Activate it" in said.output

    ours("DELETE")
    assert not administrator.doctor()[there]


@pytest.mark.parametrize("running", ["zendesk"], indirect=True, scope="module")
def test_a_new_secret_takes_no_others_place(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    zendesk_webhook(administrator)("DELETE")
    assert administrator.connect("--replace").exit_code == 0
    text = administrator.settings.read_text()
    administrator.settings.write_text(re.sub(r"current = {[^}]*}, ?", "", text))  # nothing signs with that any more
    [in_force] = [Path(it["file"]) for it in administrator.table()["secrets"].values()]
    secret = in_force.read_text()
    zendesk_webhook(administrator)("DELETE")

    assert administrator.connect("--replace").exit_code == 0

    files = [Path(it["file"]) for it in administrator.table()["secrets"].values()]
    assert len(files) == 2
    assert secret in [it.read_text() for it in files]


@pytest.mark.parametrize("running", ["zammad"], indirect=True, scope="module")
def test_a_webhook_is_made_with_the_newest_secret(administrator: Administrator) -> None:
    known = administrator.known
    administrator.known = {name: it for name, it in known.items() if not name.startswith("admin_")}
    assert administrator.connect().exit_code == 0  # and the webhook is left by hand
    administrator.known = known

    assert administrator.connect("--replace", secrets={"fresh": "n" * 64}).exit_code == 0

    body = BODIES["zammad"](ticket(administrator.practice))
    headers = administrator.practice.control("/webhooks/sign", {"body": body})
    helpdesk = helpdesks.connect(administrator.name, administrator.table())
    event = helpdesk.read_delivery({name.lower(): it for name, it in headers.items()}, body.encode(), now=now())
    assert event.secret == "fresh"


@pytest.mark.parametrize("running", ["zendesk"], indirect=True, scope="module")
def test_doctor_is_content_when_our_account_may_not_see_webhooks(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    administrator.forbid("/webhooks$")

    found = administrator.doctor()

    assert all(found.values())
    assert not [what for what in found if "webhook" in what]


@pytest.mark.parametrize("running", ["zendesk"], indirect=True, scope="module")
def test_doctor_says_which_address_is_called_when_we_moved(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    text = administrator.settings.read_text()
    administrator.settings.write_text(text.replace(PUBLIC, "https://new.example.org"))

    told = [what for what in administrator.doctor() if "has a webhook that calls us" in what]

    [what] = told
    assert what.endswith(f" at {PUBLIC}/webhooks/{administrator.name}, which is not public_url")


def zammad_triggers(administrator: Administrator) -> list[dict[str, Any]]:
    me = {"Authorization": f"Token token={administrator.known['admin_token']}"}
    rows = requests.get(f"{administrator.known['url']}/api/v1/triggers", headers=me, timeout=10).json()
    return [it for it in rows if administrator.name in it["name"]]


@pytest.mark.parametrize("running", ["zammad"], indirect=True, scope="module")
def test_a_trigger_of_ours_that_is_switched_off_is_named(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    trigger = zammad_triggers(administrator)[0]
    me = {"Authorization": f"Token token={administrator.known['admin_token']}"}
    api = f"{administrator.known['url']}/api/v1/triggers/{trigger['id']}"
    requests.put(api, headers=me, json={"active": False}, timeout=10).raise_for_status()

    said = administrator.connect("--replace")

    assert said.exit_code == 1
    assert f"Activate the trigger '{trigger['name']}'" in said.output
    requests.put(api, headers=me, json={"active": True}, timeout=10).raise_for_status()
    assert administrator.connect("--replace").exit_code == 0


@pytest.mark.parametrize("running", ["jira", "zendesk"], indirect=True, scope="module")
def test_a_webhook_of_where_we_were_once_is_named_beside_the_new_one(administrator: Administrator) -> None:
    first = administrator.connect()
    assert first.exit_code == 0
    assert "another webhook" not in first.output
    text = administrator.settings.read_text().replace(PUBLIC, "https://new.example.org")
    administrator.settings.write_text(text)

    said = administrator.connect("--replace")

    assert said.exit_code == 0, said.output
    assert f"a webhook calls https://new.example.org/webhooks/{administrator.name} (new)" in said.output
    assert f"another webhook calls {PUBLIC}/webhooks/{administrator.name}: delete it" in said.output


@pytest.mark.parametrize("running", ["zammad"], indirect=True, scope="module")
def test_the_link_on_each_ticket_is_planned_where_the_token_may_do_that(administrator: Administrator) -> None:
    administrator.forbid("/object_manager_attributes$", times=1)
    said = administrator.connect()
    assert said.exit_code == 0
    assert "the attribute for the link is left by hand: the token lacks admin.object" in said.output
    administrator.forbid("/object_manager_attributes$", "POST", times=1, status=422)
    said = administrator.connect("--replace")
    assert said.exit_code == 0
    assert "the attribute for the link is left by hand: Zammad refused it (HTTP 422)" in said.output

    said = administrator.connect("--replace")

    assert said.exit_code == 0
    assert "an attribute of tickets is a link to our page (planned)" in said.output
    assert "press Update Database there at a quiet time" in said.output
    assert "(it was there)" in administrator.connect("--replace").output.partition("an attribute of tickets")[2]


@pytest.mark.parametrize("running", ["zammad"], indirect=True, scope="module")
def test_triggers_of_where_we_were_once_are_named(administrator: Administrator) -> None:
    assert administrator.connect().exit_code == 0
    before = administrator.created()
    text = administrator.settings.read_text().replace(PUBLIC, "https://new.example.org")
    administrator.settings.write_text(text)
    me = {"Authorization": f"Token token={administrator.known['admin_token']}"}
    [webhook] = webhooks(administrator)

    said = administrator.connect("--replace")

    assert said.exit_code == 1
    assert said.output.count("which calls another webhook") == 2
    ours = f"https://new.example.org/webhooks/{administrator.name}"
    assert f"let its webhook (Manage > Webhook) call {ours}" in said.output
    assert [it.partition(" ")[0] for it in administrator.created()[len(before) :]] == ["POST", "DELETE"]

    api = f"{administrator.known['url']}/api/v1/webhooks/{webhook['id']}"
    requests.put(api, headers=me, json={"endpoint": ours}, timeout=10).raise_for_status()
    assert administrator.connect("--replace").exit_code == 0


@pytest.mark.parametrize("running", ["generic"], indirect=True, scope="module")
class TestWhateverTheKind:
    def test_secrets_go_nowhere_but_where_the_service_keeps_its_data(
        self, administrator: Administrator, tmp_path: Path
    ) -> None:
        text = administrator.settings.read_text()
        before = re.sub("(?m)^data_dir = .*$", f'data_dir = "{tmp_path}/lib"', text)
        administrator.settings.write_text(before)

        said = administrator.connect(keys="")  # nobody is there to answer a question

        assert said.exit_code == 1
        assert "Run `ticket-elevate init` first" in said.output
        assert str(tmp_path / "lib") in said.output
        assert not (tmp_path / "lib").exists()
        assert administrator.settings.read_text() == before

        assert CliRunner().invoke(commands, ["init"]).exit_code == 0  # without a helpdesk in the settings

        assert administrator.connect().exit_code == 0

    def test_what_is_missing_is_named_when_nobody_may_be_asked(self, administrator: Administrator) -> None:
        said = administrator.connect(token=None, url=None)

        assert said.exit_code == 1
        assert "url, token" in said.output
        assert "TICKET_ELEVATE_CONNECT_URL" in said.output

    def test_an_answer_can_be_in_the_environment(
        self, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TICKET_ELEVATE_CONNECT_TOKEN", administrator.known["token"])

        assert administrator.connect(token=None).exit_code == 0

    def test_what_every_kind_can_be_told_can_be_in_the_environment(
        self, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TICKET_ELEVATE_CONNECT_INTERNAL", "true")

        assert administrator.connect().exit_code == 0

        assert administrator.table()["internal"] is True

    def test_a_file_with_a_secret_of_the_calls_is_named_by_its_whole_path(
        self, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (administrator.directory / "hook").write_text("x" * 40)
        monkeypatch.chdir(administrator.directory)
        options = ("--set", "signature=header", "--set", "secret_header=X-Secret")

        assert administrator.connect(*options, secrets={"a": {"file": "hook"}}).exit_code == 0

        assert administrator.table()["secrets"] == {"a": {"file": str(administrator.directory / "hook")}}
        said = administrator.connect("--replace", secrets={"a": {"file": "none"}})
        assert said.exit_code == 1
        assert "cannot read none" in said.output

    @pytest.mark.parametrize("option", ["secrets={ a = 'canary-canary' }", "secrets_file=/etc/hostname"])
    def test_how_secrets_with_names_are_told_is_said(self, administrator: Administrator, option: str) -> None:
        said = administrator.connect("--set", option)

        assert said.exit_code == 1
        assert 'write into a file for --answers secrets = { current = { file = "/path" } }' in said.output
        assert "secrets_file" not in said.output
        assert "canary-canary" not in said.output

    def test_how_secrets_stand_in_the_environment_is_shown(
        self, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TICKET_ELEVATE_CONNECT_SECRETS", "canary-canary")

        said = administrator.connect()

        assert said.exit_code == 1
        assert 'such as { current = { file = "/path" } }' in said.output
        assert "canary-canary" not in said.output

    def test_a_secret_on_the_command_line_is_refused_unrepeated(self, administrator: Administrator) -> None:
        said = administrator.connect("--set", "token=canary-canary")

        assert said.exit_code == 1
        assert "whoever is on this machine can see a command" in said.output
        assert "canary-canary" not in said.output

    def test_a_file_that_holds_a_secret_is_named_and_not_copied(
        self, administrator: Administrator, tmp_path: Path
    ) -> None:
        path = tmp_path / "token"
        path.write_text(administrator.known.pop("token"))

        assert administrator.connect(token_file=str(path)).exit_code == 0

        assert administrator.table()["token_file"] == str(path)
        assert "token" not in administrator.table()

    def test_a_changed_secret_gets_a_file_and_the_old_one_goes(self, administrator: Administrator) -> None:
        first, second = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
        assert administrator.connect(secrets={"a": first}).exit_code == 0
        old = Path(administrator.table()["secrets"]["a"]["file"])

        assert administrator.connect("--replace", secrets={"a": second}).exit_code == 0

        new = Path(administrator.table()["secrets"]["a"]["file"])
        assert new.read_text().strip() == second
        assert not old.exists()

    def test_a_file_that_another_connection_uses_stays(self, administrator: Administrator, tmp_path: Path) -> None:
        first, token = administrator.name, administrator.known.pop("token")
        assert administrator.connect(token=token).exit_code == 0
        shared = administrator.table()["token_file"]
        administrator.name = f"{first}-2"
        assert administrator.connect(token_file=shared).exit_code == 0
        administrator.name = first
        own = tmp_path / "token"
        own.write_text(token)

        assert administrator.connect("--replace", token_file=str(own)).exit_code == 0

        assert Path(shared).read_text().strip() == token
        administrator.name = f"{first}-2"
        assert all(administrator.doctor().values())

    def test_settings_that_cannot_be_added_to_are_told_before_anything_is_asked(
        self, administrator: Administrator
    ) -> None:
        text = f"helpdesks = {{}}\n{administrator.settings.read_text()}"
        administrator.settings.write_text(text)

        said = administrator.connect(keys="")

        assert said.exit_code == 1
        assert said.output.startswith("Error: ")
        assert f"[helpdesks.{administrator.name}]" in said.output
        assert "--print-table" in said.output
        assert administrator.settings.read_text() == text

    def test_settings_that_cannot_be_replaced_are_told_before_anything_is_asked(
        self, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        longest = administrator.directory / f"{'s' * 250}.toml"  # there is no room for a draft's name
        administrator.settings.rename(longest)
        monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(longest))

        said = administrator.connect(keys="")

        assert said.exit_code == 1
        assert said.output.startswith(f"Error: Cannot write {longest}")

    def test_a_setting_that_there_is_not_is_refused(self, administrator: Administrator) -> None:
        assert "no setting 'colour'" in administrator.connect(colour="blue").output
        assert "no setting 'colour'" in administrator.connect("--set", "colour=blue").output

    def test_a_kind_that_there_is_not_is_told_with_those_there_are(self, administrator: Administrator) -> None:
        said = CliRunner().invoke(commands, ["connect", "fax", "--yes"])
        assert said.exit_code == 1
        assert "zendesk" in said.output

    def test_an_address_where_nobody_is_stops_before_anything(self, administrator: Administrator) -> None:
        before = administrator.settings.read_text()
        said = administrator.connect(url="http://127.0.0.1:1")
        assert said.exit_code == 1
        assert "FAIL" in said.output
        administrator.left_nothing(administrator.created(), before)
