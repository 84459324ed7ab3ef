"""A django-helpdesk of our own: installed from requirements.lock, seeded, and used as its people use it."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import requests

from tests.conftest import until
from tests.end_to_end.desk_stage import free_port

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds, on a loaded machine
SERVICE_ACCOUNT = "elevate-bot"


class Site:
    """At `url`. `accounts` tells each login's number and API token. Every change tells `webhook_url`, if there is one.

    Everybody's password is their login and "-at-the-desk".
    """

    def __init__(self, url: str, accounts: dict[str, dict[str, str]], folder: Path) -> None:
        self.url, self.accounts, self._folder = url, accounts, folder
        self._logins = {account["id"]: login for login, account in accounts.items()}
        self._browsers: dict[str, requests.Session] = {}

    def api(self, who: str, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Token {self.accounts[who]['token']}"}
        answer = requests.request(method, f"{self.url}/api{path}", json=body, headers=headers, timeout=PATIENCE)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def new_ticket(self, subject: str, category: str, requester: str = "requester") -> str:
        body = {"queue": 1, "title": subject, "description": "Please help.", "priority": 3, "custom_category": category}
        body["submitter_email"] = f"{requester}@practice.example"
        return str(self.api("technician2", "POST", "/tickets/", body)["id"])

    def take(self, number: str, *, by: str) -> None:
        """A click on Take."""
        self.browser(by).get(f"{self.url}/tickets/{number}/?take", timeout=PATIENCE).raise_for_status()

    def update(self, number: str, *, by: str, **changed: str) -> None:
        """The form on the ticket's page, with `changed` in it."""
        browser = self.browser(by)
        page = browser.get(f"{self.url}/tickets/{number}/", timeout=PATIENCE)
        page.raise_for_status()
        there = f"/tickets/{number}/update/"
        form = {**_form(page.text, there), **changed}
        headers = {"Referer": page.url}
        answer = browser.post(self.url + there, data=form, headers=headers, timeout=PATIENCE, allow_redirects=False)
        assert answer.status_code == 302, answer.text

    def hold(self, number: str, *, by: str) -> None:
        browser = self.browser(by)
        there = f"{self.url}/tickets/{number}/hold/"
        data = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        browser.post(there, data=data, headers={"Referer": there}, timeout=PATIENCE).raise_for_status()

    def comment(self, number: str, text: str, *, by: str) -> None:
        body = {"ticket": number, "user": self.accounts[by]["id"], "comment": text, "public": False}
        self.api(by, "POST", "/followups/", body)

    def follow_ups(self, number: str) -> Sequence[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("technician2", "GET", f"/tickets/{number}/")["followup_set"]
        return found

    def login(self, account: str) -> str:
        return self._logins[account]

    def page(self, number: str, *, by: str) -> str:
        return self.browser(by).get(f"{self.url}/tickets/{number}/", timeout=PATIENCE).text

    def browser(self, who: str) -> requests.Session:
        """A browser in which `who` is signed in at the desk."""
        if who not in self._browsers:
            browser = requests.Session()
            browser.trust_env = False
            page = browser.get(f"{self.url}/login/", timeout=PATIENCE)
            form = {**_form(page.text, ""), "username": who, "password": f"{who}-at-the-desk"}
            browser.post(page.url, data=form, headers={"Referer": page.url}, timeout=PATIENCE).raise_for_status()
            assert "sessionid" in browser.cookies
            self._browsers[who] = browser
        return self._browsers[who]

    def log(self) -> str:
        return (self._folder / "desk.log").read_text(errors="replace")

    def mail(self) -> str:
        """All mail that it sent."""
        return "".join(path.read_text(errors="replace") for path in (self._folder / "mail").glob("*"))


@contextmanager
def site_runs(folder: Path, *, webhook_url: str) -> Iterator[Site]:
    """Install it into `folder`, start it on a free port, and stop it in the end."""
    port = free_port()
    python = folder / "venv" / "bin" / "python"
    _done([sys.executable, "-m", "venv", str(folder / "venv")], dict(os.environ))
    lock = str(HERE / "requirements.lock")
    _done([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", lock], dict(os.environ))
    environment = {
        **os.environ,
        "DESK_FOLDER": str(folder),
        "DESK_SECRET": secrets.token_hex(16),
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": str(HERE / "site"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HELPDESK_FOLLOWUP_WEBHOOK_URLS": webhook_url,
        "HELPDESK_NEW_TICKET_WEBHOOK_URLS": webhook_url,
    }
    manage = [str(python), "-m", "django"]
    _done([*manage, "migrate", "--verbosity", "0"], environment)
    accounts = json.loads(_done([str(python), str(HERE / "site" / "seed.py")], environment).splitlines()[-1])
    url = f"http://127.0.0.1:{port}"
    with (folder / "desk.log").open("ab") as out:
        # "insecure": with the styles of its pages, which a picture in the docs shows.
        command = [*manage, "runserver", f"127.0.0.1:{port}", "--noreload", "--insecure"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        until(lambda: _answers(url), "django-helpdesk answers", patience=PATIENCE)
        yield Site(url, accounts, folder)
    finally:
        process.terminate()
        process.wait(20)


def _done(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/login/", timeout=5).ok
    except requests.RequestException:
        return False


class _Forms(HTMLParser):
    """What a browser would send of each form on a page, by the form's action, if nobody touched it."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}
        self._name = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        it = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = self.forms.setdefault(it.get("action", ""), {})
        elif tag == "input" and it.get("name"):
            kind = it.get("type", "text")
            if kind not in ("file", "submit", "button") and (kind not in ("radio", "checkbox") or "checked" in it):
                self._form[it["name"]] = it.get("value", "on" if kind == "checkbox" else "")
        elif tag in ("select", "textarea"):
            self._name = it.get("name", "")
            if tag == "textarea":
                self._form[self._name] = ""
        elif tag == "option" and ("selected" in it or self._name not in self._form):
            self._form[self._name] = it.get("value", "")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "textarea" and self._name:
            self._form[self._name] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("select", "textarea"):
            self._name = ""


def _form(page: str, action: str) -> dict[str, str]:
    read = _Forms()
    read.feed(page)
    return read.forms[action]
