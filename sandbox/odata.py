"""The part of OData that a client of these calls uses: $filter with and, or and brackets, $select, $top."""

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
Test = Callable[[Row], bool]


def filtered(rows: list[Row], text: str | None) -> list[Row]:
    """The rows that a $filter keeps. GraphError 400 when it is not understood."""
    if not text:
        return rows
    test = _parse(text)
    return [row for row in rows if test(row)]


def _parse(text: str) -> Test:
    """`and` binds closer than `or`; brackets closer than both."""
    text = text.strip()
    for word, together in (("or", any), ("and", all)):
        parts = _split(text, word)
        if len(parts) > 1:
            tests = [_parse(part) for part in parts]
            return lambda row, t=tests, f=together: f(one(row) for one in t)  # type: ignore[misc]
    if text.startswith("(") and text.endswith(")"):
        return _parse(text[1:-1])
    return _test(text)


def _split(text: str, word: str) -> list[str]:
    """`text` at each `word` that stands outside of quotes and brackets."""
    parts, depth, quoted, begin, at = [], 0, False, 0, 0
    between = re.compile(rf"\s+{word}\s+", re.IGNORECASE)
    while at < len(text):
        found = between.match(text, at) if depth == 0 and not quoted else None
        if found:
            parts.append(text[begin:at])
            begin = at = found.end()
            continue
        quoted ^= text[at] == "'"
        if not quoted:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return [*parts, text[begin:]]


def _test(term: str) -> Test:
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
