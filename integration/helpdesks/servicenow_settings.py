"""What the ServiceNow adapter must be told. docs/connect-servicenow.md says where each value comes from."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from integration.helpdesks.credentials import Host, Secrets, Token
from integration.tickets import Status

_NAME = r"[a-z][a-z0-9_]{0,79}"
_WALK = rf"^{_NAME}(\.{_NAME}){{0,2}}$"
# Of incident, in a new instance; sites add more. Source: docs of the release Australia, "Incident states".
_STATES = {
    "1": Status.OPEN,
    "2": Status.OPEN,
    "3": Status.ON_HOLD,
    "6": Status.SOLVED,
    "7": Status.SOLVED,
    "8": Status.SOLVED,
}
Walk = Annotated[str, Field(pattern=_WALK)]


class ServiceNowSettings(BaseModel):
    """Settings of one connection to one task table of a ServiceNow instance."""

    # The input is hidden, or a forgotten key would print all the others, secrets included.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Host = Field(
        description="Where people open ServiceNow, such as https://example.service-now.com. Links to tickets begin "
        "with it."
    )
    table: str = Field(
        "incident",
        pattern=f"^{_NAME}$",
        description="The task table whose records are tickets. For a second one, make a second connection.",
    )
    client_id: str | None = Field(
        None,
        min_length=1,
        description="The client id of an OAuth application with the grant client credentials. With it goes "
        "`client_secret`, and no `password`.",
    )
    client_secret: Token | None = Field(
        None, description="The secret of that application. It acts as its OAuth Application User: our service account."
    )
    password: Token | None = Field(
        None, description="The password of `login`, to sign in with Basic where there is no OAuth application."
    )
    login: str = Field(
        pattern=r"^[A-Za-z0-9._@+-]{1,80}$",
        description="The user_name of our service account. Notes are found again by it.",
    )
    service_account: str = Field(
        pattern=r"^[0-9a-f]{32}$",
        description="The sys_id of our service account. What it does starts nothing.",
    )
    secrets: Secrets = Field(
        description="Signing secrets by name, each whsec_ and base64, as in the system property of our business rule. "
        "Two at once while one is replaced by the other."
    )
    pick_field: str = Field(
        "u_elevate_pick",
        pattern=f"^{_NAME}$",
        description="The column in which our business rules write down who assigned the ticket with their own hands. "
        "Without it nothing starts by itself: the ticket gets the Elevate link.",
    )
    category_field: Walk = Field(
        "category", description="The column that says what kind of work a ticket is; it may be dot-walked."
    )
    categories: dict[str, str] = Field(
        {},
        description="ServiceNow's values of that column (not its labels), each with the category that rules call it "
        "by. What is not listed is taken as it stands.",
    )
    requester_fields: tuple[Walk, ...] = Field(
        ("caller_id", "opened_by"),
        min_length=1,
        description="Columns that refer to the people for whom a ticket was filed. A technician who is one of them "
        "cannot elevate for that ticket.",
    )
    extra_fields: tuple[Walk, ...] = Field(
        ("subcategory", "priority", "contact_type"), description="More columns whose values rules may look at."
    )
    status_map: dict[str, Status] = Field(
        _STATES,
        description="ServiceNow's values of `state`, each as open, on_hold or solved. One that is not listed counts as "
        "on_hold, so that nothing starts by it; a record that is not active counts as solved.",
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        oauth = (self.client_id is not None, self.client_secret is not None)
        if oauth not in ((True, True), (False, False)) or oauth[0] == (self.password is not None):
            raise ValueError("Give either client_id and client_secret, or password alone.")
        return self
