"""Azure resource roles in Privileged Identity Management, through Azure Resource Manager.

Source: learn.microsoft.com/rest/api/authorization, 2020-10-01; approvals 2021-01-01-preview.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from integration.entra.errors import EntraRefused, EntraUnavailable, SetupWrong
from integration.entra.http import EntraHttp
from integration.entra.pim import (
    Active,
    Approval,
    Asking,
    Decision,
    Policy,
    Request,
    Sought,
    decision_of,
    listed,
    longest,
    open_step,
    policy_of,
    table,
    text,
)
from integration.entra.schedules import quoted
from integration.entra.times import format_duration, format_time, parse_time
from integration.entra.transport import Transport
from integration.targets import Eligibility, Target, TargetKind

_BASE = "/providers/Microsoft.Authorization"
_REQUESTS = f"{_BASE}/roleAssignmentScheduleRequests"
_APPROVALS = f"{_BASE}/roleAssignmentApprovals"
# Its lists take 10 to 30 s. One such look and one change fit into a lease (60 s), so that no second worker takes over.
PATIENCE = 35.0
_SUBSCRIPTION = re.compile(r"/subscriptions/[^/]+")


def transports(arm_url: str, http: EntraHttp) -> tuple[Transport, Transport]:
    """The two versions of the interface that AzureRoles needs."""
    return (
        Transport(arm_url, http, always={"api-version": "2020-10-01"}, patience=PATIENCE),
        Transport(arm_url, http, always={"api-version": "2021-01-01-preview"}, patience=PATIENCE),
    )


class AzureRoles:
    """Self-activation of Azure roles. Every method raises the family of `errors`; see `pim.Pim`."""

    def __init__(self, arm: Transport, approvals: Transport) -> None:
        self._arm = arm
        self._approvals = approvals

    def eligibilities(self, token: str) -> list[Eligibility]:
        found = ((row, _target(row)) for row in self._mine(f"{_BASE}/roleEligibilityScheduleInstances", token))
        return longest(
            Eligibility(
                target,
                _name(row, target),
                parse_time(row.get("endDateTime")),
                _last(text(row, "roleEligibilityScheduleId")),
            )
            for row, target in found
            if target.id and target.scope
        )

    def _mine(self, path: str, token: str, who: str = "asTarget()") -> list[Mapping[str, Any]]:
        rows = self._arm.items(path, token, params={"$filter": who})
        return [{**table(row, "properties"), "name": text(row, "name")} for row in rows]

    def policy(self, token: str, target: Target) -> Policy | None:
        path = f"{_at(target)}{_BASE}/roleManagementPolicyAssignments"
        params = {"$filter": f"roleDefinitionId eq {quoted(_definition(target))}"}
        try:
            rows = list(self._arm.items(path, token, params=params))
        except (EntraRefused, SetupWrong) as refused:
            if refused.status == 403:  # who is eligible only may often not read it
                return None
            raise
        return policy_of(listed(table(rows[0], "properties"), "effectiveRules")) if rows else None

    def activate(self, token: str, asking: Asking) -> Request:
        """`asked_as` is the request's name: where an earlier try of ours got there, that one is the answer."""
        try:
            return self._activate(token, asking, linked=asking.eligibility)
        except EntraRefused as refused:
            if not asking.eligibility or "EligibilityRule" not in refused.rules:
                raise
        # It was renewed since it was read. The name is optional: Azure finds another eligibility by itself.
        return self._activate(token, asking, linked="")

    def _activate(self, token: str, asking: Asking, *, linked: str) -> Request:
        properties = {
            **_body("SelfActivate", asking.principal, asking.target),
            **({"linkedRoleEligibilityScheduleId": linked} if linked else {}),
            "justification": asking.justification,
            "scheduleInfo": {
                "startDateTime": format_time(asking.now),
                "expiration": {
                    "type": "AfterDuration",
                    "endDateTime": None,
                    "duration": format_duration(asking.duration),
                },
            },
            "ticketInfo": {"ticketNumber": asking.ticket_number, "ticketSystem": asking.ticket_system},
        }
        path = _one(asking.target, asking.asked_as)
        try:
            return _request(self._arm.call("PUT", path, token, json={"properties": properties}), changes=True)
        except EntraRefused as refused:
            if refused.status != 409 or refused.code != "RoleAssignmentRequestExists":
                raise
        found = self.request(token, asking.target, asking.asked_as)
        if found is None:
            raise EntraUnavailable("Azure knows this request and does not show it; it is tried again.")
        return found

    def request(self, token: str, target: Target, request_id: str) -> Request | None:
        try:
            return _request(self._arm.call("GET", _one(target, request_id), token), changes=False)
        except EntraRefused as refused:
            if refused.status == 404:
                return None
            raise

    def find_own_request(self, token: str, sought: Sought) -> Request | None:
        return self.request(token, sought.target, sought.asked_as)

    def active(self, token: str, target: Target, *, schedule_id: str | None = None) -> Active | None:
        rows = [row for of, row in self.actives(token) if _is(of, target)]
        return max(rows, key=lambda row: (row.schedule_id == schedule_id, row.activated), default=None)

    def actives(self, token: str) -> list[tuple[Target, Active]]:
        rows = self._mine(f"{_BASE}/roleAssignmentScheduleInstances", token)
        return [(_target(row), _active(row)) for row in rows]

    def give_back(self, token: str, target: Target, *, principal: str) -> Request:
        body = {"properties": _body("SelfDeactivate", principal, target)}
        return _request(self._arm.call("PUT", _one(target, str(uuid4())), token, json=body), changes=True)

    def withdraw(self, token: str, target: Target, request_id: str) -> None:
        self._arm.call("POST", f"{_one(target, request_id)}/cancel", token)

    def pending(self, token: str) -> frozenset[str]:
        rows = self._mine(_REQUESTS, token, "asRequestor()")
        return frozenset(text(row, "name") for row in rows if text(row, "status") == "PendingApproval")

    def waiting(self, token: str, target: Target) -> Request | None:
        for row in self._mine(_REQUESTS, token, "asRequestor()"):
            if text(row, "status") == "PendingApproval" and _is(_target(row), target):
                return self.request(token, target, text(row, "name"))
        return None

    def decision(self, token: str, target: Target, approval_id: str) -> Decision | None:  # noqa: ARG002
        try:
            return decision_of(self._stages(token, approval_id))
        except (EntraRefused, SetupWrong):
            return None

    def approvals(self, token: str) -> list[Approval]:
        rows = self._mine(_REQUESTS, token, "asApprover()")
        return [_approval(row) for row in rows if text(row, "status") == "PendingApproval"]

    def decide(self, token: str, approval: Approval, *, approve: bool, words: str) -> None:
        stage = open_step(self._stages(token, approval.approval_id))
        if not stage:
            raise EntraRefused("Another approver has decided this already.", code="AlreadyDecided", status=409)
        body = {"properties": {"reviewResult": "Approve" if approve else "Deny", "justification": words}}
        path = f"{_APPROVALS}/{quote(approval.approval_id, safe='')}/stages/{quote(stage, safe='')}"
        self._approvals.call("PATCH", path, token, json=body)

    def _stages(self, token: str, approval_id: str) -> list[Mapping[str, Any]]:
        rows = self._approvals.items(f"{_APPROVALS}/{quote(approval_id, safe='')}/stages", token)
        return [{**table(row, "properties"), "id": text(row, "name") or _last(text(row, "id"))} for row in rows]


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _target(row: Mapping[str, Any]) -> Target:
    return Target(TargetKind.AZURE_ROLE, _last(text(row, "roleDefinitionId")), text(row, "scope"))


def _is(one: Target, other: Target) -> bool:
    # Azure's paths are the same in any case of letters.
    return one.id.lower() == other.id.lower() and one.scope.lower() == other.scope.lower()


def _active(row: Mapping[str, Any]) -> Active:
    return Active(
        schedule_id=_last(text(row, "roleAssignmentScheduleId")),
        start=parse_time(row.get("startDateTime")),
        end=parse_time(row.get("endDateTime")),
        activated=text(row, "assignmentType").lower() == "activated",
    )


def _name(row: Mapping[str, Any], target: Target) -> str:
    seen = table(row, "expandedProperties")
    role, place = text(table(seen, "roleDefinition"), "displayName"), text(table(seen, "scope"), "displayName")
    return f"{role or target.id} on {place or _last(target.scope)}"


def _at(target: Target) -> str:
    return quote(target.scope.rstrip("/"), safe="/")


def _one(target: Target, name: str) -> str:
    return f"{_at(target)}{_REQUESTS}/{quote(name, safe='')}"


def _definition(target: Target) -> str:
    found = _SUBSCRIPTION.match(target.scope)
    return f"{found[0] if found else ''}{_BASE}/roleDefinitions/{target.id}"


def _body(action: str, principal: str, target: Target) -> dict[str, Any]:
    return {"principalId": principal, "roleDefinitionId": _definition(target), "requestType": action}


def _request(row: Mapping[str, Any], *, changes: bool) -> Request:
    seen, name = table(row, "properties"), text(row, "name")
    if not name:
        raise EntraUnavailable("Azure's answer could not be read.", outcome_unknown=changes)
    return Request(
        id=name,
        status=text(seen, "status"),
        schedule_id=_last(text(seen, "targetRoleAssignmentScheduleId")) or name,
        approval_id=_last(text(seen, "approvalId")) or None,
        created=parse_time(seen.get("createdOn")),
    )


def _approval(row: Mapping[str, Any]) -> Approval:
    target, ticket = _target(row), table(row, "ticketInfo")
    return Approval(
        kind=TargetKind.AZURE_ROLE,
        request_id=text(row, "name"),
        approval_id=_last(text(row, "approvalId")) or text(row, "name"),
        target=target,
        target_name=_name(row, target),
        requestor=text(row, "principalId"),
        justification=text(row, "justification"),
        ticket_number=text(ticket, "ticketNumber"),
        ticket_system=text(ticket, "ticketSystem"),
        created=parse_time(row.get("createdOn")),
    )
