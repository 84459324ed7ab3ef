"""The one door through which an adapter calls its helpdesk's REST API: every call and every failure passes here.

Nothing that a helpdesk answers is quoted in an error, and no error drags a request (and with it a token) along.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from integration.helpdesks import inside
from integration.helpdesks.hostile_json import Hostile, parse
from integration.tickets import HelpdeskRefused, HelpdeskUnavailable, TicketGone

LARGEST_ANSWER = 4 * 1024 * 1024  # bytes, after decompression
MOST_DIGITS = 18  # of a number in a header
LONGEST_WAIT = 3600.0  # seconds; our own back-off ends there too
_ASK_AGAIN = frozenset({408, 425, 429})


class AnswerUnusable(HelpdeskRefused):
    """The helpdesk answered, and trying again will not make it fit: the settings or the helpdesk must change."""

    def __init__(self, connection: str, why: str, *, status: int = 200) -> None:
        super().__init__(connection, status)
        self.args = (
            f"The helpdesk {connection} gave an answer that we cannot use: {why}. An administrator must check the "
            f"settings of this connection.",
        )


class AddressInternal(HelpdeskRefused):
    """The helpdesk's name leads into a network where it may not be called."""

    def __init__(self, connection: str) -> None:
        super().__init__(connection, 0)
        self.args = (
            f"The helpdesk {connection} was not called: its address is an internal one. If it is meant to be there, an "
            "administrator must write internal = true into the settings of this connection.",
        )


# For `check`: whatever is wrong is wrong with the address, and says so itself. The credentials are not to blame.
NOT_THERE = (AddressInternal, AnswerUnusable)


class Credentials(Protocol):
    """What a call is let in with, where that does not stay the same."""

    def authorization(self) -> str:
        """The Authorization header of the next call. Raises HelpdeskError."""

    def refused(self, authorization: str) -> None:
        """The helpdesk did not take this one."""


class Door:
    """Calls to one helpdesk at `base` (scheme, host, maybe a path), signed with `headers` or with `credentials`.

    `timeout` is (connect, silence) in seconds, `budget` the seconds in which a whole body must have arrived.
    `ca_bundle` is a PEM file; None means the usual authorities.
    """

    def __init__(
        self,
        connection: str,
        base: str,
        *,
        headers: Mapping[str, str],
        credentials: Credentials | None = None,
        ca_bundle: Path | None = None,
        timeout: tuple[float, float] = (3.05, 10),
        budget: float = 20,
    ) -> None:
        self._connection = connection
        self._base = base.rstrip("/")
        self._verify: bool | str = str(ca_bundle) if ca_bundle else True
        self._timeout = timeout
        self._budget = budget
        self._credentials = credentials
        self._http = requests.Session()
        # The environment is asked once, for the proxy alone: with each call it would cost as much as the call, and
        # bring a password out of somebody's .netrc.
        self._http.trust_env = False
        # A token is sent with each call; a session's cookie beside it could be somebody else's, and they only add up.
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        if guarded := inside.adapter(self._base):
            self._http.mount("http://", guarded)
            self._http.mount("https://", guarded)
        self._http.proxies.update(requests.utils.get_environ_proxies(self._base))
        self._http.headers.update({"Accept": "application/json", **headers})

    def call(
        self,
        method: str,
        path: str,
        *,
        number: str | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that the helpdesk answers to `path` (below base, or a whole URL on base's origin); None if empty.

        `number` is the ticket that the call is about: with it, 404 and 410 mean TicketGone.
        Raises HelpdeskUnavailable, TicketGone, HelpdeskRefused.
        """
        return self._parse(self._let_in(method, path, number, json, form)[0])

    def counted(self, path: str, header: str) -> tuple[Any, int | None]:
        """As `call` with GET, and the number that a header of the answer names; None where it names none.

        Raises HelpdeskUnavailable, HelpdeskRefused.
        """
        body, headers = self._let_in("GET", path, None, None, None)
        told = headers.get(header, "").strip()
        return self._parse(body), int(told) if told.isascii() and told.isdigit() and len(told) <= MOST_DIGITS else None

    def _let_in(
        self, method: str, path: str, number: str | None, json: Any, form: Mapping[str, str] | None
    ) -> tuple[bytes, Mapping[str, str]]:
        """What is answered to a call with our credentials, and with new ones where those were not taken."""
        url = self.address(path)
        if self._credentials is None:
            return self._call(method, url, number, json, form)
        for again in (True, False):
            authorization = self._credentials.authorization()
            try:
                return self._call(method, url, number, json, form, authorization)
            except HelpdeskRefused as error:
                if error.status != 401 or not again:
                    raise
                self._credentials.refused(authorization)
        raise AssertionError

    def text(self, method: str, path: str, *, json: Any = None) -> str:
        """The plain text that the helpdesk answers, without credentials: a token, where a log-in gives nothing else.

        Raises HelpdeskUnavailable, HelpdeskRefused.
        """
        body, _ = self._call(method, self.address(path), None, json, None)
        return body.decode("utf-8", "replace").strip()

    def _call(
        self,
        method: str,
        url: str,
        number: str | None,
        json: Any,
        form: Mapping[str, str] | None,
        authorization: str | None = None,
    ) -> tuple[bytes, Mapping[str, str]]:
        try:
            with self._http.request(
                method,
                url,
                json=json,
                data=form,
                headers={"Authorization": authorization} if authorization else None,
                timeout=self._timeout,
                verify=self._verify,
                # An answer must not choose where our token goes next (trust row 29).
                allow_redirects=False,
                stream=True,
            ) as answer:
                self._judge(answer, number)
                return self._read(answer), answer.headers
        except inside.Inside:
            raise AddressInternal(self._connection) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            raise HelpdeskUnavailable(self._connection) from None

    def knock(self) -> int:
        """The HTTP status at base: any will do to show that somebody is there. Raises HelpdeskUnavailable."""
        try:
            with self._http.get(
                self._base + "/", timeout=self._timeout, verify=self._verify, allow_redirects=False, stream=True
            ) as answer:
                return answer.status_code
        except inside.Inside:
            raise AddressInternal(self._connection) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            raise HelpdeskUnavailable(self._connection) from None

    def address(self, path: str, *, relative_to: str | None = None) -> str:
        """`path` as a whole URL. Raises AnswerUnusable where it leaves the helpdesk's origin (trust row 29)."""
        try:
            if relative_to is not None:
                url = urljoin(self.address(relative_to), path)
            else:
                url = path if _is_whole(path) else self._base + path
        except ValueError:
            url = ""
        if _origin(url) is None or _origin(url) != _origin(self._base):
            raise AnswerUnusable(self._connection, "it points to another server")
        return url

    def _judge(self, answer: requests.Response, number: str | None) -> None:
        status = answer.status_code
        if 200 <= status < 300:
            return
        if status in _ASK_AGAIN or status >= 500:
            wait = seconds_to_wait(answer.headers)
            raise HelpdeskUnavailable(self._connection, after=wait, throttled=status == 429)
        if status in (404, 410) and number is not None:
            raise TicketGone(self._connection, number)
        if 300 <= status < 400:
            raise AnswerUnusable(self._connection, "it sends us to another address", status=status)
        raise HelpdeskRefused(self._connection, status)

    def _read(self, answer: requests.Response) -> bytes:
        # read1 comes back with whatever has arrived, so that a byte per second meets the budget and not our patience.
        ends = time.monotonic() + self._budget
        body = bytearray()
        while chunk := answer.raw.read1(65536, decode_content=True):
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise AnswerUnusable(self._connection, "it is too long", status=answer.status_code)
            if time.monotonic() > ends:
                raise HelpdeskUnavailable(self._connection)
        return bytes(body)

    def _parse(self, body: bytes) -> Any:
        if not body.strip():
            return None
        try:
            return parse(body)
        except Hostile:
            # Mostly a maintenance page that says 200: worth another try.
            raise HelpdeskUnavailable(self._connection) from None


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What Retry-After asks for, in seconds between 0 and an hour; None where it says nothing that we understand.

    Source: RFC 9110, 10.2.3: a number of seconds or a date. A date is compared with the answer's own Date, so that a
    clock that is wrong on one side does not matter. TeamDynamix names the date in X-RateLimit-Reset alone; a number
    there means something else with every vendor, and is not read.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return min(float(asked[:9]), LONGEST_WAIT)
    until = _date(asked) or _date(headers.get("X-RateLimit-Reset", ""))
    if until is None:
        return None
    since = _date(headers.get("Date", "")) or datetime.now(UTC)
    return min(max((until - since).total_seconds(), 0.0), LONGEST_WAIT)


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_whole(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        # A user name before the host is a way to dress a foreign host up as ours; browsers read a backslash as a slash.
        if not parts.hostname or "@" in parts.netloc or "\\" in url:
            return None
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
