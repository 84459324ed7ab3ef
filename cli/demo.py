"""`ticket-elevate demo`: the practice tenant and helpdesk, the product on embedded defaults, and the main job, watched.

What is shown as happened was observed at the side where it happened: in the tenant, on the ticket, in our journal.
"""

import json
import os
import re
import signal
import socket
import subprocess  # noqa: S404
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import requests
from rich.console import Console
from rich.markup import escape

from integration import verify

T = TypeVar("T")
PATIENCE = 60.0  # seconds for one step of the story
CONNECTION = "practice"


class StepNotSeen(Exception):
    """A step of the story did not happen in time; str() says which."""


@click.command()
@click.option("--once", is_flag=True, help="Run the story without a person and exit 0 only if every step was seen.")
def demo(once: bool) -> None:
    """Run the main job on a practice tenant and helpdesk, on this machine."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="te-") as place, _stage(Path(place), console) as story:
        try:
            story.tell()
        except StepNotSeen as error:
            console.print(f"[bold red]Not seen:[/] {error}")
            console.print(f"The log of our processes:\n{story.log_tail()}")
            sys.exit(1)
        if not once:
            story.stay()


@contextmanager
def _stage(directory: Path, console: Console) -> Iterator["Story"]:
    console.rule("Ticket Elevate, on a practice tenant")
    port = _free_port()
    public_url = f"http://localhost:{port}"
    python = sys.executable
    template = public_url + "/elevate/{connection}/{ticket}"
    sandbox = [python, "-m", "sandbox", "--dir", str(directory), "--active-minimum", "3", "--instance-delay", "0.5"]
    sandbox += ["--webhook-url", f"http://127.0.0.1:{port}/webhooks/{CONNECTION}", "--elevate-url", template]
    with _started(sandbox, directory / "sandbox.log", dict(os.environ)):
        facts = _wait("the practice tenant starts", lambda: _facts(directory / "sandbox.json"))
        settings = directory / "settings.toml"
        settings.write_text(settings_for(facts, directory, port), encoding="utf-8")
        environment = {**os.environ, "TICKET_ELEVATE_SETTINGS": str(settings)}
        product = [python, "-m", "cli"]
        subprocess.run([*product, "init"], env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        with _started([*product, "run"], directory / "product.log", environment):
            _wait("Ticket Elevate answers", lambda: _answers(f"{public_url}/readyz"))
            yield Story(console, facts, directory, public_url, environment)


def settings_for(facts: dict[str, Any], directory: Path, port: int) -> str:
    """The product's settings for the practice tenant of `facts` (sandbox.json)."""
    text = f"""
public_url = "http://localhost:{port}"
bind = "127.0.0.1:{port}"
database_url = "sqlite:///{directory}/elevate.sqlite"
data_dir = "{directory}"
key_file = "{directory}/keys"
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

[helpdesks.{CONNECTION}]
kind = "generic"
url = "{facts["helpdesk_url"]}"
token = "{facts["helpdesk_token"]}"
service_account = "{facts["helpdesk_service_account"]}"
secrets = {{ first = "{facts["webhook_secret"]}" }}
"""
    return text.lstrip()


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


def _wait(what: str, look: Callable[[], T | None]) -> T:
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


class Story:
    """What the technician does, and what each side saw of it."""

    def __init__(
        self, console: Console, facts: dict[str, Any], directory: Path, public_url: str, environment: dict[str, str]
    ) -> None:
        self._console, self._facts, self._directory = console, facts, directory
        self._public_url, self._environment = public_url, environment
        self._technician = next(p for p in facts["people"] if p["key"] == "technician")
        self._began = time.monotonic()

    def tell(self) -> None:
        tickets = [t for t in self._state()["tickets"] if t["category"] == "Password reset"]
        first, second = str(tickets[0]["id"]), str(tickets[1]["id"])
        self._first_pick(first)
        self._role_comes("Password Administrator", first)
        self._see_page(first)
        self._second_pick(second)
        self._solve(first, "stays active for another ticket")
        self._solve(second, "was given back")
        self._role_goes("Password Administrator")
        self._journal()
        self._console.rule("Every step was observed")

    def _first_pick(self, ticket: str) -> None:
        self._assign(ticket)
        note = self._note(ticket, "sign in once at")
        self._say("ticket", f"{ticket}: first time, so a note asks the technician to sign in once")
        found = re.search(r"https?://\S+/elevations/[0-9A-Z]{26}", note)
        if found is None:
            raise StepNotSeen("the note holds a link")
        self._sign_in(found[0])
        self._say("technician", "signed in with Microsoft, once")

    def _second_pick(self, ticket: str) -> None:
        began = time.monotonic()
        self._assign(ticket)
        self._note(ticket, "is active until")
        took = time.monotonic() - began
        self._say("ticket", f"{ticket}: the second pick needed no page: active after {took:.1f} s, the role is shared")

    def _assign(self, ticket: str) -> None:
        me = self._technician["helpdesk_account"]
        self._desk(
            "POST", f"/api/tickets/{ticket}/assign", {"assignee": me}, self._technician["helpdesk_password_or_token"]
        )
        self._say("technician", f"assigns ticket {ticket} to themselves")

    def _role_comes(self, role: str, ticket: str) -> None:
        _wait(f"{role} is active in the tenant", lambda: self._active(role))
        request = next(r for r in self._state()["requests"] if r["action"].casefold() == "selfactivate")
        self._say("tenant", f"{role} is active; justification: {request['justification']}")
        note = self._note(ticket, "is active until")
        self._say("ticket", f"{ticket}: {note.splitlines()[0]}")

    def _role_goes(self, role: str) -> None:
        _wait(f"{role} is gone from the tenant", lambda: not self._active(role))
        self._say("tenant", f"{role} is no longer active")

    def _solve(self, ticket: str, words: str) -> None:
        token = self._technician["helpdesk_password_or_token"]
        self._desk("POST", f"/api/tickets/{ticket}/status", {"status": "solved"}, token)
        self._say("technician", f"solves ticket {ticket}")
        note = self._note(ticket, words)
        self._say("ticket", f"{ticket}: {note.splitlines()[0]}")

    def _see_page(self, ticket: str) -> None:
        page = self._browser.get(f"{self._public_url}/elevate/{CONNECTION}/{ticket}", timeout=10)
        if "Password Administrator" not in page.text or "End now" not in page.text:
            raise StepNotSeen("the Elevate page shows the running role")
        self._say("us", f"the Elevate page shows it with a countdown: {page.url}")

    def _journal(self) -> None:
        out = self._directory / "journal.jsonl"
        command = [sys.executable, "-m", "cli", "export", "--output", str(out)]
        subprocess.run(command, env=self._environment, check=True)  # noqa: S603
        comments = self._directory / "comments.txt"
        notes = [n["body"] for t in self._state()["tickets"] for n in t["notes"]]
        comments.write_text("\n".join(notes), encoding="utf-8")
        report = verify.verify_files(str(out), anchors=(), checkpoints=(), comments=(str(comments),), public_key=None)
        if not report.ok:
            raise StepNotSeen("the journal verifies\n" + verify.render(report))
        self._say("us", f"the journal verifies, with {len(notes)} ticket comments as its witnesses")

    def stay(self) -> None:
        self._console.print(
            f"\nStays up until Ctrl-C:\n  practice helpdesk  {self._facts['helpdesk_url']}\n"
            f"  my elevations      {self._public_url}/\n  review             {self._public_url}/review "
            "(sign in as the auditor)\n"
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            self._console.print("Stopping.")

    def log_tail(self) -> str:
        return (self._directory / "product.log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def _sign_in(self, link: str) -> None:
        """What the technician's browser does: our page, the button, Microsoft's page, and back."""
        self._browser = requests.Session()
        self._browser.verify = self._facts["ca_bundle"]
        self._browser.trust_env = False
        page = self._browser.get(link, timeout=10)
        hidden = dict(re.findall(r'name="(csrf_token|back_to)" value="([^"]+)"', page.text))
        start = self._browser.post(
            f"{self._public_url}/sign-in",
            data=hidden,
            headers={"Referer": link},
            allow_redirects=False,
            timeout=10,
        )
        authorize = start.headers["Location"] + "&practice_person=" + self._technician["upn"]
        landed = self._browser.get(authorize, timeout=10)
        if not landed.ok:
            raise StepNotSeen(f"the sign-in leads back to the elevation (HTTP {landed.status_code})")

    def _note(self, ticket: str, words: str) -> str:
        def look() -> str | None:
            return next((str(n["body"]) for n in self._ticket(ticket)["notes"] if words in n["body"]), None)

        return _wait(f"ticket {ticket} says {words!r}", look)

    def _ticket(self, number: str) -> dict[str, Any]:
        found: dict[str, Any] = next(t for t in self._state()["tickets"] if str(t["id"]) == number)
        return found

    def _active(self, role: str) -> bool:
        state = self._state()
        wanted = next(e["roleDefinitionId"] for e in self._technician["eligible"] if e["role"] == role)
        held = {(i["principalId"], i["roleDefinitionId"]) for i in state["instances"]}
        return (self._technician["oid"], wanted) in held

    def _state(self) -> dict[str, Any]:
        answer = requests.get(f"{self._facts['practice_url']}/_practice/state", timeout=10)
        found: dict[str, Any] = answer.json()
        return found

    def _desk(self, method: str, path: str, body: dict[str, Any], token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        url = self._facts["helpdesk_url"] + path
        requests.request(method, url, json=body, headers=headers, timeout=10).raise_for_status()

    def _say(self, side: str, what: str) -> None:
        colour = {"technician": "cyan", "ticket": "yellow", "tenant": "magenta", "us": "green"}[side]
        self._console.print(
            f"[dim]{time.monotonic() - self._began:6.1f} s[/] [{colour}]{side:>10}[/]  {escape(what)}", soft_wrap=True
        )
