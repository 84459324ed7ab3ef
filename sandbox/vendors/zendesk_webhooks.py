"""The part of the double of Zendesk in which an administrator's program manages webhooks.

Source: developer.zendesk.com/api-reference/webhooks/webhooks-api/webhooks/. The newest of them is the one that is
called; a trigger that would call one is not part of the double.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Response, jsonify, request

from sandbox.desk import Wrong
from sandbox.sender import Sender

Page = Callable[[str, list[Any]], dict[str, Any]]
_MUST = ("name", "endpoint", "http_method", "request_format", "status")


class ManagedWebhooks:
    def __init__(self, sender: Sender, page: Page, events: Mapping[str, str]) -> None:
        """`events`: what of the desk Zendesk names how."""
        self._sender, self._page, self._events = sender, page, events
        self._webhooks: dict[str, dict[str, Any]] = {}
        self._secrets: dict[str, str] = {}

    def routes(self) -> Iterator[tuple[str, Callable[..., Any], str]]:
        yield "/webhooks", self.all, "GET"
        yield "/webhooks", self.create, "POST"
        yield "/webhooks/<number>", self.delete, "DELETE"
        yield "/webhooks/<number>", self.change, "PATCH"
        yield "/webhooks/<number>/signing_secret", self.signing_secret, "GET"

    def all(self) -> Response:
        return jsonify(self._page("webhooks", list(self._webhooks.values())))

    def create(self) -> tuple[Response, int]:
        wanted = (request.get_json(silent=True) or {}).get("webhook")
        if not isinstance(wanted, dict) or not all(isinstance(wanted.get(name), str) for name in _MUST):
            raise Wrong(400, "InvalidWebhook", f"A webhook has {', '.join(_MUST)}.")
        events = wanted.get("subscriptions", [])
        if events and (wanted["http_method"], wanted["request_format"]) != ("POST", "json"):
            raise Wrong(400, "InvalidWebhook", "A webhook that is subscribed to events is sent as POST and json.")
        number = "01" + secrets.token_hex(12).upper()
        self._webhooks[number] = {**wanted, "id": number, "created_by": "1", "created_at": "2026-01-01T00:00:00Z"}
        self._secrets[number] = base64.b64encode(secrets.token_bytes(32)).decode()
        self._call(number)
        return jsonify(webhook=self._webhooks[number]), 201

    def change(self, number: str) -> tuple[str, int]:
        self._found(number).update((request.get_json(silent=True) or {}).get("webhook", {}))
        self._call(next(reversed(self._webhooks)))
        return "", 204

    def delete(self, number: str) -> tuple[str, int]:
        self._found(number)
        del self._webhooks[number]
        self._call(next(reversed(self._webhooks), None))
        return "", 204

    def signing_secret(self, number: str) -> Response:
        self._found(number)
        return jsonify(signing_secret={"algorithm": "SHA256", "secret": self._secrets[number]})

    def _found(self, number: str) -> dict[str, Any]:
        if number not in self._webhooks:
            raise Wrong(404, "WebhookNotFound", "Not found")
        return self._webhooks[number]

    def _call(self, number: str | None) -> None:
        webhook = self._webhooks[number] if number else {}
        self._sender.url = str(webhook["endpoint"]) if webhook.get("status") == "active" else ""
        if number:
            told = webhook.get("subscriptions", [])
            self._sender.secrets = [self._secrets[number]]
            self._sender.events = frozenset(it for it, name in self._events.items() if name in told)
