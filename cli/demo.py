"""`ticket-elevate demo`: the practice tenant and helpdesk, the product on embedded defaults, and the main job, watched.

What is shown as happened was observed at the side where it happened: in the tenant, on the ticket, in our journal.
"""

import signal
import subprocess  # noqa: S404
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from cli import chapters
from cli.cast import Cast
from cli.stage import CONNECTION, Stage, StepNotSeen, staged, wait
from integration import verify


@click.command()
@click.option("--once", is_flag=True, help="Run the story without a person and exit 0 only if every step was seen.")
@click.option("--helpdesk", metavar="KIND", help="A hosted helpdesk that the practice helpdesk plays, such as zendesk.")
def demo(once: bool, helpdesk: str | None) -> None:
    """Run the main job on a practice tenant and helpdesk, on this machine."""
    console = Console(highlight=False)
    console.rule("Ticket Elevate, on a practice tenant")
    with tempfile.TemporaryDirectory(prefix="te-") as place, staged(Path(place), helpdesk=helpdesk) as stage:
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
        self._console, self._directory, self._environment = console, stage.directory, stage.environment
        self._cast = Cast(console, stage)
        self._browser = self._cast.browser()

    def tell(self) -> None:
        tickets = [t for t in self._cast.state()["tickets"] if t["category"] == "Password reset"]
        first, second = str(tickets[0]["id"]), str(tickets[1]["id"])
        self._first_pick(first)
        self._role_comes("Password Administrator", first)
        self._see_page(first)
        self._second_pick(second)
        self._solve(first, "stays active for another ticket")
        self._solve(second, "was given back")
        self._role_goes("Password Administrator")
        self._console.rule("A tenant that wants a confirmation")
        chapters.step_up(self._cast, self._browser)
        self._console.rule("A tenant that wants an approver")
        chapters.approval(self._cast)
        self._journal()
        self._console.rule("Every step was observed")

    def _first_pick(self, ticket: str) -> None:
        self._cast.assign(ticket)
        note = self._cast.note(ticket, "sign in once at")
        self._cast.say("ticket", f"{ticket}: first time, so a note asks the technician to sign in once")
        self._cast.sign_in(self._browser, self._cast.link_in(note))
        self._cast.say("technician", "signed in with Microsoft, once")

    def _second_pick(self, ticket: str) -> None:
        began = time.monotonic()
        self._cast.assign(ticket)
        self._cast.note(ticket, "is active until")
        took = time.monotonic() - began
        words = f"the second pick needed no page: active after {took:.1f} s, the role is shared"
        self._cast.say("ticket", f"{ticket}: {words}")

    def _role_comes(self, role: str, ticket: str) -> None:
        wait(f"{role} is active in the tenant", lambda: self._cast.active(role))
        request = next(r for r in self._cast.state()["requests"] if r["action"].casefold() == "selfactivate")
        self._cast.say("tenant", f"{role} is active; justification: {request['justification']}")
        note = self._cast.note(ticket, "is active until")
        self._cast.say("ticket", f"{ticket}: {note.splitlines()[0]}")

    def _role_goes(self, role: str) -> None:
        wait(f"{role} is gone from the tenant", lambda: not self._cast.active(role))
        self._cast.say("tenant", f"{role} is no longer active")

    def _solve(self, ticket: str, words: str) -> None:
        self._cast.solve(ticket)
        self._cast.say("ticket", f"{ticket}: {self._cast.note(ticket, words).splitlines()[0]}")

    def _see_page(self, ticket: str) -> None:
        page = self._browser.get(f"{self._cast.public_url}/elevate/{CONNECTION}/{self._cast.shown(ticket)}", timeout=10)
        if "Password Administrator" not in page.text or "End now" not in page.text:
            raise StepNotSeen("the Elevate page shows the running role")
        self._cast.say("us", f"the Elevate page shows it with a countdown: {page.url}")

    def _journal(self) -> None:
        out = self._directory / "journal.jsonl"
        command = [sys.executable, "-m", "cli", "export", "--output", str(out)]
        subprocess.run(command, env=self._environment, check=True)  # noqa: S603
        comments = self._directory / "comments.txt"
        notes = [n["body"] for t in self._cast.state()["tickets"] for n in t["notes"]]
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
        self._cast.say("us", f"the journal verifies, with {witnesses} as its witnesses")

    def stay(self) -> None:
        self._console.print(
            f"\nStays up until Ctrl-C:\n  practice helpdesk  {self._cast.facts['helpdesk_url']}\n"
            f"  our pages          {self._cast.public_url}/ (the menu leads to everything; sign in as Technician One "
            "or Two, Approver One, Auditor One or Administrator One)\n"
            "  what to try        docs/first-elevation.md, two minutes\n",
            soft_wrap=True,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            self._console.print("Stopping.")
