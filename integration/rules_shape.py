"""The keys of a rule and what each may hold. Every ValueError here ends a sentence that starts "In rule ..., "."""

import re
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StrictBool, StrictStr, model_validator

from integration.roles import BUILT_IN, Role, find
from integration.rule import (
    DEFAULT_DURATION,
    DEFAULT_JUSTIFICATION,
    LONGEST,
    SHORTEST,
    TEMPLATE_FIELDS,
    PatternError,
    Start,
    compile_pattern,
    parts,
)
from integration.tickets import clean

# What to write for a key that must be there and is not.
DEFAULTS = {"name": 'Give the rule a name, like name = "Password reset".'}

_DURATION = re.compile(r"(?:PT)?(?:(?P<hours>\d{1,4})H)?(?:(?P<minutes>\d{1,4})M)?", re.IGNORECASE | re.ASCII)
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ROLE_ID = re.compile(_GUID, re.IGNORECASE)
_SCOPE = re.compile(rf"/(?:(?:administrativeUnits/)?{_GUID})?", re.IGNORECASE)
_HOW_LONG = 'Write "30m", "1h", "1h30m" or "PT1H".'


def _line_of_text(value: str) -> str:
    text = clean(value, limit=1000)
    if not text:
        raise ValueError("this text is empty. Write something there or remove the key.")
    if text != value.strip():
        raise ValueError("this text holds line breaks, double spaces or characters that cannot be seen. Remove them.")
    return text


def _name(value: str) -> str:
    if len(value) > 100:
        raise ValueError("the name is longer than 100 characters. It is part of justifications: shorten it.")
    return value


def _listed(value: Any) -> Any:
    if value == []:
        raise ValueError("this list is empty. Fill it or remove the key.")
    return [value] if isinstance(value, str) else value


def _pattern(value: str) -> str:
    try:
        compile_pattern(value)
    except PatternError as e:
        raise ValueError(
            f"this is not a regular expression: {e}. Inside '...' a backslash needs no second one; a bracket or a dot "
            "that is meant as such needs a backslash."
        ) from e
    return value


def _duration(value: Any) -> timedelta:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f'the duration {value} has no unit. Did you mean "{value}m"?')
    found = _DURATION.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    if not found or not (found["hours"] or found["minutes"]):
        number = isinstance(value, str) and re.fullmatch(r"\s*(\d{1,4})\s*", value, re.ASCII)
        hint = f'Did you mean "{number[1]}m"?' if number else _HOW_LONG
        raise ValueError(f'the duration "{value}" cannot be read. {hint}')
    duration = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
    if not SHORTEST <= duration <= LONGEST:
        raise ValueError(f'no policy allows the duration "{value}". It must be from 5 minutes to 24 hours. {_HOW_LONG}')
    return duration


def _roles(value: Any) -> Any:
    words = _listed(value)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError('roles must be names in quotes, like ["Password Administrator"].')
    found = tuple(_role(word) for word in words)
    twice = next((role.name for index, role in enumerate(found) if role.id in {r.id for r in found[:index]}), None)
    if twice:
        raise ValueError(f'the role "{twice}" is there twice. Remove one.')
    return found


def _role(word: str) -> Role:
    if known := find(word):
        return known
    wanted = word.strip().casefold()
    if close := get_close_matches(wanted, [r.name.casefold() for r in BUILT_IN], n=1, cutoff=0.7):
        raise ValueError(f'there is no role "{word}". Did you mean "{_known(close[0]).name}"?')
    # All but a built-in id: a slip of the pen. Any other id is a custom role, which only the tenant knows.
    if close := get_close_matches(wanted, [r.id for r in BUILT_IN], n=1, cutoff=0.9):
        raise ValueError(f'there is no role "{word}". Did you mean "{close[0]}" ({_known(close[0]).name})?')
    if _ROLE_ID.fullmatch(wanted):
        return Role(wanted, wanted)
    names = ", ".join(role.name for role in BUILT_IN)
    raise ValueError(f'there is no role "{word}". Write a template id, or one of: {names}.')


def _known(word: str) -> Role:
    role = find(word)
    assert role is not None
    return role


def _scope(value: str) -> str:
    if not _SCOPE.fullmatch(value):
        raise ValueError(f'the scope "{value}" is none. Write "/", "/administrativeUnits/<id>" or "/<object id>".')
    return value


def _template(value: str) -> str:
    try:
        fields = [field for _, field in parts(value) if field is not None]
    except ValueError as e:
        raise ValueError('the justification has a lone brace. Write "{{" or "}}" for a brace itself.') from e
    for field in fields:
        if field not in TEMPLATE_FIELDS:
            close = get_close_matches(field.casefold(), TEMPLATE_FIELDS, n=1)
            known = ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
            hint = f"Did you mean {{{close[0]}}}?" if close else f"Known fields: {known}."
            raise ValueError(f"the justification has an unknown field {{{field}}}. {hint}")
    return value


def _start(value: str) -> str:
    if value not in list(Start):
        close = get_close_matches(value.casefold(), list(Start), n=1, cutoff=0.3)
        hint = f'Did you mean "{close[0]}"?' if close else 'Write "on_pick" or "on_click".'
        raise ValueError(f'"start" cannot be "{value}". {hint}')
    return value


Text = Annotated[StrictStr, AfterValidator(_line_of_text)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
Patterns = Annotated[tuple[Annotated[StrictStr, AfterValidator(_pattern)], ...], BeforeValidator(_listed)]


class MatchKeys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    connection: Texts = ()
    category: Texts = ()
    queue: Texts = ()
    subject: Patterns = ()
    field: dict[str, Texts] = {}


class RuleKeys(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: Annotated[Text, AfterValidator(_name)]
    match: MatchKeys = MatchKeys()
    roles: Annotated[tuple[Role, ...], BeforeValidator(_roles)] = ()
    scope: Annotated[StrictStr, AfterValidator(_scope)] = "/"
    duration: Annotated[timedelta, BeforeValidator(_duration)] = DEFAULT_DURATION
    justification: Annotated[Text, AfterValidator(_template)] = DEFAULT_JUSTIFICATION
    start: Annotated[StrictStr, AfterValidator(_start)] = Start.ON_PICK
    deny: StrictBool = False
    reason: Text = ""
    help: Text = ""

    @model_validator(mode="after")
    def _whole(self) -> "RuleKeys":
        given = self.model_fields_set
        if self.deny:
            idle = sorted(given & {"roles", "scope", "duration", "justification", "start"})
            if idle:
                raise ValueError(f'"{idle[0]}" says nothing in a rule that denies. Remove it, or remove deny = true.')
            if "reason" not in given:
                raise ValueError('"reason" is missing. A rule that denies must tell the technician why.')
            return self
        if "reason" in given:
            raise ValueError('"reason" is for rules that deny. Did you mean "help", or forget deny = true?')
        if "roles" not in given:
            raise ValueError('"roles" is missing. Name at least one, like roles = ["Password Administrator"].')
        if not any(getattr(self.match, key) for key in MatchKeys.model_fields):
            raise ValueError('"match" is missing or empty, so it would give its roles for every ticket. Say which.')
        return self
