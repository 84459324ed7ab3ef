"""Every helpdesk that we can talk to, one file each, found through the entry-point group `ticket_elevate.helpdesks`.

An installed package that names an adapter in that group is as good as one of ours.
"""

from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from pydantic import BaseModel

from integration.tickets import Helpdesk

GROUP = "ticket_elevate.helpdesks"


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
