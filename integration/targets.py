"""What can be activated: a directory role at a scope, membership of a group, an Azure role at a scope."""

from dataclasses import dataclass
from enum import StrEnum


class TargetKind(StrEnum):
    DIRECTORY_ROLE = "entra-role"
    GROUP = "entra-group"
    AZURE_ROLE = "azure-role"


@dataclass(frozen=True)
class Target:
    """`id` is the role definition's or group's id; `scope` is the tenant's own string and is echoed verbatim ("/").

    `key` is how rows and journal entries name it: `entra-role:966707d0-3269-4727-9be2-8c3a10f19b9d@/`.
    """

    kind: TargetKind
    id: str
    scope: str

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id}@{self.scope}"

    @staticmethod
    def from_key(key: str) -> "Target":
        kind, _, rest = key.partition(":")
        target_id, _, scope = rest.partition("@")
        return Target(TargetKind(kind), target_id, scope)


@dataclass(frozen=True)
class Eligibility:
    """One target that a technician may activate for themselves. `name` is the tenant's display name of it."""

    target: Target
    name: str
