"""Doubles of hosted helpdesks: the practice helpdesk's tickets behind a vendor's own API, webhooks and habits.

Each is made from the vendor's documentation, and is strict where the vendor is strict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from flask import Blueprint

from sandbox.clock import Clock
from sandbox.desk import Account, Desk, Ticket
from sandbox.sender import Dialect, Sender
from sandbox.vendors.freshservice import Freshservice
from sandbox.vendors.jira import Jira
from sandbox.vendors.servicenow import ServiceNow
from sandbox.vendors.teamdynamix import TeamDynamix
from sandbox.vendors.zammad import Zammad
from sandbox.vendors.zendesk import Zendesk


class Vendor(Protocol):
    """One hosted helpdesk over the practice desk."""

    dialect: Dialect
    number: str  # how it shows a ticket's {number}

    def account(self, of: str) -> str:
        """How its API names an account of the desk."""

    def blueprint(self) -> Blueprint:
        """Its API, served beside the desk's pages."""

    def settings(self, url: str) -> dict[str, Any]:
        """What an administrator would tell a client about it, by the names that they have at the vendor."""


@runtime_checkable
class HasPanel(Protocol):
    """It shows an app's panel on a ticket, and calls that app from its own servers."""

    def panel(self, number: str, account: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What the panel is answered for the account that looks at it; None where the app did not answer well."""


@runtime_checkable
class ShowsApps(Protocol):
    """A helpdesk that takes apps and shows them beside a ticket."""

    def shown_app(self, ticket: Ticket, who: Account, origin: str) -> str:
        """HTML of the uploaded app beside this ticket, on a page of `origin`."""


@runtime_checkable
class LinksAttributes(Protocol):
    """A helpdesk in which an administrator makes a link of a ticket's attribute: it has no button of its own for us."""

    def attribute_links(self, ticket: Ticket) -> list[tuple[str, str, str]]:
        """What agents see of them on this ticket: the name, the value, and where it leads."""


VENDORS: dict[str, Callable[[Desk, Sender, Clock], Vendor]] = {
    "freshservice": Freshservice,
    "jira": Jira,
    "servicenow": ServiceNow,
    "teamdynamix": TeamDynamix,
    "zammad": Zammad,
    "zendesk": Zendesk,
}
