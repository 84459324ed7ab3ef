"""A double of Zammad: access tokens, tickets, their history, articles, and a trigger's signed webhook.

Source: docs.zammad.org/en/latest/api/ ("Introduction", "Tickets", "Articles", "User"), admin-docs.zammad.org
("Webhook Payload"), and for what these do not say Zammad's source: app/models/history.rb,
app/jobs/trigger_webhook_job.rb, lib/user_agent.rb, app/models/concerns/can_search.rb.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request

from sandbox.clock import Clock, parse, plain
from sandbox.desk import SERVICE, Account, Desk, Ticket, Wrong
from sandbox.sender import Dialect, Message, Sender
from sandbox.vendors.zammad_manage import Managed

NOBODY = 1
FIRST_USER = 3
AGENT, CUSTOMER = 2, 3  # the ids of these roles in every Zammad
LONGEST_BODY = 1_500_000  # characters
MOST_FOUND = 200
ATTEMPTS = 5
TRIGGER = 7
_STATES = {"open": (2, "open"), "pending": (3, "pending reminder"), "solved": (4, "closed"), "closed": (4, "closed")}
_QUERY = re.compile(r"owner_id:([0-9]+)")
_SINCE = re.compile(r'updated_at:\["([^"]+)" TO "([^"]+)"\]')
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_ELEMENT = re.compile(r"<(script|style|iframe)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
# Zammad keeps the ticket in the part of the address that no browser sends.
_ZOOM = """<script>
const zoom = location.hash.match(/^#ticket\\/zoom\\/(\\d+)$/);
if (zoom) location.replace("/ticket/zoom/" + zoom[1]);
</script>"""


class ZammadWebhooks:
    """A background job each: its id stays over its attempts, and its body tells the ticket as it is at each of them."""

    patience = 30.0

    def __init__(self, zammad: Zammad) -> None:
        self._zammad = zammad
        self._articles: dict[str, dict[str, Any]] = {}  # of the jobs that are about one

    def message(self, kind: str, ticket: str, actor: str) -> Message | None:  # noqa: ARG002
        job = str(uuid.uuid4())
        self._articles[job] = self._zammad.newest_article(ticket) if kind == "ticket.note_added" else {}
        return Message(job, self._zammad.payload(ticket, self._articles[job]))

    def headers(self, message: Message, secrets: Sequence[str]) -> Mapping[str, str]:
        if message.ticket:
            message.body = self._zammad.payload(message.ticket, self._articles.get(message.id, {})) or message.body
        mac = hmac.new(secrets[0].encode(), message.body, hashlib.sha1)
        return {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Zammad User Agent",
            "x-zammad-trigger": "Tell Ticket Elevate",
            "x-zammad-delivery": message.id,
            "x-hub-signature": f"sha1={mac.hexdigest()}",
        }

    def again(self, message: Message, status: int | None, answer: Mapping[str, str]) -> float | None:  # noqa: ARG002
        """Until a 2xx, ten seconds more each time."""
        if status is not None and 200 <= status < 300:
            return None
        return message.attempt * 10.0 if message.attempt < ATTEMPTS else None


class Zammad:
    number = "{number}"  # the id, which is not the number that people see

    def __init__(self, desk: Desk, sender: Sender, clock: Clock) -> None:
        self._desk, self._sender, self._clock = desk, sender, clock
        self.dialect: Dialect = ZammadWebhooks(self)
        sender.secrets = [secrets.token_hex(32)]
        self._token = secrets.token_urlsafe(48)
        self._managed = Managed(sender, clock)
        self.once = {"admin_token": self._managed.token}

    def account(self, of: str) -> str:
        return str(self._id(of))

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "kind": "zammad",
            "url": url,
            "token": self._token,
            "service_account": str(self._id(SERVICE.id)),
            "automatic_assignment": False,
            "category_field": "kind_of_work",
            "categories": {_key(t.category): t.category for t in self._desk.tickets.values()},
            "secrets": {"first": self._sender.secrets[0]},
        }

    # The API

    def blueprint(self) -> Blueprint:
        part = Blueprint("zammad", __name__)
        for path, view, method in (
            ("/users/me", self.me, "GET"),
            ("/tickets", self.tickets, "GET"),
            ("/tickets/search", self.search, "GET"),
            ("/tickets/<number>", self.ticket, "GET"),
            ("/ticket_history/<number>", self.history, "GET"),
            ("/ticket_articles", self.write, "POST"),
            ("/ticket_articles/<article>", self.article, "GET"),
            ("/ticket_articles/<article>", self.remove, "DELETE"),
            ("/ticket_articles/by_ticket/<number>", self.articles, "GET"),
        ):
            part.add_url_rule(f"/api/v1{path}", view_func=view, methods=[method])
        for path, view, method in self._managed.routes():
            part.add_url_rule(f"/api/v1{path}", view_func=view, methods=[method])
        part.add_url_rule("/ticket/zoom/<number>", view_func=lambda number: redirect(f"/tickets/{number}"))
        part.before_request(self._admit)
        part.after_app_request(_zoomed)
        part.register_error_handler(Wrong, _wrong)
        return part

    def _admit(self) -> Response | None:
        if not request.path.startswith("/api/"):
            return None
        given = request.headers.get("Authorization", "").encode()
        managing = self._managed.is_managing(request.path)
        if secrets.compare_digest(given, f"Token token={self._token}".encode()):
            return _answer(403, "Not authorized (token)!") if managing else None
        if managing and secrets.compare_digest(given, f"Token token={self._managed.token}".encode()):
            return None
        return _answer(401, "Authentication required")

    def me(self) -> Response:
        return jsonify(self._user(SERVICE))

    def tickets(self) -> Response:
        size = min(int(request.args.get("per_page", 100)), 100)
        with self._desk.lock:
            return jsonify([self._told(ticket) for ticket in list(self._desk.tickets.values())[:size]])

    def search(self) -> Response:
        """Only `owner_id:` and a user's id, or what changed since; any other query finds nothing here."""
        query = request.args.get("query", "").replace("*", "")  # as app/models/concerns/can_search.rb does
        owner, since = _QUERY.fullmatch(query), _SINCE.fullmatch(query)
        size, page = min(int(request.args.get("limit", 50)), MOST_FOUND), int(request.args.get("page", 1))
        with self._desk.lock:
            rows = [t for t in self._desk.tickets.values() if owner and self._id(t.assignee) == int(owner[1])]
            if since and all(map(_TIME.fullmatch, since.groups())):
                everything = self._desk.tickets.values()
                rows = [t for t in everything if self._attributes(t)["updated_at"] >= since[1]]
                rows = [t for t in rows if self._attributes(t)["updated_at"] <= since[2]]
            if request.args.get("sort_by") == "updated_at":
                rows.sort(key=lambda it: it.updated, reverse=request.args.get("order_by") == "desc")
            told = [self._told(ticket) for ticket in rows[(page - 1) * size : page * size]]
        if request.args.get("expand") == "true":
            return jsonify(told)
        ids = [it["id"] for it in told]
        return jsonify(tickets=ids, tickets_count=len(ids), assets={"Ticket": {str(it["id"]): it for it in told}})

    def ticket(self, number: str) -> Response:
        with self._desk.lock:
            return jsonify(self._told(self._found(number)))

    def history(self, number: str) -> Response:
        """The oldest first, with everybody who is named in it. Roles are ids, and their names are not told."""
        with self._desk.lock:
            ticket = self._found(number)
            changes = sorted([*ticket.history, *ticket.notes], key=_order)
            rows = [self._entry(ticket, 1, ticket.created, ticket.requester, "Ticket", "created")]
            rows += [self._change(ticket, it) for it in changes]
            named = {ticket.requester, ticket.assignee, *(it.get("actor_id") or it["author"]["id"] for it in changes)}
            users = [self._user(it) for it in map(self._desk.account, named) if it] + [_nobody()]
            assets = {
                "Ticket": {number: self._attributes(ticket)},
                "User": {str(it["id"]): it for it in users},
            }
        return jsonify(history=rows, assets=assets)

    def write(self) -> Response:
        """An article is public where nobody says otherwise; one in HTML is stripped of what could be carried out."""
        given = request.get_json(silent=True)
        if not isinstance(given, dict) or not isinstance(given.get("body"), str) or given.get("type") != "note":
            raise Wrong(422, "", "Only notes can be written here.")
        with self._desk.lock:
            ticket = self._found(str(given.get("ticket_id")))
            body = given["body"].replace("\0", "")
            if len(body) > LONGEST_BODY:
                raise Wrong(422, "", "body if article is to large")
            if "html" in str(given.get("content_type")):
                body = _ELEMENT.sub("", body)
            note = self._desk.add_note(ticket.id, body, given.get("internal") is True, SERVICE)
            answer = jsonify(self._article(ticket, note))
        answer.status_code = 201
        return answer

    def article(self, article: str) -> Response:
        with self._desk.lock:
            for ticket in self._desk.tickets.values():
                for note in ticket.notes:
                    if article == str(_order(note)):
                        return jsonify(self._article(ticket, note))
        raise Wrong(404, "", f"Couldn't find Ticket::Article with 'id'={article}")

    def remove(self, article: str) -> Response:
        """Whoever wrote a note may delete it, for ten minutes."""
        with self._desk.lock:
            for ticket in self._desk.tickets.values():
                for note in ticket.notes:
                    if article == str(_order(note)):
                        if note["author"]["id"] != SERVICE.id:
                            raise Wrong(403, "", "you can only delete your own notes")
                        if self._clock.now() - parse(note["at"]) >= timedelta(minutes=10):
                            raise Wrong(403, "", "note is too old to be deleted")
                        ticket.notes.remove(note)
                        return jsonify({})
        raise Wrong(404, "", f"Couldn't find Ticket::Article with 'id'={article}")

    def articles(self, number: str) -> Response:
        """All of them at once, the oldest first: there are no pages."""
        with self._desk.lock:
            ticket = self._found(number)
            return jsonify([self._article(ticket, it) for it in sorted(ticket.notes, key=_order)])

    def attribute_links(self, ticket: Ticket) -> list[tuple[str, str, str]]:
        return self._managed.attributes.links(self._attributes(ticket))

    # What things look like

    def _accounts(self) -> list[Account]:
        return [SERVICE, *self._desk.accounts()]

    def _id(self, account: str | None) -> int:
        ids = [it.id for it in self._accounts()]
        return FIRST_USER + ids.index(account) if account in ids else NOBODY

    def _found(self, number: str) -> Ticket:
        if number not in self._desk.tickets:
            raise Wrong(404, "", f"Couldn't find Ticket with 'id'={number}")
        return self._desk.tickets[number]

    def _user(self, account: Account) -> dict[str, Any]:
        first, _, last = account.name.partition(" ")
        return {
            "id": self._id(account.id),
            "login": account.email.lower(),
            "firstname": first,
            "lastname": last,
            "email": account.email.lower(),
            "active": account.active,
            "role_ids": [AGENT] if account.agent else [CUSTOMER],
            "organization_ids": [],
            "group_ids": {"1": ["full"]} if account.agent else {},
        }

    def _attributes(self, ticket: Ticket) -> dict[str, Any]:
        last = ticket.history[0]["actor_id"] if ticket.history else ticket.requester
        return {
            "id": int(ticket.id),
            "group_id": 1,
            "priority_id": 2,
            "state_id": _STATES[ticket.status][0],
            "number": f"10{ticket.id}",
            "title": ticket.subject,
            "owner_id": self._id(ticket.assignee),
            "customer_id": self._id(ticket.requester),
            "type": None,
            "kind_of_work": _key(ticket.category),
            "preferences": {},
            "updated_by_id": self._id(last),
            "created_by_id": self._id(ticket.requester),
            "created_at": _at(ticket.created),
            "updated_at": _at(ticket.updated, later=3),
            "article_ids": [_order(it) for it in ticket.notes],
        }

    def _told(self, ticket: Ticket) -> dict[str, Any]:
        """With the names of what else has ids, where they are asked for."""
        told = self._attributes(ticket)
        if request.args.get("expand") != "true":
            return told
        logins = {name: self._login(told[f"{name}_id"]) for name in ("owner", "customer", "created_by", "updated_by")}
        return told | logins | {"group": ticket.queue, "state": _STATES[ticket.status][1], "priority": "2 normal"}

    def _login(self, number: int) -> str:
        return self._accounts()[number - FIRST_USER].email.lower() if number != NOBODY else "-"

    def _entry(self, ticket: Ticket, number: int, at: str, by: str, of: str, kind: str) -> dict[str, Any]:
        return {
            "id": number,
            "o_id": int(ticket.id),
            "created_by_id": self._id(by),
            "created_at": _at(at),
            "sourceable_type": None,
            "sourceable_id": None,
            "sourceable_name": None,
            "object": of,
            "type": kind,
        }

    def _change(self, ticket: Ticket, it: dict[str, Any]) -> dict[str, Any]:
        number = 1_000 + _order(it)
        if "field" not in it:
            row = self._entry(ticket, number, it["at"], it["author"]["id"], "Ticket::Article", "created")
            return row | {"o_id": _order(it), "related_o_id": int(ticket.id), "related_object": "Ticket"}
        row = self._entry(ticket, number, it["at"], it["actor_id"], "Ticket", "updated")
        old, new = it["old"], it["new"]
        if it["field"] in ("assignee", "requester"):
            ids = {"id_from": self._id(old), "id_to": self._id(new)}
            names = {f"value_{end}": self._login(ids[f"id_{end}"]) for end in ("from", "to")}
            row |= {"attribute": "owner" if it["field"] == "assignee" else "customer", **ids, **names}
        elif it["field"] == "status":
            (id_from, value_from), (id_to, value_to) = _STATES[old], _STATES[new]
            row |= {"attribute": "state", "id_from": id_from, "id_to": id_to}
            row |= {"value_from": value_from, "value_to": value_to}
        else:
            name = {"subject": "title", "category": "kind_of_work", "queue": "group"}[it["field"]]
            row |= {"attribute": name, "value_from": old, "value_to": new}
        if it.get("rule"):
            row |= {"sourceable_type": "Trigger", "sourceable_id": TRIGGER, "sourceable_name": it["rule"]}
        return row

    def _article(self, ticket: Ticket, note: dict[str, Any]) -> dict[str, Any]:
        by = self._id(note["author"]["id"])
        return {
            "id": _order(note),
            "ticket_id": int(ticket.id),
            "type": "note",
            "sender": "Agent",
            "from": note["author"]["name"],
            "body": note["body"],
            "content_type": "text/plain",
            "internal": note["internal"],
            "attachments": [],
            "created_by_id": by,
            "created_by": self._login(by),
            "created_at": _at(note["at"]),
            "updated_at": _at(note["at"]),
        }

    # The webhook

    def newest_article(self, number: str) -> dict[str, Any]:
        ticket = self._desk.tickets[number]
        note = ticket.notes[0]
        author = self._desk.account(note["author"]["id"])
        return self._article(ticket, note) | {"created_by": self._public(author)}

    def payload(self, number: str, article: dict[str, Any]) -> bytes:
        """The default payload about a ticket as it is now; empty where it is no longer there."""
        with self._desk.lock:
            ticket = self._desk.tickets.get(number)
            if ticket is None:
                return b""
            told = self._attributes(ticket)
            last = ticket.history[0]["actor_id"] if ticket.history else ticket.requester
            people = {"owner": ticket.assignee, "customer": ticket.requester}
            people |= {"created_by": ticket.requester, "updated_by": last}
            told |= {name: self._public(self._desk.account(of)) for name, of in people.items()}
            told |= {"state": _STATES[ticket.status][1], "group": {"id": 1, "name": ticket.queue}}
            return json.dumps({"ticket": told, "article": article}, separators=(",", ":")).encode()

    def _public(self, account: Account | None) -> dict[str, Any]:
        """Somebody as a webhook tells them: with the names of the roles, without the groups."""
        one = self._user(account) if account else _nobody()
        roles = {AGENT: "Agent", CUSTOMER: "Customer"}
        return {key: one[key] for key in one if key != "group_ids"} | {"roles": [roles[it] for it in one["role_ids"]]}


def _nobody() -> dict[str, Any]:
    return {"id": NOBODY, "login": "-", "firstname": "-", "lastname": "", "email": "", "active": False, "role_ids": []}


def _order(it: Mapping[str, Any]) -> int:
    return int(str(it["id"])[1:])


def _at(moment: str, *, later: int = 0) -> str:
    """In milliseconds. A ticket is touched a few of them after what touched it."""
    return f"{plain(parse(moment) + timedelta(milliseconds=later))[:-4]}Z"


def _key(category: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", category.lower())


def _zoomed(answer: Response) -> Response:
    if request.path in ("/", "/sign-in") and answer.mimetype == "text/html" and not answer.is_streamed:
        answer.set_data(answer.get_data() + _ZOOM.encode())
    return answer


def _answer(status: int, error: str) -> Response:
    answer = jsonify(error=error, error_human=error)
    answer.status_code = status
    return answer


def _wrong(wrong: Wrong) -> Response:
    return _answer(wrong.status, wrong.message)
