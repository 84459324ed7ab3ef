"""Any helpdesk that can send a signed call and has a REST API, described by settings instead of code.

Wire facts: deliveries are signed as Standard Webhooks says (standard_webhooks.py); where everything else stands is in
GenericSettings, as JMESPath (jmespath.org) and URI templates (RFC 6570).
"""

import html
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import jmespath
import uritemplate
from jmespath.exceptions import JMESPathError

from integration.helpdesks import standard_webhooks, static_header
from integration.helpdesks.changes import changes_since
from integration.helpdesks.generic_settings import GenericSettings
from integration.helpdesks.generic_setup import GenericSetup
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.http import NOT_THERE, AnswerUnusable, Door
from integration.helpdesks.values import exact, filled, made_id, moment, new_id, unfilled, word
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

# JMESPath itself raises its own errors alone; its functions also what Python says of values that they cannot take.
_DOES_NOT_FIT = (JMESPathError, TypeError, ValueError, ArithmeticError)
MOST_PAGES = 50  # of notes; a ticket with more is not one that a person works on
MOST_FIELDS = 100
MOST_REQUESTERS = 100


class Generic:
    """A helpdesk as GenericSettings describe it; satisfies integration.tickets.Helpdesk."""

    Settings = GenericSettings
    Setup = GenericSetup

    def __init__(self, connection: str, settings: GenericSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._keys = settings.keys()
        self._door = Door(
            connection,
            settings.url,
            headers={settings.token_header: settings.token_prefix + settings.token.get_secret_value()},
            ca_bundle=settings.ca_bundle,
        )
        self._statuses = {word.casefold(): status for word, status in settings.status_map.items()}

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def service_account(self) -> str:
        return self._settings.service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        signed = self._settings.signature == "standard_webhooks"
        verified = standard_webhooks.verify(self._keys, headers, body, now=now) if signed else None
        secret = verified.secret if verified else static_header.verify(self._keys, self._secret(headers))
        payload = delivery_object(body)
        kind = self._in_delivery("event_path", payload)
        number = self._in_delivery("ticket_path", payload)
        if kind is None or number is None or not self._is_number(number):
            raise DeliveryUnreadable(
                "This call is signed, but it does not say which event happened to which ticket. Compare its body with "
                "the settings event_path, ticket_path and ticket_number_pattern of this connection."
            )
        actor = self._in_delivery("actor_path", payload)
        return TicketEvent(
            delivery_id=verified.delivery_id if verified else self._delivery_id(payload),
            ticket=number,
            kind=kind,
            secret=secret,
            idle=actor == self.service_account,
        )

    def _secret(self, headers: Mapping[str, str]) -> str:
        """What the header holds that the secret must stand in."""
        if self._settings.signature == "header":
            return headers.get(self._settings.secret_header.lower(), "")
        return {"bearer": static_header.bearer, "basic": static_header.basic}[self._settings.signature](headers)

    def _delivery_id(self, payload: Any) -> str:
        """Its own, or one for this call alone: two changes of a ticket may be told in the very same words."""
        told = self._in_delivery("delivery_id_path", payload) if self._settings.delivery_id_path else None
        return made_id(told) if told else new_id()

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:  # noqa: ARG002
        # No delivery of this adapter names a revision: there is none that every helpdesk has.
        raw = self._door.call("GET", self._path("ticket_url", number), number=number)
        found = exact(self._look("number", raw))
        if found is None:
            raise AnswerUnusable(self.connection, "the setting number finds no ticket number in it")
        if found != number:
            # Merged tickets answer as the one that they became.
            raise TicketGone(self.connection, number)
        assignee = self._assignee(raw)
        by, at, change = self._assignment(raw, number, assignee)
        return Ticket(
            connection=self.connection,
            number=number,
            subject=self._word("subject", raw) or "",
            status=self._status(raw),
            read_at=now,
            category=self._word("category", raw),
            queue=self._word("queue", raw),
            assignee=assignee,
            assigned_by=by,
            assigned_at=at,
            change=change,
            updated_at=moment(self._look("updated_at_path", raw)),
            requesters=self._requesters(raw),
            fields=self._fields(raw),
        )

    def ticket_url(self, number: str) -> str:
        path = self._path("page_url", number)
        return path if path.startswith("http") else self._settings.url + path

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        if self._settings.tickets_url is None:
            return ()
        page = self._door.call("GET", uritemplate.expand(self._settings.tickets_url, account=account))
        found = self._look("tickets_path", page)
        if not isinstance(found, list):
            raise AnswerUnusable(self.connection, "tickets_path finds no list in it")
        lines = (self._listed(raw, account) for raw in found)
        return tuple(line for line in lines if line is not None)[:limit]

    def _listed(self, raw: Any, account: str) -> ListedTicket | None:
        """None for what is not theirs, or solved: whether the helpdesk looks at the whole query is not known."""
        number = exact(self._look("number", raw))
        mine = exact(self._look("assignee_account", raw)) == account
        if number is None or not mine or not self._is_number(number) or self._status(raw) is Status.SOLVED:
            return None
        return ListedTicket(number, self._word("subject", raw) or "")

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        there = self._settings.changes_url
        if there is None or (page > 1 and "{page}" not in there):
            return Changes(())
        start = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"  # to the second: not every helpdesk reads parts of one
        answer = self._door.call("GET", uritemplate.expand(there, since=start, page=str(page)))
        found = self._look("changes_path", answer)
        if not isinstance(found, list):
            raise AnswerUnusable(self.connection, "changes_path finds no list in it")
        lines = (line for line in map(self._changed, found) if line is not None)
        more = bool(found) and bool(self._look("changes_more_path", answer))
        return changes_since(lines, since=since, now=now, more=more)

    def _changed(self, raw: Any) -> tuple[str, datetime | None] | None:
        try:
            number, at = (jmespath.search(getattr(self._settings, it), raw) for it in ("number", "updated_at_path"))
        except _DOES_NOT_FIT:
            return None  # the lines beside it must still be heard of
        number = exact(number)
        return (number, moment(at)) if number is not None and self._is_number(number) else None

    def write_note(self, number: str, text: str) -> None:
        # Our words hold names that Entra and the helpdesk told us, so they are escaped where the note will be HTML.
        text = unfilled(text).replace("\0", "")  # which JSON can hold, and many a database cannot
        as_html = html.escape(text).replace("\n", "<br>\n")
        body = self._look("note_body", {"note": text, "note_html": as_html, "number": number})
        there = "note_url" if self._settings.note_url else "notes_url"
        self._door.call("POST", self._path(there, number), number=number, json=body)

    def has_note(self, number: str, marker: str) -> bool:
        here = self._path("notes_url", number)
        for _ in range(MOST_PAGES):
            page = self._door.call("GET", here, number=number)
            notes = self._look("notes_path", page)
            if not isinstance(notes, list):
                raise AnswerUnusable(self.connection, "notes_path finds no list in it")
            if any(isinstance(note, str) and marker in note for note in notes):
                return True
            onward = self._look("notes_next_path", page)
            if not onward:
                return False
            if not isinstance(onward, str):
                raise AnswerUnusable(self.connection, "notes_next_path finds no URL in it")
            here = self._door.address(onward, relative_to=here)
        raise AnswerUnusable(self.connection, f"its notes do not end after {MOST_PAGES} pages")

    def setup(self) -> GenericSetup:
        return GenericSetup(self._settings)

    def check(self) -> Sequence[Finding]:
        reach = f"{self.connection} can be reached"
        try:
            self._door.knock()
        except NOT_THERE as error:
            return [Finding(reach, False, str(error))]
        except HelpdeskError:
            return [Finding(reach, False, "Check url, ca_bundle and whether this machine may reach that address.")]
        return [Finding(reach, True), *self._check_url(), *self._check_token()]

    def _check_url(self) -> Sequence[Finding]:
        parts = urlsplit(self._settings.url)
        if parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost"):
            return []
        return [
            Finding(
                f"{self.connection} is called over https",
                False,
                "Use https in url: anybody on the way can read our token.",
            )
        ]

    def _check_token(self) -> Sequence[Finding]:
        what = f"{self.connection} takes our token"
        if self._settings.check_url is None:
            return [Finding(what, False, "Set check_url, so that the token can be tried.")]
        try:
            who = self._door.call("GET", self._settings.check_url)
            account = exact(self._look("check_account", who))
        except HelpdeskRefused as e:
            if e.status in (401, 403):
                fix = "Make a new API token for our service account and set token to it."
            else:
                fix = f"{e} Compare url, check_url and check_account with the helpdesk's documentation."
            return [Finding(what, False, fix)]
        except HelpdeskError as e:
            return [Finding(what, False, f"{e} If that lasts, compare url and check_url with its documentation.")]
        return [Finding(what, True), self._check_account(account)]

    def _check_account(self, account: str | None) -> Finding:
        return Finding(
            f"{self.connection} knows us as {self.service_account}",
            account == self.service_account,
            ""
            if account == self.service_account
            else f"The token belongs to {account or 'nobody that check_account finds'}. Set service_account to the "
            f"account that the token belongs to, or our own notes would come back as somebody's work.",
        )

    def _path(self, setting: str, number: str) -> str:
        if not self._is_number(number):
            raise TicketGone(self.connection, clean(number, limit=64))
        return str(uritemplate.expand(getattr(self._settings, setting), number=number))

    def _is_number(self, number: str) -> bool:
        # Dots are climbed by URL libraries, whatever pattern an administrator sets (trust row 29).
        return (
            number.strip(".") != ""
            and exact(number) == number
            and re.fullmatch(self._settings.ticket_number_pattern, number) is not None
        )

    def _in_delivery(self, setting: str, payload: Any) -> str | None:
        try:
            return exact(jmespath.search(getattr(self._settings, setting), payload))
        except _DOES_NOT_FIT:
            raise DeliveryUnreadable(
                f"This call is signed, but the setting {setting} of this connection does not fit its body."
            ) from None

    def _look(self, setting: str, raw: Any) -> Any:
        try:
            return jmespath.search(getattr(self._settings, setting), raw)
        except _DOES_NOT_FIT:
            raise AnswerUnusable(self.connection, f"the setting {setting} does not fit it") from None

    def _word(self, setting: str, raw: Any) -> str | None:
        return word(self._look(setting, raw))

    def _status(self, raw: Any) -> Status:
        return self._statuses.get((self._word("status", raw) or "").casefold(), Status.ON_HOLD)

    def _account(self, value: Any) -> str | None:
        """An account's id. One that cannot be taken as it stands could pass for another's, so it ends the reading."""
        account = exact(value)
        if account is None and value not in (None, ""):
            raise AnswerUnusable(self.connection, "it holds an account id that is no plain text")
        return account

    def _assignee(self, raw: Any) -> Person | None:
        account = self._account(self._look("assignee_account", raw))
        if account is None:
            return None
        address = self._word("assignee_address", raw) or self._settings.addresses.get(account)
        return Person(account, self._word("assignee_name", raw) or "", address)

    def _assignment(
        self, raw: Any, number: str, assignee: Person | None
    ) -> tuple[str | None, datetime | None, str | None]:
        if assignee is None:
            return None, None, None
        told = raw
        if self._settings.history_url:
            # Not found is not TicketGone here: the ticket was there a moment ago, so it is history_url that is wrong.
            same = self._settings.history_url == self._settings.ticket_url
            history = raw if same else self._door.call("GET", self._path("history_url", number))
            told = self._look("history_path", history)
        if self._settings.assigned_to and exact(self._look("assigned_to", told)) != assignee.account:
            # Ticket and history were read a moment apart: a pick by one must not be laid at another's door.
            return None, None, None
        return (
            exact(self._look("assigned_by", told)),
            moment(self._look("assigned_at", told)),
            exact(self._look("change", told)),
        )

    def _requesters(self, raw: Any) -> tuple[Person, ...]:
        found = self._look("requesters", raw)
        if not isinstance(found, list) or len(found) > MOST_REQUESTERS:
            raise AnswerUnusable(self.connection, "the setting requesters finds no list of people in it")
        people = (
            Person(self._account(one.get("account")) or "", word(one.get("name")) or "", word(one.get("address")))
            for one in found
            if isinstance(one, dict)
        )
        return tuple(person for person in people if person.account or person.address)

    def _fields(self, raw: Any) -> dict[str, str]:
        found = self._look("fields", raw)
        if not isinstance(found, dict):
            return {}
        words = ((word(key), filled(value)) for key, value in list(found.items())[:MOST_FIELDS])
        return {key: value for key, value in words if key and value is not None}
