"""A double of Zendesk Support: OAuth client credentials, tickets, audits, comments, the search, and event webhooks.

Source: developer.zendesk.com: "Tickets", "Ticket audits", "Ticket comments", "Verifying webhook authenticity",
"Ticket events", "Rate limits", "Search", "Using OAuth to authenticate API requests", "Building a server-side app,
part 5: Secure the app". How the search refuses a time that it cannot read, and what is beyond its limit, to which it
links: github.com/facetoe/zenpy, issues 353 and 371; github.com/cloudbees-oss/zendesk-java-client, issue 295. How a
frame and the page around it talk: github.com/zendesk/zendesk_app_framework_sdk, lib/client.js.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import operator
import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Blueprint, Response, jsonify, redirect, render_template, request

from sandbox.clock import Clock, parse, plain, real_now
from sandbox.desk import SERVICE, Account, Desk, Ticket, Wrong
from sandbox.sender import Dialect, Message, Sender
from sandbox.vendors.accounts import Numbered
from sandbox.vendors.zendesk_webhooks import ManagedWebhooks

FIRST_USER = 360_000_000_001
CATEGORY_FIELD = 9_001
TOKEN_LIFE = 1_800  # seconds
PER_MINUTE = 700
LONGEST_COMMENT = 64 * 1024  # bytes
MOST_COMMENTS = 5_000
PAGE = 100
MOST_RESULTS = 1_000  # of one search
UNINDEXED = timedelta(minutes=1)  # what changed within it is not found yet: Zendesk says "up to a few minutes"
INSTALLATION = 2_800_000_042
APP_TOKEN_LIFE = timedelta(minutes=5)
_EVENTS = {
    "ticket.assigned": ("agent_assignment_changed", "assignee"),
    "ticket.status_changed": ("status_changed", "status"),
    "ticket.created": ("created", None),
    "ticket.note_added": ("comment_added", None),
    "ticket.updated": ("custom_field_changed", None),
}
_SORTED = ("updated_at", "created_at")
_COMPARED = re.compile(r"(updated|created)(>=|<=|>|<|:)(.*)")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d[+-]\d\d:\d\d)?")
_AGO = re.compile(r"(\d+)(minute|hour|day|week)s?")
_COMPARES = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, ":": operator.eq}
_PLACEHOLDER = re.compile(r"\{\{\s*([a-z_.]+)\s*\}\}")


class ZendeskWebhooks:
    """Events, signed over time and body. Again: after 409, and after 429 and 503 that name less than a minute."""

    patience = 10.0

    def __init__(self, zendesk: Zendesk) -> None:
        self._zendesk = zendesk

    def message(self, kind: str, ticket: str, actor: str) -> Message | None:
        event = self._zendesk.event(kind, ticket, actor)
        return None if event is None else Message(str(uuid.uuid4()), json.dumps(event).encode())

    def headers(self, message: Message, secrets: Sequence[str]) -> Mapping[str, str]:
        at = f"{real_now():%Y-%m-%dT%H:%M:%SZ}"
        mac = hmac.new(secrets[0].encode(), at.encode() + message.body, hashlib.sha256).digest()
        return {
            "x-zendesk-account-id": "10001",
            "x-zendesk-webhook-id": "01HZ0000000000000000000000",
            "x-zendesk-webhook-invocation-id": message.id,
            "x-zendesk-webhook-signature": base64.b64encode(mac).decode(),
            "x-zendesk-webhook-signature-timestamp": at,
            "user-agent": "Zendesk Webhook",
        }

    def again(self, message: Message, status: int | None, answer: Mapping[str, str]) -> float | None:
        if status is None:
            return 1.0 if message.attempt <= 5 else None
        named = answer.get("Retry-After", "")
        slow = status in (429, 503) and named.isdigit() and int(named) < 60
        return (float(named) if slow else 1.0) if (status == 409 or slow) and message.attempt <= 3 else None


class Zendesk:
    number = "{number}"

    def __init__(self, desk: Desk, sender: Sender, clock: Clock) -> None:
        self._desk, self._sender, self._clock = desk, sender, clock
        numbered = Numbered(desk, FIRST_USER)
        self._id, self._account = numbered.id, numbered.account
        self.dialect: Dialect = ZendeskWebhooks(self)
        sender.secrets = [base64.b64encode(secrets.token_bytes(32)).decode()]
        self._client = ("elevate", secrets.token_urlsafe(32))
        self._tokens: dict[str, float] = {}  # when each ends, on the monotonic clock
        self._calls: list[float] = []
        self.per_minute = PER_MINUTE
        self._managed = ManagedWebhooks(
            sender, self._page, {kind: f"zen:event-type:ticket.{name}" for kind, (name, _) in _EVENTS.items()}
        )
        self._app_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._url = ""

    def account(self, of: str) -> str:
        return str(self._id(of))

    def settings(self, url: str) -> dict[str, Any]:
        self._url = url
        public = self._app_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {
            "kind": "zendesk",
            "url": url,
            "client_id": self._client[0],
            "client_secret": self._client[1],
            "service_account": str(self._id(SERVICE.id)),
            "category_field": str(CATEGORY_FIELD),
            "categories": {_tag(t.category): t.category for t in self._desk.tickets.values()},
            "secrets": {"first": self._sender.secrets[0]},
            "app_public_key": public.decode(),
            "app_installation": str(INSTALLATION),
        }

    def shown_app(self, ticket: Ticket, who: Account, origin: str) -> str:
        """A frame of the address that the manifest names, by POST with a signed token (`signedUrls`) or by GET."""
        manifest = json.loads(self._desk.app["manifest.json"])
        place = manifest["location"]["support"]["ticket_sidebar"]
        guid = str(uuid.uuid4())
        url = place if isinstance(place, str) else place["url"]
        return render_template(
            "zendesk_app.html",
            name=manifest["name"],
            app_origin="{0.scheme}://{0.netloc}".format(urlsplit(url)),
            address=f"{url}?{urlencode({'origin': origin, 'app_guid': guid})}",
            guid=guid,
            token=self._signed(who) if manifest.get("signedUrls") else None,
            ticket=int(ticket.id),
        )

    def _signed(self, who: Account) -> str:
        now, api = real_now(), f"{self._url}/api/v2"
        claims = {
            "iss": urlsplit(self._url).netloc,
            "aud": f"{api}/apps/installations/{INSTALLATION}.json",
            "sub": f"{api}/users/{self._id(who.id)}.json",
            "iat": now,
            "nbf": now,
            "exp": now + APP_TOKEN_LIFE,
            "jti": uuid.uuid4().hex,
            "context": {"product": "support", "location": "ticket_sidebar"},
        }
        return jwt.encode(claims, self._app_key, algorithm="RS256")

    # The API

    def blueprint(self) -> Blueprint:
        part = Blueprint("zendesk", __name__)
        part.add_url_rule("/oauth/tokens", view_func=self.token, methods=["POST"])
        for path, view, method in (
            ("/users/<number>", self.user, "GET"),
            ("/users/<number>/tickets/assigned", self.assigned, "GET"),
            ("/tickets/<number>", self.ticket, "GET"),
            ("/tickets/<number>", self.update, "PUT"),
            ("/tickets/<number>/audits", self.audits, "GET"),
            ("/tickets/<number>/comments", self.comments, "GET"),
            ("/search", self.search, "GET"),
        ):
            part.add_url_rule(f"/api/v2{path}", view_func=view, methods=[method])
        for path, view, method in self._managed.routes():
            part.add_url_rule(f"/api/v2{path}", view_func=view, methods=[method])
        part.add_url_rule("/agent/tickets/<number>", view_func=lambda number: redirect(f"/tickets/{number}"))
        part.before_request(self._admit)
        part.register_error_handler(Wrong, _wrong)
        return part

    def _admit(self) -> Response | None:
        """Who calls without a token that lives, or too often, gets no further."""
        if not request.path.startswith("/api/"):
            return None
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or self._tokens.get(token, 0.0) < time.monotonic():
            return _answer(
                401,
                {
                    "error": "invalid_token",
                    "error_description": "The access token provided is expired, revoked or malformed.",
                },
            )
        now = time.monotonic()
        self._calls = [it for it in self._calls if it > now - 60]
        if len(self._calls) >= self.per_minute:
            wait = int(60 - (now - self._calls[0])) + 1
            return _slower(wait)
        self._calls.append(now)
        return None

    def token(self) -> Response:
        """Client credentials: the token is that of the user who made the client."""
        given = request.get_json(silent=True) or request.form.to_dict()
        if given.get("grant_type") != "client_credentials":
            return _answer(400, {"error": "unsupported_grant_type"})
        wrong = [
            a for a, b in zip((given.get("client_id"), given.get("client_secret")), self._client, strict=True) if a != b
        ]
        if wrong:
            return _answer(401, {"error": "invalid_client"})
        token = secrets.token_hex(32)
        self._tokens[token] = time.monotonic() + TOKEN_LIFE
        return jsonify({"access_token": token, "token_type": "bearer", "scope": "read write", "expires_in": TOKEN_LIFE})

    def user(self, number: str) -> Response:
        account = SERVICE if number == "me" else self._account(number)
        if account is None:
            raise Wrong(404, "RecordNotFound", "Not found")
        return jsonify(user=self._user(account))

    def ticket(self, number: str) -> Response:
        with self._desk.lock:
            ticket = self._found(number)
            body: dict[str, Any] = {"ticket": self._ticket(ticket)}
            if "users" in request.args.get("include", "").split(","):
                named = dict.fromkeys((ticket.assignee, ticket.requester))
                body["users"] = [self._user(it) for it in map(self._desk.account, named) if it]
            return jsonify(body)

    def assigned(self, number: str) -> Response:
        account = self._account(number)
        with self._desk.lock:
            rows = [self._ticket(t) for t in self._desk.tickets.values() if account and t.assignee == account.id]
        return jsonify(self._page("tickets", rows))

    def search(self) -> Response:
        """Tickets alone, and only those that the index has: no deleted one, and none that changed just now."""
        if any(name.startswith("page[") for name in request.args):
            raise Wrong(400, "InvalidParameter", "page must be an integer")
        page, size = _count("page", 1), min(_count("per_page", PAGE), PAGE)
        until = page * size
        if until > MOST_RESULTS:
            raise _invalid("Requested response size was greater than Search Response Limits")
        now = self._clock.now()
        conditions = [_condition(it, now) for it in request.args.get("query", "").split()]
        with self._desk.lock:
            indexed = [it for it in self._desk.tickets.values() if parse(it.updated) <= now - UNINDEXED]
            rows = [self._ticket(it) | {"result_type": "ticket"} for it in indexed]
        rows = [row for row in rows if all(fits(row) for fits in conditions)]
        # Without an order they come by how well they fit, which nobody can foresee.
        key = request.args.get("sort_by", "")
        rows.sort(key=lambda row: (row[key], row["id"]) if key in _SORTED else str(row["id"])[::-1])
        if request.args.get("sort_order", "desc") == "desc":
            rows.reverse()

        def at(number: int) -> str:
            return f"{request.base_url}?{urlencode({**request.args, 'page': number})}"

        return jsonify(
            results=rows[until - size : until],
            facets=None,
            count=len(rows),
            next_page=at(page + 1) if until < len(rows) else None,
            previous_page=at(page - 1) if page > 1 else None,
        )

    def update(self, number: str) -> Response:
        """Only what clients of the practice desk do: a comment. `public` is true where nobody says so."""
        given = request.get_json(silent=True)
        wanted = given.get("ticket") if isinstance(given, dict) else None
        comment = wanted.get("comment") if isinstance(wanted, dict) else None
        if not isinstance(comment, dict) or not isinstance(comment.get("body"), str):
            raise Wrong(400, "RecordInvalid", "Only comments can be written here.")
        with self._desk.lock:
            ticket = self._found(number)
            if ticket.status == "closed":
                raise Wrong(422, "RecordInvalid", "Status: closed prevents ticket update")
            if len(ticket.notes) >= MOST_COMMENTS:
                raise Wrong(422, "RecordInvalid", "Comment limit reached")
            text = _PLACEHOLDER.sub(lambda found: f"[{found[1]} of {number}]", comment["body"])
            text = text.encode()[:LONGEST_COMMENT].decode(errors="ignore")
            note = self._desk.add_note(number, text, comment.get("public", True) is False, SERVICE)
            return jsonify(ticket=self._ticket(ticket), audit=self._audit(ticket, note))

    def audits(self, number: str) -> Response:
        with self._desk.lock:
            ticket = self._found(number)
            changes = [*ticket.history, *ticket.notes]
            rows = [self._created(ticket), *(self._audit(ticket, it) for it in sorted(changes, key=_order))]
        return jsonify(self._page("audits", rows))

    def comments(self, number: str) -> Response:
        with self._desk.lock:
            ticket = self._found(number)
            rows = [self._comment(it) for it in sorted(ticket.notes, key=_order)]
        return jsonify(self._page("comments", rows))

    def _page(self, name: str, rows: list[Any]) -> dict[str, Any]:
        """Cursor pages, the oldest first unless `sort` asks for the other end."""
        if request.args.get("sort", "").startswith("-"):
            rows = rows[::-1]
        size = min(int(request.args.get("page[size]", PAGE)), PAGE)
        after = request.args.get("page[after]", "")
        start = int(base64.urlsafe_b64decode(after)) if after else 0
        more = start + size < len(rows)
        cursor = base64.urlsafe_b64encode(str(start + size).encode()).decode()
        sort = request.args.get("sort", "")
        onward = f"{request.base_url}?page%5Bafter%5D={cursor}&page%5Bsize%5D={size}&sort={sort}"
        return {
            name: rows[start : start + size],
            "meta": {"has_more": more, "after_cursor": cursor if more else None, "before_cursor": None},
            "links": {"next": onward if more else None, "prev": None},
        }

    # What things look like

    def _found(self, number: str) -> Ticket:
        if number not in self._desk.tickets:
            raise Wrong(404, "RecordNotFound", "Not found")
        return self._desk.tickets[number]

    def _user(self, account: Account) -> dict[str, Any]:
        return {
            "id": self._id(account.id),
            "name": account.name,
            "email": account.email or None,
            "role": "agent" if account.agent else "end-user",
            "ticket_restriction": None if account.agent else "requested",
            "active": account.active,
            "suspended": False,
        }

    def _ticket(self, ticket: Ticket) -> dict[str, Any]:
        return {
            "id": int(ticket.id),
            "subject": ticket.subject,
            "status": ticket.status,
            "assignee_id": self._id(ticket.assignee),
            "group_id": 1,
            "requester_id": self._id(ticket.requester),
            "submitter_id": self._id(ticket.requester),
            "ticket_form_id": 1,
            "type": "incident",
            "priority": "normal",
            "tags": [_tag(ticket.category)],
            "custom_fields": [{"id": CATEGORY_FIELD, "value": _tag(ticket.category)}],
            "created_at": _seconds(ticket.created),
            "updated_at": _seconds(ticket.updated),
            "via": {"channel": "web"},
        }

    def _created(self, ticket: Ticket) -> dict[str, Any]:
        first = next((it["old"] for it in reversed(ticket.history) if it["field"] == "assignee"), ticket.assignee)
        assignee = self._id(first)
        events = [
            {"id": 1, "type": "Create", "field_name": "subject", "value": ticket.subject},
            {"id": 2, "type": "Create", "field_name": "assignee_id", "value": str(assignee) if assignee else None},
        ]
        return self._of(ticket, 0, ticket.created, ticket.requester, events)

    def _audit(self, ticket: Ticket, it: dict[str, Any]) -> dict[str, Any]:
        if "field" not in it:
            event = {"id": _order(it) * 10, "type": "Comment", **self._comment(it)}
            return self._of(ticket, _order(it), it["at"], it["author"]["id"], [event])
        field, old, new = it["field"], it["old"], it["new"]
        if field in ("assignee", "requester"):
            field, old, new = f"{field}_id", *(str(found) if (found := self._id(one)) else None for one in (old, new))
        event = {"id": _order(it) * 10, "type": "Change", "field_name": field, "previous_value": old, "value": new}
        if it.get("rule"):
            source = {"from": {"id": 35_079_792, "title": it["rule"]}, "rel": "trigger", "to": {}}
            event["via"] = {"channel": "rule", "source": source}
        return self._of(ticket, _order(it), it["at"], it["actor_id"], [event])

    def _of(self, ticket: Ticket, number: int, at: str, author: str, events: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": 2_127_301_000 + number,
            "ticket_id": int(ticket.id),
            "created_at": at,
            "author_id": self._id(author),
            "metadata": {"system": {}, "custom": {}},
            "events": events,
            "via": {"channel": "web"},
        }

    def _comment(self, note: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": 3_000 + _order(note),
            "author_id": self._id(note["author"]["id"]),
            "body": note["body"],
            "plain_body": note["body"],
            "public": not note["internal"],
            "created_at": note["at"],
        }

    def event(self, kind: str, number: str, actor: str) -> dict[str, Any] | None:
        """The body of an event webhook; its ids are texts."""
        name, changed = _EVENTS[kind]
        ticket = self._desk.tickets[number]
        ids = {name: self._id(who) for name, who in (("actor", actor), ("assignee", ticket.assignee))}
        detail = {
            "id": number,
            "actor_id": str(ids["actor"]),
            "assignee_id": str(ids["assignee"]) if ids["assignee"] else None,
            "requester_id": str(self._id(ticket.requester)),
            "submitter_id": str(self._id(ticket.requester)),
            "group_id": "1",
            "status": ticket.status.upper(),
            "subject": ticket.subject,
            "tags": [_tag(ticket.category)],
            "updated_at": ticket.updated,
            "via": {"channel": "web"},
        }
        told: dict[str, Any] = {"meta": {"sequence": {"id": str(len(ticket.history)), "position": 1}}}
        if changed:
            newest = ticket.history[0]
            told |= {key: self._told(changed, newest[of]) for key, of in (("previous", "old"), ("current", "new"))}
        return {
            "account_id": "10001",
            "id": str(uuid.uuid4()),
            "time": plain(self._clock.now()),
            "type": f"zen:event-type:ticket.{name}",
            "subject": f"zen:ticket:{number}",
            "zendesk_event_version": "2022-11-06",
            "detail": detail,
            "event": told,
        }

    def _told(self, field: str, value: str | None) -> str | None:
        if field == "status":
            return (value or "").upper()
        found = self._id(value)
        return str(found) if found else None


def _condition(term: str, now: datetime) -> Callable[[dict[str, Any]], bool]:
    """What one term of a search asks of a ticket. Words to look for in it are not part of the double."""
    if term == "type:ticket":
        return lambda row: True
    found = _COMPARED.fullmatch(term)
    if found is None:
        raise _invalid(f"{term} is not understood here")
    name, compare, value = found[1], _COMPARES[found[2]], found[3]
    if ago := _AGO.fullmatch(value):
        at = now - timedelta(**{f"{ago[2]}s": int(ago[1])})
    elif _TIME.fullmatch(value):
        at = parse(value)
    else:
        raise _invalid(
            f'Illegal value "{value}" for "{name}". Expected date as yyyy-mm-dd, ISO time such as '
            "yyyy-mm-ddThh:mm:ss+05:00, or relative time such as 2hours."
        )
    return lambda row: bool(compare(parse(row[f"{name}_at"]), at))


def _invalid(why: str) -> Wrong:
    return Wrong(422, "invalid", f"Invalid search: {why}")


def _count(name: str, usual: int) -> int:
    given = request.args.get(name, str(usual))
    if not given.isascii() or not given.isdigit() or int(given) < 1:
        raise Wrong(400, "InvalidParameter", f"{name} must be an integer")
    return int(given)


def _order(it: Mapping[str, Any]) -> int:
    return int(str(it["id"])[1:])


def _tag(category: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", category.lower())


def _seconds(moment: str) -> str:
    return f"{parse(moment).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _slower(wait: int) -> Response:
    answer = _answer(
        429, {"error": "APIRateLimitExceeded", "description": "Number of allowed API requests per minute exceeded"}
    )
    answer.headers["Retry-After"] = str(wait)
    return answer


def _answer(status: int, body: dict[str, str]) -> Response:
    answer = jsonify(body)
    answer.status_code = status
    return answer


def _wrong(wrong: Wrong) -> Response:
    return _answer(wrong.status, {"error": wrong.code, "description": wrong.message})
