"""The keys of a rule and what each may hold. Every ValueError here ends a sentence that starts "In rule ..., "."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StrictBool, StrictStr, model_validator

from integration import rules_targets
from integration.rule import (
    BREAK_GLASS,
    DEFAULT_DURATION,
    DEFAULT_JUSTIFICATION,
    LONGEST,
    SHORTEST,
    TEMPLATE_FIELDS,
    BreakGlass,
    Bundle,
    Mode,
    PatternError,
    Sla,
    Start,
    Wanted,
    compile_pattern,
    folded,
    in_words,
    parts,
)
from integration.targets import Probe
from integration.tickets import Status, clean

# What to write for a key that must be there and is not.
DEFAULTS = {
    "name": 'Give the rule a name, like name = "Password reset".',
    "roles": 'Name at least one, like roles = ["Password Administrator"].',
}

_DURATION = re.compile(r"(?:PT)?(?:(?P<hours>\d{1,4})H)?(?:(?P<minutes>\d{1,4})M)?", re.IGNORECASE | re.ASCII)
_LONGEST_BREAK_GLASS = timedelta(hours=1)
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
    if folded(value) == BREAK_GLASS:
        raise ValueError(f'the name "{value}" is kept for activations without a ticket. Choose another.')
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
    return [words] if isinstance(words, dict) else words


def _no_twins(targets: tuple[Wanted, ...]) -> tuple[Wanted, ...]:
    if twice := rules_targets.said_twice(targets):
        raise ValueError(f'the role "{twice}" is there twice. Remove one.')
    return targets


def _fields(value: str) -> list[str]:
    try:
        return [field for _, field in parts(value) if field is not None]
    except ValueError as e:
        raise ValueError('the justification has a lone brace. Write "{{" or "}}" for a brace itself.') from e


def _template(value: str) -> str:
    for field in _fields(value):
        if field not in TEMPLATE_FIELDS:
            close = get_close_matches(field.casefold(), TEMPLATE_FIELDS, n=1)
            known = ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
            hint = f"Did you mean {{{close[0]}}}?" if close else f"Known fields: {known}."
            raise ValueError(f"the justification has an unknown field {{{field}}}. {hint}")
    return value


def _urgent_template(value: str) -> str:
    fields = _fields(value)
    if wrong := next((field for field in fields if field != "reason"), None):
        raise ValueError(
            f"the justification has an unknown field {{{wrong}}}. Without a ticket there is only {{reason}}."
        )
    if len(fields) != 1:
        raise ValueError("the justification must hold {reason} once: it is what auditors read.")
    if len(value) > 150:  # with the longest reason it stays within what the tenant takes
        raise ValueError("the justification is longer than 150 characters. The reason needs the room: shorten it.")
    return value


def _urgent_duration(value: timedelta) -> timedelta:
    if value > _LONGEST_BREAK_GLASS:
        raise ValueError(
            f"the duration {in_words(value)} is too long for break glass, which nobody checks before. Write at most "
            '"1h".'
        )
    return value


def _urgent_role(value: Any) -> Wanted:
    found = rules_targets.wanted(value)
    if found.by_unit:
        raise ValueError(f'"{found.name}" cannot have this scope: without a ticket there is no requester. Write "/".')
    return found if found.scope else replace(found, scope="/")


def _one_of(choices: Iterable[StrEnum], key: str, value: Any) -> str:
    known = [choice.value for choice in choices]
    if value not in known:
        close = get_close_matches(str(value).casefold(), known, n=1, cutoff=0.3)
        listed = " or ".join(f'"{word}"' for word in known)
        hint = f'Did you mean "{close[0]}"?' if close else f"Write {listed}."
        raise ValueError(f'"{key}" cannot be "{clean(str(value))}". {hint}')
    return str(value)


def _status(value: str) -> str:
    if value == Status.SOLVED:
        raise ValueError('"status" cannot be "solved": a solved ticket gets no role in any case.')
    return _one_of((Status.OPEN, Status.ON_HOLD), "status", value)


def _sla(value: Any) -> Sla:
    how = 'Write sla = { field = "<name>" }, and overdue = "2h" in it if a while after that is still fine.'
    if not isinstance(value, dict):
        raise ValueError(f'"sla" must be a table. {how}')
    if unknown := [key for key in value if key not in ("field", "overdue")]:
        raise ValueError(f'"sla" has an unknown key "{clean(unknown[0])}". {how}')
    if not isinstance(value.get("field"), str) or clean(value["field"]) != value["field"] or not value["field"]:
        raise ValueError(f'"sla" does not name the ticket\'s field with the time. {how}')
    return Sla(value["field"], _overdue(value["overdue"]) if "overdue" in value else Sla.overdue)


def _overdue(value: Any) -> timedelta:
    found = _DURATION.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    if not found or not (found["hours"] or found["minutes"]):
        raise ValueError(f'the time "{clean(str(value))}" at "overdue" cannot be read. {_HOW_LONG}')
    return timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))


def _mode(value: Any) -> str:
    return _one_of(Mode, "mode", value)


Text = Annotated[StrictStr, AfterValidator(_line_of_text)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
Patterns = Annotated[tuple[Annotated[StrictStr, AfterValidator(_pattern)], ...], BeforeValidator(_listed)]

Duration = Annotated[timedelta, BeforeValidator(_duration)]
ModeWord = Annotated[StrictStr, AfterValidator(_mode)]


class MatchKeys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    connection: Texts = ()
    category: Texts = ()
    queue: Texts = ()
    subject: Patterns = ()
    field: dict[str, Texts] = {}


class RequireKeys(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    status: Annotated[tuple[Annotated[StrictStr, AfterValidator(_status)], ...], BeforeValidator(_listed)] = ()
    filled: Texts = ()
    field: dict[Text, Texts] = {}
    sla: Annotated[Sla, BeforeValidator(_sla)] | None = None


class RuleKeys(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: Annotated[Text, AfterValidator(_name)]
    match: MatchKeys = MatchKeys()
    require: RequireKeys = RequireKeys()
    roles: Annotated[
        tuple[Annotated[Wanted, BeforeValidator(rules_targets.wanted)], ...],
        BeforeValidator(_roles),
        AfterValidator(_no_twins),
    ] = ()
    scope: Annotated[StrictStr, AfterValidator(rules_targets.scope)] = "/"
    bundle: Annotated[StrictStr, AfterValidator(lambda value: _one_of(Bundle, "bundle", value))] | None = None
    duration: Duration = DEFAULT_DURATION
    total: Duration | None = None
    justification: Annotated[Text, AfterValidator(_template)] = DEFAULT_JUSTIFICATION
    start: Annotated[StrictStr, AfterValidator(lambda value: _one_of(Start, "start", value))] = Start.ON_PICK
    mode: ModeWord = Mode.ACT
    usable: Annotated[StrictStr, AfterValidator(lambda value: _one_of(Probe, "usable", value))] | None = None
    revoke_sessions: StrictBool = False
    deny: StrictBool = False
    reason: Text = ""
    help: Text = ""

    @property
    def targets(self) -> tuple[Wanted, ...]:
        """`roles`, each with its scope."""
        return tuple(it if it.scope else replace(it, scope=self.scope) for it in self.roles)

    @model_validator(mode="after")
    def _whole(self) -> "RuleKeys":
        _denies(self) if self.deny else _allows(self)
        return self


class BreakGlassKeys(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    roles: Annotated[
        tuple[Annotated[Wanted, BeforeValidator(_urgent_role)], ...],
        BeforeValidator(_roles),
        AfterValidator(_no_twins),
    ]
    duration: Annotated[Duration, AfterValidator(_urgent_duration)] = BreakGlass.duration
    justification: Annotated[Text, AfterValidator(_urgent_template)] = BreakGlass.justification


class FileKeys(BaseModel):
    """What stands outside the rules."""

    model_config = ConfigDict(extra="forbid")

    mode: ModeWord = Mode.ACT
    break_glass: BreakGlassKeys | None = None


def _denies(keys: RuleKeys) -> None:
    given = keys.model_fields_set
    if idle := sorted(given - {"name", "match", "deny", "reason", "help"}):
        raise ValueError(f'"{idle[0]}" says nothing in a rule that denies. Remove it, or remove deny = true.')
    if "reason" not in given:
        raise ValueError('"reason" is missing. A rule that denies must tell the technician why.')


def _allows(keys: RuleKeys) -> None:
    given = keys.model_fields_set
    if "reason" in given:
        raise ValueError('"reason" is for rules that deny. Did you mean "help", or forget deny = true?')
    if "roles" not in given:
        raise ValueError(f'"roles" is missing. {DEFAULTS["roles"]}')
    if not any(getattr(keys.match, key) for key in MatchKeys.model_fields):
        raise ValueError('"match" is missing or empty, so it would give its roles for every ticket. Say which.')
    if "require" in given and not any(getattr(keys.require, key) for key in RequireKeys.model_fields):
        raise ValueError('"require" is empty. Say what the ticket must be like, or remove it.')
    if "scope" in given and all(it.scope for it in keys.roles):
        raise ValueError(
            '"scope" counts only for directory roles without a scope of their own, and here is none. Remove it.'
        )
    if keys.bundle and len(keys.roles) < 2:
        raise ValueError('"bundle" is for several roles, and here is one. Add the others, or remove it.')
    if keys.total is not None and keys.total < keys.duration:
        raise ValueError(
            f'"total" is {in_words(keys.total)}, shorter than one activation ("duration", {in_words(keys.duration)}). '
            "It is the longest in all, with more time: raise it or remove it."
        )
    _no_twins(keys.targets)
