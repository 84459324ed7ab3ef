"""How Atlassian's Forge calls an app's remote: the panel on an issue, and the token that each call carries.

Source: developer.atlassian.com/platform/forge: "Forge Remote essentials", "invokeRemote", and its page of the endpoint
module. How long a token lives is nowhere said; ours live for a quarter of an hour.
"""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import requests

from sandbox.clock import real_now
from sandbox.tokens import Keys

APP = "ari:cloud:ecosystem::app/0c1b9f52-7a54-4c0e-9d0f-6a1d2b3c4e5f"
PATIENCE = 25  # seconds
LIFE = 900


class Forge:
    """One app that is installed on one site (`cloud`)."""

    def __init__(self, cloud: str) -> None:
        self.keys = Keys()
        self._cloud = cloud
        self._installation = str(uuid.uuid4())

    def published(self) -> dict[str, Any]:
        return {"keys": [{**key, "alg": "RS256"} for key in self.keys.jwks("forge")["keys"]]}

    def token(self, account: str, issue: str) -> str:
        now = int(real_now().timestamp())
        claims = {
            "iss": "forge/invocation-token",
            "aud": APP,
            "iat": now,
            "nbf": now,
            "exp": now + LIFE,
            "jti": secrets.token_hex(16),
            "app": {
                "id": APP,
                "installationId": self._installation,
                "apiBaseUrl": f"https://api.atlassian.com/ex/jira/{self._cloud}",
                "environment": {"type": "PRODUCTION", "id": str(uuid.uuid4())},
                "module": {"type": "jira:issuePanel", "key": "ticket-elevate-panel"},
            },
            "context": {"cloudId": self._cloud, "extension": {"type": "jira:issuePanel", "issue": {"key": issue}}},
            "principal": account,
        }
        return self.keys.sign(claims)

    def call(self, url: str, account: str, issue: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """invokeRemote: from Atlassian's servers, for the user whose session it is. None where Forge would refuse."""
        headers = {"Authorization": f"Bearer {self.token(account, issue)}", "x-b3-traceid": secrets.token_hex(16)}
        try:
            answer = requests.post(url, json=body, headers=headers, timeout=PATIENCE, allow_redirects=False)
            told = answer.json() if answer.ok and answer.headers["Content-Type"] == "application/json" else None
        except (requests.RequestException, KeyError):
            return None
        return told if isinstance(told, dict) else None
