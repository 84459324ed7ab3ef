"""The one door to the tenant for workers and pages: technicians go in, facts come out, tokens stay inside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urljoin

from integration.brake import BrakeStore
from integration.entra import azure, claims, scopes, slowed
from integration.entra.azure import AzureRoles
from integration.entra.client import EntraSettings
from integration.entra.errors import SignInNeeded, StepUpNeeded
from integration.entra.groups import Groups
from integration.entra.http import EntraHttp
from integration.entra.people import People
from integration.entra.pim import Active, Approval, Asking, Decision, Pim, Policy, Request, Sought
from integration.entra.probes import PATH, SCOPE
from integration.entra.roles import Roles
from integration.entra.seal import Sealer
from integration.entra.sign_in import SignedIn, SignIn
from integration.entra.tokens import Tokens, TokenStore
from integration.entra.transport import Transport
from integration.targets import Affected, Eligibility, Probe, Target, TargetKind

T = TypeVar("T")
ASKED_AGAIN = (
    "Microsoft Entra asks again for what you have just confirmed, so confirming once more will not help. "
    "Ask an administrator to check the Conditional Access policy for this role."
)
DIRECTORY_ROLES = frozenset({TargetKind.DIRECTORY_ROLE})


class Tenant:
    """One tenant. Build one per process; `tid` and `oid` name the technician; every method raises `errors`' family."""

    def __init__(
        self, settings: EntraSettings, store: TokenStore, seal: Sealer, brakes: BrakeStore | None = None
    ) -> None:
        self._brake = slowed.brake(brakes)
        self._settings = settings
        http = EntraHttp(settings.ca_bundle)
        self._sign_in = SignIn(settings, http)
        self._tokens = Tokens(self._sign_in, store, seal, self._brake)
        graph = Transport(urljoin(settings.graph_url, "/v1.0"), http)
        beta = Transport(urljoin(settings.graph_url, "/beta"), http)
        self._graph = graph
        self._people = People(graph)
        self._pims: dict[TargetKind, Pim] = {
            TargetKind.DIRECTORY_ROLE: Roles(graph, beta),
            TargetKind.GROUP: Groups(graph, graph),
            TargetKind.AZURE_ROLE: AzureRoles(*azure.transports(settings.arm_url, http)),
        }

    def start_sign_in(
        self,
        redirect_uri: str,
        *,
        login_hint: str | None = None,
        claims: str | None = None,
        max_age: int | None = None,
        kind: TargetKind | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """(address for the browser, flow to keep on the server).

        `claims` of a StepUpNeeded, if that is why, and the `kind` of target that it was raised for.
        """
        return self._sign_in.start(redirect_uri, login_hint=login_hint, claims=claims, max_age=max_age, kind=kind)

    def finish_sign_in(
        self,
        flow: Mapping[str, Any],
        args: Mapping[str, str],
        *,
        now: datetime,
        expected: tuple[str, str] | None = None,
    ) -> SignedIn:
        """Validate the callback and store the sign-in, and which challenge it answers (the flow knows).

        `expected`: (tid, oid) of the only one who may answer. The result's `cache` is empty: tokens stay in here.
        """
        signed = self._sign_in.finish(flow, args, expected=expected)
        self._tokens.keep(signed, now=now)
        return replace(signed, cache="")

    def sign_out_url(self) -> str | None:
        return self._sign_in.sign_out_url()

    def forget(self, tid: str, oid: str, *, now: datetime) -> None:
        """Delete the technician's stored sign-in."""
        self._tokens.forget(tid, oid, now=now)

    def addresses(self, tid: str, oid: str, now: datetime) -> frozenset[str]:
        """The technician's addresses in the directory, lower case: what a helpdesk account may be linked by."""
        return self._as(tid, oid, now, self._people.me).addresses

    def eligibilities(
        self, tid: str, oid: str, now: datetime, kinds: frozenset[TargetKind] = DIRECTORY_ROLES
    ) -> list[Eligibility]:
        """What the technician may activate, of the `kinds` that are used here."""
        asked = sorted(kinds & self._pims.keys())
        return [
            one for kind in asked for one in self._by(tid, oid, now, kind, lambda pim, token: pim.eligibilities(token))
        ]

    def policy(self, tid: str, oid: str, now: datetime, target: Target) -> Policy | None:
        return self._by(tid, oid, now, target.kind, lambda pim, token: pim.policy(token, target))

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
        eligibility: str = "",
    ) -> Request:
        """Ask for `target` from now on. `asked_as`: a GUID, the same for each try of one activation.

        `eligibility`: the `schedule_id` of the eligibility that it rests on, where it is known.
        """
        asking = Asking(oid, target, duration, justification, ticket_number, ticket_system, asked_as, now, eligibility)
        return self._by(tid, oid, now, target.kind, lambda pim, token: pim.activate(token, asking))

    def request(self, tid: str, oid: str, now: datetime, target: Target, request_id: str) -> Request | None:
        return self._by(tid, oid, now, target.kind, lambda pim, token: pim.request(token, target, request_id))

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
        return self._by(tid, oid, now, target.kind, lambda pim, token: pim.find_own_request(token, sought))

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
        return self._by(
            tid,
            oid,
            now,
            target.kind,
            lambda pim, token: pim.active(token, target, schedule_id=schedule_id),
            urgent=urgent,
        )

    def actives(self, tid: str, oid: str, now: datetime, kind: TargetKind) -> list[tuple[Target, Active]]:
        """Everything of this kind that the technician has now, activated or for good."""
        return self._by(tid, oid, now, kind, lambda pim, token: pim.actives(token))

    def give_back(self, tid: str, oid: str, now: datetime, target: Target) -> Request:
        """End an activation. It waits for the tenant's own time, if it named one, but behind nobody else."""
        return self._by(
            tid, oid, now, target.kind, lambda pim, token: pim.give_back(token, target, principal=oid), urgent=True
        )

    def withdraw(self, tid: str, oid: str, now: datetime, target: Target, request_id: str) -> None:
        """Take back a request that waits. Raises EntraRefused if it was decided meanwhile."""
        self._by(tid, oid, now, target.kind, lambda pim, token: pim.withdraw(token, target, request_id))

    def decision(self, tid: str, oid: str, now: datetime, target: Target, approval_id: str) -> Decision | None:
        """What the approver said, as the requestor may read it; None where nobody did or it cannot be read."""
        return self._by(tid, oid, now, target.kind, lambda pim, token: pim.decision(token, target, approval_id))

    def pending(self, tid: str, oid: str, now: datetime, kind: TargetKind) -> frozenset[str]:
        """Ids of the technician's own requests of this kind that wait for an approver. One call."""
        return self._by(tid, oid, now, kind, lambda pim, token: pim.pending(token))

    def waiting(self, tid: str, oid: str, now: datetime, target: Target) -> Request | None:
        """The technician's request for `target` that waits for an approver, made here or in a portal."""
        return self._by(tid, oid, now, target.kind, lambda pim, token: pim.waiting(token, target))

    def approvals(
        self, tid: str, oid: str, now: datetime, kinds: frozenset[TargetKind] = DIRECTORY_ROLES
    ) -> list[Approval]:
        """What waits for this person's word as an approver."""
        found: list[Approval] = []
        for kind in sorted(kinds & self._pims.keys()):
            found += self._by(tid, oid, now, kind, lambda pim, token: pim.approvals(token))
        return found

    def decide(self, tid: str, oid: str, now: datetime, approval: Approval, approve: bool, words: str) -> None:
        """Raises EntraRefused with status 403 (no approver of it), 404 (gone), 409 (decided by another)."""
        self._by(
            tid, oid, now, approval.kind, lambda pim, token: pim.decide(token, approval, approve=approve, words=words)
        )

    def affected(self, tid: str, oid: str, now: datetime, address: str) -> Affected | None:
        """Who goes by `address` in the directory, and in which administrative units they are."""
        return self._as(tid, oid, now, lambda token: self._people.affected(token, address))

    def revoke_sessions(self, tid: str, oid: str, now: datetime) -> None:
        """End the technician's own sign-ins everywhere, the one that is stored here among them."""
        token = self._tokens.fresh(tid, oid, now=now, wanted=scopes.REVOKE_SCOPES)
        with self._brake.passing(slowed.GRAPH, now):
            self._people.revoke_sessions(token)

    def fresh(self, tid: str, oid: str, now: datetime, probe: Probe | None) -> None:
        """Whether a role that has just become active works: a token made just now, and the `probe` read with it.

        Raises EntraRefused with status 403 while it does not. The stored tokens stay as they are.
        """
        wanted = (SCOPE[probe],) if probe else scopes.FRESH_SCOPES
        token = self._tokens.fresh(tid, oid, now=now, wanted=wanted)
        if probe:
            with self._brake.passing(slowed.GRAPH, now):
                self._graph.call("GET", PATH[probe], token, params={"$top": "1"})

    def make_ready(self, tid: str, oid: str, now: datetime, kind: TargetKind) -> None:
        """Have a token at hand for this kind. A sign-in is renewed by one alone: whoever asks several kinds at once
        must have made them ready, one after the other. Raises EntraError.
        """
        self._token(_Call(tid, oid, now, scopes.of(kind, self._settings)))

    def _by(
        self, tid: str, oid: str, now: datetime, kind: TargetKind, ask: Callable[[Pim, str], T], *, urgent: bool = False
    ) -> T:
        call = _Call(tid, oid, now, scopes.of(kind, self._settings), _brake_of(kind), urgent)
        return self._ask(call, lambda token: ask(self._pims[kind], token))

    def _as(self, tid: str, oid: str, now: datetime, ask: Callable[[str], T]) -> T:
        return self._ask(_Call(tid, oid, now, scopes.graph(self._settings)), ask)

    def _ask(self, call: "_Call", ask: Callable[[str], T]) -> T:
        """`ask` with the technician's token; once more with a renewed one if the tenant did not like the first.

        A 401 and a context challenge are both given before anything is done, so asking again is safe.
        """
        token = self._token(call)
        try:
            with self._brake.passing(call.brake, call.now, urgent=call.urgent):
                return ask(token)
        except SignInNeeded as refused:
            challenge = refused.claims
            if challenge and self._tokens.answered(call.tid, call.oid, challenge, call.wanted):
                raise StepUpNeeded(challenge, ASKED_AGAIN, silently=False, final=True) from None
            if isinstance(refused, StepUpNeeded) and not refused.silently:
                raise
        return self._once_more(call, challenge, ask)

    def _once_more(self, call: "_Call", challenge: str | None, ask: Callable[[str], T]) -> T:
        try:
            token = self._token(call, claims=challenge, force=challenge is None)
            with self._brake.passing(call.brake, call.now, urgent=call.urgent):
                return ask(token)
        except SignInNeeded as needed:
            if needed.loss is not None and challenge is not None and claims.asks_only_for_newer(challenge):
                raise
            # The sign-in that follows must answer what was asked here, whatever the token endpoint asks for on top:
            # Microsoft's own page sees to that, and one sign-in serves everything that waits for the same.
            asked = challenge or needed.claims
            if asked is not None:
                raise StepUpNeeded(asked, needed.sentence, silently=False) from None
            raise

    def _token(self, call: "_Call", *, claims: str | None = None, force: bool = False) -> str:
        return self._tokens.access_token(
            call.tid, call.oid, now=call.now, wanted=call.wanted, claims=claims, force=force, urgent=call.urgent
        )


@dataclass(frozen=True)
class _Call:
    """Who calls with which permissions, and which brake stands before it."""

    tid: str
    oid: str
    now: datetime
    wanted: tuple[str, ...]
    brake: str = slowed.GRAPH
    urgent: bool = False


def _brake_of(kind: TargetKind) -> str:
    return slowed.ARM if kind is TargetKind.AZURE_ROLE else slowed.GRAPH
