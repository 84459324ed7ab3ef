"""What Jira calls us with: the admin webhook, whose body is signed, and rules of Jira Automation, which sign nothing.

Wire facts: developer.atlassian.com/cloud/jira/platform/webhooks/. The id of a delivery stands in an unsigned header;
it only tells repeats. The signed body holds the time.
"""

import hmac
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from integration.helpdesks import static_header
from integration.helpdesks.hostile_json import delivery_object
from integration.helpdesks.keys import fitting
from integration.helpdesks.values import exact, made_id, moment, table, word
from integration.tickets import DeliveryUnreadable, SignatureRefused, TicketEvent, clean

OLDEST = timedelta(hours=2)  # five more tries, up to 15 minutes apart, and bulk changes are sent 15 minutes late
AHEAD = timedelta(minutes=15)
AUTOMATION = "x-ticket-elevate-secret"
KEY = re.compile(r"[A-Z][A-Z0-9_]{1,31}-[1-9][0-9]{0,18}")
# After all other events nothing starts or ends.
TELLING = frozenset({"jira:issue_created", "jira:issue_updated", "jira:issue_deleted"})
_TOLD_OF_COMMENTS = frozenset({"issue_commented", "issue_comment_edited", "issue_comment_deleted"})
_METHODS = frozenset({"sha256"})  # Atlassian says that others may come: they are refused until we know them
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def of_webhook(
    connection: str,
    keys: Mapping[str, bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    telling: Collection[str],
    now: datetime,
) -> TicketEvent:
    """A call of the admin webhook. `telling`: the fields that rules look at; a change of none of them is idle."""
    secret = _signed_with(keys, headers.get("x-hub-signature", ""), body)
    payload = delivery_object(body)
    at = _time(payload.get("timestamp"))
    if at is None or not now - OLDEST <= at <= now + AHEAD:
        raise SignatureRefused
    number = exact(table(payload.get("issue")).get("key"))
    if number is None or not KEY.fullmatch(number):
        raise DeliveryUnreadable(
            "This call is signed, but it does not say which issue it is about. Choose the webhook's events of issues "
            "alone, and leave `Exclude body` off."
        )
    event, told = payload.get("webhookEvent"), payload.get("issue_event_type_name")
    given = headers.get("x-atlassian-webhook-identifier", "")
    return TicketEvent(
        delivery_id=given if _ID.fullmatch(given) else made_id(connection, body),
        ticket=number,
        kind=clean(f"{word(event) or 'unnamed'} {word(told) or ''}", limit=64),
        secret=secret,
        idle=word(event) not in TELLING or _nothing_changed(payload, telling),
    )


def of_automation(
    connection: str, ours: str, keys: Mapping[str, bytes], headers: Mapping[str, str], body: bytes
) -> TicketEvent:
    """A web request of an automation rule. What it says is a hint alone, as anything is here."""
    secret = static_header.verify(keys, headers.get(AUTOMATION, ""))
    payload = delivery_object(body)
    number, at = exact(payload.get("issue")), word(payload.get("at"))
    # Without a time, each call about a ticket would look like a repeat of the first.
    if number is None or not KEY.fullmatch(number) or not at:
        raise DeliveryUnreadable(
            "This call holds a secret of ours, but not which issue it is about, and when. The rule's custom data must "
            'be {"issue": "{{issue.key}}", "actor": "{{initiator.accountId}}", "at": "{{now}}"}.'
        )
    return TicketEvent(
        delivery_id=made_id(connection, "automation", body),
        ticket=number,
        kind="automation",
        secret=secret,
        idle=exact(payload.get("actor")) == ours,
    )


def _signed_with(keys: Mapping[str, bytes], given: str, body: bytes) -> str:
    method, _, digest = given.partition("=")
    if method not in _METHODS or not re.fullmatch(r"[0-9a-f]+", digest):
        raise SignatureRefused
    return fitting(keys, lambda key: hmac.compare_digest(hmac.new(key, body, method).hexdigest(), digest))


def _time(milliseconds: Any) -> datetime | None:
    whole = isinstance(milliseconds, int) and not isinstance(milliseconds, bool)
    return moment(milliseconds / 1000) if whole else None


def _nothing_changed(payload: Mapping[str, Any], telling: Collection[str]) -> bool:
    """Whether an update says itself that none of the `telling` fields changed. One that says nothing does not.

    Whose update it is does not matter: a rule that our note set off may act in our name.
    """
    if payload.get("webhookEvent") != "jira:issue_updated":
        return False
    items = table(payload.get("changelog")).get("items")
    if not items:
        return word(payload.get("issue_event_type_name")) in _TOLD_OF_COMMENTS
    if not isinstance(items, list):
        return False
    named = [exact(table(item).get("fieldId") or table(item).get("field")) for item in items]
    return all(named) and set(named).isdisjoint(telling)
