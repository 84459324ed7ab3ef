"""One running Ticket Elevate: its settings, and what they connect it to. Made once per process, after any fork."""

from dataclasses import replace
from functools import cached_property
from urllib.parse import quote, urlsplit

from integration import helpdesks, rules
from integration.entra.seal import Sealer, read_keys
from integration.entra.tenant import Tenant
from integration.helpdesks.braked import braked
from integration.records.brake import BrakeRows
from integration.records.people import TokenRows
from integration.records.store import Records
from integration.rules import Rules
from integration.settings import Settings
from integration.targets import TargetKind
from integration.tickets import Helpdesk


class Deployment:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def records(self) -> Records:
        return Records(self.settings.database_url)

    @cached_property
    def helpdesks(self) -> dict[str, Helpdesk]:
        rows, tables = BrakeRows(self.records), self.settings.helpdesks
        return {name: braked(helpdesks.connect(name, table), rows) for name, table in tables.items()}

    def embedded_in(self, connection: str, ticket: str) -> tuple[str, ...]:
        """The origins that may show our page about this ticket within theirs. Raises HelpdeskError for no ticket."""
        own = urlsplit(self.helpdesks[connection].ticket_url(ticket))
        given = helpdesks.Connection.model_validate(self.settings.helpdesks[connection]).embedded_in
        return given or (f"{own.scheme}://{own.netloc}",)

    @cached_property
    def rules(self) -> Rules:
        return rules.load(self.settings.rules_file or rules.SHIPPED)

    @cached_property
    def sealer(self) -> Sealer:
        return Sealer(read_keys(self.settings.key_file))

    @cached_property
    def tenant(self) -> Tenant:
        """It asks for the permissions that the rules need, and no others."""
        rules = self.rules
        connection = replace(
            self.settings.entra.connection,
            kinds=rules.kinds | {TargetKind.DIRECTORY_ROLE},
            probes=rules.probes,
            by_unit=rules.by_unit,
            revokes_sessions=any(rule.revoke_sessions for rule in rules.rules),
        )
        return Tenant(connection, TokenRows(self.records), self.sealer, BrakeRows(self.records))

    def elevate_link(self, connection: str, ticket: str) -> str:
        """Where a technician presses Elevate for a ticket."""
        return f"{self.settings.public_url}/elevate/{quote(connection, safe='')}/{quote(ticket, safe='')}"

    def link(self, elevation_id: str) -> str:
        return f"{self.settings.public_url}/elevations/{elevation_id}"
