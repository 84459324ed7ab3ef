"""The practice helpdesk's REST API. See README.md for the calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox.clock import parse
from sandbox.desk import Account, Desk, Ticket, Wrong


class DeskApi:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def blueprint(self) -> Blueprint:
        part = Blueprint("api", __name__, url_prefix="/api")
        add = part.add_url_rule
        add("/me", view_func=self.me)
        add("/users/<number>", view_func=self.user)
        add("/tickets", view_func=self.tickets)
        add("/tickets", view_func=self.create, methods=["POST"], endpoint="create")
        add("/tickets/<number>", view_func=self.ticket)
        add("/tickets/<number>", view_func=self.edit, methods=["PATCH"], endpoint="edit")
        add("/tickets/<number>/history", view_func=self.history)
        add("/tickets/<number>/assign", view_func=self.assign, methods=["POST"])
        add("/tickets/<number>/status", view_func=self.status, methods=["POST"])
        add("/tickets/<number>/notes", view_func=self.notes)
        add("/tickets/<number>/notes", view_func=self.add_note, methods=["POST"], endpoint="add_note")
        part.register_error_handler(Wrong, answer_wrong)
        return part

    def _who(self) -> Account:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        account = self.desk.by_token(token.strip()) if kind.lower() == "bearer" else None
        if account is None:
            raise Wrong(401, "unauthorized", "The bearer token is missing or unknown.")
        return account

    def _see(self, number: str, who: Account) -> Ticket:
        ticket = self.desk.ticket(number)
        if not who.agent and ticket.requester != who.id:
            raise Wrong(404, "not_found", f"There is no ticket {number}.")
        return ticket

    def me(self) -> Response:
        return jsonify(self._who().public())

    def user(self, number: str) -> Response:
        self._who()
        account = self.desk.account(number)
        if account is None:
            raise Wrong(404, "not_found", f"There is no account {number}.")
        return jsonify(account.public())

    def tickets(self) -> Response:
        """All, or those of an `assignee`, or what was `updated_since`: the longest ago first."""
        who = self._who()
        with self.desk.lock:
            rows = [self.desk.view(t) for t in self.desk.tickets.values() if who.agent or t.requester == who.id]
        since = request.args.get("updated_since")
        if since is not None:
            start = _moment(since)
            rows = sorted((row for row in rows if parse(row["updated_at"]) >= start), key=lambda it: it["updated_at"])
        assignee = request.args.get("assignee")
        if assignee is not None:
            rows = [row for row in rows if row["assignee"] and row["assignee"]["id"] == assignee]
        return jsonify(_page(rows, "tickets"))

    def ticket(self, number: str) -> Response:
        who = self._who()
        with self.desk.lock:
            return jsonify(self.desk.view(self._see(number, who)))

    def create(self) -> tuple[Response, int]:
        who, body = self._who(), _body()
        subject, category = str(body.get("subject") or "").strip(), str(body.get("category") or "").strip()
        if not subject or not category:
            raise Wrong(422, "invalid", "A ticket needs a subject and a category.")
        ticket = self.desk.create(subject, category, str(body.get("queue") or "Service desk"), who)
        return jsonify(self.desk.view(ticket)), 201

    def edit(self, number: str) -> Response:
        return jsonify(self.desk.view(self.desk.edit(number, _body(), self._who())))

    def history(self, number: str) -> Response:
        who = self._who()
        with self.desk.lock:
            return jsonify(_page(list(self._see(number, who).history), "history"))

    def assign(self, number: str) -> Response:
        who, body = self._who(), _body()
        if "assignee" not in body or not (body["assignee"] is None or isinstance(body["assignee"], str)):
            raise Wrong(422, "invalid", "The body names an assignee: an account id, or null.")
        return jsonify(self.desk.view(self.desk.assign(number, body["assignee"], who)))

    def status(self, number: str) -> Response:
        who = self._who()
        return jsonify(self.desk.view(self.desk.set_status(number, str(_body().get("status")), who)))

    def notes(self, number: str) -> Response:
        who = self._who()
        with self.desk.lock:
            rows = [n for n in self._see(number, who).notes if who.agent or not n["internal"]]
        return jsonify(_page(rows, "notes"))

    def add_note(self, number: str) -> tuple[Response, int]:
        who, body = self._who(), _body()
        text = body.get("body")
        if not isinstance(text, str) or not text.strip():
            raise Wrong(422, "invalid", "A note needs a body.")
        self._see(number, who)
        note = self.desk.add_note(number, text, body.get("internal", True) is not False, who)
        return jsonify(note), 201


def _body() -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Wrong(400, "bad_request", "The body is not a JSON object.")
    return body


def _moment(text: str) -> datetime:
    """With an offset: without one nobody knows which time is meant."""
    wrong = Wrong(400, "bad_request", "updated_since is a time in ISO 8601 with an offset.")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise wrong from None
    if found.tzinfo is None:
        raise wrong
    return found


def _page(rows: list[Any], name: str) -> dict[str, Any]:
    try:
        page, size = int(request.args.get("page", "1")), int(request.args.get("per_page", "20"))
    except ValueError:
        raise Wrong(400, "bad_request", "page and per_page are numbers.") from None
    page, size = max(page, 1), min(max(size, 1), 100)
    more = page * size < len(rows)
    return {
        name: rows[(page - 1) * size : page * size],
        "page": page,
        "per_page": size,
        "total": len(rows),
        "next": f"{request.base_url}?page={page + 1}&per_page={size}" if more else None,
    }


def answer_wrong(wrong: Wrong) -> tuple[Response, int]:
    return jsonify({"error": {"code": wrong.code, "message": wrong.message}}), wrong.status
