"""Request Tracker 5 over REST2, told of changes by our own extension (rt/).

Wire facts: RT::REST2 (docs.bestpractical.com/rt/5.0.3/RT/REST2.html), and where that is silent, what 5.0.3 does.
Deliveries are signed as Standard Webhooks says, by rt/RT-Extension-TicketElevate/lib/RT/Action/TicketElevate.pm.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from integration.helpdesks import standard_webhooks
from integration.helpdesks.credentials import signing_keys
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.http import NOT_THERE, AnswerUnusable, Door
from integration.helpdesks.request_tracker_changes import LISTED, Page, changed_since, is_number, minutes_ago
from integration.helpdesks.request_tracker_settings import RequestTrackerSettings
from integration.helpdesks.request_tracker_setup import RequestTrackerSetup
from integration.helpdesks.values import exact, moment, table, tables, word
from integration.tickets import (
    Changes,
    DeliveryUnreadable,
    Finding,
    HelpdeskError,
    HelpdeskRefused,
    HelpdeskUnavailable,
    ListedTicket,
    Person,
    Status,
    Ticket,
    TicketEvent,
    TicketGone,
    clean,
)

NOBODY = "Nobody"  # RT's system user that owns what nobody owns; the name is the same in every language
MOST_PAGES = 20  # of our own notes, a hundred each
MOST_LOOKUPS = 10  # of requesters' addresses: each costs a call of about 0.2 s

_TOKEN = re.compile(r"[0-9]+-([0-9]+)-[0-9a-f]+")
_PERSON = "id,Name,RealName,EmailAddress"
_FIELDS = ("Subject", "Status", "Queue", "LastUpdated", "Due", "CustomFields")


class RequestTracker:
    """One Request Tracker; satisfies integration.tickets.Helpdesk. A person's `account` is the login."""

    Settings = RequestTrackerSettings
    Setup = RequestTrackerSetup

    def __init__(self, connection: str, settings: RequestTrackerSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._keys = signing_keys(settings.secrets)
        self._door = Door(
            connection,
            f"{settings.url}/REST/2.0",
            headers={"Authorization": f"token {settings.token.get_secret_value()}"},
            ca_bundle=settings.ca_bundle,
        )
        self._own_id: str | None = None

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def service_account(self) -> str:
        return self._settings.service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        verified = standard_webhooks.verify(self._keys, headers, body, now=now)
        payload = delivery_object(body)
        kind, number, revision, actor = (payload.get(key) for key in ("event", "ticket", "transaction", "actor"))
        if not (isinstance(kind, str) and is_number(number) and is_number(revision)):
            raise DeliveryUnreadable(
                "This call is signed, but it does not say which event happened to which ticket in which transaction. "
                "Install the extension of this version in Request Tracker again."
            )
        return TicketEvent(
            delivery_id=verified.delivery_id,
            ticket=str(number),
            kind=clean(kind, limit=64),
            secret=verified.secret,
            revision=str(revision),
            idle=actor == self.service_account,
        )

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:
        self._known(number)
        # History first: a ticket that is read after it is at least as new.
        changes = self._changes(number, revision)
        raw = self._read(number)
        if revision is not None and not any(_id(one) >= int(revision) for one in changes):
            # RT has not committed the delivery's transaction yet, or does not show it.
            raise HelpdeskUnavailable(self.connection, after=1)
        owner = _person(raw.get("Owner"))
        assignee = owner if owner and owner.account not in ("", NOBODY) else None
        by, at, change = _assignment(changes, raw.get("Owner")) if assignee else (None, None, None)
        category, fields = self._custom_fields(raw.get("CustomFields"))
        return Ticket(
            connection=self.connection,
            number=number,
            subject=word(raw.get("Subject")) or "",
            status=self._status(raw),
            read_at=now,
            category=category,
            queue=word(table(raw.get("Queue")).get("Name")),
            assignee=assignee,
            assigned_by=by,
            assigned_at=at,
            change=change,
            updated_at=moment(raw.get("LastUpdated")),
            requesters=self._requesters(raw),
            fields=_told(raw) | fields,
        )

    def ticket_url(self, number: str) -> str:
        self._known(number)
        return f"{self._settings.url}/Ticket/Display.html?id={number}"

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        if not account or set(account) & set("'\\\""):
            return ()  # nothing that could end the text within the query
        rows = self._list(
            "/tickets",
            query=f"Owner = '{account}' AND Status = '__Active__'",
            fields="Subject,Status,Owner",
            orderby="LastUpdated",
            order="DESC",
            per_page=str(limit),
        )
        mine = (row for row in rows if _owner(row) == account and is_number(exact(row.get("id"))))
        open_ones = (row for row in mine if self._status(row) is not Status.SOLVED)
        return tuple(ListedTicket(str(row["id"]), word(row.get("Subject")) or "") for row in open_ones)[:limit]

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        """Assigned or inactive tickets. Deleted ones and those that were merged into another are not found by RT."""
        minutes = minutes_ago(since, now)
        query = {
            "query": f"LastUpdated >= '{minutes} minutes ago' AND (Owner != '{NOBODY}' OR Status = '__Inactive__')",
            "fields": "LastUpdated",
            "orderby": "LastUpdated",
            "order": "ASC",
            "per_page": str(LISTED),
        }
        return changed_since(lambda number: self._page("/tickets", **query, page=str(number)), since, page, now)

    def write_note(self, number: str, text: str) -> None:
        self._known(number)
        note = {"Content": text, "ContentType": "text/plain"}
        try:
            self._door.call("POST", f"/ticket/{number}/comment", number=number, json=note)
        except HelpdeskRefused as e:
            if e.status == 400:
                # RT says 400 "Permission Denied" for a ticket that is not there, too. Reading it tells which it is.
                self._door.call("GET", f"/ticket/{number}", number=number)
            raise

    def has_note(self, number: str, marker: str) -> bool:
        self._known(number)
        # Only our own: a ticket's other attachments can be huge, and a marker that somebody else typed proves nothing.
        ours = [
            {"field": "Creator", "value": self._service_account_id()},
            {"field": "ContentType", "value": "text/plain"},
        ]
        query = {"query": json.dumps(ours), "fields": "Content", "orderby": "id", "order": "DESC", "per_page": "100"}
        for page in range(1, MOST_PAGES + 1):
            notes = self._list(f"/ticket/{number}/attachments", **query, page=str(page))
            # RT leaves out of a page what we may not see, so only an empty page is the last one.
            if not notes:
                return False
            if any(marker in str(note.get("Content")) for note in notes):
                return True
        raise AnswerUnusable(self.connection, f"its notes do not end after {MOST_PAGES} pages")

    def setup(self) -> RequestTrackerSetup:
        return RequestTrackerSetup()

    def check(self) -> Sequence[Finding]:
        reach, token = f"{self.connection} can be reached", f"{self.connection} takes our token"
        account = f"the token is that of {self.service_account}"
        another = "Set service_account to the login of the account that the token was made for."
        try:
            own_id = self._service_account_id()
        except NOT_THERE as error:
            return [Finding(reach, False, str(error))]
        except HelpdeskRefused as e:
            if e.status in (401, 403):
                return [Finding(reach, True), Finding(token, False, "Make a new token for our account, and set token.")]
            fix = f"{another} If it is, check url: the REST API must be right below it, at /REST/2.0."
            return [Finding(reach, True), Finding(account, False, fix)]
        except HelpdeskError:
            return [Finding(reach, False, "Check url, ca_bundle and whether this machine may reach that address.")]
        owner = _TOKEN.fullmatch(self._settings.token.get_secret_value())
        if owner and owner[1] != own_id:
            return [Finding(reach, True), Finding(token, True), Finding(account, False, another)]
        return [Finding(reach, True), Finding(token, True), Finding(account, True), *self._check_rights()]

    def _check_rights(self) -> list[Finding]:
        read, note = f"{self.connection} lets us read tickets", f"{self.connection} lets us write comments"
        try:
            newest = self._list("/tickets", query="id>0", orderby="id", order="DESC", per_page="1")
            if not newest:
                fix = "Give our account SeeQueue, ShowTicket, ShowTicketComments and SeeCustomField in the queues."
                return [Finding(read, False, f"{fix} Or there is no ticket yet.")]
            links = table(self._door.call("GET", f"/ticket/{newest[0].get('id')}")).get("_hyperlinks")
        except HelpdeskError as e:
            return [Finding(read, False, str(e))]
        may = any(table(link).get("ref") == "comment" for link in tables(links))
        return [
            Finding(read, True),
            Finding(note, may, "" if may else "Give our account CommentOnTicket in the queues."),
        ]

    def _known(self, number: str) -> None:
        if not is_number(number):
            raise TicketGone(self.connection, clean(number, limit=64))

    def _read(self, number: str) -> dict[str, Any]:
        people = {"Owner", "Creator", *self._settings.requester_roles}
        # In a list, and in no other answer, RT tells the addresses of those who have a role, too.
        rows = self._list(
            "/tickets",
            **{"query": f"id = {number}", "fields": ",".join((*_FIELDS, *sorted(people))), "fields[Queue]": "Name"},
            **{f"fields[{role}]": _PERSON for role in sorted(people)},
        )
        if not rows:
            raise self._not_listed(number)
        if exact(rows[0].get("id")) != number:
            raise AnswerUnusable(self.connection, "it is another ticket than the one that was asked for")
        return rows[0]

    def _not_listed(self, number: str) -> HelpdeskError:
        """Why: RT lists nothing that is deleted, merged or hidden from us. Raises what hides it."""
        raw = table(self._door.call("GET", f"/ticket/{number}", number=number))
        # A merged ticket answers as the one that it became.
        ids = {exact(raw.get("id")), exact(table(raw.get("EffectiveId")).get("id"))}
        if ids != {number} or raw.get("Status") == "deleted":
            return TicketGone(self.connection, number)
        return HelpdeskUnavailable(self.connection, after=1)

    def _status(self, raw: Mapping[str, Any]) -> Status:
        return self._settings.status_map.get(word(raw.get("Status")) or "", Status.ON_HOLD)

    def _changes(self, number: str, revision: str | None) -> list[dict[str, Any]]:
        """The newest few transactions that set the owner, the ticket's creation, and `revision`; newest first."""
        kinds = "Type='Create' OR (Type='Set' AND Field='Owner')"
        if revision is not None:
            kinds += f" OR id={int(revision)}"
        return self._list(
            "/transactions",
            # By ObjectId, because the history of a ticket also holds that of those which were merged into it.
            query=f"ObjectType='RT::Ticket' AND ObjectId={number} AND ({kinds})",
            fields="Type,Field,NewValue,Creator,Created",
            orderby="id",
            order="DESC",
            per_page="5",
        )

    def _requesters(self, raw: Mapping[str, Any]) -> tuple[Person, ...]:
        people: dict[str, Person] = {}
        for role in self._settings.requester_roles:
            for holder in tables([raw.get("Creator")] if role == "Creator" else raw.get(role)):
                person = _person(holder) if holder.get("type") == "user" else None
                if person:
                    people.setdefault(person.account, person)
        unknown = [person for person in people.values() if person.address is None][:MOST_LOOKUPS]
        people |= {person.account: self._looked_up(person) for person in unknown}
        return tuple(people.values())

    def _looked_up(self, person: Person) -> Person:
        try:
            found = _person(self._door.call("GET", f"/user/{quote(person.account, safe='')}"))
        except HelpdeskRefused:
            return person  # somebody we may not see: the account alone must do
        # A login of digits is taken for an id there, and answers with somebody else.
        return found if found and found.account == person.account else person

    def _custom_fields(self, raw: Any) -> tuple[str | None, dict[str, str]]:
        fields = {}
        for field in tables(raw):
            values = field.get("values")
            words = [word(value) for value in values] if isinstance(values, list) else []
            fields[word(field.get("name")) or ""] = ", ".join(one for one in words if one)
        return fields.pop(self._settings.category_field, None) or None, fields

    def _service_account_id(self) -> str:
        if self._own_id is None:
            who = table(self._door.call("GET", f"/user/{quote(self.service_account, safe='')}"))
            # RT shows the id to the account itself (and to administrators of users) only.
            self._own_id = exact(who.get("id")) if who.get("Name") == self.service_account else None
            if self._own_id is None:
                raise AnswerUnusable(self.connection, "our token belongs to another account than service_account")
        return self._own_id

    def _list(self, path: str, **query: str) -> list[dict[str, Any]]:
        return list(self._page(path, **query).rows)

    def _page(self, path: str, **query: str) -> Page:
        """A page of a list. RT does not count where it holds back what we may not see only after its query
        ($UseSQLForACLChecks).
        """
        answer = table(self._door.call("GET", f"{path}?{urlencode(query)}"))
        items = answer.get("items")
        if not isinstance(items, list):
            raise AnswerUnusable(self.connection, "it holds no list")
        total = exact(answer.get("total"))
        count = int(total) if total is not None and total.isdigit() else None
        more = isinstance(answer.get("next_page"), str) or (None if count is None else False)
        return Page(tables(items), more, count)


def _assignment(changes: Sequence[Mapping[str, Any]], owner: Any) -> tuple[str | None, datetime | None, str | None]:
    """Who made `owner` the owner, when, and by which transaction: the newest `Set` of `Owner`, or else the creation.

    A take also writes a `SetWatcher`, which tells the same change a second time.
    """
    kinds = {("Create", None), ("Set", "Owner")}
    change = next((one for one in changes if (one.get("Type"), one.get("Field") or None) in kinds), None)
    # Ticket and history were read a moment apart: a pick by one must not be laid at another's door.
    if change is None or (
        change.get("Type") == "Set" and exact(change.get("NewValue")) != exact(table(owner).get("id"))
    ):
        return None, None, None
    by = exact(table(change.get("Creator")).get("id"))
    return by, moment(change.get("Created")), exact(change.get("id"))


def _owner(raw: Mapping[str, Any]) -> str | None:
    owner = _person(raw.get("Owner"))
    return owner.account if owner else None


def _id(raw: Mapping[str, Any]) -> int:
    return int(raw["id"]) if is_number(raw.get("id")) else 0


def _told(raw: Mapping[str, Any]) -> dict[str, str]:
    """What rules may look at besides custom fields. RT says "no time" as the first moment of 1970."""
    found = {"status": word(raw.get("Status")), "Due": word(raw.get("Due"))}
    return {name: value for name, value in found.items() if value and not value.startswith("1970-01-01")}


def _person(raw: Any) -> Person | None:
    """Somebody as RT shows them: with a `Name` where we asked for it, and else with the login as `id`."""
    one = table(raw)
    account, address = exact(one.get("Name") or one.get("id")), word(one.get("EmailAddress"))
    return Person(account or "", word(one.get("RealName")) or "", address) if account or address else None
