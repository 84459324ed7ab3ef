"""ServiceNow over its Table API, told of changes by our own business rules or flow (servicenow_app/).

Wire facts: the docs of the release Australia: "Table API", "Business rules", "Viewing Sys Audit and Audit Relationship
Change tables", "Granular admin roles for auditing", "Inbound REST API rate limiting", "Scripts and engines execution
order", "GlideImpersonate". Deliveries are signed as Standard Webhooks says.

An audit row names the user of the session. A rule of the customer's that assigns a ticket runs in the session of
whoever set it off, and what an administrator does while impersonating stands under the other's name, so the audit alone
cannot tell a pick. Our own rules therefore write into `pick_field` who assigned the ticket with their own hands; a pick
is believed when that record, the audit and the ticket agree, and only then.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from integration.helpdesks import standard_webhooks
from integration.helpdesks.changes import changes_since
from integration.helpdesks.credentials import signing_keys
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.http import AnswerUnusable
from integration.helpdesks.servicenow_doctor import findings
from integration.helpdesks.servicenow_settings import ServiceNowSettings
from integration.helpdesks.servicenow_setup import ServiceNowSetup
from integration.helpdesks.servicenow_table import NUMBER, SYS_ID, Record, TableApi, fits, utc
from integration.helpdesks.values import exact, word
from integration.tickets import (
    Changes,
    DeliveryUnreadable,
    Finding,
    HelpdeskUnavailable,
    ListedTicket,
    Person,
    Status,
    Ticket,
    TicketEvent,
    TicketGone,
    clean,
)

PAGE = 100
MOST_PAGES = 20  # of our own notes
AUDITS = 20  # the newest changes of the assignee; those of one second come in any order
LONGEST_NOTE = 4_000  # characters, of which emoji count twice
MOST_REMEMBERED = 1_000
# What our business rule says that happened; the flow does not know which of them it was.
TELLING = frozenset({"assigned", "state", "inserted", "changed"})

_STATE = re.compile(r"[A-Za-z0-9_-]{1,40}")  # what may stand in a query
_COUNT = re.compile(r"[0-9]{1,10}")
_PICK = re.compile(r"([0-9a-f]{32}):([0-9a-f]{32}):([0-9a-f]{32})")
# A tag that shows what stands in it as HTML, where the administrator has not turned it off.
_CODE = re.compile(r"\[(?=\s*/?\s*code)", re.IGNORECASE)
_PERSON = ("user_name", "name", "email", "active", "locked_out")


class ServiceNow:
    """One task table of a ServiceNow; satisfies integration.tickets.Helpdesk. A person's `account` is the sys_id."""

    Settings = ServiceNowSettings
    Setup = ServiceNowSetup

    def __init__(self, connection: str, settings: ServiceNowSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._keys = signing_keys(settings.secrets)
        self._api = TableApi(connection, settings)
        self._ids: dict[str, str] = {}  # sys_ids of the tickets that were read, by number

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def service_account(self) -> str:
        return self._settings.service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        verified = standard_webhooks.verify(self._keys, headers, body, now=now)
        payload = delivery_object(body)
        kind, of, number, count = (payload.get(key) for key in ("event", "table", "number", "sys_mod_count"))
        if not (isinstance(kind, str) and clean(kind) and of == self._settings.table and fits(number, NUMBER)):
            raise DeliveryUnreadable(
                "This call is signed, but it does not say what happened to which ticket of the table "
                f"{self._settings.table}. Install the business rules of this version in ServiceNow again, and check "
                f"that their address names the connection of this table."
            )
        return TicketEvent(
            delivery_id=verified.delivery_id,
            ticket=number,
            kind=clean(kind, limit=64),
            secret=verified.secret,
            revision=count if fits(count, _COUNT) else None,
            idle=kind not in TELLING,  # also of our own account: a rule that our note set off acts in its name
        )

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:
        record = self._read(number)
        if revision is not None and int(record.value("sys_mod_count") or 0) < int(revision):
            raise HelpdeskUnavailable(self.connection, after=1)  # a copy of the database that lags behind
        assignee = self._assignee(record)
        login = record.value("assigned_to.user_name")
        by, at, change = self._assignment(record, assignee, login) if assignee else (None, None, None)
        extra = {name: word(record.value(name)) for name in self._settings.extra_fields if record.has(name)}
        extra["status"] = word(record.shown("state"))
        return Ticket(
            connection=self.connection,
            number=number,
            subject=word(record.value("short_description")) or "",
            status=self._status(record.value("state"), record.value("active")),
            read_at=now,
            category=self._category(record),
            queue=word(record.shown("assignment_group")),
            assignee=assignee,
            assigned_by=by,
            assigned_at=at,
            change=change,
            updated_at=utc(record.value("sys_updated_on")),
            requesters=self._requesters(record),
            fields={name: value for name, value in extra.items() if value},
        )

    def ticket_url(self, number: str) -> str:
        self._known(number)
        return f"{self._settings.url}/{self._settings.table}.do?sysparm_query=number={number}"

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        if not fits(account, SYS_ID):
            return ()
        rows = self._api.rows(
            self._settings.table,
            f"assigned_to={account}^active=true^ORDERBYDESCsys_updated_on",
            ("number", "short_description", "state", "active", "assigned_to"),
            limit=PAGE,
        )
        mine = [row for row in rows if row.get("assigned_to") == account and fits(row.get("number"), NUMBER)]
        open_ones = [row for row in mine if self._status(row.get("state"), row.get("active")) is not Status.SOLVED]
        return tuple(ListedTicket(row["number"], word(row.get("short_description")) or "") for row in open_ones)[:limit]

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        """Records that are assigned, or in a state that counts as solved, or no longer active."""
        # Whole seconds are stored, in UTC: the next one is the first that is not before `since`.
        start = since.astimezone(UTC).replace(microsecond=0)
        start += timedelta(seconds=1 if start < since else 0)
        solved = ",".join(
            sorted(state for state, status in self._settings.status_map.items() if _is_solved(state, status))
        )
        ended = f"^ORstateIN{solved}^ORactive=false" if solved else "^ORactive=false"
        rows, more = self._api.page(
            self._settings.table,
            f"sys_updated_on>={start:%Y-%m-%d %H:%M:%S}^assigned_toISNOTEMPTY{ended}"
            "^ORDERBYsys_updated_on^ORDERBYnumber",
            ("number", "sys_updated_on"),
            limit=PAGE,
            number=page,
        )
        lines = [(row.get("number"), utc(row.get("sys_updated_on"))) for row in rows]
        known = ((number, at) for number, at in lines if fits(number, NUMBER))
        found = changes_since(known, since=since, now=now, more=more)
        if rows and more and not found.tickets:
            # Asked for page after page, it would tell us of every record that it ever had.
            raise AnswerUnusable(self.connection, "it ignores our question, or hides number and sys_updated_on from us")
        return found

    def write_note(self, number: str, text: str) -> None:
        # `comments` is what the requester reads; work_notes are for those who work on it.
        note = {"work_notes": _cut(_CODE.sub("[ ", text))}
        self._api.change(self._settings.table, self._id(number), number, note)

    def has_note(self, number: str, marker: str) -> bool:
        # Only our own: a marker that somebody else typed proves nothing. It is sought here and not in the query,
        # of which ServiceNow drops what it does not understand.
        query = (
            f"element_id={self._id(number)}^element=work_notes^sys_created_by={self._settings.login}"
            "^ORDERBYDESCsys_created_on"
        )
        for page in range(MOST_PAGES):
            notes = self._api.rows(
                "sys_journal_field", query, ("value", "sys_created_by"), limit=PAGE, offset=page * PAGE
            )
            # ServiceNow leaves out of a page what we may not see, so only an empty page is the last one.
            if not notes:
                return False
            ours = (note for note in notes if note.get("sys_created_by") == self._settings.login)
            if any(marker in str(note.get("value")) for note in ours):
                return True
        raise AnswerUnusable(self.connection, f"its notes do not end after {MOST_PAGES} pages")

    def setup(self) -> ServiceNowSetup:
        return ServiceNowSetup(self._connection, self._api, self._settings)

    def check(self) -> Sequence[Finding]:
        return findings(self._api, self.connection, self._settings, self._must(), self._fields())

    def _known(self, number: str) -> None:
        if not fits(number, NUMBER):
            raise TicketGone(self.connection, clean(number, limit=64))

    def _id(self, number: str) -> str:
        """The sys_id of a ticket: ServiceNow's notes and audits know it by nothing else."""
        self._known(number)
        return self._ids.get(number) or str(self._only(number, ("number", "sys_id")).value("sys_id"))

    def _read(self, number: str) -> Record:
        self._known(number)
        record = self._only(number, self._fields())
        hidden = [name for name in self._must() if not record.has(name)]
        if hidden or not fits(record.value("sys_mod_count"), _COUNT):
            columns = ", ".join(hidden) or "sys_mod_count"
            raise AnswerUnusable(self.connection, f"it hides the column {columns} of the ticket from us")
        return record

    def _only(self, number: str, fields: Sequence[str]) -> Record:
        """The one record that bears `number`, whose sys_id is then known.

        A query that is ignored answers with any records, so it is looked at whether it is the one.
        """
        records = self._api.records(self._settings.table, f"number={number}", fields, limit=2)
        if not records:
            self._ids.pop(number, None)
            raise TicketGone(self.connection, number)
        if len(records) > 1:
            raise AnswerUnusable(self.connection, "more than one ticket has that number, or it ignores our question")
        sys_id = records[0].value("sys_id")
        if records[0].value("number") != number or not fits(sys_id, SYS_ID):
            raise AnswerUnusable(self.connection, "it is another ticket than the one that was asked for")
        if len(self._ids) >= MOST_REMEMBERED:
            self._ids.clear()
        self._ids[number] = sys_id
        return records[0]

    def _must(self) -> tuple[str, ...]:
        """Columns that say something by being empty: hidden from us, a ticket would look free or ownerless."""
        people = ("assigned_to", *self._settings.requester_fields)
        return ("sys_id", "number", "state", "active", "sys_mod_count", *people)

    def _fields(self) -> tuple[str, ...]:
        told = (*self._must(), "sys_updated_on", "short_description", "assignment_group", self._settings.category_field)
        people = [f"{role}.{name}" for role in ("assigned_to", *self._settings.requester_fields) for name in _PERSON]
        return tuple(dict.fromkeys((*told, *people, self._settings.pick_field, *self._settings.extra_fields)))

    def _status(self, state: Any, active: Any) -> Status:
        known = self._settings.status_map.get(word(state) or "", Status.ON_HOLD)
        return known if active == "true" else Status.SOLVED if active == "false" else Status.ON_HOLD

    def _category(self, record: Record) -> str | None:
        field = self._settings.category_field
        value = word(record.value(field)) if record.has(field) else None
        return self._settings.categories.get(value, value) if value else None

    def _assignee(self, record: Record) -> Person | None:
        """Whom the ticket is assigned to. Without an address where it may not be used: a link needs one."""
        account = self._account(record.value("assigned_to"))
        if account is None:
            return None
        works = record.value("assigned_to.active") == "true" and record.value("assigned_to.locked_out") == "false"
        address = word(record.value("assigned_to.email")) if works else None
        return Person(account, word(record.value("assigned_to.name")) or "", address)

    def _requesters(self, record: Record) -> tuple[Person, ...]:
        people: dict[str, Person] = {}
        for role in self._settings.requester_fields:
            account = self._account(record.value(role))
            if account:
                name, address = word(record.value(f"{role}.name")) or "", word(record.value(f"{role}.email"))
                people.setdefault(account, Person(account, name, address))
        if not people:
            # Somebody opened every ticket: where nobody stands there, it is hidden from us.
            raise AnswerUnusable(self.connection, "it does not say for whom the ticket was filed")
        return tuple(people.values())

    def _account(self, value: str | None) -> str | None:
        """A user's sys_id. One that cannot be taken as it stands could pass for another's, so it ends the reading."""
        if value and not fits(value, SYS_ID):
            raise AnswerUnusable(self.connection, "it holds a user id that is none")
        return value or None

    def _assignment(
        self, record: Record, assignee: Person, login: str | None
    ) -> tuple[str | None, datetime | None, str | None]:
        """Who made `assignee` the assignee, when, and by which change; `login` is the assignee's user_name."""
        rows = self._api.rows(
            "sys_audit",
            f"tablename={self._settings.table}^documentkey={record.value('sys_id')}^fieldname=assigned_to"
            "^ORDERBYDESCsys_created_on",
            ("sys_id", "documentkey", "fieldname", "user", "newvalue", "sys_created_on"),
            limit=AUDITS,
        )
        changes = [
            row
            for row in rows
            if row.get("documentkey") == record.value("sys_id") and row.get("fieldname") == "assigned_to"
        ]
        last = max((str(row.get("sys_created_on")) for row in changes), default="")
        # What happened within one second has no order there: which of it came last, our own rules wrote down.
        newest = [
            row for row in changes if row.get("sys_created_on") == last and row.get("newvalue") == assignee.account
        ]
        if not newest:
            # Never audited, or ticket and audit were read a moment apart.
            return None, None, None
        at = utc(last)
        pick = _PICK.fullmatch(record.value(self._settings.pick_field) or "")
        own = any(login and row.get("user") == login for row in newest)
        if pick is None or pick[1] != assignee.account or (pick[2] == assignee.account) != own:
            return None, at, exact(newest[0].get("sys_id"))
        return pick[2], at, pick[3]


def _is_solved(state: str, status: Status) -> bool:
    return status is Status.SOLVED and _STATE.fullmatch(state) is not None


def _cut(text: str) -> str:
    """At most what a column of long text holds. The last line stays: the marker is there."""
    over = _length(text) - LONGEST_NOTE
    if over <= 0:
        return text
    head, _, last = text.rpartition("\n")
    while head and _length(head) + _length(last) + 5 > LONGEST_NOTE:
        head = head[: -max(1, (_length(head) + _length(last) + 5 - LONGEST_NOTE) // 2)]
    return f"{head} ...\n{last}" if head else text.encode("utf-16-le")[: 2 * LONGEST_NOTE].decode("utf-16-le", "ignore")


def _length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
