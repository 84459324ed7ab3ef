"""What the TeamDynamix adapter must be told. docs/connect-teamdynamix.md says where each value comes from."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from integration.helpdesks.credentials import Host, PlainSecrets
from integration.tickets import Status

_GUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"


class TeamDynamixSettings(BaseModel):
    """Settings of one connection to a ticketing application of TeamDynamix."""

    # The input is hidden, or a forgotten key would print all the others, secrets included.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Host = Field(
        description="Where people open TeamDynamix, such as https://example.teamdynamix.com. Links to tickets begin "
        "with it."
    )
    sandbox: bool = Field(False, description="Whether this is the sandbox, which answers below /SBTDWebApi.")
    app_id: str = Field(
        pattern=r"^[1-9][0-9]{0,9}$", description="The id of the ticketing application (TDAdmin > Applications)."
    )
    username: str | None = Field(
        None, min_length=1, description="The user name of our service account. Or else set beid and web_services_key."
    )
    password: SecretStr | None = Field(None, min_length=1, description="The password of that service account.")
    beid: SecretStr | None = Field(
        None,
        min_length=1,
        description="The BEID of the organization, for the administrative account that logs in by key. It may do more "
        "than we need: a service account with a password is better.",
    )
    web_services_key: SecretStr | None = Field(
        None, min_length=1, description="The web services key that belongs to the BEID."
    )
    service_account: str = Field(
        pattern=_GUID, description="The UID of our service account. What it does never starts anything."
    )
    secrets: PlainSecrets = Field(
        description="Secrets of the webhooks by names of your own, at least 24 characters each. All of them are "
        "accepted, so that one can be replaced without a pause."
    )
    signature: Literal["hex", "base64", "none"] = Field(
        "hex",
        description="How X-Tdx-Signature spells the HMAC-SHA256 of the body. `none`: nothing is signed, and "
        "static_header must be set.",
    )
    signature_prefix: str = Field(
        "", max_length=32, description="What stands in X-Tdx-Signature before the signature, such as `sha256=`."
    )
    static_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="With signature `none`: the header that holds one of the secrets. In `Authorization`, a `Basic ` "
        "before it is left out.",
    )
    ticket_paths: tuple[str, ...] = Field(
        ("Item.ID", "ItemID", "ticket_id"),
        min_length=1,
        description="Where the number of the ticket stands in the body of a call: names with dots between them. The "
        "first that holds a number counts.",
    )
    kind_path: str = Field("EventType", description="Where the body says what happened; it is only written to the log.")
    address_field: Literal["PrimaryEmail", "AuthenticationUserName"] = Field(
        "PrimaryEmail", description="What of a technician's TeamDynamix account is their address in Entra."
    )
    category_field: str = Field(
        "TypeName",
        pattern=r"^(TypeName|TypeCategoryName|FormName|ServiceName|[0-9]{1,10})$",
        description="What says what kind of work a ticket is: `TypeName`, `TypeCategoryName`, `FormName`, "
        "`ServiceName`, or the id of a custom attribute.",
    )
    categories: dict[str, str] = Field(
        {},
        description="TeamDynamix's values of that field, each with the category that rules call it by. The value of a "
        "drop-down is the number of its choice. What is not listed is taken as it stands.",
    )
    status_map: dict[str, Status] = Field(
        {},
        description="Names of statuses that mean something else than their class, each as open, on_hold or solved. "
        "Without an entry, New and In Process are open, Completed and Cancelled are solved, all others on_hold.",
    )
    taken_words: str = Field(
        "Took primary responsibility for this",
        min_length=8,
        description="How an entry of the feed begins with which somebody took a ticket.",
    )
    reassigned_words: str = Field(
        "Reassigned this",
        min_length=8,
        description="How an entry of the feed begins with which somebody gave a ticket to somebody, or to themselves.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        by_name = (self.username, self.password)
        by_key = (self.beid, self.web_services_key)
        if all(by_name) == all(by_key) or (any(by_name) and any(by_key)):
            raise ValueError("Set username and password, or beid and web_services_key: one pair, and the whole of it.")
        if self.signature == "none" and self.static_header is None:
            raise ValueError(
                "Nothing would prove who calls: set a secret at the webhook and signature to hex or base64, or set "
                "static_header."
            )
        if self.signature != "none" and self.static_header is not None:
            raise ValueError("static_header is for calls that are not signed: take it away, or set signature to none.")
        return self
