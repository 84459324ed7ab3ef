"""The practice tenant's state: people, policies, schedules, sign-ins. Everything is in memory and under one lock."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.clock import Clock
from sandbox.people import CLIENT_ID, TENANT_ID, Person, everybody
from sandbox.policies import Policy
from sandbox.roles import MAY_APPROVE
from sandbox.targets import Target

GRAPH_AUDIENCE = "00000003-0000-0000-c000-000000000000"
ARM_AUDIENCE = "https://management.azure.com"
CONSENTED = (
    "User.Read",
    "RoleEligibilitySchedule.Read.Directory",
    "RoleAssignmentSchedule.ReadWrite.Directory",
    "RoleManagementPolicy.Read.Directory",
    "RoleManagement.Read.Directory",
    "AuditLog.Read.All",
    "Directory.Read.All",
    "User.ReadBasic.All",
    "AdministrativeUnit.Read.All",
    "GroupMember.Read.All",
    "User.RevokeSessions.All",
    "PrivilegedEligibilitySchedule.Read.AzureADGroup",
    "PrivilegedAssignmentSchedule.Read.AzureADGroup",
    "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup",
    "RoleManagementPolicy.Read.AzureADGroup",
    "BitlockerKey.ReadBasic.All",
    "UserAuthenticationMethod.Read.All",
)


@dataclass
class ScheduleRequest:
    """One roleAssignmentScheduleRequest as the tenant keeps it."""

    id: str
    action: str
    principal: str
    what: Target
    status: str
    created: datetime
    completed: datetime | None
    start: datetime | None
    expiration: dict[str, Any]
    end: datetime | None = None
    justification: str | None = None
    ticket: dict[str, Any] | None = None
    approval_id: str | None = None
    schedule_id: str | None = None
    # Azure's: the eligibility that the person says it rests on, or the one that was found.
    linked: str | None = None
    settles: datetime | None = None
    mfa: bool = False
    # When the person wanted to begin, whatever `start` shows while an approver is waited for.
    planned: datetime | None = None
    approvers: tuple[str, ...] = ()
    review: Review | None = None


@dataclass(frozen=True)
class Review:
    """What an approver decided: `result` is Approve or Deny."""

    result: str
    reason: str
    by: str
    at: datetime


@dataclass
class Instance:
    """One active assignment: visible to reads only from `visible` on, gone by itself at `end`."""

    id: str
    request_id: str
    principal: str
    what: Target
    start: datetime
    end: datetime
    visible: datetime
    eligibility_id: str


@dataclass
class Grant:
    """What an authorization code or a refresh token stands for."""

    oid: str
    scopes: list[str]
    generation: int
    family: str
    acrs: list[str] = field(default_factory=list)
    mfa: bool = False
    auth_time: int = 0
    nonce: str = ""
    redirect_uri: str = ""
    challenge: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    expires: datetime | None = None
    used: bool = False
    # The token of this grant goes without the contexts that the session has.
    contexts_lost: bool = False


@dataclass(frozen=True)
class Issued:
    """Of which generation an access token is, and since when by the practice clock (its claims have real time)."""

    sign_in: int
    token: int
    at: datetime


class Tenant:
    def __init__(self, clock: Clock, active_minimum: float, instance_delay: float, audit_delay: float) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.tenant_id = TENANT_ID
        self.client_id = CLIENT_ID
        self.client_secret = secrets.token_urlsafe(32)
        self.redirect_uris: list[str] = []
        self._defaults = (active_minimum, instance_delay, audit_delay)
        self.authority = self.graph_url = self.arm_url = self.page_authority = ""
        self.people: dict[str, Person] = everybody()
        self.reset()

    def reset(self) -> None:
        """Back to the first minute. People keep their ids and helpdesk tokens; sign-ins are forgotten."""
        with self.lock:
            tokens = {key: person.token for key, person in self.people.items()}
            self.people = everybody()
            for key, token in tokens.items():
                self.people[key].token = token
            self.active_minimum, self.instance_delay, self.audit_delay = self._defaults
            # Administrative units by name: the keys of the people in them.
            self.units: dict[str, list[str]] = {}
            self.policies: dict[str, Policy] = {}
            self.requests: dict[str, ScheduleRequest] = {}
            self.instances: dict[str, Instance] = {}
            self.audit: list[tuple[datetime, dict[str, Any]]] = []
            self.codes: dict[str, Grant] = {}
            self.refresh_tokens: dict[str, Grant] = {}
            self.dead_families: set[str] = set()
            self.issued: dict[str, Issued] = {}
            self.consented = {scope.lower() for scope in CONSENTED} | {"user_impersonation"}
            self.one_time_refresh_tokens = False
            self.scope_echo = "as_asked"
            # A refresh that asks for no context gives a token without the one that the session earned.
            self.refresh_loses_context = False
            self.token_lifetime = 4500
            self.licensed = True
            # How long a role given back still counts as there for a new activation (12 s were seen once).
            self.release_delay = 0.0
            # Azure keeps refusing longer, about 90 to 120 s, though its list no longer shows the role.
            self.arm_release_delay = 0.0
            # Its lists take 10 to 30 s, were seen to; and who is eligible only may often not read a policy.
            self.arm_list_delay = 0.0
            self.arm_policies_readable = False
            # How long an active role does not count yet where it is used.
            self.role_delay = 0.0
            self.released: dict[tuple[str, Target], datetime] = {}
            # Nobody who was asked saw the status of a request that no approver decided in 24 hours.
            self.expired_status = "TimedOut"

    def by_oid(self, oid: str) -> Person | None:
        return next((p for p in self.people.values() if p.oid == oid), None)

    def by_upn(self, upn: str) -> Person | None:
        return next((p for p in self.people.values() if p.upn.lower() == upn.lower() or p.key == upn), None)

    def policy(self, key: str) -> Policy:
        """By Target.policy_key."""
        return self.policies.setdefault(key, Policy())

    def approvers(self, policy: Policy) -> list[Person]:
        """Those whom a policy names; when it names none, who holds one of the two widest roles for good."""
        if policy.approvers:
            return [self.people[key] for key in policy.approvers]
        return [p for p in self.people.values() if MAY_APPROVE & set(p.standing)]

    def seen(self, person: Person, kind: str) -> list[Instance]:
        """Active assignments of a person that reads show by now."""
        now, rows = self.clock.now(), self.instances.values()
        return [r for r in rows if r.principal == person.oid and r.visible <= now and r.what.kind == kind]
