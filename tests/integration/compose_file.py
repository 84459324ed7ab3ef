"""The part of YAML that docker-compose.yml is written in: mappings, lists, JSON in one line, `>-`, anchors.

There is no YAML reader among what this project installs, and a compose file needs very little of YAML. Whatever is not
understood raises: a test then says so, instead of looking at less than is there.
"""

import json
import re
from typing import Any

KEY = re.compile(r"(?P<key>[\w.<-]+):(?: +(?P<rest>\S.*))?")


def read(text: str) -> Any:
    lines = [(len(raw) - len(raw.lstrip()), raw.strip()) for raw in text.splitlines()]
    reader = _Reader([(indent, line) for indent, line in lines if line and not line.startswith("#")])
    return reader.block(0)


class _Reader:
    def __init__(self, lines: list[tuple[int, str]]) -> None:
        self.lines = lines
        self.at = 0
        self.anchors: dict[str, Any] = {}

    def _deeper(self, indent: int) -> bool:
        return self.at < len(self.lines) and self.lines[self.at][0] > indent

    def block(self, indent: int) -> Any:
        return self._list(indent) if self.lines[self.at][1].startswith("- ") else self._mapping(indent)

    def _list(self, indent: int) -> list[Any]:
        found = []
        while self.at < len(self.lines) and self.lines[self.at][0] == indent:
            line = self.lines[self.at][1]
            if not line.startswith("- "):
                raise ValueError(f"not an item of a list: {line}")
            found.append(_scalar(line[2:]))
            self.at += 1
        return found

    def _mapping(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while self.at < len(self.lines) and self.lines[self.at][0] == indent:
            line = self.lines[self.at][1]
            parts = KEY.fullmatch(line)
            if parts is None:
                raise ValueError(f"not a key: {line}")
            self.at += 1
            key, rest = parts["key"], parts["rest"] or ""
            if key in found:
                raise ValueError(f"twice: {line}")
            if key == "<<":
                merged = self.anchors[rest.removeprefix("*")]
            else:
                found[key] = self._value(rest, indent)
        return {**merged, **found}

    def _value(self, rest: str, indent: int) -> Any:
        if rest == ">-":
            folded = []
            while self._deeper(indent):
                folded.append(self.lines[self.at][1])
                self.at += 1
            return " ".join(folded)
        if rest and not rest.startswith("&"):
            return _scalar(rest)
        value = self.block(self.lines[self.at][0]) if self._deeper(indent) else None
        if rest:
            self.anchors[rest.removeprefix("&")] = value
        return value


def _scalar(text: str) -> Any:
    if text.startswith(("[", '"')):
        return json.loads(text)
    if text.startswith(("'", "{", "&", "*", "|", ">", "!", "%", "@", "`")) or ": " in text or " #" in text:
        raise ValueError(f"not understood: {text}")
    return int(text) if text.isdigit() else text
