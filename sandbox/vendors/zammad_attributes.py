"""The part of the double of Zammad in which an administrator adds attributes to tickets, such as one that is a link.

An attribute is only planned until the migrations are executed: nobody sees it before.
Source: docs.zammad.org/en/latest/api/object.html and object_manager_attributes_controller.rb. Left out: what Zammad
checks of types other than `input`, changing and deleting, and the restart that it needs in some set-ups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from flask import Response, jsonify, request

from sandbox.desk import Wrong

PATHS = ("object_manager_attributes", "object_manager_attributes_execute_migrations")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAG = re.compile(r"#\{ticket\.([a-z0-9_]+)\}")


class Attributes:
    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def routes(self) -> Iterator[tuple[str, Callable[..., Any], str]]:
        yield f"/{PATHS[0]}", self.attributes, "GET"
        yield f"/{PATHS[0]}", self.add_attribute, "POST"
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
        row = {it: wanted.get(it) for it in ("object", "name", "display", "data_type", "active", "screens")}
        row["data_option"] = {"default": "", "null": True, **(options if isinstance(options, dict) else {})}
        self._rows.append({**row, "id": len(self._rows) + 101, "editable": True, "to_create": True, "to_migrate": True})
        return jsonify(self._rows[-1]), 201

    def migrate(self) -> Response:
        for row in self._rows:
            row.update(to_create=False, to_migrate=False)
        return jsonify({})

    def links(self, ticket: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """The links that an agent sees on a ticket. A new column holds its default; an empty field is not shown."""

        def filled(tag: re.Match[str]) -> str:
            return quote(str(ticket.get(tag[1], "-")), safe="")

        return [
            (str(it["display"]), it["data_option"]["default"], _TAG.sub(filled, it["data_option"]["linktemplate"]))
            for it in self._rows
            if it["active"] and not it["to_create"] and it["data_option"]["default"] and _shown(it)
            if it["data_option"].get("linktemplate")
        ]


def _shown(attribute: Mapping[str, Any]) -> bool:
    edit = (attribute["screens"] or {}).get("edit", {})
    return any(edit.get(who, {}).get("shown") for who in ("ticket.agent", "-all-"))
