"""Who looks at our panel in Jira and presses its button: the token that Forge signs for each call of our app.

Wire facts: developer.atlassian.com/platform/forge: "Forge Remote essentials". The token says who calls from which site,
not what they ask for and not which issue they look at: that stands in the call itself, and is a hint.
"""

import hashlib
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

import jwt
from jwt.types import Options

from integration.helpdesks.http import Door
from integration.helpdesks.values import exact, table, tables
from integration.tickets import HelpdeskError, HelpdeskUnavailable, Presser, SignatureRefused

ISSUER = "forge/invocation-token"
ALGORITHM = "RS256"
KEPT_FOR = timedelta(hours=1)
KEPT_AT_MOST = timedelta(days=1)  # while they cannot be read again
ASKED_EVERY = timedelta(minutes=1)  # at most, however many tokens name keys that there are not
PATIENCE = 2  # seconds that a call waits for the first keys, which another one is asking for
LONGEST_LIFE = timedelta(hours=1)  # for which a token may still hold: the press it proves is not kept for ever
LAST_MOMENT = 1e11  # of any clock, in seconds: a longer number, or none at all, is no time
SKEW = timedelta(minutes=1)  # between two clocks
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{1,16384})\.[A-Za-z0-9_-]{1,1024}")
_ACCOUNT = re.compile(r"[0-9A-Za-z:_-]{1,128}")


@dataclass(frozen=True)
class _Keys:
    asked_at: datetime
    read_at: datetime  # when they were last had
    known: Mapping[str, jwt.PyJWK]


_NONE = datetime.min.replace(tzinfo=UTC)
_NEVER = _Keys(_NONE, _NONE, {})
_REQUIRED: Options = {"require": ["exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}


class ForgeTokens:
    """The tokens of one Forge app (`app`, its ARI) that is installed on one site (`cloud`, its id).

    `keys_url` is where Forge publishes its public keys.
    """

    def __init__(self, connection: str, *, app: str, cloud: str, keys_url: str) -> None:
        self._connection, self._app, self._cloud, self._keys_url = connection, app, cloud, keys_url
        self._door = Door(connection, keys_url, headers={}, budget=10)
        self._keys = _NEVER
        self._asking = threading.Lock()

    def presser(self, headers: Mapping[str, str], *, now: datetime) -> Presser:
        """Raises SignatureRefused, or HelpdeskUnavailable where the keys cannot be had."""
        bearer = _BEARER.fullmatch(headers.get("authorization", ""))
        if bearer is None:
            raise SignatureRefused("token")
        claims = self._claims(bearer[0].removeprefix("Bearer "), now)
        account = exact(claims.get("principal"))
        if account is None or not _ACCOUNT.fullmatch(account):
            raise SignatureRefused("account")  # a call of the app itself, behind which nobody stands
        # Of what is signed, not of the whole: a signature can be written in several ways.
        return Presser(account, proof="forge-" + hashlib.sha256(bearer[1].encode()).hexdigest())

    def _claims(self, token: str, now: datetime) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            name = header.get("kid")
            if header.get("alg") != ALGORITHM or not isinstance(name, str):
                raise SignatureRefused("token")
            # Before anything is asked for: what is not even meant for us must cost nothing.
            self._judge(jwt.decode(token, options={"verify_signature": False}), now)
            claims = jwt.decode(
                token,
                self._key(name, now),
                algorithms=[ALGORITHM],
                audience=self._app,
                issuer=ISSUER,
                options=_REQUIRED,  # times are compared with the clock that we were given
            )
        except (jwt.PyJWTError, RecursionError):  # the latter of a header that is nested a thousand times
            raise SignatureRefused from None
        self._judge(claims, now)
        return claims

    def _judge(self, claims: Mapping[str, Any], now: datetime) -> None:
        """Whether they are for this app on this site, and for now. Raises SignatureRefused."""
        if claims.get("iss") != ISSUER:
            raise SignatureRefused("issuer")
        audience = claims.get("aud")
        if self._app not in (audience if isinstance(audience, list) else [audience]):
            raise SignatureRefused("app")
        if table(claims.get("context")).get("cloudId") != self._cloud:
            raise SignatureRefused("site")
        begins, ends = claims.get("nbf", claims.get("iat", 0)), claims.get("exp")
        if not (_is_time(begins) and _is_time(ends)):
            raise SignatureRefused("time")
        skew = SKEW.total_seconds()
        if not begins - skew <= now.timestamp() < ends + skew or ends > (now + LONGEST_LIFE).timestamp() + skew:
            raise SignatureRefused("time")

    def _key(self, name: str, now: datetime) -> jwt.PyJWK:
        known = self._known(name, now)
        if not known:
            raise HelpdeskUnavailable(self._connection, after=ASKED_EVERY.total_seconds())
        if name not in known:
            raise SignatureRefused("key")
        return known[name]

    def _known(self, name: str, now: datetime) -> Mapping[str, jwt.PyJWK]:
        """The keys that are published: those that are kept, while they hold the one of this name or were just asked
        for. A stranger's token may name any key, so nobody waits for another's asking while there are some, and nothing
        is thrown away because it failed.
        """
        if not self._are_fresh(name, now) and self._asking.acquire(timeout=0 if self._keys.known else PATIENCE):
            try:
                if not self._are_fresh(name, now):  # somebody else may have asked a moment ago
                    read = self._read()
                    self._keys = _Keys(now, now, read) if read else replace(self._keys, asked_at=now)
            finally:
                self._asking.release()
        keys = self._keys
        return keys.known if now - keys.read_at < KEPT_AT_MOST else {}

    def _are_fresh(self, name: str, now: datetime) -> bool:
        keys = self._keys
        return now - keys.asked_at < ASKED_EVERY or (name in keys.known and now - keys.read_at < KEPT_FOR)

    def published(self) -> bool:
        """Whether there are keys to be had now, for doctor."""
        return bool(self._read())

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


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LAST_MOMENT
