"""What can be activated: a directory role at a scope, membership of a group, an Azure role at a scope."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class TargetKind(StrEnum):
    DIRECTORY_ROLE = "entra-role"
    GROUP = "entra-group"
    AZURE_ROLE = "azure-role"


class Probe(StrEnum):
    """A harmless read that only works once a role counts: what tells "usable" from "active"."""

    SIGN_IN_LOGS = "sign_in_logs"
    AUDIT_LOGS = "audit_logs"
    BITLOCKER_KEYS = "bitlocker_keys"


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
    """One target that a technician may activate for themselves. `name` is the tenant's display name of it.

    `until`: when that ends; None where it does not. `schedule_id`: what Azure wants an activation to name it by.
    """

    target: Target
    name: str
    until: datetime | None = None
    schedule_id: str = ""

    def lasts_longer_than(self, other: "Eligibility") -> bool:
        return other.until is not None and (self.until is None or self.until > other.until)


@dataclass(frozen=True)
class Affected:
    """Whom a ticket is about: their object id, and the ids of the administrative units that they are in."""

    user_id: str
    units: frozenset[str]


@dataclass(frozen=True)
class PolicyFacts:
    """What a tenant's policy asks for an activation. `maximum` is None where it is not known; `context`: c1, c2, ..."""

    maximum: timedelta | None = None
    mfa: bool = False
    context: str | None = None
    approval: bool = False
    approvers: tuple[str, ...] = ()
