"""Azure Resource Manager as far as PIM for Azure roles goes (entra-pim sheet, section 6): PascalCase, PUT by GUID."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, request

from sandbox import activation, approving, envelope, refusals
from sandbox.bearer import Bearer
from sandbox.clock import plain, seven_digits
from sandbox.odata import Row
from sandbox.people import Eligibility, Person
from sandbox.policies import rules, single_user
from sandbox.targets import Target, guid
from sandbox.tenant import ARM_AUDIENCE, Instance, ScheduleRequest, Tenant
from sandbox.tokens import Keys

BASE = "/providers/Microsoft.Authorization"
REQUESTS = BASE + "/roleAssignmentScheduleRequests"
APPROVALS = BASE + "/roleAssignmentApprovals/<number>"
SCOPE = "user_impersonation"
PAGE = 50


class Azure:
    def __init__(self, tenant: Tenant, keys: Keys) -> None:
        self.tenant = tenant
        self.caller = Bearer(tenant, keys, ARM_AUDIENCE).caller

    def app(self) -> Flask:
        app = Flask(__name__)
        app.json.sort_keys = False  # type: ignore[attr-defined]
        add = app.add_url_rule
        add(BASE + "/roleEligibilityScheduleInstances", view_func=self.eligibilities)
        add(BASE + "/roleAssignmentScheduleInstances", view_func=self.instances)
        add(REQUESTS, view_func=self.requests)
        add(f"/<path:scope>{REQUESTS}/<number>", view_func=self.put, methods=["PUT"])
        add(f"/<path:scope>{REQUESTS}/<number>", view_func=self.one)
        add(f"/<path:scope>{REQUESTS}/<number>/cancel", view_func=self.cancel, methods=["POST"])
        add(f"/<path:scope>{BASE}/roleManagementPolicyAssignments", view_func=self.policies)
        add(APPROVALS + "/stages", view_func=self.stages)
        add(APPROVALS + "/stages/<stage>", view_func=self.decide, methods=["PATCH", "PUT"])
        envelope.wrap(app)
        return app

    def eligibilities(self) -> Response:
        person = self.caller(SCOPE).person
        _only("asTarget()")
        time.sleep(self.tenant.arm_list_delay)
        now = self.tenant.clock.now()
        return self._list([_eligibility(person, e) for e in person.azure if e.end is None or e.end > now])

    def instances(self) -> Response:
        person = self.caller(SCOPE).person
        _only("asTarget()")
        time.sleep(self.tenant.arm_list_delay)
        with self.tenant.lock:
            activation.settle(self.tenant)
            return self._list([_instance(row) for row in self.tenant.seen(person, "azure")])

    def requests(self) -> Response:
        person = self.caller(SCOPE).person
        _only("asTarget()", "asRequestor()", "asApprover()")
        mine = request.args.get("$filter") != "asApprover()"
        with self.tenant.lock:
            activation.settle(self.tenant)
            every = [r for r in self.tenant.requests.values() if r.what.kind == "azure"]
            found = [r for r in every if (r.principal == person.oid if mine else approving.may_decide(r, person))]
            return self._list([_request(row) for row in found])

    def put(self, scope: str, number: str) -> tuple[Response, int]:
        caller = self.caller(SCOPE)
        body = request.get_json(silent=True)
        wanted = body.get("properties") if isinstance(body, dict) else None
        if not isinstance(wanted, dict):
            raise refusals.GraphError(400, "InvalidRequestContent", "The request content was invalid.")
        with self.tenant.lock:
            if number in self.tenant.requests:
                message = f"A role assignment request with Id: {number} already exists."
                raise refusals.GraphError(409, "RoleAssignmentRequestExists", message)
            action = activation.action_of(wanted)
            activation.check_license(self.tenant)
            what = Target("azure", str(wanted.get("roleDefinitionId", "")).rsplit("/", 1)[-1], f"/{scope}")
            if not what.exists():
                raise refusals.GraphError(400, "RoleDefinitionDoesNotExist", "The role definition does not exist.")
            asked = activation.ask(self.tenant, caller, activation.wanted(wanted, action, what, number))
            return jsonify(_request(asked)), 201

    def one(self, scope: str, number: str) -> Response:
        caller = self.caller(SCOPE)
        with self.tenant.lock:
            return jsonify(_request(self._mine(caller, scope, number)))

    def cancel(self, scope: str, number: str) -> tuple[str, int]:
        caller = self.caller(SCOPE)
        with self.tenant.lock:
            self._mine(caller, scope, number)
            activation.cancel(self.tenant, caller, number, "azure")
        return "", 200

    def _mine(self, caller: Any, scope: str, number: str) -> ScheduleRequest:
        found = activation.mine(self.tenant, caller, number, "azure")
        if found.what.scope != f"/{scope}":
            raise refusals.not_found(number)
        return found

    def policies(self, scope: str) -> Response:
        person = self.caller(SCOPE).person
        if not self.tenant.arm_policies_readable:
            message = f"The client '{person.upn}' does not have authorization to perform the action over the scope."
            raise refusals.GraphError(403, "AuthorizationFailed", message)
        wanted = request.args.get("$filter", "").rsplit("/", 1)[-1].strip("'")
        what = Target("azure", wanted, f"/{scope}")
        with self.tenant.lock:
            policy = self.tenant.policy(what.policy_key)
            named = self.tenant.approvers(policy) if policy.approval_required else []
            written = rules(policy, [single_user(p.oid, p.name) for p in named])
        # Rules are Graph's, without its type names.
        effective = [{k: v for k, v in rule.items() if k != "@odata.type"} for rule in written]
        properties = {
            "scope": what.scope,
            "roleDefinitionId": _definition(what),
            "policyId": f"{what.scope}{BASE}/roleManagementPolicies/{guid(what.policy_key)}",
            "effectiveRules": effective,
        }
        name = f"{guid(what.policy_key)}_{what.id}"
        kind = "Microsoft.Authorization/roleManagementPolicyAssignment"
        path = f"{what.scope}{BASE}/roleManagementPolicyAssignment/{name}"
        return self._list([{"properties": properties, "name": name, "id": path, "type": kind}])

    def stages(self, number: str) -> Response:
        person = self.caller(SCOPE).person
        with self.tenant.lock:
            activation.settle(self.tenant)
            asked = approving.of(self.tenant, number, "azure")
            if person.oid != asked.principal and not approving.may_decide(asked, person):
                raise refusals.denied()
            return jsonify(value=[_stage(asked, self.tenant.by_oid)])

    def decide(self, number: str, stage: str) -> Response:
        approver = self.caller(SCOPE).person
        body = request.get_json(silent=True)
        properties = body.get("properties") if isinstance(body, dict) else None
        properties = properties if isinstance(properties, dict) else {}
        result = properties.get("reviewResult")
        if stage != number or result not in ("Approve", "Deny"):
            raise refusals.bad_request("The property 'reviewResult' is Approve or Deny.")
        with self.tenant.lock:
            reason = str(properties.get("justification", ""))
            activation.decide_approval(self.tenant, number, approver, result, reason, "azure")
            return jsonify(_stage(self.tenant.requests[number], self.tenant.by_oid))

    def _list(self, rows: list[Row]) -> Response:
        skip = int(request.args.get("$skiptoken", "0"))
        answer: Row = {"value": rows[skip : skip + PAGE]}
        if skip + PAGE < len(rows):
            more = {**request.args.to_dict(), "$skiptoken": str(skip + PAGE)}
            answer["nextLink"] = f"{self.tenant.arm_url}{request.path}?{urlencode(more)}"
        return jsonify(answer)


def _only(*allowed: str) -> None:
    if request.args.get("$filter") not in allowed:
        raise refusals.GraphError(400, "InvalidFilter", f"The filter must be one of {', '.join(allowed)}.")


def _definition(what: Target) -> str:
    subscription = "/".join(what.scope.split("/")[:3])
    return f"{subscription}{BASE}/roleDefinitions/{what.id}"


def _named(what: Target, person: Row) -> Row:
    return {
        "scope": {"id": what.scope, "displayName": what.scope.rsplit("/", 1)[-1], "type": "subscription"},
        "roleDefinition": {"id": _definition(what), "displayName": what.name, "type": "BuiltInRole"},
        "principal": {**person, "type": "User"},
    }


def _row(what: Target, kind: str, name: str, properties: Row) -> Row:
    path = f"{what.scope}{BASE}/{kind}/{name}"
    return {"properties": properties, "name": name, "id": path, "type": f"Microsoft.Authorization/{kind}"}


def _eligibility(person: Person, row: Eligibility) -> Row:
    what = row.target
    properties = {
        "roleEligibilityScheduleId": f"{what.scope}{BASE}/RoleEligibilitySchedules/{row.schedule_id}",
        "scope": what.scope,
        "roleDefinitionId": _definition(what),
        "principalId": person.oid,
        "principalType": "User",
        "status": "Provisioned",
        "startDateTime": plain(row.start),
        "endDateTime": seven_digits(row.end) if row.end else None,
        "memberType": row.member_type,
        "expandedProperties": _named(what, {"id": person.oid, "displayName": person.name}),
    }
    return _row(what, "roleEligibilityScheduleInstances", row.schedule_id, properties)


def _instance(row: Instance) -> Row:
    what = row.what
    properties = {
        "roleAssignmentScheduleId": f"{what.scope}{BASE}/RoleAssignmentSchedules/{row.request_id}",
        "linkedRoleEligibilityScheduleInstanceId": row.eligibility_id,
        "scope": what.scope,
        "roleDefinitionId": _definition(what),
        "principalId": row.principal,
        "principalType": "User",
        "status": "Provisioned",
        "startDateTime": seven_digits(row.start),
        "endDateTime": seven_digits(row.end),
        "assignmentType": "Activated",
        "memberType": "Direct",
        "expandedProperties": _named(what, {"id": row.principal}),
    }
    return _row(what, "roleAssignmentScheduleInstances", guid(row.id), properties)


def _request(row: ScheduleRequest) -> Row:
    what, approval = row.what, None
    if row.approval_id:
        approval = f"{BASE}/roleAssignmentApprovals/{row.approval_id}"
    expiration = {**row.expiration, "type": row.expiration["type"][0].upper() + row.expiration["type"][1:]}
    properties = {
        "targetRoleAssignmentScheduleId": row.schedule_id,
        "targetRoleAssignmentScheduleInstanceId": None,
        "linkedRoleEligibilityScheduleId": row.linked,
        "scope": what.scope,
        "roleDefinitionId": _definition(what),
        "principalId": row.principal,
        "principalType": "User",
        "requestType": row.action[0].upper() + row.action[1:],
        "status": row.status,
        "approvalId": approval,
        "scheduleInfo": {"startDateTime": seven_digits(row.start) if row.start else None, "expiration": expiration},
        "ticketInfo": row.ticket or {"ticketNumber": None, "ticketSystem": None},
        "justification": row.justification,
        "requestorId": row.principal,
        "createdOn": seven_digits(row.created),
        "expandedProperties": _named(what, {"id": row.principal}),
    }
    return _row(what, "RoleAssignmentScheduleRequests", row.id, properties)


def _stage(row: ScheduleRequest, by_oid: Callable[[str], Person | None]) -> Row:
    review = row.review
    reviewer = by_oid(review.by) if review else None
    properties = {
        "displayName": None,
        "status": "InProgress" if row.status == "PendingApproval" else "Completed",
        "assignedToMe": row.status == "PendingApproval",
        "reviewResult": review.result if review else "NotReviewed",
        "justification": review.reason if review else "",
        "reviewedBy": {"principalId": reviewer.oid, "principalName": reviewer.name} if reviewer else None,
        "reviewedDateTime": seven_digits(review.at) if review else None,
    }
    path = f"{BASE}/roleAssignmentApprovals/{row.id}/stages/{row.id}"
    kind = "Microsoft.Authorization/roleAssignmentApprovals/stages"
    return {"properties": properties, "name": row.id, "id": path, "type": kind}
