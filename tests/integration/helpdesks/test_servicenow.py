"""What is special to ServiceNow: its audit alone tells no pick, it hides without a word, and our own script signs.

The contract that all adapters keep is in tests/helpdesks.
"""

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pydantic import ValidationError

import integration.helpdesks
from integration.helpdesks import standard_webhooks
from integration.helpdesks.http import AnswerUnusable
from integration.helpdesks.servicenow import LONGEST_NOTE, ServiceNow
from integration.helpdesks.servicenow_settings import ServiceNowSettings
from integration.tickets import (
    DeliveryUnreadable,
    HelpdeskRefused,
    HelpdeskUnavailable,
    SignatureRefused,
    Status,
    TellsChanges,
    TicketGone,
)
from tests.conftest import practice_runs
from tests.end_to_end.receiver import Receiver
from tests.helpdesks.doubles import Double
from tests.integration.helpdesks.conftest import SECRET, SmallHelpdesk

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NUMBER, TICKET = "INC0004821", "f" * 32
TECHNICIAN, COLLEAGUE, REQUESTER, SERVICE, CHANGE = ("1" * 32, "2" * 32, "3" * 32, "7" * 32, "c" * 32)
PASSWORD = "canary-password-71c0"
OWN_HANDS = f"{TECHNICIAN}:{TECHNICIAN}:{CHANGE}"
EVENT = {
    "event": "assigned",
    "table": "incident",
    "sys_id": TICKET,
    "number": NUMBER,
    "sys_mod_count": "4",
    "actor": TECHNICIAN,
}
AUDIT = {
    "sys_id": "a" * 32,
    "documentkey": TICKET,
    "fieldname": "assigned_to",
    "user": "technician",
    "newvalue": TECHNICIAN,
    "sys_created_on": "2026-11-24 09:59:58",
}
APP = Path(integration.helpdesks.__file__).parent / "servicenow_app"

Connect = Callable[..., ServiceNow]
Tell = Callable[..., None]


# Who picked


def test_a_pick_is_believed_when_our_rule_the_audit_and_the_ticket_agree(servicenow: ServiceNow, tell: Tell) -> None:
    tell()
    ticket = servicenow.ticket(NUMBER, now=NOW)
    assert (ticket.assigned_by, ticket.change) == (TECHNICIAN, CHANGE)
    assert ticket.assigned_at == datetime(2026, 11, 24, 9, 59, 58, tzinfo=UTC)


@pytest.mark.parametrize("pick", ["", "1", f"{COLLEAGUE}:{COLLEAGUE}:{CHANGE}", f"{OWN_HANDS} ", None])
def test_the_audit_alone_is_no_proof_since_rules_run_in_the_technicians_session(
    servicenow: ServiceNow, tell: Tell, pick: str | None
) -> None:
    tell(u_elevate_pick=pick)
    ticket = servicenow.ticket(NUMBER, now=NOW)
    assert ticket.assignee is not None
    assert ticket.assigned_by is None


@pytest.mark.parametrize(
    "audits",
    [
        [],  # no role audit_viewer, or a column that is not audited
        [AUDIT | {"user": "system"}],
        [AUDIT | {"user": "Technician"}],
        [AUDIT | {"newvalue": COLLEAGUE}],
        [AUDIT | {"documentkey": "e" * 32}],  # a query that was ignored
        [AUDIT | {"fieldname": "assignment_group"}],
        [AUDIT, AUDIT | {"newvalue": "", "sys_created_on": "2026-11-24 09:59:59"}],
    ],
)
def test_what_our_rule_wrote_down_is_no_proof_without_the_audit(
    servicenow: ServiceNow, tell: Tell, audits: list[dict[str, str]]
) -> None:
    tell(audits=audits)
    assert servicenow.ticket(NUMBER, now=NOW).assigned_by is None


def test_changes_of_one_second_may_come_in_any_order(servicenow: ServiceNow, tell: Tell) -> None:
    tell(audits=[AUDIT | {"newvalue": COLLEAGUE, "user": "colleague"}, AUDIT])
    assert servicenow.ticket(NUMBER, now=NOW).assigned_by == TECHNICIAN


def test_a_colleagues_assignment_is_the_colleagues(servicenow: ServiceNow, tell: Tell) -> None:
    by_colleague = f"{TECHNICIAN}:{COLLEAGUE}:{CHANGE}"
    tell(u_elevate_pick=by_colleague, audits=[AUDIT | {"user": "colleague"}])
    assert servicenow.ticket(NUMBER, now=NOW).assigned_by == COLLEAGUE


# What is hidden


@pytest.mark.parametrize("column", ["assigned_to", "caller_id", "opened_by", "state", "active", "sys_mod_count"])
def test_a_hidden_column_is_an_error_and_never_an_empty_one(servicenow: ServiceNow, tell: Tell, column: str) -> None:
    tell(**{column: None})
    with pytest.raises(AnswerUnusable, match=column):
        servicenow.ticket(NUMBER, now=NOW)


def test_a_ticket_for_nobody_is_an_error_since_somebody_opened_it(servicenow: ServiceNow, tell: Tell) -> None:
    tell(caller_id="", opened_by="")
    with pytest.raises(AnswerUnusable):
        servicenow.ticket(NUMBER, now=NOW)


@pytest.mark.parametrize(
    "person",
    [
        {"assigned_to.active": "false"},
        {"assigned_to.locked_out": "true"},
        {"assigned_to.active": None},
        {"assigned_to.locked_out": None},
        {"assigned_to.email": ""},
        {"assigned_to.email": None},
    ],
)
def test_the_address_is_that_of_somebody_who_may_work(
    servicenow: ServiceNow, tell: Tell, person: dict[str, str | None]
) -> None:
    tell()
    assignee = servicenow.ticket(NUMBER, now=NOW).assignee
    assert assignee is not None
    assert assignee.address == "technician@example.com"
    tell(**person)
    assignee = servicenow.ticket(NUMBER, now=NOW).assignee
    assert assignee is not None
    assert (assignee.account, assignee.address) == (TECHNICIAN, None)


def test_doctor_names_what_is_hidden(servicenow: ServiceNow, helpdesk: SmallHelpdesk, tell: Tell) -> None:
    ours = {"sys_id": SERVICE, "user_name": "elevate", "active": "true"}
    helpdesk.answer("/api/now/table/sys_user", 200, {"result": [ours]})
    journal = "/api/now/table/sys_journal_field"
    helpdesk.answer(journal, 200, {"result": []})
    tell(
        audits=[],
        u_elevate_pick=None,
        work_notes="2026-11-24 Elevate (Work notes)\nActive.",
        **{"assigned_to.email": ""},
    )
    wrong = [it for it in servicenow.check() if not it.ok]
    words = " ".join(it.fix for it in wrong)
    assert len(wrong) == 4
    for part in ("assigned_to.email", "u_elevate_pick", "audit_viewer", "written twice"):
        assert part in words
    del helpdesk.instead[journal]
    helpdesk.answer(journal, 200, {"result": [{"value": "Active."}]})
    tell(work_notes="2026-11-24 Elevate (Work notes)\nActive.")
    assert [it for it in servicenow.check() if not it.ok] == []


# Numbers and queries


@pytest.mark.parametrize("rows", [2, 50])
def test_a_number_that_two_tickets_bear_is_nobodys(
    servicenow: ServiceNow, helpdesk: SmallHelpdesk, tell: Tell, rows: int
) -> None:
    tell(rows=rows)
    with pytest.raises(AnswerUnusable):
        servicenow.ticket(NUMBER, now=NOW)


def test_a_query_that_is_ignored_yields_no_other_ticket(servicenow: ServiceNow, tell: Tell) -> None:
    tell(number="INC0000001")
    for act in (lambda: servicenow.ticket(NUMBER, now=NOW), lambda: servicenow.write_note(NUMBER, "x")):
        with pytest.raises(AnswerUnusable):
            act()


@pytest.mark.parametrize(
    "number", ["INC0004821^ORactive=true", "INC0004821^NQnumber=INC1", "javascript:gs.x()", "4821"]
)
def test_nothing_but_a_number_reaches_a_query(servicenow: ServiceNow, helpdesk: SmallHelpdesk, number: str) -> None:
    with pytest.raises(TicketGone):
        servicenow.has_note(number, "x")
    assert servicenow.open_tickets(number, limit=5) == ()
    assert helpdesk.calls == []


def test_a_marker_is_sought_here_and_not_in_the_query(
    servicenow: ServiceNow, helpdesk: SmallHelpdesk, tell: Tell
) -> None:
    tell()
    helpdesk.answer("/api/now/table/sys_journal_field", 200, {"result": []})
    assert not servicenow.has_note(NUMBER, "[te:1:active]^ORelementISNOTEMPTY")
    assert not any("te%3A1" in path or "ISNOTEMPTY" in path for _, path in helpdesk.calls)


def test_a_marker_in_somebody_elses_note_is_none_of_ours_where_the_query_is_ignored(
    servicenow: ServiceNow, helpdesk: SmallHelpdesk, tell: Tell
) -> None:
    tell()
    path, note = "/api/now/table/sys_journal_field", {"value": "[te:1:active]", "sys_created_by": "colleague"}
    for notes in ([note], []):
        helpdesk.answer(path, 200, {"result": notes})
    assert not servicenow.has_note(NUMBER, "[te:1:active]")


def test_notes_that_never_end_are_an_error(servicenow: ServiceNow, helpdesk: SmallHelpdesk, tell: Tell) -> None:
    tell()
    note = {"value": "Active.", "sys_created_by": "elevate"}
    helpdesk.answer("/api/now/table/sys_journal_field", 200, {"result": [note] * 100})
    with pytest.raises(AnswerUnusable, match="do not end"):
        servicenow.has_note(NUMBER, "[te:1:active]")


def test_a_copy_of_the_database_that_lags_is_asked_again(servicenow: ServiceNow, tell: Tell) -> None:
    tell(sys_mod_count="3")
    with pytest.raises(HelpdeskUnavailable) as error:
        servicenow.ticket(NUMBER, revision="4", now=NOW)
    assert error.value.after == 1
    assert servicenow.ticket(NUMBER, revision="3", now=NOW).number == NUMBER


@pytest.mark.parametrize(
    ("state", "active", "status"),
    [
        ("2", "true", Status.OPEN),
        ("6", "true", Status.SOLVED),
        ("2", "false", Status.SOLVED),
        ("-5", "true", Status.ON_HOLD),
        ("In Progress", "true", Status.ON_HOLD),
        ("", "true", Status.ON_HOLD),
        ("2", "", Status.ON_HOLD),
        ("11", "true", Status.OPEN),
    ],
)
def test_a_state_that_nobody_explained_starts_nothing(
    connected: Connect, tell: Tell, state: str, active: str, status: Status
) -> None:
    servicenow = connected(status_map={"2": "open", "6": "solved", "11": "open"})
    tell(state=state, active=active)
    assert servicenow.ticket(NUMBER, now=NOW).status is status


# Notes


@pytest.mark.parametrize(
    "tag", ["[code]<b>x</b>[/code]", "[CODE]<b>x</b>[/Code]", "[[code]code]<b>x</b>[/[/code]code]"]
)
def test_no_tag_makes_html_of_a_note(practice: Double, tag: str) -> None:
    servicenow = integration.helpdesks.connect("desk", practice.settings)
    number = practice.new_ticket()
    servicenow.write_note(number, f"Subject: {tag}\n[te:1:active]")
    (note,) = practice.comments(number)
    assert note.internal
    assert 'class="html"' not in note.text


@pytest.mark.parametrize("letter", ["x", "\u00fc", "\U0001f511"])
def test_a_long_note_is_cut_in_the_middle_so_that_it_is_found_again(practice: Double, letter: str) -> None:
    servicenow = integration.helpdesks.connect("desk", practice.settings)
    number = practice.new_ticket()
    servicenow.write_note(number, "Active.\n" + letter * 3 * LONGEST_NOTE + "\n[te:1:active]")
    (note,) = practice.comments(number)
    assert note.text.startswith("Active.\n" + letter)
    assert note.text.endswith("...\n[te:1:active]")
    assert len(note.text.encode("utf-16-le")) // 2 <= LONGEST_NOTE
    assert servicenow.has_note(number, "[te:1:active]")


def test_a_rule_that_forbids_a_note_is_for_an_administrator(
    servicenow: ServiceNow, helpdesk: SmallHelpdesk, tell: Tell
) -> None:
    tell()
    refusal = {"error": {"message": "Operation Failed", "detail": "Mind the secret canary"}, "status": "failure"}
    helpdesk.answer(f"/api/now/table/incident/{TICKET}", 403, refusal)
    with pytest.raises(HelpdeskRefused) as error:
        servicenow.write_note(NUMBER, "x")
    assert "canary" not in repr(error.value) + str(error.value)


def test_basic_will_do_where_there_is_no_oauth(practice: Double) -> None:
    table = {name: value for name, value in practice.settings.items() if not name.startswith("client_")}
    servicenow = integration.helpdesks.connect("desk", {**table, "password": practice.settings["client_secret"]})
    number = practice.new_ticket()
    servicenow.write_note(number, "Active.")
    assert [it.text for it in practice.comments(number)] == ["Active."]
    wrong = integration.helpdesks.connect("desk", {**table, "password": PASSWORD})
    assert any("password" in it.fix for it in wrong.check() if not it.ok)
    with pytest.raises(HelpdeskRefused) as error:
        wrong.write_note(number, "Active.")
    assert PASSWORD not in str(error.value)


# Deliveries


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_clock_that_is_off_by_minutes_is_not_believed(servicenow: ServiceNow, minutes: int) -> None:
    body = json.dumps(EVENT).encode()
    event = servicenow.read_delivery(signed(body), body, now=NOW + timedelta(minutes=minutes * 0.7))
    assert (event.ticket, event.revision, event.idle) == (NUMBER, "4", False)
    with pytest.raises(SignatureRefused):
        servicenow.read_delivery(signed(body), body, now=NOW + timedelta(minutes=minutes))


def test_what_starts_nothing_is_idle_and_what_a_rule_does_in_our_name_is_not(servicenow: ServiceNow) -> None:
    for changes, idle in (({"event": "work_notes"}, True), ({"actor": SERVICE}, False)):
        body = json.dumps(EVENT | changes).encode()
        assert servicenow.read_delivery(signed(body), body, now=NOW).idle is idle


@pytest.mark.parametrize(
    "changes", [{"table": "sc_task"}, {"number": "x' OR 1"}, {"number": None}, {"event": "\u202e"}]
)
def test_an_event_of_another_table_or_none_is_unreadable(servicenow: ServiceNow, changes: dict[str, Any]) -> None:
    body = json.dumps(EVENT | changes).encode()
    with pytest.raises(DeliveryUnreadable):
        servicenow.read_delivery(signed(body), body, now=NOW)


# Our business rules, run


@pytest.fixture(scope="module")
def rule() -> Callable[..., dict[str, Any]]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node, to run the scripts for ServiceNow")

    def run(name: str, **world: Any) -> dict[str, Any]:
        shared, script = ((APP / "src/scripts" / it).read_text() for it in ("ticket_elevate_call.js", name))
        source = f"const world = {json.dumps(world)};\n{GLIDE}\n{shared}\n{RUN.replace('SCRIPT', script)}"
        done = subprocess.run([node, "-"], input=source, check=True,
                              capture_output=True, text=True, timeout=30)  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def test_what_our_rule_sends_is_what_we_read(rule: Callable[..., dict[str, Any]], connected: Connect) -> None:
    key = base64.b64encode(b"sample_key").decode()
    assert rule("tell.js", key=key, data="sample_data")["mac"] == "4VWUI48lJvmGSF6MYmOVWA9c0hfu55Ur+3e+fUFFFr4="
    sent = rule("tell.js", secret=SECRET, current={"assigned_to": TECHNICIAN}, changed=["assigned_to"], user=TECHNICIAN)
    assert sent["endpoint"] == "https://elevate.example.org/webhooks/now"
    event = connected().read_delivery(sent["headers"], sent["body"].encode(), now=datetime.now(UTC))
    assert (event.ticket, event.kind, event.idle, event.secret) == (NUMBER, "assigned", False, "first")
    assert (sent["executed"], sent["failed"]) == ("without waiting", "")


def test_what_was_pasted_with_a_slash_or_a_line_break_at_its_end_will_do(
    rule: Callable[..., dict[str, Any]], connected: Connect
) -> None:
    for pasted in ("/", "//", "/\n", " "):
        world = {"secret": SECRET, "pasted": pasted, "current": {"assigned_to": TECHNICIAN}, "user": TECHNICIAN}
        sent = rule("tell.js", changed=["assigned_to"], **world)
        assert sent["endpoint"] == "https://elevate.example.org/webhooks/now"
        event = connected().read_delivery(sent["headers"], sent["body"].encode(), now=datetime.now(UTC))
        assert event.ticket == NUMBER
        opened = rule("elevate_button.js", **world)["opened"]
        assert opened == f"https://elevate.example.org/elevate/now/{NUMBER}"


@pytest.mark.parametrize("world", [{"down": True}, {"secret": ""}])
def test_our_rule_lets_a_ticket_be_saved_that_we_cannot_be_told_of(
    rule: Callable[..., dict[str, Any]], world: dict[str, Any]
) -> None:
    left = rule("tell.js", **{"secret": SECRET, "current": {"assigned_to": TECHNICIAN}, "user": TECHNICIAN, **world})
    assert (left["failed"], left["executed"]) == ("", "")
    assert len(left["logged"]) == 1
    assert SECRET.removeprefix("whsec_") not in json.dumps(left["logged"])


STARTED = "2026-11-24 09:59:58"


def test_what_our_flow_sends_is_one_delivery_however_often_it_tries(
    rule: Callable[..., dict[str, Any]], connected: Connect
) -> None:
    world = {"secret": SECRET, "current": {"assigned_to": TECHNICIAN}, "user": SERVICE, "status": 202}
    tries = [rule("flow_tell.js", started=started, **world) for started in (STARTED, STARTED, "2026-11-24 10:00:00")]
    assert [(it["failed"], it["executed"], it["logged"]) for it in tries] == [("", "waiting", [])] * 3
    events = [connected().read_delivery(it["headers"], it["body"].encode(), now=datetime.now(UTC)) for it in tries]
    for event in events:
        assert (event.ticket, event.kind, event.idle, event.revision) == (NUMBER, "changed", False, "4")
    first, again, another_run = (event.delivery_id for event in events)
    assert first == again
    assert first != another_run
    later = rule("flow_tell.js", started=STARTED, **{**world, "current": {"sys_mod_count": "5"}})
    assert later["headers"]["webhook-id"] != first


@pytest.mark.parametrize(
    ("world", "status"),
    [
        *(({"status": status}, str(status)) for status in (0, 302, 401, 503)),
        ({"status": "none"}, "none"),
        ({"status": None}, "null"),
        ({"down": True}, "0"),
        ({"secret": ""}, "0"),
    ],
)
def test_our_flow_is_told_that_we_were_not(
    rule: Callable[..., dict[str, Any]], world: dict[str, Any], status: str
) -> None:
    """Its step fails, so that the flow tries again."""
    left = rule("flow_tell.js", **{"started": STARTED, "secret": SECRET, "user": SERVICE, **world})
    assert left["failed"] == f"Ticket Elevate was not told of {NUMBER}: HTTP status {status}."


@pytest.mark.parametrize(
    ("world", "picked"),
    [
        ({"changed": ["assigned_to"], "user": TECHNICIAN}, f"{TECHNICIAN}:{TECHNICIAN}:"),
        ({"changed": ["assigned_to"], "user": COLLEAGUE}, f"{TECHNICIAN}:{COLLEAGUE}:"),
        ({"changed": ["assigned_to"], "user": TECHNICIAN, "playing": True}, ""),
        ({"changed": ["assigned_to"], "user": TECHNICIAN, "interactive": False}, ""),
        ({"changed": [], "user": TECHNICIAN, "forged": OWN_HANDS}, ""),
    ],
)
def test_our_rule_writes_down_who_assigned_with_their_own_hands(
    rule: Callable[..., dict[str, Any]], world: dict[str, Any], picked: str
) -> None:
    current = {"assigned_to": TECHNICIAN, "u_elevate_pick": world.pop("forged", "")}
    left = rule("pick_first.js", current=current, previous={"u_elevate_pick": ""}, **world)["pick"]
    assert left.startswith(picked)
    assert bool(left) == bool(picked)


@pytest.mark.parametrize(
    ("pick", "old", "left"),
    [
        (OWN_HANDS, "", OWN_HANDS),
        (OWN_HANDS, OWN_HANDS, ""),  # a rule assigned it, and the person's own pick is an older one
        (f"{COLLEAGUE}:{COLLEAGUE}:{CHANGE}", "", ""),  # a rule gave it to somebody else than the person chose
        ("", "", ""),
    ],
)
def test_our_rule_takes_back_what_another_rule_overruled(
    rule: Callable[..., dict[str, Any]], pick: str, old: str, left: str
) -> None:
    current = {"assigned_to": TECHNICIAN, "u_elevate_pick": pick}
    found = rule("pick_last.js", current=current, previous={"u_elevate_pick": old}, changed=["assigned_to"])
    assert found["pick"] == left


# Settings


@pytest.mark.parametrize(
    "changes",
    [
        {"password": None},
        {"client_id": "elevate", "client_secret": "s3cret"},
        {"password": None, "client_id": "elevate"},
        {"service_account": "elevate"},
        {"login": "elevate^ORDERBYx"},
        {"table": "incident?x"},
        {"requester_fields": []},
        {"url": "https://example.service-now.com/x"},
        {"secrets": {}},
    ],
)
def test_settings_that_would_not_do_stop_the_start_and_quote_no_secret(
    settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as error:
        ServiceNowSettings.model_validate(settings | changes)
    assert PASSWORD not in str(error.value)


# What the tests stand on

GLIDE = """
const crypto = require('crypto');
const left = {headers: {}, executed: '', failed: '', logged: []};
const Class = {create: () => function() { this.initialize(); }};
const fields = Object.assign({number: 'INC0004821', sys_mod_count: '4'}, world.current);
const current = {
    getValue: (name) => fields[name] || null,
    setValue: (name, value) => { fields[name] = value; },
    getTableName: () => 'incident',
    getUniqueValue: () => 'f'.repeat(32),
    operation: () => 'update',
    assigned_to: {changes: () => (world.changed || []).includes('assigned_to')},
};
const previous = world.previous && {getValue: (name) => world.previous[name] || null};
const properties = {
    'ticket_elevate.base': 'https://elevate.example.org' + (world.pasted || ''),
    'ticket_elevate.connection.incident': 'now' + (world.pasted || '').replaceAll('/', ''),
    'ticket_elevate.secret': (world.secret || '') + (world.pasted || '').replaceAll('/', ''),
};
const action = {setRedirectURL: (url) => { left.opened = url; }};
const gs = {
    getProperty: (name) => properties[name],
    getUserID: () => world.user,
    generateGUID: () => crypto.randomBytes(16).toString('hex'),
    getSession: () => ({isInteractive: () => world.interactive !== false, isImpersonating: () => !!world.playing}),
    error: (text) => { left.logged.push(text); },
};
const inputs = {ticket: current, started: world.started};
const outputs = {};
class CertificateEncryption {
    generateMac(key, algorithm, data) {
        return crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(data).digest('base64');
    }
}
const sn_ws = {RESTMessageV2: class {
    setHttpMethod() {}
    setHttpTimeout() {}
    setEndpoint(url) { left.endpoint = url; }
    setRequestHeader(name, value) { left.headers[name.toLowerCase()] = value; }
    setRequestBody(body) { left.body = body; }
    executeAsync() { left.executed = this.answer() && 'without waiting'; }
    execute() { left.executed = this.answer() && 'waiting'; return {getStatusCode: () => world.status}; }
    answer() {
        if (world.down) { throw new Error('no way to ' + left.endpoint + ' with ' + world.secret); }
        return true;
    }
}};
"""
RUN = """
try {
SCRIPT
} catch (failed) { left.failed = failed.message; }
left.pick = fields.u_elevate_pick || '';
if (world.key) { left.mac = new CertificateEncryption().generateMac(world.key, 'HmacSHA256', world.data); }
console.log(JSON.stringify(left));
"""


def signed(body: bytes) -> dict[str, str]:
    at = str(int(NOW.timestamp()))
    key = standard_webhooks.keys({"first": SECRET})["first"]
    mac = hmac.digest(key, f"d1.{at}.".encode() + body, hashlib.sha256)
    given = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": "d1", "webhook-timestamp": at, "webhook-signature": given}


# Changes


@pytest.mark.parametrize(
    ("since", "asked"),
    [
        (datetime(2026, 11, 24, 9, 30, tzinfo=UTC), "2026-11-24 09:30:00"),
        (datetime(2026, 11, 24, 9, 30, 59, 1, tzinfo=UTC), "2026-11-24 09:31:00"),
        (datetime(2026, 11, 24, 1, 30, tzinfo=timezone(timedelta(hours=-8))), "2026-11-24 09:30:00"),
    ],
)
def test_changes_are_asked_for_from_the_first_whole_second_in_utc(
    connected: Connect, helpdesk: SmallHelpdesk, since: datetime, asked: str
) -> None:
    helpdesk.answer("/api/now/table/incident", 200, {"result": []})
    states = {"6": "solved", "-3": "solved", "3": "on_hold", "7^active=true": "solved"}
    connected(status_map=states).changed_since(since, page=3, now=NOW)
    query = dict(parse_qsl(helpdesk.calls[-1][1].partition("?")[2]))
    assert query["sysparm_query"] == (
        f"sys_updated_on>={asked}^assigned_toISNOTEMPTY^ORstateIN-3,6^ORactive=false"
        "^ORDERBYsys_updated_on^ORDERBYnumber"
    )
    assert (query["sysparm_offset"], query["sysparm_limit"]) == ("200", "100")


def test_an_instance_that_ignores_the_question_is_not_read_to_its_end(
    servicenow: ServiceNow, helpdesk: SmallHelpdesk
) -> None:
    """It drops what it does not understand of a query, and would go on with every record that it ever had."""
    rows = [{"number": f"INC{n:07}", "sys_updated_on": "2019-01-01 00:00:00"} for n in range(100)]
    helpdesk.answer("/api/now/table/incident", 200, {"result": rows})
    with pytest.raises(AnswerUnusable, match="ignores our question"):
        servicenow.changed_since(NOW - timedelta(hours=1), now=NOW)


@pytest.mark.parametrize("hidden", [slice(50, 51), slice(0, 100), slice(90, 210)])
def test_what_an_acl_hides_does_not_end_the_list(practice: Double, hidden: slice) -> None:
    servicenow = integration.helpdesks.connect("desk", practice.settings)
    assert isinstance(servicenow, TellsChanges)
    since = practice.now()
    practice.later()
    numbers = practice.changed_together(250)
    practice.hide(*numbers[hidden])
    pages = [servicenow.changed_since(since, page=page, now=practice.now() + MINUTE) for page in (1, 2, 3)]
    assert [page.more for page in pages] == [True, True, False]
    told = {it.number for page in pages for it in page.tickets}
    assert told == set(numbers) - set(numbers[hidden])


@pytest.mark.parametrize("total", ["", "x", "9" * 99, "-1", "\xb2"])
def test_where_no_count_comes_only_an_empty_page_is_the_last(
    servicenow: ServiceNow, helpdesk: SmallHelpdesk, total: str
) -> None:
    row = {"number": NUMBER, "sys_updated_on": "2026-11-24 09:59:58"}
    for rows in ([row], []):
        helpdesk.answer("/api/now/table/incident", 200, {"result": rows}, X_Total_Count=total)
    since = NOW - timedelta(hours=1)
    assert [servicenow.changed_since(since, page=page, now=NOW).more for page in (1, 2)] == [True, False]


@pytest.fixture
def settings(helpdesk: SmallHelpdesk) -> dict[str, Any]:
    return {
        "url": helpdesk.url,
        "login": "elevate",
        "password": PASSWORD,
        "service_account": SERVICE,
        "secrets": {"first": SECRET},
    }


@pytest.fixture
def connected(settings: dict[str, Any]) -> Connect:
    return lambda **changes: ServiceNow("desk", ServiceNowSettings.model_validate({**settings, **changes}))


@pytest.fixture
def servicenow(connected: Connect) -> ServiceNow:
    return connected()


@pytest.fixture
def tell(helpdesk: SmallHelpdesk) -> Tell:
    """Lets the instance answer with one incident and its audit. A column that is None is not shown."""

    def answer(*, audits: list[dict[str, str]] | None = None, rows: int = 1, **changes: str | None) -> None:
        columns: dict[str, str | None] = {
            "sys_id": TICKET,
            "number": NUMBER,
            "short_description": "Cannot sign in",
            "category": "password_reset",
            "state": "2",
            "active": "true",
            "sys_mod_count": "4",
            "assigned_to": TECHNICIAN,
            "caller_id": REQUESTER,
            "opened_by": REQUESTER,
            "u_elevate_pick": OWN_HANDS,
        }
        for role, login in (("assigned_to", "technician"), ("caller_id", "requester"), ("opened_by", "requester")):
            columns |= {f"{role}.user_name": login, f"{role}.name": login, f"{role}.email": f"{login}@example.com"}
            columns |= {f"{role}.active": "true", f"{role}.locked_out": "false"}
        shown = {name: value for name, value in (columns | changes).items() if value is not None}
        record = {name: {"value": value, "display_value": value} for name, value in shown.items()}
        told = [AUDIT] if audits is None else audits
        for path, result in (("incident", [record] * rows), ("sys_audit", told)):
            helpdesk.instead.pop(f"/api/now/table/{path}", None)
            helpdesk.answer(f"/api/now/table/{path}", 200, {"result": result})

    return answer


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    receiver = Receiver()
    with practice_runs(tmp_path_factory.mktemp("servicenow"), "--helpdesk", "servicenow") as running:
        yield Double(running, receiver)
    receiver.stop()
