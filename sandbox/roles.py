"""Built-in directory roles: their template ids are the same in every tenant (Microsoft's role list, Jan 2026)."""

from __future__ import annotations

ROLES: dict[str, str] = {
    "966707d0-3269-4727-9be2-8c3a10f19b9d": "Password Administrator",
    "729827e3-9c14-49f7-bb1b-9608f156bbb8": "Helpdesk Administrator",
    "fe930be7-5e62-47db-91af-98c3a49a38b1": "User Administrator",
    "c4e39bd9-1100-46d3-8c65-fb160da0071f": "Authentication Administrator",
    "7be44c8a-adaf-4e2a-84d6-ab2649e08a13": "Privileged Authentication Administrator",
    "7698a772-787b-4ac8-901f-60d6b08affd2": "Cloud Device Administrator",
    "4a5d8f65-41da-4de4-8968-e035b65339cf": "Reports Reader",
    "5d6b6bb7-de71-4623-b4af-96380a352509": "Security Reader",
    "f2ef992c-3afb-46b9-b7cf-a126ee74c451": "Global Reader",
    "88d8e3e3-8f55-4a1e-953a-9b9898b8876b": "Directory Readers",
    "3a2c62db-5318-420d-8d74-23affee5d9d5": "Intune Administrator",
    "194ae4cb-b126-40b2-bd5b-6091b380977d": "Security Administrator",
    "e8611ab8-c189-46e8-94e1-60213ab1f814": "Privileged Role Administrator",
    "62e90394-69f5-4237-9190-012177145e10": "Global Administrator",
}
ID_OF = {name: role_id for role_id, name in ROLES.items()}
# Graph's page on directoryAudits names these three; the wider readers hold the same permission.
MAY_READ_AUDIT = {ID_OF[n] for n in ("Reports Reader", "Security Reader", "Security Administrator", "Global Reader")}
# Approvers of a policy that names none (Microsoft's page on approving requests in PIM).
MAY_APPROVE = {ID_OF[n] for n in ("Privileged Role Administrator", "Global Administrator")}


def role_id(name_or_id: str) -> str:
    """A role's template id from its name or its id. KeyError if the practice tenant has no such role."""
    return name_or_id if name_or_id in ROLES else ID_OF[name_or_id]
