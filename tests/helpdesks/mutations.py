"""What goes wrong with a payload on its way, or is done to it: each kind takes bytes and gives others.

All are drawn from one `Random`, so that a seed names a payload.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

TOLD = (
    "", " ", "0", "-1", "null", "true", "..", "../../x", "1?x#y", "{{ticket.id}}", "${7*7}", "<script>", "\u202e\u200b",
    "\x00", "\r\nX: y", "9" * 200, "1e999", "\ud800", "\udfff\ud800", "\U000e0041", "e\u0301" * 300, "http://127.0.0.2/",
    "x" * 70_000,
)  # fmt: skip
NUMBERS = ("1e400", "-1E+5000", "9" * 5000, "-0", "0.1e-400", "NaN", "-Infinity", "1" + "0" * 39, str(2**63), "1E2")
NODES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    1.5,
    "",
    "x",
    [],
    {},
    [[]],
    [None],
    {"id": None},
    [{"id": 1}],
)


class Raw(str):
    """Text that stands in the JSON as it is."""


class Pairs(list[tuple[str, Any]]):
    """An object, with its keys in order; one may stand there twice."""


def load(body: bytes) -> Any:
    return json.loads(body, object_pairs_hook=Pairs)


def dump(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {dump(one)}" for key, one in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    return json.dumps(value)


def places(value: Any) -> Iterator[tuple[list[Any], int]]:
    """Everywhere a value stands: in which list or object, and where in it."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield value, index
            yield from places(one[1] if isinstance(value, Pairs) else one)


def flipped(body: bytes, random: Random) -> bytes:
    bad = bytearray(body)
    for _ in range(random.randint(1, 8)):
        bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
    return bytes(bad)


def cut(body: bytes, random: Random) -> bytes:
    at = random.randrange(len(body))
    return random.choice((body[:at], body[at:], body[:at] + bytes(random.randbytes(3)) + body[at:], body + body[at:]))


def retyped(body: bytes, random: Random) -> bytes:
    return _with(body, random, lambda _old: random.choice(NODES))


def worded(body: bytes, random: Random) -> bytes:
    """Another text: one that means something to somebody, is invisible, is no Unicode, or is long."""
    return _with(body, random, lambda _old: random.choice(TOLD))


def numbered(body: bytes, random: Random) -> bytes:
    return _with(body, random, lambda _old: Raw(random.choice(NUMBERS)))


def nested(body: bytes, random: Random) -> bytes:
    depth = random.choice((3, 60, 64, 65, 500, 20_000))
    start, end = random.choice((("[", "]"), ('{"a":', "}"), ('[{"id":', "}]")))
    return _with(body, random, lambda old: Raw(start * depth + dump(old) + end * depth))


def dropped(body: bytes, random: Random) -> bytes:
    return _within(body, random, lambda around, at: around.pop(at))


def doubled(body: bytes, random: Random) -> bytes:
    """A key twice, with the same or another value; an element twice."""

    def twice(around: list[Any], at: int) -> None:
        old = around[at]
        other = (old[0], random.choice((old[1], *NODES))) if isinstance(around, Pairs) else old
        around.insert(random.randint(0, len(around)), other)

    return _within(body, random, twice)


def swapped(body: bytes, random: Random) -> bytes:
    """Two values change places: an id stands where another's should, a whole object where a text should."""
    value = load(body)
    spots = list(places(value))
    if len(spots) < 2:
        return body
    (one, here), (other, there) = random.sample(spots, 2)
    first, second = _held(one, here), _held(other, there)
    if dump(second) in dump(first) or dump(first) in dump(second):
        return body  # one is within the other
    _put(one, here, second)
    _put(other, there, first)
    return dump(value).encode()


def encoded(body: bytes, random: Random) -> bytes:
    """The same text as no helpdesk sends it, or nothing like it."""
    text = body.decode()
    return random.choice(
        (
            b"\xef\xbb\xbf" + body, text.encode("utf-16"), b"\xff" + body, body.replace(b'"', b"'"), b"", b"{}", b"[]",
            b"null", b'"x"', b"7", b" " * 1000, b"ticket=1&x=y", b"<xml/>", b"[" + body + b"]",
            body.replace(b":", b"="), body.replace(b'"', b'"\xed\xa0\x80', 3), random.randbytes(200),
        )
    )  # fmt: skip


KINDS: Mapping[str, Callable[[bytes, Random], bytes]] = {
    it.__name__: it for it in (flipped, cut, retyped, worded, numbered, nested, dropped, doubled, swapped, encoded)
}


def mutated(templates: list[bytes], random: Random) -> tuple[str, bytes]:
    """One of the `templates` after one to three mutations, and which those were."""
    body, names = random.choice(templates), []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        name = random.choice(list(KINDS))
        try:
            body = KINDS[name](body, random)
        except (ValueError, RecursionError, IndexError):
            break  # what came before made it no JSON any more, or left nothing of it
        names.append(name)
    return "+".join(names), body


def _held(around: list[Any], at: int) -> Any:
    return around[at][1] if isinstance(around, Pairs) else around[at]


def _put(around: list[Any], at: int, value: Any) -> None:
    around[at] = (around[at][0], value) if isinstance(around, Pairs) else value


def _with(body: bytes, random: Random, new: Callable[[Any], Any]) -> bytes:
    return _within(body, random, lambda around, at: _put(around, at, new(_held(around, at))))


def _within(body: bytes, random: Random, change: Callable[[list[Any], int], object]) -> bytes:
    value = load(body)
    spots = list(places(value))
    if spots:
        change(*random.choice(spots))
    return dump(value).encode()
