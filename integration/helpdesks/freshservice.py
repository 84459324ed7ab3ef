"""Freshservice over its REST API v2, told of changes by the webhooks of its workflow automator.

Wire facts: api.freshservice.com: "View a ticket", "View activities on a ticket", "Create a note", "List all
conversations of a ticket", "View an agent", "Filter tickets", "Rate limit". Workflows sign nothing: what a call says is
a knock at the door, let in by a secret in a header, and the ticket is read back.

Who assigned a ticket stands in its activities alone, as an actor and a sentence of English prose. A sentence that is
not one of the few that we know for certain leaves the assignment nobody's, so that the ticket only gets the Elevate
link.
"""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from integration.helpdesks import static_header
from integration.helpdesks.credentials import plain_keys
from integration.helpdesks.freshservice_changes import LISTED, ChangeReader, Line
from integration.helpdesks.freshservice_settings import FreshserviceSettings
from integration.helpdesks.freshservice_setup import FreshserviceSetup
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.http import NOT_THERE, AnswerUnusable, Door
from integration.helpdesks.values import exact, made_id, moment, new_id, table, tables, word
from integration.tickets import (
    Changes,
    DeliveryUnreadable,
    Finding,
    HelpdeskError,
    HelpdeskRefused,
    ListedTicket,
    Person,
    Status,
    Ticket,
    TicketEvent,
    TicketGone,
    clean,
)

HEADER = "x-ticket-elevate-secret"
# How long an agent's name and address are kept in this process. Each ticket would cost a third read otherwise, of a
# budget that all integrations of the account share; whoever is locked out is also locked out of Entra, which decides.
AGENT_KEPT = 300.0  # seconds
MOST_AGENTS = 1_000
MOST_PAGES = 60  # of conversations, a hundred each, and an empty one behind the last: room for more than 5,000
LONGEST_NOTE = 10_000  # characters; escaped, they stay below the 64 kB that Freshservice keeps of a text
# Events that a workflow names in its call and that change neither agent nor status.
UNTOLD = frozenset({"note_added", "reply_added"})
_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
# People see INC-123 or SR-123 for ticket 123, and {{ticket.id}} may be filled in like that.
_SHOWN = re.compile(r"#?(?:[A-Za-z]{1,10}-)?([1-9][0-9]{0,19})")
_PLACEHOLDER = re.compile(r"\{(?=[{%])")
_SETS_AGENT = re.compile(r"\b(?:set|changed|updated|removed|cleared)\s+Agent\b", re.IGNORECASE)
_BETWEEN = re.compile(r"(?:, | and )(?=set )")
# Fields whose values only an administrator makes up. Text that somebody typed could hold a "set Agent as" of its own.
_CHOSEN = re.compile(
    r"set (?:Status|Group|Priority|Urgency|Impact|Source|Type|Category|Department|[Ww]orkspace) as \S.*"
)
_AGENT = "set Agent as "
_OWN_FIELDS = ("category", "sub_category", "item_category", "type")
_MORE_FIELDS = (
    "status",
    "priority",
    "urgency",
    "impact",
    "source",
    "department_id",
    "workspace_id",
    "due_by",
    "fr_due_by",
)


class Freshservice:
    """One Freshservice; satisfies integration.tickets.Helpdesk. A person's `account` is the user id."""

    Settings = FreshserviceSettings
    Setup = FreshserviceSetup

    def __init__(self, connection: str, settings: FreshserviceSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._keys = plain_keys(settings.secrets)
        # The key is the user name, and any password will do.
        basic = base64.b64encode(f"{settings.api_key.get_secret_value()}:X".encode()).decode()
        self._door = Door(connection, f"{settings.url}/api/v2", headers={"Authorization": f"Basic {basic}"})
        self._changes = ChangeReader(self._listed)
        self._agents: dict[str, tuple[Person, float]] = {}  # until when, on the monotonic clock

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def service_account(self) -> str:
        return self._settings.service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        secret = static_header.verify(self._keys, headers.get(HEADER, ""))
        payload = delivery_object(body)
        # The automator's simple content puts its fields into an object of their own, its advanced content does not.
        told = table(payload.get("freshservice_webhook")) or payload
        found = _SHOWN.fullmatch(exact(told.get("ticket_id")) or "")
        if found is None:
            raise DeliveryUnreadable(
                "This call holds our secret, but it does not say which ticket it is about. Let the workflow send the "
                'JSON {"ticket_id": "{{ticket.id_numeric}}", "event": "agent_changed"}.'
            )
        kind = word(told.get("event")) or "ticket_changed"
        # Nothing in a call tells one change from the next, so a ticket that goes away and comes back would be taken for
        # a repeat. Reading once too often costs two reads; a change that is missed costs more.
        return TicketEvent(
            delivery_id=new_id(),
            ticket=found[1],
            kind=clean(kind, limit=64),
            secret=secret,
            idle=kind in UNTOLD or exact(told.get("actor_id")) == self.service_account,
        )

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:  # noqa: ARG002
        self._known(number)
        answer = table(self._door.call("GET", f"/tickets/{number}?include=requester", number=number))
        raw = table(answer.get("ticket"))
        if exact(raw.get("id")) != number:
            raise AnswerUnusable(self.connection, "it is another ticket than the one that was asked for")
        if raw.get("deleted") is True:
            raise TicketGone(self.connection, number)
        account = self._account(raw.get("responder_id"))
        assignee = None if account is None else self._agent(account)
        by, at, change = self._assignment(number, assignee) if assignee else (None, None, None)
        return Ticket(
            connection=self.connection,
            number=number,
            subject=word(raw.get("subject")) or "",
            status=self._status(raw),
            read_at=now,
            category=self._category(raw),
            queue=word(raw.get("group_id")),
            assignee=assignee,
            assigned_by=by,
            assigned_at=at,
            change=change,
            updated_at=moment(raw.get("updated_at")),
            requesters=self._requesters(raw),
            fields=_fields(raw),
        )

    def ticket_url(self, number: str) -> str:
        self._known(number)
        return f"{self._settings.page_url or self._settings.url}/a/tickets/{number}"

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        """Of the first page of thirty: Freshservice neither sorts what it filters nor gives more at once."""
        states = [number for number, status in self._settings.status_map.items() if status is not Status.SOLVED]
        if not _is_number(account) or not states:
            return ()
        query = f'"agent_id:{account} AND ({" OR ".join(f"status:{number}" for number in states)})"'
        page = table(self._door.call("GET", f"/tickets/filter?query={quote(query, safe='')}"))
        rows = [row for row in tables(page.get("tickets")) if exact(row.get("responder_id")) == account]
        open_ones = [row for row in rows if self._status(row) is not Status.SOLVED and _is_number(exact(row.get("id")))]
        open_ones.sort(key=lambda row: str(row.get("updated_at")), reverse=True)
        return tuple(ListedTicket(str(row["id"]), word(row.get("subject")) or "") for row in open_ones)[:limit]

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        """One call, unless more than a hundred changed: Freshservice does not sort by change, so all are read then."""
        return self._changes.changed_since(since, page=page, now=now)

    def _listed(self, since: datetime, page: int) -> tuple[list[Line], bool]:
        # A second earlier, since it is told nowhere whether that second is itself among them.
        start = f"{since.astimezone(UTC) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
        query = {"updated_since": start, "order_type": "desc", "per_page": str(LISTED)}
        if self._settings.all_workspaces:
            query["workspace_id"] = "0"
        answer = table(self._door.call("GET", f"/tickets?{urlencode({**query, 'page': str(page)})}"))
        listed = answer.get("tickets")
        if not isinstance(listed, list):
            raise AnswerUnusable(self.connection, "it holds no list of tickets")
        lines = ((exact(row.get("id")), moment(row.get("updated_at"))) for row in tables(listed))
        return [(number, at) for number, at in lines if _is_number(number)], len(listed) >= LISTED

    def write_note(self, number: str, text: str) -> None:
        self._known(number)
        note = {"body": _html(text), "private": True}
        self._door.call("POST", f"/tickets/{number}/notes", number=number, json=note)

    def has_note(self, number: str, marker: str) -> bool:
        """Whether we wrote it already. Freshservice has no order to ask for, so all pages are read if they must be."""
        self._known(number)
        for at in range(1, MOST_PAGES + 1):
            here = f"/tickets/{number}/conversations?per_page=100&page={at}"
            conversations = table(self._door.call("GET", here, number=number)).get("conversations")
            if not isinstance(conversations, list):
                raise AnswerUnusable(self.connection, "it holds no list of conversations")
            if not conversations:
                # How many make a full page is not certain, so only an empty one is the last.
                return False
            ours = [one for one in tables(conversations) if exact(one.get("user_id")) == self.service_account]
            if any(marker in str(one.get("body_text") or one.get("body")) for one in reversed(ours)):
                return True
        raise AnswerUnusable(self.connection, f"its conversations do not end after {MOST_PAGES} pages")

    def setup(self) -> FreshserviceSetup:
        return FreshserviceSetup(self._connection, self._door)

    def check(self) -> Sequence[Finding]:
        reach, key = f"{self.connection} can be reached", f"{self.connection} takes our API key"
        try:
            me = table(table(self._door.call("GET", "/agents/me")).get("agent"))
        except NOT_THERE as error:
            return [Finding(reach, False, str(error))]
        except HelpdeskRefused as error:
            if error.status in (401, 403):
                fix = "Copy the API key from the profile settings of our service account, which must be an agent."
            else:
                fix = "Check url: it must be Freshservice's own address, which ends in .freshservice.com."
            return [Finding(reach, True), Finding(key, False, fix)]
        except HelpdeskError:
            return [Finding(reach, False, "Check url, and whether this machine may reach that address.")]
        mine = exact(me.get("id")) == self.service_account
        fix = "Set service_account to the id of the agent whose API key it is: the number in its profile's address."
        account = Finding(f"{self.connection} knows us as {self.service_account}", mine, "" if mine else fix)
        return [Finding(reach, True), Finding(key, True), account, *self._check_rights()]

    def _check_rights(self) -> list[Finding]:
        read = f"{self.connection} lets us read tickets and their activities"
        try:
            newest = tables(table(self._door.call("GET", "/tickets?per_page=1")).get("tickets"))
            number = exact(newest[0].get("id")) if newest else None
            if not _is_number(number):
                fix = "Give our account a role that sees all tickets of all workspaces. Or there is no ticket yet."
                return [Finding(read, False, fix)]
            self._activities(str(number))
        except HelpdeskError as error:
            return [Finding(read, False, f"Give our account a role that sees all tickets. {error}")]
        return [Finding(read, True)]

    def _known(self, number: str) -> None:
        if not _is_number(number):
            raise TicketGone(self.connection, clean(number, limit=64))

    def _status(self, raw: Mapping[str, Any]) -> Status:
        return self._settings.status_map.get(word(raw.get("status")) or "", Status.ON_HOLD)

    def _category(self, raw: Mapping[str, Any]) -> str | None:
        field = self._settings.category_field
        value = word(raw.get(field) if field in _OWN_FIELDS else table(raw.get("custom_fields")).get(field))
        return self._settings.categories.get(value, value) if value else None

    def _account(self, value: Any) -> str | None:
        """A user's id. One that cannot be taken as it stands could pass for another's, so it ends the reading."""
        account = exact(value)
        if value is not None and not _is_number(account):
            raise AnswerUnusable(self.connection, "it holds a user id that is none")
        return account

    def _agent(self, account: str) -> Person:
        """An agent by name. Without an address where it may not be used: a link needs one."""
        known = self._agents.get(account)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        try:
            one = table(table(self._door.call("GET", f"/agents/{account}")).get("agent"))
        except HelpdeskRefused as error:
            if error.status != 404:
                raise
            return Person(account)
        if exact(one.get("id")) != account:
            raise AnswerUnusable(self.connection, "it is another agent than the one that was asked for")
        names = (word(one.get("first_name")), word(one.get("last_name")))
        address = word(one.get("email")) if one.get("active") is True else None
        person = Person(account, " ".join(name for name in names if name), address)
        if len(self._agents) >= MOST_AGENTS:
            self._agents.clear()
        self._agents[account] = (person, time.monotonic() + AGENT_KEPT)
        return person

    def _requesters(self, raw: Mapping[str, Any]) -> tuple[Person, ...]:
        """Who asked, and for whom. Of the second only the account is known without another read."""
        one = table(raw.get("requester"))
        accounts = dict.fromkeys(self._account(raw.get(role)) for role in ("requester_id", "requested_for_id"))
        return tuple(
            Person(account, word(one.get("name")) or "", word(one.get("email")))
            if exact(one.get("id")) == account
            else Person(account)
            for account in accounts
            if account
        )

    def _activities(self, number: str) -> list[dict[str, Any]]:
        activities = table(self._door.call("GET", f"/tickets/{number}/activities", number=number)).get("activities")
        if not isinstance(activities, list):
            raise AnswerUnusable(self.connection, "it holds no list of activities")
        return tables(activities)

    def _assignment(self, number: str, assignee: Person) -> tuple[str | None, datetime | None, str]:
        """Who made `assignee` the assignee, when, and a name for that change, which Freshservice gives none.

        In which order activities come, and how those of one second are told apart, is not certain: all that speak of
        the agent in the newest such second must agree.
        """
        setting = [one for one in self._activities(number) if _SETS_AGENT.search(_prose(one))]
        times = [moment(one.get("created_at")) for one in setting]
        known = [at for at in times if at is not None]
        if not known or len(known) < len(times):
            return None, None, made_id(number, assignee.account)
        newest = max(known)
        last = [one for one, at in zip(setting, known, strict=True) if at == newest]
        change = made_id(number, assignee.account, newest.isoformat(), str(len(last)))
        names = [_agent_set(one) for one in last]
        by = {_actor(one) for one, name in zip(last, names, strict=True) if name == assignee.name}
        return (by.pop() if len(by) == 1 and None not in names else None), newest, change


def _prose(activity: Mapping[str, Any]) -> str:
    return f"{activity.get('content')} {activity.get('sub_contents') or ''}"


def _agent_set(activity: Mapping[str, Any]) -> str | None:
    """The name of the agent whom this activity sets; None where it is not for certain what it says."""
    content = activity.get("content")
    if not isinstance(content, str) or _SETS_AGENT.search(str(activity.get("sub_contents"))):
        return None  # what stands below an activity is what a workflow did
    parts = _BETWEEN.split(clean(content, limit=2_000))
    agents = [part.removeprefix(_AGENT) for part in parts if part.startswith(_AGENT)]
    others = [part for part in parts if not part.startswith(_AGENT)]
    return agents[0] if len(agents) == 1 and all(_CHOSEN.fullmatch(part) for part in others) else None


def _actor(activity: Mapping[str, Any]) -> str | None:
    """By whom, as an account. Workflows and rules act as a user named System, who is nobody."""
    actor = table(activity.get("actor"))
    account = exact(actor.get("id"))
    return account if _is_number(account) and word(actor.get("name")) != "System" else None


def _fields(raw: Mapping[str, Any]) -> dict[str, str]:
    named = {name: word(raw.get(name)) for name in (*_OWN_FIELDS, *_MORE_FIELDS)}
    custom = {clean(str(name)): word(value) for name, value in table(raw.get("custom_fields")).items()}
    return {name: value for name, value in (custom | named).items() if name and value}


def _html(text: str) -> str:
    """`text` as the HTML that a note is: no mark-up, no placeholder, and its last line, the marker, in any case."""
    lines = [clean(line, limit=LONGEST_NOTE) for line in text.splitlines()] or [""]
    told, last = "\n".join(lines[:-1]), lines[-1]
    kept = told[: max(LONGEST_NOTE - len(last), 0)]
    words = _PLACEHOLDER.sub("{ ", f"{kept}\n{last}" if kept else last)
    return f"<div>{escape(words).replace(chr(10), '<br>')}</div>"


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None
