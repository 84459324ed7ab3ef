"""The practice tenant and helpdesk and the product beside them, as programs on free ports of this machine."""

import json
import os
import signal
import socket
import subprocess  # noqa: S404
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
import tomlkit

T = TypeVar("T")
PATIENCE = 60.0  # seconds for one step of the story
CONNECTION = "practice"


class StepNotSeen(Exception):
    """A step of the story did not happen in time; str() says which."""


@dataclass(frozen=True)
class Stage:
    """What runs, and where. `facts` is sandbox.json; `environment` makes further commands of ours find the settings."""

    facts: dict[str, Any]
    directory: Path
    public_url: str
    environment: dict[str, str]

    def log_tail(self) -> str:
        return (self.directory / "product.log").read_text(encoding="utf-8", errors="replace")[-4000:]


@contextmanager
def staged(
    directory: Path, rules: Callable[[dict[str, Any]], str] | None = None, *, helpdesk: str | None = None
) -> Iterator[Stage]:
    """Start everything in `directory` (a short path: it holds a socket) and stop it in the end. Raises StepNotSeen.

    `rules` makes a rules file of the practice tenant's facts; without it the rules that ship with the product hold.
    `helpdesk`: the kind of a hosted one, whose API and webhooks the practice helpdesk then has.
    """
    port = _free_port()
    public_url = f"http://localhost:{port}"
    python = sys.executable
    template = public_url + "/elevate/{connection}/{ticket}"
    sandbox = [python, "-m", "sandbox", "--dir", str(directory), "--active-minimum", "3", "--instance-delay", "0.5"]
    sandbox += ["--webhook-url", f"http://127.0.0.1:{port}/webhooks/{CONNECTION}", "--elevate-url", template]
    sandbox += ["--helpdesk", helpdesk] if helpdesk else []
    with _started(sandbox, directory / "sandbox.log", dict(os.environ)):
        facts = wait("the practice tenant starts", lambda: _facts(directory / "sandbox.json"))
        settings = directory / "settings.toml"
        text = settings_for(facts, directory, port)
        if rules is not None:
            (directory / "rules.toml").write_text(rules(facts), encoding="utf-8")
            text = f'rules_file = "{directory}/rules.toml"\n{text}'
        settings.write_text(text, encoding="utf-8")
        environment = {**os.environ, "TICKET_ELEVATE_SETTINGS": str(settings)}
        product = [python, "-m", "cli"]
        subprocess.run([*product, "init"], env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        with _started([*product, "run"], directory / "product.log", environment):
            wait("Ticket Elevate answers", lambda: _answers(f"{public_url}/readyz"))
            yield Stage(facts, directory, public_url, environment)


def settings_for(facts: dict[str, Any], directory: Path, port: int) -> str:
    """The product's settings for the practice tenant of `facts` (sandbox.json)."""
    text = f"""
public_url = "http://localhost:{port}"
bind = "127.0.0.1:{port}"
database_url = "sqlite:///{directory}/elevate.sqlite"
data_dir = "{directory}"
key_file = "{directory}/keys"
checkpoint_key_file = "{directory}/checkpoint-key"
checkpoint_dir = "{directory}/checkpoints"
ticket_system = "Practice helpdesk"
help_contact = "the administrator of this practice desk"
give_back_minimum_seconds = 3
web_processes = 1
practice = true
log_level = "WARNING"

[entra]
authority = "{facts["authority"]}"
tenant_id = "{facts["tenant_id"]}"
client_id = "{facts["client_id"]}"
client_secret = "{facts["client_secret"]}"
graph_url = "{facts["graph_url"]}"
arm_url = "{facts["arm_url"]}"
ca_bundle = "{facts["ca_bundle"]}"

"""
    here = facts["helpdesk_url"]
    # By its other name it is another site to a browser, as a hosted helpdesk is.
    table = {**facts["helpdesk"], "embedded_in": [here, here.replace("localhost", "127.0.0.1")]}
    return text.lstrip() + tomlkit.dumps({"helpdesks": {CONNECTION: table}})


@contextmanager
def _started(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def wait(what: str, look: Callable[[], T | None]) -> T:
    """Look until there is something to see. Raises StepNotSeen after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.1)
    raise StepNotSeen(what)


def _facts(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])
