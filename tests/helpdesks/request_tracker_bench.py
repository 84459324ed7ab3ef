"""A real Request Tracker on the bench, with our extension in it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from integration.tickets import Status
from sandbox.clock import Clock
from sandbox.sender import Message, StandardWebhooks
from tests.conftest import until
from tests.end_to_end.receiver import PATIENCE, Receiver
from tests.end_to_end.request_tracker import RtInstance, install_packages
from tests.helpdesks.bench import Delivery, Note
from tests.helpdesks.front import BehindFront, Front

SECRET = "whsec_VGhlIHNlY3JldCBvZiBhIHRlc3QsIDMyIGJ5dGVzISE="
_STATUS = {Status.OPEN: "open", Status.ON_HOLD: "stalled", Status.SOLVED: "resolved"}


class RequestTrackerBench(BehindFront):
    """Satisfies tests.helpdesks.bench.Bench."""

    def __init__(self, rt: RtInstance, receiver: Receiver, front: Front) -> None:
        self._rt, self._receiver, self._front = rt, receiver, front
        self._changes: Counter[str] = Counter()  # of each ticket, which the extension tells of
        self.settings: Mapping[str, Any] = {
            "kind": "request_tracker",
            "url": front.url,
            "token": rt.tokens["elevate-bot"],
            "service_account": "elevate-bot",
            "secrets": {"current": SECRET},
        }
        self.technician, self.colleague, self.requester = "technician", "technician2", "requester"
        self.tells_repeats = self.signs_time = True
        rt.hours_pass()  # what an earlier bench did there is no news
        for login in (self.technician, self.colleague):
            self.set_person(login, address=self.address_of(login))

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Callable[[], "RequestTrackerBench"]]:
        install_packages()
        receiver = Receiver()
        try:
            page = "http://127.0.0.1:9/elevate/rt/{ticket}"
            rt = RtInstance.start(folder, webhook_url=receiver.url, secret=SECRET, elevate_url=page)
            try:
                with Front.started(rt.url) as front:
                    yield lambda: cls(rt, receiver, front)
            finally:
                rt.stop()
        finally:
            receiver.stop()

    def new_ticket(self, subject: str = "Cannot sign in", category: str = "Password reset") -> str:
        return self._rt.create_ticket(subject.replace("\0", ""), category=category)  # its database refuses a NUL

    def assign(self, number: str, to: str | None, *, by: str) -> None:
        self._changes[number] += 1
        if to != by:
            self._rt.assign(number, to or "Nobody", by=by)
        elif self._rt.owner(number) == "Nobody":
            self._rt.take(number, by=by)
        else:
            self._rt.steal(number, by=by)

    def assign_by_rule(self, number: str, to: str, *, under: str) -> bool:  # noqa: ARG002  # RT's scrips act as RT
        self._changes[number] += 1
        self._rt.assign_by_system(number, to)
        return True

    def set_status(self, number: str, status: Status) -> None:
        self._changes[number] += 1
        self._rt.set_status(number, _STATUS[status])

    def delete(self, number: str) -> None:
        self._changes[number] += 1
        self._rt.set_status(number, "deleted", by="root")

    def comment(self, number: str, text: str, *, by: str) -> None:
        self._rt.call(by, "POST", f"/ticket/{number}/comment", {"Content": text, "ContentType": "text/plain"})

    def comment_often(self, number: str, times: int, *, by: str) -> bool:
        self._rt.comment_often(number, "Called back.", times, by=by)
        return True

    def set_person(self, account: str, *, address: str | None, active: bool = True) -> bool:
        told: list[str] = self._rt.call("root", "PUT", f"/user/{account}", {"EmailAddress": address or ""})
        # Who is disabled is told to administrators alone.
        return active and not any("in use" in it for it in told)

    def address_of(self, account: str) -> str:
        return f"{account}@rt.test"

    def comments(self, number: str) -> Sequence[Note]:
        """RT escapes what it shows of a text."""
        about = f"/ticket/{number}"
        kinds = {
            it["id"]: it["Type"]
            for it in self._rt.call("root", "GET", f"{about}/history", fields="Type", per_page="100")["items"]
        }
        more = {"fields": "Content,TransactionId,ContentType", "per_page": "100"}
        rows = [
            it
            for it in self._rt.call("root", "GET", f"{about}/attachments", **more)["items"]
            if it["ContentType"] == "text/plain" and kinds.get(it["TransactionId"]) in ("Comment", "Correspond")
        ]
        return [Note(it["Content"], kinds[it["TransactionId"]] == "Comment") for it in rows]

    def deliveries(self, number: str) -> Sequence[Delivery]:
        until(lambda: len(self._about(number)) >= self._changes[number], "the calls have arrived", patience=PATIENCE)
        return self._about(number)

    def _about(self, number: str) -> list[Delivery]:
        found = [it for it in list(self._receiver.seen) if json.loads(it.body)["ticket"] == number]
        found.sort(key=lambda it: int(json.loads(it.body)["transaction"]))
        return [Delivery(it.headers, it.body) for it in found]

    def signed(self, body: bytes) -> Mapping[str, str]:
        headers = StandardWebhooks(Clock()).headers(Message("rt-1-1", body), [SECRET])
        return {name.lower(): value for name, value in headers.items()}

    def later(self) -> bool:
        """RT writes down whole seconds, and its list does not lag: the next one is late enough."""
        after = self.now() + timedelta(seconds=1)
        until(lambda: self.now() >= after, "a second has passed")
        return True

    def changed_together(self, count: int) -> Sequence[str]:
        first = self.new_ticket()
        self.assign(first, self.technician, by=self.technician)
        at = datetime.fromisoformat(self._rt.call("root", "GET", f"/ticket/{first}")["LastUpdated"])
        return [first, *self._rt.copies(first, count - 1, at=at)]
