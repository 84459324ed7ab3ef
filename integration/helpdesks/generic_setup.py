"""What connects any helpdesk: nothing is known of its API but what the settings say, so all of it is left by hand."""

from collections.abc import Sequence
from pathlib import Path

from integration.helpdesks.generic_settings import GenericSettings
from integration.helpdesks.setup import ByHand, Place, standard_secret
from integration.tickets import Finding


class GenericSetup(ByHand):
    asks = ("check_url", "signature")
    new_secret = staticmethod(standard_secret)  # long enough for what is no signature, too

    def __init__(self, settings: GenericSettings) -> None:
        self._settings = settings

    def is_left(self, found: Finding) -> bool:
        return self._settings.check_url is None and found.what.endswith("takes our token")

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:  # noqa: ARG002
        proofs = {
            "standard_webhooks": "signed as Standard Webhooks says, with the secret that {} holds",
            "header": f"with the header {self._settings.secret_header} and what {{}} holds",
            "bearer": "with the header `Authorization: Bearer` and what {} holds",
            "basic": "with Basic authentication: any user, and as the password what {} holds",
        }
        return (
            f"Let the helpdesk POST JSON to {place.webhook} on every change of a ticket's assignee and status, "
            f"{proofs[self._settings.signature].format(secret)}.",
            "Say where in the JSON of a call and of a ticket everything stands: docs/connect-generic.md shows how. "
            "`ticket-elevate try` shows what was read.",
            f"Where it can show a link on each ticket, let that be {place.page('NUMBER')}.",
        )
