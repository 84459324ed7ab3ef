"""The part of the double of Jira in which an administrator's program manages webhooks.

Source: developer.atlassian.com/cloud/jira/platform/webhooks/ ("Registering a webhook"). The newest is called.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, jsonify, request

from sandbox.desk import Wrong
from sandbox.sender import Sender

_EVENTS = {
    "ticket.created": "jira:issue_created",
    "ticket.assigned": "jira:issue_updated",
    "ticket.status_changed": "jira:issue_updated",
    "ticket.updated": "jira:issue_updated",
    "ticket.note_added": "comment_created",
}
API = "/rest/webhooks/1.0/webhook"


class Managed:
    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.email, self.token = "jira-admin@practice.example", "ATATT" + secrets.token_urlsafe(48)
        self._webhooks: dict[str, dict[str, Any]] = {}
        self._secrets: dict[str, str] = {}
        self._number = 0

    def routes(self) -> Iterator[tuple[str, Callable[..., Any], str]]:
        yield API, self.all, "GET"
        yield API, self.create, "POST"
        yield f"{API}/<number>", self.delete, "DELETE"

    def all(self) -> Response:
        return jsonify(list(self._webhooks.values()))

    def create(self) -> tuple[Response, int]:
        given = request.get_json(silent=True)
        wanted: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
        if not wanted.get("name") or not str(wanted.get("url")).startswith("https://") or not wanted.get("events"):
            raise Wrong(400, "", "A webhook has a name, an https URL and events.")
        self._number += 1
        number, secret = str(self._number), wanted.pop("secret", "")
        here = {"self": f"{request.base_url}/{number}", "isSigned": bool(secret)}
        self._webhooks[number], self._secrets[number] = {**wanted, **here}, secret
        self._call()
        return jsonify(self._webhooks[number]), 201

    def delete(self, number: str) -> tuple[str, int]:
        if number not in self._webhooks:
            raise Wrong(404, "", "The webhook does not exist.")
        del self._webhooks[number]
        self._call()
        return "", 204

    def _call(self) -> None:
        newest = next(reversed(self._webhooks), None)
        self._sender.url = str(self._webhooks[newest]["url"]) if newest else ""
        if newest:
            told = self._webhooks[newest]["events"]
            self._sender.events = frozenset(kind for kind, name in _EVENTS.items() if name in told)
        if newest and self._secrets[newest]:
            self._sender.secrets = [self._secrets[newest]]
