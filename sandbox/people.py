"""Who lives in the practice tenant, and what they may activate. Names are roles: nobody is made up."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox import targets
from sandbox.roles import ID_OF
from sandbox.targets import DOMAIN, Target, guid

TENANT_ID = guid("tenant")
CLIENT_ID = guid("client")


@dataclass
class Eligibility:
    target: Target
    id: str = field(default_factory=lambda: secrets.token_urlsafe(32) + "-1-e")
    schedule_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    start: datetime = datetime(2026, 1, 5, 8, 0, 0, 110000, tzinfo=UTC)
    end: datetime | None = None
    member_type: str = "Direct"


@dataclass
class Person:
    key: str
    name: str
    eligible: list[Eligibility] = field(default_factory=list)
    groups: list[Eligibility] = field(default_factory=list)
    azure: list[Eligibility] = field(default_factory=list)
    standing: list[str] = field(default_factory=list)
    app_roles: list[str] = field(default_factory=list)
    agent: bool = True
    enabled: bool = True
    mail: str = ""
    upn: str = ""
    # The address that the helpdesk has for this person, when it is not the tenant's; None: it has none.
    helpdesk_mail: str | None = ""
    helpdesk_active: bool = True
    # A silent refresh with a claims challenge: "refuse" (interaction_required), "ignore" (a token without
    # it) or "grant" (a token with it).
    silent_step_up: str = "refuse"
    # Any refresh asks for MFA, as when a policy aims at a role that has just become active.
    refresh_needs_mfa: bool = False
    # The context without which Graph's edge answers this person 401 insufficient_claims, whatever they call.
    edge_context: str = ""
    sign_in_generation: int = 0
    token_generation: int = 0

    def __post_init__(self) -> None:
        self.oid = guid(self.key)
        self.upn = self.upn or f"{self.key}@{DOMAIN}"
        self.mail = self.mail or self.upn
        self.account = self.key
        self.token = "desk_" + secrets.token_urlsafe(24)

    def all_eligible(self) -> Iterator[Eligibility]:
        yield from (*self.eligible, *self.groups, *self.azure)

    def public(self) -> dict[str, object]:
        """This person as sandbox.json and the control API show them."""
        return {
            "key": self.key,
            "name": self.name,
            "upn": self.upn,
            "oid": self.oid,
            "mail": self.mail,
            "enabled": self.enabled,
            "app_roles": list(self.app_roles),
            "eligible": [
                {"role": e.target.name, "roleDefinitionId": e.target.id, "directoryScopeId": e.target.scope}
                for e in self.eligible
            ],
            "eligible_groups": [
                {"group": e.target.name, "groupId": e.target.id, "accessId": e.target.scope} for e in self.groups
            ],
            "eligible_azure": [
                {"role": e.target.name, "roleDefinitionId": e.target.id, "scope": e.target.scope} for e in self.azure
            ],
            "helpdesk_account": self.account,
            "helpdesk_password_or_token": self.token,
        }


def eligible(*names: str) -> list[Eligibility]:
    return [Eligibility(targets.role(name)) for name in names]


def everybody() -> dict[str, Person]:
    """A fresh set of people, by key."""
    technician = eligible(
        "Password Administrator",
        "Authentication Administrator",
        "Helpdesk Administrator",
        "Cloud Device Administrator",
        "Reports Reader",
    )
    groups = [Eligibility(targets.group(name)) for name in ("Exchange helpers", "Device owners")]
    azure = [
        Eligibility(targets.azure("Virtual Machine Administrator Login")),
        Eligibility(targets.azure("Reader", targets.RESOURCE_GROUP)),
    ]
    people = [
        Person("technician", "Technician One", technician, groups, azure),
        Person("technician2", "Technician Two", eligible("Authentication Administrator")),
        Person("ineligible", "Technician Without Roles"),
        Person("requester", "Requester One", agent=False),
        Person("approver", "Approver One"),
        Person("approver2", "Approver Two"),
        Person("auditor", "Auditor One", standing=[ID_OF["Reports Reader"]], app_roles=["Auditor"]),
        Person("administrator", "Administrator One", app_roles=["Administrator"]),
    ]
    return {person.key: person for person in people}
