"""TeamDynamix over its Web API, told of changes by the webhooks of a ticketing application.

Wire facts: "TeamDynamix Web API" (solutions.teamdynamix.com/TDWebApi): sections Auth, Tickets, People and "About rate
limiting"; types Tickets.Ticket, Tickets.TicketSearch, Feed.TicketFeedEntry, Feed.ItemUpdate, Users.User; and KB 95106,
"Getting Started with Webhooks". How a webhook is signed and what its body looks like is published nowhere, so the
settings say it. 60 calls a minute is all that TeamDynamix lets one address make of each method.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from integration.helpdesks import static_header
from integration.helpdesks.credentials import plain_keys
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.http import NOT_THERE, AnswerUnusable, Door
from integration.helpdesks.keys import fitting
from integration.helpdesks.teamdynamix_changes import MOST_SPANS, changed_since, is_number
from integration.helpdesks.teamdynamix_feed import Words, newest_assignment, newest_first
from integration.helpdesks.teamdynamix_login import Login
from integration.helpdesks.teamdynamix_settings import TeamDynamixSettings
from integration.helpdesks.teamdynamix_setup import TeamDynamixSetup
from integration.helpdesks.values import exact, filled, made_id, moment, new_id, table, tables, word
from integration.tickets import (
    Changes,
    DeliveryUnreadable,
    Finding,
    HelpdeskError,
    HelpdeskRefused,
    ListedTicket,
    Person,
    SignatureRefused,
    Status,
    Ticket,
    TicketEvent,
    TicketGone,
    clean,
)

NOBODY = "00000000-0000-0000-0000-000000000000"
FEED = 100  # entries that one read of the history asks for; an assignment before all of those is nobody's fresh pick
LOOKS = (FEED, 1_000, 10_000)  # entries, among which a note of ours is looked for
LONGEST_NOTE = 10_000  # characters; no limit is published, and ours are far shorter
KNOWN_FOR = 300.0  # seconds that we trust what an account told of itself
USER = "1"  # of UserType: somebody who works there, neither a customer nor a service account
_CLASSES = {
    "1": Status.OPEN,  # New
    "2": Status.OPEN,  # In Process
    "3": Status.SOLVED,  # Completed
    "4": Status.SOLVED,  # Cancelled
}
# Of a ticket, at every edit.
_CHANGES_ALWAYS = frozenset({"ModifiedDate", "ModifiedUid", "ModifiedFullName", "DaysOld"})
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX = re.compile(r"[0-9A-Fa-f]{64}")


class TeamDynamix:
    """One ticketing application; satisfies integration.tickets.Helpdesk. A person's `account` is the UID."""

    Settings = TeamDynamixSettings
    Setup = TeamDynamixSetup

    def __init__(self, connection: str, settings: TeamDynamixSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._keys = plain_keys(settings.secrets)
        self._words = Words(settings.taken_words, settings.reassigned_words)
        self._service_account = settings.service_account.lower()
        base = f"{settings.url}/{'SB' if settings.sandbox else ''}TDWebApi/api"
        login = Login(connection, Door(connection, base, headers={}), settings)
        self._door = Door(connection, base, headers={}, credentials=login)
        self._tickets = f"/{settings.app_id}/tickets"
        self._known_people: dict[str, tuple[float, Person]] = {}

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def service_account(self) -> str:
        return self._service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        secret = self._verified(headers, body)
        payload = delivery_object(body)
        found = (exact(_at(payload, path)) for path in self._settings.ticket_paths)
        number = next((it for it in found if is_number(it)), None)
        if number is None:
            raise DeliveryUnreadable(
                "This call is signed, but it does not say which ticket it is about. Send JSON, and set ticket_paths to "
                "where the number of the ticket stands in it."
            )
        tickets = [it for it in tables([payload, *payload.values()]) if "ResponsibleUid" in it]
        # None where it shows no ticket, another one, or two.
        shown = tickets[0] if len(tickets) == 1 and exact(tickets[0].get("ID")) == number else None
        # Rules look at custom attributes too, which some calls leave out.
        whole = shown if shown and isinstance(shown.get("Attributes"), list) else None
        return TicketEvent(
            # The body of a webhook holds the whole ticket with its time of change, so that no two changes look alike.
            # What a workflow step sends may be the same words each time.
            delivery_id=made_id(self.connection, number, body) if self._tells_when(body) else new_id(),
            ticket=number,
            kind=clean(word(_at(payload, self._settings.kind_path)) or "webhook", limit=64),
            secret=secret,
            fingerprint=_fingerprint(shown) if shown else None,
            shown_at=moment(shown.get("ModifiedDate")) if shown else None,
            shown=self._matched(whole, number, now) if whole else None,
            idle=_idle(tickets, number),
        )

    def _tells_when(self, body: bytes) -> bool:
        return self._settings.static_header is None and b"ModifiedDate" in body

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:  # noqa: ARG002
        raw = self._read(number)
        told = self._matched(raw, number, now)
        found = replace(told, assignee=self._assignee(raw), requesters=self._requesters(raw))
        if found.assignee is None or found.status is Status.SOLVED:  # with 60 calls a minute, none is made for nothing
            return found
        by, at, change = self._assignment(number, raw, found.assignee)
        return replace(found, assignee=self._person(found.assignee), assigned_by=by, assigned_at=at, change=change)

    def _matched(self, raw: Mapping[str, Any], number: str, now: datetime) -> Ticket:
        """A ticket as far as rules are found by it: without its people."""
        return Ticket(
            connection=self.connection,
            number=number,
            subject=word(raw.get("Title")) or "",
            status=self._status(raw),
            read_at=now,
            category=self._category(raw),
            queue=word(raw.get("ResponsibleGroupName")),
            updated_at=moment(raw.get("ModifiedDate")),
            fields=_fields(raw),
        )

    def ticket_url(self, number: str) -> str:
        self._known(number)
        client = f"{'SB' if self._settings.sandbox else ''}TDNext/Apps/{self._settings.app_id}"
        return f"{self._settings.url}/{client}/Tickets/TicketDet.aspx?TicketID={number}"

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        if not _GUID.fullmatch(account) or account == NOBODY:
            return ()
        wanted = {
            "PrimaryResponsibilityUids": [account],
            "StatusClassIDs": [0, 1, 2, 5, 6],
            "MaxResults": max(limit, 100),
        }
        rows = [it for it in self._list("POST", f"{self._tickets}/search", json=wanted) if self._uid(it) == account]
        rows = [it for it in rows if self._status(it) is not Status.SOLVED and is_number(exact(it.get("ID")))]
        rows.sort(key=lambda it: str(moment(it.get("ModifiedDate")) or ""), reverse=True)
        return tuple(ListedTicket(str(it["ID"]), word(it.get("Title")) or "") for it in rows)[:limit]

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        """One call, unless more changed than one answer holds. What changed at one moment is told on the first page."""
        if page > 1:
            return Changes(())
        found = changed_since(lambda wanted: self._list("POST", f"{self._tickets}/search", json=wanted), since, now)
        if found is None:
            raise AnswerUnusable(self.connection, f"more tickets changed than it tells in {MOST_SPANS} calls")
        return found

    def write_note(self, number: str, text: str) -> None:
        self._known(number)
        entry = {
            "Comments": _plain(text)[:LONGEST_NOTE],
            "IsPrivate": True,
            "IsRichHtml": False,
            "NewStatusID": None,
            "Notify": [],
        }
        self._door.call("POST", f"{self._tickets}/{number}/feed", number=number, json=entry)

    def has_note(self, number: str, marker: str) -> bool:
        self._known(number)
        for most in LOOKS:
            entries = self._list("GET", f"{self._tickets}/{number}/feed?top={most}", number=number)
            ours = (it for it in newest_first(entries) if self._uid(it, "CreatedUid") == self.service_account)
            if any(marker in str(it.get("Body")) for it in ours):
                return True
            if len(entries) < most:
                return False
        raise AnswerUnusable(self.connection, f"its feed does not end after {LOOKS[-1]} entries")

    def setup(self) -> TeamDynamixSetup:
        return TeamDynamixSetup(self._connection, self._door, self._settings)

    def check(self) -> Sequence[Finding]:
        reach, login = f"{self.connection} can be reached", f"{self.connection} takes our log-in"
        try:
            self._door.knock()
        except NOT_THERE as error:
            return [Finding(reach, False, str(error))]
        except HelpdeskError:
            return [Finding(reach, False, "Check url, and whether this machine may reach that address.")]
        try:
            mine = self._uid(table(self._door.call("GET", "/auth/getuser")), "UID") == self.service_account
        except NOT_THERE as error:
            return [Finding(reach, False, str(error))]
        except HelpdeskRefused:
            fix = "Check username and password, or beid and web_services_key: an account of TeamDynamix's own, no SSO."
            return [Finding(reach, True), Finding(login, False, fix)]
        except HelpdeskError as e:
            return [Finding(reach, True), Finding(login, False, str(e))]
        fix = "Set service_account to the UID of the account that logs in (TDAdmin > Users, or GET /api/auth/getuser)."
        account = Finding(f"{self.connection} knows us as {self.service_account}", mine, "" if mine else fix)
        return [Finding(reach, True), Finding(login, True), account, self._check_tickets(), self._check_people()]

    def _check_tickets(self) -> Finding:
        read = f"{self.connection} lets us read the tickets of application {self._settings.app_id}"
        try:
            newest = self._list("POST", f"{self._tickets}/search", json={"MaxResults": 1})
        except HelpdeskError:
            return Finding(read, False, "Check app_id, and give our account that application in TDAdmin.")
        fix = "Let our account see all tickets of the application. Or there is no ticket yet."
        return Finding(read, bool(newest), "" if newest else fix)

    def _check_people(self) -> Finding:
        read = f"{self.connection} lets us read people"
        try:
            self._door.call("GET", f"/people/{self.service_account}")
        except HelpdeskError:
            return Finding(read, False, "Give our account the right to see people: a technician's address is there.")
        return Finding(read, True)

    def _verified(self, headers: Mapping[str, str], body: bytes) -> str:
        """The name of the secret that the call is signed with, or that it holds. Raises SignatureRefused."""
        if self._settings.static_header is not None:
            header = self._settings.static_header.lower()
            value = headers.get(header, "")
            return static_header.verify(
                self._keys, value.removeprefix("Basic ") if header == "authorization" else value
            )
        given = self._signature(headers.get("x-tdx-signature", ""))
        return fitting(self._keys, lambda key: hmac.compare_digest(hmac.new(key, body, hashlib.sha256).digest(), given))

    def _signature(self, text: str) -> bytes:
        prefix, bare = self._settings.signature_prefix, text.removeprefix(self._settings.signature_prefix)
        if not text.startswith(prefix):
            raise SignatureRefused
        if self._settings.signature == "hex":
            if not _HEX.fullmatch(bare):
                raise SignatureRefused
            return bytes.fromhex(bare)
        try:
            return base64.b64decode(bare, validate=True)
        except (binascii.Error, ValueError):
            raise SignatureRefused from None

    def _known(self, number: str) -> None:
        if not is_number(number):
            raise TicketGone(self.connection, clean(number, limit=64))

    def _read(self, number: str) -> dict[str, Any]:
        self._known(number)
        raw = table(self._door.call("GET", f"{self._tickets}/{number}", number=number))
        if exact(raw.get("ID")) != number:
            raise AnswerUnusable(self.connection, "it is another ticket than the one that was asked for")
        if exact(raw.get("AppID")) not in (None, self._settings.app_id):
            raise TicketGone(self.connection, number)  # moved to an application that is not ours to look after
        return raw

    def _list(self, method: str, path: str, *, number: str | None = None, json: Any = None) -> list[dict[str, Any]]:
        answer = self._door.call(method, path, number=number, json=json)
        if not isinstance(answer, list):
            raise AnswerUnusable(self.connection, "it is no list")
        return tables(answer)

    def _status(self, raw: Mapping[str, Any]) -> Status:
        named = self._settings.status_map.get(word(raw.get("StatusName")) or "")
        return named or _CLASSES.get(exact(raw.get("StatusClass")) or "", Status.ON_HOLD)

    def _category(self, raw: Mapping[str, Any]) -> str | None:
        field = self._settings.category_field
        if field.isdigit():
            found = next((it for it in tables(raw.get("Attributes")) if exact(it.get("ID")) == field), {})
            value = word(found.get("Value"))
        else:
            value = word(raw.get(field))
        return self._settings.categories.get(value, value) if value else None

    def _assignee(self, raw: Mapping[str, Any]) -> Person | None:
        account = self._uid(raw)
        return Person(account, word(raw.get("ResponsibleFullName")) or "") if account else None

    def _person(self, assignee: Person) -> Person:
        """`assignee` with their address, where they are an active user. Asked for once in KNOWN_FOR seconds."""
        ends, known = self._known_people.get(assignee.account, (0.0, assignee))
        if ends > time.monotonic():
            return known
        raw = table(self._door.call("GET", f"/people/{assignee.account}"))
        if self._uid(raw, "UID") != assignee.account:
            raise AnswerUnusable(self.connection, "it is another account than the one that was asked for")
        works = raw.get("IsActive") is True and exact(raw.get("TypeID")) == USER
        address = word(raw.get(self._settings.address_field)) if works else None
        known = Person(assignee.account, word(raw.get("FullName")) or assignee.name, address)
        self._known_people[assignee.account] = time.monotonic() + KNOWN_FOR, known
        return known

    def _requesters(self, raw: Mapping[str, Any]) -> tuple[Person, ...]:
        people: dict[str, Person] = {}
        for role in ("Requestor", "Created"):
            account = self._uid(raw, f"{role}Uid")
            name, address = (word(raw.get(f"{role}{part}")) for part in ("FullName", "Email"))
            name = name or word(raw.get(f"{role}Name"))
            if account:
                people.setdefault(account, Person(account, name or "", address))
        return tuple(people.values())

    def _uid(self, raw: Mapping[str, Any], field: str = "ResponsibleUid") -> str | None:
        """A UID in lower case; None for nobody. One that is none could pass for another's, so it ends the reading."""
        account = raw.get(field)
        if account is None or account in ("", NOBODY):
            return None
        text = (exact(account) or "").lower()
        if not _GUID.fullmatch(text):
            raise AnswerUnusable(self.connection, "it holds a UID that is none")
        return text

    def _assignment(
        self, number: str, raw: Mapping[str, Any], assignee: Person
    ) -> tuple[str | None, datetime | None, str | None]:
        """Who made `assignee` the assignee, when, and by which entry of the feed; None each where no entry tells.

        Nobody is believed to have picked it unless the ticket, too, was changed last by them.
        """
        entries = self._list("GET", f"{self._tickets}/{number}/feed?top={FEED}", number=number)
        if len(entries) >= FEED and newest_first(entries)[0] is not entries[0]:
            return None, None, None  # its oldest entries: what happened last is not among them
        told = newest_assignment(entries, assignee.name, self._words)
        if told is None:
            return None, None, None
        by = self._uid({"author": told.author}, "author")
        doubtful = not told.says_taken or self._uid(raw, "ModifiedUid") != assignee.account
        return (None if by == assignee.account and doubtful else by), told.at, told.change


def _at(payload: Mapping[str, Any], path: str) -> Any:
    here: Any = payload
    for name in path.split("."):
        here = table(here).get(name)
    return here


def _idle(shown: Sequence[Mapping[str, Any]], number: str) -> bool:
    """Whether the call shows a ticket that nobody has and that never changed since it was made: nothing runs for it.

    Any other ticket that nobody has may just have been given back, which ends what runs. And that our own account
    changed a ticket last says nothing of who caused this call: the body may be newer than its cause.
    """
    return bool(shown) and all(exact(it.get("ID")) == number and _never_touched(it) for it in shown)


def _fingerprint(shown: Mapping[str, Any]) -> str:
    """Every edit of every ticket is sent, and most of them are comments."""
    told = {name: value for name, value in shown.items() if name not in _CHANGES_ALWAYS}
    return hashlib.sha256(json.dumps(told).encode("ascii")).hexdigest()


def _never_touched(raw: Mapping[str, Any]) -> bool:
    if raw["ResponsibleUid"] not in (None, NOBODY) or exact(raw.get("StatusClass")) not in ("1", "2"):
        return False
    made = moment(raw.get("CreatedDate"))
    return made is not None and made == moment(raw.get("ModifiedDate"))


def _fields(raw: Mapping[str, Any]) -> dict[str, str]:
    names = ("TypeName", "TypeCategoryName", "FormName", "ServiceName", "StatusName", "PriorityName")
    named = {name: filled(raw.get(name)) for name in (*names, "RespondByDate", "ResolveByDate")}
    named["status"] = named["StatusName"]
    custom = {exact(it.get("ID")): filled(it.get("Value")) for it in tables(raw.get("Attributes"))}
    return {name: value for name, value in (named | custom).items() if name and value}


def _plain(text: str) -> str:
    # TeamDynamix shows entries as HTML. Whether it escapes them first is told nowhere; these need no escaping.
    return text.replace("<", "\u2039").replace(">", "\u203a")
