"""What the Request Tracker adapter must be told. docs/connect-request-tracker.md says where each value comes from."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from integration.helpdesks.credentials import Secrets, Site, Token
from integration.tickets import Status

_STATUSES = {
    "new": Status.OPEN,
    "open": Status.OPEN,
    "stalled": Status.ON_HOLD,
    "resolved": Status.SOLVED,
    "rejected": Status.SOLVED,
}


class RequestTrackerSettings(BaseModel):
    """Settings of one connection to a Request Tracker."""

    # The input is hidden, or a forgotten key would print all the others, token included.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Site = Field(
        description="Where people open Request Tracker, such as https://rt.example.org. Links to tickets begin with it."
    )
    token: Token = Field(description="A REST2 token of our service account (Logged in as > Settings > Auth Tokens).")
    service_account: str = Field(
        pattern=r"[^0-9]",
        description="The login of our service account; not digits alone. What it does never starts anything.",
    )
    secrets: Secrets = Field(
        description="Signing secrets by name, each whsec_ and base64, as in the secret file of the extension. Two at "
        "once while one is replaced by the other."
    )
    category_field: str = Field(
        "Category", description="The name of the ticket custom field that says what kind of work this is."
    )
    requester_roles: tuple[Literal["Requestor", "Creator", "Cc"], ...] = Field(
        ("Requestor", "Creator", "Cc"),
        min_length=1,
        description="Who counts as a requester. A technician who is one cannot elevate for that ticket.",
    )
    status_map: dict[str, Status] = Field(
        _STATUSES,
        description="Request Tracker's words for a status, each as open, on_hold or solved. A word of an own lifecycle "
        "that is not listed counts as on_hold, so that nothing starts by it.",
    )
    ca_bundle: Path | None = Field(
        None, description="A PEM file with the certificate authorities to trust. Default: the usual ones."
    )
