"""What a role lets a technician do, and what it does not, in the words of the desk.

Source: learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference and
.../delegate-by-task; the ids are the same in every tenant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flask_babel import gettext
from flask_babel import lazy_gettext as _

from integration.rule import PLACES
from integration.targets import Target, TargetKind


@dataclass(frozen=True)
class RoleWords:
    allows: str
    not_: str


_ROLES: Mapping[str, RoleWords] = {
    "966707d0-3269-4727-9be2-8c3a10f19b9d": RoleWords(
        _("Reset the password of people who hold no administrator role."),
        _("Not: change their MFA methods, or touch administrators."),
    ),
    "729827e3-9c14-49f7-bb1b-9608f156bbb8": RoleWords(
        _("Reset passwords and end the sessions of people who hold no administrator role; read BitLocker keys."),
        _("Not: change MFA methods, or touch administrators of higher roles."),
    ),
    "fe930be7-5e62-47db-91af-98c3a49a38b1": RoleWords(
        _("Create, change and delete users and groups; reset passwords of people and of some administrators."),
        _("Not: change MFA methods, or touch administrators of higher roles."),
    ),
    "c4e39bd9-1100-46d3-8c65-fb160da0071f": RoleWords(
        _("Reset MFA methods and passwords of people who hold no administrator role; give a Temporary Access Pass."),
        _("Not: change the organisation's MFA policies, or touch most administrators."),
    ),
    "7be44c8a-adaf-4e2a-84d6-ab2649e08a13": RoleWords(
        _("Reset MFA methods and passwords of everybody, Global Administrators included."),
        _("Not: change the organisation's MFA policies. This role is very powerful: use it for this ticket alone."),
    ),
    "7698a772-787b-4ac8-901f-60d6b08affd2": RoleWords(
        _("Read BitLocker keys; enable, disable and delete devices in Entra."),
        _("Not: change device settings or policies, or anything about users."),
    ),
    "4a5d8f65-41da-4de4-8968-e035b65339cf": RoleWords(
        _("Read sign-in logs, audit logs and usage reports."),
        _("Not: change anything."),
    ),
    "5d6b6bb7-de71-4623-b4af-96380a352509": RoleWords(
        _("Read sign-in logs, audit logs, risky sign-ins and BitLocker keys."),
        _("Not: change anything."),
    ),
    "f2ef992c-3afb-46b9-b7cf-a126ee74c451": RoleWords(
        _("Read almost everything that an administrator can read."),
        _("Not: change anything."),
    ),
    "88d8e3e3-8f55-4a1e-953a-9b9898b8876b": RoleWords(
        _("Read basic facts about users, groups and devices."),
        _("Not: change anything."),
    ),
}


def role_words(target: Target) -> RoleWords | None:
    """None for a role that we have no words for: a tenant's own, a group's or an Azure role."""
    return _ROLES.get(target.id.lower()) if target.kind is TargetKind.DIRECTORY_ROLE else None


def titles() -> dict[TargetKind, str]:
    """The kinds of role, as a page names them over a list of them."""
    return {
        TargetKind.DIRECTORY_ROLE: str(gettext("Directory roles")),
        TargetKind.GROUP: str(gettext("Groups")),
        TargetKind.AZURE_ROLE: str(gettext("Azure resources")),
    }


def where(scope: str) -> str:
    """`place`, in the reader's language."""
    return str(gettext(PLACES[scope]) if scope in PLACES else gettext("at %(scope)s", scope=scope))
