"""ServiceNow's Table API: who calls, rows of a table, and their columns. Source: the docs page "Table API"."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard
from urllib.parse import urlencode

from integration.helpdesks.http import AnswerUnusable, Door
from integration.helpdesks.oauth import ClientCredentials
from integration.helpdesks.servicenow_settings import ServiceNowSettings
from integration.helpdesks.values import moment, table, tables

SYS_ID = re.compile(r"[0-9a-f]{32}")
NUMBER = re.compile(r"[A-Z]{2,16}[0-9]{4,16}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


class TableApi:
    def __init__(self, connection: str, settings: ServiceNowSettings) -> None:
        self._connection = connection
        self._door = _door(connection, settings)

    def rows(
        self, of: str, query: str, fields: Sequence[str], *, limit: int, offset: int = 0, display: str = "false"
    ) -> list[dict[str, Any]]:
        """Records of a table. `query` holds our own words, sys_ids and checked numbers, and nothing from outside.

        ServiceNow drops what it does not understand of a query, so look at every row as if nothing had been asked for.
        Raises HelpdeskError.
        """
        return self._asked(of, query, fields, limit, offset, display)[0]

    def page(
        self, of: str, query: str, fields: Sequence[str], *, limit: int, number: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """As `rows`, but page `number` of them, and whether there may be further ones.

        Only after a page was cut are those records taken out of it that an ACL hides from us: also one that is not
        full, or empty, may be followed by another. X-Total-Count tells, since it counts them all.
        """
        rows, total = self._asked(of, query, fields, limit, (number - 1) * limit, "false")
        more = bool(rows) if total is None else total > number * limit
        return rows, more or len(rows) >= limit

    def _asked(
        self, of: str, query: str, fields: Sequence[str], limit: int, offset: int, display: str
    ) -> tuple[list[dict[str, Any]], int | None]:
        asked = {
            "sysparm_query": query,
            "sysparm_fields": ",".join(fields),
            "sysparm_display_value": display,
            "sysparm_exclude_reference_link": "true",
            "sysparm_limit": str(limit),
            "sysparm_offset": str(offset),
        }
        answer, total = self._door.counted(f"/table/{of}?{urlencode(asked)}", "X-Total-Count")
        result = table(answer).get("result")
        if not isinstance(result, list):
            raise AnswerUnusable(self._connection, "it holds no list of records")
        return tables(result), total

    def records(self, of: str, query: str, fields: Sequence[str], *, limit: int) -> list["Record"]:
        """As `rows`, each column with its value and its label."""
        return [Record(row) for row in self.rows(of, query, fields, limit=limit, display="all")]

    def change(self, of: str, sys_id: str, number: str, changes: Mapping[str, str]) -> None:
        """Writes columns of the ticket `number`. Raises HelpdeskError."""
        self._door.call("PATCH", f"/table/{of}/{sys_id}?sysparm_fields=sys_id", number=number, json=changes)


@dataclass(frozen=True)
class Record:
    """A row as `sysparm_display_value=all` tells it. A column that is hidden from us is not there at all, or empty."""

    columns: Mapping[str, Any]

    def has(self, name: str) -> bool:
        return self.value(name) is not None

    def value(self, name: str) -> str | None:
        return self._told(name, "value")

    def shown(self, name: str) -> str | None:
        return self._told(name, "display_value")

    def _told(self, name: str, how: str) -> str | None:
        found = table(self.columns.get(name)).get(how)
        return found if isinstance(found, str) else None


def fits(value: Any, pattern: re.Pattern[str]) -> TypeGuard[str]:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def utc(value: Any) -> datetime | None:
    """A time as ServiceNow stores it: in UTC, without saying so."""
    return moment(f"{value.replace(' ', 'T')}+00:00") if fits(value, _TIME) else None


def _door(connection: str, settings: ServiceNowSettings) -> Door:
    base = f"{settings.url}/api/now"
    if settings.client_id and settings.client_secret:
        credentials = ClientCredentials(
            connection,
            Door(connection, settings.url, headers={}),
            "/oauth_token.do",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
        )
        return Door(connection, base, headers={}, credentials=credentials)
    password = settings.password.get_secret_value() if settings.password else ""
    basic = base64.b64encode(f"{settings.login}:{password}".encode()).decode()
    return Door(connection, base, headers={"Authorization": f"Basic {basic}"})
