"""How Jira's admin webhook looks on the wire. Source: developer.atlassian.com/cloud/jira/platform/webhooks/."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.sender import Message


class AdminWebhook:
    """Signed over the body alone, with the method named. Five more tries, for which a second here is five minutes."""

    patience = 20.0

    def __init__(self, event: Callable[[str, str, str], dict[str, Any]]) -> None:
        self._event = event

    def message(self, kind: str, ticket: str, actor: str) -> Message:
        return Message(str(uuid.uuid4()), json.dumps(self._event(kind, ticket, actor)).encode())

    def headers(self, message: Message, secrets: Sequence[str]) -> Mapping[str, str]:
        digest = hmac.new(secrets[0].encode(), message.body, hashlib.sha256).hexdigest()
        again = {"x-atlassian-webhook-retry": str(message.attempt)} if message.attempt else {}
        return {
            "x-hub-signature": f"sha256={digest}",
            "x-atlassian-webhook-identifier": message.id,
            "x-atlassian-webhook-flow": "Primary",
            "user-agent": "Atlassian Webhook HTTP Client",
            **again,
        }

    def again(self, message: Message, status: int | None, answer: Mapping[str, str]) -> float | None:  # noqa: ARG002
        lost = status is None or status in (408, 409, 425, 429) or status >= 500
        return 1.0 if lost and message.attempt <= 5 else None
