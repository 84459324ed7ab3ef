"""What connects ServiceNow: scripts that only its administrator should install, so they are left by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from integration.helpdesks.http import AnswerUnusable
from integration.helpdesks.servicenow_settings import ServiceNowSettings
from integration.helpdesks.servicenow_table import SYS_ID, TableApi, fits
from integration.helpdesks.setup import ByHand, Place, standard_secret
from integration.tickets import Finding

SCRIPTS = Path(__file__).parent / "servicenow_app"


class ServiceNowSetup(ByHand):
    asks = ("table", "client_id", "client_secret", "password", "category_field")
    stand_ins = {"service_account": "0" * 32}
    new_secret = staticmethod(standard_secret)

    def __init__(self, connection: str, api: TableApi, settings: ServiceNowSettings) -> None:
        self._connection, self._api, self._settings = connection, api, settings

    @classmethod
    def is_asked(cls, name: str, given: Mapping[str, Any]) -> bool:
        """An OAuth client, or else a password."""
        if name == "client_secret":
            return "client_id" in given
        return name != "password" or "client_id" not in given

    def found(self) -> Mapping[str, str]:
        login = self._settings.login
        rows = self._api.rows("sys_user", f"user_name={login}", ("sys_id", "user_name"), limit=2)
        ids = [row.get("sys_id") for row in rows if row.get("user_name") == login]
        if len(ids) != 1 or not fits(ids[0], SYS_ID):
            raise AnswerUnusable(self._connection, f"it shows us no user, or more than one, with the user_name {login}")
        return {"service_account": ids[0]}

    def is_left(self, found: Finding) -> bool:
        return found.what.endswith("keeps who picked a ticket")  # the business rules do, which are left by hand

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:  # noqa: ARG002
        table = self._settings.table
        return (
            f"Install the column {self._settings.pick_field}, the business rules and the button for the table {table}: "
            f"`ticket-elevate app servicenow --connection {place.connection}` writes them out as a project that "
            f"ServiceNow's SDK installs. {SCRIPTS / 'README.md'} has each step, also by hand.",
            f"Fill in these system properties, private, of the type string: ticket_elevate.base = {place.public_url}; "
            f"ticket_elevate.connection.{table} = {place.connection}; ticket_elevate.secret = what {secret} holds.",
        )
