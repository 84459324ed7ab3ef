"""The part of OData that a client of these calls uses: $filter with and, $select, $top."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.clock import parse
from sandbox.refusals import bad_request

Row = dict[str, Any]
_TERM = re.compile(r"\s*([\w/]+)\s+(eq|ne|ge|gt|le|lt)\s+('(?:[^']|'')*'|\S+)\s*")
_STARTS = re.compile(r"\s*startswith\(\s*([\w/]+)\s*,\s*'((?:[^']|'')*)'\s*\)\s*")
_ANY = re.compile(r"\s*(\w+)/any\(\s*(\w+)\s*:\s*(\w+)/(\w+)\s+eq\s+'((?:[^']|'')*)'\s*\)\s*")
_AND = re.compile(r"\s+and\s+(?=(?:[^']*'[^']*')*[^']*$)", re.IGNORECASE)


def filtered(rows: list[Row], text: str | None) -> list[Row]:
    """The rows that a $filter keeps. GraphError 400 when it is not understood."""
    if not text:
        return rows
    tests = [
        _test(term) for term in _AND.split(text.strip().removeprefix("(").removesuffix(")") if _wrapped(text) else text)
    ]
    return [row for row in rows if all(test(row) for test in tests)]


def _wrapped(text: str) -> bool:
    text = text.strip()
    return text.startswith("(") and text.endswith(")") and text.count("(") == 1


def _test(term: str) -> Callable[[Row], bool]:
    if found := _STARTS.fullmatch(term):
        path, start = found[1], _quoted(found[2])
        return lambda row: str(_at(row, path) or "").startswith(start)
    if found := _ANY.fullmatch(term):
        many, name, wanted = found[1], found[4], _quoted(found[5])
        return lambda row: any(item.get(name) == wanted for item in row.get(many) or [])
    if found := _TERM.fullmatch(term):
        path, operator, value = found[1], found[2], found[3]
        return lambda row: _compare(_at(row, path), operator, value)
    raise bad_request(f"Invalid filter clause: {term}")


def _quoted(text: str) -> str:
    return text.replace("''", "'")


def _at(row: Any, path: str) -> Any:
    for name in path.split("/"):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _compare(have: Any, operator: str, text: str) -> bool:
    if text == "null":
        return (have is None) == (operator == "eq")
    if text in ("true", "false"):
        return (have is (text == "true")) == (operator == "eq")
    wanted: Any = _quoted(text[1:-1]) if text.startswith("'") else text
    if operator in ("eq", "ne"):
        return (str(have) == str(wanted)) == (operator == "eq")
    try:
        left, right = parse(str(have)), parse(str(wanted))
    except ValueError:
        raise bad_request(f"Invalid filter clause: {text} cannot be compared.") from None
    return {"ge": left >= right, "gt": left > right, "le": left <= right, "lt": left < right}[operator]


def selected(row: Row, text: str | None) -> Row:
    """The properties that a $select names. GraphError 400 for one that the row does not have."""
    if not text:
        return row
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in row:
            raise bad_request(f"Could not find a property named '{name}'.")
    return {name: value for name, value in row.items() if name in names or name.startswith("@")}
