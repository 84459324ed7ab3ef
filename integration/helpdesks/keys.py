"""Several secrets at once, so that one can be replaced without a pause: which of them a call proves that it knows."""

from collections.abc import Callable, Mapping

from integration.tickets import SignatureRefused


def fitting(keys: Mapping[str, bytes], fits: Callable[[bytes], bool]) -> str:
    """The name of the key that `fits`, which compares in constant time. Raises SignatureRefused where none does.

    All of them are tried, always: how long we take says nothing about which one it was.

    Use hmac.new to make what is compared: hmac.digest is no faster, but lets the interpreter's lock go each time, for
    which the threads of a busy receiver then queue.
    """
    matched = [name for name, key in keys.items() if fits(key)]
    if not matched:
        raise SignatureRefused
    return matched[-1]
