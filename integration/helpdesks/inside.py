"""Addresses inside a network: no helpdesk is called there unless its settings say so (trust row 29).

A slip in `url`, or a name that somebody points elsewhere, would else carry our token to whatever answers there, and
make us knock on doors that are open to this machine alone. Our own machine, written as such, is meant.
"""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

OURSELVES = frozenset({"localhost", "127.0.0.1", "::1"})
# What the connection that is being made may reach: an adapter makes its doors, and need not know.
_ALLOWED: ContextVar[bool] = ContextVar("internal_addresses_allowed", default=True)


class Inside(Exception):
    """A connection came out at an internal address. Nothing was sent over it."""


@contextmanager
def reaching(url: str, *, allowed: bool) -> Iterator[None]:
    """The doors that are made within reach internal addresses only if that is `allowed`.

    Raises ValueError where `url` is such an address itself.
    """
    host = _host(url)
    if not allowed and host not in OURSELVES and is_internal(host):
        raise ValueError(f"url is the internal address {host}. If the helpdesk is there, write internal = true.")
    token = _ALLOWED.set(allowed)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def adapter(base: str) -> HTTPAdapter | None:
    """What a door to `base` makes its connections with; None for the usual, where it may reach any address."""
    return None if _ALLOWED.get() or _host(base) in OURSELVES else _Outside()


def is_internal(host: str) -> bool:
    """Whether `host` is an IP address that does not belong to the Internet; of a name only its address tells."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return not address.is_global or address.is_multicast


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _look(connection: HTTPConnection) -> None:
    """Before anything is sent. A proxy's connections are not looked at: it decides where it goes."""
    peer: str = connection.sock.getpeername()[0]
    if is_internal(peer):
        connection.close()
        raise Inside


class _Http(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _look(self)


class _Https(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _look(self)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Outside(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
