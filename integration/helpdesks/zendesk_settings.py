"""What the Zendesk adapter must be told. docs/connect-zendesk.md says where each value comes from."""

from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from integration.helpdesks.credentials import Host, Token
from integration.helpdesks.standard_webhooks import KNOWN
from integration.tickets import Status

_SHORTEST = 32  # characters
_SHORTEST_KEY = 2048  # bits
_STATUSES = {
    "new": Status.OPEN,
    "open": Status.OPEN,
    "pending": Status.ON_HOLD,
    "hold": Status.ON_HOLD,
    "solved": Status.SOLVED,
    "closed": Status.SOLVED,
}


def _signing(found: dict[str, SecretStr]) -> dict[str, SecretStr]:
    if not found:
        raise ValueError("secrets is empty: name at least one signing secret, or anybody could call.")
    for name, secret in found.items():
        text = secret.get_secret_value()
        if text.encode() in KNOWN:
            raise ValueError(
                f"The signing secret {name!r} is a test secret that everybody knows. Copy the webhook's own."
            )
        if len(text) < _SHORTEST:
            raise ValueError(f"The signing secret {name!r} is too short to be Zendesk's. Copy it whole.")
    return found


def _public_key(pem: str | None) -> str | None:
    if pem is None:
        return None
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError:
        key = None
    if not isinstance(key, RSAPublicKey) or key.key_size < _SHORTEST_KEY:
        raise ValueError("app_public_key must be the app's RSA key as Zendesk shows it, BEGIN and END lines included.")
    return pem


class ZendeskSettings(BaseModel):
    """Settings of one connection to a Zendesk Support."""

    # The input is hidden, or a forgotten key would print all the others, secrets included.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Host = Field(
        description="Where people open Zendesk, such as https://example.zendesk.com. Links to tickets begin with it."
    )
    client_id: str = Field(min_length=1, description="The unique identifier of the OAuth client (Admin Center > Apps).")
    client_secret: Token = Field(
        description="The secret of that confidential OAuth client. It acts as the user who made it: our service "
        "account, an agent."
    )
    service_account: str = Field(
        pattern=r"^[0-9]{1,20}$",
        description="The user id of our service account, who made the OAuth client. What it does starts nothing.",
    )
    secrets: Annotated[dict[str, SecretStr], AfterValidator(_signing)] = Field(
        description="Signing secrets of the webhooks by names of your own, as Zendesk shows them. All of them are "
        "accepted, so that one can be replaced without a pause."
    )
    category_field: str = Field(
        "type",
        pattern=r"^(type|ticket_form_id|[0-9]{1,20})$",
        description="What says what kind of work a ticket is: `type`, `ticket_form_id`, or the id of a custom field.",
    )
    categories: dict[str, str] = Field(
        {},
        description="Zendesk's values of that field, each with the category that rules call it by. A drop-down's value "
        "is its tag, such as password_reset. What is not listed is taken as it stands.",
    )
    by_hand: tuple[str, ...] = Field(
        ("web",),
        description="The channels of an audit that count as somebody's own hand. Whatever else set the assignee (a "
        "rule, a mail, a program) is nobody's pick. Add the channel of Zendesk's mobile app when you have seen it in "
        "an audit.",
    )
    status_map: dict[str, Status] = Field(
        _STATUSES,
        description="Zendesk's status categories, each as open, on_hold or solved. One that is not listed counts as "
        "on_hold, so that nothing starts by it.",
    )
    app_public_key: Annotated[str | None, AfterValidator(_public_key)] = Field(
        None,
        description="The public key of the installed app, in PEM. With `app_installation` it lets the app show at once "
        "how the agent's own role stands.",
    )
    app_installation: str | None = Field(
        None, pattern=r"^[0-9]{1,20}$", description="The installation id of the app in this Zendesk."
    )

    @model_validator(mode="after")
    def _whole_app(self) -> "ZendeskSettings":
        if (self.app_public_key is None) != (self.app_installation is None):
            raise ValueError("give app_public_key and app_installation together, or neither.")
        return self
