"""The one door to the tenant for workers and pages: technicians go in, facts come out, tokens stay inside."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from integration.entra import claims
from integration.entra.client import EntraSettings
from integration.entra.errors import SignInNeeded, StepUpNeeded
from integration.entra.graph import Graph
from integration.entra.groups import Groups
from integration.entra.http import EntraHttp
from integration.entra.people import Affected, People
from integration.entra.pim import Active, Approval, Asking, Decision, Pim, Policy, Request, Sought
from integration.entra.roles import Roles
from integration.entra.seal import Sealer
from integration.entra.sign_in import SignedIn, SignIn
from integration.entra.tokens import Tokens, TokenStore
from integration.targets import Eligibility, Target, TargetKind

T = TypeVar("T")
DIRECTORY_ROLES = frozenset({TargetKind.DIRECTORY_ROLE})


class Tenant:
    """One tenant. Build one per process; `tid` and `oid` name the technician; every method raises `errors`' family."""

    def __init__(self, settings: EntraSettings, store: TokenStore, seal: Sealer) -> None:
        http = EntraHttp(settings.ca_bundle)
        self._sign_in = SignIn(settings, http)
        self._tokens = Tokens(self._sign_in, store, seal)
        graph, beta = Graph(settings, http), Graph(settings, http, version="beta")
        self._people = People(graph)
        self._pims: dict[TargetKind, Pim] = {
            TargetKind.DIRECTORY_ROLE: Roles(graph, beta),
            TargetKind.GROUP: Groups(graph, graph),
        }

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
        return self._as(tid, oid, now, self._people.me).addresses

    def eligibilities(
        self, tid: str, oid: str, now: datetime, kinds: frozenset[TargetKind] = DIRECTORY_ROLES
    ) -> list[Eligibility]:
        """What the technician may activate, of the `kinds` that are used here."""
        asked = sorted(kinds & self._pims.keys())
        return [one for kind in asked for one in self._as(tid, oid, now, self._pims[kind].eligibilities)]

    def policy(self, tid: str, oid: str, now: datetime, target: Target) -> Policy | None:
        return self._as(tid, oid, now, lambda token: self._pim(target).policy(token, target))

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
        asked_as: str,
    ) -> Request:
        """Ask for `target` from now on. `asked_as`: a GUID, the same for each try of one activation."""
        asking = Asking(oid, target, duration, justification, ticket_number, ticket_system, asked_as, now)
        return self._as(tid, oid, now, lambda token: self._pim(target).activate(token, asking))

    def request(self, tid: str, oid: str, now: datetime, target: Target, request_id: str) -> Request | None:
        return self._as(tid, oid, now, lambda token: self._pim(target).request(token, target, request_id))

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
        asked_as: str,
    ) -> Request | None:
        """The newest activation request that is ours by ticket and justification (Azure: by `asked_as`), or None."""
        sought = Sought(target, ticket_number, ticket_system, justification, since, asked_as)
        return self._as(tid, oid, now, lambda token: self._pim(target).find_own_request(token, sought))

    def active(
        self,
        tid: str,
        oid: str,
        now: datetime,
        target: Target,
        *,
        schedule_id: str | None = None,
        urgent: bool = False,
    ) -> Active | None:
        """The instance of `target` that is there now. `urgent`: a look that belongs to giving back."""
        del urgent
        return self._as(tid, oid, now, lambda token: self._pim(target).active(token, target, schedule_id=schedule_id))

    def give_back(self, tid: str, oid: str, now: datetime, target: Target) -> Request:
        return self._as(tid, oid, now, lambda token: self._pim(target).give_back(token, target, principal=oid))

    def withdraw(self, tid: str, oid: str, now: datetime, target: Target, request_id: str) -> None:
        """Take back a request that waits. Raises EntraRefused if it was decided meanwhile."""
        self._as(tid, oid, now, lambda token: self._pim(target).withdraw(token, target, request_id))

    def decision(self, tid: str, oid: str, now: datetime, target: Target, approval_id: str) -> Decision | None:
        """What the approver said, as the requestor may read it; None where nobody did or it cannot be read."""
        return self._as(tid, oid, now, lambda token: self._pim(target).decision(token, target, approval_id))

    def pending(self, tid: str, oid: str, now: datetime, kind: TargetKind) -> frozenset[str]:
        """Ids of the technician's own requests of this kind that wait for an approver. One call."""
        return self._as(tid, oid, now, self._pims[kind].pending)

    def approvals(
        self, tid: str, oid: str, now: datetime, kinds: frozenset[TargetKind] = DIRECTORY_ROLES
    ) -> list[Approval]:
        """What waits for this person's word as an approver."""
        asked = sorted(kinds & self._pims.keys())
        return [one for kind in asked for one in self._as(tid, oid, now, self._pims[kind].approvals)]

    def decide(self, tid: str, oid: str, now: datetime, approval: Approval, approve: bool, words: str) -> None:
        """Raises EntraRefused with status 403 (no approver of it), 404 (gone), 409 (decided by another)."""
        pim = self._pims[approval.kind]
        self._as(tid, oid, now, lambda token: pim.decide(token, approval, approve=approve, words=words))

    def affected(self, tid: str, oid: str, now: datetime, address: str) -> Affected | None:
        """Who goes by `address` in the directory, and in which administrative units they are."""
        return self._as(tid, oid, now, lambda token: self._people.affected(token, address))

    def revoke_sessions(self, tid: str, oid: str, now: datetime) -> None:
        """End the technician's own sign-ins everywhere, the one that is stored here among them."""
        self._as(tid, oid, now, self._people.revoke_sessions)

    def _pim(self, target: Target) -> Pim:
        return self._pims[target.kind]

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
            lost = needed.loss is not None and challenge is not None and claims.asks_only_for_newer(challenge)
            if needed.claims is None and challenge is not None and not lost:
                # The sign-in that follows must answer what was asked, or the next request is challenged again.
                raise StepUpNeeded(challenge, needed.sentence, silently=False) from None
            raise
