"""The people of the demonstration and what they can do: at the practice helpdesk, at Microsoft, on our pages."""

import re
import time
from html import unescape
from typing import Any
from urllib.parse import urljoin

import requests
from rich.console import Console
from rich.markup import escape

from cli.stage import Stage, StepNotSeen, wait

COLOURS = {"technician": "cyan", "approver": "blue", "ticket": "yellow", "tenant": "magenta", "us": "green"}


class Cast:
    """What is said to have happened was observed at the side where it happened."""

    def __init__(self, console: Console, stage: Stage) -> None:
        self._console, self.facts, self.public_url = console, stage.facts, stage.public_url
        self._began = time.monotonic()

    def person(self, key: str = "technician") -> dict[str, Any]:
        found: dict[str, Any] = next(p for p in self.facts["people"] if p["key"] == key)
        return found

    def assign(self, ticket: str) -> None:
        me = self.person()
        body = {"assignee": me["helpdesk_account"]}
        self.desk("POST", f"/api/tickets/{ticket}/assign", body, me["helpdesk_password_or_token"])
        self.say("technician", f"assigns ticket {ticket} to themselves")

    def solve(self, ticket: str) -> None:
        token = self.person()["helpdesk_password_or_token"]
        self.desk("POST", f"/api/tickets/{ticket}/status", {"status": "solved"}, token)
        self.say("technician", f"solves ticket {ticket}")

    def new_ticket(self, category: str, subject: str) -> str:
        token = self.person("requester")["helpdesk_password_or_token"]
        made = self.desk("POST", "/api/tickets", {"subject": subject, "category": category}, token)
        return str(made["id"])

    def policy(self, role: str, **changes: Any) -> None:
        address = f"{self.facts['practice_url']}/_practice/policies/{role}"
        requests.post(address, json=changes, timeout=10).raise_for_status()

    def link_in(self, note: str) -> str:
        found = re.search(r"https?://\S+/elevations/[0-9A-Z]{26}", note)
        if found is None:
            raise StepNotSeen("the note holds a link")
        return found[0]

    def browser(self) -> requests.Session:
        """A person's own browser, which nobody is signed in with yet."""
        made = requests.Session()
        made.verify = self.facts["ca_bundle"]
        made.trust_env = False
        return made

    def sign_in(self, browser: requests.Session, link: str, who: str = "technician") -> requests.Response:
        """What a person does: our page, the button, Microsoft's page, and back to where they wanted to be."""
        page = browser.get(link, timeout=10)
        hidden = dict(re.findall(r'name="(csrf_token|back_to)" value="([^"]+)"', page.text))
        start = browser.post(f"{self.public_url}/sign-in", data=hidden, headers={"Referer": link}, timeout=10)
        onward = re.search(r'id="onward" href="([^"]+)"', start.text)
        if onward is None:
            raise StepNotSeen(f"the page that leads to Microsoft (HTTP {start.status_code})")
        authorize = f"{unescape(onward[1])}&practice_person={self.person(who)['upn']}"
        landed = browser.get(authorize, timeout=10)
        if not landed.ok:
            raise StepNotSeen(f"the sign-in leads back to our page (HTTP {landed.status_code})")
        return landed

    def press(self, browser: requests.Session, page: requests.Response, action: str, **fields: str) -> None:
        """Press the button of the first form on `page` whose address holds `action`."""
        for form in re.findall(r"<form.*?</form>", page.text, re.DOTALL):
            address = re.search(r'action="([^"]+)"', form)
            if address is None or action not in address[1]:
                continue
            hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))
            there = urljoin(page.url, unescape(address[1]))
            data = {name: unescape(value) for name, value in hidden.items()} | fields
            browser.post(there, data=data, headers={"Referer": page.url}, timeout=10).raise_for_status()
            return
        raise StepNotSeen(f"a button for {action} on {page.url}")

    def note(self, ticket: str, words: str) -> str:
        def look() -> str | None:
            return next((str(n["body"]) for n in self.ticket(ticket)["notes"] if words in n["body"]), None)

        return wait(f"ticket {ticket} says {words!r}", look)

    def shown(self, number: str) -> str:
        """What the helpdesk that is played calls this ticket of the practice helpdesk."""
        return str(self.facts["helpdesk_number"]).replace("{number}", number)

    def ticket(self, number: str) -> dict[str, Any]:
        found: dict[str, Any] = next(t for t in self.state()["tickets"] if str(t["id"]) == number)
        return found

    def active(self, role: str) -> bool:
        state = self.state()
        wanted = next(e["roleDefinitionId"] for e in self.person()["eligible"] if e["role"] == role)
        held = {(i["principalId"], i["roleDefinitionId"]) for i in state["instances"]}
        return (self.person()["oid"], wanted) in held

    def state(self) -> dict[str, Any]:
        answer = requests.get(f"{self.facts['practice_url']}/_practice/state", timeout=10)
        found: dict[str, Any] = answer.json()
        return found

    def desk(self, method: str, path: str, body: dict[str, Any], token: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        url = self.facts["helpdesk_url"] + path
        answer = requests.request(method, url, json=body, headers=headers, timeout=10)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def say(self, side: str, what: str) -> None:
        colour = {"technician": "cyan", "approver": "blue", "ticket": "yellow", "tenant": "magenta", "us": "green"}[
            side
        ]
        self._console.print(
            f"[dim]{time.monotonic() - self._began:6.1f} s[/] [{colour}]{side:>10}[/]  {escape(what)}", soft_wrap=True
        )
