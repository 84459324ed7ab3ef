"""The doubles of sandbox/vendors on the bench: each is a practice helpdesk that speaks a vendor's language."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import requests

from integration.tickets import Status
from tests.conftest import Practice, practice_runs, until
from tests.end_to_end.receiver import Receiver
from tests.helpdesks.bench import Delivery, Note

ADDRESSES_ARE_UNIQUE = ("freshservice", "teamdynamix", "zammad", "zendesk")  # or are what people log in by
NOBODY_IS_DISABLED = ("generic", "practice_desk")  # the practice helpdesk's API does not tell
WITHOUT_IDS = ("freshservice",)  # neither an id nor a time is in what they send
NO_TIME_IS_SIGNED = ("freshservice", "teamdynamix", "zammad")
_STATUS = {Status.OPEN: "open", Status.ON_HOLD: "pending", Status.SOLVED: "solved"}


class Double:
    """`python -m sandbox --helpdesk KIND`, or the practice helpdesk itself; satisfies tests.helpdesks.bench.Bench."""

    kind: str | None = None

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Callable[[], Self]]:
        receiver = Receiver()
        with practice_runs(folder, *(["--helpdesk", cls.kind] if cls.kind else [])) as practice:
            yield lambda: cls(practice, receiver)
        receiver.stop()

    def __init__(self, practice: Practice, receiver: Receiver) -> None:
        self._practice = practice
        self.settings: Mapping[str, Any] = practice.facts["helpdesk"]
        accounts = practice.facts["helpdesk_accounts"]
        self.tells_repeats = self.settings["kind"] not in WITHOUT_IDS
        self.signs_time = self.settings["kind"] not in NO_TIME_IS_SIGNED
        self._keys = {account: key for key, account in accounts.items()}
        self.technician, self.colleague, self.requester = (
            accounts[key] for key in ("technician", "technician2", "requester")
        )
        practice.control("/reset")
        practice.control("/webhooks", {"url": receiver.url})
        self._seen = 0
        self._ahead = timedelta()

    def new_ticket(self, subject: str = "Cannot sign in", category: str = "Password reset") -> str:
        return self._shown(self._practice.new_ticket(category, subject=subject))

    def assign(self, number: str, to: str | None, *, by: str) -> None:
        body = {"assignee": self._keys[to] if to else None}
        self._practice.desk("POST", f"/api/tickets/{self._own(number)}/assign", body, by=self._keys[by])

    def assign_by_rule(self, number: str, to: str, *, under: str) -> bool:
        body = {"ticket": self._own(number), "to": self._keys[to], "under": self._keys[under]}
        self._practice.control("/tickets/assign-by-rule", body)
        return True

    def set_status(self, number: str, status: Status) -> None:
        self._practice.set_status(self._own(number), _STATUS[status])

    def delete(self, number: str) -> None:
        url = f"{self._practice.facts['practice_url']}/_practice/tickets/{self._own(number)}"
        requests.delete(url, timeout=10).raise_for_status()

    def comment(self, number: str, text: str, *, by: str) -> None:
        body = {"body": text, "internal": True}
        self._practice.desk("POST", f"/api/tickets/{self._own(number)}/notes", body, by=self._keys[by])

    def comment_often(self, number: str, times: int, *, by: str) -> bool:
        body = {"ticket": self._own(number), "by": self._keys[by], "body": "Called back.", "times": times}
        self._practice.control("/tickets/notes", body)
        return True

    def set_person(self, account: str, *, address: str | None, active: bool = True) -> bool:
        taken = [self.address_of(other) for other in self._keys if other != account]
        if address in taken and self.settings["kind"] in ADDRESSES_ARE_UNIQUE:
            return False
        body = {"helpdesk_mail": address, "helpdesk_active": active}
        self._practice.control(f"/people/{self._keys[account]}", body)
        return active or self.settings["kind"] not in NOBODY_IS_DISABLED

    def address_of(self, account: str) -> str:
        return str(self._practice.people[self._keys[account]]["mail"])

    def comments(self, number: str) -> Sequence[Note]:
        found = next(it for it in self._practice.state()["tickets"] if it["id"] == self._own(number))
        return [Note(it["body"], it["internal"]) for it in reversed(found["notes"])]

    def deliveries(self, number: str) -> Sequence[Delivery]:
        until(lambda: self._practice.state()["webhooks_waiting"] == 0, "the calls have arrived")
        return [
            Delivery({name.lower(): value for name, value in it["headers"].items()}, it["sent"].encode())
            for it in self._practice.log()["webhooks"]
            if it["ticket"] == self._own(number)
        ]

    def signed(self, body: bytes) -> Mapping[str, str]:
        found: dict[str, str] = self._practice.control("/webhooks/sign", {"base64": base64.b64encode(body).decode()})
        return found

    def calls(self) -> Sequence[tuple[str, str]]:
        rows = [it for it in self._practice.log()["requests"] if it["side"] == "helpdesk" and it["n"] > self._seen]
        self._seen = max([self._seen, *(it["n"] for it in rows)])
        ours = [it for it in rows if it.get("who") not in self._keys.values() and "token" not in it["path"]]
        return [(it["method"], it["path"]) for it in ours]

    def break_down(self, status: int, *, body: str = "{}", headers: Mapping[str, str] | None = None) -> None:
        fault = {"match": {"side": "helpdesk"}, "kind": "status", "status": status, "body": body, "times": 100}
        self._practice.control("/faults", {**fault, "headers": dict(headers or {})})

    def mend(self) -> None:
        requests.delete(f"{self._practice.facts['practice_url']}/_practice/faults", timeout=10).raise_for_status()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def later(self) -> bool:
        self._practice.control("/clock", {"advance_seconds": 120})
        self._ahead += timedelta(minutes=2)
        return True

    def changed_together(self, count: int) -> Sequence[str]:
        body = {"count": count, "requester": self._keys[self.requester], "assignee": self._keys[self.technician]}
        return [self._shown(it) for it in self._practice.control("/tickets/together", body)["tickets"]]

    def hide(self, *numbers: str) -> None:
        """Keep tickets from the service account, as an ACL of a ServiceNow does."""
        self._practice.control("/tickets/hide", {"tickets": [self._own(it) for it in numbers]})

    def _shown(self, number: str) -> str:
        return str(self._practice.facts["helpdesk_number"]).replace("{number}", number)

    def _own(self, number: str) -> str:
        before, _, after = str(self._practice.facts["helpdesk_number"]).partition("{number}")
        return number.removeprefix(before).removesuffix(after)


class Generic(Double):
    """The practice helpdesk by settings alone, which say whose a note is, and whether a rule set the assignee."""

    def __init__(self, practice: Practice, receiver: Receiver) -> None:
        super().__init__(practice, receiver)
        service = self.settings["service_account"]
        self.settings = {
            **self.settings,
            "history_url": "/api/tickets/{number}/history?per_page=100",
            "history_path": "history[?field == 'assignee'] | [0]",
            "assigned_by": "!rule && actor.id || null",
            "assigned_at": "at",
            "assigned_to": "new",
            "change": "id",
            "notes_url": "/api/tickets/{number}/notes?per_page=100",
            "notes_path": f"notes[?author.id == '{service}'].body",
        }


def of_vendor(kind: str) -> type[Double]:
    """The double of one of sandbox/vendors."""
    return type(kind, (Double,), {"kind": kind})
