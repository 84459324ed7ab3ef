"""The practice helpdesk's state: tickets, their history and notes, and who may do what."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.clock import Clock, plain
from sandbox.people import Person
from sandbox.tenant import Tenant

STATUSES = ("open", "pending", "solved", "closed")
SEED = (
    ("Password reset", "Cannot sign in after the holiday", "Service desk"),
    ("MFA reset", "New phone, no sign-in codes any more", "Service desk"),
    ("Login error", "Sign-in fails with a code since this morning", "Service desk"),
    ("BitLocker key", "Laptop asks for a recovery key", "Devices"),
    ("Printer", "The printer on the second floor is out of toner", "Devices"),
    ("Password reset", "Password expired, please reset", "Service desk"),
    ("MFA reset", "Lost security key", "Service desk"),
    ("Login error", "Account seems to be locked", "Service desk"),
)
FIRST = 4821


class Wrong(Exception):
    """A call that the helpdesk refuses: HTTP status, code, sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Account:
    """Who may use the helpdesk: a person of the tenant, or the product's own service account."""

    id: str
    name: str
    email: str
    agent: bool
    active: bool = True

    def public(self) -> dict[str, str]:
        return {"id": self.id, "name": self.name, "email": self.email}


@dataclass
class Ticket:
    id: str
    subject: str
    category: str
    queue: str
    requester: str
    created: str
    updated: str
    status: str = "open"
    assignee: str | None = None
    assigned_by: str | None = None
    assignment_id: str | None = None
    assigned_at: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)


SERVICE = Account("elevate-bot", "Elevate (service account)", "elevate-bot@practice.example", agent=True)
Send = Callable[[str, str, str], None]


class Desk:
    def __init__(self, tenant: Tenant, clock: Clock, send: Send) -> None:
        self.lock = threading.RLock()
        self._tenant, self._clock, self._send = tenant, clock, send
        self.service_token = "desk_" + secrets.token_urlsafe(24)
        self.elevate_url = ""
        self.shown_as = "{number}"  # a ticket's number where a vendor has its own way
        self.connection = "practice"
        self.app: dict[str, bytes] = {}  # the files of the app that an administrator uploaded
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self._number = self._created = 0
            self.tickets: dict[str, Ticket] = {}
            self.deleted: list[Ticket] = []
            self.hidden: set[str] = set()  # tickets that our own account may not see
            for category, subject, queue in SEED:
                self.add(subject, category, queue, "requester")

    def add(self, subject: str, category: str, queue: str, requester: str) -> Ticket:
        now = plain(self._clock.now())
        number = str(FIRST + self._created)
        self._created += 1
        self.tickets[number] = Ticket(number, subject, category, queue, requester, now, now)
        return self.tickets[number]

    def add_together(self, count: int, requester: str, assignee: str) -> list[str]:
        """Tickets that all changed at the very same moment, as after an import; nobody is told of them."""
        with self.lock:
            made = [self.add("Imported", "Password reset", "Service desk", requester) for _ in range(count)]
            for ticket in made:
                ticket.assignee, ticket.created = assignee, made[0].created
                ticket.updated = ticket.created
            return [ticket.id for ticket in made]

    # Who

    def account(self, number: str | None) -> Account | None:
        if number == SERVICE.id:
            return SERVICE
        person = self._tenant.people.get(number or "")
        return _of(person) if person else None

    def by_token(self, token: str) -> Account | None:
        if secrets.compare_digest(token.encode(), self.service_token.encode()):
            return SERVICE
        for person in list(self._tenant.people.values()):
            if secrets.compare_digest(token.encode(), person.token.encode()):
                return _of(person)
        return None

    def accounts(self) -> list[Account]:
        return [_of(person) for person in self._tenant.people.values()]

    # What

    def ticket(self, number: str) -> Ticket:
        found = self.tickets.get(number)
        if found is None:
            raise Wrong(404, "not_found", f"There is no ticket {number}.")
        return found

    def assign(self, number: str, assignee: str | None, by: Account, *, rule: str = "") -> Ticket:
        """`rule`: of the helpdesk's own, that did it when `by` changed something."""
        with self.lock:
            ticket = self.ticket(number)
            _agents_only(by)
            account = self.account(assignee)
            if assignee is not None and (account is None or not account.agent):
                raise Wrong(422, "invalid", f"{assignee!r} is nobody a ticket can be assigned to.")
            if ticket.assignee != assignee:
                change = self._changed(ticket, "assignee", ticket.assignee, assignee, by) | {"rule": rule}
                ticket.history[0] = change
                ticket.assignee, ticket.assigned_by = assignee, by.id
                ticket.assignment_id, ticket.assigned_at = change["id"], change["at"]
                self._send("ticket.assigned", number, by.id)
            return ticket

    def set_status(self, number: str, status: str, by: Account) -> Ticket:
        with self.lock:
            ticket = self.ticket(number)
            _agents_only(by)
            if status not in STATUSES:
                raise Wrong(422, "invalid", f"A status is one of {', '.join(STATUSES)}.")
            if ticket.status != status:
                self._changed(ticket, "status", ticket.status, status, by)
                ticket.status = status
                self._send("ticket.status_changed", number, by.id)
            return ticket

    def edit(self, number: str, changes: dict[str, str], by: Account) -> Ticket:
        with self.lock:
            ticket = self.ticket(number)
            _agents_only(by)
            for name, value in changes.items():
                if name not in ("subject", "category", "queue", "requester") or not isinstance(value, str):
                    raise Wrong(422, "invalid", f"{name!r} cannot be changed like this.")
                if name == "requester" and self.account(value) is None:
                    raise Wrong(422, "invalid", f"There is no account {value!r}.")
            different = {n: v for n, v in changes.items() if getattr(ticket, n) != v}
            for name, value in different.items():
                self._changed(ticket, name, getattr(ticket, name), value, by)
                setattr(ticket, name, value)
            if different:
                self._send("ticket.updated", number, by.id)
            return ticket

    def create(self, subject: str, category: str, queue: str, by: Account) -> Ticket:
        with self.lock:
            ticket = self.add(subject, category, queue, by.id)
            self._send("ticket.created", ticket.id, by.id)
            return ticket

    def delete(self, number: str) -> None:
        with self.lock:
            gone = self.ticket(number)
            gone.updated = plain(self._clock.now())
            self.deleted.append(gone)
            del self.tickets[number]

    def add_note(self, number: str, body: str, internal: bool, by: Account) -> dict[str, Any]:
        with self.lock:
            ticket = self.ticket(number)
            note = {
                "id": self._next("n"),
                "at": plain(self._clock.now()),
                "author": {"id": by.id, "name": by.name},
                "body": body,
                "internal": internal,
            }
            ticket.notes.insert(0, note)
            ticket.updated = str(note["at"])
            self._send("ticket.note_added", number, by.id)
            return note

    def add_notes(self, number: str, body: str, times: int, by: Account) -> None:
        """As in the life of a ticket that is years old, of which nobody is told any more."""
        with self.lock:
            ticket = self.ticket(number)
            for count in range(times):
                who, at = {"id": by.id, "name": by.name}, plain(self._clock.now())
                note = {"id": self._next("n"), "at": at, "author": who, "body": f"{body} {count}", "internal": True}
                ticket.notes.insert(0, note)

    def _changed(self, ticket: Ticket, name: str, old: str | None, new: str | None, by: Account) -> dict[str, Any]:
        change = {
            "id": self._next("h"),
            "at": plain(self._clock.now()),
            "actor": {"id": by.id, "name": by.name},
            "actor_id": by.id,
            "field": name,
            "old": old,
            "new": new,
        }
        ticket.history.insert(0, change)
        ticket.updated = str(change["at"])
        return change

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{kind}{self._number}"

    def view(self, ticket: Ticket) -> dict[str, Any]:
        """A ticket as the API answers it."""
        assignee, requester = self.account(ticket.assignee), self.account(ticket.requester)
        return {
            "id": ticket.id,
            "subject": ticket.subject,
            "category": ticket.category,
            "queue": ticket.queue,
            "status": ticket.status,
            "assignee": assignee.public() if assignee else None,
            "requester": requester.public() if requester else None,
            "assigned_by": ticket.assigned_by,
            "assignment_id": ticket.assignment_id,
            "assigned_at": ticket.assigned_at,
            "created_at": ticket.created,
            "updated_at": ticket.updated,
        }

    def elevate_link(self, ticket: Ticket) -> str:
        return self.elevate_url.replace("{connection}", self.connection).replace(
            "{ticket}", self.shown_as.replace("{number}", ticket.id)
        )


def _of(person: Person) -> Account:
    address = "" if person.helpdesk_mail is None else person.helpdesk_mail or person.mail
    return Account(person.account, person.name, address, person.agent, person.helpdesk_active)


def _agents_only(by: Account) -> None:
    if not by.agent:
        raise Wrong(403, "forbidden", "Only people of the helpdesk may change a ticket.")
