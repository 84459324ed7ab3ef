"""Reads that only a role allows: sign-in logs and BitLocker keys. A role counts some time after its activation."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Response

from sandbox import activation, answers, refusals
from sandbox.bearer import Bearer
from sandbox.roles import ID_OF, MAY_READ_AUDIT
from sandbox.rules import Caller
from sandbox.tenant import Tenant

MAY_READ_KEYS = {
    ID_OF[name] for name in ("Cloud Device Administrator", "Helpdesk Administrator", "Security Reader", "Global Reader")
}


class Probes:
    def __init__(self, tenant: Tenant, bearer: Bearer) -> None:
        self.tenant, self.bearer = tenant, bearer

    def blueprint(self) -> Blueprint:
        part = Blueprint("probes", __name__, url_prefix="/v1.0")
        part.add_url_rule("/auditLogs/signIns", view_func=self.sign_ins)
        part.add_url_rule("/informationProtection/bitlocker/recoveryKeys", view_func=self.keys)
        return part

    def sign_ins(self) -> Response:
        caller = self.bearer.reader("AuditLog.Read.All")
        if not self._counts(caller, MAY_READ_AUDIT):
            raise refusals.unsupported_role()
        return answers.many(self.tenant, [], "auditLogs/signIns")

    def keys(self) -> Response:
        caller = self.bearer.reader("BitlockerKey.ReadBasic.All", "BitlockerKey.Read.All")
        if not self._counts(caller, MAY_READ_KEYS):
            raise refusals.denied()
        return answers.many(self.tenant, [], "informationProtection/bitlocker/recoveryKeys")

    def _counts(self, caller: Caller, allowed: set[str]) -> bool:
        """Whether a role of the caller allows it by now, and their token is younger than its activation."""
        with self.tenant.lock:
            activation.settle(self.tenant)
            if allowed & set(caller.person.standing):
                return True
            lag, now = timedelta(seconds=self.tenant.role_delay), self.tenant.clock.now()
            rows = [r for r in self.tenant.instances.values() if r.principal == caller.person.oid]
            return any(r.what.kind == "role" and r.what.id in allowed and r.start + lag <= now for r in rows)
