"""Directory roles in Privileged Identity Management, v1.0, with a technician's token."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from integration.entra.errors import EntraRefused, EntraUnavailable, SetupWrong
from integration.entra.graph import Graph
from integration.entra.times import format_duration, format_time, parse_duration, parse_time
from integration.targets import Eligibility, Target, TargetKind

_BASE = "/roleManagement/directory"
_MINE = "/filterByCurrentUser(on='principal')"
_REQUESTS = f"{_BASE}/roleAssignmentScheduleRequests"


class RequestKind(StrEnum):
    """What a request's status means for who follows it. 201 alone never means active."""

    ACTIVE = "active"
    IN_FLIGHT = "in_flight"
    HUMAN = "human"
    ENDED_OK = "ended_ok"
    ENDED_BAD = "ended_bad"
    UNKNOWN = "unknown"


_KINDS = {
    RequestKind.ACTIVE: "Provisioned",
    RequestKind.IN_FLIGHT: "Granted ScheduleCreated PendingProvisioning PendingScheduleCreation Accepted "
    "PendingEvaluation ProvisioningStarted",
    RequestKind.HUMAN: "PendingApproval PendingAdminDecision",
    RequestKind.ENDED_OK: "Revoked Canceled",
    RequestKind.ENDED_BAD: "Denied Failed AdminDenied TimedOut Invalid",
}
_KIND_OF = {status: kind for kind, names in _KINDS.items() for status in names.split()}


@dataclass(frozen=True)
class Request:
    """Our request in the tenant. `status` is the tenant's own string; new ones appear, `kind` is UNKNOWN then.

    `schedule_id`: the schedule that it makes, by which its instance is known. Source: targetScheduleId,
    learn.microsoft.com/graph/api/resources/unifiedroleassignmentschedulerequest.
    """

    id: str
    status: str
    schedule_id: str

    @property
    def kind(self) -> RequestKind:
        return _KIND_OF.get(self.status, RequestKind.UNKNOWN)


@dataclass(frozen=True)
class Policy:
    """What an activation must carry. `context`: the authentication context (c1, c2, ...) or None."""

    maximum: timedelta
    mfa: bool
    justification: bool
    ticketing: bool
    approval: bool
    context: str | None


@dataclass(frozen=True)
class Active:
    """An instance that is there. `activated` is False for a standing assignment, which cannot be given back."""

    schedule_id: str
    start: datetime | None
    end: datetime | None
    activated: bool


@dataclass(frozen=True)
class Me:
    """The technician as the directory has them."""

    oid: str
    upn: str
    mail: str | None

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(a.lower() for a in (self.upn, self.mail or "") if a)


class Roles:
    """Self-activation of directory roles. Every method raises the family of `errors`."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def me(self, token: str) -> Me:
        # otherMails is left out on purpose: people may set it themselves, and who sets it to a colleague's address
        # would be taken for the colleague at the helpdesk.
        user = self._graph.call("GET", "/me", token, params={"$select": "id,userPrincipalName,mail"})
        mail = user.get("mail")
        return Me(_text(user, "id"), _text(user, "userPrincipalName"), mail if isinstance(mail, str) else None)

    def eligibilities(self, token: str) -> list[Eligibility]:
        path = f"{_BASE}/roleEligibilityScheduleInstances{_MINE}"
        found: dict[str, Eligibility] = {}
        for row in self._graph.items(path, token, params={"$expand": "roleDefinition"}):
            target = Target(TargetKind.DIRECTORY_ROLE, _text(row, "roleDefinitionId"), _text(row, "directoryScopeId"))
            definition = row.get("roleDefinition")
            name = definition.get("displayName") if isinstance(definition, dict) else None
            if target.id and target.scope:
                # The same role may be held directly and through a group.
                found[target.key] = Eligibility(target, name if isinstance(name, str) else target.id)
        return list(found.values())

    def policy(self, token: str, target: Target) -> Policy | None:
        """The activation rules, or None when the technician may not read them (the POST is allowed all the same)."""
        params = {
            "$filter": "scopeId eq '/' and scopeType eq 'DirectoryRole' and "
            f"roleDefinitionId eq '{target.id.replace(chr(39), chr(39) * 2)}'",
            "$expand": "policy($expand=rules)",
        }
        try:
            rows = list(self._graph.items("/policies/roleManagementPolicyAssignments", token, params=params))
        except (EntraRefused, SetupWrong) as refused:
            if refused.status == 403:
                return None
            raise
        return _policy(rows[0]) if rows else None

    def activate(
        self,
        token: str,
        *,
        principal: str,
        target: Target,
        duration: timedelta,
        justification: str,
        ticket_number: str,
        ticket_system: str,
        now: datetime,
    ) -> Request:
        """Ask for the role from `now`. Read the answer's `kind`; it may wait for people. `principal`: the oid."""
        body = _body("selfActivate", principal, target) | {
            "justification": justification,
            "scheduleInfo": {
                "startDateTime": format_time(now),
                "expiration": {"type": "afterDuration", "duration": format_duration(duration)},
            },
            "ticketInfo": {"ticketNumber": ticket_number, "ticketSystem": ticket_system},
        }
        return _request(self._graph.call("POST", _REQUESTS, token, json=body), changes=True)

    def give_back(self, token: str, *, principal: str, target: Target) -> Request:
        """End an activation. Raises TooEarlyToGiveBack, NotActive. Success has the status Revoked."""
        body = _body("selfDeactivate", principal, target)
        return _request(self._graph.call("POST", _REQUESTS, token, json=body), changes=True)

    def request(self, token: str, request_id: str) -> Request | None:
        """A request by id, or None when the tenant knows none (any more)."""
        try:
            answer = self._graph.call("GET", f"{_REQUESTS}/{quote(request_id, safe='')}", token)
        except EntraRefused as refused:
            if refused.status == 404:
                return None
            raise
        return _request(answer, changes=False)

    def find_own_request(
        self,
        token: str,
        *,
        target: Target,
        ticket_number: str,
        ticket_system: str,
        justification: str,
        since: datetime,
    ) -> Request | None:
        """The newest activation request that is ours by ticket and justification, made at or after `since`.

        For an unknown outcome: Graph has no idempotency key, so look before asking again.
        """
        ours = {"ticketNumber": ticket_number, "ticketSystem": ticket_system}
        best: tuple[datetime, dict[str, Any]] | None = None
        for row in self._graph.items(f"{_REQUESTS}{_MINE}", token):
            created = parse_time(row.get("createdDateTime"))
            if (
                _is_for(row, target)
                and _text(row, "action").lower() == "selfactivate"
                and row.get("justification") == justification
                and _ticket(row) == ours
                and created is not None
                and created >= since
                and (best is None or created > best[0])
            ):
                best = created, row
        return _request(best[1], changes=False) if best else None

    def active(self, token: str, target: Target, *, schedule_id: str | None = None) -> Active | None:
        """The instance of `target` that is there now.

        That of `schedule_id` rather than an older one that is still shown; an activated rather than a standing one.
        """
        rows = [
            Active(
                schedule_id=_text(row, "roleAssignmentScheduleId"),
                start=parse_time(row.get("startDateTime")),
                end=parse_time(row.get("endDateTime")),
                activated=_text(row, "assignmentType").lower() == "activated",
            )
            for row in self._graph.items(f"{_BASE}/roleAssignmentScheduleInstances{_MINE}", token)
            if _is_for(row, target)
        ]
        return max(rows, key=lambda row: (row.schedule_id == schedule_id, row.activated), default=None)


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""


def _is_for(row: Mapping[str, Any], target: Target) -> bool:
    same_role = _text(row, "roleDefinitionId").lower() == target.id.lower()
    return same_role and _text(row, "directoryScopeId") == target.scope


def _ticket(row: Mapping[str, Any]) -> dict[str, Any]:
    info = row.get("ticketInfo")
    return {key: info.get(key) for key in ("ticketNumber", "ticketSystem")} if isinstance(info, dict) else {}


def _body(action: str, principal: str, target: Target) -> dict[str, Any]:
    return {
        "action": action,
        "principalId": principal,
        "roleDefinitionId": target.id,
        "directoryScopeId": target.scope,
    }


def _request(row: Mapping[str, Any], *, changes: bool) -> Request:
    if not _text(row, "id"):
        raise EntraUnavailable("Microsoft Entra's answer could not be read.", outcome_unknown=changes)
    return Request(_text(row, "id"), _text(row, "status"), _text(row, "targetScheduleId") or _text(row, "id"))


def _policy(assignment: Mapping[str, Any]) -> Policy:
    policy = assignment.get("policy")
    listed = policy.get("rules") if isinstance(policy, dict) else None
    rules = {_text(r, "id"): r for r in (listed if isinstance(listed, list) else []) if isinstance(r, dict)}
    enabled = rules.get("Enablement_EndUser_Assignment", {}).get("enabledRules") or []
    approval = rules.get("Approval_EndUser_Assignment", {}).get("setting") or {}
    context = rules.get("AuthenticationContext_EndUser_Assignment", {})
    maximum = parse_duration(rules.get("Expiration_EndUser_Assignment", {}).get("maximumDuration"))
    return Policy(
        maximum=maximum or timedelta(hours=8),  # Entra's default
        mfa="MultiFactorAuthentication" in enabled,
        justification="Justification" in enabled,
        ticketing="Ticketing" in enabled,
        approval=bool(isinstance(approval, dict) and approval.get("isApprovalRequired")),
        context=(_text(context, "claimValue") or None) if context.get("isEnabled") else None,
    )
