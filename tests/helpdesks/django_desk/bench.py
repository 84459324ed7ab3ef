"""django-helpdesk on the bench, connected by the settings that stand in docs/connect-generic.md and by nothing else."""

import base64
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.tickets import Status
from tests.conftest import ROOT
from tests.end_to_end.receiver import Receiver
from tests.helpdesks.bench import Delivery, Note
from tests.helpdesks.django_desk.django_desk import SERVICE_ACCOUNT, Site, site_runs
from tests.helpdesks.front import BehindFront, Front

SECRET = "a-secret-of-the-bench-0123456789"


def settings_on_the_page() -> dict[str, Any]:
    """The table of docs/connect-generic.md for django-helpdesk."""
    page = (ROOT / "docs" / "connect-generic.md").read_text(encoding="utf-8")
    found = re.search(r"```toml\n(\[helpdesks\.desk\]\n.*?)```", page, re.S)
    assert found is not None
    table: dict[str, Any] = tomllib.loads(found[1])["helpdesks"]["desk"]
    return table


def settings_for(site: Site, *, url: str, secret: str) -> dict[str, Any]:
    """Those, with what is each desk's own filled in."""
    token = site.accounts[SERVICE_ACCOUNT]["token"]
    return {**settings_on_the_page(), "url": url, "token": token, "secrets": {"2026-11": secret}}


class DjangoDesk(BehindFront):
    """Satisfies tests.helpdesks.bench.Bench."""

    def __init__(self, site: Site, receiver: Receiver, front: Front) -> None:
        self._site, self._receiver, self._front = site, receiver, front
        self.settings: Mapping[str, Any] = settings_for(site, url=front.url, secret=SECRET)
        self.technician, self.colleague = (site.accounts[login]["id"] for login in ("technician", "technician2"))
        self.requester = "requester@practice.example"
        self.tells_repeats = False  # it sends no id, and never again
        self.signs_time = False

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Callable[[], "DjangoDesk"]]:
        receiver = Receiver()
        try:
            hook = receiver.url.replace("http://", f"http://elevate:{SECRET}@")
            with site_runs(folder, webhook_url=hook) as site, Front.started(site.url) as front:
                yield lambda: cls(site, receiver, front)
        finally:
            receiver.stop()

    def new_ticket(self, subject: str = "Cannot sign in", category: str = "Password reset") -> str:
        return self._site.new_ticket(subject.replace("\0", ""), category)  # it refuses a NUL by itself

    def assign(self, number: str, to: str | None, *, by: str) -> None:
        if to == by:
            self._site.take(number, by=self._site.login(by))
        else:
            self._site.update(number, by=self._site.login(by), owner=to or "0")

    def assign_by_rule(self, number: str, to: str, *, under: str) -> bool:
        return False

    def set_status(self, number: str, status: Status) -> None:
        if status is Status.ON_HOLD:
            self._site.hold(number, by="technician")
        else:
            self._site.update(number, by="technician", new_status={Status.OPEN: "1", Status.SOLVED: "3"}[status])

    def delete(self, number: str) -> None:
        self._site.api("technician2", "DELETE", f"/tickets/{number}/")

    def comment(self, number: str, text: str, *, by: str) -> None:
        self._site.comment(number, text, by=self._site.login(by))

    def comment_often(self, number: str, times: int, *, by: str) -> bool:
        return False

    def set_person(self, account: str, *, address: str | None, active: bool = True) -> bool:
        return False  # its API tells neither: addresses stand in our settings

    def address_of(self, account: str) -> str:
        return str(self.settings["addresses"][account])

    def comments(self, number: str) -> Sequence[Note]:
        found = (it for it in self._site.follow_ups(number) if it["title"] != "Ticket Opened")
        return [Note(it["comment"], not it["public"]) for it in found if it["comment"]]

    def deliveries(self, number: str) -> Sequence[Delivery]:
        # Whoever changes a ticket waits until its call was answered, so there is nothing to wait for here.
        about = re.compile(rb'"ticket": \{"id": %d,' % int(number))
        return [Delivery(it.headers, it.body) for it in list(self._receiver.seen) if about.search(it.body)]

    def signed(self, body: bytes) -> Mapping[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"elevate:{SECRET}".encode()).decode()}

    def later(self) -> bool:
        return False  # its API neither sorts nor tells when a ticket changed

    def changed_together(self, count: int) -> Sequence[str]:  # noqa: ARG002
        return []
