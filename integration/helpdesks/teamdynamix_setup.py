"""What connects TeamDynamix: its API makes no webhooks, so that is left by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from integration.helpdesks.http import AnswerUnusable, Door
from integration.helpdesks.setup import ByHand, Place
from integration.helpdesks.teamdynamix_settings import TeamDynamixSettings
from integration.helpdesks.values import exact, table


class TeamDynamixSetup(ByHand):
    asks = ("sandbox", "username", "password", "beid", "web_services_key", "category_field")
    stand_ins = {"service_account": "00000000-0000-0000-0000-000000000000"}

    def __init__(self, connection: str, door: Door, settings: TeamDynamixSettings) -> None:
        self._connection, self._door, self._settings = connection, door, settings

    @classmethod
    def is_asked(cls, name: str, given: Mapping[str, Any]) -> bool:
        """One pair of credentials is enough."""
        if name == "password":
            return "username" in given
        if name in ("beid", "web_services_key"):
            return "username" not in given
        return True

    def found(self) -> Mapping[str, str]:
        account = exact(table(self._door.call("GET", "/auth/getuser")).get("UID"))
        if account is None:
            raise AnswerUnusable(self._connection, "it does not say who we are")
        return {"service_account": account}

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:  # noqa: ARG002
        webhook = (
            f"TDAdmin > Applications > your ticketing application > Webhooks: make one with the URL {place.webhook}, "
            f"the content type application/json and the secret that {secret} holds. Key-based web services must be on "
            "(TDAdmin > Security)."
        )
        step = (
            f"Let a workflow's web service step POST the ticket's number as ticket_id, in JSON, to {place.webhook}, "
            f"with the header {self._settings.static_header} and the secret that {secret} holds."
        )
        return (
            step if self._settings.static_header else webhook,
            "Save a ticket and look at the log of deliveries: if the signature does not fit, set `signature` and "
            "`signature_prefix`, which TeamDynamix publishes nowhere.",
            f"For a link on each ticket, let a workflow write {place.page('')} and its number into an attribute.",
        )
