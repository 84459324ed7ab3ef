"""Zammad over its REST API, told of changes by a trigger's webhook.

Wire facts: docs.zammad.org/en/latest/api/ ("Introduction", "Tickets", "Articles", "User") and
admin-docs.zammad.org/en/latest/manage/webhook/payload.html. What a ticket's history holds is told by Zammad's source
alone: github.com/zammad/zammad, app/models/history.rb and app/models/concerns/has_history.rb. So does what becomes of a
search: app/models/concerns/can_search.rb.

A ticket's number is its id here, as in Zammad's own addresses; the number that people read is one of its fields. Who
assigned it is read from the history, and believed only where a change also says whether a trigger or a scheduler made
it: older Zammads write those down as the work of whoever set them off.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from integration.helpdesks.changes import AHEAD, changes_since
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.http import NOT_THERE, AnswerUnusable, Door
from integration.helpdesks.keys import fitting
from integration.helpdesks.values import exact, made_id, moment, table, tables, word
from integration.helpdesks.zammad_settings import ZammadSettings
from integration.helpdesks.zammad_setup import ZammadSetup
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

NOBODY = "1"  # the system's own user: it owns what nobody owns, and does what nobody did
GONE = frozenset({"merged", "removed"})
MOST_NOTES = 100  # of our own on one ticket, the newest first; each is a call
MOST_LISTED = 200  # that a search answers
LONGEST_NOTE = 100_000  # characters of the 1.5 million that Zammad takes: what is longer is a mistake
# An article that a timed trigger carries along can be an old one of ours, and the ticket changed long after it.
AT_ONCE = timedelta(seconds=5)
_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"sha1=([0-9a-f]{40})")
# Of a ticket's attributes those that have a place of their own, or are people.
_ELSEWHERE = frozenset({"id", "title", "state", "group", "owner", "customer", "created_by", "updated_by"})
_INNER = ("_id", "_ids", "_at", "_in_min")
_DUE = ("escalation_at", "first_response_escalation_at", "update_escalation_at", "close_escalation_at")


class Zammad:
    """One Zammad; satisfies integration.tickets.Helpdesk. A person's `account` is the user id."""

    Settings = ZammadSettings
    Setup = ZammadSetup

    def __init__(self, connection: str, settings: ZammadSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._keys = {name: secret.get_secret_value().encode() for name, secret in settings.secrets.items()}
        self._door = Door(
            connection,
            f"{settings.url}/api/v1",
            headers={"Authorization": f"Token token={settings.token.get_secret_value()}"},
            ca_bundle=settings.ca_bundle,
        )

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def service_account(self) -> str:
        return self._settings.service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:  # noqa: ARG002
        # No time is signed, and that of the ticket's last change may be days old when a timed trigger tells of it: an
        # age limit would lose an end, while an old call that is sent again costs one reading at most.
        secret = self._verified(headers, body)
        payload = delivery_object(body)
        told = table(payload.get("ticket"))
        number, changed = exact(told.get("id")), moment(told.get("updated_at"))
        # The job's id is not signed. The same bytes about the same state are nothing new, whatever id they come with.
        job = "" if changed else headers.get("x-zammad-delivery", "")
        if number is None or not _is_number(number) or not (changed or job):
            raise DeliveryUnreadable(
                "This call is signed, but it does not say which ticket it is about and when that changed. Switch off "
                "the custom payload of the webhook in Zammad."
            )
        return TicketEvent(
            delivery_id=made_id(job, body),
            ticket=number,
            kind="trigger",
            secret=secret,
            idle=self._is_our_note(table(payload.get("article")), changed),
        )

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:  # noqa: ARG002
        self._known(number)
        # History first: a ticket that is read after it is at least as new. It also brings the people along.
        changes, people = self._history(number)
        raw = table(self._door.call("GET", f"/tickets/{number}?expand=true", number=number))
        if exact(raw.get("id")) != number:
            raise AnswerUnusable(self.connection, "it is another ticket than the one that was asked for")
        if word(raw.get("state")) in GONE:
            raise TicketGone(self.connection, number)
        assignee = self._assignee(raw, people)
        by, at, change = self._assignment(changes, assignee) if assignee else (None, None, None)
        return Ticket(
            connection=self.connection,
            number=number,
            subject=word(raw.get("title")) or "",
            status=self._status(raw),
            read_at=now,
            category=self._category(raw),
            queue=word(raw.get("group")),
            assignee=assignee,
            assigned_by=by,
            assigned_at=at,
            change=change,
            updated_at=moment(raw.get("updated_at")),
            requesters=self._requesters(raw, people),
            fields=_fields(raw),
        )

    def ticket_url(self, number: str) -> str:
        self._known(number)
        return f"{self._settings.url}/#ticket/zoom/{number}"

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        if not _is_number(account) or account == NOBODY:
            return ()
        rows = tables(self._found(f"owner_id:{account}", order_by="desc"))
        mine = (row for row in rows if exact(row.get("owner_id")) == account)
        open_ones = (
            row for row in mine if word(row.get("state")) not in GONE and self._status(row) is not Status.SOLVED
        )
        named = ((exact(row.get("id")), word(row.get("title")) or "") for row in open_ones)
        return tuple(ListedTicket(number, title) for number, title in named if number and _is_number(number))[:limit]

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        """By the search, which is some seconds behind and needs Elasticsearch there: without it, it finds nothing."""
        # With an end, since a Zammad may take every star out of a query.
        start, end = _iso(since), _iso(max(since, now) + AHEAD)
        query = f'updated_at:["{start}" TO "{end}"]'
        rows = self._found(query, order_by="asc", page=str(page))
        more = len(rows) >= MOST_LISTED
        if MOST_LISTED // 2 <= len(rows) < MOST_LISTED:
            # Tickets that the search still knows and that are gone are taken out of a page after it was cut.
            more = bool(self._found(query, order_by="asc", page=str(page + 1)))
        lines = ((exact(row.get("id")), moment(row.get("updated_at"))) for row in tables(rows))
        known = ((number, at) for number, at in lines if number and _is_number(number))
        return changes_since(known, since=since, now=now, more=more)

    def write_note(self, number: str, text: str) -> None:
        self._known(number)
        note = {
            "ticket_id": int(number),
            "body": text.replace("\0", "")[:LONGEST_NOTE],
            # As plain text, mark-up stays words; templates are filled in for triggers and mails only, never here.
            "content_type": "text/plain",
            "type": "note",
            "internal": True,  # an article is public where nobody says otherwise
        }
        self._door.call("POST", "/ticket_articles", number=number, json=note)

    def has_note(self, number: str, marker: str) -> bool:
        return self._note(number, marker) is not None

    def setup(self) -> ZammadSetup:
        return ZammadSetup(self._connection, self._door, self._settings, self._note)

    def _note(self, number: str, marker: str) -> str | None:
        """The id of our article on the ticket that holds `marker`."""
        self._known(number)
        # The list of articles has no pages, and one mail in it may be longer than all that we read: so the history says
        # which are ours, and only those are read.
        changes, _ = self._history(number)
        for count, article in enumerate(self._our_articles(number, changes)):
            if count == MOST_NOTES:
                raise AnswerUnusable(self.connection, f"our notes on it do not end after {MOST_NOTES}")
            if marker in str(self._article(number, article).get("body")):
                return article
        return None

    def check(self) -> Sequence[Finding]:
        reach, token = f"{self.connection} can be reached", f"{self.connection} takes our token"
        try:
            me = table(self._door.call("GET", "/users/me"))
        except NOT_THERE as error:
            return [Finding(reach, False, str(error))]
        except HelpdeskRefused:
            fix = "Make a new access token for our account, and set token. API token access must be on (System > API)."
            return [Finding(reach, True), Finding(token, False, fix)]
        except HelpdeskError:
            return [Finding(reach, False, "Check url, ca_bundle and whether this machine may reach that address.")]
        mine = exact(me.get("id")) == self.service_account
        fix = "Set service_account to the user id of the account that the token was made for."
        account = Finding(f"{self.connection} knows us as {self.service_account}", mine, "" if mine else fix)
        return [Finding(reach, True), Finding(token, True), account, *self._check_tickets()]

    def _check_tickets(self) -> list[Finding]:
        read, tells = f"{self.connection} lets us read tickets", f"{self.connection} says what its triggers did"
        fix = (
            "Give the token ticket.agent, and our account the groups, with read and change. Or there is no ticket yet."
        )
        try:
            found = [exact(row.get("id")) for row in tables(self._door.call("GET", "/tickets?per_page=1"))]
            if not found or not found[0] or not _is_number(found[0]):
                return [Finding(read, False, fix)]
            changes, _ = self._history(found[0])
        except HelpdeskRefused:
            return [Finding(read, False, fix)]
        except HelpdeskError as e:
            return [Finding(read, False, str(e))]
        may = all("sourceable_type" in change for change in changes)
        fix = (
            "Update Zammad: until its history names the trigger that made a change, tickets get the Elevate link only."
        )
        return [Finding(read, True), Finding(tells, may, "" if may else fix)]

    def _verified(self, headers: Mapping[str, str], body: bytes) -> str:
        """The name of the secret that signed `body`. Raises SignatureRefused."""
        given = _SIGNATURE.fullmatch(headers.get("x-hub-signature", ""))
        if given is None:
            raise SignatureRefused
        return fitting(
            self._keys, lambda key: hmac.compare_digest(hmac.new(key, body, hashlib.sha1).hexdigest(), given[1])
        )

    def _is_our_note(self, article: Mapping[str, Any], changed: datetime | None) -> bool:
        # By the article alone: who changed the ticket last is told as of the sending, and would hide a pick before it.
        written = moment(article.get("created_at"))
        ours = exact(article.get("created_by_id")) == self.service_account
        return ours and changed is not None and written is not None and changed - written <= AT_ONCE

    def _known(self, number: str) -> None:
        if not _is_number(number):
            raise TicketGone(self.connection, clean(number, limit=64))

    def _found(self, query: str, **more: str) -> list[Any]:
        wanted = {"query": query, "sort_by": "updated_at", "limit": str(MOST_LISTED), "expand": "true", **more}
        rows = self._door.call("GET", f"/tickets/search?{urlencode(wanted)}")
        if not isinstance(rows, list):
            raise AnswerUnusable(self.connection, "it holds no list of tickets")
        return rows

    def _history(self, number: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """A ticket's changes, the oldest first, and everybody who is named in them or on the ticket, by id."""
        answer = table(self._door.call("GET", f"/ticket_history/{number}", number=number))
        changes = answer.get("history")
        if not isinstance(changes, list):
            raise AnswerUnusable(self.connection, "it holds no history")
        return tables(changes), table(table(answer.get("assets")).get("User"))

    def _our_articles(self, number: str, changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """The ids of the articles that we wrote on this ticket, the newest first."""
        for change in reversed(changes):
            told = [exact(change.get(name)) for name in ("object", "type", "related_o_id", "created_by_id")]
            article = exact(change.get("o_id"))
            if told == ["Ticket::Article", "created", number, self.service_account] and article and _is_number(article):
                yield article

    def _article(self, number: str, article: str) -> dict[str, Any]:
        """One article of ours on this ticket; an empty one where it was deleted or moved."""
        try:
            found = table(self._door.call("GET", f"/ticket_articles/{article}"))
        except HelpdeskRefused as e:
            if e.status == 404:
                return {}
            raise
        ours = exact(found.get("created_by_id")) == self.service_account
        return found if ours and exact(found.get("ticket_id")) == number else {}

    def _status(self, raw: Mapping[str, Any]) -> Status:
        return self._settings.status_map.get(word(raw.get("state")) or "", Status.ON_HOLD)

    def _category(self, raw: Mapping[str, Any]) -> str | None:
        value = word(raw.get(self._settings.category_field))
        return self._settings.categories.get(value, value) if value else None

    def _assignee(self, raw: Mapping[str, Any], people: Mapping[str, Any]) -> Person | None:
        """Whom the ticket is assigned to. Without an address where it may not be used: a link needs one."""
        account = self._account(raw.get("owner_id"))
        if account is None:
            return None
        one = table(people.get(account))
        roles = one.get("role_ids")
        held = {exact(role) for role in roles} if isinstance(roles, list) else set()
        works = exact(one.get("id")) == account and one.get("active") is True and held & self._settings.agent_roles
        return Person(account, _name(one), word(one.get("email")) if works else None)

    def _requesters(self, raw: Mapping[str, Any], people: Mapping[str, Any]) -> tuple[Person, ...]:
        accounts = dict.fromkeys(self._account(raw.get(f"{role}_id")) for role in self._settings.requester_roles)
        known = ((account, table(people.get(account))) for account in accounts if account)
        return tuple(Person(account, _name(one), word(one.get("email"))) for account, one in known)

    def _account(self, value: Any) -> str | None:
        """A user's id. One that cannot be taken as it stands could pass for another's, so it ends the reading."""
        account = exact(value)
        if account is None and value is not None:
            raise AnswerUnusable(self.connection, "it holds a user id that is none")
        return None if account == NOBODY else account

    def _assignment(
        self, changes: Sequence[Mapping[str, Any]], assignee: Person
    ) -> tuple[str | None, datetime | None, str | None]:
        """Who made `assignee` the owner, when, and by which change: of all changes of the owner, the newest.

        A ticket that was created with an owner has none, and does not say who chose them.
        """
        change = next((it for it in reversed(changes) if (it.get("object"), it.get("attribute")) == _OWNER), None)
        # Ticket and history were read a moment apart: a pick by one must not be laid at another's door.
        if change is None or exact(change.get("id_to")) != assignee.account:
            return None, None, None
        by = exact(change.get("created_by_id"))
        # A trigger's change stands under whoever set it off. Without a word on that, nobody is believed.
        by_person = "sourceable_type" in change and not change["sourceable_type"] and not change.get("sourceable_id")
        told = by_person and by != NOBODY and not self._settings.automatic_assignment
        return by if told else None, moment(change.get("created_at")), exact(change.get("id"))


_OWNER = ("Ticket", "owner")


def _fields(raw: Mapping[str, Any]) -> dict[str, str]:
    """The number that people read, state, type, priority, when it is due, and what administrators added."""
    names = (name for name in raw if name in _DUE or (name not in _ELSEWHERE and not name.endswith(_INNER)))
    found = {name: word(raw[name]) for name in names} | {"status": word(raw.get("state"))}
    return {name: value for name, value in found.items() if value}


def _name(raw: Mapping[str, Any]) -> str:
    return " ".join(name for key in ("firstname", "lastname") if (name := word(raw.get(key))))


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None
