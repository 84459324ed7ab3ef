"""Who lives in the practice tenant, and what they may activate. Names are roles: nobody is made up."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.roles import ID_OF, ROLES

DOMAIN = "practice.example"


def guid(name: str) -> str:
    """The same GUID on each start, so that a product's database outlives a restart of the sandbox."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{DOMAIN}"))


TENANT_ID = guid("tenant")
CLIENT_ID = guid("client")


@dataclass
class Eligibility:
    role_id: str
    scope: str = "/"
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
    standing: list[str] = field(default_factory=list)
    app_roles: list[str] = field(default_factory=list)
    agent: bool = True
    enabled: bool = True
    mail: str = ""
    upn: str = ""
    # The address that the helpdesk has for this person, when it is not the tenant's.
    helpdesk_mail: str = ""
    # A silent refresh with a claims challenge: "refuse" (interaction_required) or "ignore" (a token without it).
    silent_step_up: str = "refuse"
    sign_in_generation: int = 0
    token_generation: int = 0

    def __post_init__(self) -> None:
        self.oid = guid(self.key)
        self.upn = self.upn or f"{self.key}@{DOMAIN}"
        self.mail = self.mail or self.upn
        self.account = self.key
        self.token = "desk_" + secrets.token_urlsafe(24)

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
                {"role": ROLES[e.role_id], "roleDefinitionId": e.role_id, "directoryScopeId": e.scope}
                for e in self.eligible
            ],
            "helpdesk_account": self.account,
            "helpdesk_password_or_token": self.token,
        }


def eligible(*names: str) -> list[Eligibility]:
    return [Eligibility(ID_OF[name]) for name in names]


def everybody() -> dict[str, Person]:
    """A fresh set of people, by key."""
    technician = eligible(
        "Password Administrator",
        "Authentication Administrator",
        "Helpdesk Administrator",
        "Cloud Device Administrator",
        "Reports Reader",
    )
    people = [
        Person("technician", "Technician One", technician),
        Person("technician2", "Technician Two", eligible("Authentication Administrator")),
        Person("ineligible", "Technician Without Roles"),
        Person("requester", "Requester One", agent=False),
        Person("approver", "Approver One"),
        Person("auditor", "Auditor One", standing=[ID_OF["Reports Reader"]], app_roles=["Auditor"]),
        Person("administrator", "Administrator One", app_roles=["Administrator"]),
    ]
    return {person.key: person for person in people}
