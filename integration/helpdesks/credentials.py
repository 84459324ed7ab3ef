"""What a connection to a helpdesk is told, as fields of its settings: addresses, tokens and secrets."""

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr, ValidationInfo

from integration.helpdesks import standard_webhooks, static_header


def signing_keys(secrets: dict[str, SecretStr]) -> dict[str, bytes]:
    """The keys behind `whsec_...` secrets, by name. Raises ValueError with a sentence that never quotes one."""
    return standard_webhooks.keys({name: secret.get_secret_value() for name, secret in secrets.items()})


def plain_keys(secrets: dict[str, SecretStr]) -> dict[str, bytes]:
    """Secrets that are taken as they stand, by name. Raises ValueError with a sentence that never quotes one."""
    return static_header.keys({name: secret.get_secret_value() for name, secret in secrets.items()})


def _plain(found: dict[str, SecretStr]) -> dict[str, SecretStr]:
    plain_keys(found)
    return found


def _host(url: str, info: ValidationInfo) -> str:
    if not re.fullmatch(r"https://[^\s/?#@\\]+/?|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?/?", url):
        raise ValueError(
            f"{info.field_name} must be the helpdesk's https address alone, such as https://helpdesk.example.com, with "
            f"neither a path nor a user name in it."
        )
    return url.rstrip("/")


def _site(url: str, info: ValidationInfo) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#@\\]*)?", url):
        raise ValueError(
            f"{info.field_name} must be the helpdesk's address, such as https://helpdesk.example.com, with no user "
            f"name in it."
        )
    return url.rstrip("/")


def _secrets(found: dict[str, SecretStr]) -> dict[str, SecretStr]:
    signing_keys(found)
    return found


def _header(text: SecretStr, info: ValidationInfo) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", text.get_secret_value()):
        raise ValueError(
            f"{info.field_name} is empty, or holds a blank, a line end or a letter that no header can carry."
        )
    return text


Host = Annotated[str, AfterValidator(_host)]  # https and a host
Site = Annotated[str, AfterValidator(_site)]  # and perhaps a path
Token = Annotated[SecretStr, AfterValidator(_header)]
Secrets = Annotated[dict[str, SecretStr], AfterValidator(_secrets)]
PlainSecrets = Annotated[dict[str, SecretStr], AfterValidator(_plain)]
