"""Where the harmless reads are, by which it is seen that a role has begun to work, and with which permission.

Source: the pages of list signIns, list directoryAudits and list recoveryKeys under learn.microsoft.com/graph/api.
"""

from integration.targets import Probe

PATH = {
    Probe.SIGN_IN_LOGS: "/auditLogs/signIns",
    Probe.AUDIT_LOGS: "/auditLogs/directoryAudits",
    Probe.BITLOCKER_KEYS: "/informationProtection/bitlocker/recoveryKeys",
}
SCOPE = {
    Probe.SIGN_IN_LOGS: "AuditLog.Read.All",
    Probe.AUDIT_LOGS: "AuditLog.Read.All",
    Probe.BITLOCKER_KEYS: "BitlockerKey.ReadBasic.All",
}
