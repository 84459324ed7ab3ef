"""Where the harmless reads stand, by which it is seen that a role has begun to work.

Source: the pages of list signIns, list directoryAudits and list recoveryKeys under learn.microsoft.com/graph/api.
"""

from integration.targets import Probe

_PROBES = {
    Probe.SIGN_IN_LOGS: ("/auditLogs/signIns", "AuditLog.Read.All"),
    Probe.AUDIT_LOGS: ("/auditLogs/directoryAudits", "AuditLog.Read.All"),
    Probe.BITLOCKER_KEYS: ("/informationProtection/bitlocker/recoveryKeys", "BitlockerKey.ReadBasic.All"),
}


def path(probe: Probe) -> str:
    return _PROBES[probe][0]


def scope(probe: Probe) -> str:
    """The permission that it needs."""
    return _PROBES[probe][1]
