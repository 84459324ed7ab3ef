"""Approvals: for directory roles beta only and with `steps`, for groups v1.0 with `stages` (entra-pim sheet, 4, 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox import activation, approving, refusals, views
from sandbox.rules import Caller
from sandbox.tenant import ScheduleRequest, Tenant

ROLE_SCOPES = ("RoleAssignmentSchedule.ReadWrite.Directory", "RoleManagement.ReadWrite.Directory")
ROLE_PATH = "/beta/roleManagement/directory/roleAssignmentApprovals"
GROUP_SCOPES = ("PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup", "PrivilegedAccess.ReadWrite.AzureADGroup")
GROUP_PATH = "/v1.0/identityGovernance/privilegedAccess/group/assignmentApprovals"


class Approvals:
    """The approvals of one kind of target under `path`; `parts` is what a decision's steps are called there."""

    def __init__(
        self, tenant: Tenant, caller: Callable[..., Caller], kind: str, path: str, parts: str, scopes: tuple[str, ...]
    ) -> None:
        self.tenant, self.caller, self.kind = tenant, caller, kind
        self.path, self.parts, self.scopes = path, parts, scopes

    def blueprint(self) -> Blueprint:
        part = Blueprint(f"{self.kind}_approvals", __name__, url_prefix=f"{self.path}/<number>")
        part.add_url_rule("", view_func=self.approval)
        part.add_url_rule(f"/{self.parts}", view_func=self.all_steps)
        part.add_url_rule(f"/{self.parts}/<step>", view_func=self.one_step)
        part.add_url_rule(f"/{self.parts}/<step>", view_func=self.decide, methods=["PATCH"])
        return part

    def approval(self, number: str) -> Response:
        return jsonify({"id": number, self.parts: [self._step(number)]})

    def all_steps(self, number: str) -> Response:
        return jsonify({"value": [self._step(number)]})

    def one_step(self, number: str, step: str) -> Response:
        if step != number:
            raise refusals.not_found(step)
        return jsonify(self._step(number))

    def _step(self, number: str) -> dict[str, Any]:
        """Approvers read it, and whoever asked: that is where a denial's words are."""
        caller = self.caller(*self.scopes)
        with self.tenant.lock:
            activation.settle(self.tenant)
            asked = approving.of(self.tenant, number, self.kind)
            if not (approving.may_decide(asked, caller.person) or asked.principal == caller.person.oid):
                raise refusals.denied()
            return views.approval_step(asked, caller.person, self._reviewer(asked))

    def _reviewer(self, asked: ScheduleRequest) -> Any:
        return self.tenant.by_oid(asked.review.by) if asked.review else None

    def decide(self, number: str, step: str) -> tuple[str, int]:
        caller = self.caller(*self.scopes)
        body = request.get_json(silent=True)
        result = body.get("reviewResult") if isinstance(body, dict) else None
        if result not in ("Approve", "Deny"):
            raise refusals.bad_request("The property 'reviewResult' is Approve or Deny.")
        if step != number:
            raise refusals.not_found(step)
        with self.tenant.lock:
            reason = str((body or {}).get("justification") or "")
            activation.decide_approval(self.tenant, number, caller.person, result, reason, self.kind)
        return "", 204
