"""A double of Jira Service Management on Atlassian's cloud: issues, changelogs, comments, and the admin webhook.

Source: developer.atlassian.com/cloud/jira: platform "Webhooks", "Issues", "Issue search", "Issue comments",
"Permissions", "Rate limiting"; service desk "Request". Its mark-up: jira.atlassian.com, "Text formatting notation".
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, g, jsonify, redirect, request

from sandbox.clock import Clock, parse, real_now
from sandbox.desk import SERVICE, Account, Desk, Ticket, Wrong
from sandbox.sender import Dialect, Sender
from sandbox.vendors import jira_manage
from sandbox.vendors.jira_forge import APP, Forge
from sandbox.vendors.jira_manage import Managed
from sandbox.vendors.jira_webhook import AdminWebhook
from sandbox.vendors.jira_wiki import rendered

PROJECT = "IT"
CLOUD = "3f0c6a5e-9d7b-4c61-8a55-0b1d2f6e7a90"
SERVICE_ID = "712020:7d1f0a52-6c0e-4c61-9e0f-1f2a3b4c5d6e"
RULES_ID = "557058:0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
REQUEST_TYPE = "customfield_10010"
PARTICIPANTS = "customfield_10026"
KEYS = "/.well-known/jwks.json"  # of Forge
PAGE = 100
LONGEST_COMMENT = 32_767  # UTF-16 units
PER_SECOND = 100  # calls of one path
WRITES = 20  # to one issue in two seconds
# A desk's words: id, name and category in Jira.
_STATUSES = {
    "open": ("10001", "Waiting for support", "indeterminate"),
    "pending": ("10002", "Waiting for customer", "indeterminate"),
    "solved": ("10003", "Resolved", "done"),
    "closed": ("10004", "Closed", "done"),
}
_EVENTS = {
    "ticket.assigned": ("jira:issue_updated", "issue_assigned"),
    "ticket.status_changed": ("jira:issue_updated", "issue_generic"),
    "ticket.created": ("jira:issue_created", "issue_created"),
    "ticket.updated": ("jira:issue_updated", "issue_updated"),
    "ticket.note_added": ("comment_created", None),
}
_FIELDS = {"subject": "summary", "category": REQUEST_TYPE, "requester": "reporter", "queue": "customfield_10031"}
_CHANGED = re.compile(
    r"updated >= -([1-9][0-9]{0,7})m AND \(assignee IS NOT EMPTY OR statusCategory = Done\) "
    r"ORDER BY updated ASC, key ASC"
)
_JQL = re.compile(r'assignee = "([^"\\]+)"( AND statusCategory != Done)?( ORDER BY updated DESC)?')


class Jira:
    number = f"{PROJECT}-{{number}}"

    def __init__(self, desk: Desk, sender: Sender, clock: Clock) -> None:
        self._desk, self._sender, self._clock = desk, sender, clock
        self.dialect: Dialect = AdminWebhook(self.event)
        sender.secrets = [secrets.token_urlsafe(32)]
        self._pages: dict[str, tuple[str, int]] = {}  # by token: the query, and where the page begins
        self._scoped, self._classic = ("ATATT" + secrets.token_urlsafe(48) for _ in range(2))
        self._calls: dict[str, list[float]] = {}
        self._managed = Managed(sender)
        self.once = {"admin_email": self._managed.email, "admin_token": self._managed.token}
        self.forge = Forge(CLOUD)

    def account(self, of: str) -> str:
        return str(self._id(of))

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "kind": "jira",
            "url": url,
            "api_url": f"{url}/ex/jira/{CLOUD}",
            "token": self._scoped,
            "service_account": SERVICE_ID,
            "category_field": REQUEST_TYPE,
            "requester_fields": ["reporter", "creator", PARTICIPANTS],
            "rules_act_as_themselves": True,
            "cloud_id": CLOUD,
            "panel_app": APP,
            "panel_keys_url": f"{url}{KEYS}",
            "secrets": {"first": self._sender.secrets[0]},
        }

    # The API

    def blueprint(self) -> Blueprint:
        part = Blueprint("jira", __name__)
        for path, view, method in (
            ("/rest/api/3/myself", self.myself, "GET"),
            ("/rest/api/3/mypermissions", self.permissions, "GET"),
            ("/rest/api/3/search/jql", self.search, "GET"),
            ("/rest/api/3/issue/<key>", self.issue, "GET"),
            ("/rest/api/3/issue/<key>/changelog", self.changelog, "GET"),
            ("/rest/api/3/issue/<key>/comment", self.comments, "GET"),
            ("/rest/api/3/issue/<key>/comment", self.add_public, "POST"),
            ("/rest/servicedeskapi/request/<key>/comment", self.add_comment, "POST"),
        ):
            for base in ("", f"/ex/jira/{CLOUD}"):
                part.add_url_rule(base + path, view_func=view, methods=[method])
        for path, view, method in self._managed.routes():
            part.add_url_rule(path, view_func=view, methods=[method])
        part.add_url_rule("/browse/<key>", view_func=lambda key: redirect(f"/tickets/{key.rpartition('-')[2]}"))
        part.add_url_rule(KEYS, view_func=self.forge_keys)
        part.add_url_rule("/forge/token/<key>/<account>", view_func=self.forge_token)
        part.before_request(self._admit)
        part.register_error_handler(Wrong, _wrong)
        return part

    def _admit(self) -> Response | None:
        """A token with scopes is taken at the cloud's address alone, one without at the site's alone."""
        if request.path.startswith(("/browse/", "/forge/", KEYS)):
            return None
        if request.path.startswith("/ex/jira/"):
            wanted = f"Bearer {self._scoped}"
        else:
            managing = request.path.startswith(jira_manage.API)
            admin = f"{self._managed.email}:{self._managed.token}"
            pair = admin if managing else f"{SERVICE.email}:{self._classic}"
            wanted = "Basic " + base64.b64encode(pair.encode()).decode()
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode()):
            return _answer(401, {"code": 401, "message": "Unauthorized; scope does not match"})
        if self._too_many(request.path, PER_SECOND, 1.0):
            return _slow_down("jira-burst-based", PER_SECOND)
        if request.method == "POST" and self._too_many(f"write {request.path}", WRITES, 2.0):
            return _slow_down("jira-per-issue-on-write", WRITES)
        return None

    def _too_many(self, what: str, most: int, within: float) -> bool:
        now = time.monotonic()
        kept = [it for it in self._calls.get(what, []) if it > now - within]
        self._calls[what] = [*kept, now][-most:]
        return len(kept) >= most

    def panel(self, number: str, account: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What the app's panel on the issue is answered by its remote, which is where the Elevate link leads."""
        key = f"{PROJECT}-{number}"
        remote = self._desk.elevate_url.partition("/elevate/")[0]
        body = {**asked, "ticket": key}
        return self.forge.call(f"{remote}/panels/{self._desk.connection}", self.account(account), key, body)

    def forge_keys(self) -> Response:
        return jsonify(self.forge.published())

    def forge_token(self, key: str, account: str) -> Response:
        """What Forge would send, for tests that call in its place."""
        return Response(self.forge.token(account, key), mimetype="text/plain")

    def site_token(self) -> tuple[str, str]:
        """The address and the token without scopes of the service account."""
        return SERVICE.email, self._classic

    def myself(self) -> Response:
        return jsonify(self._user(SERVICE))

    def permissions(self) -> Response:
        """Without a list of permissions it refuses. The service account is an agent and no administrator."""
        wanted = request.args.get("permissions", "")
        known = {"BROWSE_PROJECTS": True, "ADD_COMMENTS": True, "SERVICEDESK_AGENT": True, "ADMINISTER": False}
        names = wanted.split(",") if wanted else []
        if not names or set(names) - set(known):
            raise Wrong(400, "", "The permissions query parameter is required, and must name permissions.")
        rows = {it: {"key": it, "type": "PROJECT", "havePermission": known[it]} for it in names}
        return jsonify(permissions=rows)

    def search(self) -> Response:
        """The part of its query language that clients of the practice desk use. Without `fields`: ids alone."""
        jql = request.args.get("jql", "")
        start = self._start(jql, request.args.get("nextPageToken"))
        with self._desk.lock:
            rows = self._selected(jql)
            asked = request.args.get("fields")
            most = min(int(request.args.get("maxResults", 50)), PAGE if asked else 5000)
            page = rows[start : start + most]
            issues = [self._issue(it, asked) if asked else {"id": _internal(it)} for it in page]
        if len(rows) <= start + most:
            return jsonify(issues=issues, isLast=True)
        onward = secrets.token_urlsafe(8)
        self._pages[onward] = (jql, start + most)
        return jsonify(issues=issues, isLast=False, nextPageToken=onward)

    def _start(self, jql: str, token: str | None) -> int:
        """Where a page begins: there are no numbers of pages, and a token is good for its own query alone."""
        if token is None:
            return 0
        of, start = self._pages.get(token, ("", 0))
        if of != jql:
            raise Wrong(400, "", "The provided next page token is invalid or expired.")
        return start

    def _selected(self, jql: str) -> list[Ticket]:
        if changed := _CHANGED.fullmatch(jql):
            since = self._clock.now() - timedelta(minutes=int(changed[1]))
            rows = [it for it in self._desk.tickets.values() if parse(it.updated) >= since]
            rows = [it for it in rows if it.assignee or _STATUSES[it.status][2] == "done"]
            return sorted(rows, key=lambda it: (it.updated, it.id))
        found = _JQL.fullmatch(jql)
        if found is None:
            raise Wrong(400, "", "Error in the JQL Query.")
        account = self._account(found[1])
        if account is None:
            raise Wrong(400, "", f"The value '{found[1]}' does not exist for the field 'assignee'.")
        rows = [it for it in self._desk.tickets.values() if it.assignee == account.id]
        if found[2]:
            rows = [it for it in rows if _STATUSES[it.status][2] != "done"]
        return sorted(rows, key=lambda it: it.updated, reverse=True) if found[3] else rows

    def issue(self, key: str) -> Response:
        with self._desk.lock:
            ticket = self._found(key)
            body = self._issue(ticket, request.args.get("fields"))
            if "changelog" in request.args.get("expand", "").split(","):
                rows = self._changes(ticket)[::-1]
                log = {"startAt": 0, "maxResults": len(rows[:PAGE]), "total": len(rows), "histories": rows[:PAGE]}
                body["changelog"] = log
            return jsonify(body)

    def changelog(self, key: str) -> Response:
        with self._desk.lock:
            rows = self._changes(self._found(key))
        start, most = _page()
        values = rows[start : start + most]
        return jsonify(startAt=start, maxResults=most, total=len(rows), isLast=start + most >= len(rows), values=values)

    def comments(self, key: str) -> Response:
        with self._desk.lock:
            rows = [self._comment(it) for it in sorted(self._found(key).notes, key=_order)]
        by = request.args.get("orderBy", "created")
        if by not in ("created", "-created", "+created"):
            raise Wrong(400, "", "The comments cannot be ordered by this.")
        start, most = _page()
        rows = rows[::-1] if by.startswith("-") else rows
        return jsonify(startAt=start, maxResults=most, total=len(rows), comments=rows[start : start + most])

    def add_public(self, key: str) -> Response:
        """The platform's own call: the customer sees what it writes, unless a property says otherwise."""
        body = _given().get("body")
        if not isinstance(body, dict) or body.get("type") != "doc":
            raise Wrong(400, "", "Comment body is not valid!")
        hidden = {"key": "sd.public.comment", "value": {"internal": True}} in _given().get("properties", [])
        with self._desk.lock:
            note = self._desk.add_note(self._found(key).id, _text_of(body), hidden, SERVICE)
            return _answer(201, self._comment(note))

    def add_comment(self, key: str) -> Response:
        """A request's comment, of wiki mark-up; the customer sees it where nobody says otherwise."""
        g.service_desk = True
        given = _given()
        body = given.get("body")
        if not isinstance(body, str) or not body.strip():
            raise Wrong(400, "", "Comment body can not be empty!")
        if len(body.encode("utf-16-le")) // 2 > LONGEST_COMMENT:
            raise Wrong(400, "", f"The entered text is too long. It exceeds the allowed limit of {LONGEST_COMMENT}.")
        with self._desk.lock:
            note = self._desk.add_note(self._found(key).id, rendered(body), given.get("public") is False, SERVICE)
        at = _time(note["at"])
        answer = {
            "id": str(30_000 + _order(note)),
            "body": body,
            "public": not note["internal"],
            "author": self._user(SERVICE),
            "created": {"iso8601": at, "epochMillis": _milliseconds(note["at"])},
        }
        return _answer(201, answer)

    # What things look like

    def _id(self, account: str | None) -> str | None:
        if account == SERVICE.id:
            return SERVICE_ID
        ids = [it.id for it in self._desk.accounts()]
        return f"5b10a2844c20165700{ids.index(account):06x}" if account in ids else None

    def _account(self, number: str) -> Account | None:
        return next((it for it in [SERVICE, *self._desk.accounts()] if self._id(it.id) == number), None)

    def _found(self, key: str) -> Ticket:
        """By key in any case, or by the issue's id."""
        project, _, number = key.upper().rpartition("-")
        if project not in (PROJECT, "") or number not in self._desk.tickets or not (project or key.isdigit()):
            raise Wrong(404, "", "Issue does not exist or you do not have permission to see it.")
        return self._desk.tickets[number]

    def _user(self, account: Account) -> dict[str, Any]:
        address = {"emailAddress": account.email} if account.email else {}
        return {
            "self": f"{request.host_url}rest/api/3/user?accountId={self._id(account.id)}" if request else "",
            "accountId": self._id(account.id),
            "accountType": "atlassian" if account.agent else "customer",
            "displayName": account.name,
            "active": account.active,
            "timeZone": "Etc/UTC",
            **address,
        }

    def _person(self, account: str | None) -> dict[str, Any] | None:
        found = self._desk.account(account)
        return self._user(found) if found else None

    def _issue(self, ticket: Ticket, asked: str | None) -> dict[str, Any]:
        status, name, category = _STATUSES[ticket.status]
        fields: dict[str, Any] = {
            "summary": ticket.subject,
            "issuetype": {"id": "10101", "name": "[System] Service request", "subtask": False},
            "project": {"id": "10000", "key": PROJECT, "name": "IT support", "projectTypeKey": "service_desk"},
            "priority": {"id": "3", "name": "Medium"},
            "labels": [],
            "components": [],
            "status": {"id": status, "name": name, "statusCategory": {"id": 4, "key": category}},
            "resolution": {"id": "10000", "name": "Done"} if category == "done" else None,
            "assignee": self._person(ticket.assignee),
            "reporter": self._person(ticket.requester),
            "creator": self._person(ticket.requester),
            "created": _time(ticket.created),
            "updated": _time(ticket.updated),
            REQUEST_TYPE: {
                "requestType": {"id": "25", "name": ticket.category, "serviceDeskId": "1"},
                "currentStatus": {"status": name, "statusCategory": category.upper()},
            },
            PARTICIPANTS: [],
            "customfield_10031": {"id": "10020", "value": ticket.queue},
        }
        names = set((asked or "*all").split(","))
        kept = {it: value for it, value in fields.items() if names & {"*all", it}}
        return {"id": _internal(ticket), "key": f"{PROJECT}-{ticket.id}", "fields": kept}

    def _changes(self, ticket: Ticket) -> list[dict[str, Any]]:
        """The oldest first. Comments are no changes, and neither is what an issue was created with."""
        return [self._change(it) for it in sorted(ticket.history, key=_order)]

    def _change(self, it: dict[str, Any]) -> dict[str, Any]:
        author = self._person(it["actor_id"])
        if it.get("rule"):
            name = "Automation for Jira"
            author = {"accountId": RULES_ID, "accountType": "app", "displayName": name, "active": True}
        return {
            "id": str(20_000 + _order(it)),
            "author": author,
            "created": _time(it["at"]),
            "items": [self._item(it)],
        }

    def _item(self, it: dict[str, Any]) -> dict[str, Any]:
        field, old, new = it["field"], it["old"], it["new"]
        said = [old, new]
        if field in ("assignee", "requester"):
            said = [found.name if (found := self._desk.account(one)) else None for one in (old, new)]
            old, new = self._id(old), self._id(new)
        if field == "status":
            (old, *told), (new, *telling) = _STATUSES[old], _STATUSES[new]
            said = [told[0], telling[0]]
        name = _FIELDS.get(field, field)
        return {
            "field": name,
            "fieldtype": "custom" if name.startswith("customfield") else "jira",
            "fieldId": name,
            "from": old,
            "fromString": said[0],
            "to": new,
            "toString": said[1],
        }

    def _comment(self, note: dict[str, Any]) -> dict[str, Any]:
        paragraphs = [
            {"type": "paragraph", "content": [{"type": "text", "text": line}] if line else []}
            for line in note["body"].split("\n")
        ]
        return {
            "id": str(30_000 + _order(note)),
            "author": self._person(note["author"]["id"]),
            "body": {"type": "doc", "version": 1, "content": paragraphs},
            "created": _time(note["at"]),
            "jsdPublic": not note["internal"],
        }

    def event(self, kind: str, number: str, actor: str) -> dict[str, Any]:
        """The body of a webhook. A rule's own change is told as that of the app that runs the rules."""
        name, told = _EVENTS[kind]
        ticket = self._desk.tickets[number]
        body: dict[str, Any] = {"timestamp": int(real_now().timestamp() * 1000), "webhookEvent": name}
        issue = self._issue(ticket, None)
        if told is None:
            return {**body, "comment": self._comment(ticket.notes[0]), "issue": issue, "eventType": "primaryAction"}
        user = self._person(actor)
        if kind in ("ticket.assigned", "ticket.status_changed", "ticket.updated"):
            newest = self._change(ticket.history[0])
            user, changes = newest["author"], {"id": newest["id"], "items": newest["items"]}
            body["changelog"] = changes
        return {**body, "issue_event_type_name": told, "user": user, "issue": issue}


def _text_of(node: Mapping[str, Any]) -> str:
    return str(node.get("text", "")) + "".join(_text_of(it) for it in node.get("content", []))


def _given() -> dict[str, Any]:
    given = request.get_json(silent=True)
    if not isinstance(given, dict):
        raise Wrong(400, "", "Unexpected character at the beginning of the body.")
    return given


def _page() -> tuple[int, int]:
    start, most = request.args.get("startAt", "0"), request.args.get("maxResults", str(PAGE))
    if not start.isdigit() or not most.isdigit():
        raise Wrong(400, "", "startAt and maxResults must be whole numbers.")
    return int(start), min(int(most), PAGE)


def _order(it: Mapping[str, Any]) -> int:
    return int(str(it["id"])[1:])


def _internal(ticket: Ticket) -> str:
    return str(10_000 + int(ticket.id))


def _time(at: str) -> str:
    """With milliseconds, and an offset without a colon."""
    told = datetime.fromisoformat(at)
    return f"{told:%Y-%m-%dT%H:%M:%S}.{told.microsecond // 1000:03d}+0000"


def _milliseconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)


def _slow_down(reason: str, most: int) -> Response:
    answer = _answer(429, {"errorMessages": ["Rate limit exceeded."], "errors": {}})
    answer.headers["Retry-After"] = "2"
    answer.headers["X-RateLimit-Limit"] = str(most)
    answer.headers["X-RateLimit-Remaining"] = "0"
    answer.headers["X-RateLimit-Reset"] = f"{real_now() + timedelta(seconds=2):%Y-%m-%dT%H:%MZ}"
    answer.headers["RateLimit-Reason"] = reason
    return answer


def _answer(status: int, body: Mapping[str, Any]) -> Response:
    answer = jsonify(body)
    answer.status_code = status
    return answer


def _wrong(wrong: Wrong) -> Response:
    if g.get("service_desk"):
        return _answer(wrong.status, {"errorMessage": wrong.message})
    return _answer(wrong.status, {"errorMessages": [wrong.message], "errors": {}})
