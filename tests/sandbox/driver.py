"""What the tests of the sandbox do with it: sign in by MSAL, call Graph, the helpdesk and the control API."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msal
import requests

GRAPH_SCOPES = [
    "User.Read",
    "RoleEligibilitySchedule.Read.Directory",
    "RoleAssignmentSchedule.ReadWrite.Directory",
    "RoleManagementPolicy.Read.Directory",
]
CALLBACK = "http://localhost:5000/sign-in/callback"
PASSWORD_ADMINISTRATOR = "966707d0-3269-4727-9be2-8c3a10f19b9d"
ROLE_PATH = "roleManagement/directory/"
MINE = "/filterByCurrentUser(on='principal')"


class Driver:
    def __init__(self, folder: Path) -> None:
        self.facts: dict[str, Any] = json.loads((folder / "sandbox.json").read_text())
        self.people = {p["key"]: p for p in self.facts["people"]}
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.verify = self.facts["ca_bundle"]
        self._tokens: dict[str, str] = {}

    def forget(self) -> None:
        self._tokens.clear()

    def control(self, path: str, body: Any) -> Any:
        answer = self.http.post(f"{self.facts['practice_url']}/_practice/{path}", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def read(self, path: str) -> Any:
        return self.http.get(f"{self.facts['practice_url']}/_practice/{path}", timeout=10).json()

    def app(self, capabilities: bool = True, **more: Any) -> msal.ConfidentialClientApplication:
        return msal.ConfidentialClientApplication(
            self.facts["client_id"],
            client_credential=more.pop("credential", self.facts["client_secret"]),
            authority=self.facts["authority"],
            instance_discovery=False,
            http_client=self.http,
            client_capabilities=["CP1"] if capabilities else None,
            **more,
        )

    def sign_in(self, who: str, app: msal.ConfidentialClientApplication | None = None, **more: Any) -> dict[str, Any]:
        """The whole authorization code flow as `who`, without a page; the answer as MSAL gives it."""
        app = app or self.app()
        scopes = more.pop("scopes", GRAPH_SCOPES)
        with warnings.catch_warnings():
            # MSAL advises form_post; a plain http callback takes query.
            warnings.simplefilter("ignore", UserWarning)
            flow = app.initiate_auth_code_flow(scopes, redirect_uri=CALLBACK, response_mode="query", **more)
        url = f"{flow['auth_uri']}&practice_person={self.people[who]['upn']}"
        sent = self.http.get(url, allow_redirects=False, timeout=10)
        assert sent.status_code == 302, sent.text
        answer: dict[str, Any] = app.acquire_token_by_auth_code_flow(
            flow, dict(parse_qsl(urlsplit(sent.headers["Location"]).query))
        )
        return answer

    def token(self, who: str) -> str:
        if who not in self._tokens:
            self._tokens[who] = self.sign_in(who)["access_token"]
        return self._tokens[who]

    def graph(self, who: str, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {more.pop('token', None) or self.token(who)}", **more.pop("headers", {})}
        url = f"{self.facts['graph_url']}/{more.pop('version', 'v1.0')}/{path}"
        return self.http.request(method, url, headers=headers, timeout=10, **more)

    def activate(self, who: str = "technician", **changes: Any) -> requests.Response:
        more = {"token": changes.pop("token")} if "token" in changes else {}
        body = {
            "action": "selfActivate",
            "principalId": self.people[who]["oid"],
            "roleDefinitionId": PASSWORD_ADMINISTRATOR,
            "directoryScopeId": "/",
            "justification": "4821: password reset",
            "ticketInfo": {"ticketNumber": "4821", "ticketSystem": "Practice helpdesk"},
            "scheduleInfo": {
                "startDateTime": "2026-01-01T00:00:00Z",
                "expiration": {"type": "AfterDuration", "duration": "PT30M"},
            },
            **changes,
        }
        return self.graph(who, "POST", ROLE_PATH + "roleAssignmentScheduleRequests", json=body, **more)

    def deactivate(self, who: str = "technician") -> requests.Response:
        body = {
            "action": "selfDeactivate",
            "principalId": self.people[who]["oid"],
            "roleDefinitionId": PASSWORD_ADMINISTRATOR,
            "directoryScopeId": "/",
        }
        return self.graph(who, "POST", ROLE_PATH + "roleAssignmentScheduleRequests", json=body)

    def active(self, who: str = "technician") -> list[dict[str, Any]]:
        answer = self.graph(who, "GET", ROLE_PATH + "roleAssignmentScheduleInstances" + MINE)
        rows: list[dict[str, Any]] = answer.json()["value"]
        return rows

    def later(self, seconds: float) -> None:
        self.control("clock", {"advance_seconds": seconds})

    def desk(self, who: str, method: str, path: str, **more: Any) -> requests.Response:
        token = self.facts["helpdesk_token"] if who == "bot" else self.people[who]["helpdesk_password_or_token"]
        url = f"{self.facts['helpdesk_url']}/api/{path}"
        return self.http.request(method, url, headers={"Authorization": f"Bearer {token}"}, timeout=10, **more)
