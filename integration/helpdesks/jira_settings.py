"""What the Jira adapter must be told. docs/connect-jira.md says where each value comes from."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from integration.helpdesks.credentials import Token, plain_keys
from integration.tickets import Status

SHORTEST = 24  # characters of a signing secret
# The example of Atlassian's own page: the whole world knows it.
_KNOWN = frozenset({"It's a Secret to Everybody"})
# English names of Jira Service Management's own workflows; a site in another language has its own.
_STATUSES = {
    "Waiting for customer": Status.ON_HOLD,
    "Waiting for approval": Status.ON_HOLD,
    "Pending": Status.ON_HOLD,
}
_FIELD = r"customfield_[0-9]{1,20}"
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FORGE_KEYS = "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json"


def _site(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@\\]+/?", url):
        raise ValueError("url must be the site's address alone, such as https://example.atlassian.net.")
    return url.rstrip("/")


def _api(url: str | None) -> str | None:
    if url is not None and not re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#@\\]*)?", url):
        raise ValueError("api_url must be an address such as https://api.atlassian.com/ex/jira/CLOUD-ID.")
    return url.rstrip("/") if url else None


def _keys(url: str) -> str:
    # Whoever could answer in its place could sign for every technician.
    if not re.fullmatch(r"(https://[^\s/?#@\\]+|http://(localhost|127\.0\.0\.1)(:[0-9]+)?)/[^\s?#@\\]+", url):
        raise ValueError("panel_keys_url must be an https:// address (http only on localhost).")
    return url


def _signing(found: dict[str, SecretStr]) -> dict[str, SecretStr]:
    if not found:
        raise ValueError("secrets is empty: name at least one signing secret, or anybody could call.")
    for name, secret in found.items():
        text = secret.get_secret_value()
        if text in _KNOWN:
            raise ValueError(f"The signing secret {name!r} is an example that everybody knows. Make a new one.")
        if len(text) < SHORTEST:
            raise ValueError(
                f"The signing secret {name!r} is shorter than {SHORTEST} characters. Let Jira make one, and copy it "
                f"whole."
            )
    return found


def _of_rules(found: dict[str, SecretStr]) -> dict[str, SecretStr]:
    if found:
        plain_keys(found)
    return found


class JiraSettings(BaseModel):
    """Settings of one connection to a Jira Service Management on Atlassian's cloud."""

    # The input is hidden, or a forgotten key would print all the others, secrets included.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_site)] = Field(
        description="Where people open Jira, such as https://example.atlassian.net. Links to tickets begin with it."
    )
    api_url: Annotated[str | None, AfterValidator(_api)] = Field(
        None,
        description="Where its API is called. A token with scopes, as service accounts have, is only taken at "
        "https://api.atlassian.com/ex/jira/CLOUD-ID. Default: `url`, which takes tokens without scopes alone.",
    )
    email: str | None = Field(
        None,
        pattern=r"^[^\s:@]+@[^\s:@]+$",
        description="The address of our account, where its token is sent with it (Basic). Without it the token is sent "
        "alone (Bearer), as a service account's is.",
    )
    token: Token = Field(description="The API token of our service account.")
    service_account: str = Field(
        pattern=r"^[0-9A-Za-z:_-]{1,128}$",
        description="The account id of our service account. What it does starts nothing.",
    )
    secrets: Annotated[dict[str, SecretStr], AfterValidator(_signing)] = Field(
        description="Signing secrets of the admin webhook by names of your own, as Jira shows them once. All of them "
        "are accepted, so that one can be replaced without a pause."
    )
    automation_secrets: Annotated[dict[str, SecretStr], AfterValidator(_of_rules)] = Field(
        {},
        description="Secrets that automation rules send in the header X-Ticket-Elevate-Secret, by names of your own. "
        "Others than in `secrets`. Without any, only the admin webhook may call.",
    )
    rules_act_as_themselves: bool = Field(
        False,
        description="Set it to true once no automation rule that assigns has a person as its actor. Jira's history "
        "shows such a rule's work as that person's own, so until then nothing starts by a pick: the ticket gets the "
        "Elevate link.",
    )
    category_field: str = Field(
        "issuetype",
        pattern=rf"^(issuetype|priority|{_FIELD})$",
        description="What says what kind of work a ticket is: `issuetype`, `priority`, or the id of a custom field, "
        "such as the site's Request Type.",
    )
    categories: dict[str, str] = Field(
        {},
        description="Jira's values of that field, each with the category that rules call it by. What is not listed is "
        "taken as it stands.",
    )
    status_map: dict[str, Status] = Field(
        _STATUSES,
        description="Names of statuses, each as open, on_hold or solved. One that is not listed goes by its status "
        "category: to do and in progress are open, any other is on_hold. What is done is always solved.",
    )
    requester_fields: tuple[Annotated[str, Field(pattern=rf"^(reporter|creator|{_FIELD})$")], ...] = Field(
        ("reporter", "creator"),
        min_length=1,
        description="Fields with people who count as requesters: `reporter`, `creator`, or ids of custom fields, such "
        "as the site's Request participants. A technician who is one cannot elevate for that ticket.",
    )
    fields: dict[Annotated[str, Field(pattern=rf"^({_FIELD}|labels|components)$")], str] = Field(
        {}, description="More fields that rules may ask about: each id with the name that rules call it by."
    )
    addresses: dict[str, str] = Field(
        {},
        description="Addresses by account id, for technicians whose Atlassian profile hides theirs. They must be those "
        "in Entra.",
    )

    panel_app: str | None = Field(
        None,
        pattern=rf"^ari:cloud:ecosystem::app/{_UUID}$",
        description="The id of the app that shows our panel on tickets, as `forge register` wrote it into its "
        "manifest.yml. Without it nobody can press there.",
    )
    cloud_id: str | None = Field(
        None,
        pattern=rf"^{_UUID}$",
        description="The id of the site, which a press in the panel must come from. Default: the end of `api_url`.",
    )
    panel_keys_url: Annotated[str, AfterValidator(_keys)] = Field(
        _FORGE_KEYS, description="Where Atlassian publishes the keys that presses are signed with. For tests alone."
    )

    @model_validator(mode="after")
    def _panel_is_of_one_site(self) -> Self:
        if self.panel_app and not self.cloud:
            raise ValueError("panel_app needs cloud_id, or an api_url that ends with the cloud id.")
        return self

    @property
    def api(self) -> str:
        return self.api_url or self.url

    @property
    def cloud(self) -> str | None:
        of_api = re.search(rf"/ex/jira/({_UUID})$", self.api)
        return self.cloud_id or (of_api[1] if of_api else None)
