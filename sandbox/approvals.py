"""Approvals: beta only, as at Graph (entra-pim sheet, section 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox import activation, refusals, views
from sandbox.activation import Caller
from sandbox.tenant import Tenant

SCOPES = ("RoleAssignmentSchedule.ReadWrite.Directory", "RoleManagement.ReadWrite.Directory")
PATH = "/beta/roleManagement/directory/roleAssignmentApprovals/<number>"


class Approvals:
    def __init__(self, tenant: Tenant, caller: Callable[..., Caller]) -> None:
        self.tenant, self.caller = tenant, caller

    def blueprint(self) -> Blueprint:
        part = Blueprint("approvals", __name__)
        part.add_url_rule(PATH, view_func=self.approval)
        part.add_url_rule(PATH + "/steps", view_func=self.approval_steps)
        part.add_url_rule(PATH + "/steps/<step>", view_func=self.decide, methods=["PATCH"])
        return part

    def approval(self, number: str) -> Response:
        return jsonify({"id": number, "steps": [self._step(number)]})

    def approval_steps(self, number: str) -> Response:
        return jsonify({"value": [self._step(number)]})

    def _step(self, number: str) -> dict[str, Any]:
        self.caller(*SCOPES)
        with self.tenant.lock:
            asked = self.tenant.requests.get(number)
        if asked is None or asked.approval_id is None:
            raise refusals.not_found(number)
        return views.approval_step(asked)

    def decide(self, number: str, step: str) -> tuple[str, int]:
        caller = self.caller(*SCOPES)
        body = request.get_json(silent=True) or {}
        if caller.person.key != "approver":
            raise refusals.denied()
        if step != number or body.get("reviewResult") not in ("Approve", "Deny"):
            raise refusals.bad_request("The property 'reviewResult' is Approve or Deny.")
        with self.tenant.lock:
            approve = body["reviewResult"] == "Approve"
            activation.decide_approval(self.tenant, number, approve, caller.person, str(body.get("justification", "")))
        return "", 204
