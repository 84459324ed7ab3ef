"""What Jira's API creates for us, with an administrator's token: the webhook.

Wire facts: developer.atlassian.com/cloud/jira/platform/webhooks/ ("Registering a webhook", /rest/webhooks/1.0/webhook).
It must be the site's own address and a token without scopes; a secret is taken and never told again, only that there is
one (isSigned). Atlassian calls https addresses alone.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from integration.helpdesks.http import AnswerUnusable, Door
from integration.helpdesks.jira_settings import JiraSettings
from integration.helpdesks.setup import ByHand, Kept, Made, Once, Place, Undo, creating
from integration.helpdesks.values import exact, table, tables
from integration.tickets import Finding

EVENTS = ("jira:issue_created", "jira:issue_updated", "jira:issue_deleted")
_API = "/rest/webhooks/1.0/webhook"


class JiraSetup(ByHand):
    asks = ("api_url", "email", "category_field")
    once = (
        Once(
            "admin_email",
            "The address of a Jira administrator, to make the webhook with. It is used now and kept nowhere. Without "
            "it the webhook is left to you.",
        ),
        Once(
            "admin_token",
            "An API token without scopes of that administrator. It is used now and kept nowhere: delete it afterwards.",
            secret=True,
            after="admin_email",
        ),
        Once(
            "jql",
            "Which tickets the webhook tells of, as JQL, such as `project in (IT, HR)`. Empty: all of the site.",
            after="admin_email",
        ),
    )
    stand_ins = {"service_account": "unknown"}

    def __init__(self, connection: str, door: Door, settings: JiraSettings) -> None:
        self._connection, self._door, self._settings = connection, door, settings

    def found(self) -> Mapping[str, str]:
        account = exact(table(self._door.call("GET", "/rest/api/3/myself")).get("accountId"))
        if account is None:
            raise AnswerUnusable(self._connection, "it does not say who we are")
        return {"service_account": account}

    def creates(self, once: Mapping[str, str]) -> Sequence[str]:
        return ("a webhook",) if once.get("admin_email") and once.get("admin_token") else ()

    def make(self, place: Place, kept: Kept, once: Mapping[str, str], undo: list[Undo]) -> Made:
        pair = base64.b64encode(f"{once['admin_email']}:{once['admin_token']}".encode()).decode()
        door = Door(self._connection, self._settings.url, headers={"Authorization": f"Basic {pair}"})
        called, secret = f"a webhook calls {place.webhook}", kept.newest or self.new_secret()
        webhooks = self._webhooks(door)
        elsewhere = place.left_elsewhere(it.get("url") for it in webhooks)
        there = next((it for it in webhooks if it.get("url") == place.webhook), None)
        if there is not None:
            state = _state(there, ours=kept.whole)
            return Made(secret, (Finding(f"{called} (it was there)", True), *state, *elsewhere))

        def found() -> list[str]:
            return [self._id(it) for it in self._webhooks(door) if it.get("url") == place.webhook]

        with creating("the webhook", found=found, delete=lambda it: door.call("DELETE", f"{_API}/{it}"), undo=undo):
            made = table(door.call("POST", _API, json=_webhook(place, once.get("jql", ""), secret)))
        self._id(made)
        return Made(secret, (Finding(f"{called} (new)", True), *_state(made, ours=True), *elsewhere))

    def _webhooks(self, door: Door) -> list[dict[str, Any]]:
        rows = door.call("GET", _API)
        if not isinstance(rows, list):
            raise AnswerUnusable(self._connection, "it holds no list of webhooks")
        return tables(rows)

    def _id(self, webhook: Mapping[str, Any]) -> str:
        number = str(webhook.get("self", "")).rpartition("/")[2]
        if not (number.isascii() and number.isdigit()):
            raise AnswerUnusable(self._connection, "it does not say the webhook's id")
        return number

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:
        webhook = (
            f"Settings > System > WebHooks: make one with the URL {place.webhook}, with the secret that {secret} "
            "holds, for the issue events created, updated and deleted, with a JQL of your service projects, and not "
            "without body.",
        )
        done = ("Delete the administrator's token: it is needed no more.",)
        act = (
            "Give every automation rule that assigns the actor Automation for Jira, then set rules_act_as_themselves = "
            "true. Until then a pick starts nothing by itself."
        )
        panel = (
            "For the button on each ticket, build the app in integration/helpdesks/jira_app (docs/connect-jira.md says "
            f"how) with the baseUrl {place.public_url} and the connection {place.connection}, and set panel_app."
        )
        return (
            *(done if made else webhook),
            *(() if self._settings.rules_act_as_themselves else (act,)),
            *(() if self._settings.panel_app else (panel,)),
            f"For a link on each ticket, let an automation rule write {place.page('{{issue.key}}')} into a URL field.",
        )


def _webhook(place: Place, jql: str, secret: str) -> dict[str, Any]:
    return {
        "name": place.name,
        "url": place.webhook,
        "events": list(EVENTS),
        "filters": {"issue-related-events-section": jql},
        "excludeBody": False,
        "enabled": True,
        "secret": secret,
    }


def _state(webhook: Mapping[str, Any], *, ours: bool) -> list[Finding]:
    """Whether a webhook does what ours must. `ours`: if it signs, then with a secret that we have."""
    on = webhook.get("enabled") is not False and webhook.get("excludeBody") is not True
    told = webhook.get("events")
    missing = [it for it in EVENTS if it not in (told if isinstance(told, list) else [])]
    signs = webhook.get("isSigned") is True and ours
    where = "Settings > System > WebHooks"
    return [
        Finding("that webhook is on, and sends bodies", on, "" if on else f"Switch that on: {where}."),
        Finding(
            "that webhook tells what matters",
            not missing,
            f"Add to it ({where}): {', '.join(missing)}." * bool(missing),
        ),
        Finding(
            "that webhook signs with a secret that we have",
            signs,
            "" if signs else f"Jira never shows a secret again. Delete the webhook ({where}) and run this again.",
        ),
    ]
