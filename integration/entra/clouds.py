"""Microsoft's clouds: which hosts a tenant's sign-in, Graph and Azure Resource Manager are on.

Sources: learn.microsoft.com/graph/deployments and
learn.microsoft.com/entra/identity-platform/authentication-national-cloud.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cloud:
    login: str
    graph: str
    arm: str


_US_LOGIN, _US_ARM = "login.microsoftonline.us", "management.usgovcloudapi.net"
CLOUDS = {
    "public": Cloud("login.microsoftonline.com", "graph.microsoft.com", "management.azure.com"),
    "us_government": Cloud(_US_LOGIN, "graph.microsoft.us", _US_ARM),
    "us_dod": Cloud(_US_LOGIN, "dod-graph.microsoft.us", _US_ARM),
    "china": Cloud(
        "login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn", "management.chinacloudapi.cn"
    ),
}
# Where technicians' passwords and our credential may go.
LOGIN_HOSTS = frozenset(cloud.login for cloud in CLOUDS.values())
