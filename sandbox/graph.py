"""Microsoft Graph as far as PIM for directory roles and groups, policies, audit and looking things up go."""

from __future__ import annotations

from flask import Flask, Response, request

from sandbox import activation, answers, envelope, odata, refusals, views
from sandbox.approvals import GROUP_PATH, GROUP_SCOPES, ROLE_PATH, ROLE_SCOPES, Approvals
from sandbox.bearer import Bearer
from sandbox.directory import Directory
from sandbox.group_words import GROUP_WORDS
from sandbox.policies import policy_assignment, rules, single_user
from sandbox.probes import Probes
from sandbox.role_words import READ, ROLE_WORDS
from sandbox.roles import MAY_READ_AUDIT, ROLES
from sandbox.schedules import Schedules
from sandbox.targets import ACCESS, GROUPS, Target, guid
from sandbox.tenant import Tenant
from sandbox.tokens import Keys

ROLE_POLICY = ("RoleManagementPolicy.Read.Directory", "RoleManagementPolicy.ReadWrite.Directory", *READ)
GROUP_POLICY = ("RoleManagementPolicy.Read.AzureADGroup", "RoleManagementPolicy.ReadWrite.AzureADGroup")
BASE = ROLE_WORDS.base


class Graph:
    def __init__(self, tenant: Tenant, keys: Keys) -> None:
        self.tenant = tenant
        self.bearer = Bearer(tenant, keys)
        self.caller = self.bearer.caller

    def app(self) -> Flask:
        app = Flask(__name__)
        app.json.sort_keys = False  # type: ignore[attr-defined]
        app.add_url_rule(BASE + "/roleDefinitions", view_func=self.role_definitions)
        app.add_url_rule(BASE + "/roleDefinitions/<number>", view_func=self.role_definition)
        app.add_url_rule("/v1.0/policies/roleManagementPolicyAssignments", view_func=self.policies)
        app.add_url_rule("/v1.0/auditLogs/directoryAudits", view_func=self.audits)
        app.register_blueprint(Directory(self.tenant, self.bearer).blueprint())
        app.register_blueprint(Probes(self.tenant, self.bearer).blueprint())
        for words in (ROLE_WORDS, GROUP_WORDS):
            app.register_blueprint(Schedules(self.tenant, self.caller, words).blueprint())
        for kind, path, parts, scopes in (
            ("role", ROLE_PATH, "steps", ROLE_SCOPES),
            ("group", GROUP_PATH, "stages", GROUP_SCOPES),
        ):
            app.register_blueprint(Approvals(self.tenant, self.caller, kind, path, parts, scopes).blueprint())
        envelope.wrap(app)
        return app

    def role_definitions(self) -> Response:
        self.caller(*READ)
        return answers.many(self.tenant, [views.role_definition(r) for r in ROLES], "roleDefinitions")

    def role_definition(self, number: str) -> Response:
        self.caller(*READ)
        if number not in ROLES:
            raise refusals.not_found(number)
        return answers.one(views.role_definition(number), "roleManagement/directory/roleDefinitions/$entity")

    def policies(self) -> Response:
        text = request.args.get("$filter", "")
        kind = next((k for k in ("Directory", "DirectoryRole", "Group") if f"scopeType eq '{k}'" in text), "")
        self.caller(*(GROUP_POLICY if kind == "Group" else ROLE_POLICY))
        if "scopeId eq " not in text or not kind:
            raise refusals.bad_request("A $filter on scopeId and scopeType is required.")
        with self.tenant.lock:
            if kind == "Group":
                every = [Target("group", number, access) for number in GROUPS for access in ACCESS]
            else:
                every = [Target("role", role, "/") for role in ROLES]
            rows = [self._policy(what, kind, request.args.get("$expand", "")) for what in every]
        return answers.many(self.tenant, rows, "policies/roleManagementPolicyAssignments")

    def _policy(self, what: Target, kind: str, expand: str) -> odata.Row:
        policy = self.tenant.policy(what.policy_key)
        named = self.tenant.approvers(policy) if policy.approval_required else []
        written = rules(policy, [single_user(p.oid, p.name) for p in named])
        end = guid(f"policy-{what.policy_key}")
        if what.kind == "group":
            return policy_assignment(f"Group_{what.id}_{end}", (what.id, kind), what.scope, written, expand)
        return policy_assignment(f"{kind}_{self.tenant.tenant_id}_{end}", ("/", kind), what.id, written, expand)

    def audits(self) -> Response:
        person = self.caller("AuditLog.Read.All").person
        with self.tenant.lock:
            activation.settle(self.tenant)
            rows_of = self.tenant.instances.values()
            mine = (r.what.id for r in rows_of if r.principal == person.oid and r.what.kind == "role")
            if not MAY_READ_AUDIT & {*person.standing, *mine}:
                raise refusals.unsupported_role()
            now = self.tenant.clock.now()
            rows = [row for visible, row in self.tenant.audit if visible <= now]
        rows.sort(key=lambda row: str(row["activityDateTime"]), reverse=True)
        return answers.many(self.tenant, rows, "auditLogs/directoryAudits")
