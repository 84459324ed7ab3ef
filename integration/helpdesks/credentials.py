"""What a connection to a helpdesk proves itself by, as fields of its settings: tokens and signing secrets."""

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr, ValidationInfo

from integration.helpdesks import standard_webhooks


def signing_keys(secrets: dict[str, SecretStr]) -> dict[str, bytes]:
    """The keys behind `whsec_...` secrets, by name. Raises ValueError with a sentence that never quotes one."""
    return standard_webhooks.keys({name: secret.get_secret_value() for name, secret in secrets.items()})


def _secrets(found: dict[str, SecretStr]) -> dict[str, SecretStr]:
    signing_keys(found)
    return found


def _header(text: SecretStr, info: ValidationInfo) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", text.get_secret_value()):
        raise ValueError(
            f"{info.field_name} is empty, or holds a blank, a line end or a letter that no header can carry."
        )
    return text


Token = Annotated[SecretStr, AfterValidator(_header)]
Secrets = Annotated[dict[str, SecretStr], AfterValidator(_secrets)]
