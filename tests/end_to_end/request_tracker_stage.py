"""The whole product on a real Request Tracker: RT with our extension, the practice tenant, `init` and `run` of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.end_to_end.desk_stage import PATIENCE, DeskStage, link_in
from tests.end_to_end.request_tracker import RtInstance, install_packages

__all__ = ["PATIENCE", "REQUESTER", "SERVICE_ACCOUNT", "Stage", "link_in"]

SECRET = "whsec_" + "VGhlIHNlY3JldCBvZiBhIHN0b3J5LCAzMiBieXRlcyE="
SERVICE_ACCOUNT = "elevate-bot"
REQUESTER = "requester@practice.example"


class Stage(DeskStage):
    """`rt`, `practice` (its tenant) and the product between them."""

    @contextmanager
    def raised(self) -> Iterator["Stage"]:
        install_packages()
        self.rt = RtInstance.start(
            self._folder / "rt",
            webhook_url=f"http://127.0.0.1:{self._port}/webhooks/rt",
            secret=SECRET,
            elevate_url=self.public_url + "/elevate/rt/{ticket}",
        )
        try:
            for login in ("technician", "technician2", "requester"):
                address = {"EmailAddress": f"{login}@practice.example"}
                self.rt.call("root", "PUT", f"/user/{login}", address)
            with self.running():
                yield self
        finally:
            self.rt.stop()

    @property
    def connection(self) -> str:
        return f"""[helpdesks.rt]
kind = "request_tracker"
url = "{self.rt.url}"
token = "{self.rt.tokens[SERVICE_ACCOUNT]}"
service_account = "{SERVICE_ACCOUNT}"
secrets = {{ "2026-11" = "{SECRET}" }}
"""

    def new_ticket(self, subject: str, **more: Any) -> str:
        number = self.rt.create_ticket(subject, Requestor=REQUESTER, **more)
        self._tickets.append(number)
        return number

    def take(self, number: str, *, by: str) -> None:
        self.rt.take(number, by=by)

    def solve(self, number: str) -> None:
        self.rt.resolve(number, by="root")

    def notes(self, number: str) -> list[str]:
        return [text for text in self.rt.comments(number) if "[te:" in text]

    def sending(self) -> bool:
        return any((self.rt.folder / "var").glob("ticket-elevate-*"))

    def mail(self) -> str:
        """All mail that RT sent."""
        return "".join(path.read_text(errors="replace") for path in (self.rt.folder / "var").glob("*.mbox"))
