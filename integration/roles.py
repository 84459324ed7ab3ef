"""The built-in directory roles that a helpdesk meets, and what each allows, in plain words.

Template ids are equal in every tenant, and a built-in role's definition id is its template id. Source:
learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference (January 2026).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """A directory role by its definition id. `allows` is empty for a role that is not in BUILT_IN."""

    id: str
    name: str
    allows: str = ""


BUILT_IN: tuple[Role, ...] = (
    Role(
        "966707d0-3269-4727-9be2-8c3a10f19b9d",
        "Password Administrator",
        "reset passwords of people who are no administrators, and of other Password Administrators",
    ),
    Role(
        "729827e3-9c14-49f7-bb1b-9608f156bbb8",
        "Helpdesk Administrator",
        "reset passwords and end sessions of people who are no administrators, read BitLocker keys",
    ),
    Role(
        "fe930be7-5e62-47db-91af-98c3a49a38b1",
        "User Administrator",
        "create and delete users, reset passwords, those of limited administrators included",
    ),
    Role(
        "c4e39bd9-1100-46d3-8c65-fb160da0071f",
        "Authentication Administrator",
        "reset MFA, sign-in methods and passwords of people who are no administrators, give temporary access passes",
    ),
    Role(
        "7be44c8a-adaf-4e2a-84d6-ab2649e08a13",
        "Privileged Authentication Administrator",
        "reset MFA, sign-in methods and passwords of anybody, administrators included; very high risk",
    ),
    Role(
        "7698a772-787b-4ac8-901f-60d6b08affd2",
        "Cloud Device Administrator",
        "read BitLocker keys, enable, disable and delete devices",
    ),
    Role(
        "4a5d8f65-41da-4de4-8968-e035b65339cf",
        "Reports Reader",
        "read sign-in logs and audit logs",
    ),
    Role(
        "5d6b6bb7-de71-4623-b4af-96380a352509",
        "Security Reader",
        "read sign-in logs, audit logs, risky sign-ins and BitLocker keys",
    ),
    Role(
        "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
        "Global Reader",
        "read almost everything",
    ),
    Role(
        "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
        "Directory Readers",
        "read basic directory information",
    ),
    Role(
        "3a2c62db-5318-420d-8d74-23affee5d9d5",
        "Intune Administrator",
        "manage everything in Intune",
    ),
    Role(
        "194ae4cb-b126-40b2-bd5b-6091b380977d",
        "Security Administrator",
        "read security information and reports, manage security settings",
    ),
    Role(
        "e8611ab8-c189-46e8-94e1-60213ab1f814",
        "Privileged Role Administrator",
        "give roles to anybody; never needed to activate one's own",
    ),
    Role(
        "62e90394-69f5-4237-9190-012177145e10",
        "Global Administrator",
        "do everything; never needed to activate one's own roles",
    ),
)

_BY_NAME = {role.name.casefold(): role for role in BUILT_IN}
_BY_ID = {role.id: role for role in BUILT_IN}


def find(word: str) -> Role | None:
    """The built-in role of that name or template id, in any letter case; None where there is none."""
    return _BY_NAME.get(word.strip().casefold()) or _BY_ID.get(word.strip().casefold())
