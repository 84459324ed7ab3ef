"""Every helpdesk that we can talk to, one file each, found through the entry-point group `ticket_elevate.helpdesks`.

An installed package that names an adapter in that group is as good as one of ours.
"""

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, Protocol, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from integration.helpdesks import inside
from integration.secret_files import read_secret, read_secret_files
from integration.tickets import Helpdesk

GROUP = "ticket_elevate.helpdesks"
_ORIGIN = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?")


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text.rstrip("/")):
        raise ValueError(
            f"{text!r} is not an origin: write https:// and a host name in small letters, such as "
            f"https://example.zendesk.com, with nothing behind it."
        )
    return text.rstrip("/")


class Connection(BaseModel):
    """What every connection may be told, whatever its kind; all else is its adapter's."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    kind: str = Field("generic", description="The name of the adapter.")
    internal: bool = Field(False, strict=True, description="Whether it may be at an internal address: see below.")
    embedded_in: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (),
        description="Origins whose pages may show ours about a ticket within a frame. Empty: that of the helpdesk's "
        "own page of the ticket.",
    )


class Adapter(Protocol):
    """An adapter's class: its settings are validated by `Settings`, then `adapter(connection, settings)` makes one."""

    Settings: type[BaseModel]

    def __call__(self, connection: str, settings: Any) -> Helpdesk: ...


class UnknownHelpdesk(ValueError):
    """No adapter, or more than one, goes by that name; str() lists those there are."""


def load(kind: str) -> Adapter:
    """The adapter class for `kind`. Raises UnknownHelpdesk.

    A class is imported only when it is asked for: a broken adapter disturbs nobody who does not use it.
    """
    found = {point.value: point for point in entry_points(group=GROUP, name=kind)}
    if len(found) > 1:
        raise UnknownHelpdesk(
            f"More than one installed package calls its helpdesk {kind!r}: {', '.join(sorted(found))}."
        )
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names))
        raise UnknownHelpdesk(f"There is no helpdesk of the kind {kind!r}. Known kinds: {known}.")
    return cast(Adapter, next(iter(found.values())).load())


def connect(connection: str, table: Mapping[str, Any]) -> Helpdesk:
    """The helpdesk that the settings' table `[helpdesks.<connection>]` describes. Raises ValueError with words."""
    own = {name: value for name, value in table.items() if name not in Connection.model_fields}
    try:
        ours = Connection.model_validate(table)
        adapter = load(ours.kind)
        with inside.reaching(str(table.get("url", "")), allowed=ours.internal):
            return adapter(connection, adapter.Settings.model_validate(_with_secrets(adapter.Settings, own)))
    except UnknownHelpdesk:
        raise
    except ValidationError as error:
        # Never the values: a mistyped secret must not reach a terminal or a log.
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"[helpdesks.{connection}] is not usable: {wrong}") from None
    except ValueError as error:
        raise ValueError(f"[helpdesks.{connection}] is not usable: {error}") from None


def _with_secrets(settings: type[BaseModel], table: dict[str, Any]) -> dict[str, Any]:
    """`token_file = "..."` in place of `token`, and `secrets = { name = { file = "..." } }`, are read here."""
    secret = {
        name: str(it.annotation) for name, it in settings.model_fields.items() if "SecretStr" in str(it.annotation)
    }
    tables = [name for name, kind in secret.items() if kind.startswith("dict[")]
    table = dict(read_secret_files(table, [name for name in secret if name not in tables]))
    for name in tables:
        if isinstance(table.get(name), dict):
            table[name] = {key: _read(f"{name}.{key}", value) for key, value in table[name].items()}
    return table


def _read(setting: str, value: Any) -> Any:
    return read_secret(setting, value["file"]) if isinstance(value, dict) and set(value) == {"file"} else value
