"""Microsoft Graph v1.0 as far as PIM for directory roles, policies, audit and /me go."""

from __future__ import annotations

from flask import Flask, Response, request

from sandbox import activation, answers, approving, envelope, odata, refusals, views
from sandbox.approvals import ROLE_PATH, ROLE_SCOPES, Approvals
from sandbox.bearer import Bearer
from sandbox.directory import Directory
from sandbox.policies import policy_assignment, rules, single_user
from sandbox.roles import MAY_READ_AUDIT, ROLES
from sandbox.rules import Caller
from sandbox.targets import Target, guid
from sandbox.tenant import ScheduleRequest, Tenant
from sandbox.tokens import Keys

ELIGIBLE = (
    "RoleEligibilitySchedule.Read.Directory",
    "RoleEligibilitySchedule.ReadWrite.Directory",
    "RoleManagement.Read.Directory",
    "RoleManagement.Read.All",
    "RoleManagement.ReadWrite.Directory",
)
ACTIVE = (
    "RoleAssignmentSchedule.Read.Directory",
    "RoleAssignmentSchedule.ReadWrite.Directory",
    "RoleManagement.Read.Directory",
    "RoleManagement.Read.All",
    "RoleManagement.ReadWrite.Directory",
)
REQUESTS = ("RoleAssignmentSchedule.ReadWrite.Directory", "RoleManagement.ReadWrite.Directory")
ROLE_READ = ("RoleManagement.Read.Directory", "RoleManagement.Read.All", "RoleManagement.ReadWrite.Directory")
POLICY = ("RoleManagementPolicy.Read.Directory", "RoleManagementPolicy.ReadWrite.Directory", *ROLE_READ)
BASE = "/v1.0/roleManagement/directory"
MINE = "/filterByCurrentUser(on='<on>')"


class Graph:
    def __init__(self, tenant: Tenant, keys: Keys) -> None:
        self.tenant = tenant
        self.bearer = Bearer(tenant, keys)
        self.caller = self.bearer.caller

    def app(self) -> Flask:
        app = Flask(__name__)
        app.json.sort_keys = False  # type: ignore[attr-defined]
        add = app.add_url_rule
        add(BASE + "/roleEligibilityScheduleInstances" + MINE, view_func=self.eligibilities)
        add(BASE + "/roleAssignmentScheduleInstances" + MINE, view_func=self.instances)
        add(BASE + "/roleAssignmentScheduleRequests", view_func=self.post_request, methods=["POST"])
        add(BASE + "/roleAssignmentScheduleRequests" + MINE, view_func=self.my_requests)
        add(BASE + "/roleAssignmentScheduleRequests/<number>", view_func=self.one_request)
        add(BASE + "/roleAssignmentScheduleRequests/<number>/cancel", view_func=self.cancel, methods=["POST"])
        add(BASE + "/roleDefinitions", view_func=self.role_definitions)
        add(BASE + "/roleDefinitions/<number>", view_func=self.role_definition)
        add("/v1.0/policies/roleManagementPolicyAssignments", view_func=self.policies)
        add("/v1.0/auditLogs/directoryAudits", view_func=self.audits)
        app.register_blueprint(Directory(self.tenant, self.bearer).blueprint())
        app.register_blueprint(Approvals(self.tenant, self.caller, "role", ROLE_PATH, "steps", ROLE_SCOPES).blueprint())
        envelope.wrap(app)
        return app

    # Reading

    def eligibilities(self, on: str) -> Response:
        caller = self.caller(*ELIGIBLE)
        _only("principal", on)
        with self.tenant.lock:
            rows = [views.eligibility(caller.person, e, self.tenant.clock.now()) for e in caller.person.eligible]
        return answers.many(self.tenant, [r for r in rows if r], "unifiedRoleEligibilityScheduleInstance", _expand_role)

    def instances(self, on: str) -> Response:
        caller = self.caller(*ACTIVE)
        _only("principal", on)
        with self.tenant.lock:
            activation.settle(self.tenant)
            now = self.tenant.clock.now()
            rows = [views.standing(caller.person, role) for role in caller.person.standing]
            rows += [
                views.instance(row)
                for row in self.tenant.instances.values()
                if row.principal == caller.person.oid and row.visible <= now and row.what.kind == "role"
            ]
        return answers.many(self.tenant, rows, "unifiedRoleAssignmentScheduleInstance", _expand_role)

    def my_requests(self, on: str) -> Response:
        caller = self.caller(*REQUESTS)
        _only("principal createdBy approver", on)
        with self.tenant.lock:
            activation.settle(self.tenant)
            found = [views.schedule_request(r) for r in self.tenant.requests.values() if _is_for(caller, r, on, "role")]
        return answers.many(self.tenant, found, "unifiedRoleAssignmentScheduleRequest", _expand_role)

    def one_request(self, number: str) -> Response:
        caller = self.caller(*REQUESTS)
        with self.tenant.lock:
            asked = activation.mine(self.tenant, caller, number, "role")
            return answers.one(
                views.schedule_request(asked), "roleManagement/directory/roleAssignmentScheduleRequests/$entity"
            )

    def role_definitions(self) -> Response:
        self.caller(*ROLE_READ)
        return answers.many(self.tenant, [views.role_definition(r) for r in ROLES], "roleDefinitions", None)

    def role_definition(self, number: str) -> Response:
        self.caller(*ROLE_READ)
        if number not in ROLES:
            raise refusals.not_found(number)
        return answers.one(views.role_definition(number), "roleManagement/directory/roleDefinitions/$entity")

    def policies(self) -> Response:
        self.caller(*POLICY)
        text = request.args.get("$filter", "")
        kind = "Directory" if "scopeType eq 'Directory'" in text else "DirectoryRole"
        if "scopeId eq " not in text or f"scopeType eq '{kind}'" not in text:
            raise refusals.bad_request("A $filter on scopeId and scopeType is required.")
        expand = request.args.get("$expand", "")
        with self.tenant.lock:
            rows = [self._policy(role, kind, expand) for role in ROLES]
        return answers.many(self.tenant, rows, "policies/roleManagementPolicyAssignments", None)

    def _policy(self, role: str, kind: str, expand: str) -> odata.Row:
        policy = self.tenant.policy(role)
        approvers = [single_user(p.oid, p.name) for p in self.tenant.approvers(policy) if policy.approval_required]
        number = f"{kind}_{self.tenant.tenant_id}_{guid('policy-' + role)}"
        return policy_assignment(number, ("/", kind), role, rules(policy, approvers), expand)

    def audits(self) -> Response:
        caller = self.caller("AuditLog.Read.All")
        with self.tenant.lock:
            activation.settle(self.tenant)
            rows_of = self.tenant.instances.values()
            mine = (r.what.id for r in rows_of if r.principal == caller.person.oid and r.what.kind == "role")
            if not MAY_READ_AUDIT & {*caller.person.standing, *mine}:
                code = "Authentication_RequestFromUnsupportedUserRole"
                raise refusals.GraphError(403, code, "User is not in the allowed roles")
            now = self.tenant.clock.now()
            rows = [row for visible, row in self.tenant.audit if visible <= now]
        rows.sort(key=lambda row: row["activityDateTime"], reverse=True)
        return answers.many(self.tenant, rows, "auditLogs/directoryAudits", None)

    # Changing

    def post_request(self) -> tuple[Response, int]:
        caller = self.caller(*REQUESTS)
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            raise refusals.bad_request("Unable to read JSON request payload.")
        with self.tenant.lock:
            asked = activation.ask(self.tenant, caller, self._wanted(body))
            row = views.schedule_request(asked)
        row["isValidationOnly"] = body.get("isValidationOnly") is True
        return answers.one(row, "roleManagement/directory/roleAssignmentScheduleRequests/$entity"), 201

    def _wanted(self, body: odata.Row) -> activation.Wanted:
        action = activation.action_of(body)
        activation.check_license(self.tenant)
        for name in ("principalId", "roleDefinitionId", "directoryScopeId"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise refusals.bad_request(f"The property '{name}' is missing.")
        what = Target("role", body["roleDefinitionId"], body["directoryScopeId"])
        if not what.exists():
            raise refusals.GraphError(400, "RoleDefinitionDoesNotExist", "The role definition does not exist.")
        return activation.wanted(body, action, what)

    def cancel(self, number: str) -> tuple[str, int]:
        caller = self.caller(*REQUESTS)
        with self.tenant.lock:
            activation.cancel(self.tenant, caller, number)
        return "", 204


def _only(allowed: str, on: str) -> None:
    if on not in allowed.split():
        raise refusals.bad_request(f"Invalid value for the parameter 'on': {on}.")


def _is_for(caller: Caller, asked: ScheduleRequest, on: str, kind: str) -> bool:
    if asked.what.kind != kind:
        return False
    if on == "approver":
        return approving.may_decide(asked, caller.person)
    return asked.principal == caller.person.oid


def _expand_role(row: odata.Row) -> None:
    if "roleDefinitionId" in row:
        row["roleDefinition"] = views.role_definition(row["roleDefinitionId"])
