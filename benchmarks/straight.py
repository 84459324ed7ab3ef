"""The yardstick: a straight, unsafe script. The same upstream calls with requests and MSAL; no database, no queue."""

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msal
import requests

from integration.entra.sign_in import GRAPH_SCOPES

ROLES = {  # by category, as the shipped rules choose them for the practice technician
    "Password reset": "Password Administrator",
    "MFA reset": "Authentication Administrator",
    "Login error": "Reports Reader",
    "BitLocker key": "Cloud Device Administrator",
}
BASE = "/v1.0/roleManagement/directory"
MINE = "/filterByCurrentUser(on='principal')"


def side_by_side(lane: Callable[[str], None], categories: Sequence[str]) -> None:
    threads = [threading.Thread(target=lane, args=(category,)) for category in categories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cycles_per_second(
    desk: Any, categories: Sequence[str], seconds: float, browse: Callable[[str, dict[str, Any]], dict[str, str]]
) -> float:
    app = _signed_in(desk.facts, browse)
    stop = time.monotonic() + seconds
    done: list[str] = []

    def lane(category: str) -> None:
        script = Script(desk, app, category)
        while time.monotonic() < stop:
            script.cycle()
            done.append(category)

    began = time.monotonic()
    side_by_side(lane, categories)
    return len(done) / (time.monotonic() - began)


def _signed_in(facts: dict[str, Any], browse: Callable[[str, dict[str, Any]], dict[str, str]]) -> Any:
    http = _trusting(facts)
    app = msal.ConfidentialClientApplication(
        facts["client_id"],
        client_credential=facts["client_secret"],
        authority=facts["authority"],
        instance_discovery=False,
        http_client=http,
    )
    warnings.filterwarnings("ignore", message="response_mode='form_post'")  # a page of a script: there is none
    flow = app.initiate_auth_code_flow(list(GRAPH_SCOPES), redirect_uri=facts["redirect_uris"][0])
    answer = app.acquire_token_by_auth_code_flow(flow, browse(flow["auth_uri"], facts))
    if "access_token" not in answer:
        raise ValueError(f"The straight script could not sign in: {answer.get('error_description')}")
    return app


def _trusting(facts: dict[str, Any]) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # REQUESTS_CA_BUNDLE would win over `verify`
    session.verify = facts["ca_bundle"]
    return session


class Script:
    def __init__(self, desk: Any, app: Any, category: str) -> None:
        self._desk, self._app, self._category, self._facts = desk, app, category, desk.facts
        me = next(p for p in self._facts["people"] if p["key"] == "technician")
        role = next(e["roleDefinitionId"] for e in me["eligible"] if e["role"] == ROLES[category])
        self._target = {"principalId": me["oid"], "roleDefinitionId": role, "directoryScopeId": "/"}
        self._helpdesk, self._graph = _trusting(self._facts), _trusting(self._facts)
        self._helpdesk.headers["Authorization"] = f"Bearer {self._facts['helpdesk_token']}"

    def cycle(self) -> None:
        ticket = self._desk.ticket(self._category)
        self._desk.pick(ticket)
        self._desk_call("GET", ticket)
        self._ask("selfActivate", ticket)
        self._graph_call("GET", f"{BASE}/roleAssignmentScheduleInstances{MINE}")
        self._note(ticket, "active")
        self._desk.solve(ticket)
        self._desk_call("GET", ticket)
        self._ask("selfDeactivate", ticket)
        self._note(ticket, "given back")

    def _ask(self, action: str, ticket: str) -> None:
        body = self._target | {"action": action}
        if action == "selfActivate":
            body |= {
                "justification": f"{self._category} for ticket {ticket}",
                "scheduleInfo": {
                    "startDateTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "expiration": {"type": "afterDuration", "duration": "PT1H"},
                },
                "ticketInfo": {"ticketNumber": ticket, "ticketSystem": "Practice helpdesk"},
            }
        self._graph_call("POST", f"{BASE}/roleAssignmentScheduleRequests", body)

    def _graph_call(self, method: str, path: str, body: Any = None) -> None:
        found = self._app.acquire_token_silent(list(GRAPH_SCOPES), account=self._app.get_accounts()[0])
        headers = {"Authorization": f"Bearer {found['access_token']}"}
        url = self._facts["graph_url"] + path
        self._graph.request(method, url, json=body, headers=headers, timeout=10).raise_for_status()

    def _desk_call(self, method: str, ticket: str, more: str = "", body: Any = None) -> None:
        url = f"{self._facts['helpdesk_url']}/api/tickets/{ticket}{more}"
        self._helpdesk.request(method, url, json=body, timeout=10).raise_for_status()

    def _note(self, ticket: str, text: str) -> None:
        self._desk_call("POST", ticket, "/notes", {"body": text, "internal": True})
