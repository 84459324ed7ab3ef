"""The one door to the tenant for workers and pages: technicians go in, facts come out, tokens stay inside."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from integration.entra.client import EntraSettings
from integration.entra.errors import SignInNeeded, StepUpNeeded
from integration.entra.graph import Graph
from integration.entra.http import EntraHttp
from integration.entra.roles import Active, Policy, Request, Roles
from integration.entra.seal import Sealer
from integration.entra.sign_in import SignedIn, SignIn
from integration.entra.tokens import Tokens, TokenStore
from integration.targets import Eligibility, Target

T = TypeVar("T")


class Tenant:
    """One tenant. Build one per process; `tid` and `oid` name the technician; every method raises `errors`' family."""

    def __init__(self, settings: EntraSettings, store: TokenStore, seal: Sealer) -> None:
        http = EntraHttp(settings.ca_bundle)
        self._sign_in = SignIn(settings, http)
        self._tokens = Tokens(self._sign_in, store, seal)
        self._roles = Roles(Graph(settings, http))

    def start_sign_in(
        self, redirect_uri: str, *, login_hint: str | None = None, claims: str | None = None, max_age: int | None = None
    ) -> tuple[str, dict[str, Any]]:
        """(address for the browser, flow to keep on the server). `claims` of a StepUpNeeded, if that is why."""
        return self._sign_in.start(redirect_uri, login_hint=login_hint, claims=claims, max_age=max_age)

    def finish_sign_in(
        self,
        flow: Mapping[str, Any],
        args: Mapping[str, str],
        *,
        now: datetime,
        expected: tuple[str, str] | None = None,
    ) -> SignedIn:
        """Validate the callback and store the sign-in. The answer's `cache` is empty: tokens stay in here."""
        signed = self._sign_in.finish(flow, args, expected=expected)
        self._tokens.keep(signed, now=now)
        return replace(signed, cache="")

    def sign_out_url(self) -> str | None:
        return self._sign_in.sign_out_url()

    def forget(self, tid: str, oid: str) -> None:
        """Delete the technician's stored sign-in."""
        self._tokens.forget(tid, oid)

    def addresses(self, tid: str, oid: str, now: datetime) -> frozenset[str]:
        """The technician's addresses in the directory, lower case: what a helpdesk account may be linked by."""
        return self._as(tid, oid, now, self._roles.me).addresses

    def eligibilities(self, tid: str, oid: str, now: datetime) -> list[Eligibility]:
        return self._as(tid, oid, now, self._roles.eligibilities)

    def policy(self, tid: str, oid: str, now: datetime, target: Target) -> Policy | None:
        return self._as(tid, oid, now, lambda token: self._roles.policy(token, target))

    def activate(
        self,
        tid: str,
        oid: str,
        now: datetime,
        *,
        target: Target,
        duration: timedelta,
        justification: str,
        ticket_number: str,
        ticket_system: str,
    ) -> Request:
        return self._as(
            tid,
            oid,
            now,
            lambda token: self._roles.activate(
                token,
                principal=oid,
                target=target,
                duration=duration,
                justification=justification,
                ticket_number=ticket_number,
                ticket_system=ticket_system,
                now=now,
            ),
        )

    def request(self, tid: str, oid: str, now: datetime, request_id: str) -> Request | None:
        return self._as(tid, oid, now, lambda token: self._roles.request(token, request_id))

    def find_own_request(
        self,
        tid: str,
        oid: str,
        now: datetime,
        *,
        target: Target,
        ticket_number: str,
        ticket_system: str,
        justification: str,
        since: datetime,
    ) -> Request | None:
        return self._as(
            tid,
            oid,
            now,
            lambda token: self._roles.find_own_request(
                token,
                target=target,
                ticket_number=ticket_number,
                ticket_system=ticket_system,
                justification=justification,
                since=since,
            ),
        )

    def active(
        self, tid: str, oid: str, now: datetime, target: Target, *, schedule_id: str | None = None
    ) -> Active | None:
        return self._as(tid, oid, now, lambda token: self._roles.active(token, target, schedule_id=schedule_id))

    def give_back(self, tid: str, oid: str, now: datetime, target: Target) -> Request:
        return self._as(tid, oid, now, lambda token: self._roles.give_back(token, principal=oid, target=target))

    def _as(self, tid: str, oid: str, now: datetime, ask: Callable[[str], T]) -> T:
        """`ask` with the technician's token; once more with a renewed one if the tenant did not like the first.

        A 401 and a context challenge are both given before anything is done, so asking again is safe.
        """
        token = self._tokens.access_token(tid, oid, now=now)
        try:
            return ask(token)
        except SignInNeeded as refused:
            if isinstance(refused, StepUpNeeded) and not refused.silently:
                raise
            challenge = refused.claims
        return ask(self._renewed(tid, oid, now, challenge))

    def _renewed(self, tid: str, oid: str, now: datetime, challenge: str | None) -> str:
        try:
            return self._tokens.access_token(tid, oid, now=now, claims=challenge, force=challenge is None)
        except SignInNeeded as needed:
            if needed.claims is None and challenge is not None:
                # The sign-in that follows must answer what was asked, or the next request is challenged again.
                raise StepUpNeeded(challenge, needed.sentence, silently=False) from None
            raise
