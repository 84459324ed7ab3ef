"""Read and check a rules file: every problem with its line, what is wrong and what was probably meant.

tomllib gives the values, tree-sitter the lines they stand on, pydantic the shape; the sentences are ours.
Pure, but for the one read of the file.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from integration.rule import BreakGlass, Bundle, Match, Mode, Require, Rule, Start, folded
from integration.rules_lines import Path, line_of, lines
from integration.rules_shape import DEFAULTS, BreakGlassKeys, FileKeys, MatchKeys, RequireKeys, RuleKeys
from integration.targets import Probe
from integration.tickets import Status

_BIGGEST = 1 << 20
_BREAK_GLASS = "the table break_glass"
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True)
class Problem:
    line: int
    text: str


@dataclass(frozen=True)
class Contents:
    """What a rules file says. `mode` is in each rule already."""

    rules: tuple[Rule, ...] = ()
    mode: Mode = Mode.ACT
    break_glass: BreakGlass | None = None


class RulesInvalid(Exception):
    """The rules file cannot be used before an administrator corrects it; str() has one line for each problem."""

    def __init__(self, path: FilePath, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(f"{path}:{problem.line}: {problem.text}" for problem in self.problems))


def read(path: FilePath) -> tuple[str, Contents]:
    """The SHA-256 of the file's bytes in hex, and what it says. Raises RulesInvalid."""
    try:
        with path.open("rb") as file:
            raw = file.read(_BIGGEST + 1)
    except OSError as e:
        raise RulesInvalid(path, [Problem(1, f"The file cannot be read: {e.strerror}.")]) from e
    return check(raw, path)


def check(raw: bytes, path: FilePath) -> tuple[str, Contents]:
    """As `read`, of bytes that are there already; `path` is what they are called. Raises RulesInvalid."""
    contents, problems = parse(raw)
    if problems:
        raise RulesInvalid(path, problems)
    return hashlib.sha256(raw).hexdigest(), contents


def parse(raw: bytes) -> tuple[Contents, list[Problem]]:
    """What `raw` says, and what is wrong with it. The former is usable only if nothing is."""
    document = _document(raw)
    if isinstance(document, Problem):
        return Contents(), [document]
    where = lines(raw)
    around, problems = _around(document, where)
    entries = document.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        wrong = Problem(line_of(where, ("rule",)), "A rule starts with [[rule]], in two brackets.")
        return Contents(), [*problems, wrong]
    if not entries and not problems:
        problems = [Problem(1, "There is no rule. A rule starts with [[rule]].")]
    rules = []
    for index, entry in enumerate(entries):
        rule, wrong_here = _rule(entry, ("rule", index), where)
        problems += wrong_here
        rules += [rule] if rule else []
    problems += _clashes(rules)
    if around.mode is Mode.WATCH:
        rules = [replace(rule, mode=Mode.WATCH) for rule in rules]
    return replace(around, rules=tuple(rules)), problems


def shadowed(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Each allow rule that never gets its turn, with the earlier one that fits whenever it does."""
    allow = [rule for rule in rules if not rule.deny]
    for index, later in enumerate(allow):
        earlier = next((rule for rule in allow[:index] if _covers(rule.match, later.match)), None)
        if earlier:
            yield later, earlier


def _document(raw: bytes) -> dict[str, Any] | Problem:
    if len(raw) > _BIGGEST:
        return Problem(1, "The file is larger than 1 MiB. Rules that long cannot be reviewed by a person.")
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        return Problem(line, "This is not UTF-8. Save the file as UTF-8 without a byte order mark.")
    except ValueError as e:  # TOMLDecodeError, and int's own refusal of thousands of digits
        return _not_toml(str(e), raw)
    except RecursionError:
        return Problem(1, "Something is nested too deeply. A rule needs three levels. Is a bracket missing?")


def _not_toml(message: str, raw: bytes) -> Problem:
    at = _AT_LINE.search(message)
    line = int(at[1]) if at and at[1] else raw.count(b"\n") + 1
    return Problem(line, f"This is not TOML: {_AT_LINE.sub('', message)}. Is a quote or a bracket missing?")


def _around(document: dict[str, Any], where: dict[Path, int]) -> tuple[Contents, list[Problem]]:
    """What stands outside the rules."""
    known = ["rule", *FileKeys.model_fields]
    problems = [
        Problem(line_of(where, (key,)), _unknown(key, known, "the file")) for key in document if key not in known
    ]
    given = {key: value for key, value in document.items() if key in FileKeys.model_fields}
    try:
        keys = FileKeys.model_validate(given)
    except ValidationError as e:
        return Contents(), [*problems, *(_explained_around(error, where) for error in e.errors())]
    urgent = keys.break_glass
    if urgent is None:
        return Contents(mode=Mode(keys.mode)), problems
    line = line_of(where, ("break_glass",))
    table = BreakGlass(urgent.roles, urgent.duration, urgent.justification, line)
    return Contents(mode=Mode(keys.mode), break_glass=table), problems


def _explained_around(error: Any, where: dict[Path, int]) -> Problem:
    place: Path = tuple(error["loc"])
    if place == ("break_glass",):
        text = 'Break glass is a table: [break_glass], and below it roles = ["..."].'
        return Problem(line_of(where, place), text)
    if place[0] == "break_glass":
        return _explained(error, _BREAK_GLASS, list(BreakGlassKeys.model_fields), place, where, 1)
    return _explained(error, "the file", list(FileKeys.model_fields), place, where, 0)


def _rule(entry: dict[str, Any], at: Path, where: dict[Path, int]) -> tuple[Rule | None, list[Problem]]:
    try:
        keys = RuleKeys.model_validate(entry)
    except ValidationError as e:
        name = entry.get("name")
        owner = f'rule "{name}"' if isinstance(name, str) else "this rule"
        known = list(RuleKeys.model_fields)
        return None, [_explained(error, owner, known, at + tuple(error["loc"]), where, len(at)) for error in e.errors()]
    match, require = keys.match, keys.require
    return (
        Rule(
            name=keys.name,
            match=Match(match.connection, match.category, match.queue, match.subject, tuple(match.field.items())),
            targets=keys.targets,
            scope=keys.scope,
            duration=keys.duration,
            justification=keys.justification,
            start=Start(keys.start),
            deny=keys.deny,
            reason=keys.reason,
            help=keys.help,
            line=line_of(where, at),
            bundle=Bundle(keys.bundle) if keys.bundle else None,
            mode=Mode(keys.mode),
            total=keys.total,
            usable=Probe(keys.usable) if keys.usable else None,
            revoke_sessions=keys.revoke_sessions,
            require=Require(
                status=tuple(map(Status, require.status)),
                filled=require.filled,
                field=tuple(require.field.items()),
                sla=require.sla,
            ),
        ),
        [],
    )


def _explained(error: Any, owner: str, known: Sequence[str], at: Path, where: dict[Path, int], depth: int) -> Problem:
    """The problem in words. `at` is where it is, of which the first `depth` steps lead to `owner`."""
    line, place = line_of(where, at), at[depth:]
    key = str(place[-1]) if place else ""
    match error["type"]:
        case "extra_forbidden":
            in_rule = at[0] == "rule"
            return Problem(line, _misplaced(key, place, owner) if in_rule else _unknown(key, known, owner))
        case "missing":
            return Problem(line, f'In {owner}, "{key}" is missing. {DEFAULTS.get(key, "")}'.strip())
        case "value_error":
            text = str(error["ctx"]["error"])
            whose = f'at "{_key_of(place)}", ' if text.startswith("this ") else ""
            return Problem(line, f"In {owner}, {whose}{text}")
        case "bool_type":
            return Problem(line, f'In {owner}, "{key}" must be true or false, without quotes.')
        case "dict_type" | "model_type":
            like = 'filled = "Cost centre"' if place[0] == "require" else 'category = "Password reset"'
            return Problem(line, f'In {owner}, "{key}" must be a table, like {{ {like} }}.')
        case "tuple_type" if key == "roles":
            return Problem(
                line, f'In {owner}, "{key}" must be a list of names in quotes, like ["Password Administrator"].'
            )
        case _:
            return Problem(line, f'In {owner}, "{_key_of(place)}" must be text in quotes.')


def _key_of(place: Path) -> str:
    return next((str(part) for part in reversed(place) if isinstance(part, str)), "")


def _misplaced(key: str, place: Path, owner: str) -> str:
    rule, match = list(RuleKeys.model_fields), list(MatchKeys.model_fields)
    if place[0] == "match":
        if key in rule:
            return f'"{key}" does not belong into the match of {owner}. Write it beside match.'
        return _unknown(key, match, f"the match of {owner}")
    if place[0] == "require":
        if key in rule:
            return f'"{key}" does not belong into the require of {owner}. Write it beside require.'
        return _unknown(key, list(RequireKeys.model_fields), f"the require of {owner}")
    inside = get_close_matches(key.casefold(), match, n=1)
    if inside and not get_close_matches(key.casefold(), rule, n=1):
        return f'{_first_up(owner)} has an unknown key "{key}". Did you mean match = {{ {inside[0]} = ... }}?'
    return _unknown(key, rule, owner)


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]


def _unknown(key: str, known: Sequence[str], owner: str) -> str:
    close = get_close_matches(key.casefold(), known, n=1)
    hint = f'Did you mean "{close[0]}"?' if close else f"Known keys: {', '.join(known)}."
    return f'{_first_up(owner)} has an unknown key "{key}". {hint}'


def _clashes(rules: Sequence[Rule]) -> Iterator[Problem]:
    names: dict[str, Rule] = {}
    matches: dict[frozenset[tuple[str, frozenset[str]]], Rule] = {}
    for rule in rules:
        earlier = names.setdefault(folded(rule.name), rule)
        if earlier is not rule:
            text = f'The name "{rule.name}" is already taken by the rule at line {earlier.line}. Give it its own.'
            yield Problem(rule.line, text)
        earlier = matches.setdefault(frozenset(_asked(rule.match).items()), rule)
        if earlier is not rule:
            text = (
                f'Rule "{rule.name}" and rule "{earlier.name}" (line {earlier.line}) always match together, so one of '
                "them never counts. Remove one, or add to its match what sets it apart."
            )
            yield Problem(rule.line, text)


def _covers(wide: Match, narrow: Match) -> bool:
    """Whether `wide` fits every ticket that `narrow` fits, as far as their words tell."""
    asked, given = _asked(wide), _asked(narrow)
    return all(key in given and given[key] <= values for key, values in asked.items())


def _asked(match: Match) -> dict[str, frozenset[str]]:
    words = {"connection": match.connection, "category": match.category, "queue": match.queue}
    words |= {f"field {folded(name)}": values for name, values in match.field}
    asked = {key: frozenset(folded(value) for value in values) for key, values in words.items() if values}
    # Patterns keep their letter case: \S is not \s.
    return asked | ({"subject": frozenset(match.subject)} if match.subject else {})
