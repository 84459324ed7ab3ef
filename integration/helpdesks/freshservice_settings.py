"""What the Freshservice adapter must be told. docs/connect-freshservice.md says where each value comes from."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from integration.helpdesks.credentials import Host, PlainSecrets, Token
from integration.tickets import Status

_STATUSES = {"2": Status.OPEN, "3": Status.ON_HOLD, "4": Status.SOLVED, "5": Status.SOLVED}
# It becomes a part of a query, so nothing but digits may pass.
StatusNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}$")]


class FreshserviceSettings(BaseModel):
    """Settings of one connection to a Freshservice."""

    # The input is hidden, or a forgotten key would print all the others, secrets included.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Host = Field(
        description="Freshservice's own address, such as https://example.freshservice.com. Its API answers there, and "
        "not at a host name of yours."
    )
    page_url: Host | None = Field(
        None, description="Where people open Freshservice, if that is a host name of yours. Otherwise `url`."
    )
    api_key: Token = Field(description="The API key of our service account, from its profile settings.")
    service_account: str = Field(
        pattern=r"^[1-9][0-9]{0,19}$",
        description="The agent id of our service account, whose API key it is. What it does starts nothing.",
    )
    secrets: PlainSecrets = Field(
        description="What workflows send in the header `X-Ticket-Elevate-Secret`, by names of your own. All of them "
        "are accepted, so that one can be replaced without a pause."
    )
    all_workspaces: bool = Field(
        False,
        description="Set it to true where Freshservice has several workspaces: otherwise it tells us of changes in the "
        "primary one alone, when we ask for those whose call never arrived.",
    )
    category_field: str = Field(
        "category",
        pattern=r"^[A-Za-z0-9_]{1,100}$",
        description="What says what kind of work a ticket is: `category`, `sub_category`, `item_category`, `type`, or "
        "the name of a custom field.",
    )
    categories: dict[str, str] = Field(
        {},
        description="Freshservice's values of that field, each with the category that rules call it by. What is not "
        "listed is taken as it stands.",
    )
    status_map: dict[StatusNumber, Status] = Field(
        _STATUSES,
        description="Freshservice's status numbers, each as open, on_hold or solved. One that is not listed counts as "
        "on_hold, so that nothing starts by it.",
    )
