"""Jira Service Management on Atlassian's cloud, over its REST APIs, told of changes by the admin webhook.

Wire facts: developer.atlassian.com/cloud/jira: "Webhooks", "Issues" (`expand=changelog`, "Get changelogs"), "Issue
search", "Issue comments", "Rate limiting", and the service desk API's "Request comments". Who picked a ticket is only
believed from the issue's history. What an app or a rule assigned is nobody's pick, and neither is an assignment that
came with a change of status, since a workflow's own function may have made it.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from integration.helpdesks import jira_deliveries, jira_markup
from integration.helpdesks.changes import changes_since
from integration.helpdesks.credentials import plain_keys
from integration.helpdesks.http import NOT_THERE, AnswerUnusable, Door
from integration.helpdesks.jira_panel import ForgeTokens
from integration.helpdesks.jira_settings import JiraSettings
from integration.helpdesks.jira_setup import JiraSetup
from integration.helpdesks.values import exact, moment, table, tables, word
from integration.tickets import (
    Changes,
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

MOST_PAGES = 60  # of comments, a hundred each; an issue is said to hold 5,000
PAGE = 100
MOST_LISTS = 20  # calls of one look for changes
MARGIN = timedelta(minutes=10)  # more than was asked for, since it is Jira's clock that counts back
NEWEST = 90  # of a long history; ten fewer than a page holds, for what comes in while we read
_ALWAYS = ("summary", "status", "assignee", "project", "priority", "issuetype")
_ACCOUNT = re.compile(r"[0-9A-Za-z:_-]{1,128}")
_NOBODY_KNOWN = "unknown"  # the account id that Jira gives to everybody whose record is broken
_CATEGORIES = {"new": Status.OPEN, "indeterminate": Status.OPEN, "done": Status.SOLVED}


class Jira:
    """One Jira site; satisfies Helpdesk and ProvesPresser of integration.tickets. A person's `account` is its id."""

    Settings = JiraSettings
    Setup = JiraSetup

    def __init__(self, connection: str, settings: JiraSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._keys = {name: secret.get_secret_value().encode() for name, secret in settings.secrets.items()}
        rules = settings.automation_secrets
        self._rule_keys = plain_keys(rules) if rules else {}
        token = settings.token.get_secret_value()
        basic = base64.b64encode(f"{settings.email}:{token}".encode()).decode()
        self._door = Door(
            connection,
            settings.api,
            headers={"Authorization": f"Basic {basic}" if settings.email else f"Bearer {token}"},
        )
        self._panel: ForgeTokens | None = None
        if settings.panel_app and settings.cloud:
            self._panel = ForgeTokens(
                connection, app=settings.panel_app, cloud=settings.cloud, keys_url=settings.panel_keys_url
            )
        asked = dict.fromkeys((*_ALWAYS, settings.category_field, *settings.requester_fields, *settings.fields))
        self._telling = frozenset({"assignee", "status", "summary", *asked})
        self._asked = urlencode({"fields": ",".join((*asked, "updated")), "expand": "changelog"})

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def service_account(self) -> str:
        return self._settings.service_account

    def read_delivery(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> TicketEvent:
        if "x-hub-signature" in headers:
            return jira_deliveries.of_webhook(
                self.connection, self._keys, headers, body, telling=self._telling, now=now
            )
        if not self._rule_keys:
            raise SignatureRefused
        return jira_deliveries.of_automation(self.connection, self.service_account, self._rule_keys, headers, body)

    def presser(self, headers: Mapping[str, str], form: Mapping[str, str], *, now: datetime) -> Presser:  # noqa: ARG002
        if self._panel is None:
            raise SignatureRefused("settings")
        return self._panel.presser(headers, now=now)

    def ticket(self, number: str, *, revision: str | None = None, now: datetime) -> Ticket:  # noqa: ARG002
        self._known(number)
        raw = table(self._door.call("GET", f"/rest/api/3/issue/{number}?{self._asked}", number=number))
        key = exact(raw.get("key"))
        if key != number:
            if _is_key(key):
                raise TicketGone(self.connection, number)  # moved to another project: it has another number now
            raise AnswerUnusable(self.connection, "it is no issue")
        fields = table(raw.get("fields"))
        assignee = self._assignee(fields.get("assignee"))
        by, at, change = self._assignment(number, raw, assignee) if assignee else (None, None, None)
        return Ticket(
            connection=self.connection,
            number=number,
            subject=word(fields.get("summary")) or "",
            status=self._status(fields),
            read_at=now,
            category=self._category(fields),
            queue=word(table(fields.get("project")).get("key")),
            assignee=assignee,
            assigned_by=by if self._settings.rules_act_as_themselves else None,
            assigned_at=at,
            change=change,
            updated_at=moment(fields.get("updated")),
            requesters=self._requesters(fields),
            fields=self._told(fields),
        )

    def ticket_url(self, number: str) -> str:
        self._known(number)
        return f"{self._settings.url}/browse/{number}"

    def open_tickets(self, account: str, *, limit: int) -> Sequence[ListedTicket]:
        if not _ACCOUNT.fullmatch(account):
            return ()  # nothing that could end the text within the query
        query = {
            "jql": f'assignee = "{account}" AND statusCategory != Done ORDER BY updated DESC',
            "fields": "summary,status,assignee",
            "maxResults": str(min(max(limit, 1), PAGE)),
        }
        found = table(self._door.call("GET", f"/rest/api/3/search/jql?{urlencode(query)}"))
        rows = [(exact(row.get("key")), table(row.get("fields"))) for row in tables(found.get("issues"))]
        mine = [
            ListedTicket(key, word(fields.get("summary")) or "")
            for key, fields in rows
            if key is not None
            and _is_key(key)
            and exact(table(fields.get("assignee")).get("accountId")) == account
            and self._status(fields) is not Status.SOLVED
        ]
        return tuple(mine[:limit])

    def changed_since(self, since: datetime, *, page: int = 1, now: datetime) -> Changes:
        """Assigned or done tickets. One call, unless more changed since a little before `since` than one answer holds.

        No answer can be had without the one before it, so each look reads them from the first one on.
        """
        # A time in a query has no seconds and is one of our account's own time zone: so how many minutes ago.
        minutes = max(now + MARGIN - since, MARGIN) // timedelta(minutes=1) + 1
        query = {
            "jql": f"updated >= -{minutes}m AND (assignee IS NOT EMPTY OR statusCategory = Done) "
            "ORDER BY updated ASC, key ASC",
            "fields": "updated",
            "maxResults": str(PAGE),
        }
        lines: list[tuple[str | None, datetime | None]] = []
        more = True
        for _ in range(page * MOST_LISTS):
            found = table(self._door.call("GET", f"/rest/api/3/search/jql?{urlencode(query)}"))
            rows, onward = found.get("issues"), found.get("nextPageToken")
            if not isinstance(rows, list):
                raise AnswerUnusable(self.connection, "it holds no list of issues")
            more = isinstance(onward, str) and bool(onward) and bool(rows) and found.get("isLast") is not True
            told = ((exact(row.get("key")), table(row.get("fields")).get("updated")) for row in tables(rows))
            lines += [(key, moment(updated)) for key, updated in told if _is_key(key)]
            if not more or onward == query.get("nextPageToken"):
                break  # or it would tell us the same page again
            query["nextPageToken"] = str(onward)
        return changes_since(lines, since=since, now=now, more=more)

    def write_note(self, number: str, text: str) -> None:
        self._known(number)
        # The platform's own call shows a comment to the customer; only this one can be told not to.
        note = {"body": jira_markup.plain(text), "public": False}
        try:
            answer = self._door.call("POST", f"/rest/servicedeskapi/request/{number}/comment", number=number, json=note)
        except TicketGone:
            # An issue that is no request is not found there either. Reading it tells which it is.
            self._door.call("GET", f"/rest/api/3/issue/{number}?fields=summary", number=number)
            why = f"{number} takes no internal comment, since it is no request of a service project"
            raise AnswerUnusable(self.connection, why, status=404) from None
        if table(answer).get("public") is not False:
            why = f"it does not say that our comment on {number} is internal; look whether the customer sees it"
            raise AnswerUnusable(self.connection, why)

    def has_note(self, number: str, marker: str) -> bool:
        self._known(number)
        start, wanted = 0, marker.replace("\\", "")
        for _ in range(MOST_PAGES):
            query = f"orderBy=-created&startAt={start}&maxResults={PAGE}"
            page = table(self._door.call("GET", f"/rest/api/3/issue/{number}/comment?{query}", number=number))
            comments, total = page.get("comments"), page.get("total")
            if not isinstance(comments, list) or not isinstance(total, int):
                raise AnswerUnusable(self.connection, "it holds no list of comments")
            ours = (it for it in tables(comments) if _account(it.get("author")) == self.service_account)
            if any(wanted in jira_markup.words(it.get("body")).replace("\\", "") for it in ours):
                return True
            start += len(comments)
            if not comments or start >= total:
                return False
        raise AnswerUnusable(self.connection, f"its comments do not end after {MOST_PAGES} pages")

    def setup(self) -> JiraSetup:
        return JiraSetup(self._connection, self._door, self._settings)

    def check(self) -> Sequence[Finding]:
        reach, token = Finding(f"{self.connection} can be reached", True), f"{self.connection} takes our token"
        try:
            me = table(self._door.call("GET", "/rest/api/3/myself"))
        except NOT_THERE as error:
            return [Finding(reach.what, False, str(error))]
        except HelpdeskRefused:
            fix = (
                "Make a new token for our account, and set token. One with scopes is only taken at api_url = "
                "https://api.atlassian.com/ex/jira/CLOUD-ID; one without needs email."
            )
            return [reach, Finding(token, False, fix)]
        except HelpdeskError:
            fix = "Check url and api_url, and whether this machine may reach that address."
            return [Finding(reach.what, False, fix)]
        mine = exact(me.get("accountId")) == self.service_account
        fix = "Set service_account to the account id that the token was made for."
        return [
            reach,
            Finding(token, True),
            Finding(f"the token is that of {self.service_account}", mine, "" if mine else fix),
            *self._check_rights(),
            Finding(self._what_a_pick_does(), True),
            *self._check_panel(),
        ]

    def _check_panel(self) -> list[Finding]:
        if self._panel is None:
            return []
        fix = f"Let this machine reach {self._settings.panel_keys_url}: without it no press in the panel can be proven."
        found = self._panel.published()
        return [Finding("the keys can be read that the panel's tokens are signed with", found, "" if found else fix)]

    def _check_rights(self) -> list[Finding]:
        wanted = {
            "BROWSE_PROJECTS": (f"{self.connection} lets us read tickets", "Browse Projects"),
            "SERVICEDESK_AGENT": ("our account is an agent, who may write internal comments", "Service Project Agent"),
        }
        try:
            query = urlencode({"permissions": ",".join(wanted)})
            held = table(table(self._door.call("GET", f"/rest/api/3/mypermissions?{query}")).get("permissions"))
        except HelpdeskError as error:
            fix = f"{error} The token needs the scope read:jira-work."
            return [Finding(f"{self.connection} says what our account may do", False, fix)]
        found = []
        for key, (what, right) in wanted.items():
            may = table(held.get(key)).get("havePermission") is True
            fix = f"Give our account the permission {right} in the service projects, and its licence."
            found.append(Finding(what, may, "" if may else fix))
        return found

    def _what_a_pick_does(self) -> str:
        if self._settings.rules_act_as_themselves:
            return "a pick starts by itself, since rules_act_as_themselves is true"
        return "a pick gets the Elevate link alone, since rules_act_as_themselves is false"

    def _known(self, number: str) -> None:
        if not _is_key(number):
            raise TicketGone(self.connection, clean(number, limit=64))

    def _status(self, fields: Mapping[str, Any]) -> Status:
        status = table(fields.get("status"))
        by_category = _CATEGORIES.get(word(table(status.get("statusCategory")).get("key")) or "", Status.ON_HOLD)
        if by_category is Status.SOLVED:
            return by_category
        return self._settings.status_map.get(word(status.get("name")) or "", by_category)

    def _category(self, fields: Mapping[str, Any]) -> str | None:
        value = _value(fields.get(self._settings.category_field))
        return self._settings.categories.get(value, value) if value else None

    def _told(self, fields: Mapping[str, Any]) -> dict[str, str]:
        named = {"issuetype": "issuetype", "priority": "priority", **self._settings.fields}
        found = {name: _value(fields.get(field)) for field, name in {"status": "status", **named}.items()}
        return {name: value for name, value in found.items() if value}

    def _assignee(self, raw: Any) -> Person | None:
        """Whom the ticket is assigned to. Without an address where it may not be used: a link needs one."""
        if raw is None:
            return None
        one = self._person(raw)
        works = table(raw).get("active") is True and table(raw).get("accountType") == "atlassian"
        return one if works else Person(one.account, one.name)

    def _requesters(self, fields: Mapping[str, Any]) -> tuple[Person, ...]:
        people: dict[str, Person] = {}
        for field in self._settings.requester_fields:
            holders = fields.get(field)
            for holder in holders if isinstance(holders, list) else [holders]:
                if holder is not None:
                    person = self._person(holder)
                    people.setdefault(person.account, person)
        return tuple(people.values())

    def _person(self, raw: Any) -> Person:
        """A user. One whose id cannot be taken as it stands could pass for another, so it ends the reading."""
        one, account = table(raw), _account(raw)
        if account is None:
            raise AnswerUnusable(self.connection, "it holds an account id that is none")
        address = word(one.get("emailAddress")) or self._settings.addresses.get(account)
        return Person(account, word(one.get("displayName")) or "", address)

    def _assignment(
        self, number: str, raw: Mapping[str, Any], assignee: Person
    ) -> tuple[str | None, datetime | None, str | None]:
        """Who made `assignee` the assignee, when, and by which entry of the history: of all of them, the newest."""
        entries = []
        for entry in self._history(number, raw):
            items = [it for it in tables(entry.get("items")) if (it.get("fieldId") or it.get("field")) == "assignee"]
            at, change = moment(entry.get("created")), exact(entry.get("id"))
            if items and (at is None or change is None or not re.fullmatch(r"[0-9]{1,19}", change)):
                return None, None, None  # it could be the newest one
            if items and at and change:
                entries.append((at, int(change), entry, exact(items[-1].get("to"))))
        if not entries:
            return None, None, None  # since its creation, or since before all that was read
        at, _, entry, to = max(entries, key=lambda it: it[:2])
        if to != assignee.account:
            # Issue and history may be a moment apart: a pick by one must not be laid at another's door.
            return None, None, None
        return _by(entry), at, exact(entry.get("id"))

    def _history(self, number: str, raw: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The newest changes, in no particular order; none where newer ones could be missing."""
        log = table(raw.get("changelog"))
        entries, total = log.get("histories"), log.get("total")
        if not isinstance(entries, list) or not isinstance(total, int):
            raise AnswerUnusable(self.connection, "it holds no history")
        if len(entries) >= total and len(entries) < PAGE:
            return tables(entries)
        query = f"startAt={max(total - NEWEST, 0)}&maxResults={PAGE}"
        page = table(self._door.call("GET", f"/rest/api/3/issue/{number}/changelog?{query}", number=number))
        if not isinstance(page.get("values"), list):
            raise AnswerUnusable(self.connection, "it holds no history")
        return tables(page["values"]) if page.get("isLast") is True else []


def _by(entry: Mapping[str, Any]) -> str | None:
    """Whose own act an entry of the history is; None where it may be an app's, a rule's or a workflow's."""
    author, account = table(entry.get("author")), _account(entry.get("author"))
    with_status = any((it.get("fieldId") or it.get("field")) == "status" for it in tables(entry.get("items")))
    if author.get("accountType") != "atlassian" or account == _NOBODY_KNOWN or entry.get("historyMetadata"):
        return None
    return None if with_status else account


def _account(raw: Any) -> str | None:
    return exact(table(raw).get("accountId"))


def _value(raw: Any) -> str | None:
    """A field's value in words: of an option, of anything with a name, of the Request Type, or of a list of those."""
    if isinstance(raw, list):
        return ", ".join(one for one in map(_value, raw[:50]) if one) or None
    one = table(raw)
    for value in (table(one.get("requestType")).get("name"), one.get("value"), one.get("name")):
        if word(value):
            return word(value)
    return word(raw)


def _is_key(value: Any) -> bool:
    return isinstance(value, str) and jira_deliveries.KEY.fullmatch(value) is not None
