"""The part of the double of Zammad in which an administrator adds attributes to tickets, such as one that is a link.

An attribute is only planned until the migrations are executed: nobody sees it before. The column is added without a
default, which tickets get when they are created: those that were there before stay empty.
Source: docs.zammad.org/en/latest/api/object.html, object_manager_attributes_controller.rb, object_manager/attribute.rb
and attribute/set_defaults.rb. Left out: what Zammad checks of types other than `input`, changing, deleting what is more
than planned, and the restart that it needs afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from flask import Response, jsonify, request

from sandbox.clock import Clock
from sandbox.desk import Wrong

PATHS = ("object_manager_attributes", "object_manager_attributes_execute_migrations")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAG = re.compile(r"#\{ticket\.([a-z0-9_]+)\}")


class Attributes:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: list[dict[str, Any]] = []
        self._number = 100
        self._since: dict[str, datetime] = {}  # when an attribute became a column, by its name

    def routes(self) -> Iterator[tuple[str, Callable[..., Any], str]]:
        yield f"/{PATHS[0]}", self.attributes, "GET"
        yield f"/{PATHS[0]}", self.add_attribute, "POST"
        yield f"/{PATHS[0]}/<int:number>", self.remove_attribute, "DELETE"
        yield f"/{PATHS[1]}", self.migrate, "POST"

    def attributes(self) -> Response:
        return jsonify(self._rows)

    def add_attribute(self) -> tuple[Response, int]:
        given = request.get_json(silent=True)
        wanted: dict[str, Any] = given if isinstance(given, dict) else {}
        name = wanted.get("name")
        if wanted.get("object") != "Ticket" or wanted.get("data_type") != "input":
            raise Wrong(422, "", "Only attributes of tickets with the type input can be made here.")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith(("_id", "_ids")):
            raise Wrong(422, "", "The name is not allowed.")
        if any(it["name"] == name for it in self._rows):
            raise Wrong(422, "", "already exists")
        options = wanted.get("data_option")
        if not isinstance(options, dict) or options.get("type") != "text" or not isinstance(options["maxlength"], int):
            raise Wrong(422, "", "must have one of text/password/tel/fax/email/url for :type")
        row = {it: wanted.get(it) for it in ("object", "name", "display", "data_type", "active", "screens")}
        row["data_option"] = {"default": "", "null": True, **options}
        self._number += 1
        self._rows.append({**row, "id": self._number, "editable": True, "to_create": True, "to_migrate": True})
        return jsonify(self._rows[-1]), 201

    def remove_attribute(self, number: int) -> Response:
        if not any(it["id"] == number and it["to_create"] for it in self._rows):
            raise Wrong(422, "", "can't be removed!")
        self._rows = [it for it in self._rows if it["id"] != number]
        return jsonify({})

    def migrate(self) -> Response:
        for row in self._rows:
            row.update(to_create=False, to_migrate=False)
            self._since.setdefault(row["name"], self._clock.now())
        return jsonify({})

    def links(self, ticket: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """The links that an agent sees on a ticket, of the fields that are filled."""
        created = datetime.fromisoformat(ticket["created_at"])

        def filled(tag: re.Match[str]) -> str:
            return quote(str(ticket.get(tag[1], "-")), safe="")

        return [
            (str(it["display"]), it["data_option"]["default"], _TAG.sub(filled, it["data_option"]["linktemplate"]))
            for it in self._rows
            if it["active"] and it["data_option"]["default"] and _shown(it) and it["data_option"].get("linktemplate")
            if it["name"] in self._since and created >= self._since[it["name"]]
        ]


def _shown(attribute: Mapping[str, Any]) -> bool:
    edit = (attribute["screens"] or {}).get("edit", {})
    return any(edit.get(who, {}).get("shown") for who in ("ticket.agent", "-all-"))
