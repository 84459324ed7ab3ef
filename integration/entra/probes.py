"""Harmless reads, by which it is seen that a role has begun to work.

Source: the pages of list signIns, list directoryAudits and list recoveryKeys under learn.microsoft.com/graph/api.
"""

from enum import StrEnum


class Probe(StrEnum):
    """A harmless read that only works once a role does."""

    SIGN_IN_LOGS = "sign_in_logs"
    AUDIT_LOGS = "audit_logs"
    BITLOCKER_KEYS = "bitlocker_keys"

    @property
    def path(self) -> str:
        return _PROBES[self][0]

    @property
    def scope(self) -> str:
        return _PROBES[self][1]


_PROBES = {
    Probe.SIGN_IN_LOGS: ("/auditLogs/signIns", "AuditLog.Read.All"),
    Probe.AUDIT_LOGS: ("/auditLogs/directoryAudits", "AuditLog.Read.All"),
    Probe.BITLOCKER_KEYS: ("/informationProtection/bitlocker/recoveryKeys", "BitlockerKey.ReadBasic.All"),
}
