"""A double of a ServiceNow instance: OAuth or Basic, the Table API over incident, sys_user, sys_audit and
sys_journal_field, and an installed business rule that signs what it sends.

Source: the docs of the release Australia: "Table API", "Business rules", "Viewing Sys Audit and Audit Relationship
Change tables", "Inbound REST API rate limiting", "Scripts and engines execution order"; and KB3047115: ACLs filter the
rows after the query ran.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request

from sandbox.clock import Clock, parse, real_now
from sandbox.desk import SERVICE, Account, Desk, Ticket, Wrong
from sandbox.sender import Dialect, Message, Sender, signature

NUMBER = "INC000{number}"
TOKEN_LIFE = 1_799  # seconds
PER_HOUR = 50_000
LONGEST_TEXT = 4_000
ZONE = timedelta(hours=-8)  # of the calling user: display values are in it
PICK = "u_elevate_pick"
_EVENTS = {"ticket.assigned": "assigned", "ticket.status_changed": "state", "ticket.created": "inserted"}
_STATES = {
    "open": ("2", "In Progress"),
    "pending": ("3", "On Hold"),
    "solved": ("6", "Resolved"),
    "closed": ("7", "Closed"),
}
_CODE = re.compile(r"\[code\](.*?)\[/code\]", re.IGNORECASE | re.DOTALL)
_CONDITION = re.compile(r"([a-z_.]+?)(=|IN|LIKE|ISNOTEMPTY|>=)(.*)")


@dataclass(frozen=True)
class Column:
    """One value of a record: as it is stored, as people see it, and the table that it refers to."""

    value: str
    display: str | None = None
    refers_to: str = ""


Row = Mapping[str, Column]


class ServiceNowRule:
    """What the installed business rule sends, by executeAsync: once, and what gets lost stays lost."""

    patience = 10.0

    def __init__(self, servicenow: ServiceNow) -> None:
        self._servicenow = servicenow

    def message(self, kind: str, ticket: str, actor: str) -> Message | None:
        event = self._servicenow.event(kind, ticket, actor)
        return None if event is None else Message(uuid.uuid4().hex, json.dumps(event, separators=(",", ":")).encode())

    def headers(self, message: Message, secrets: Sequence[str]) -> Mapping[str, str]:
        at = int(real_now().timestamp())
        return {
            "webhook-id": message.id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(secrets[0], message.id, at, message.body),
            "user-agent": "ServiceNow/1.0",
        }

    def again(self, message: Message, status: int | None, answer: Mapping[str, str]) -> float | None:  # noqa: ARG002
        return None


class ServiceNow:
    number = NUMBER

    def __init__(self, desk: Desk, sender: Sender, clock: Clock) -> None:
        self._desk, self._sender, self._clock = desk, sender, clock
        self.dialect: Dialect = ServiceNowRule(self)
        self._client = (secrets.token_hex(16), secrets.token_urlsafe(24))
        self._password = self._client[1]  # of the service account, for those who sign in with Basic
        self._tokens: dict[str, float] = {}  # when each ends, on the monotonic clock
        self._calls: list[float] = []
        self.per_hour = PER_HOUR
        self._tables: Mapping[str, Callable[[], list[Row]]] = {
            "incident": lambda: [self._incident(t) for t in self._desk.tickets.values()],
            "sys_user": lambda: [self._user(a) for a in self._accounts()],
            "sys_audit": self._audits,
            "sys_journal_field": self._journal,
        }

    def account(self, of: str) -> str:
        return _sys_id("sys_user", of)

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "kind": "servicenow",
            "url": url,
            "client_id": self._client[0],
            "client_secret": self._client[1],
            "login": SERVICE.id,
            "service_account": self.account(SERVICE.id),
            "categories": {_choice(t.category): t.category for t in self._desk.tickets.values()},
            "secrets": {"first": self._sender.secrets[0]},
        }

    # The API

    def blueprint(self) -> Blueprint:
        part = Blueprint("servicenow", __name__)
        part.add_url_rule("/oauth_token.do", view_func=self.token, methods=["POST"])
        part.add_url_rule("/api/now/table/<name>", view_func=self.records)
        part.add_url_rule("/api/now/table/<name>/<sys_id>", view_func=self.record)
        part.add_url_rule("/api/now/table/incident/<sys_id>", view_func=self.update, methods=["PATCH"])
        part.add_url_rule("/incident.do", view_func=self.form)
        part.before_request(self._admit)
        part.register_error_handler(Wrong, _wrong)
        return part

    def _admit(self) -> Response | None:
        """Who calls without a right to, or too often, gets no further."""
        if not request.path.startswith("/api/now/"):
            return None
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        basic = base64.b64encode(f"{SERVICE.id}:{self._password}".encode()).decode()
        if not (kind == "Bearer" and self._tokens.get(given, 0.0) > time.monotonic()) and not (
            kind == "Basic" and secrets.compare_digest(given.encode(), basic.encode())
        ):
            return _failure(401, "User Not Authenticated", "Required to provide Auth information")
        now = time.monotonic()
        self._calls = [it for it in self._calls if it > now - 3600]
        if len(self._calls) >= self.per_hour:
            wait = int(3600 - (now - self._calls[0])) + 1
            answer = _failure(429, "Rate limit exceeded", f"Rejected by large REST rule: {self.per_hour} an hour")
            answer.headers["Retry-After"] = str(wait)
            answer.headers["X-RateLimit-Limit"] = str(self.per_hour)
            answer.headers["X-RateLimit-Reset"] = str(int(real_now().timestamp()) + wait)
            return answer
        self._calls.append(now)
        return None

    def token(self) -> Response:
        """Client credentials, as a form alone: the token is that of the application's user."""
        given = request.form
        right = (given.get("client_id"), given.get("client_secret")) == self._client
        if given.get("grant_type") != "client_credentials" or not right:
            answer = jsonify(error="server_error", error_description="access_denied")
            answer.status_code = 401
            return answer
        token = secrets.token_urlsafe(64)
        self._tokens[token] = time.monotonic() + TOKEN_LIFE
        return jsonify(access_token=token, token_type="Bearer", scope="useraccount", expires_in=TOKEN_LIFE)  # noqa: S106

    def records(self, name: str) -> Response:
        with self._desk.lock:
            rows = _asked(self._rows(name), request.args.get("sysparm_query", ""))
            start, size = int(request.args.get("sysparm_offset", 0)), int(request.args.get("sysparm_limit", 10_000))
            # ACLs are looked at after the page is cut, and the count is that of the query.
            shown = [row for row in rows[start : start + size] if not self._hides(row)]
            answer = jsonify(result=[self._told(name, row) for row in shown])
            answer.headers["X-Total-Count"] = str(len(rows))
            return answer

    def record(self, name: str, sys_id: str) -> Response:
        with self._desk.lock:
            return jsonify(result=self._told(name, self._found(name, sys_id)))

    def update(self, sys_id: str) -> Response:
        """Only what clients of the practice desk do: a note. `comments` is the one that requesters read."""
        given = request.get_json(silent=True)
        if not isinstance(given, dict) or not given:
            raise Wrong(400, "The payload is not valid JSON.", "")
        with self._desk.lock:
            row = self._found("incident", sys_id)
            for name in given.keys() & {"work_notes", "comments"}:
                text = _CODE.sub(r'<div class="html">\1</div>', str(given[name])[:LONGEST_TEXT])
                self._desk.add_note(_own(row["number"].value), text, name == "work_notes", SERVICE)
            return jsonify(result=self._told("incident", self._found("incident", sys_id)))

    def form(self) -> Any:
        number = request.args.get("sysparm_query", "").removeprefix("number=")
        return redirect(f"/tickets/{_own(number)}")

    def _rows(self, name: str) -> list[Row]:
        if name not in self._tables:
            raise Wrong(400, f"Invalid table {name}", "")
        return self._tables[name]()

    def _found(self, name: str, sys_id: str) -> Row:
        for row in self._rows(name):
            if row["sys_id"].value == sys_id and not self._hides(row):
                return row
        raise Wrong(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")

    def _hides(self, row: Row) -> bool:
        """Whether an ACL keeps this incident from the service account."""
        return "number" in row and _own(row["number"].value) in self._desk.hidden

    def _told(self, name: str, row: Row) -> dict[str, Any]:
        """The columns that were asked for. What there is no column for is left out without a word."""
        names = [it for it in request.args.get("sysparm_fields", "").split(",") if it] or list(row)
        found = {it: self._walked(row, it) for it in names}
        return {it: self._shape(column) for it, column in found.items() if column is not None}

    def _walked(self, row: Row, name: str) -> Column | None:
        first, _, rest = name.partition(".")
        column = row.get(first)
        if not rest or column is None:
            return column
        for other in self._rows(column.refers_to) if column.refers_to else []:
            if other["sys_id"].value == column.value:
                return self._walked(other, rest)
        return Column("")

    def _shape(self, column: Column) -> Any:
        shown = column.value if column.display is None else column.display
        how = request.args.get("sysparm_display_value", "false")
        if how == "all":
            return {"display_value": shown, "value": column.value}
        value = shown if how == "true" else column.value
        if column.refers_to and value and request.args.get("sysparm_exclude_reference_link") != "true":
            kind = "display_value" if how == "true" else "value"
            return {"link": f"{request.host_url}api/now/table/{column.refers_to}/{column.value}", kind: value}
        return value

    # What there is

    def _accounts(self) -> list[Account]:
        return [SERVICE, *self._desk.accounts()]

    def _user(self, account: Account) -> Row:
        return {
            "sys_id": Column(self.account(account.id)),
            "user_name": Column(account.id),
            "name": Column(account.name),
            "email": Column(account.email),
            "active": _truth(account.active),
            "locked_out": _truth(False),
        }

    def _person(self, account: str | None) -> Column:
        found = self._desk.account(account)
        return Column(self.account(found.id), found.name, "sys_user") if found else Column("", "", "sys_user")

    def _incident(self, ticket: Ticket) -> Row:
        state, label = _STATES[ticket.status]
        if ticket.status == "open" and ticket.assignee is None:
            state, label = "1", "New"
        notes = [it for it in ticket.notes if it["internal"]]
        return {
            "sys_id": Column(_sys_id("incident", ticket.id)),
            "number": Column(NUMBER.replace("{number}", ticket.id)),
            "short_description": Column(ticket.subject),
            "category": Column(_choice(ticket.category), ticket.category),
            "subcategory": Column(""),
            "priority": Column("3", "3 - Moderate"),
            "contact_type": Column("self-service", "Self-service"),
            "state": Column(state, label),
            "active": _truth(ticket.status != "closed"),
            "assignment_group": Column(_sys_id("group", ticket.queue), ticket.queue, "sys_user_group"),
            "assigned_to": self._person(ticket.assignee),
            "caller_id": self._person(ticket.requester),
            "opened_by": self._person(ticket.requester),
            "opened_at": _time(ticket.created),
            "sys_updated_on": _time(ticket.updated),
            "sys_mod_count": Column(str(len(ticket.history) + len(ticket.notes))),
            "work_notes": Column("", "\n\n".join(f"{it['author']['name']}\n{it['body']}" for it in notes)),
            "comments": Column(""),
            PICK: Column(self._pick(ticket)),
        }

    def _pick(self, ticket: Ticket) -> str:
        """What the installed before-rules leave behind: nothing, when the assignee came from a rule of the desk's."""
        last = next((it for it in ticket.history if it["field"] == "assignee"), None)
        if last is None or last.get("rule") or not last["new"]:
            return ""
        return f"{self.account(last['new'])}:{self.account(last['actor_id'])}:{_sys_id(ticket.id, last['id'])}"

    def _audits(self) -> list[Row]:
        """A row for each column that changed, under the user of the session: also where a rule ran in it."""
        named = {"assignee": "assigned_to", "status": "state", "subject": "short_description", "category": "category"}
        rows: list[Row] = []
        for ticket in self._desk.tickets.values():
            for it in reversed(ticket.history):
                if it["field"] in named:
                    old, new = (self._stored(it["field"], it[key]) for key in ("old", "new"))
                    rows.append(
                        {
                            "sys_id": Column(_sys_id("audit", f"{ticket.id}/{it['id']}")),
                            "tablename": Column("incident"),
                            "documentkey": Column(_sys_id("incident", ticket.id)),
                            "fieldname": Column(named[it["field"]]),
                            "oldvalue": Column(old),
                            "newvalue": Column(new),
                            "user": Column(it["actor_id"]),
                            "sys_created_on": _time(it["at"]),
                        }
                    )
        return rows

    def _stored(self, field: str, value: str | None) -> str:
        if field == "assignee":
            return self._person(value).value
        return _STATES[value][0] if field == "status" and value in _STATES else value or ""

    def _journal(self) -> list[Row]:
        return [
            {
                "sys_id": Column(_sys_id("journal", f"{ticket.id}/{it['id']}")),
                "name": Column("incident"),
                "element": Column("work_notes" if it["internal"] else "comments"),
                "element_id": Column(_sys_id("incident", ticket.id)),
                "value": Column(it["body"]),
                "sys_created_by": Column(it["author"]["id"]),
                "sys_created_on": _time(it["at"]),
            }
            for ticket in self._desk.tickets.values()
            for it in reversed(ticket.notes)
        ]

    def event(self, kind: str, number: str, actor: str) -> dict[str, Any] | None:
        """The body that the installed rule sends; it runs when assignee or state changed, and on insert."""
        if kind not in _EVENTS:
            return None
        row = self._incident(self._desk.tickets[number])
        told = {name: row[name].value for name in ("sys_id", "number", "sys_mod_count")}
        return {"event": _EVENTS[kind], "table": "incident", **told, "actor": self.account(actor)}


def _asked(rows: list[Row], query: str) -> list[Row]:
    """An encoded query: a condition that makes no sense is dropped, as if nobody had written it.

    OR binds a condition to the one before it.
    """
    order: list[tuple[str, bool]] = []
    either: list[list[re.Match[str]]] = []
    for part in query.split("^"):
        if part.startswith("ORDERBY"):
            name = part.removeprefix("ORDERBYDESC").removeprefix("ORDERBY")
            order.append((name, part.startswith("ORDERBYDESC")))
            continue
        found = _CONDITION.fullmatch(part.removeprefix("OR"))
        if found and rows and found[1] in rows[0]:
            if part.startswith("OR") and either:
                either[-1].append(found)
            else:
                either.append([found])
    rows = [row for row in rows if all(any(_meets(row[it[1]].value, it[2], it[3]) for it in ors) for ors in either)]
    for name, down in reversed(order):
        rows = sorted(rows, key=lambda row, by=name: row[by].value if by in row else "", reverse=down)  # type: ignore[misc]
    return rows


def _meets(value: str, how: str, wanted: str) -> bool:
    if how == "=":
        return value == wanted
    if how == "IN":
        return value in wanted.split(",")
    if how == "LIKE":
        return wanted.casefold() in value.casefold()
    return value >= wanted if how == ">=" else value != ""


def _sys_id(of: str, number: str) -> str:
    return hashlib.sha256(f"{of}:{number}".encode()).hexdigest()[:32]


def _own(number: str) -> str:
    return number.removeprefix(NUMBER.removesuffix("{number}"))


def _choice(category: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", category.lower())


def _truth(value: bool) -> Column:
    return Column("true" if value else "false")


def _time(at: str) -> Column:
    """Stored in UTC to the second; shown on the clock of whoever asks."""
    moment = parse(at)
    return Column(f"{moment:%Y-%m-%d %H:%M:%S}", f"{moment + ZONE:%m/%d/%Y %I:%M:%S %p}")


def _failure(status: int, message: str, detail: str) -> Response:
    answer = jsonify(error={"message": message, "detail": detail or None}, status="failure")
    answer.status_code = status
    return answer


def _wrong(wrong: Wrong) -> Response:
    return _failure(wrong.status, wrong.code, wrong.message)
