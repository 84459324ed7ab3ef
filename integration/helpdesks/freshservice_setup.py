"""What connects Freshservice: its API makes no workflows, so they are left by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from integration.helpdesks.http import AnswerUnusable, Door
from integration.helpdesks.setup import ByHand, Place
from integration.helpdesks.values import exact, table

EVENTS = {"agent_changed": "Agent is changed", "status_changed": "Status is changed"}


class FreshserviceSetup(ByHand):
    asks = ("category_field",)
    stand_ins = {"service_account": "1"}

    def __init__(self, connection: str, door: Door) -> None:
        self._connection, self._door = connection, door

    def found(self) -> Mapping[str, str]:
        account = exact(table(table(self._door.call("GET", "/agents/me")).get("agent")).get("id"))
        if account is None:
            raise AnswerUnusable(self._connection, "it does not say who we are")
        return {"service_account": account}

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:  # noqa: ARG002
        workflows = (
            f"Admin > Workflow Automator, in each workspace: make a workflow on the event {event}, from any to any, "
            f"with the action Trigger Webhook: POST to {place.webhook}, no authentication, encoding JSON, content "
            f'Advanced: {{"ticket_id": "{{{{ticket.id_numeric}}}}", "event": "{name}"}}. Its custom header is '
            f"X-Ticket-Elevate-Secret with what {secret} holds."
            for name, event in EVENTS.items()
        )
        link = place.page("{{ticket.id_numeric}}")
        return (*workflows, f"For a link on each ticket, let a workflow write {link} into a field.")
