"""What the Zammad adapter must be told. docs/connect-zammad.md says where each value comes from."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from integration.helpdesks.credentials import PlainSecrets, Site, Token
from integration.tickets import Status

AGENT = "2"  # the id of the role Agent in every Zammad; administrators may add roles of their own
_STATUSES = {
    "new": Status.OPEN,
    "open": Status.OPEN,
    "pending reminder": Status.ON_HOLD,
    "pending close": Status.ON_HOLD,
    "closed": Status.SOLVED,
}


class ZammadSettings(BaseModel):
    """Settings of one connection to a Zammad."""

    # The input is hidden, or a forgotten key would print all the others, token included.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Site = Field(
        description="Where people open Zammad, such as https://zammad.example.org. Links to tickets begin with it."
    )
    token: Token = Field(
        description="An access token of our service account with the permission ticket.agent (Profile > Token Access)."
    )
    service_account: str = Field(
        pattern=r"^[1-9][0-9]{0,18}$",
        description="The user id of our service account, to whom the token belongs. What it does starts nothing.",
    )
    secrets: PlainSecrets = Field(
        description="The webhook's HMAC SHA1 signature tokens by names of your own, each at least 24 characters, such "
        "as `openssl rand -hex 32` prints. All of them are accepted, so that one can be replaced without a pause."
    )
    automatic_assignment: bool = Field(
        description="Whether Zammad assigns a ticket to whoever opens it (Settings > Ticket > Auto Assignment). Its "
        "history tells that exactly like a pick: with true, nobody's assignment counts as one, and tickets get the "
        "Elevate link instead."
    )
    category_field: str = Field(
        "type",
        pattern=r"^[a-z][a-z0-9_]{0,99}$",
        description="The name of the ticket attribute that says what kind of work it is: `type`, or one of your own "
        "(System > Objects > Ticket).",
    )
    categories: dict[str, str] = Field(
        {},
        description="The keys of that attribute, each with the category that rules call it by. What is not listed is "
        "taken as it stands.",
    )
    requester_roles: tuple[Literal["customer", "created_by"], ...] = Field(
        ("customer", "created_by"),
        min_length=1,
        description="Who counts as a requester. A technician who is one cannot elevate for that ticket.",
    )
    agent_roles: frozenset[str] = Field(
        frozenset({AGENT}),
        min_length=1,
        description="The ids of the roles whose holders work on tickets. Somebody with none of them cannot elevate.",
    )
    status_map: dict[str, Status] = Field(
        _STATUSES,
        description="Zammad's states by name, each as open, on_hold or solved. One that is not listed counts as "
        "on_hold, so that nothing starts by it.",
    )
    ca_bundle: Path | None = Field(
        None, description="A PEM file with the certificate authorities to trust. Default: the usual ones."
    )
