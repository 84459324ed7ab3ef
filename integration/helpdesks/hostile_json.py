"""JSON from outside, read so that nothing in it can surprise us (trust row 46).

`json.loads` takes the last of two equal keys, NaN, numbers of any length and nesting until the stack is gone. A sender
that does any of these is broken or hostile, and both are told so.
"""

import json
import math
from typing import Any, NoReturn

from integration.tickets import DeliveryUnreadable

DEEPEST = 64  # arrays and objects inside each other; the richest helpdesk payload we know has 9
LONGEST_NUMBER = 40  # characters


class Hostile(ValueError):
    """Not JSON that we take. str() says why in a few of our own words and quotes nothing of the text."""


def parse(text: bytes) -> Any:
    """The value that UTF-8 `text` stands for. Raises Hostile."""
    try:
        value = _DECODER.decode(text.decode("utf-8"))
    except Hostile:
        raise
    except RecursionError:
        raise Hostile("it is nested too deeply") from None
    except ValueError:  # JSONDecodeError and UnicodeDecodeError alike; both would quote the text
        raise Hostile("it is not JSON in UTF-8") from None
    if text.count(b"{") + text.count(b"[") > DEEPEST:  # what opens no more cannot be too deep
        _not_too_deep(value)
    return value


def delivery_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a delivery's raw `body` holds. Raises DeliveryUnreadable."""
    try:
        value = parse(body)
    except Hostile as e:
        raise DeliveryUnreadable(f"The body of this call cannot be read: {e}.") from None
    if not isinstance(value, dict):
        raise DeliveryUnreadable("The body of this call is not a JSON object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Hostile("a key stands twice in one object")
    return found


def _no_constant(_name: str) -> NoReturn:
    raise Hostile("it holds NaN or Infinity")


def _short_int(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise Hostile("it holds a number that is too long")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if len(digits) > LONGEST_NUMBER or not math.isfinite(number):
        raise Hostile("it holds a number that is too long or too large")
    return number


def _not_too_deep(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise Hostile("it is nested too deeply")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_short_int, parse_float=_finite
)
