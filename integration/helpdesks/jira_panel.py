"""Who looks at our panel in Jira and presses its button: the token that Forge signs for each call of our app.

Wire facts: developer.atlassian.com/platform/forge: "Forge Remote essentials". The token says who calls from which site,
not what they ask for and not which issue they look at: that stands in the call itself, and is a hint.
"""

import hashlib
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt

from integration.helpdesks.http import Door
from integration.helpdesks.values import exact, table, tables
from integration.tickets import HelpdeskError, HelpdeskUnavailable, Presser, SignatureRefused

ISSUER = "forge/invocation-token"
ALGORITHM = "RS256"
KEPT_FOR = timedelta(hours=1)
ASKED_EVERY = timedelta(minutes=1)  # at most, however many tokens name keys that there are not
SKEW = timedelta(minutes=1)  # between two clocks
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{1,16384})\.[A-Za-z0-9_-]{1,1024}")
_ACCOUNT = re.compile(r"[0-9A-Za-z:_-]{1,128}")


@dataclass(frozen=True)
class _Keys:
    asked_at: datetime
    known: Mapping[str, jwt.PyJWK] | None  # None: they could not be had


class ForgeTokens:
    """The tokens of one Forge app (`app`, its ARI) that is installed on one site (`cloud`, its id).

    `keys_url` is where Forge publishes its public keys.
    """

    def __init__(self, connection: str, *, app: str, cloud: str, keys_url: str) -> None:
        self._connection, self._app, self._cloud, self._keys_url = connection, app, cloud, keys_url
        self._door = Door(connection, keys_url, headers={}, budget=10)
        self._keys: _Keys | None = None
        self._asking = threading.Lock()

    def presser(self, headers: Mapping[str, str], *, now: datetime) -> Presser:
        """Raises SignatureRefused, or HelpdeskUnavailable where the keys cannot be had."""
        bearer = _BEARER.fullmatch(headers.get("authorization", ""))
        if bearer is None:
            raise SignatureRefused
        claims = self._claims(bearer[0].removeprefix("Bearer "), now)
        account = exact(claims.get("principal"))
        if account is None or not _ACCOUNT.fullmatch(account):
            raise SignatureRefused  # a call of the app itself, behind which nobody stands
        if table(claims.get("context")).get("cloudId") != self._cloud:
            raise SignatureRefused
        # Of what is signed, not of the whole: a signature can be written in several ways.
        return Presser(account, proof="forge-" + hashlib.sha256(bearer[1].encode()).hexdigest())

    def _claims(self, token: str, now: datetime) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            name = header.get("kid")
            if header.get("alg") != ALGORITHM or not isinstance(name, str):
                raise SignatureRefused
            claims = jwt.decode(
                token,
                self._key(name, now),
                algorithms=[ALGORITHM],
                audience=self._app,
                issuer=ISSUER,
                # Times are compared with the clock that we were given, below.
                options={"require": ["exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, RecursionError):  # the latter of a header that is nested a thousand times
            raise SignatureRefused from None
        begins, ends = claims.get("nbf", claims.get("iat", 0)), claims["exp"]
        if not (_is_time(begins) and _is_time(ends)):
            raise SignatureRefused
        if not begins - SKEW.total_seconds() <= now.timestamp() < ends + SKEW.total_seconds():
            raise SignatureRefused
        return claims

    def _key(self, name: str, now: datetime) -> jwt.PyJWK:
        known = self._known(name, now)
        if known is None:
            raise HelpdeskUnavailable(self._connection, after=ASKED_EVERY.total_seconds())
        if name not in known:
            raise SignatureRefused
        return known[name]

    def _known(self, name: str, now: datetime) -> Mapping[str, jwt.PyJWK] | None:
        """The keys that are published: those that are kept, while they hold the one of this name or were just read."""
        if self._are_fresh(name, now):
            return self._keys.known if self._keys else None
        with self._asking:
            if not self._are_fresh(name, now):  # while we waited, somebody else may have asked
                self._keys = _Keys(now, self._read())
            return self._keys.known if self._keys else None

    def _are_fresh(self, name: str, now: datetime) -> bool:
        if self._keys is None:
            return False
        kept_for = KEPT_FOR if name in (self._keys.known or ()) else ASKED_EVERY
        return now - self._keys.asked_at < kept_for

    def _read(self) -> Mapping[str, jwt.PyJWK] | None:
        try:
            published = table(self._door.call("GET", self._keys_url)).get("keys")
        except HelpdeskError:
            return None
        found: dict[str, jwt.PyJWK] = {}
        for one in tables(published):
            with suppress(jwt.PyJWTError, ValueError, TypeError):  # of another kind, or none: there may be others
                found[str(one.get("kid"))] = jwt.PyJWK(one, algorithm=ALGORITHM)
        return found


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
