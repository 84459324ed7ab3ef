"""Access tokens for workers and pages, out of one sealed row per technician.

Two workers that refresh together may both spend the same refresh token, after which the row is dead at a tenant with
one-time tokens. Hence: take a lease, read again, refresh, save by compare-and-set, and never save after a failure
(MSAL drops an expired token while it looks, so that its cache "has changed" although the refresh failed).
"""

import json
import logging
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

import msal
import requests

from integration.brake import Brake
from integration.entra import slowed, words
from integration.entra.errors import EntraUnavailable, Loss, SignInNeeded, Unsealable
from integration.entra.http import Throttled
from integration.entra.seal import Sealer
from integration.entra.sign_in import SignedIn, SignIn

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)  # longer than the slowest discovery and refresh with their retries
_MARGIN = 300  # seconds; MSAL refreshes a token with less left
_MEMO = 1000
_KEPT = "AccessToken"  # MSAL's name for where a cache has them


@dataclass(frozen=True)
class TokenRow:
    """One technician's sealed sign-in. `version` rises by one with each write and is part of what the seal binds.

    `answered`: what the sign-in answered (`Answered`), as long as the token that it brought is the one in use.
    `lost`: the sentence with which the tenant refused it for good; nothing is asked with it any more.
    """

    ciphertext: bytes = field(repr=False)
    version: int
    home_account_id: str
    answered: str | None = None
    lost: str | None = None


@dataclass(frozen=True)
class Answered:
    """The challenge that a sign-in answered, for the token of the permissions `wanted`: a step-up is one resource's."""

    claims: str
    wanted: tuple[str, ...]

    def to_text(self) -> str:
        return json.dumps([self.claims, self.wanted])

    @staticmethod
    def from_text(text: str | None) -> "Answered | None":
        claims, wanted = json.loads(text) if text else (None, ())
        return Answered(claims, tuple(wanted)) if claims else None


class TokenStore(Protocol):
    """Rows keyed by (tid, oid). Each method is one short transaction of its own."""

    def read(self, tid: str, oid: str) -> TokenRow | None: ...

    def version(self, tid: str, oid: str) -> int:
        """The highest version that there ever was for this technician; 0 for none."""
        ...

    def lease(self, tid: str, oid: str, *, holder: str, until: datetime, now: datetime) -> bool:
        """True if the row is now `holder`'s until `until`; False if another's lease has not ended, or no row is."""
        ...

    def save(self, tid: str, oid: str, row: TokenRow, *, holder: str, now: datetime) -> bool:
        """Write `row` where the version before it and `holder`'s lease stand. False: they do not.

        The tenant gave a token at `now`.
        """
        ...

    def release(self, tid: str, oid: str, *, holder: str) -> None: ...

    def lost(self, tid: str, oid: str, *, holder: str, loss: Loss, why: str, now: datetime) -> None:
        """The tenant refused it for good, `why` being the sentence: note that where `holder` still has its lease.

        Whoever signed in meanwhile ended the lease, and is not hurt.
        """
        ...

    def put(self, tid: str, oid: str, row: TokenRow, *, now: datetime) -> bool:
        """After a sign-in: write `row` where the version before it is the highest there ever was, ending leases."""
        ...

    def delete(self, tid: str, oid: str, *, now: datetime) -> None:
        """Leave no sign-in. The versions count on, so that nothing of before fits what is stored next."""
        ...


class Tokens:
    """Gives out access tokens, one for each list of permissions. Build one per process."""

    def __init__(self, sign_in: SignIn, store: TokenStore, seal: Sealer, brake: Brake | None = None) -> None:
        self._brake = brake or slowed.brake(None)
        self._client = sign_in.client
        self._store = store
        self._seal = seal
        self._memo: OrderedDict[tuple[str, str, int, tuple[str, ...]], tuple[str, float]] = OrderedDict()

    def keep(self, signed: SignedIn, *, now: datetime) -> None:
        """Store a validated sign-in in place of what was there. Raises EntraUnavailable if others keep writing."""
        answered = Answered(signed.answered, signed.wanted).to_text() if signed.answered else None
        for _ in range(5):
            version = self._store.version(signed.tid, signed.oid) + 1
            blob = self._seal.seal(signed.cache.encode(), tid=signed.tid, oid=signed.oid, version=version)
            row = TokenRow(blob, version, signed.home_account_id, answered)
            if self._store.put(signed.tid, signed.oid, row, now=now):
                return
        raise EntraUnavailable("Your sign-in could not be stored. Please try again in a moment.")

    def forget(self, tid: str, oid: str, *, now: datetime) -> None:
        """Delete the stored sign-in. It revokes nothing at Entra."""
        self._store.delete(tid, oid, now=now)
        for key in [key for key in list(self._memo) if key[:2] == (tid, oid)]:
            self._memo.pop(key, None)

    def answered(self, tid: str, oid: str, claims: str, wanted: tuple[str, ...]) -> bool:
        """Whether the token for `wanted` that is in use came with a sign-in for this very challenge."""
        row = self._store.read(tid, oid)
        found = Answered.from_text(row.answered) if row is not None else None
        return found is not None and found.wanted == wanted and _same(found.claims, claims)

    def access_token(
        self,
        tid: str,
        oid: str,
        *,
        now: datetime,
        wanted: tuple[str, ...],
        claims: str | None = None,
        force: bool = False,
        urgent: bool = False,
    ) -> str:
        """A token for `wanted`. `claims`: a challenge to answer silently; `force`: a new one.

        Raises SignInNeeded, StepUpNeeded, SetupWrong, EntraUnavailable (also when another worker is renewing).
        """
        row = self._row(tid, oid)
        if claims is None and not force and (token := self._at_hand(tid, oid, row, wanted, now)):
            return token
        return self._leased(tid, oid, now, _Ask(wanted, claims, force, urgent=urgent))

    def fresh(self, tid: str, oid: str, *, now: datetime, wanted: tuple[str, ...]) -> str:
        """A token that was made just now, for one use: it is not stored.

        It must not take the place of the one that a step-up may have brought: a renewed token can lack what the
        technician confirmed, and Entra names the same permissions in both, so that MSAL would keep but one.
        """
        self._row(tid, oid)
        return self._leased(tid, oid, now, _Ask(wanted, None, force=True, aside=True))

    def _leased(self, tid: str, oid: str, now: datetime, ask: "_Ask") -> str:
        holder = uuid4().hex
        if not self._store.lease(tid, oid, holder=holder, until=now + LEASE, now=now):
            raise EntraUnavailable("Your sign-in is being renewed at this moment; it is tried again.", after=1)
        try:
            return self._renew(tid, oid, holder, ask, now)
        except SignInNeeded as error:
            if error.loss is not None:
                self._store.lost(tid, oid, holder=holder, loss=error.loss, why=error.sentence, now=now)
            raise
        finally:
            self._store.release(tid, oid, holder=holder)

    def _row(self, tid: str, oid: str) -> TokenRow:
        row = self._store.read(tid, oid)
        if row is None:
            raise SignInNeeded("Please sign in with Microsoft once, so that roles can be activated in your name.")
        if row.lost is not None:
            raise SignInNeeded(row.lost)
        return row

    def _at_hand(self, tid: str, oid: str, row: TokenRow, wanted: tuple[str, ...], now: datetime) -> str | None:
        enough = now.timestamp() + _MARGIN
        known = self._memo.get((tid, oid, row.version, wanted))
        if known and known[1] > enough:
            return known[0]
        cache, _ = self._opened(tid, oid, row)
        query = {"home_account_id": row.home_account_id, "client_id": self._client.settings.client_id}
        for entry in cache.search(cache.CredentialType.ACCESS_TOKEN, target=list(wanted), query=query):
            if float(entry["expires_on"]) > enough:
                self._memo[(tid, oid, row.version, wanted)] = (str(entry["secret"]), float(entry["expires_on"]))
                while len(self._memo) > _MEMO:
                    self._memo.popitem(last=False)
                return str(entry["secret"])
        return None

    def _opened(self, tid: str, oid: str, row: TokenRow) -> tuple[Any, Any]:
        """(MSAL cache, account) of a row. A row that does not open asks for a sign-in and is kept."""
        cache = msal.SerializableTokenCache()
        try:
            plain = self._seal.open(row.ciphertext, tid=tid, oid=oid, version=row.version).decode()
            if not isinstance(json.loads(plain), dict):
                raise ValueError
            cache.deserialize(plain)
            accounts = list(cache.search(cache.CredentialType.ACCOUNT))
        except (Unsealable, ValueError):
            log.error("stored sign-in does not open", extra={"row_version": row.version})
            raise SignInNeeded("Your stored sign-in cannot be opened. Please sign in again.") from None
        if len(accounts) != 1 or accounts[0].get("home_account_id") != row.home_account_id:
            log.error("stored sign-in is somebody else's", extra={"row_version": row.version})
            raise SignInNeeded("Your stored sign-in cannot be used. Please sign in again.")
        return cache, accounts[0]

    def _renew(self, tid: str, oid: str, holder: str, ask: "_Ask", now: datetime) -> str:
        row = self._row(tid, oid)  # again: who held the lease before us may have renewed it
        cache, account = self._opened(tid, oid, row)
        before = json.loads(cache.serialize()).get(_KEPT, {})
        app = self._client.app(cache)
        with self._brake.passing(slowed.TOKENS, now, urgent=ask.urgent):
            answer = _silent(app, account, ask)
        token = _token_in(answer)
        if cache.has_state_changed:
            kept = json.loads(cache.serialize())
            if ask.aside:
                kept[_KEPT] = before
            answered = Answered.from_text(row.answered)
            # What the technician confirmed came with the token that is replaced here.
            lost = not ask.aside and answered is not None and answered.wanted == ask.wanted
            version = row.version + 1
            blob = self._seal.seal(json.dumps(kept).encode(), tid=tid, oid=oid, version=version)
            new = replace(row, ciphertext=blob, version=version, answered=None if lost else row.answered)
            if not self._store.save(tid, oid, new, holder=holder, now=now):
                raise EntraUnavailable("Your sign-in changed at this moment; it is tried again.", after=1)
        return token


@dataclass(frozen=True)
class _Ask:
    wanted: tuple[str, ...]
    claims: str | None
    force: bool
    aside: bool = False
    urgent: bool = False


def _same(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return one == other


def _silent(app: Any, account: Any, ask: _Ask) -> Any:
    try:
        answer = app.acquire_token_silent_with_error(
            list(ask.wanted), account, claims_challenge=ask.claims, force_refresh=ask.force
        )
    except Throttled as slow:
        raise EntraUnavailable(
            "Microsoft Entra's sign-in service is busy; it is tried again.", after=slow.after, throttled=True
        ) from None
    except (requests.RequestException, msal.exceptions.MsalServiceError, json.JSONDecodeError):
        # JSONDecodeError.doc would carry a cut-off answer, tokens and all.
        raise EntraUnavailable("Microsoft Entra's sign-in service did not answer; it is tried again.") from None
    return answer


def _token_in(answer: Any) -> str:
    if answer is None:
        raise SignInNeeded("Your Microsoft sign-in has ended. Please sign in again.", loss=Loss.AGE)
    if "access_token" not in answer:
        raise words.refused(answer)
    return str(answer["access_token"])
