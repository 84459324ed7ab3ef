"""The part of the double of Zammad in which an administrator's program manages webhooks, triggers and attributes.

Source: Zammad's source: webhooks_controller.rb, triggers_controller.rb, app/models/trigger.rb and webhook.rb.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from flask import Response, jsonify, request

from sandbox.clock import Clock
from sandbox.desk import Wrong
from sandbox.sender import Sender
from sandbox.vendors.zammad_attributes import PATHS as ATTRIBUTE_PATHS
from sandbox.vendors.zammad_attributes import Attributes

# What of the desk changes which attribute of a ticket.
_CHANGES = {"ticket.owner_id": "ticket.assigned", "ticket.state_id": "ticket.status_changed"}
Rows = dict[str, dict[str, Any]]


class Managed:
    def __init__(self, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self.token = secrets.token_urlsafe(48)  # of an administrator
        self._rows: dict[str, Rows] = {"webhooks": {}, "triggers": {}}
        self._number = 100
        self.attributes = Attributes(clock)

    def routes(self) -> Iterator[tuple[str, Callable[..., Any], str]]:
        kinds = "<any(webhooks, triggers):what>"
        yield f"/{kinds}", self.all, "GET"
        yield f"/{kinds}", self.create, "POST"
        yield f"/{kinds}/<number>", self.change, "PUT"
        yield f"/{kinds}/<number>", self.delete, "DELETE"
        yield from self.attributes.routes()

    def is_managing(self, path: str) -> bool:
        return path.split("/")[3:4] in (["webhooks"], ["triggers"], *([it] for it in ATTRIBUTE_PATHS))

    def all(self, what: str) -> Response:
        return jsonify(list(self._rows[what].values()))

    def create(self, what: str) -> tuple[Response, int]:
        given = request.get_json(silent=True)
        wanted: dict[str, Any] = given if isinstance(given, dict) else {}
        if not wanted.get("name"):
            raise Wrong(422, "", "Name can't be blank")
        (self._right_webhook if what == "webhooks" else self._right_trigger)(wanted)
        self._number += 1
        self._rows[what][str(self._number)] = {**wanted, "id": self._number}
        self._call()
        return jsonify(self._rows[what][str(self._number)]), 201

    def change(self, what: str, number: str) -> Response:
        self._found(what, number).update(request.get_json(silent=True) or {})
        return jsonify(self._found(what, number))

    def delete(self, what: str, number: str) -> Response:
        self._found(what, number)
        if what == "webhooks" and any(_webhook_of(it) == number for it in self._rows["triggers"].values()):
            raise Wrong(422, "", "Cannot delete! This object is referenced by other object(s): Trigger")
        del self._rows[what][number]
        self._call()
        return jsonify({})

    def _found(self, what: str, number: str) -> dict[str, Any]:
        if number not in self._rows[what]:
            raise Wrong(404, "", f"Couldn't find {what[:-1].title()} with 'id'={number}")
        return self._rows[what][number]

    def _right_webhook(self, wanted: dict[str, Any]) -> None:
        if not urlsplit(str(wanted.get("endpoint"))).hostname:
            raise Wrong(422, "", "The provided endpoint is invalid, no http or https protocol was specified.")

    def _right_trigger(self, wanted: dict[str, Any]) -> None:
        names = {it["name"].casefold() for it in self._rows["triggers"].values()}
        if wanted["name"].casefold() in names:
            raise Wrong(422, "", "Name has already been taken")
        if wanted.get("activator") not in ("action", "time"):
            raise Wrong(422, "", "Activator is not included in the list")
        if wanted.get("execution_condition_mode") not in ("selective", "always"):
            raise Wrong(422, "", "Execution condition mode is not included in the list")
        if not wanted.get("perform") or not wanted.get("condition"):
            raise Wrong(422, "", "Perform can't be blank")
        if _webhook_of(wanted) not in self._rows["webhooks"]:
            raise Wrong(422, "", "The required 'perform' value is invalid!")

    def _call(self) -> None:
        """The webhook of the newest trigger is the one that is called."""
        active = [it for it in self._rows["triggers"].values() if it.get("active")]
        number = _webhook_of(active[-1]) if active else ""
        webhook = self._rows["webhooks"].get(number)
        conditions = [it["condition"] for it in active if _webhook_of(it) == number]
        changed = {name for it in conditions for name, of in it.items() if of.get("operator") == "has changed"}
        self._sender.events = frozenset(kind for name, kind in _CHANGES.items() if name in changed)
        self._sender.url = str(webhook["endpoint"]) if webhook else ""
        if webhook and webhook.get("signature_token"):
            self._sender.secrets = [webhook["signature_token"]]


def _webhook_of(trigger: dict[str, Any]) -> str:
    return str(trigger.get("perform", {}).get("notification.webhook", {}).get("webhook_id"))
