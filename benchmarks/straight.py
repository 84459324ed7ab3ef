"""The yardstick: a straight, unsafe script. The same upstream calls with requests and MSAL; no database, no queue."""

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msal
import requests

from integration.entra.scopes import GRAPH_SCOPES

ROLES = {  # by category, as the shipped rules choose them for the practice technician
    "Password reset": "Password Administrator",
    "MFA reset": "Authentication Administrator",
    "Login error": "Reports Reader",
    "BitLocker key": "Cloud Device Administrator",
}
Lane = tuple[str, str]  # who, and the category of their tickets
Browse = Callable[[str, dict[str, Any], str], dict[str, str]]
BASE = "/v1.0/roleManagement/directory"
MINE = "/filterByCurrentUser(on='principal')"


def side_by_side(go_round: Callable[[Lane], None], lanes: Sequence[Lane]) -> None:
    threads = [threading.Thread(target=go_round, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cycles_per_second(desk: Any, lanes: Sequence[Lane], seconds: float, browse: Browse) -> float:
    apps = {who: _signed_in(desk.facts, browse, who) for who, _ in lanes}
    stop = time.monotonic() + seconds
    done: list[Lane] = []

    def go_round(lane: Lane) -> None:
        script = Script(desk, apps[lane[0]], lane)
        while time.monotonic() < stop:
            script.cycle()
            done.append(lane)

    began = time.monotonic()
    side_by_side(go_round, lanes)
    return len(done) / (time.monotonic() - began)


def _signed_in(facts: dict[str, Any], browse: Browse, who: str) -> Any:
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
    answer = app.acquire_token_by_auth_code_flow(flow, browse(flow["auth_uri"], facts, who))
    if "access_token" not in answer:
        raise ValueError(f"The straight script could not sign in: {answer.get('error_description')}")
    return app


def _trusting(facts: dict[str, Any]) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # REQUESTS_CA_BUNDLE would win over `verify`
    session.verify = facts["ca_bundle"]
    return session


class Script:
    def __init__(self, desk: Any, app: Any, lane: Lane) -> None:
        self._desk, self._app, self._facts = desk, app, desk.facts
        self._who, self._category = lane
        people = {p["key"]: p for p in self._facts["people"]}
        me, first = people[self._who], people["technician"]
        role = next(e["roleDefinitionId"] for e in first["eligible"] if e["role"] == ROLES[self._category])
        self._target = {"principalId": me["oid"], "roleDefinitionId": role, "directoryScopeId": "/"}
        self._helpdesk, self._graph = _trusting(self._facts), _trusting(self._facts)
        self._helpdesk.headers["Authorization"] = f"Bearer {self._facts['helpdesk_token']}"

    def cycle(self) -> None:
        ticket = self._desk.ticket(self._category)
        self._desk.pick(self._who, ticket)
        self._desk_call("GET", ticket)
        self._ask("selfActivate", ticket)
        self._graph_call("GET", f"{BASE}/roleAssignmentScheduleInstances{MINE}")
        self._note(ticket, "active")
        self._desk.solve(self._who, ticket)
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
