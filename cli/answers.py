"""What `ticket-elevate connect` is told: by options, a file, the environment, the settings; what is left is asked."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from integration.helpdesks import Connection
from integration.helpdesks.setup import ByHand, Once
from integration.secret_files import read_secret

VARIABLE = "TICKET_ELEVATE_CONNECT_"
INTERNAL = "internal"  # whether the helpdesk may be at an internal address: of every kind
SECRETS = "secrets"  # of the calls: they come from the helpdesk, or are made


@dataclass
class Answers:
    """`table`: settings of the connection, secrets among them. `once`: what is used now and kept nowhere."""

    table: dict[str, Any] = field(default_factory=dict)
    once: dict[str, str] = field(default_factory=dict)


def gather(
    model: type[BaseModel],
    setup: type[ByHand],
    *,
    options: tuple[str, ...],
    file: Path | None,
    kept: Mapping[str, Any],
    ask: bool,
) -> Answers:
    """Answers to everything that must be known. Raises click.ClickException with a sentence that quotes no secret."""
    environment = _known("The environment", dict(_of_environment(model, setup)), model, setup)
    told = {**environment, **_of_file(file, model, setup), **_of_options(options, model, setup)}
    answers = Answers({**_without_twins(kept, told)})
    if isinstance(told.get(SECRETS), dict) and isinstance(kept.get(SECRETS), dict):
        # Beside the new one: until the helpdesk takes that, it signs with the old one. The newest stands last.
        old = {name: value for name, value in kept[SECRETS].items() if name not in told[SECRETS]}
        told[SECRETS] = {**old, **told[SECRETS]}
    for name, value in told.items():
        (answers.once if any(it.name == name for it in setup.once) else answers.table)[name] = value
    missing = [
        name for name, one in model.model_fields.items() if _is_needed(name, one, setup) and not _has(answers, name)
    ]
    if missing and not ask:
        raise click.ClickException(
            f"Not told, and --yes says not to ask: {', '.join(missing)}. Write them into a file for --answers, or give "
            f"each as an environment variable such as {VARIABLE}{missing[0].upper()}."
        )
    if ask:
        _ask(model, setup, missing, answers)
    return answers


_OF_EVERY_KIND = {name: one for name, one in Connection.model_fields.items() if name != "kind"}


def is_secret(one: FieldInfo) -> bool:
    return "SecretStr" in str(one.annotation)


def _is_table(one: FieldInfo) -> bool:
    return "dict[" in str(one.annotation)


def _named_secrets(name: str) -> str:
    return f'Each of {name} has a name: write into a file for --answers {name} = {{ current = {{ file = "/path" }} }}'


def _is_needed(name: str, one: FieldInfo, setup: type[ByHand]) -> bool:
    return one.is_required() and name != SECRETS and name not in setup.stand_ins


def _has(answers: Answers, name: str) -> bool:
    return name in answers.table or f"{name}_file" in answers.table


def _without_twins(kept: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept, but for what is told anew: `token` also instead of a `token_file`."""
    names = {name.removesuffix("_file") for name in told} | {f"{name.removesuffix('_file')}_file" for name in told}
    return {name: value for name, value in kept.items() if name not in names}


def _ask(model: type[BaseModel], setup: type[ByHand], missing: list[str], answers: Answers) -> None:
    for name in dict.fromkeys((*missing, *setup.asks)):
        if _has(answers, name) or not setup.is_asked(name, answers.table):
            continue
        value = _asked(model, name, model.model_fields[name])
        if value is not None:
            answers.table[name] = value
    for it in setup.once:
        matters = not it.after or it.after in answers.once
        if matters and it.name not in answers.once and (value := _asked_once(it)):
            answers.once[it.name] = value


def _asked(model: type[BaseModel], name: str, one: FieldInfo) -> Any:
    """None where the default will do."""
    click.echo(f"\n{one.description}")
    if one.annotation is bool:
        return click.confirm(name, default=None if one.is_required() else one.default)
    default = None if one.is_required() else (one.default if isinstance(one.default, str) else "")

    def proved(text: str) -> Any:
        if not text and not one.is_required():
            return None
        value = _value(name, one, text)
        if wrong := _wrong(model, name, value):
            raise click.UsageError(wrong)
        return value

    shown = f"{name} (not shown)" if is_secret(one) else name
    empty = "" if one.is_required() or default else " (may be empty)"
    answer = click.prompt(
        f"{shown}{empty}", default=default, show_default=bool(default), hide_input=is_secret(one), value_proc=proved
    )
    return None if answer == one.default and not one.is_required() else answer


def _asked_once(it: Once) -> str:
    click.echo(f"\n{it.words}")
    shown = f"{it.name} (not shown, may be empty)" if it.secret else f"{it.name} (may be empty)"
    return str(click.prompt(shown, default="", show_default=False, hide_input=it.secret)).strip()


def _wrong(model: type[BaseModel], name: str, value: Any) -> str | None:
    """What is wrong with this value of the setting, whatever the others are."""
    try:
        model.model_validate({name: value})
    except ValidationError as error:
        return next(
            (it["msg"].removeprefix("Value error, ") for it in error.errors() if it["loc"][:1] == (name,)), None
        )
    return None


def _of_options(options: tuple[str, ...], model: type[BaseModel], setup: type[ByHand]) -> dict[str, Any]:
    found = {}
    for option in options:
        name, equals, text = option.partition("=")
        one = model.model_fields.get(name)
        secret = (one is not None and is_secret(one)) or any(it.secret for it in setup.once if it.name == name)
        if secret:
            instead = (
                _named_secrets(name)
                if one is not None and _is_table(one)
                else f"Write it into a file, name that with --set {name}_file=PATH, or give it as the environment "
                f"variable {VARIABLE}{name.upper()}."
            )
            raise click.ClickException(
                f"{name} is a secret, and whoever is on this machine can see a command. {instead}"
            )
        if not equals:
            raise click.ClickException("--set takes NAME=VALUE.")
        one = _OF_EVERY_KIND.get(name, one)
        found[name] = text if one is None else _value(name, one, text)
    return _known("--set", found, model, setup)


def _of_file(path: Path | None, model: type[BaseModel], setup: type[ByHand]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.ClickException(f"Cannot read {path} ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise click.ClickException(f"{path} is not a TOML file.") from None
    return _known(str(path), found, model, setup)


def _of_environment(model: type[BaseModel], setup: type[ByHand]) -> Iterator[tuple[str, Any]]:
    for name, one in {**model.model_fields, **_OF_EVERY_KIND}.items():
        if (text := os.environ.get(f"{VARIABLE}{name.upper()}")) is not None:
            yield name, _value(name, one, text)
    for it in setup.once:
        if (text := os.environ.get(f"{VARIABLE}{it.name.upper()}")) is not None:
            yield it.name, text


def _known(where: str, found: dict[str, Any], model: type[BaseModel], setup: type[ByHand]) -> dict[str, Any]:
    """`found`, in which the answers of files take the place of what names the files. Refuses what nobody asks for."""
    known: dict[str, Any] = {}
    once = {it.name: it for it in setup.once}
    for name, value in found.items():
        plain = name.removesuffix("_file")
        if plain != name and plain in once and once[plain].secret:
            known[plain] = _read(name, value)
        elif name in model.model_fields and is_secret(model.model_fields[name]) and isinstance(value, dict):
            known[name] = {key: _named_file(f"{name}.{key}", inner) for key, inner in value.items()}
        elif name in once or name in model.model_fields or name in _OF_EVERY_KIND:
            known[name] = value
        elif plain != name and plain in model.model_fields and is_secret(model.model_fields[plain]):
            if _is_table(model.model_fields[plain]):
                raise click.ClickException(f"{where}: {_named_secrets(plain)}")
            _read(name, value)
            known[name] = str(Path(value).resolve())
        else:
            raise click.ClickException(f"{where}: there is no setting {name!r} of this kind of helpdesk.")
    return known


def _named_file(name: str, value: Any) -> Any:
    """The service runs in another directory than this command: a file must be named by its whole path."""
    if not isinstance(value, dict) or "file" not in value:
        return value
    _read(name, value["file"])
    return {**value, "file": str(Path(str(value["file"])).resolve())}


def _read(name: str, path: Any) -> str:
    try:
        return read_secret(name, str(path))
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _value(name: str, one: FieldInfo, text: str) -> Any:
    """As TOML says it, where the setting is more than a text."""
    of = str(one.annotation)
    if not (one.annotation is bool or any(it in of for it in ("dict[", "tuple[", "frozenset[", "list["))):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise click.ClickException(f"{name} cannot be read: write it as TOML has it, such as {_example(one)}") from None


def _example(one: FieldInfo) -> str:
    if one.annotation is bool:
        return "true"
    if not _is_table(one):
        return '["one", "two"]'
    return '{ current = { file = "/path" } }' if is_secret(one) else '{ one = "two" }'
