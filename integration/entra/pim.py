"""What Privileged Identity Management means to us: one set of words for directory roles, groups and Azure roles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from integration.entra.times import parse_duration
from integration.targets import Eligibility, Target, TargetKind


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
    "PendingEvaluation ProvisioningStarted AdminApproved PendingApprovalProvisioning PendingExternalProvisioning",
    RequestKind.HUMAN: "PendingApproval PendingAdminDecision",
    RequestKind.ENDED_OK: "Revoked Canceled PendingRevocation",
    RequestKind.ENDED_BAD: "Denied Failed AdminDenied TimedOut Invalid FailedAsResourceIsLocked",
}
_KIND_OF = {status: kind for kind, names in _KINDS.items() for status in names.split()}


@dataclass(frozen=True)
class Request:
    """Our request in the tenant. `status` is the tenant's own string; new ones appear, `kind` is UNKNOWN then.

    `schedule_id`: the schedule that it makes, by which its instance is known. Source: targetScheduleId,
    learn.microsoft.com/graph/api/resources/unifiedroleassignmentschedulerequest. `approval_id`: of the approval that
    it waits for, if it does.
    """

    id: str
    status: str
    schedule_id: str
    approval_id: str | None = None
    created: datetime | None = None

    @property
    def kind(self) -> RequestKind:
        return _KIND_OF.get(self.status, RequestKind.UNKNOWN)


@dataclass(frozen=True)
class Policy:
    """What an activation must carry. `context`: the authentication context (c1, c2, ...) or None.

    `approvers`: what the policy calls them; none although `approval`: Privileged Role and Global Administrators.
    """

    maximum: timedelta
    mfa: bool
    justification: bool
    ticketing: bool
    approval: bool
    context: str | None
    approvers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain fields, to be kept for a while; the maximum in seconds."""
        return {**self.__dict__, "maximum": int(self.maximum.total_seconds()), "approvers": list(self.approvers)}

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> "Policy":
        """What `to_json` made. Raises TypeError or KeyError for anything else."""
        maximum, approvers = timedelta(seconds=plain["maximum"]), tuple(plain["approvers"])
        return Policy(**{**plain, "maximum": maximum, "approvers": approvers})


@dataclass(frozen=True)
class Active:
    """An instance that is there. `activated` is False for a standing assignment, which cannot be given back."""

    schedule_id: str
    start: datetime | None
    end: datetime | None
    activated: bool


@dataclass(frozen=True)
class Approval:
    """A request that waits for somebody's word, as an approver sees it. `requestor` is an oid."""

    kind: TargetKind
    request_id: str
    approval_id: str
    target: Target
    target_name: str
    requestor: str
    justification: str
    ticket_number: str
    ticket_system: str
    created: datetime | None


@dataclass(frozen=True)
class Decision:
    """What the approver said. `words` and `who` are the tenant's texts, possibly empty."""

    approved: bool
    words: str
    who: str


@dataclass(frozen=True)
class Asking:
    """An activation to ask for, from `now` on. `principal`: the technician's oid.

    `asked_as`: a GUID of ours. Azure takes it as the request's name, so that asking twice asks once; Graph has no such.
    `eligibility`: the `schedule_id` of the eligibility that it rests on, for Azure; empty where it is not known.
    """

    principal: str
    target: Target
    duration: timedelta
    justification: str
    ticket_number: str
    ticket_system: str
    asked_as: str
    now: datetime
    eligibility: str = ""


@dataclass(frozen=True)
class Sought:
    """A request of ours whose answer got lost: by ticket and justification, made at or after `since`."""

    target: Target
    ticket_number: str
    ticket_system: str
    justification: str
    since: datetime
    asked_as: str


class Pim(Protocol):
    """One kind of target. Every method takes the technician's token and raises the family of `errors`."""

    def eligibilities(self, token: str) -> list[Eligibility]: ...

    def policy(self, token: str, target: Target) -> Policy | None:
        """The activation rules, or None when the technician may not read them (asking is allowed all the same)."""
        ...

    def activate(self, token: str, asking: Asking) -> Request:
        """Read the answer's `kind`; it may wait for people."""
        ...

    def request(self, token: str, target: Target, request_id: str) -> Request | None:
        """A request by id, or None when the tenant knows none (any more)."""
        ...

    def find_own_request(self, token: str, sought: Sought) -> Request | None: ...

    def active(self, token: str, target: Target, *, schedule_id: str | None) -> Active | None:
        """The instance that is there now: that of `schedule_id` rather than an older one that is still shown."""
        ...

    def actives(self, token: str) -> list[tuple[Target, Active]]:
        """Every instance that is there now."""
        ...

    def give_back(self, token: str, target: Target, *, principal: str) -> Request:
        """End an activation. Raises TooEarlyToGiveBack, NotActive. Success has the status Revoked."""
        ...

    def withdraw(self, token: str, target: Target, request_id: str) -> None:
        """Take back a request that waits. Raises EntraRefused if it was decided meanwhile."""
        ...

    def decision(self, token: str, target: Target, approval_id: str) -> Decision | None:
        """What the approver said; None while nobody did, and where the requestor may not read it."""
        ...

    def pending(self, token: str) -> frozenset[str]:
        """Ids of the technician's own requests that wait for an approver."""
        ...

    def waiting(self, token: str, target: Target) -> Request | None:
        """The technician's request for `target` that waits for an approver, whoever made it."""
        ...

    def approvals(self, token: str) -> list[Approval]:
        """What waits for this approver's word."""
        ...

    def decide(self, token: str, approval: Approval, *, approve: bool, words: str) -> None:
        """Raises EntraRefused: 403 no approver, 404 gone, 409 decided by another one."""
        ...


def longest(found: Iterable[Eligibility]) -> list[Eligibility]:
    """One for each target: the same may be held directly and through a group, and then the longer one counts."""
    kept: dict[str, Eligibility] = {}
    for one in found:
        if one.target.key not in kept or one.lasts_longer_than(kept[one.target.key]):
            kept[one.target.key] = one
    return list(kept.values())


def text(row: object, key: str) -> str:
    """A string field of an answer; "" where it is not there or something else."""
    value = row.get(key) if isinstance(row, Mapping) else None
    return value if isinstance(value, str) else ""


def table(row: object, key: str) -> Mapping[str, Any]:
    """An object in an answer; an empty one where it is not there or something else."""
    value = row.get(key) if isinstance(row, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def listed(row: object, key: str) -> list[Any]:
    value = row.get(key) if isinstance(row, Mapping) else None
    return value if isinstance(value, list) else []


def policy_of(rules: object) -> Policy:
    """Out of a policy's rules. Graph and Azure name them alike.

    Source: learn.microsoft.com/graph/identity-governance-pim-rules-overview.
    """
    by_id = {text(rule, "id"): rule for rule in (rules if isinstance(rules, list) else [])}
    enabled = listed(by_id.get("Enablement_EndUser_Assignment"), "enabledRules")
    approval = table(by_id.get("Approval_EndUser_Assignment"), "setting")
    context = by_id.get("AuthenticationContext_EndUser_Assignment") or {}
    maximum = parse_duration(text(by_id.get("Expiration_EndUser_Assignment"), "maximumDuration"))
    return Policy(
        maximum=maximum or timedelta(hours=8),  # Entra's default
        mfa="MultiFactorAuthentication" in enabled,
        justification="Justification" in enabled,
        ticketing="Ticketing" in enabled,
        approval=bool(approval.get("isApprovalRequired")),
        context=(text(context, "claimValue") or None) if context.get("isEnabled") else None,
        approvers=_approvers(approval),
    )


def _approvers(approval: Mapping[str, Any]) -> tuple[str, ...]:
    named = (who for stage in listed(approval, "approvalStages") for who in listed(stage, "primaryApprovers"))
    names = (text(who, "description") or text(who, "displayName") for who in named)
    return tuple(name for name in names if name)


def decision_of(steps: list[Any]) -> Decision | None:
    """Out of an approval's steps (directory roles) or stages (groups, Azure)."""
    for step in steps:
        result = text(step, "reviewResult").lower()
        if result.startswith(("approve", "den")):
            words, who = text(step, "justification"), text(table(step, "reviewedBy"), "displayName")
            return Decision(result.startswith("approve"), words[:500], who[:200])
    return None


def open_step(steps: list[Any]) -> str:
    """The id of the step that waits; "" where none does."""
    waiting = [text(step, "id") for step in steps if text(step, "reviewResult").lower() in ("", "notreviewed")]
    return waiting[0] if waiting else ""
