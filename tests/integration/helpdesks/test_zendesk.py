"""What is Zendesk's own: its signature with its traps, its audits, and which of its people can work."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from integration.helpdesks import connect
from integration.helpdesks.http import AnswerUnusable
from integration.helpdesks.zendesk import Zendesk
from integration.helpdesks.zendesk_settings import ZendeskSettings
from integration.tickets import (
    DeliveryUnreadable,
    HelpdeskRefused,
    Presser,
    ProvesPresser,
    SignatureRefused,
    Status,
    TicketGone,
)
from tests.integration.helpdesks.conftest import SmallHelpdesk

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SECRET = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA="
TECHNICIAN, SERVICE = 360000000002, 360000000001
TICKET: dict[str, Any] = {
    "id": 4821,
    "subject": "Cannot sign in",
    "status": "open",
    "assignee_id": TECHNICIAN,
    "requester_id": 360000000009,
    "submitter_id": SERVICE,
    "custom_fields": [{"id": 9001, "value": "password_reset"}],
}
AGENT: dict[str, Any] = {
    "id": TECHNICIAN,
    "name": "Technician",
    "email": "technician@example.com",
    "role": "agent",
    "active": True,
    "suspended": False,
}


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "zendesk",
        "url": "https://example.zendesk.com",
        "client_id": "elevate",
        "client_secret": "canary-client-secret",
        "service_account": str(SERVICE),
        "category_field": "9001",
        "secrets": {"first": SECRET},
        **changes,
    }


def sent(
    body: bytes, at: str = "2026-11-24T10:00:00Z", *, secret: str = SECRET, body_first: bool = False
) -> dict[str, str]:
    signed = body + at.encode() if body_first else at.encode() + body
    mac = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return {
        "x-zendesk-webhook-signature": base64.b64encode(mac).decode(),
        "x-zendesk-webhook-signature-timestamp": at,
        "x-zendesk-webhook-invocation-id": "01HZXYZ",
    }


@pytest.fixture
def zendesk(helpdesk: SmallHelpdesk) -> Zendesk:
    """One that is told of a ticket, its audits and its people by `helpdesk`."""
    helpdesk.answer("/oauth/tokens", 200, {"access_token": "t0ken", "token_type": "bearer", "expires_in": 1800})
    found = connect("zd", settings(url=helpdesk.url))
    assert isinstance(found, Zendesk)
    return found


def tells(helpdesk: SmallHelpdesk, *audits: Any, agent: Any = AGENT, **ticket: Any) -> None:
    helpdesk.answer("/api/v2/tickets/4821", 200, {"ticket": {**TICKET, **ticket}, "users": [agent]})
    helpdesk.answer("/api/v2/tickets/4821/audits", 200, {"audits": list(audits)})


def audit(author: Any, *events: Any, **more: Any) -> dict[str, Any]:
    told = {"id": 7, "author_id": author, "created_at": "2026-11-24T09:59:00Z", "via": {"channel": "web"}}
    return {**told, "events": list(events), **more}


def change(to: Any, **more: Any) -> dict[str, Any]:
    return {"id": 70, "type": "Change", "field_name": "assignee_id", "previous_value": None, "value": to, **more}


# Signatures


def test_the_time_is_signed_before_the_body_and_never_after_it() -> None:
    """An old sample of Zendesk's signs them the other way round. Source: its documentation, recomputed."""
    desk, body = connect("zd", settings()), b'{"say": "hello"}'
    at, when = "2021-07-25T10:00:00Z", datetime(2021, 7, 25, 10, 0, tzinfo=UTC)
    assert sent(body, at)["x-zendesk-webhook-signature"] == "Rry/4TtIdFyawtXXp8QdI6tlAUUQ/5kL1OTp5qo/ZIk="
    wrong = sent(body, at, body_first=True)
    assert wrong["x-zendesk-webhook-signature"] == "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw="
    with pytest.raises(SignatureRefused):
        desk.read_delivery(wrong, body, now=when)
    with pytest.raises(DeliveryUnreadable):
        desk.read_delivery(sent(body, at), body, now=when)


@pytest.mark.parametrize(
    "secret", ["dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", "this_secret_is_for_testing_only", "short", ""]
)
def test_a_secret_that_everybody_knows_or_can_guess_is_none(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        connect("zd", settings(secrets={"first": secret}))


@pytest.mark.parametrize(
    ("at", "taken"),
    [
        ("2026-11-24T09:46:00Z", True),
        ("2026-11-24T10:14:00Z", True),
        ("2026-11-24T09:44:00Z", False),
        ("2026-11-24T10:16:00Z", False),
        ("2026-11-24T10:00:00", False),
        ("now", False),
        ("", False),
    ],
)
def test_a_call_is_as_old_as_its_signed_time_says(at: str, taken: bool) -> None:
    body = b'{"ticket_id": "4821"}'
    if taken:
        assert connect("zd", settings()).read_delivery(sent(body, at), body, now=NOW).ticket == "4821"
        return
    with pytest.raises(SignatureRefused):
        connect("zd", settings()).read_delivery(sent(body, at), body, now=NOW)


def test_no_secret_is_in_what_a_wrong_setting_says() -> None:
    with pytest.raises(ValueError) as wrong:  # noqa: PT011  whichever it is: it must not tell
        connect("zd", settings(url="https://user:canary-client-secret@x.zendesk.com/x", service_account="x"))
    assert "canary" not in str(wrong.value)
    with pytest.raises(ValidationError):
        ZendeskSettings.model_validate({})


# Events


@pytest.mark.parametrize(
    ("kind", "idle"),
    [
        ("agent_assignment_changed", False),
        ("custom_field_changed", False),
        ("soft_deleted", False),
        ("unheard_of", False),
        ("comment_added", True),
    ],
)
def test_only_what_can_start_or_end_something_is_worked_on(kind: str, idle: bool) -> None:
    event = {
        "type": f"zen:event-type:ticket.{kind}",
        "subject": "zen:ticket:4821",
        "zendesk_event_version": "2022-11-06",
        "detail": {"id": "4821", "actor_id": str(TECHNICIAN)},
    }
    body = json.dumps(event).encode()
    assert connect("zd", settings()).read_delivery(sent(body), body, now=NOW).idle is idle


def test_what_a_trigger_does_in_our_name_is_looked_at() -> None:
    """Our note sets a trigger off, and that solves the ticket: its event names us."""
    event = {
        "type": "zen:event-type:ticket.status_changed",
        "subject": "zen:ticket:4821",
        "zendesk_event_version": "2022-11-06",
        "detail": {"actor_id": str(SERVICE)},
    }
    body = json.dumps(event).encode()
    assert not connect("zd", settings()).read_delivery(sent(body), body, now=NOW).idle


def test_what_we_did_ourselves_starts_nothing_where_a_trigger_tells_it() -> None:
    body = json.dumps({"ticket_id": 4821, "actor_id": SERVICE}).encode()
    assert connect("zd", settings()).read_delivery(sent(body), body, now=NOW).idle


# Audits


def test_the_newest_change_of_the_assignee_says_who_picked(zendesk: Zendesk, helpdesk: SmallHelpdesk) -> None:
    told = audit(TECHNICIAN, {"type": "Change", "field_name": "status", "value": "open"}, change(str(TECHNICIAN)))
    tells(helpdesk, audit(SERVICE, {"type": "Comment"}), told, audit(1, change("5")))
    ticket = zendesk.ticket("4821", now=NOW)
    assert (ticket.assigned_by, ticket.change) == (str(TECHNICIAN), "70")
    assert ticket.assigned_at == NOW - timedelta(minutes=1)


def test_a_channel_that_was_added_is_a_hand_too(helpdesk: SmallHelpdesk) -> None:
    helpdesk.answer("/oauth/tokens", 200, {"access_token": "t0ken"})
    desk = connect("zd", settings(url=helpdesk.url, by_hand=["web", "mobile"]))
    tells(helpdesk, audit(TECHNICIAN, change(str(TECHNICIAN)), via={"channel": "mobile"}))
    assert desk.ticket("4821", now=NOW).assigned_by == str(TECHNICIAN)


def test_the_newest_change_counts_in_whatever_order_they_come(zendesk: Zendesk, helpdesk: SmallHelpdesk) -> None:
    own = audit(TECHNICIAN, change(str(TECHNICIAN)), created_at="2026-11-24T09:00:00Z")
    later = audit(360000000003, change(str(TECHNICIAN), id=71))
    for order in ((own, later), (later, own)):
        helpdesk.instead.clear()
        helpdesk.answer("/oauth/tokens", 200, {"access_token": "t0ken"})
        tells(helpdesk, *order)
        ticket = zendesk.ticket("4821", now=NOW)
        assert (ticket.assigned_by, ticket.change) == ("360000000003", "71")


def test_a_note_that_is_too_long_keeps_its_last_line(zendesk: Zendesk, helpdesk: SmallHelpdesk) -> None:
    helpdesk.answer("/api/v2/tickets/4821", 200, {})
    zendesk.write_note("4821", "ü" * 40_000 + "\n[te:01:ACTIVE]")
    text = json.loads(helpdesk.sent[-1])["ticket"]["comment"]["body"]
    assert text.endswith("ü\n[te:01:ACTIVE]")
    assert len(text.encode()) <= 60_000


RULE = {"channel": "rule", "source": {"from": {"id": 1, "title": "Assign"}, "rel": "trigger", "to": {}}}


@pytest.mark.parametrize(
    "told",
    [
        audit(TECHNICIAN, change(str(TECHNICIAN), via=RULE)),
        audit(TECHNICIAN, change(str(TECHNICIAN)), via=RULE),
        audit(TECHNICIAN, change(str(TECHNICIAN)), via={"channel": "email"}),
        audit(TECHNICIAN, change(str(TECHNICIAN)), via={"channel": "api"}),
        audit(TECHNICIAN, change(str(TECHNICIAN)), via={"channel": "omnichannel"}),
        audit(TECHNICIAN, change(str(TECHNICIAN)), via={"channel": ["web"]}),
        audit(TECHNICIAN, change(str(TECHNICIAN)), via=None),
        audit(TECHNICIAN, change(str(TECHNICIAN), via={"channel": "system"})),
        audit(TECHNICIAN, change("360000000003")),
        audit(TECHNICIAN, change(None)),
        audit(None, change(str(TECHNICIAN))),
        audit({"id": TECHNICIAN}, change(str(TECHNICIAN))),
        audit(TECHNICIAN, {"type": "Notification", "field_name": "assignee_id", "value": str(TECHNICIAN)}),
    ],
)
def test_what_is_not_told_for_sure_is_nobodys_pick(zendesk: Zendesk, helpdesk: SmallHelpdesk, told: Any) -> None:
    tells(helpdesk, told)
    assert zendesk.ticket("4821", now=NOW).assigned_by is None


@pytest.mark.parametrize(
    "agent",
    [
        {**AGENT, "role": "end-user"},
        {**AGENT, "active": False},
        {**AGENT, "suspended": True},
        {**AGENT, "email": None},
        {**AGENT, "id": 5},
        {"id": TECHNICIAN},
    ],
)
def test_who_cannot_work_has_no_address_to_be_linked_by(zendesk: Zendesk, helpdesk: SmallHelpdesk, agent: Any) -> None:
    tells(helpdesk, audit(TECHNICIAN, change(str(TECHNICIAN))), agent=agent)
    found = zendesk.ticket("4821", now=NOW).assignee
    assert found is not None
    assert (found.account, found.address) == (str(TECHNICIAN), None)


# Tickets


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("new", Status.OPEN),
        ("hold", Status.ON_HOLD),
        ("closed", Status.SOLVED),
        ("archived", Status.ON_HOLD),
        (None, Status.ON_HOLD),
    ],
)
def test_a_status_that_is_not_known_starts_nothing(
    zendesk: Zendesk, helpdesk: SmallHelpdesk, word: str | None, status: Status
) -> None:
    tells(helpdesk, status=word)
    assert zendesk.ticket("4821", now=NOW).status is status


def test_a_deleted_ticket_is_gone_and_another_one_is_not_taken_for_it(
    zendesk: Zendesk, helpdesk: SmallHelpdesk
) -> None:
    tells(helpdesk, status="deleted")
    with pytest.raises(TicketGone):
        zendesk.ticket("4821", now=NOW)
    helpdesk.answer("/api/v2/tickets/4822", 200, {"ticket": TICKET})
    with pytest.raises(AnswerUnusable):
        zendesk.ticket("4822", now=NOW)


# Tokens


def test_a_token_is_asked_for_once_and_again_when_it_is_refused(helpdesk: SmallHelpdesk) -> None:
    for token in ("first", "second"):
        helpdesk.answer("/oauth/tokens", 200, {"access_token": token, "expires_in": 1800})
    desk = connect("zd", settings(url=helpdesk.url))
    tells(helpdesk)
    desk.ticket("4821", now=NOW)
    desk.ticket("4821", now=NOW)
    assert [path for _, path in helpdesk.calls].count("/oauth/tokens") == 1
    helpdesk.instead["/api/v2/tickets/4821"].insert(0, lambda: (401, {}, [b"{}"]))
    desk.ticket("4821", now=NOW)
    assert [path for _, path in helpdesk.calls].count("/oauth/tokens") == 2


def test_a_token_that_is_never_taken_is_asked_for_twice_and_no_more(zendesk: Zendesk, helpdesk: SmallHelpdesk) -> None:
    helpdesk.answer("/api/v2/tickets/4821", 401, {})
    with pytest.raises(HelpdeskRefused):
        zendesk.ticket("4821", now=NOW)
    assert [path for _, path in helpdesk.calls].count("/oauth/tokens") == 2


@pytest.mark.parametrize(
    "answer", [{}, [], {"access_token": 7}, {"access_token": "x\r\ny: z"}, {"access_token": ""}, None]
)
def test_a_token_that_is_none_is_one_of_our_errors(helpdesk: SmallHelpdesk, answer: Any) -> None:
    helpdesk.answer("/oauth/tokens", 200, answer)
    with pytest.raises(AnswerUnusable):
        connect("zd", settings(url=helpdesk.url)).ticket("4821", now=NOW)


# Changes


SEARCH = "/api/v2/search"


def results(*rows: Any, more: bool = False, page: int = 1) -> dict[str, Any]:
    onward = f"https://example.zendesk.com/api/v2/search.json?page={page + 1}" if more else None
    return {"results": list(rows), "count": 5000 if more else len(rows), "next_page": onward, "facets": None}


def asked(helpdesk: SmallHelpdesk) -> dict[str, str]:
    method, path = helpdesk.calls[-1]
    assert method == "GET"
    assert urlsplit(path).path == SEARCH
    return dict(parse_qsl(urlsplit(path).query))


@pytest.mark.parametrize("hours", [0, -5, 14])
def test_the_search_is_asked_for_whole_seconds_of_utc(zendesk: Zendesk, helpdesk: SmallHelpdesk, hours: int) -> None:
    """Never later than `since`; and the plus sign must arrive as one, or Zendesk takes the time for none."""
    helpdesk.answer(SEARCH, 200, results())
    since = (NOW - timedelta(hours=1, microseconds=1)).astimezone(timezone(timedelta(hours=hours)))
    zendesk.changed_since(since, now=NOW)
    assert asked(helpdesk) == {
        "query": "type:ticket updated>=2026-11-24T08:59:59+00:00",
        "sort_by": "updated_at",
        "sort_order": "asc",
        "per_page": "100",
        "page": "1",
    }


def test_a_further_page_costs_one_call(zendesk: Zendesk, helpdesk: SmallHelpdesk) -> None:
    helpdesk.answer(SEARCH, 200, results({"id": 2, "updated_at": "2026-11-24T09:50:00Z"}, more=True, page=7))
    told = zendesk.changed_since(NOW - timedelta(hours=1), page=7, now=NOW)
    assert ([it.number for it in told.tickets], told.more) == (["2"], True)
    assert asked(helpdesk)["page"] == "7"
    assert [path.partition("?")[0] for _, path in helpdesk.calls].count(SEARCH) == 1


@pytest.mark.parametrize(("page", "second", "onward"), [(10, "00", "10"), (11, "01", "1"), (12, "01", "2")])
def test_what_changed_after_a_thousand_of_one_second_is_found(
    zendesk: Zendesk, helpdesk: SmallHelpdesk, page: int, second: str, onward: str
) -> None:
    """The search refuses the eleventh page, to which it links; who polls must not ask for that for ever."""
    helpdesk.answer(SEARCH, 200, results())
    zendesk.changed_since(NOW, page=page, now=NOW)
    assert asked(helpdesk)["query"].endswith(f"updated>=2026-11-24T10:00:{second}+00:00")
    assert asked(helpdesk)["page"] == onward


def test_what_is_found_and_is_no_ticket_is_left_out(zendesk: Zendesk, helpdesk: SmallHelpdesk) -> None:
    kinds = ("user", "organization", "ticket")
    rows = [{"id": at, "updated_at": "2026-11-24T09:50:00Z", "result_type": it} for at, it in enumerate(kinds, 1)]
    helpdesk.answer(SEARCH, 200, results(*rows))
    assert [it.number for it in zendesk.changed_since(NOW - timedelta(hours=1), now=NOW).tickets] == ["3"]


# What doctor says of our account


STAFF, SEES, TELLS, MODEST = (
    "our account is staff",
    "our account may see all tickets",
    "zd lets us ask what changed",
    "our account is no administrator",
)


def found(zendesk: Zendesk, helpdesk: SmallHelpdesk, **changes: Any) -> dict[str, bool]:
    me = {**AGENT, "id": SERVICE, "ticket_restriction": None, **changes}
    helpdesk.answer("/api/v2/users/me", 200, {"user": me})
    findings = zendesk.check()
    assert all(it.ok or it.fix for it in findings)
    return {it.what: it.ok for it in findings}


def test_an_agent_who_sees_all_tickets_is_enough(zendesk: Zendesk, helpdesk: SmallHelpdesk) -> None:
    helpdesk.answer(SEARCH, 200, results())
    assert all(found(zendesk, helpdesk).values())


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [({"role": "admin"}, MODEST), ({"ticket_restriction": "groups"}, SEES), ({"role": "end-user"}, STAFF)],
)
def test_an_account_that_may_too_much_or_too_little_is_told(
    zendesk: Zendesk, helpdesk: SmallHelpdesk, changes: dict[str, Any], wrong: str
) -> None:
    helpdesk.answer(SEARCH, 200, results())
    assert [what for what, ok in found(zendesk, helpdesk, **changes).items() if not ok] == [wrong]


@pytest.mark.parametrize("status", [403, 422, 503])
def test_a_search_that_does_not_answer_is_told(zendesk: Zendesk, helpdesk: SmallHelpdesk, status: int) -> None:
    helpdesk.answer(SEARCH, status, {})
    assert [what for what, ok in found(zendesk, helpdesk).items() if not ok] == [TELLS]


def test_an_administrator_may_be_connected_and_is_told_to_become_an_agent(
    zendesk: Zendesk, helpdesk: SmallHelpdesk
) -> None:
    helpdesk.answer(SEARCH, 200, results())
    helpdesk.answer("/api/v2/users/me", 200, {"user": {**AGENT, "id": SERVICE, "role": "admin"}})
    assert [it.what for it in zendesk.check() if not it.ok and zendesk.setup().is_left(it)] == [MODEST]


# The app


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
APP = {
    "app_public_key": KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "app_installation": "42",
}
CLAIMS: dict[str, Any] = {
    "iss": "example.zendesk.com",
    "aud": "https://example.zendesk.com/api/v2/apps/installations/42.json",
    "sub": f"https://example.zendesk.com/api/v2/users/{TECHNICIAN}.json",
    "iat": int(NOW.timestamp()),
    "nbf": int(NOW.timestamp()),
    "exp": int((NOW + timedelta(minutes=5)).timestamp()),
    "context": {"product": "support", "location": "ticket_sidebar"},
}


def looks(claims: dict[str, Any], *, now: datetime = NOW, key: Any = KEY, **changes: Any) -> Presser:
    adapter = connect("zendesk", settings(**{**APP, **changes}))
    assert isinstance(adapter, ProvesPresser)
    return adapter.presser({}, {"token": jwt.encode(claims, key, algorithm="RS256")}, now=now)


def test_a_signed_frame_names_the_agent_and_no_ticket() -> None:
    assert looks(CLAIMS) == Presser(str(TECHNICIAN), None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "https://example.zendesk.com/api/v2/apps/installations/43.json"},
        {"aud": "https://other.zendesk.com/api/v2/apps/installations/42.json"},
        {"sub": "https://other.zendesk.com/api/v2/users/7.json"},
        {"sub": "7"},
        {"sub": "https://example.zendesk.com/api/v2/users/7.json/../8.json"},
        {"exp": int((NOW - timedelta(minutes=3)).timestamp())},
        {"nbf": int((NOW + timedelta(minutes=3)).timestamp())},
        {"exp": 10**30},
    ],
)
def test_a_frame_signed_for_something_else_proves_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(SignatureRefused):
        looks({**CLAIMS, **wrong})


@pytest.mark.parametrize("missing", ["aud", "sub", "exp"])
def test_a_frame_must_say_all_of_it(missing: str) -> None:
    with pytest.raises(SignatureRefused):
        looks({name: value for name, value in CLAIMS.items() if name != missing})


def test_a_frame_signed_by_another_app_proves_nothing() -> None:
    with pytest.raises(SignatureRefused):
        looks(CLAIMS, key=rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "[" * 20_000, "\u00fc.\u00fc.\u00fc"])
def test_a_token_that_is_none_proves_nothing(token: str) -> None:
    adapter = connect("zendesk", settings(**APP))
    assert isinstance(adapter, ProvesPresser)
    with pytest.raises(SignatureRefused):
        adapter.presser({}, {"token": token}, now=NOW)
    nested = base64.urlsafe_b64encode(b"[" * 20_000).decode().rstrip("=")
    with pytest.raises(SignatureRefused):
        adapter.presser({}, {"token": f"{nested}.e30.e30"}, now=NOW)


def test_without_a_key_no_frame_is_proven() -> None:
    with pytest.raises(SignatureRefused):
        looks(CLAIMS, app_public_key=None, app_installation=None)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ({"app_installation": None}, "together"),
        ({"app_public_key": None}, "together"),
        ({"app_public_key": "-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----"}, "RSA key"),
        ({"app_public_key": "canary"}, "RSA key"),
    ],
)
def test_half_an_app_is_refused(app: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        connect("zendesk", settings(**{**APP, **app}))
