"""What Zendesk's API creates for us: the webhook, whose signing secret it makes and tells.

Wire facts: developer.zendesk.com/api-reference/webhooks/webhooks-api/webhooks/ and "Creating and monitoring webhooks".
Only who may manage webhooks may see them: our account for as long as it is being connected, and not afterwards.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from integration.helpdesks.http import AnswerUnusable, Door
from integration.helpdesks.setup import ByHand, Kept, Made, Place, Undo, creating
from integration.helpdesks.values import exact, table, tables
from integration.tickets import Finding, HelpdeskRefused, clean

MOST_PAGES = 20  # of webhooks, a hundred each
# After these a rule can say something else than before. Source: .../webhooks/event-types/ticket-events/
_TOLD = "agent_assignment_changed status_changed custom_field_changed created merged soft_deleted"
EVENTS = tuple(f"zen:event-type:ticket.{name}" for name in _TOLD.split())
BY_TRIGGER = "conditional_ticket_events"  # which trigger calls it then, and about what, is not looked at
SEES_ALL, NO_ADMINISTRATOR = "our account may see all tickets", "our account is no administrator"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class ZendeskSetup(ByHand):
    asks = ("category_field",)
    stand_ins = {"service_account": "0"}
    takes_our_secret = False

    def __init__(self, connection: str, door: Door) -> None:
        self._connection, self._door = connection, door

    def found(self) -> Mapping[str, str]:
        me = table(table(self._door.call("GET", "/users/me")).get("user"))
        account = exact(me.get("id"))
        if account is None:
            raise AnswerUnusable(self._connection, "it does not say who we are")
        return {"service_account": account}

    def is_left(self, found: Finding) -> bool:
        return found.what in (SEES_ALL, NO_ADMINISTRATOR)  # it may have to be one until the webhook is made

    def creates(self, once: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG002
        return ("a webhook that is subscribed to Zendesk's ticket events",)

    def make(self, place: Place, kept: Kept, once: Mapping[str, str], undo: list[Undo]) -> Made:  # noqa: ARG002
        webhooks = list(self._webhooks())
        found = next((it for it in webhooks if it.get("endpoint") == place.webhook), None)
        what = f"a webhook calls {place.webhook}"
        findings = [Finding(f"{what} (it was there)", True), *_state(found)] if found else []
        number = self._id(found) if found else self._create(place, undo)
        findings = findings or [Finding(f"{what} (new)", True)]
        told = table(table(self._door.call("GET", f"/webhooks/{number}/signing_secret")).get("signing_secret"))
        secret = told.get("secret")
        if not isinstance(secret, str) or not secret:
            raise AnswerUnusable(self._connection, "it does not tell the webhook's signing secret")
        return Made(secret, (*findings, *place.left_elsewhere(it.get("endpoint") for it in webhooks)))

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:  # noqa: ARG002
        webhook = (
            f"Look that the webhook whose secret you gave calls {place.webhook}, subscribed to these ticket events: "
            f"{', '.join(it.rpartition('.')[2] for it in EVENTS)}."
        )
        back = "Make our account a plain agent again, if it is more: it had to manage webhooks for this alone."
        return (
            *((back,) if made else (webhook,)),
            f"For a link on each ticket, show {place.page('{{ticket.id}}')} in a field or a macro.",
        )

    def standing(self, place: Place) -> Sequence[Finding]:
        try:
            ours = [it for it in self._webhooks() if place.is_called_by(it.get("endpoint"))]
        except HelpdeskRefused:
            return ()  # our account may not manage webhooks any more, and need not
        exact_one = next((it for it in ours if it.get("endpoint") == place.webhook), None)
        found = exact_one or next(iter(ours), None)
        fix = f"Run `ticket-elevate connect zendesk --name {place.connection} --replace`, or make it by hand."
        what = f"{self._connection} has a webhook that calls us"
        if found and not exact_one:
            # By another name of our host, or where we were once: whoever reads this knows.
            what = f"{what} at {clean(str(found.get('endpoint')), limit=200)}, which is not public_url"
        there = Finding(what, found is not None, "" if found else fix)
        return (there, *(_state(found) if found else ()))

    def _webhooks(self) -> Iterator[dict[str, Any]]:
        here = "/webhooks?page[size]=100"
        for _ in range(MOST_PAGES):
            page = table(self._door.call("GET", here))
            if not isinstance(page.get("webhooks"), list):
                raise AnswerUnusable(self._connection, "it holds no list of webhooks")
            yield from tables(page["webhooks"])
            onward = table(page.get("links")).get("next")
            if table(page.get("meta")).get("has_more") is not True or not isinstance(onward, str):
                return
            here = self._door.address(onward)

    def _create(self, place: Place, undo: list[Undo]) -> str:
        wanted = {
            "name": place.name,
            "endpoint": place.webhook,
            "http_method": "POST",
            "request_format": "json",
            "status": "active",
            "subscriptions": list(EVENTS),
        }

        def found() -> list[str]:
            return [self._id(it) for it in self._webhooks() if it.get("endpoint") == place.webhook]

        with creating(
            "the webhook", found=found, delete=lambda it: self._door.call("DELETE", f"/webhooks/{it}"), undo=undo
        ):
            answer = self._door.call("POST", "/webhooks", json={"webhook": wanted})
        return self._id(table(table(answer).get("webhook")))

    def _id(self, webhook: Mapping[str, Any]) -> str:
        number = webhook.get("id")
        if not isinstance(number, str) or not _ID.fullmatch(number):
            raise AnswerUnusable(self._connection, "it does not say the webhook's id")
        return number


def _state(webhook: Mapping[str, Any]) -> list[Finding]:
    """Whether a webhook that stands there does what ours must."""
    active = webhook.get("status") == "active"
    subscribed = webhook.get("subscriptions")
    events = subscribed if isinstance(subscribed, list) else []
    missing = [it.rpartition(".")[2] for it in EVENTS if it not in events] if BY_TRIGGER not in events else []
    named = ", ".join(missing)
    return [
        Finding("that webhook is active", active, "" if active else "Activate it in Admin Center > Webhooks."),
        Finding(
            "that webhook is subscribed to what matters",
            not missing,
            f"Subscribe it in Admin Center > Webhooks to these ticket events, too: {named}." if missing else "",
        ),
    ]
