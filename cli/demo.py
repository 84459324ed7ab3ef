"""`ticket-elevate demo`: the practice tenant and helpdesk, the product on embedded defaults, and the main job, watched.

What is shown as happened was observed at the side where it happened: in the tenant, on the ticket, in our journal.
"""

import re
import signal
import subprocess  # noqa: S404
import sys
import tempfile
import time
from html import unescape
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console
from rich.markup import escape

from cli.stage import CONNECTION, Stage, StepNotSeen, staged, wait
from integration import verify


@click.command()
@click.option("--once", is_flag=True, help="Run the story without a person and exit 0 only if every step was seen.")
def demo(once: bool) -> None:
    """Run the main job on a practice tenant and helpdesk, on this machine."""
    console = Console(highlight=False)
    console.rule("Ticket Elevate, on a practice tenant")
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place)) as stage:
        story = Story(console, stage)
        try:
            story.tell()
        except StepNotSeen as error:
            console.print(f"[bold red]Not seen:[/] {error}")
            console.print(f"The log of our processes:\n{stage.log_tail()}")
            sys.exit(1)
        if not once:
            story.stay()


class Story:
    """What the technician does, and what each side saw of it."""

    def __init__(self, console: Console, stage: Stage) -> None:
        self._console, self._facts, self._directory = console, stage.facts, stage.directory
        self._public_url, self._environment = stage.public_url, stage.environment
        self._technician = next(p for p in stage.facts["people"] if p["key"] == "technician")
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
        wait(f"{role} is active in the tenant", lambda: self._active(role))
        request = next(r for r in self._state()["requests"] if r["action"].casefold() == "selfactivate")
        self._say("tenant", f"{role} is active; justification: {request['justification']}")
        note = self._note(ticket, "is active until")
        self._say("ticket", f"{ticket}: {note.splitlines()[0]}")

    def _role_goes(self, role: str) -> None:
        wait(f"{role} is gone from the tenant", lambda: not self._active(role))
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
        report = verify.verify_files(
            str(out),
            checkpoint_dir=str(self._directory / "checkpoints"),
            comments=(str(comments),),
            public_key=str(self._directory / "checkpoint-key.pub"),
        )
        if not report.ok or not any((self._directory / "checkpoints").iterdir()):
            raise StepNotSeen("the journal verifies\n" + verify.render(report))
        witnesses = f"{len(notes)} ticket comments and a signed checkpoint"
        self._say("us", f"the journal verifies, with {witnesses} as its witnesses")

    def stay(self) -> None:
        free = next(str(t["id"]) for t in self._state()["tickets"] if t["status"] == "open" and not t["assignee"])
        self._console.print(
            f"\nStays up until Ctrl-C:\n  practice helpdesk  {self._facts['helpdesk_url']}\n"
            f"  Elevate page       {self._public_url}/elevate/{CONNECTION}/{free} "
            f"(take ticket {free} in the helpdesk first)\n"
            f"  my elevations      {self._public_url}/\n  review             {self._public_url}/review "
            "(sign in as the auditor)\n",
            soft_wrap=True,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            self._console.print("Stopping.")

    def _sign_in(self, link: str) -> None:
        """What the technician's browser does: our page, the button, Microsoft's page, and back."""
        self._browser = requests.Session()
        self._browser.verify = self._facts["ca_bundle"]
        self._browser.trust_env = False
        page = self._browser.get(link, timeout=10)
        hidden = dict(re.findall(r'name="(csrf_token|back_to)" value="([^"]+)"', page.text))
        start = self._browser.post(f"{self._public_url}/sign-in", data=hidden, headers={"Referer": link}, timeout=10)
        onward = re.search(r'id="onward" href="([^"]+)"', start.text)
        if onward is None:
            raise StepNotSeen(f"the page that leads to Microsoft (HTTP {start.status_code})")
        authorize = f"{unescape(onward[1])}&practice_person={self._technician['upn']}"
        landed = self._browser.get(authorize, timeout=10)
        if not landed.ok:
            raise StepNotSeen(f"the sign-in leads back to the elevation (HTTP {landed.status_code})")

    def _note(self, ticket: str, words: str) -> str:
        def look() -> str | None:
            return next((str(n["body"]) for n in self._ticket(ticket)["notes"] if words in n["body"]), None)

        return wait(f"ticket {ticket} says {words!r}", look)

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
