"""What the generic adapter must be told about a helpdesk. docs/connect-generic.md shows each setting in use."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import jmespath
import uritemplate
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, model_validator

from integration.helpdesks.credentials import Token, plain_keys, signing_keys
from integration.tickets import Status


def _expression(text: str, info: ValidationInfo) -> str:
    try:
        unknown = _functions(jmespath.compile(text).parsed) - set(Functions.FUNCTION_TABLE)
    except JMESPathError as e:
        place = getattr(e, "lex_position", None)
        where = f" Look at character {place + 1}." if isinstance(place, int) else ""
        raise ValueError(f"{info.field_name} is not a JMESPath expression: {text!r}.{where}") from None
    if unknown:
        raise ValueError(
            f"{info.field_name} uses a function that JMESPath does not have: {', '.join(sorted(unknown))}."
        )
    return text


def _functions(node: Any) -> set[str]:
    if not isinstance(node, dict):
        return set()
    here = {node["value"]} if node["type"] == "function_expression" else set()
    return here.union(*(_functions(child) for child in node["children"]))


def _template(text: str, info: ValidationInfo) -> str:
    return _below(_holds("number", text, info), info)


def _listing(text: str, info: ValidationInfo) -> str:
    return _below(_holds("account", text, info), info)


def _changing(text: str, info: ValidationInfo) -> str:
    return _below(_holds("since", text, info, perhaps="page"), info)


def _holds(name: str, text: str, info: ValidationInfo, *, perhaps: str = "") -> str:
    """A template that holds {name} and nothing else, so that whatever stands there cannot leave its place."""
    found = {variable.original for variable in uritemplate.URITemplate(text).variables}
    known = {name, perhaps} if perhaps else {name}
    rest = text
    for placeholder in known:
        rest = rest.replace(f"{{{placeholder}}}", "")
    if not {name} <= found <= known or "{" in rest or "}" in rest:
        other = f" but {{{perhaps}}}" if perhaps else ""
        raise ValueError(f"{info.field_name} must hold {{{name}}}, and no other placeholder{other}: {text!r}.")
    return text


def _below(text: str, info: ValidationInfo) -> str:
    if not text.startswith("/") or text.startswith("//") or "\\" in text:
        raise ValueError(f"{info.field_name} must begin with one slash; it is added to url: {text!r}.")
    return text


def _anywhere(text: str, info: ValidationInfo) -> str:
    return _template(text, info) if "{" in text else _below(text, info)


def _page(text: str, info: ValidationInfo) -> str:
    """Like _template, but people may see their tickets under another name than the API's."""
    whole = re.match(r"https?://[A-Za-z0-9.:-]+(?=/)", text)
    _template(text[whole.end() :] if whole else text, info)
    return text


def _base(text: str, info: ValidationInfo) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{info.field_name} must be the helpdesk's address, such as https://helpdesk.example.com.")
    if "@" in parts.netloc:
        raise ValueError(f"{info.field_name} must not hold a user name or a password; set token instead.")
    return text.rstrip("/")


def _pattern(text: str, info: ValidationInfo) -> str:
    try:
        re.compile(text)
    except re.error:
        raise ValueError(f"{info.field_name} is not a regular expression: {text!r}.") from None
    return text


Expression = Annotated[str, AfterValidator(_expression)]
Template = Annotated[str, AfterValidator(_template)]

_WORDS = {
    "new": Status.OPEN,
    "open": Status.OPEN,
    "pending": Status.ON_HOLD,
    "hold": Status.ON_HOLD,
    "on_hold": Status.ON_HOLD,
    "solved": Status.SOLVED,
    "resolved": Status.SOLVED,
    "closed": Status.SOLVED,
    "rejected": Status.SOLVED,
}


class GenericSettings(BaseModel):
    """One connection of the kind `generic`. The defaults fit the practice helpdesk."""

    # The input is hidden, or a forgotten key would print all the others, token included.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_base)] = Field(
        description="Where the helpdesk's REST API is: https, host, perhaps a path. Every call stays on this host."
    )
    token: Token = Field(description="The API token of our own service account in the helpdesk.")
    token_header: str = Field("Authorization", pattern=r"^[A-Za-z0-9-]+$", description="The header that carries token.")
    token_prefix: str = Field(
        "Bearer ", pattern=r"^[\x20-\x7e]*$", description="What stands before token in that header; may be empty."
    )
    service_account: str = Field(
        min_length=1,
        description="The id of our own service account in the helpdesk. What it does never starts anything.",
    )
    signature: Literal["standard_webhooks", "header", "bearer", "basic"] = Field(
        "standard_webhooks",
        description="How a delivery proves where it comes from: signed as Standard Webhooks says; or, for a helpdesk "
        "that signs nothing, by a secret in secret_header, behind `Authorization: Bearer`, or as the password of "
        "`Authorization: Basic` (which is how the secret in `https://elevate:SECRET@...` arrives).",
    )
    secret_header: str = Field(
        "X-Elevate-Secret",
        pattern=r"^[A-Za-z0-9-]+$",
        description='The header that holds the secret alone, with signature = "header".',
    )
    secrets: dict[str, SecretStr] = Field(
        description="Secrets of the webhook, by names of your own. For signatures: whsec_ and base64 of at least 24 "
        "bytes; else at least 24 characters. All of them are accepted, so that one can be replaced without a pause. "
        "Use none for two connections."
    )
    ca_bundle: Path | None = Field(
        None, description="A PEM file with the authority that signed the helpdesk's certificate, if it is your own."
    )

    delivery_id_path: Expression | None = Field(
        None,
        description="JMESPath in a delivery that is not signed: its id, the same when it is sent again. Without it "
        "every call counts as a new one, which costs a reading of the ticket and does no harm.",
    )
    event_path: Expression = Field("type", description="JMESPath in a delivery: the name of the event.")
    ticket_path: Expression = Field("data.ticket.id", description="JMESPath in a delivery: the ticket's number.")
    actor_path: Expression = Field("data.actor.id", description="JMESPath in a delivery: the account that did it.")
    ticket_number_pattern: Annotated[str, AfterValidator(_pattern)] = Field(
        "[A-Za-z0-9_-]{1,64}",
        description="Regular expression that a whole ticket number must match before it gets into a URL.",
    )

    ticket_url: Template = Field("/api/tickets/{number}", description="URL template, added to url: reads a ticket.")
    page_url: Annotated[str, AfterValidator(_page)] = Field(
        "/tickets/{number}",
        description="URL template of the page on which people see a ticket; added to url unless it names a host.",
    )
    notes_url: Template = Field(
        "/api/tickets/{number}/notes",
        description="URL template, added to url: GET lists the notes (newest first, if it can), POST writes one.",
    )
    note_url: Annotated[str, AfterValidator(_anywhere)] | None = Field(
        None,
        description="URL template, added to url, that a note is POSTed to, where that is another than notes_url; "
        "{number} may be left out.",
    )
    note_body: Expression = Field(
        "{body: note, internal: `true`}",
        description="JMESPath that builds the JSON to POST from {note, note_html, number}. note is plain text; use "
        "note_html where the helpdesk shows notes as HTML. See to it that the note is internal.",
    )
    notes_path: Expression = Field(
        "not_null(notes, value)[].body", description="JMESPath in a page of notes: the list of their texts."
    )
    notes_next_path: Expression = Field(
        "next", description="JMESPath in a page of notes: the URL of the next page, or null. It must be on url's host."
    )
    tickets_url: Annotated[str, AfterValidator(_listing)] | None = Field(
        None,
        description="URL template with {account}, added to url: lists the open tickets of that account, so that a "
        "technician can pick one of theirs. Without it they type the number.",
    )
    tickets_path: Expression = Field(
        "not_null(tickets, value)",
        description="JMESPath in that list: the tickets, each such that number, subject, status and assignee_account "
        "find what they find in a single one.",
    )
    changes_url: Annotated[str, AfterValidator(_changing)] | None = Field(
        None,
        description="URL template with {since} and, if it can, {page}, added to url: lists what changed at that time "
        "(2026-11-24T10:00:00Z) or later, the longest ago first. Without it, a pick whose call never arrived is not "
        "found.",
    )
    changes_path: Expression = Field(
        "not_null(tickets, value)",
        description="JMESPath in that list: the tickets, each such that number and updated_at_path find what they find "
        "in a single one.",
    )
    changes_more_path: Expression = Field(
        "next", description="JMESPath in that list: something that is not empty, null or false where there is more."
    )
    history_url: Template | None = Field(
        None,
        description="URL template, added to url: reads the ticket's history. Where it is the same as ticket_url, the "
        "ticket holds its own history and is read once.",
    )
    history_path: Expression = Field(
        "value[-1]",
        description="JMESPath in the history: the newest entry that set the assignee. With history_url, the four "
        "settings assigned_... and change are looked up in this entry instead of the ticket.",
    )
    check_url: Annotated[str, AfterValidator(_below)] | None = Field(
        None, description="Path, added to url, where the helpdesk says whose token it is. For `doctor`."
    )
    check_account: Expression = Field("id", description="JMESPath in that answer: the account's id.")

    number: Expression = Field("id", description="JMESPath in a ticket: its number.")
    subject: Expression = Field("subject", description="JMESPath in a ticket: its subject.")
    category: Expression = Field("category", description="JMESPath in a ticket: its category.")
    queue: Expression = Field("queue", description="JMESPath in a ticket: its queue, team or type.")
    status: Expression = Field("status", description="JMESPath in a ticket: the helpdesk's word for its status.")
    status_map: dict[str, Status] = Field(
        _WORDS,
        description="The helpdesk's words for a status, each as open, on_hold or solved, in any case. A word that is "
        "not listed counts as on_hold, so that nothing starts by it.",
    )
    assignee_account: Expression = Field("assignee.id", description="JMESPath in a ticket: the assignee's account.")
    assignee_name: Expression = Field("assignee.name", description="JMESPath in a ticket: the assignee's name.")
    assignee_address: Expression = Field(
        "assignee.email", description="JMESPath in a ticket: the assignee's mail address."
    )
    addresses: dict[str, str] = Field(
        {},
        description="Accounts with their mail addresses, for a helpdesk whose API tells none. Whoever is not listed "
        "cannot link their account, and so cannot elevate.",
    )
    assigned_by: Expression = Field(
        "assigned_by", description="JMESPath: the account that set the assignee. Without it nothing starts by itself."
    )
    assigned_at: Expression = Field(
        "assigned_at", description="JMESPath: when; ISO 8601 with an offset, or seconds since 1970."
    )
    assigned_to: Expression | None = Field(
        None,
        description="JMESPath: the account that was made assignee by that change. Where it is not the ticket's "
        "assignee, the change is not believed.",
    )
    change: Expression = Field("assignment_id", description="JMESPath: the helpdesk's own id of that change.")
    updated_at_path: Expression = Field(
        "updated_at",
        description="JMESPath in a ticket: when anything of it last changed; ISO 8601 with an offset, or seconds since "
        "1970.",
    )
    requesters: Expression = Field(
        "[requester][].{account: id, name: name, address: email}",
        description="JMESPath in a ticket: a list of {account, name, address} of everybody it was filed for. Leave "
        "nobody out, or a technician could serve themselves.",
    )
    fields: Expression = Field(
        "fields || `{}`", description="JMESPath in a ticket: an object of further fields that rules may look at."
    )

    @model_validator(mode="after")
    def _secrets_that_fit(self) -> Self:
        assert self.keys()
        return self

    def keys(self) -> dict[str, bytes]:
        """The secrets as bytes, by name. Raises ValueError with a sentence that never quotes one."""
        if self.signature == "standard_webhooks":
            return signing_keys(self.secrets)
        return plain_keys(self.secrets)
