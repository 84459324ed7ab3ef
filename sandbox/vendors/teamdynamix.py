"""A double of TeamDynamix: log-in for a token in plain text, tickets, feed, people, search, and webhooks.

Source: "TeamDynamix Web API": sections Auth, Tickets and People, "About rate limiting"; KB 95106, "Getting Started with
Webhooks". What is published nowhere is a guess, and as unkind a one as is likely: the signature (hex over the body),
the shape of a webhook's body, no second try, comments that are shown as HTML, the sentences of the feed, and both ways
to say that nobody has a ticket.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import re
import secrets
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import jwt
from flask import Blueprint, Response, jsonify, redirect, request

from sandbox.clock import Clock, plain, real_now
from sandbox.desk import SERVICE, Account, Desk, Ticket, Wrong
from sandbox.sender import Dialect, Message, Sender

APP = 42
CATEGORY_ATTRIBUTE = 9_001
NOBODY = "00000000-0000-0000-0000-000000000000"
PER_MINUTE = 60  # of each method
TOKEN_LIFE = timedelta(hours=24)
_EVENTS = {"ticket.created": "Created"}  # all else is a change
_STATUS = {"open": (2, "In Process"), "pending": (5, "On Hold"), "solved": (3, "Resolved"), "closed": (3, "Closed")}
_NAMES = {"subject": "Title", "category": "Kind of work", "queue": "Service", "requester": "Requestor"}
COMMENT, STATUS_CHANGE, EDIT, CREATED = 1, 2, 3, 4


class TeamDynamixWebhooks:
    """Every edit, with the whole ticket; signed, where a secret is set, and sent once."""

    patience = 10.0

    def __init__(self, teamdynamix: TeamDynamix) -> None:
        self._teamdynamix = teamdynamix

    def message(self, kind: str, ticket: str, actor: str) -> Message | None:  # noqa: ARG002
        event = self._teamdynamix.event(_EVENTS.get(kind, "Modified"), ticket)
        return Message(str(uuid.uuid4()), json.dumps(event).encode())

    def headers(self, message: Message, secrets: Sequence[str]) -> Mapping[str, str]:
        mac = hmac.new(secrets[0].encode(), message.body, hashlib.sha256).hexdigest()
        return {"x-tdx-signature": mac, "user-agent": "TeamDynamix"}

    def again(self, message: Message, status: int | None, answer: Mapping[str, str]) -> float | None:  # noqa: ARG002
        return None


class TeamDynamix:
    number = "{number}"

    def __init__(self, desk: Desk, sender: Sender, clock: Clock) -> None:
        self._desk, self._sender, self._clock = desk, sender, clock
        self.dialect: Dialect = TeamDynamixWebhooks(self)
        sender.secrets = [secrets.token_urlsafe(32)]
        self._login = {"username": "ticket-elevate", "password": secrets.token_urlsafe(24)}
        self._admin = {"BEID": str(uuid.uuid4()), "WebServicesKey": str(uuid.uuid4())}
        self._key = secrets.token_hex(32)
        self._calls: dict[str, list[float]] = {}
        self._day: object = None

    def account(self, of: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{of}.teamdynamix.example"))

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "kind": "teamdynamix",
            "url": url,
            "app_id": str(APP),
            **self._login,
            "service_account": self.account(SERVICE.id),
            "category_field": str(CATEGORY_ATTRIBUTE),
            "categories": {_choice(t.category): t.category for t in self._desk.tickets.values()},
            "secrets": {"first": self._sender.secrets[0]},
        }

    # The API

    def blueprint(self) -> Blueprint:
        part = Blueprint("teamdynamix", __name__)
        for path, view, method in (
            ("/auth", self.log_in, "POST"),
            ("/auth/loginadmin", self.log_in_by_key, "POST"),
            ("/auth/getuser", self.me, "GET"),
            ("/people/<uid>", self.person, "GET"),
            (f"/{APP}/tickets/search", self.search, "POST"),
            (f"/{APP}/tickets/<number>", self.ticket, "GET"),
            (f"/{APP}/tickets/<number>/feed", self.feed, "GET"),
            (f"/{APP}/tickets/<number>/feed", self.comment, "POST"),
        ):
            part.add_url_rule(f"/TDWebApi/api{path}", f"{method}{path}".replace(".", ""), view, methods=[method])
        part.add_url_rule(f"/TDNext/Apps/{APP}/Tickets/TicketDet.aspx", view_func=self.page)
        part.before_request(self._admit)
        part.after_request(self._counted)
        part.register_error_handler(Wrong, _wrong)
        return part

    def _admit(self) -> Response | None:
        """Who calls too often, without a token that lives, or with anything but JSON gets no further."""
        if not request.path.startswith("/TDWebApi/"):
            return None
        if self._desk.tickets is not self._day:  # the practice desk began anew
            self._day, self._calls = self._desk.tickets, {}
        calls = self._recent()
        if len(calls) >= PER_MINUTE:
            return _answer(429, "API calls quota exceeded! Maximum 60 calls per 60 seconds.")
        calls.append(time.monotonic())
        if request.method == "POST" and not request.is_json:
            return _answer(415, "The content type of this call is not supported.")
        if not request.path.startswith("/TDWebApi/api/auth") or request.path.endswith("/getuser"):
            kind, _, token = request.headers.get("Authorization", "").partition(" ")
            try:
                jwt.decode(token if kind == "Bearer" else "", self._key, algorithms=["HS256"])
            except jwt.InvalidTokenError:
                return _answer(401, "Authentication is required.")
        return None

    def _recent(self) -> list[float]:
        """When this method was called in the last minute."""
        key, now = str(request.endpoint), time.monotonic()
        self._calls[key] = [it for it in self._calls.get(key, []) if it > now - 60]
        return self._calls[key]

    def _counted(self, answer: Response) -> Response:
        if request.path.startswith("/TDWebApi/"):
            calls = self._recent()
            wait = 60 - (time.monotonic() - calls[0]) if calls else 60
            resets = real_now() + timedelta(seconds=wait + 1)
            answer.headers["X-RateLimit-Limit"] = str(PER_MINUTE)
            answer.headers["X-RateLimit-Remaining"] = str(PER_MINUTE - len(calls))
            answer.headers["X-RateLimit-Reset"] = format_datetime(resets, usegmt=True)
        return answer

    def log_in(self) -> Response:
        return self._token(self._login)

    def log_in_by_key(self) -> Response:
        return self._token(self._admin)

    def _token(self, wanted: Mapping[str, str]) -> Response:
        given = request.get_json(silent=True)
        if not isinstance(given, dict) or any(given.get(name) != value for name, value in wanted.items()):
            return _answer(403, "Invalid username or password.")
        claims = {"unique_name": SERVICE.id, "iat": real_now(), "exp": real_now() + TOKEN_LIFE}
        return Response(jwt.encode(claims, self._key, algorithm="HS256"), content_type="text/plain; charset=utf-8")

    def me(self) -> Response:
        return jsonify(self._user(SERVICE))

    def person(self, uid: str) -> Response:
        found = next((it for it in [SERVICE, *self._desk.accounts()] if self.account(it.id) == uid.lower()), None)
        if found is None:
            raise Wrong(404, "-1", "User not found.")
        return jsonify(self._user(found))

    def ticket(self, number: str) -> Response:
        with self._desk.lock:
            return jsonify(self._ticket(self._found(number)))

    def search(self) -> Response:
        """A bare list, in no order that one may lean on, without attributes."""
        wanted = request.get_json()
        who, classes = wanted.get("PrimaryResponsibilityUids"), wanted.get("StatusClassIDs")
        times = {name: _whole_time(wanted.get(name)) for name in ("ModifiedDateFrom", "ModifiedDateTo")}
        most = wanted.get("MaxResults", 300)
        with self._desk.lock:
            rows = [self._ticket(it) for it in self._desk.tickets.values()]
        rows = [it for it in rows if who is None or it["ResponsibleUid"] in who]
        rows = [it | {"Attributes": None} for it in rows if classes is None or it["StatusClass"] in classes]
        rows = [it for it in rows if (times["ModifiedDateFrom"] or "") <= it["ModifiedDate"]]
        rows = [it for it in rows if it["ModifiedDate"] <= (times["ModifiedDateTo"] or "9")]
        rows.sort(key=lambda it: hashlib.sha256(str(it["ID"]).encode()).digest())
        return jsonify(rows[:most] if most else rows)

    def feed(self, number: str) -> Response:
        """The newest first; `top` cuts it."""
        with self._desk.lock:
            ticket = self._found(number)
            entries = [*(self._change(ticket, it) for it in ticket.history), *map(self._comment, ticket.notes)]
        made = self._entry(ticket, 0, ticket.created, ticket.requester, CREATED, "Created this incident.")
        entries = sorted([*entries, made], key=lambda it: int(it["ID"]), reverse=True)
        return jsonify(entries[: int(request.args.get("top") or len(entries))])

    def comment(self, number: str) -> Response:
        """Public where nobody says otherwise, and shown as HTML whatever was said of it."""
        given = request.get_json(silent=True)
        if not isinstance(given, dict) or not isinstance(given.get("Comments"), str) or given.get("NewStatusID"):
            return _answer(400, "Only comments can be written here.")
        with self._desk.lock:
            self._found(number)
            note = self._desk.add_note(number, given["Comments"], given.get("IsPrivate", False) is True, SERVICE)
            answer = jsonify(self._comment(note))
        answer.status_code = 201
        return answer

    def page(self) -> Any:
        return redirect(f"/tickets/{request.args['TicketID']}")

    # What things look like

    def _found(self, number: str) -> Ticket:
        if number not in self._desk.tickets:
            raise Wrong(404, "-1", "Ticket not found.")
        return self._desk.tickets[number]

    def _user(self, account: Account) -> dict[str, Any]:
        return {
            "UID": self.account(account.id),
            "FullName": account.name,
            "IsActive": account.active,
            "TypeID": 9 if account is SERVICE else 1 if account.agent else 2,
            "UserName": account.email,
            "AuthenticationUserName": account.email,
            "PrimaryEmail": account.email,
            "AlternateID": "",
            "ExternalID": "",
        }

    def _ticket(self, ticket: Ticket) -> dict[str, Any]:
        has, asked = self._desk.account(ticket.assignee), self._desk.account(ticket.requester)
        status, name = _STATUS[ticket.status]
        if ticket.status == "open" and not ticket.history:
            status, name = 1, "New"
        newest = ticket.history[0] if ticket.history else None
        by = self._author(newest) if newest else (self.account(ticket.requester), asked.name if asked else "")
        nobody = NOBODY if ticket.assignment_id else None
        return {
            "ID": int(ticket.id),
            "AppID": APP,
            "Title": ticket.subject,
            "TypeName": "Incident",
            "TypeCategoryName": "IT",
            "FormID": 7,
            "FormName": "Incident form",
            "ServiceID": 0,
            "ServiceName": ticket.queue,
            "StatusID": 100 + status,
            "StatusName": name,
            "StatusClass": status,
            "ResponsibleUid": self.account(has.id) if has else nobody,
            "ResponsibleFullName": has.name if has else "",
            "ResponsibleEmail": has.email if has else "",
            "ResponsibleGroupID": 3,
            "ResponsibleGroupName": ticket.queue,
            "RequestorUid": self.account(ticket.requester),
            "RequestorName": asked.name if asked else "",
            "RequestorEmail": asked.email if asked else "",
            "CreatedDate": _seconds(ticket.created),
            "CreatedUid": self.account(ticket.requester),
            "CreatedFullName": asked.name if asked else "",
            "ModifiedDate": _seconds(newest["at"] if newest else ticket.created),
            "ModifiedUid": by[0] or NOBODY,
            "ModifiedFullName": by[1],
            "Attributes": [{"ID": CATEGORY_ATTRIBUTE, "Name": "Kind of work", "Value": _choice(ticket.category)}],
        }

    def _author(self, change: Mapping[str, Any]) -> tuple[str | None, str]:
        """What an automation does stands under nobody."""
        if change.get("rule"):
            return None, "System"
        return self.account(change["actor_id"]), change["actor"]["name"]

    def _change(self, ticket: Ticket, it: dict[str, Any]) -> dict[str, Any]:
        field, old, new = it["field"], it["old"], it["new"]
        kind, uid = EDIT, self._author(it)[0]
        if field == "assignee":
            before, after = ((self._desk.account(one) or _NOBODY).name for one in (old, new))
            text = f"Reassigned this incident from {before} to {after}"
            if new == it["actor_id"] and not it.get("rule"):
                text = f"Took primary responsibility for this incident from {before}"
            by_rule = f' via rule "{it["rule"]}" owned by "Administrator"' if it.get("rule") else ""
            text = html.escape(text) + by_rule + "."
        elif field == "status":
            kind, (was, now) = STATUS_CHANGE, (_STATUS[one][1] for one in (old, new))
            text = f"Changed Status from <b>{was}</b> to <b>{now}</b>."
        else:
            text = html.escape(f'Changed {_NAMES[field]} from "{old}" to "{new}".')
        return self._entry(ticket, _order(it), it["at"], it["actor_id"] if uid else None, kind, text)

    def _comment(self, note: Mapping[str, Any]) -> dict[str, Any]:
        text = str(note["body"]).replace("\n", "<br />")
        entry = self._entry(None, _order(note), note["at"], note["author"]["id"], COMMENT, text)
        return entry | {"IsPrivate": note["internal"], "IsCommunication": True}

    def _entry(
        self, ticket: Ticket | None, number: int, at: str, author: str | None, kind: int, body: str
    ) -> dict[str, Any]:
        who = self._desk.account(author)
        return {
            "ID": 51_547_000 + number,
            "CreatedUid": self.account(author) if author else NOBODY,
            "CreatedFullName": who.name if who else "System",
            "CreatedDate": at,
            "ItemType": 9,
            "ItemID": int(ticket.id) if ticket else 0,
            "Body": body,
            "IsRichHtml": False,
            "UpdateType": kind,
            "IsPrivate": False,
            "IsCommunication": False,
            "Replies": [],
            "RepliesCount": 0,
        }

    def event(self, kind: str, number: str) -> dict[str, Any]:
        return {
            "EventType": kind,
            "EventDate": plain(self._clock.now()),
            "AppID": APP,
            "ItemID": int(number),
            "Item": self._ticket(self._desk.tickets[number]),
        }


_NOBODY = Account("", "Unassigned", "", agent=False)


def _order(it: Mapping[str, Any]) -> int:
    return int(str(it["id"])[1:])


def _choice(category: str) -> str:
    """The number of a drop-down's choice."""
    return str(1_000 + zlib.crc32(category.encode()) % 100_000)


def _seconds(at: str) -> str:
    """Times of tickets are of whole seconds."""
    return f"{datetime.fromisoformat(at):%Y-%m-%dT%H:%M:%SZ}"


def _whole_time(text: Any) -> str | None:
    """To the second and in UTC; anything else would be read as something that nobody meant."""
    if text is None:
        return None
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text):
        raise Wrong(400, "-1", "The request is invalid.")
    return text


def _answer(status: int, message: str) -> Response:
    answer = jsonify(ID=-1, Message=message)
    answer.status_code = status
    return answer


def _wrong(wrong: Wrong) -> Response:
    return _answer(wrong.status, wrong.message)
