"""The reviewers' pages. Contract: what is asked for lives in the address; what a person saved is theirs alone; nothing
that anybody wrote becomes an element of a page or a formula of a table; and a damaged journal stops no page.
"""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from ulid import ULID

from integration.deployment import Deployment
from integration.elevation import Elevation, EndReason, State
from integration.journal import Kind
from integration.marks import WORDS, Mark
from integration.records import elevations, journal, views
from integration.records.tables import elevations as table
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser, rows, words
from tests.webhooks.test_doors import PAYLOADS, elements
from tests.workers.steps import pick
from tests.workers.test_broken_journal import tamper
from webhooks.app import create_app

Open = Callable[..., Browser]
NOW = datetime.now(UTC)


@pytest.fixture
def auditor(both: Deployment, practice: Practice) -> Browser:
    made = Browser(create_app(both).test_client(), practice)
    assert made.sign_in("auditor").status_code == 303
    return made


def add(deployment: Deployment, *, at: datetime = NOW, **changes: object) -> Elevation:
    name = str(ULID())
    it = Elevation(name, "practice", "4821", "technician", name, State.ENDED, 1, None, at, rule="login-error")
    who, role = changes.get("technician", "Technician One"), changes.get("target_name", "Reports Reader")
    known = {"technician": who, "tid": "t", "oid": who and f"o {who}"}
    known |= {"target_name": role, "target": role and f"entra-role:{role}@/"}
    it = replace(it, **(known | changes))  # type: ignore[arg-type]
    with deployment.records.write() as tx:
        elevations.open_elevation(tx, it)
    return it


def held(deployment: Deployment, *, at: datetime, minutes: int = 20, **changes: object) -> Elevation:
    times = {"active_at": at, "until": at + timedelta(hours=1), "let_go_at": at + timedelta(minutes=minutes - 5)}
    return add(deployment, at=at, ended_at=at + timedelta(minutes=minutes), end_reason="solved", **times, **changes)


def listed(page: str) -> list[str]:
    return re.findall(r'href="/review/([0-9A-Z]{26})"', page)


def test_a_time_alone_says_of_which_day_it_is_and_another_day_is_named(both: Deployment, auditor: Browser) -> None:
    """So that the reader's own days can be judged by: the desk's are not theirs."""
    at = datetime(2026, 10, 5, 20, 50, tzinfo=UTC)
    held(both, at=at, minutes=20)
    held(both, at=at, minutes=200)
    page = auditor.get("/review").text
    found = re.findall(r'data-shown-as="clock" data-of="([^"]+)"[^>]*>([^<]+)<', page)
    assert {of for of, _ in found} == {"2026-10-05T20:50:00+00:00"}
    assert sorted(text for _, text in found) == ["2026-10-06 00:10:00 UTC", "20:50:00", "20:50:00", "21:10:00"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "abc"),
        ({"technician": "one"}, "ab"),
        ({"technician": '"Technician"'}, ""),
        ({"role": "Global"}, "c"),
        ({"rule": "login-error"}, "abc"),
        ({"ticket": "4822"}, "b"),
        ({"state": "refused"}, "b"),
        ({"state": "no-such-state"}, "abc"),
        ({"unusual": "any"}, "c"),
        ({"unusual": "ended_outside"}, "c"),
        ({"unusual": "no-such-mark"}, "abc"),
        ({"active": "yes"}, ""),
        ({"days": "7"}, "ab"),
        ({"days": "400"}, "abc"),
        ({"days": "99999"}, "abc"),
        ({"since": "not-a-date"}, "abc"),
        ({"technician": "one", "unusual": "any"}, ""),
        ({"person": "t/o Technician Two"}, "c"),
        ({"person": "nobody", "target": "entra-role:Global Reader@/"}, ""),
        ({"target": "entra-role:Global Reader@/"}, "c"),
        ({"target": "-"}, ""),
    ],
    ids=repr,
)
def test_a_filter_lives_in_the_address(both: Deployment, auditor: Browser, query: dict[str, str], found: str) -> None:
    made = {
        "a": add(both).id,
        "b": add(both, ticket="4822", state=State.REFUSED).id,
        "c": add(
            both,
            at=NOW - timedelta(days=30),
            technician="Technician Two",
            target_name="Global Reader",
            end_reason=EndReason.OUTSIDE,
        ).id,
    }
    page = auditor.get("/review", query_string=query)
    assert page.status_code == 200
    assert set(listed(page.text)) == {made[name] for name in found}
    known = not {"no-such-state", "no-such-mark", "not-a-date", "99999"} & set(query.values())
    assert ('role="alert"' in page.text) is not known
    for name, text in query.items():
        assert text in unescape(page.text), name  # it stands in its field, or in the sentence about it


def test_pages_go_on_where_the_last_one_ended_and_nothing_is_left_out(both: Deployment, auditor: Browser) -> None:
    made = {add(both, at=NOW - timedelta(minutes=n // 10)).id for n in range(120)}
    address, seen = "/review", []
    while True:
        page = auditor.get(address).text
        seen += listed(page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        if older is None:
            break
        address = unescape(older[1])
    assert len(seen) == 120
    assert set(seen) == made
    assert "Newest" in page


@pytest.mark.parametrize("edge", ["older_than", "newer_than"])
@pytest.mark.parametrize("text", ["", "x", "' OR 1=1 --", "%00", "\u202e"])
def test_an_edge_that_nobody_gave_shows_the_first_page(
    both: Deployment, auditor: Browser, edge: str, text: str
) -> None:
    it = add(both)
    page = auditor.get("/review", query_string={edge: text})
    assert (page.status_code, listed(page.text)) == (200, [it.id])


def test_a_saved_view_is_a_name_for_a_filter_and_its_persons_alone(
    both: Deployment, auditor: Browser, practice: Practice
) -> None:
    add(both)
    hostile = PAYLOADS[1]
    for name in ("Mondays", hostile):
        answer = auditor.press("/review/views", page="/review", name=name, unusual="any", technician='"Technician One"')
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/review?technician=%22Technician+One%22&unusual=any"
    page = auditor.get(answer.headers["Location"]).text
    assert page.count('aria-current="true"') == 2
    assert hostile not in page
    other = Browser(create_app(both).test_client(), practice)
    other.sign_in("administrator")
    assert "Mondays" not in other.get("/review").text
    with both.records.read() as connection:
        person = practice.people["auditor"]["oid"]
        mine = views.of(connection, practice.facts["tenant_id"], person)
    address = f"/review/views/{mine[0].id}/delete"
    assert other.press(address, page="/review").status_code == 404
    assert auditor.press(address, page="/review").status_code == 303
    assert len(rows(both)["saved_views"]) == 1


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "x" * 61])
def test_a_view_without_a_name_or_a_filter_is_not_saved(both: Deployment, auditor: Browser, name: str) -> None:
    assert auditor.press("/review/views", page="/review", name=name, unusual="any").status_code == 400
    assert auditor.press("/review/views", page="/review", name="All").status_code == 400
    assert rows(both)["saved_views"] == []


def test_a_filter_comes_back_from_a_sign_in(both: Deployment, practice: Practice) -> None:
    for wanted in ("/review?unusual=any&technician=%22Technician+One%22", "/review/month?month=2026-11"):
        it = Browser(create_app(both).test_client(), practice)
        form = it.get(wanted)
        assert form.status_code == 401
        back_to = re.search(r'name="back_to" value="([^"]+)"', form.text)
        assert back_to is not None
        assert it.sign_in("auditor", back_to=unescape(back_to[1])).headers["Location"] == wanted
    for hostile in ("/review?x=//evil.example", "/review?x=\\", "/review?" + "x" * 400, "/review?x=\r\nX: y"):
        assert Browser(create_app(both).test_client(), practice).sign_in("auditor", hostile).headers["Location"] == "/"


def test_the_export_holds_what_the_filter_asks_with_the_same_marks_and_no_formula(
    both: Deployment, auditor: Browser
) -> None:
    for n, start in enumerate(("=", "+", "-", "@", "\t=", "＝", " =", "\u00a0@", '"=')):
        add(both, ticket=str(n), technician=f"{start}cmd|' /C calc'!A0", end_reason=EndReason.OUTSIDE)
    add(both, ticket="left out")
    add(both, ticket="whose", end_reason=EndReason.OUTSIDE, account="7", address="a@example.com", oid="0-1")
    answer = auditor.get("/review/export.csv", query_string={"unusual": "any"}, buffered=True)
    found = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert len(found) == 10
    (whose,) = (row for row in found if row["ticket"] == "whose")
    assert (whose["account"], whose["address"], whose["oid"]) == ("7", "a@example.com", "0-1")
    assert {row["unusual"] for row in found} == {WORDS[Mark.ENDED_OUTSIDE]}
    by_ticket = {row["ticket"]: row["technician"] for row in found}
    assert all(by_ticket[str(n)].startswith("'") for n in range(8))
    assert by_ticket["8"].startswith('"=')


def test_the_export_is_made_as_it_is_read(both: Deployment, auditor: Browser) -> None:
    for n in range(3):
        add(both, at=NOW - timedelta(minutes=n))
    answer = auditor.client.get("/review/export.csv")
    assert answer.is_streamed
    assert len(answer.text.splitlines()) == 4


NUMBERS = re.compile(r'<a href="(/review\?[^"]+)">(\d+)</a>')


def test_each_number_of_a_month_is_a_link_to_so_many_rows(both: Deployment, auditor: Browser) -> None:
    noon = datetime(2026, 10, 25, 12, tzinfo=UTC)
    for n, (who, role) in enumerate((("One", "Reader"), ("One", "Global Reader"), (None, "Reader"), ("=x", None))):
        held(both, at=noon + timedelta(hours=n * 7), technician=who, target_name=role, minutes=10 + n)
    add(both, at=noon, state=State.REFUSED)
    held(both, at=noon - timedelta(days=30))
    page = auditor.get("/review/month?month=2026-10").text
    links = NUMBERS.findall(page)
    assert len(links) > 8
    for address, number in links:
        assert len(listed(auditor.get(unescape(address)).text)) == int(number), address
    said = words(auditor.get("/review/month?month=2026-10"))
    assert "6.5" in said  # the median of 5, 6, 7 and 8 minutes used
    assert "11.5" in said


def test_who_and_what_are_called_the_same_are_counted_and_listed_each_alone(both: Deployment, auditor: Browser) -> None:
    at = datetime(2026, 10, 5, 12, tzinfo=UTC)
    unit = "entra-role:1@/administrativeUnits/7"
    for n, (who, target) in enumerate((("a1", "entra-role:1@/"), ("a1", unit), ("b1", unit))):
        same = {"technician": "Anna Schmidt", "account": who, "oid": who, "target": target}
        held(both, at=at + timedelta(hours=n), target_name="Reader", **same)
    held(both, at=at, technician="Somebody Else", target_name="Global Reader")
    page = auditor.get("/review/month?month=2026-10").text
    lines = dict(re.findall(r'<th scope="row" class="fw-normal text-break">([^<]+)</th>.*?href="([^"]+)">\d', page))
    assert {"Anna Schmidt (a1)", "Anna Schmidt (b1)", "Somebody Else", "Global Reader"} <= set(lines)
    assert {"Reader (in the whole directory)", "Reader (at /administrativeUnits/7)"} <= set(lines)
    address = unescape(lines["Anna Schmidt (a1)"])
    alone = auditor.get(address)
    assert len(listed(alone.text)) == 2
    assert "Only this person: Anna Schmidt (a1)" in words(alone)
    assert "Only this role: Reader (at /administrativeUnits/7)" in words(
        auditor.get(unescape(lines["Reader (at /administrativeUnits/7)"]))
    )
    export = unescape(re.findall(r'href="(/review/export.csv[^"]+)"', alone.text)[0])
    assert len(auditor.get(export, buffered=True).text.splitlines()) == 3
    asked = dict(parse_qsl(urlsplit(address).query))
    saved = auditor.press("/review/views", page="/review", name="Anna", **asked)
    assert listed(auditor.get(saved.headers["Location"]).text) == listed(alone.text)
    assert 'aria-current="true"' in auditor.get(saved.headers["Location"]).text
    everybody = unescape(re.findall(r'href="([^"]+)">All people', alone.text)[0])
    assert len(listed(auditor.get(everybody).text)) == 4


def test_who_shares_even_the_account_is_told_apart_all_the_same(both: Deployment, auditor: Browser) -> None:
    for oid in ("0a", "0b"):
        held(both, at=datetime(2026, 10, 5, 12, tzinfo=UTC), oid=oid)
    said = words(auditor.get("/review/month?month=2026-10"))
    assert "Technician One (technician) (t/0a)" in said
    assert "Technician One (technician) (t/0b)" in said


def test_medians_lead_to_the_rows_of_their_counts(both: Deployment, auditor: Browser) -> None:
    held(both, at=datetime(2026, 10, 5, 12, tzinfo=UTC))
    page = auditor.get("/review/month?month=2026-10").text
    row = re.findall(r'<th scope="row" class="fw-normal text-break">Reports Reader</th>.*?</tr>', page)[0]
    links = re.findall(r'href="([^"]+)">([\d.]+)<', row)
    assert [number for _, number in links] == ["1", "15", "20"]
    assert len({address for address, _ in links}) == 1
    assert len(re.findall(r"<dd><a href", page)) == 3


@pytest.mark.parametrize(("number", "said"), [(12, False), (13, True)])
def test_a_chart_that_leaves_some_out_says_so(both: Deployment, auditor: Browser, number: int, said: bool) -> None:
    for n in range(number):
        held(both, at=datetime(2026, 10, 5, 12, tzinfo=UTC), target_name=f"Role {n}")
    text = words(auditor.get("/review/month?month=2026-10"))
    assert text.count(f"The chart shows the first 12 of {number}.") == (2 if said else 0)


def test_charts_hold_nothing_that_the_policy_of_content_refuses(both: Deployment, auditor: Browser) -> None:
    def drawn(text: str) -> tuple[str, list[tuple[str, tuple[str, ...]]]]:
        with both.records.write() as tx:
            tx.execute(table.update().values(technician=text, target_name=text, rule=text))
        page = auditor.get("/review/month?month=2026-10").text
        return page, elements(page)

    for n in range(3):
        held(both, at=datetime(2026, 10, 1 + n, 12, tzinfo=UTC))
    page, plain = drawn("x")
    charts = re.findall(r"<svg class=\"pygal-chart.*?</svg>", page, re.DOTALL)
    assert len(charts) == 5
    for it in charts:
        assert not re.search(r"<(style|script|foreignObject|image|use)\b| style=| on\w+=|xlink", it)
        assert 'aria-hidden="true"' in it
        assert it.count("<a ") == it.count('tabindex="-1"')
    for payload in PAYLOADS:
        assert drawn(payload)[1] == plain, payload


@pytest.mark.parametrize("month", ["", "2026-13", "x", "0000-00", "9999-12", "1800-01", "\u0662\u0660\u0662\u0666-11"])
def test_a_month_that_is_none_shows_the_present_one(both: Deployment, auditor: Browser, month: str) -> None:
    answer = auditor.get("/review/month", query_string={"month": month})
    assert answer.status_code == 200
    assert ("is not a month" in answer.text) is bool(month)


def test_hostile_words_add_no_element_to_any_list(both: Deployment, auditor: Browser) -> None:
    """Threat 30."""
    it = add(both, emergency=True, reason="x", reviewed_at=NOW, reviewed_by="x", end_reason=EndReason.OUTSIDE)
    add(both, state=State.WATCHED)

    def pages(text: str) -> list[list[tuple[str, tuple[str, ...]]]]:
        columns = ("technician", "target_name", "rule", "reason", "reviewed_by", "outcome", "ticket", "connection")
        with both.records.write() as tx:
            tx.execute(table.update().values(**dict.fromkeys(columns, text[:60])))
        query = {"technician": text, "role": text, "rule": text, "days": text, "unusual": text, "state": text}
        query |= {"person": text, "target": text}
        shown = [
            auditor.get(path) for path in ("/review", "/review/break-glass", "/review/watched", f"/review/{it.id}")
        ]
        shown += [
            auditor.get("/review", query_string=query),
            auditor.get("/review/watched", query_string={"rule": text}),
        ]
        assert {page.status_code for page in shown} == {200}
        return [elements(page.text) for page in shown]

    plain = pages("x")
    for payload in PAYLOADS:
        assert pages(payload) == plain, payload


def test_break_glass_goes_on_after_fifty_and_shows_what_reviewers_found(both: Deployment, auditor: Browser) -> None:
    for n in range(60):
        it = add(
            both, emergency=True, ticket="", connection="", at=NOW - timedelta(hours=n), oid=f"o{n}", reason="Fire"
        )
    seen = replace(it, reviewed_at=NOW, reviewed_by="Auditor One")
    with both.records.write() as tx:
        elevations.save_elevation(tx, seen)
        journal.append(
            tx,
            Kind.BREAKGLASS_REVIEWED,
            now=NOW,
            cause="click",
            elevation=it.id,
            private={"note": "A <b>true</b> fire."},
        )
    page = auditor.get("/review/break-glass").text
    assert len(listed(page)) == 50
    assert "59 break glass to review" in page
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older is not None
    page = auditor.get(unescape(older[1])).text
    assert len(listed(page)) == 10
    assert "A &lt;b&gt;true&lt;/b&gt; fire." in page
    assert it.id not in auditor.get("/review/break-glass?show=waiting").text
    assert "A &lt;b&gt;true&lt;/b&gt; fire." in auditor.get(f"/review/{it.id}").text
    with both.records.write() as tx:
        tx.exec_driver_sql("DELETE FROM journal_private")
    assert "The note was erased" in auditor.get(unescape(older[1])).text


def test_watched_rules_go_on_after_fifty(both: Deployment, auditor: Browser) -> None:
    for n in range(60):
        add(both, state=State.WATCHED, at=NOW - timedelta(hours=n), rule="a" if n else None)
    page = auditor.get("/review/watched").text
    assert (len(listed(page)), 'rel="next"' in page) == (50, True)
    assert len(listed(auditor.get("/review/watched?rule=-").text)) == 1
    assert listed(auditor.get("/review/watched?rule=A").text) == []


def test_a_timeline_says_where_each_step_comes_from_and_a_damaged_entry_is_marked(
    desk: Desk, practice: Practice, browser: Open
) -> None:
    desk.link()
    it = desk.only(pick(desk, practice))
    page = f"/review/{it.id}"
    auditor = browser("auditor")
    whole = words(auditor.get(page))
    for said in ("Our journal", "The tenant", "On the ticket", "Seen active in the tenant", "The role is active"):
        assert said in whole
    assert "was changed afterwards" not in whole
    assert practice.activation_requests()[0]["id"] in whole

    tamper(desk, lambda entry: json.dumps({"x": PAYLOADS[0]}) + entry, kind=Kind.ACTIVATION_SEEN)
    damaged = auditor.get(page)
    assert damaged.status_code == 200
    assert words(damaged).count("was changed afterwards") == 1
    assert "The role is active" in words(damaged)
    assert PAYLOADS[0] not in damaged.text


def test_a_row_that_is_not_text_any_more_stops_no_page(desk: Desk, practice: Practice, browser: Open) -> None:
    """SQLite keeps anything in any column."""
    desk.link()
    it = desk.only(pick(desk, practice))
    with desk.deployment.records.write() as tx:
        tx.exec_driver_sql("DROP TRIGGER journal_no_update")
        tx.execute(
            sa.text("UPDATE journal SET entry = CAST(x'ff' AS TEXT), at = 'never', seq = x'fe' WHERE elevation = :it"),
            {"it": it.id},
        )
    answer = browser("auditor").get(f"/review/{it.id}")
    assert answer.status_code == 200
    assert "time unreadable" in words(answer)
