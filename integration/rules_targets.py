"""What may stand in a list of `roles`. Every ValueError here ends a sentence that starts "In rule ..., "."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from integration.roles import BUILT_IN, Role, find
from integration.rule import REQUESTERS_UNIT, Wanted
from integration.targets import TargetKind
from integration.tickets import clean

# The same in every tenant. Source: learn.microsoft.com/azure/role-based-access-control/built-in-roles.
AZURE_ROLES: Mapping[str, str] = {
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "Virtual Machine Contributor": "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
    "Virtual Machine Administrator Login": "1c0163c0-47e6-4577-8991-ea5c82e286e4",
}
ACCESS = ("member", "owner")

_KEYS: Mapping[str, tuple[str, ...]] = {
    "role": ("role", "scope", "name"),
    "group": ("group", "access", "name"),
    "azure_role": ("azure_role", "scope", "name"),
}
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = re.compile(_GUID, re.IGNORECASE)
_SCOPE = re.compile(rf"/(?:(?:administrativeUnits/)?{_GUID})?", re.IGNORECASE)
_SEGMENT = r"[\w.()-]+"
_AZURE_SCOPE = re.compile(
    rf"/subscriptions/{_GUID}(?:/resourceGroups/{_SEGMENT}(?:/providers/{_SEGMENT}(?:/{_SEGMENT}){{2,10}})?)?"
    rf"|/providers/Microsoft\.Management/managementGroups/{_SEGMENT}",
    re.IGNORECASE | re.ASCII,
)


def wanted(value: Any) -> Wanted:
    """One item of `roles`. Its scope is empty where the rule's own counts."""
    if isinstance(value, str):
        role = _role(value)
        return Wanted(TargetKind.DIRECTORY_ROLE, role.id, "", role.name)
    if not isinstance(value, dict):
        raise ValueError(
            'roles must be names in quotes, like ["Password Administrator"], or tables, like { group = "<group id>" }.'
        )
    kinds = [key for key in _KEYS if key in value]
    if len(kinds) != 1:
        raise ValueError(_which(value, kinds))
    _check_keys(value, kinds[0])
    return {"role": _directory_role, "group": _group, "azure_role": _azure_role}[kinds[0]](value)


def scope(value: str) -> str:
    """A directory role's scope."""
    if value.casefold() == REQUESTERS_UNIT:
        return REQUESTERS_UNIT
    if close := get_close_matches(value.casefold(), [REQUESTERS_UNIT], n=1, cutoff=0.7):
        raise ValueError(f'the scope "{clean(value)}" is none. Did you mean "{close[0]}"?')
    if not _SCOPE.fullmatch(value):
        raise ValueError(
            f'the scope "{clean(value)}" is none. Write "/", "/administrativeUnits/<id>", "/<object id>" or '
            f'"{REQUESTERS_UNIT}".'
        )
    return value


def said_twice(targets: tuple[Wanted, ...]) -> str | None:
    """The name of the first target that stands there a second time."""
    seen: set[tuple[str, str, str]] = set()
    for it in targets:
        key = (it.kind.value, it.id.casefold(), it.scope.casefold())
        if key in seen:
            return it.name
        seen.add(key)
    return None


def _which(value: Mapping[str, Any], kinds: list[str]) -> str:
    if kinds:
        return f'one entry of "roles" has both "{kinds[0]}" and "{kinds[1]}". Write two entries.'
    for key in value:
        if close := get_close_matches(str(key).casefold(), _KEYS, n=1):
            return f'an entry of "roles" has an unknown key "{clean(key)}". Did you mean "{close[0]}"?'
    return 'an entry of "roles" names nothing. It needs one of the keys "role", "group" and "azure_role".'


def _check_keys(value: Mapping[str, Any], kind: str) -> None:
    known = _KEYS[kind]
    for key, held in value.items():
        if key == "scope" and kind == "group":
            raise ValueError('a group has no scope. Write access = "member" or "owner", or nothing for "member".')
        if key not in known:
            close = get_close_matches(str(key).casefold(), known, n=1)
            hint = f'Did you mean "{close[0]}"?' if close else f"Known keys: {', '.join(known)}."
            raise ValueError(f'an entry of "roles" has an unknown key "{clean(key)}". {hint}')
        if not isinstance(held, str):
            raise ValueError(f'in an entry of "roles", "{key}" must be text in quotes.')
        if not held or clean(held, limit=1000) != held:
            raise ValueError(f'in an entry of "roles", "{key}" is empty or holds characters that cannot be seen.')
    if len(value.get("name", "")) > 100:
        raise ValueError('in an entry of "roles", the name is longer than 100 characters. Pages show it: shorten it.')


def _directory_role(value: Mapping[str, Any]) -> Wanted:
    role = _role(value["role"])
    own = scope(value["scope"]) if "scope" in value else ""
    return Wanted(TargetKind.DIRECTORY_ROLE, role.id, own, value.get("name", role.name))


def _group(value: Mapping[str, Any]) -> Wanted:
    group, access = value["group"].casefold(), value.get("access", "member")
    if not _ID.fullmatch(group):
        raise ValueError(
            f"\"{clean(value['group'])}\" is no group's id. Write its object id from the group's page in the "
            "tenant: names of groups are not unique."
        )
    if access not in ACCESS:
        close = get_close_matches(access.casefold(), ACCESS, n=1)
        hint = f'Did you mean "{close[0]}"?' if close else 'Write "member" or "owner".'
        raise ValueError(f'"access" cannot be "{access}". {hint}')
    return Wanted(TargetKind.GROUP, group, access, value.get("name", group))


def _azure_role(value: Mapping[str, Any]) -> Wanted:
    word = value["azure_role"].casefold()
    by_name = {name.casefold(): name for name in AZURE_ROLES}
    by_id = {role_id: name for name, role_id in AZURE_ROLES.items()}
    if word not in by_name and not _ID.fullmatch(word):
        close = get_close_matches(word, by_name, n=1, cutoff=0.7)
        names = ", ".join(AZURE_ROLES)
        hint = (
            f'Did you mean "{by_name[close[0]]}"?' if close else f"Write the role definition's id, or one of: {names}."
        )
        raise ValueError(f'there is no Azure role "{clean(value["azure_role"])}" here. {hint}')
    if "scope" not in value:
        raise ValueError(
            'an Azure role needs a scope, like scope = "/subscriptions/<id>". Azure has no default for it.'
        )
    if not _AZURE_SCOPE.fullmatch(value["scope"]):
        raise ValueError(
            f'the scope "{value["scope"]}" is none of Azure\'s. Write "/subscriptions/<id>", with '
            '"/resourceGroups/<name>" behind it if you like, and no slash at the end.'
        )
    name = by_name.get(word) or by_id.get(word) or word
    role_id = AZURE_ROLES.get(name, word)
    return Wanted(TargetKind.AZURE_ROLE, role_id, value["scope"], value.get("name", name))


def _role(word: str) -> Role:
    if known := find(word):
        return known
    folded = word.strip().casefold()
    if close := get_close_matches(folded, [r.name.casefold() for r in BUILT_IN], n=1, cutoff=0.7):
        raise ValueError(f'there is no role "{word}". Did you mean "{_known(close[0]).name}"?')
    # All but a built-in id: a slip of the pen. Any other id is a custom role, which only the tenant knows.
    if close := get_close_matches(folded, [r.id for r in BUILT_IN], n=1, cutoff=0.9):
        raise ValueError(f'there is no role "{word}". Did you mean "{close[0]}" ({_known(close[0]).name})?')
    if _ID.fullmatch(folded):
        return Role(folded, folded)
    names = ", ".join(role.name for role in BUILT_IN)
    raise ValueError(f'there is no role "{word}". Write a template id, or one of: {names}.')


def _known(word: str) -> Role:
    role = find(word)
    assert role is not None
    return role
