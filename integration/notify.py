"""Sends a notice through Apprise, to one address. Nothing else imports Apprise.

An address is an Apprise URL (appriseit.com/services/workflows, /services/email, /services/json). It holds secrets, so
that no error, log line or outcome of ours has any of it, and Apprise's own log, which has, is shut.
"""

import logging
import re
import warnings
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import apprise
from pydantic import SecretStr

with warnings.catch_warnings():
    # Its mail plugin is loaded at the first use, and imports imghdr, which Python 3.13 has no more; it knows both.
    warnings.simplefilter("ignore", DeprecationWarning)
    import apprise.plugins.email

_WORKFLOW = frozenset(
    ("id", "workflow", "sig", "signature", "ver", "api-version", "sp", "sv")
    + ("pa", "powerautomate", "route", "routeid", "image", "wrap")
)
_MAIL = frozenset(("from", "to", "name", "user", "pass", "smtp", "mode", "cc", "bcc", "reply"))
# What may stand behind `?`. Of the others, some read files of this machine (template, pgpkey) or weaken TLS (verify).
_PARAMETERS: Mapping[str, frozenset[str]] = {
    "workflow": _WORKFLOW,
    "workflows": _WORKFLOW,
    "mailto": _MAIL,
    "mailtos": _MAIL,
    "json": frozenset(),
    "jsons": frozenset(),
}
_SPACE = re.compile(r"\s")
# Seconds. A mail takes some nine answers, and each may take this long; all of it fits into a lease (60 s).
_CONNECT, _READ = 4, 6


class AddressRefused(ValueError):
    """This is no address to which we send; str() says why, in words that hold nothing of it."""


class NotSent(Exception):
    """The notice was not taken; trying again may help. str() holds nothing of the address."""

    def __init__(self) -> None:
        super().__init__("The notice was not taken: its server did not answer, or refused it.")


def check(address: SecretStr) -> None:
    """Whether we could send to `address`; nothing is sent. Raises AddressRefused."""
    _service(address)


def send(address: SecretStr, *, title: str, text: str) -> None:
    """Send `text` (plain) to `address`. Takes 40 seconds at most. Raises AddressRefused and NotSent."""
    sender = apprise.Apprise(asset=_asset())
    sender.add(_service(address))
    if not sender.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT):
        raise NotSent


def _service(address: SecretStr) -> apprise.NotifyBase:
    url = address.get_secret_value().strip()
    _check_words(url)
    timeouts = f"{'&' if '?' in url else '?'}cto={_CONNECT}&rto={_READ}"
    _hush()
    service = apprise.Apprise.instantiate(url + timeouts, asset=_asset())
    if service is None:
        raise AddressRefused("it is not a complete address of its kind; docs/notifications.md shows each")
    return service


def _check_words(url: str) -> None:
    scheme = url.partition("://")[0].casefold()
    if scheme == "msteams":
        raise AddressRefused("Microsoft retired msteams:// connectors: make a workflow in Teams and use workflows://")
    if scheme not in _PARAMETERS:
        raise AddressRefused("it must start with workflows://, mailtos://, mailto://, jsons:// or json://")
    if _SPACE.search(url) or "#" in url:
        raise AddressRefused("it must not hold spaces or #; write them as %20 and %23")
    try:
        given = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        raise AddressRefused("it is not a URL") from None
    own_headers = scheme.startswith("json")
    for name, _ in given:
        # A `+` before a name makes it a header; parse_qsl reads it as a space.
        if name.casefold() not in _PARAMETERS[scheme] and not (own_headers and name.startswith((" ", "+"))):
            raise AddressRefused("it has a parameter that is not allowed here; docs/notifications.md lists the others")


def _asset() -> apprise.AppriseAsset:
    """One thread, no file of this machine, no redirects: an address means the server that it names."""
    return apprise.AppriseAsset(
        async_mode=False,
        http_redirects=False,
        pgp_autogen=False,
        pem_autogen=False,
        plugin_paths=[],
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        allow_templates=False,
        interpret_escapes=False,
        default_service_retry=0,
        app_id="Ticket Elevate",
        app_desc="Ticket Elevate",
    )


class _NoPaths(logging.Filter):
    """urllib3 logs the path and query of each call at DEBUG, and in those of a workflow is its signature."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


def _hush() -> None:
    theirs = logging.getLogger("apprise")
    theirs.disabled, theirs.propagate = True, False
    pool = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(it, _NoPaths) for it in pool.filters):
        pool.addFilter(_NoPaths())
