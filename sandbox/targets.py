"""What can be activated: a directory role, a membership of a group, a role on an Azure resource. One type for all."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sandbox.roles import ID_OF, ROLES

DOMAIN = "practice.example"


def guid(name: str) -> str:
    """The same GUID on each start, so that a product's database outlives a restart of the sandbox."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{DOMAIN}"))


@dataclass(frozen=True)
class Target:
    """`kind` is role, group or azure; `id` the role's or the group's; `scope` the directory scope, access or path."""

    kind: str
    id: str
    scope: str

    @property
    def policy_key(self) -> str:
        """A directory role has one policy for all scopes; a group one per access; Azure one per role and scope."""
        return self.id if self.kind == "role" else f"{self.id}_{self.scope}"

    @property
    def name(self) -> str:
        """Of the role or of the group. KeyError when the tenant has no such thing."""
        return {"role": ROLES, "group": GROUPS, "azure": AZURE_ROLES}[self.kind][self.id]

    def exists(self) -> bool:
        return self.id in {"role": ROLES, "group": GROUPS, "azure": AZURE_ROLES}[self.kind]


def unit_id(key: str) -> str:
    """The id of an administrative unit."""
    return guid(f"unit-{key}")


def scope_named(text: str) -> str:
    """A directory scope from `unit:KEY` or `person:KEY`; any other text as it is."""
    kind, _, key = text.partition(":")
    return {"unit": f"/administrativeUnits/{unit_id(key)}", "person": f"/{guid(key)}"}.get(kind, text)


GROUPS = {guid(f"group-{name}"): name for name in ("Exchange helpers", "Device owners")}
ACCESS = ("member", "owner")
SUBSCRIPTION = f"/subscriptions/{guid('subscription')}"
RESOURCE_GROUP = f"{SUBSCRIPTION}/resourceGroups/practice"
# Built-in Azure roles have the same id in every subscription (Microsoft's list of Azure built-in roles).
AZURE_ROLES = {
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "9980e02c-c2be-4d73-94e8-173b1dc7cf3c": "Virtual Machine Contributor",
    "1c0163c0-47e6-4577-8991-ea5c82e286e4": "Virtual Machine Administrator Login",
}


def role(name_or_id: str, scope: str = "/") -> Target:
    return Target("role", name_or_id if name_or_id in ROLES else ID_OF[name_or_id], scope)


def group(name_or_id: str, access: str = "member") -> Target:
    """KeyError when there is no such group, ValueError when there is no such access."""
    if access not in ACCESS:
        raise ValueError(f"The access to a group is {' or '.join(ACCESS)}.")
    ids = {name: number for number, name in GROUPS.items()}
    return Target("group", name_or_id if name_or_id in GROUPS else ids[name_or_id], access)


def azure(name_or_id: str, scope: str = SUBSCRIPTION) -> Target:
    ids = {name: number for number, name in AZURE_ROLES.items()}
    return Target("azure", name_or_id if name_or_id in AZURE_ROLES else ids[name_or_id], scope)


def named(text: str, scope: str | None = None) -> Target:
    """What a path of the control API means: a role, a group (or `group/owner`), an Azure role. KeyError for none."""
    head, _, access = text.partition("/")
    if head in GROUPS or head in GROUPS.values():
        return group(head, access or "member")
    if text in AZURE_ROLES or text in AZURE_ROLES.values():
        return azure(text, scope or SUBSCRIPTION)
    return role(text)
