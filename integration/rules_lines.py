"""On which line each key of a TOML document stands. tomllib does not say, tree-sitter does."""

import tomllib
from collections.abc import Iterator

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

Path = tuple[str | int, ...]

_TOML = Language(tree_sitter_toml.language())
_KEYS = ("bare_key", "quoted_key", "dotted_key")


def lines(raw: bytes) -> dict[Path, int]:
    """The line (from 1) of each table, key and array element of `raw`, which is TOML that tomllib has read."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    for node in Parser(_TOML).parse(raw).root_node.named_children:
        if node.type == "pair":
            _pair(node, (), found)
        elif node.type in ("table", "table_array_element"):
            _table(node, found, counts)
    return found


def line_of(found: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest thing around it that has one."""
    return next((found[path[:end]] for end in range(len(path), 0, -1) if path[:end] in found), 1)


def _table(node: Node, found: dict[Path, int], counts: dict[Path, int]) -> None:
    here: Path = ()
    names = list(_names(next(child for child in node.named_children if child.type in _KEYS)))
    for depth, name in enumerate(names):
        here = (*here, name)
        if node.type == "table_array_element" and depth == len(names) - 1:
            counts[here] = counts.get(here, 0) + 1
        if here in counts:  # a table under [[rule]] belongs to the last one
            found.setdefault(here, _line(node))
            here = (*here, counts[here] - 1)
    found.setdefault(here, _line(node))
    for child in node.named_children:
        if child.type == "pair":
            _pair(child, here, found)


def _pair(node: Node, around: Path, found: dict[Path, int]) -> None:
    key, value = node.named_children[0], node.named_children[-1]
    here = around
    for name in _names(key):
        here = (*here, name)
        found.setdefault(here, _line(key))
    _value(value, here, found)


def _value(node: Node, here: Path, found: dict[Path, int]) -> None:
    if node.type == "inline_table":
        for child in node.named_children:
            if child.type == "pair":
                _pair(child, here, found)
    elif node.type == "array":
        for index, child in enumerate(c for c in node.named_children if c.type != "comment"):
            found[(*here, index)] = _line(child)
            _value(child, (*here, index), found)


def _names(key: Node) -> Iterator[str]:
    if key.type == "dotted_key":
        for child in key.named_children:
            yield from _names(child)
        return
    text = (key.text or b"").decode()
    # A quoted key is unquoted by the one who knows how.
    yield text if key.type == "bare_key" else next(iter(tomllib.loads(f"{text} = 0")))


def _line(node: Node) -> int:
    return node.start_point.row + 1
