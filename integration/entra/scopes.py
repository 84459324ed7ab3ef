"""Which permissions are asked for. A list stays the same for a whole deployment: tokens are found again by it.

Source: learn.microsoft.com/graph/permissions-reference, delegated and least privileged.
"""

from urllib.parse import urljoin

from integration.entra.client import EntraSettings
from integration.entra.probes import SCOPE
from integration.targets import TargetKind

GRAPH_SCOPES = (
    "User.Read",
    "RoleAssignmentSchedule.ReadWrite.Directory",
    "RoleEligibilitySchedule.Read.Directory",
    "RoleManagementPolicy.Read.Directory",
)
GROUP_SCOPES = (
    "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup",
    "PrivilegedEligibilitySchedule.Read.AzureADGroup",
    "RoleManagementPolicy.Read.AzureADGroup",
)
UNIT_SCOPES = ("User.ReadBasic.All", "AdministrativeUnit.Read.All")
REVOKE_SCOPES = ("User.RevokeSessions.All",)
FRESH_SCOPES = ("User.Read",)


def graph(settings: EntraSettings) -> tuple[str, ...]:
    """What the token for Graph is asked with."""
    groups = GROUP_SCOPES if TargetKind.GROUP in settings.kinds else ()
    return GRAPH_SCOPES + groups + (UNIT_SCOPES if settings.by_unit else ())


def arm(settings: EntraSettings) -> tuple[str, ...]:
    """What the token for Azure Resource Manager is asked with."""
    return (urljoin(settings.arm_url, "/user_impersonation"),)


def of(kind: TargetKind, settings: EntraSettings) -> tuple[str, ...]:
    return arm(settings) if kind is TargetKind.AZURE_ROLE else graph(settings)


def consented(settings: EntraSettings) -> tuple[str, ...]:
    """Everything that a sign-in asks consent for, of all resources."""
    wanted = [*graph(settings), *sorted({SCOPE[probe] for probe in settings.probes})]
    wanted += REVOKE_SCOPES if settings.revokes_sessions else ()
    wanted += arm(settings) if TargetKind.AZURE_ROLE in settings.kinds else ()
    return tuple(wanted)
