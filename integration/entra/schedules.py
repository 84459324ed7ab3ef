"""Privileged Identity Management as Graph has it, alike for directory roles and groups, with a technician's token."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from integration.entra.errors import EntraRefused, EntraUnavailable, SetupWrong
from integration.entra.pim import (
    Active,
    Approval,
    Asking,
    Decision,
    Policy,
    Request,
    Sought,
    decision_of,
    longest,
    open_step,
    policy_of,
    table,
    text,
)
from integration.entra.times import format_duration, format_time, parse_time
from integration.entra.transport import Transport
from integration.targets import Eligibility, Target, TargetKind

_MINE = "/filterByCurrentUser(on='principal')"
_WAITING = "status eq 'PendingApproval'"


class Schedules(ABC):
    """Self-activation through Graph. Every method raises the family of `errors`; see `pim.Pim`."""

    kind: TargetKind
    eligible: str  # the paths of the instances that one may activate, of those that are active, and of requests
    assigned: str
    requests: str
    expand: str  # what names a row's target
    approval_path: str
    steps: str  # how an approval's parts are called

    def __init__(self, graph: Transport, approvals: Transport) -> None:
        self._graph = graph
        self._approvals = approvals

    @abstractmethod
    def target_of(self, row: Mapping[str, Any]) -> Target: ...

    @abstractmethod
    def fields_of(self, target: Target) -> dict[str, str]:
        """The two fields by which a row or a request names `target`."""

    @abstractmethod
    def policy_filter(self, target: Target) -> str: ...

    def eligibilities(self, token: str) -> list[Eligibility]:
        rows = self._graph.items(self.eligible + _MINE, token, params={"$expand": self.expand})
        found = ((row, self.target_of(row)) for row in rows)
        return longest(
            Eligibility(target, self._name(row, target), parse_time(row.get("endDateTime")))
            for row, target in found
            if target.id and target.scope
        )

    def _name(self, row: Mapping[str, Any], target: Target) -> str:
        return text(table(row, self.expand), "displayName") or target.id

    def policy(self, token: str, target: Target) -> Policy | None:
        params = {"$filter": self.policy_filter(target), "$expand": "policy($expand=rules)"}
        try:
            rows = list(self._graph.items("/policies/roleManagementPolicyAssignments", token, params=params))
        except (EntraRefused, SetupWrong) as refused:
            if refused.status == 403:
                return None
            raise
        return policy_of(table(rows[0], "policy").get("rules")) if rows else None

    def activate(self, token: str, asking: Asking) -> Request:
        body = self._body("selfActivate", asking.principal, asking.target) | {
            "justification": asking.justification,
            "scheduleInfo": {
                "startDateTime": format_time(asking.now),
                "expiration": {"type": "afterDuration", "duration": format_duration(asking.duration)},
            },
            "ticketInfo": {"ticketNumber": asking.ticket_number, "ticketSystem": asking.ticket_system},
        }
        return _request(self._graph.call("POST", self.requests, token, json=body), changes=True)

    def give_back(self, token: str, target: Target, *, principal: str) -> Request:
        body = self._body("selfDeactivate", principal, target)
        return _request(self._graph.call("POST", self.requests, token, json=body), changes=True)

    def request(self, token: str, target: Target, request_id: str) -> Request | None:  # noqa: ARG002
        try:
            return _request(self._graph.call("GET", self._one(request_id), token), changes=False)
        except EntraRefused as refused:
            if refused.status == 404:
                return None
            raise

    def find_own_request(self, token: str, sought: Sought) -> Request | None:
        """The newest that fits: Graph has no idempotency key, so look before asking again."""
        ours = {"ticketNumber": sought.ticket_number, "ticketSystem": sought.ticket_system}
        best: tuple[datetime, dict[str, Any]] | None = None
        for row in self._graph.items(self.requests + _MINE, token):
            created = parse_time(row.get("createdDateTime"))
            if (
                self._is_for(row, sought.target)
                and text(row, "action").lower() == "selfactivate"
                and row.get("justification") == sought.justification
                and {key: table(row, "ticketInfo").get(key) for key in ours} == ours
                and created is not None
                and created >= sought.since
                and (best is None or created > best[0])
            ):
                best = created, row
        return _request(best[1], changes=False) if best else None

    def active(self, token: str, target: Target, *, schedule_id: str | None = None) -> Active | None:
        """That of `schedule_id` rather than another; an activated rather than a standing one."""
        rows = [row for of, row in self.actives(token) if _is(of, target)]
        return max(rows, key=lambda row: (row.schedule_id == schedule_id, row.activated), default=None)

    def actives(self, token: str) -> list[tuple[Target, Active]]:
        return [(self.target_of(row), _active(row)) for row in self._graph.items(self.assigned + _MINE, token)]

    def withdraw(self, token: str, target: Target, request_id: str) -> None:  # noqa: ARG002
        self._graph.call("POST", f"{self._one(request_id)}/cancel", token)

    def pending(self, token: str) -> frozenset[str]:
        params = {"$filter": _WAITING, "$select": "id"}
        return frozenset(text(row, "id") for row in self._graph.items(self.requests + _MINE, token, params=params))

    def waiting(self, token: str, target: Target) -> Request | None:
        rows = self._graph.items(self.requests + _MINE, token, params={"$filter": _WAITING})
        return next((_request(row, changes=False) for row in rows if self._is_for(row, target)), None)

    def decision(self, token: str, target: Target, approval_id: str) -> Decision | None:  # noqa: ARG002
        try:
            return decision_of(self._steps(token, approval_id))
        except (EntraRefused, SetupWrong):
            return None

    def approvals(self, token: str) -> list[Approval]:
        path = f"{self.requests}/filterByCurrentUser(on='approver')"
        params = {"$filter": _WAITING, "$expand": self.expand}
        return [self._approval(row) for row in self._graph.items(path, token, params=params)]

    def decide(self, token: str, approval: Approval, *, approve: bool, words: str) -> None:
        steps = self._steps(token, approval.approval_id)
        step = open_step(steps)
        if not step:
            raise EntraRefused("Another approver has decided this already.", code="AlreadyDecided", status=409)
        body = {"reviewResult": "Approve" if approve else "Deny", "justification": words}
        path = f"{self._approval_at(approval.approval_id)}/{self.steps}/{quote(step, safe='')}"
        self._approvals.call("PATCH", path, token, json=body)

    def _steps(self, token: str, approval_id: str) -> list[Any]:
        path = f"{self._approval_at(approval_id)}/{self.steps}"
        return list(self._approvals.items(path, token))

    def _approval_at(self, approval_id: str) -> str:
        return f"{self.approval_path}/{quote(approval_id, safe='')}"

    def _approval(self, row: Mapping[str, Any]) -> Approval:
        target, ticket = self.target_of(row), table(row, "ticketInfo")
        return Approval(
            kind=self.kind,
            request_id=text(row, "id"),
            approval_id=text(row, "approvalId") or text(row, "id"),
            target=target,
            target_name=self._name(row, target),
            requestor=text(row, "principalId"),
            justification=text(row, "justification"),
            ticket_number=text(ticket, "ticketNumber"),
            ticket_system=text(ticket, "ticketSystem"),
            created=parse_time(row.get("createdDateTime")),
        )

    def _one(self, request_id: str) -> str:
        return f"{self.requests}/{quote(request_id, safe='')}"

    def _is_for(self, row: Mapping[str, Any], target: Target) -> bool:
        return _is(self.target_of(row), target)

    def _body(self, action: str, principal: str, target: Target) -> dict[str, Any]:
        return {"action": action, "principalId": principal, **self.fields_of(target)}


def _is(one: Target, other: Target) -> bool:
    return one.id.lower() == other.id.lower() and one.scope == other.scope


def _active(row: Mapping[str, Any]) -> Active:
    return Active(
        schedule_id=text(row, "roleAssignmentScheduleId") or text(row, "assignmentScheduleId"),
        start=parse_time(row.get("startDateTime")),
        end=parse_time(row.get("endDateTime")),
        activated=text(row, "assignmentType").lower() == "activated",
    )


def _request(row: Mapping[str, Any], *, changes: bool) -> Request:
    if not text(row, "id"):
        raise EntraUnavailable("Microsoft Entra's answer could not be read.", outcome_unknown=changes)
    return Request(
        id=text(row, "id"),
        status=text(row, "status"),
        schedule_id=text(row, "targetScheduleId") or text(row, "id"),
        approval_id=text(row, "approvalId") or None,
        created=parse_time(row.get("createdDateTime")),
    )


def quoted(value: str) -> str:
    """A string in an OData filter."""
    return "'" + value.replace("'", "''") + "'"
