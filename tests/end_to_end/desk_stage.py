"""The whole product beside a real helpdesk: the practice tenant, `init` and `run` of ours, and people with browsers."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import requests

from cli.stage import settings_for
from integration.elevation import OPEN
from tests.conftest import ROOT, Practice, until

PATIENCE = 60.0  # seconds for one step of a story, on a loaded machine
TAKE_BACK_SECONDS = 3  # the practice tenant's, and ours, instead of Entra's five minutes


class DeskStage:
    """`practice` (its tenant) and the product. One database for the stage's whole life.

    A helpdesk's own stage says how it is connected (`connection`) and what its people do.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.public_url = f"http://localhost:{self._port}"
        self._browsers: dict[str, requests.Session] = {}
        self._tickets: list[str] = []  # of this test
        self._product: subprocess.Popen[bytes] | None = None

    @property
    def connection(self) -> str:
        """The table [helpdesks.<name>] in the settings."""
        raise NotImplementedError

    def new_ticket(self, subject: str) -> str:
        raise NotImplementedError

    def take(self, number: str, *, by: str) -> None:
        raise NotImplementedError

    def solve(self, number: str) -> None:
        raise NotImplementedError

    def notes(self, number: str) -> Sequence[str]:
        """Our comments on the ticket, oldest first: what the technician reads there."""
        raise NotImplementedError

    def sending(self) -> bool:
        """Whether the helpdesk still has something to tell us."""
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        """The practice tenant and the product, for as long as this lasts."""
        with self._tenant():
            demo = settings_for(self.practice.facts, self._folder, self._port).split("[helpdesks.")[0]
            (self._folder / "settings.toml").write_text(demo + self.connection)
            try:
                self.command("init")
                self.start()
                yield
            finally:
                if self._product is not None:
                    self.stop()

    @contextmanager
    def _tenant(self) -> Iterator[None]:
        facts = self._folder / "sandbox.json"
        command = [sys.executable, "-m", "sandbox", "--dir", str(self._folder), "--instance-delay", "0.2"]
        command += ["--active-minimum", str(TAKE_BACK_SECONDS), "--redirect-uri", f"{self.public_url}/sign-in/callback"]
        process = self._run(command, "sandbox.log")
        try:
            until(facts.exists, "the practice tenant starts", patience=PATIENCE)
            self.practice = Practice(json.loads(facts.read_text()))
            yield
        finally:
            _end(process)

    def command(self, *words: str) -> str:
        """What `ticket-elevate WORDS` prints; it must succeed."""
        command = [sys.executable, "-m", "cli", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment(), capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        assert self._product is None
        self._product = self._run([sys.executable, "-m", "cli", "run"], "product.log")
        until(self._is_ready, "Ticket Elevate answers", patience=PATIENCE)

    def stop(self) -> None:
        assert self._product is not None
        _end(self._product)
        self._product = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Every process of the product stands still: connections are taken by the kernel and answered by nobody."""
        assert self._product is not None
        family = _family(self._product.pid)
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(family):
                os.kill(pid, signal.SIGCONT)

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.public_url}/readyz", timeout=2).ok
        except requests.RequestException:
            return False

    def _run(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self._folder / log).open("ab") as out:
            return subprocess.Popen(command, cwd=ROOT, env=self._environment(), stdout=out, stderr=subprocess.STDOUT)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "TICKET_ELEVATE_SETTINGS": str(self._folder / "settings.toml")}

    def log(self) -> str:
        return (self._folder / "product.log").read_text(errors="replace")

    def note(self, number: str, words: str, *, patience: float = PATIENCE) -> str:
        """Our comment with `words` in it, as the helpdesk shows it, once it is there."""

        def look() -> str | None:
            # It is asked only when our side says that something was written: each question costs it a lot of work.
            written = self.rows("SELECT text FROM comments WHERE ticket = ? AND written_at IS NOT NULL", number)
            if not any(words in row["text"] for row in written):
                return None
            return next((text for text in self.notes(number) if words in text), None)

        try:
            found: str = until(look, f"ticket {number} says {words!r}", patience=patience)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {self.notes(number)}\n{self.log()[-3000:]}") from None
        return found

    # The technician's browser

    def sign_in(self, link: str, who: str) -> requests.Response:
        """Our page, the button, Microsoft's page, and back; the browser is kept. What the way ends at."""
        browser = self._browsers[who] = requests.Session()
        browser.verify, browser.trust_env = self.practice.facts["ca_bundle"], False
        page = browser.get(link, timeout=PATIENCE)
        hidden = dict(re.findall(r'name="(csrf_token|back_to)" value="([^"]+)"', page.text))
        start = browser.post(
            f"{self.public_url}/sign-in",
            data=hidden,
            headers={"Referer": link},
            timeout=PATIENCE,
        )
        onward = re.search(r'id="onward" href="([^"]+)"', start.text)
        assert onward is not None, start.text
        upn = self.practice.people[who]["upn"]
        landed = browser.get(f"{unescape(onward[1])}&practice_person={upn}", timeout=PATIENCE)
        assert landed.ok, landed.text
        return landed

    def browser(self, who: str) -> requests.Session:
        """A browser in which `who` is signed in; their account is linked, by a first pick if need be."""
        if who not in self._browsers:
            number = self.new_ticket(f"the first one of {who}")
            self.take(number, by=who)
            self.sign_in(link_in(self.note(number, "sign in once")), who)
            self.note(number, "is active until")
            self.tidy()
        return self._browsers[who]

    # What our side and the tenant hold

    def rows(self, query: str, *values: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self._folder}/elevate.sqlite?mode=ro", uri=True, timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def deliveries(self, number: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM deliveries WHERE ticket = ?", number)

    def elevations(self, number: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM elevations WHERE ticket = ? ORDER BY created_at", number)

    def role_names(self, who: str = "technician") -> set[str]:
        names = {e["roleDefinitionId"]: e["role"] for e in self.practice.people[who]["eligible"]}
        return {names[role] for role in self.practice.active_roles(who)}

    def wait_for(self, roles: set[str], who: str = "technician") -> None:
        until(lambda: self.role_names(who) == roles, f"{who} holds just {roles}", patience=PATIENCE)

    def quiet(self, number: str) -> None:
        """Nothing about this ticket is on its way, worked on or waiting to be written, for three sweeps on end."""

        def busy() -> bool:
            waiting = self.rows("SELECT id FROM deliveries WHERE ticket = ? AND due_at IS NOT NULL", number)
            waiting += self.rows("SELECT id FROM comments WHERE ticket = ? AND due_at IS NOT NULL", number)
            return bool(waiting) or self.sending()

        def still() -> tuple[int, int, int]:
            comments = self.rows("SELECT id FROM comments WHERE ticket = ?", number)
            return len(self.deliveries(number)), len(self.elevations(number)), len(comments)

        held, since = still(), time.monotonic()

        def settled() -> bool:
            nonlocal held, since
            now = still()
            if busy() or now != held:
                held, since = now, time.monotonic()
            return time.monotonic() - since > 3

        until(settled, f"ticket {number} comes to rest", patience=PATIENCE)

    def tidy(self) -> None:
        """Every ticket of this test is solved and every role given back."""
        for number in self._tickets:
            self.solve(number)
        self._tickets.clear()
        places = ", ".join("?" * len(OPEN))
        query = f"SELECT id FROM elevations WHERE state IN ({places})"  # noqa: S608
        until(lambda: not self.rows(query, *OPEN), "every elevation ends", patience=PATIENCE)
        for who in ("technician", "technician2"):
            self.wait_for(set(), who)


def link_in(note: str) -> str:
    found = re.search(r"https?://\S+/elevations/[0-9A-Z]{26}", note)
    assert found, note
    return found[0]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _family(pid: int) -> list[int]:
    """`pid` and all its descendants, parents first (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
