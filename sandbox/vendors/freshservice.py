"""A double of Freshservice: API keys, tickets, activities in prose, conversations, agents, and workflow webhooks.

Source: api.freshservice.com: "View a ticket", "View activities on a ticket", "Create a note", "List all conversations
of a ticket", "View an agent", "Filter tickets", "Rate limit". Where that is silent, what clients in public repositories
show. Nothing that a workflow sends is signed or sent again.
"""

from __future__ import annotations

import json
import mimetypes
import re
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any

from flask import Blueprint, Response, g, jsonify, redirect, render_template, request

from sandbox.clock import Clock, parse
from sandbox.desk import SERVICE, Account, Desk, Ticket, Wrong
from sandbox.sender import Dialect, Message, Sender
from sandbox.vendors.accounts import Numbered

FIRST_USER = 21_000_418_007
SYSTEM = {"id": FIRST_USER - 1, "name": "System"}
PER_MINUTE, VIEWS_PER_MINUTE = 500, 160  # an Enterprise account's
LONGEST_BODY = 64 * 1024  # bytes
FILTER_PAGE = 30
STATUS = {"open": 2, "pending": 3, "solved": 4, "closed": 5}
STATUS_NAMES = {"open": "Open", "pending": "Pending", "solved": "Resolved", "closed": "Closed"}
_PLACEHOLDER = re.compile(r"\{\{\s*([a-z_.]+)\s*\}\}")
_QUERY = re.compile(r'"agent_id:([0-9]+) AND \((status:[0-9]+(?: OR status:[0-9]+)*)\)"')
# The workflows that its administrator made: the event, whether its content is advanced, and what that names the event.
_WORKFLOWS = {
    "ticket.assigned": (True, "agent_changed"),
    "ticket.status_changed": (False, "status_changed"),
    "ticket.note_added": (True, "note_added"),
}


class FreshserviceWebhooks:
    """Calls with a header that an administrator typed in; no id, no time, no signature."""

    patience = 10.0

    def __init__(self, freshservice: Freshservice) -> None:
        self._freshservice = freshservice

    def message(self, kind: str, ticket: str, actor: str) -> Message | None:  # noqa: ARG002
        body = self._freshservice.content(kind, ticket)
        return None if body is None else Message(uuid.uuid4().hex, json.dumps(body).encode())

    def headers(self, message: Message, secrets: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG002
        return {"X-Ticket-Elevate-Secret": secrets[0]}

    def again(self, message: Message, status: int | None, answer: Mapping[str, str]) -> float | None:  # noqa: ARG002
        return None


_SINCE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Freshservice:
    number = "{number}"

    def __init__(self, desk: Desk, sender: Sender, clock: Clock) -> None:
        self._desk, self._sender, self._clock = desk, sender, clock
        numbered = Numbered(desk, FIRST_USER)
        self._id, self._account = numbered.id, numbered.account
        self.dialect: Dialect = FreshserviceWebhooks(self)
        sender.secrets = [secrets.token_urlsafe(32)]
        self._key = secrets.token_urlsafe(16)
        self._calls: list[tuple[float, bool]] = []  # when, and whether it looked at one ticket
        self._bodies: dict[tuple[str, str], str] = {}  # the HTML of notes, by when and what they say

    def account(self, of: str) -> str:
        return str(self._id(of))

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "kind": "freshservice",
            "url": url,
            "api_key": self._key,
            "service_account": str(self._id(SERVICE.id)),
            "secrets": {"first": self._sender.secrets[0]},
        }

    def content(self, kind: str, number: str) -> dict[str, Any] | None:
        """What the workflow for this event sends."""
        if kind not in _WORKFLOWS:
            return None
        advanced, event = _WORKFLOWS[kind]
        shown = f"INC-{number}"
        if advanced:
            return {"ticket_id": shown, "event": event}
        ticket = self._desk.tickets[number]
        return {"freshservice_webhook": {"ticket_id": shown, "ticket_status": STATUS_NAMES[ticket.status]}}

    # The app beside a ticket

    def shown_app(self, ticket: Ticket, who: Account, origin: str) -> str:  # noqa: ARG002
        place = json.loads(self._desk.app["manifest.json"])["modules"]["service_ticket"]["location"]["ticket_sidebar"]
        return render_template("freshservice_app.html", page=place["url"], ticket=ticket.id)

    def app_file(self, name: str) -> Response:
        """A file of the folder `app`; a page gets the address of the client that the platform gives it."""
        content = self._desk.app.get(f"app/{name}")
        if content is None:
            raise Wrong(404, "not_found", "Not found")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(content.replace(b"{{{appclient}}}", b"/app-client.js"), mimetype=kind)

    def app_client(self) -> Response:
        """What an app asks: the ticket of its page, and what was entered when it was installed."""
        entered = json.loads(self._desk.app["config/iparams.json"])
        iparams = {name: it["default_value"] for name, it in entered.items()}
        return Response(render_template("freshservice_client.js", iparams=iparams), mimetype="text/javascript")

    # The API

    def blueprint(self) -> Blueprint:
        part = Blueprint("freshservice", __name__)
        for path, view, method in (
            ("/agents/<number>", self.agent, "GET"),
            ("/tickets", self.tickets, "GET"),
            ("/tickets/filter", self.filter, "GET"),
            ("/tickets/<number>", self.ticket, "GET"),
            ("/tickets/<number>/activities", self.activities, "GET"),
            ("/tickets/<number>/conversations", self.conversations, "GET"),
            ("/tickets/<number>/notes", self.add_note, "POST"),
        ):
            part.add_url_rule(f"/api/v2{path}", view_func=view, methods=[method])
        part.add_url_rule("/app/<path:name>", view_func=self.app_file)
        part.add_url_rule("/app-client.js", view_func=self.app_client)
        part.add_url_rule("/a/tickets/<number>", view_func=lambda number: redirect(f"/tickets/{number}"))
        part.before_request(self._admit)
        part.after_request(_counted)
        part.register_error_handler(Wrong, _wrong)
        return part

    def _admit(self) -> Response | None:
        """Who calls without the key, or too often, gets no further. The key is a user name with any password."""
        if not request.path.startswith("/api/"):
            return None
        given = request.authorization
        user = given.username if given is not None and given.type == "basic" else None
        if not secrets.compare_digest((user or "").encode(), self._key.encode()):
            told = "You have to be logged in to perform this action."
            return _answer(401, {"code": "invalid_credentials", "message": told})
        now = time.monotonic()
        view = re.fullmatch(r"/api/v2/tickets/[0-9]+", request.path) is not None
        self._calls = [it for it in self._calls if it[0] > now - 60]
        views = [it for it in self._calls if it[1]]
        g.used = len(self._calls)
        if len(self._calls) >= PER_MINUTE or (view and len(views) >= VIEWS_PER_MINUTE):
            oldest = (views if view and len(views) >= VIEWS_PER_MINUTE else self._calls)[0][0]
            answer = _answer(429, {"message": "You have exceeded the limit of requests per minute"})
            answer.headers["Retry-After"] = str(int(60 - (now - oldest)) + 1)
            return answer
        self._calls.append((now, view))
        return None

    def agent(self, number: str) -> Response:
        account = SERVICE if number == "me" else self._account(number)
        if account is None or not account.agent:
            raise Wrong(404, "", "")
        first, _, last = account.name.partition(" ")
        return jsonify(
            agent={
                "id": self._id(account.id),
                "first_name": first,
                "last_name": last or None,
                "email": account.email or None,
                "active": account.active,
                "occasional": False,
                "external_id": None,
            }
        )

    def tickets(self) -> Response:
        """In the order of their creation, the newest first unless `order_type` says asc; there is no other order."""
        for name in set(request.args) - {"updated_since", "order_type", "per_page", "page", "workspace_id"}:
            raise Wrong(400, name, "invalid_field")
        since, order = request.args.get("updated_since", ""), request.args.get("order_type", "desc")
        if order not in ("asc", "desc") or (since and not _SINCE.fullmatch(since)):
            raise Wrong(400, "updated_since" if order in ("asc", "desc") else "order_type", "invalid_value")
        with self._desk.lock:
            rows = [self._ticket(it) for it in self._desk.tickets.values()]
        rows = [it for it in rows if it["updated_at"] > since]
        return jsonify(tickets=_page(rows if order == "asc" else rows[::-1]))

    def filter(self) -> Response:
        """Only the one query that clients of the practice desk ask; it must stand in double quotes."""
        found = _QUERY.fullmatch(request.args.get("query", ""))
        if found is None:
            raise Wrong(400, "query", "invalid_value")
        states = {int(it) for it in re.findall(r"status:([0-9]+)", found[2])}
        with self._desk.lock:
            rows = [self._ticket(it) for it in self._desk.tickets.values()]
        rows = [it for it in rows if str(it["responder_id"]) == found[1] and it["status"] in states]
        start = (_whole("page", 1) - 1) * FILTER_PAGE
        return jsonify(tickets=rows[start : start + FILTER_PAGE], total=len(rows))

    def ticket(self, number: str) -> Response:
        with self._desk.lock:
            ticket = self._found(number)
            body = self._ticket(ticket)
            if "requester" in request.args.get("include", "").split(","):
                requester = self._desk.account(ticket.requester)
                assert requester is not None
                told = {"id": self._id(requester.id), "name": requester.name, "email": requester.email or None}
                body["requester"] = {**told, "mobile": None, "phone": None}
            return jsonify(ticket=body)

    def activities(self, number: str) -> Response:
        with self._desk.lock:
            ticket = self._found(number)
            changes = sorted([*ticket.history, *ticket.notes], key=_order, reverse=True)
            rows = [*(self._activity(it) for it in changes), self._created(ticket)]
        return jsonify(activities=rows)

    def conversations(self, number: str) -> Response:
        """The oldest first, thirty at a time unless `per_page` asks for more."""
        with self._desk.lock:
            rows = [self._conversation(it) for it in sorted(self._found(number).notes, key=_order)]
        page = _page(rows)
        answer = jsonify(conversations=page)
        at, size = _whole("page", 1), _whole("per_page", 30)
        if at * size < len(rows):
            answer.headers["Link"] = f'<{request.base_url}?page={at + 1}&per_page={size}>; rel="next"'
        return answer

    def add_note(self, number: str) -> tuple[Response, int]:
        """A note, public unless it says that it is private. Its body is HTML, in which placeholders are filled in."""
        given = request.get_json(silent=True)
        if not isinstance(given, dict):
            raise Wrong(400, "body", "invalid_json")
        for name in set(given) - {"body", "private", "notify_emails"}:
            raise Wrong(400, name, "invalid_field")
        body, private = given.get("body"), given.get("private", False)
        if not isinstance(body, str) or not body.strip() or len(body.encode()) > LONGEST_BODY:
            raise Wrong(400, "body", "invalid_value")
        if not isinstance(private, bool):
            raise Wrong(400, "private", "datatype_mismatch")
        with self._desk.lock:
            self._found(number)
            body = _PLACEHOLDER.sub(lambda found: f"[{found[1]} of {number}]", body)
            note = self._desk.add_note(number, _seen(body), private, SERVICE)
            self._bodies[note["id"], note["at"]] = body
            return jsonify(conversation=self._conversation(note)), 201

    # What things look like

    def _found(self, number: str) -> Ticket:
        if number not in self._desk.tickets:
            raise Wrong(404, "", "")
        return self._desk.tickets[number]

    def _ticket(self, ticket: Ticket) -> dict[str, Any]:
        requester = self._id(ticket.requester)
        return {
            "id": int(ticket.id),
            "subject": ticket.subject,
            "type": "Incident",
            "category": ticket.category,
            "sub_category": None,
            "item_category": None,
            "custom_fields": {},
            "responder_id": self._id(ticket.assignee),
            "group_id": 21_000_188_390,
            "requester_id": requester,
            "requested_for_id": requester,
            "department_id": None,
            "workspace_id": 2,
            "status": STATUS[ticket.status],
            "priority": 1,
            "urgency": 1,
            "impact": 1,
            "source": 2,
            "spam": False,
            "deleted": False,
            "created_at": _second(ticket.created),
            "updated_at": _second(ticket.updated),
        }

    def _created(self, ticket: Ticket) -> dict[str, Any]:
        words = "created ticket, set Status as Open, set Urgency as Low, set Source as Portal and set Type as Incident"
        return self._did(ticket.requester, words, ticket.created)

    def _activity(self, it: dict[str, Any]) -> dict[str, Any]:
        if "field" not in it:
            return self._did(it["author"]["id"], f"added a {'private' if it['internal'] else 'public'} note", it["at"])
        field, new = it["field"], it["new"]
        if field in ("assignee", "requester"):
            account = self._desk.account(new)
            new = account.name if account else "None"
        names = {"assignee": "Agent", "queue": "Group"}
        words = f"set {names.get(field, field.title())} as {STATUS_NAMES[new] if field == 'status' else new}"
        return self._did(None if it.get("rule") else it["actor_id"], words, it["at"])

    def _did(self, who: str | None, words: str, at: str) -> dict[str, Any]:
        """`who`: None for a rule of its own, which acts as the user System."""
        account = self._desk.account(who)
        actor = {"id": self._id(account.id), "name": account.name} if account else SYSTEM
        return {"actor": actor, "content": words, "sub_contents": [], "created_at": _second(at)}

    def _conversation(self, note: dict[str, Any]) -> dict[str, Any]:
        body = self._bodies.get((note["id"], note["at"]), f"<div>{escape(note['body'])}</div>")
        return {
            "id": 21_000_900_000 + _order(note),
            "user_id": self._id(note["author"]["id"]),
            "body": body,
            "body_text": note["body"],
            "source": 2,
            "incoming": False,
            "private": note["internal"],
            "created_at": _second(note["at"]),
        }


class _Reader(HTMLParser):
    """What a person sees of a body: its words and lines, and nothing of a script."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._unseen += tag in ("script", "style")
        if tag in ("br", "p", "li"):
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if self._unseen <= 0:
            self.words.append(data)


def _seen(body: str) -> str:
    reader = _Reader()
    reader.feed(body)
    reader.close()
    return "".join(reader.words).strip()


def _page(rows: list[Any]) -> list[Any]:
    start = (_whole("page", 1) - 1) * _whole("per_page", 30)
    return rows[start : start + _whole("per_page", 30)]


def _whole(name: str, otherwise: int) -> int:
    text = request.args.get(name, str(otherwise))
    if not text.isdigit() or not 1 <= int(text) <= (100 if name == "per_page" else 10_000):
        raise Wrong(400, name, "invalid_value")
    return int(text)


def _second(at: str) -> str:
    return f"{parse(at):%Y-%m-%dT%H:%M:%SZ}"


def _order(it: Mapping[str, Any]) -> int:
    return int(str(it["id"])[1:])


def _counted(answer: Response) -> Response:
    used = g.get("used")
    if used is not None:
        answer.headers["X-RateLimit-Total"] = str(PER_MINUTE)
        answer.headers["X-RateLimit-Remaining"] = str(max(PER_MINUTE - used - 1, 0))
        answer.headers["X-RateLimit-Used-CurrentRequest"] = "1"
    return answer


def _answer(status: int, body: dict[str, Any]) -> Response:
    answer = jsonify(body)
    answer.status_code = status
    return answer


def _wrong(wrong: Wrong) -> Response:
    """What is not there is answered without a word; what is wrong is named by field and code."""
    if wrong.status == 404:
        return Response(status=404)
    error = {"field": wrong.code, "message": "It should be a valid value.", "code": wrong.message}
    return _answer(wrong.status, {"description": "Validation failed", "errors": [error]})
