"""Zendesk Support over its REST API, told of changes by event webhooks or by a trigger's webhook.

Wire facts: developer.zendesk.com: "Verifying webhook authenticity", "Ticket events", "Tickets", "Ticket audits",
"Ticket comments", "Search", "Rate limits", "Building a server-side app, part 5: Secure the app". An
assignee is only believed to have picked the ticket when the audit says so: the webhook's own word is no proof, and
neither is an audit entry that a trigger or an automation made.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import jwt
from jwt.types import Options

from integration.helpdesks.changes import changes_since
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.http import NOT_THERE, AnswerUnusable, Door
from integration.helpdesks.keys import fitting
from integration.helpdesks.oauth import ClientCredentials
from integration.helpdesks.values import exact, moment, table, tables, unfilled, word
from integration.helpdesks.zendesk_settings import ZendeskSettings
from integration.helpdesks.zendesk_setup import NO_ADMINISTRATOR, SEES_ALL, ZendeskSetup
from integration.tickets import (
    Changes,
    DeliveryUnreadable,
    Finding,
    HelpdeskError,
    HelpdeskRefused,
    ListedTicket,
    Person,
    Presser,
    SignatureRefused,
    Status,
    Ticket,
    TicketEvent,
    TicketGone,
    clean,
)

TOLERANCE = timedelta(minutes=15)  # Zendesk names none, and sends again within minutes
MOST_PAGES = 50  # of comments, a hundred each: Zendesk allows 5,000 a ticket
AUDITS = 100  # the newest, in one call; an assignment before all of those is nobody's fresh pick
FOUND = 100  # tickets on one page of the search, which gives no more
FURTHEST_PAGE = 10  # of the search: beyond a thousand results it answers 422, though it counts and links to them
LONGEST_NOTE = 60_000  # bytes of the 64 kB, after which Zendesk cuts without a word
# Ticket events after which no rule can say anything else than before. All others are read: any field may be in a rule.
# Source: developer.zendesk.com/api-reference/webhooks/event-types/ticket-events/
UNTELLING = ("zen:event-type:ticket.comment", "zen:event-type:ticket.attachment")
SKEW = timedelta(minutes=2)  # between Zendesk's clock and ours, for a token that lives for minutes
# The times of a token are held against the `now` that is passed in.
_UNTIMED: Options = {"require": ["exp", "aud", "sub"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}
_NEVER = datetime.min.replace(tzinfo=UTC)
_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SUBJECT = re.compile(r"zen:ticket:([1-9][0-9]{0,19})")


class Zendesk:
    """One Zendesk; satisfies integration.tickets.Helpdesk. A person's `account` is the user id."""

    Settings = ZendeskSettings
    Setup = ZendeskSetup

    def __init__(self, connection: str, settings: ZendeskSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._keys = {name: secret.get_secret_value().encode() for name, secret in settings.secrets.items()}
        credentials = ClientCredentials(
            connection,
            Door(connection, settings.url, headers={}),
            "/oauth/tokens",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            scope="read write",  # audits can be read with the whole `read` alone
        )
        self._door = Door(connection, f"{settings.url}/api/v2", headers={}, credentials=credentials)

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def service_account(self) -> str:
        return self._settings.service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        delivery_id, secret = self._verified(headers, body, now)
        payload = delivery_object(body)
        kind, number, actor = _of_event(payload) if "zendesk_event_version" in payload else _of_trigger(payload)
        if number is None:
            raise DeliveryUnreadable(
                "This call is signed, but it does not say which ticket it is about. Use the webhook's event kind, or a "
                'trigger whose JSON body is {"ticket_id": "{{ticket.id}}", "actor_id": "{{current_user.id}}"}.'
            )
        by_trigger = not kind.startswith("zen:")
        return TicketEvent(
            delivery_id=delivery_id,
            ticket=number,
            kind=clean(kind, limit=64),
            secret=secret,
            # An event of ours may be a trigger's that our note set off; our note itself is a comment.
            idle=actor == self.service_account if by_trigger else kind.startswith(UNTELLING),
        )

    def presser(self, headers: Mapping[str, str], form: Mapping[str, str], *, now: datetime) -> Presser:  # noqa: ARG002
        """Of a frame that Zendesk loads by "signed URLs": the agent, but not the ticket, which its page tells later."""
        key, installation = self._settings.app_public_key, self._settings.app_installation
        if key is None:
            raise SignatureRefused("settings")
        here = f"{self._settings.url}/api/v2"
        audience = f"{here}/apps/installations/{installation}.json"
        try:
            claims = jwt.decode(form.get("token", ""), key, algorithms=["RS256"], audience=audience, options=_UNTIMED)
        except jwt.InvalidAudienceError:
            raise SignatureRefused("app") from None
        except (jwt.InvalidTokenError, RecursionError):
            raise SignatureRefused from None
        since, until = moment(claims.get("nbf", 0)), moment(claims["exp"])
        agent = re.fullmatch(re.escape(here) + r"/users/([1-9][0-9]{0,19})\.json", str(claims["sub"]))
        dated = all(isinstance(claims.get(name, 0), int | float) for name in ("nbf", "exp"))
        if not dated or since is None or until is None or now + SKEW < since or now - SKEW > until:
            raise SignatureRefused("time")
        if agent is None:
            raise SignatureRefused("account")
        return Presser(agent[1])

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:  # noqa: ARG002
        self._known(number)
        answer = table(self._door.call("GET", f"/tickets/{number}?include=users", number=number))
        raw = table(answer.get("ticket"))
        if exact(raw.get("id")) != number:
            raise AnswerUnusable(self.connection, "it is another ticket than the one that was asked for")
        if raw.get("status") == "deleted":
            raise TicketGone(self.connection, number)
        people = {exact(one.get("id")): one for one in tables(answer.get("users"))}
        assignee = self._assignee(raw, people)
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
            requesters=self._requesters(raw, people),
            fields=_fields(raw),
        )

    def ticket_url(self, number: str) -> str:
        self._known(number)
        return f"{self._settings.url}/agent/tickets/{number}"

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        if not _is_number(account):
            return ()
        page = table(self._door.call("GET", f"/users/{account}/tickets/assigned?page[size]=100&sort=-updated_at"))
        rows = [row for row in tables(page.get("tickets")) if exact(row.get("assignee_id")) == account]
        open_ones = [row for row in rows if self._status(row) is not Status.SOLVED and _is_number(exact(row.get("id")))]
        return tuple(ListedTicket(str(row["id"]), word(row.get("subject")) or "") for row in open_ones)[:limit]

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        """By the search, since only administrators may export. It is minutes behind, and finds no deleted ticket."""
        start = since.astimezone(UTC).replace(microsecond=0)
        if page > FURTHEST_PAGE:
            # A thousand changed within one second, and no more of them can be had: what came after them still can.
            start, page = start + timedelta(seconds=1), page - FURTHEST_PAGE
        answer = self._search(f"updated>={start.isoformat()}", per_page=FOUND, page=page)
        rows = answer.get("results")
        if not isinstance(rows, list):
            raise AnswerUnusable(self.connection, "it holds no list of results")
        tickets = (row for row in tables(rows) if row.get("result_type", "ticket") == "ticket")
        lines = ((exact(row.get("id")), moment(row.get("updated_at"))) for row in tickets)
        known = ((number, at) for number, at in lines if _is_number(number))
        return changes_since(known, since=since, now=now, more=bool(rows) and isinstance(answer.get("next_page"), str))

    def write_note(self, number: str, text: str) -> None:
        self._known(number)
        # A comment is public where nobody says otherwise, and {{...}} in it would be filled in by Zendesk.
        comment = {"body": _cut(unfilled(text)), "public": False}
        self._door.call("PUT", f"/tickets/{number}", number=number, json={"ticket": {"comment": comment}})

    def has_note(self, number: str, marker: str) -> bool:
        self._known(number)
        here = f"/tickets/{number}/comments?sort=-created_at&page[size]=100"
        for _ in range(MOST_PAGES):
            page = table(self._door.call("GET", here, number=number))
            comments = page.get("comments")
            if not isinstance(comments, list):
                raise AnswerUnusable(self.connection, "it holds no list of comments")
            ours = (one for one in tables(comments) if exact(one.get("author_id")) == self.service_account)
            if any(marker in str(one.get("plain_body") or one.get("body")) for one in ours):
                return True
            onward = table(page.get("links")).get("next")
            if table(page.get("meta")).get("has_more") is not True or not isinstance(onward, str):
                return False
            here = self._door.address(onward)
        raise AnswerUnusable(self.connection, f"its comments do not end after {MOST_PAGES} pages")

    def check(self) -> Sequence[Finding]:
        reach, token = f"{self.connection} can be reached", f"{self.connection} takes our OAuth client"
        try:
            me = table(table(self._door.call("GET", "/users/me")).get("user"))
        except NOT_THERE as error:
            return [Finding(reach, False, str(error))]
        except HelpdeskRefused:
            fix = "Check client_id and client_secret: an OAuth client of the kind Confidential, and its whole secret."
            return [Finding(reach, True), Finding(token, False, fix)]
        except HelpdeskError:
            return [Finding(reach, False, "Check url, and whether this machine may reach that address.")]
        mine = exact(me.get("id")) == self.service_account
        fix = "Set service_account to the user id of the user who made the OAuth client."
        account = Finding(f"{self.connection} knows us as {self.service_account}", mine, "" if mine else fix)
        may = me.get("role") in ("agent", "admin")
        fix = "Make the OAuth client as an agent: others may neither read audits nor write comments."
        return [
            Finding(reach, True),
            Finding(token, True),
            account,
            Finding("our account is staff", may, "" if may else fix),
            *(self._rights(me) if may else ()),
        ]

    def setup(self) -> ZendeskSetup:
        return ZendeskSetup(self._connection, self._door)

    def _rights(self, me: Mapping[str, Any]) -> Sequence[Finding]:
        """Whether our account may do what it must, and no more than an agent may."""
        whole, modest = me.get("ticket_restriction") is None, me.get("role") != "admin"
        sees = "Give our account access to all tickets: of those that it may not see, no pick starts anything."
        less = "Make our account an agent: we need no more, and whoever steals its client's secret has all it may do."
        try:
            self._search("updated>1hours", per_page=1, page=1)
        except HelpdeskError:
            asked, fix = False, "Let our account search tickets: without that, a call that is lost stays lost."
        else:
            asked, fix = True, ""
        return (
            Finding(SEES_ALL, whole, "" if whole else sees),
            Finding(f"{self.connection} lets us ask what changed", asked, fix),
            Finding(NO_ADMINISTRATOR, modest, "" if modest else less),
        )

    def _search(self, condition: str, *, per_page: int, page: int) -> dict[str, Any]:
        """Tickets that fit `condition`, the one that changed the longest ago first."""
        wanted = {
            "query": f"type:ticket {condition}",
            "sort_by": "updated_at",
            "sort_order": "asc",
            "per_page": per_page,
            "page": page,
        }
        return table(self._door.call("GET", f"/search?{urlencode(wanted)}"))

    def _verified(self, headers: Mapping[str, str], body: bytes, now: datetime) -> tuple[str, str]:
        """The delivery's id, and the name of the secret that it is signed with. Raises SignatureRefused."""
        prefix = "x-zendesk-webhook"
        given, at = headers.get(f"{prefix}-signature", ""), headers.get(f"{prefix}-signature-timestamp", "")
        delivery_id, sent = headers.get(f"{prefix}-invocation-id", ""), moment(at)
        if sent is None or abs(now - sent) > TOLERANCE or not _ID.fullmatch(delivery_id):
            raise SignatureRefused
        try:
            signature = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            raise SignatureRefused from None
        signed = at.encode() + body
        return delivery_id, fitting(
            self._keys, lambda key: hmac.compare_digest(hmac.new(key, signed, hashlib.sha256).digest(), signature)
        )

    def _known(self, number: str) -> None:
        if not _is_number(number):
            raise TicketGone(self.connection, clean(number, limit=64))

    def _status(self, raw: Mapping[str, Any]) -> Status:
        return self._settings.status_map.get(word(raw.get("status")) or "", Status.ON_HOLD)

    def _category(self, raw: Mapping[str, Any]) -> str | None:
        field = self._settings.category_field
        if field.isdigit():
            found = next((one for one in tables(raw.get("custom_fields")) if exact(one.get("id")) == field), {})
            value = word(found.get("value"))
        else:
            value = word(raw.get(field))
        return self._settings.categories.get(value, value) if value else None

    def _assignee(self, raw: Mapping[str, Any], people: Mapping[str | None, Mapping[str, Any]]) -> Person | None:
        """Whom the ticket is assigned to. Without an address where it may not be used: a link needs one."""
        account = self._account(raw.get("assignee_id"))
        if account is None:
            return None
        one = people.get(account, {})
        works = one.get("role") in ("agent", "admin") and one.get("active") is True and one.get("suspended") is not True
        return Person(account, word(one.get("name")) or "", word(one.get("email")) if works else None)

    def _requesters(self, raw: Mapping[str, Any], people: Mapping[str | None, Mapping[str, Any]]) -> tuple[Person, ...]:
        accounts = dict.fromkeys(self._account(raw.get(role)) for role in ("requester_id", "submitter_id"))
        known = ((account, people.get(account, {})) for account in accounts if account)
        return tuple(Person(account, word(one.get("name")) or "", word(one.get("email"))) for account, one in known)

    def _account(self, value: Any) -> str | None:
        """A user's id. One that cannot be taken as it stands could pass for another's, so it ends the reading."""
        account = exact(value)
        if account is None and value is not None:
            raise AnswerUnusable(self.connection, "it holds a user id that is none")
        return account

    def _assignment(self, number: str, assignee: Person) -> tuple[str | None, datetime | None, str | None]:
        """Who made `assignee` the assignee, when, and by which audit event: of all changes, the newest."""
        page = table(self._door.call("GET", f"/tickets/{number}/audits?sort=-created_at&page[size]={AUDITS}"))
        audits = page.get("audits")
        if not isinstance(audits, list):
            raise AnswerUnusable(self.connection, "it holds no list of audits")
        changes = [
            ((moment(audit.get("created_at")) or _NEVER, place), audit, event)
            for place, audit in enumerate(reversed(tables(audits)))
            for event in tables(audit.get("events"))
            if event.get("type") in ("Change", "Create") and event.get("field_name") == "assignee_id"
        ]
        if not changes:
            return None, None, None
        _, audit, event = max(changes, key=lambda it: it[0])
        return _told(audit, event, assignee, self._settings.by_hand)


def _told(
    audit: Mapping[str, Any], event: Mapping[str, Any], assignee: Person, by_hand: Collection[str]
) -> tuple[str | None, datetime | None, str | None]:
    if exact(event.get("value")) != assignee.account:
        # Ticket and audit were read a moment apart: a pick by one must not be laid at another's door.
        return None, None, None
    at, change = moment(audit.get("created_at")), exact(event.get("id")) or exact(audit.get("id"))
    # What a trigger did stands under the person whose update set it off, with a channel of its own; what came by mail
    # or from a program says so, too. Only a hand at the agents' pages is a pick.
    channels = [table(it.get("via")).get("channel") for it in (audit, event) if it is audit or it.get("via")]
    own = all(channel in by_hand for channel in channels)
    return (exact(audit.get("author_id")) if own else None), at, change


def _of_event(payload: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    found = _SUBJECT.fullmatch(str(payload.get("subject")))
    actor = exact(table(payload.get("detail")).get("actor_id"))
    return str(payload.get("type")), found[1] if found else None, actor


def _of_trigger(payload: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    number = exact(payload.get("ticket_id"))
    return "trigger", number if _is_number(number) else None, exact(payload.get("actor_id"))


def _fields(raw: Mapping[str, Any]) -> dict[str, str]:
    named = {name: word(raw.get(name)) for name in ("status", "type", "priority", "ticket_form_id")}
    custom = {exact(one.get("id")): word(one.get("value")) for one in tables(raw.get("custom_fields"))}
    tags = [word(tag) for tag in raw.get("tags") or []] if isinstance(raw.get("tags"), list) else []
    named["tags"] = " ".join(tag for tag in tags if tag) or None
    return {name: value for name, value in (named | custom).items() if name and value}


def _cut(text: str) -> str:
    """The last line holds the marker, and stays."""
    rest, _, last = text.rpartition("\n")
    room = LONGEST_NOTE - len(last.encode()) - 1
    whole = len(text.encode()) <= LONGEST_NOTE or room <= 0
    return text if whole else f"{rest.encode()[:room].decode(errors='ignore')}\n{last}"


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None
