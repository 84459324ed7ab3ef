"""The reviewers' pages in a browser: each state judged, and an auditor's morning without a word to an administrator."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect
from ulid import ULID

from cli.stage import Stage
from integration.elevation import Elevation, EndReason, State
from integration.journal import Kind
from integration.records import elevations, journal
from integration.records.store import Records
from integration.records.tables import activations
from integration.records.tables import elevations as table
from tests.conftest import Practice
from tests.end_to_end.conftest import Someone
from tests.end_to_end.test_pages import elevate, end_now, offered

pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]
NOW = datetime.now(UTC)
LONG = "Technician with a name that goes on and on, as names of some people and of all committees do"


def test_an_empty_review_says_what_will_be_there(someone: Arrive) -> None:
    auditor = someone("auditor")
    auditor.comes_to("/review")
    auditor.reads("Nothing was elevated yet")
    auditor.is_accessible("review-empty")
    auditor.at("/review/month?month=2001-02")
    auditor.reads("No role became active")
    auditor.is_accessible("review-month-empty")
    auditor.at("/review/break-glass")
    auditor.reads("Nobody has broken glass")
    auditor.is_accessible("review-break-glass-empty")
    auditor.at("/review/watched")
    auditor.reads("Nothing was watched yet")
    auditor.is_accessible("review-watched-empty")


def test_the_whole_list_goes_on_page_by_page_and_back(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor")
    auditor.comes_to("/review")
    rows = auditor.page.locator("tbody tr")
    expect(rows).to_have_count(50)
    auditor.is_accessible("review-full")
    seen: set[str] = set()
    while True:
        seen |= {str(link.get_attribute("href")) for link in auditor.page.locator("td[data-label=When] a").all()}
        older = auditor.page.get_by_role("link", name="Older")
        if not older.count():
            break
        first = rows.first.inner_text()
        older.click()
        expect(rows.first).not_to_have_text(first)
    assert len(seen) == _count(history)
    auditor.page.get_by_role("link", name="Newer").click()
    auditor.page.get_by_role("link", name="Newest").click()
    expect(auditor.page).to_have_url(re.compile(r"/review$"))


def test_a_filter_is_kept_as_a_view_and_what_is_unusual_is_said_in_words(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor")
    auditor.comes_to("/review")
    auditor.page.get_by_label("Unusual").select_option("anything unusual")
    auditor.page.get_by_label("When").select_option("90")
    auditor.page.get_by_role("button", name="Filter").click()
    expect(auditor.page.locator(".mark", has_text="Activated by hand outside").first).to_be_visible()
    auditor.is_accessible("review-unusual")
    auditor.page.get_by_text("Save this filter as a view").click()
    auditor.page.get_by_label("Name of the view").fill("What I look at on Mondays")
    auditor.page.get_by_role("button", name="Save").click()
    view = auditor.page.get_by_role("link", name="What I look at on Mondays")
    expect(view).to_have_attribute("aria-current", "true")
    auditor.is_accessible("review-saved-views")
    auditor.at("/review")
    view.click()
    expect(auditor.page.get_by_label("Unusual")).to_have_value("any")
    with auditor.page.expect_download() as download:
        auditor.page.get_by_role("link", name="Download CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert '"Activated by hand outside"' in "\n".join(lines)
    other = someone("administrator")
    other.comes_to("/review")
    expect(other.page.get_by_role("link", name="What I look at on Mondays")).to_have_count(0)
    auditor.page.get_by_role("button", name="Delete the view What I look at on Mondays").click()
    expect(view).to_have_count(0)


def test_a_filter_that_finds_nothing_and_one_that_is_none(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor")
    auditor.comes_to("/")
    auditor.at("/review?ticket=none-such")
    auditor.reads("No elevation matches")
    auditor.at("/review?since=yesterday&state=lost&technician=nobody")
    auditor.reads("is not a date")
    auditor.is_accessible("review-no-match")
    auditor.page.get_by_role("link", name="Show all").first.click()
    auditor.page.get_by_title("Only these").nth(1).click()
    expect(auditor.page.get_by_label("Technician")).to_have_value(re.compile('^".+"$'))
    auditor.is_accessible("review-filtered")


def test_one_elevation_is_one_column_of_journal_tenant_and_ticket(someone: Arrive, live_practice: Practice) -> None:
    ticket = offered(live_practice, "Login error", "technician")
    me, auditor = someone("technician"), someone("auditor")
    elevate(me, ticket)
    end_now(me, ticket)
    auditor.comes_to(f"/review?ticket={ticket}")
    auditor.page.locator("tbody td a").first.click()
    auditor.sees(auditor.page.get_by_role("heading", name="What happened"))
    auditor.reads("Technician One")
    for source in ("Our journal", "The tenant", "On the ticket"):
        expect(auditor.page.locator(".timeline .from", has_text=source).first).to_be_visible()
    times = [str(it.get_attribute("datetime")) for it in auditor.page.locator(".timeline > li > p > time").all()]
    assert times == sorted(times)
    auditor.page.locator(".timeline summary").first.click()
    auditor.is_accessible("review-timeline")


def test_a_time_names_the_readers_day_and_zone(someone: Arrive, evening: str) -> None:
    """One day at the desk, and two in Riyadh."""
    at_home, away = someone("auditor", timezone_id="UTC"), someone("auditor", timezone_id="Asia/Riyadh")
    for auditor, ended in (
        (at_home, re.compile("^0?9:10:00.PM$")),
        (away, re.compile(r"Nov 4, .*12:10:00.AM GMT\+3$")),
    ):
        auditor.comes_to(f"/review?ticket={evening}")
        expect(auditor.page.locator("td[data-label=Ended] time")).to_have_text(ended)
    expect(away.page.locator("td[data-label=Active] time")).to_have_text(re.compile("^11:50:00.PM$"))
    expect(away.page.locator("td[data-label=When] time")).to_have_text(re.compile(r"Nov 3, .*11:50:00.PM GMT\+3$"))


def test_a_time_that_stands_alone_names_its_zone(someone: Arrive, live_practice: Practice) -> None:
    ticket = offered(live_practice, "Login error", "technician")
    me = someone("technician", timezone_id="Asia/Kolkata")
    elevate(me, ticket)
    me.at("/")
    until = me.page.locator("time[data-shown-as=time]").first
    expect(until).to_have_text(re.compile(r"[AP]M GMT\+5:30$"))
    me.page.go_back()
    end_now(me, ticket)


def test_the_longest_moment_fits_a_narrow_screen(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor", timezone_id="Asia/Kolkata", viewport={"width": 360, "height": 780})
    auditor.comes_to("/")
    for path in ("/review", "/review/watched"):
        auditor.at(path)
        over = "[...document.querySelectorAll('.table-responsive')].map(it => it.scrollWidth - it.clientWidth)"
        expect(auditor.page.locator("td[data-label=When] time").first).to_have_text(re.compile(r"GMT\+5:30$"))
        assert max(auditor.page.evaluate(over)) <= 0, path


def test_a_month_at_a_glance_counts_what_its_links_list(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor", locale="en-GB")
    auditor.comes_to("/")
    auditor.at(f"/review/month?month={_last_month():%Y-%m}")
    auditor.sees(auditor.page.get_by_role("heading", name="By day"))
    expect(auditor.page.locator("svg.pygal-chart").first).to_be_visible()
    auditor.is_accessible("review-month")
    row = auditor.page.locator("section", has=auditor.page.locator("#by-role")).locator("tbody tr").first
    count = int(row.locator("a").first.inner_text())
    row.locator("a").first.click()
    expect(auditor.page.locator("tbody tr")).to_have_count(min(count, 50))
    auditor.page.go_back()
    auditor.page.locator("svg.pygal-chart a").first.click()
    expect(auditor.page).to_have_url(re.compile(r"/review\?.*since="))


def test_break_glass_is_listed_with_what_reviewers_found(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor")
    auditor.comes_to("/review/break-glass")
    auditor.reads("Called the person back: it was true")
    auditor.is_accessible("review-break-glass")
    auditor.page.get_by_role("link", name=re.compile("Show the .* wait")).click()
    waiting = auditor.page.locator("section.card")
    before = waiting.count()
    auditor.page.get_by_label("What you found").first.fill("Asked the service desk: the helpdesk was down.")
    auditor.page.get_by_role("button", name="Reviewed").first.click()
    auditor.reads("Asked the service desk: the helpdesk was down.")
    auditor.at("/review/break-glass?show=waiting")
    expect(waiting).to_have_count(before - 1)


def test_watched_rules_are_counted_and_listed(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor")
    auditor.comes_to("/review/watched")
    auditor.reads("It would have activated")
    auditor.is_accessible("review-watched")


def test_paper_has_neither_menus_nor_forms(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor")
    auditor.comes_to("/review?unusual=any")
    auditor.page.emulate_media(media="print", color_scheme="dark")
    for screen in ("header", "form", "nav"):
        for it in auditor.page.locator(screen).all():
            expect(it).to_be_hidden()
    auditor.reads("unusual = any")
    assert auditor.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_review_needs_no_javascript(someone: Arrive, history: Records) -> None:
    auditor = someone("auditor", java_script_enabled=False)
    auditor.at("/review/month")
    auditor.page.get_by_role("button", name="Sign in with Microsoft").click()
    auditor.page.get_by_role("button", name=auditor.person["upn"], exact=False).click()
    auditor.at("/review")
    auditor.page.get_by_label("Outcome").select_option("refused")
    auditor.page.get_by_role("button", name="Filter").click()
    expect(auditor.page.locator("tbody tr .badge").first).to_have_text("Refused by the rules")


def _last_month() -> datetime:
    return NOW.replace(day=1) - timedelta(days=1)


def _count(records: Records) -> int:
    with records.read() as connection:
        return len(connection.execute(table.select()).all())


@pytest.fixture(scope="module")
def history(stage: Stage) -> Iterator[Records]:
    """Two months of a desk, written straight into the running product's database."""
    records = Records(f"sqlite:///{stage.directory}/elevate.sqlite")
    chance = random.Random(11)  # noqa: S311
    with records.write() as tx:
        for n in range(220):
            _happened(tx, chance, n)
        for n, note in enumerate(("Called the person back: it was true.", "", "")):
            it = replace(_ended(NOW - timedelta(days=n + 1), chance, 900 + n), emergency=True, ticket="", connection="")
            it = replace(it, reason="The helpdesk is down and the head of finance cannot sign in.", rule="break glass")
            if note:
                it = replace(it, reviewed_at=NOW, reviewed_by="Auditor One")
            elevations.open_elevation(tx, it)
            if note:
                said = {"cause": "click", "elevation": it.id, "private": {"note": note}}
                journal.append(tx, Kind.BREAKGLASS_REVIEWED, now=datetime.now(UTC), **said)
    yield records
    records.dispose()


@pytest.fixture
def evening(stage: Stage) -> str:
    """The ticket of an elevation that began in the evening of 3 November, UTC, and was over before midnight."""
    at, records = datetime(2025, 11, 3, 20, 50, tzinfo=UTC), Records(f"sqlite:///{stage.directory}/elevate.sqlite")
    it = _ended(at, random.Random(1), 999)  # noqa: S311
    with records.write() as tx:
        elevations.open_elevation(tx, replace(it, active_at=at, ended_at=at + timedelta(minutes=20)))
    records.dispose()
    return it.ticket


def _happened(tx: Any, chance: random.Random, n: int) -> None:
    at = NOW - timedelta(hours=6 * n + chance.random() * 5)
    it = _ended(at, chance, n)
    fate = chance.random()
    if fate < 0.08:
        it = replace(it, state=State.REFUSED, active_at=None, until=None, end_reason=None, let_go_at=None)
        it = replace(it, outcome="You are not eligible for any of the roles that this ticket needs.")
    elif fate < 0.16:
        it = replace(it, state=State.WATCHED, active_at=None, until=None, end_reason=None, let_go_at=None)
        it = replace(it, outcome="It would have activated Password Administrator for 1 h.")
    elif fate < 0.2:
        it = replace(it, end_reason=EndReason.OUTSIDE, outcome="Ended: the role was ended outside Ticket Elevate.")
    elif fate < 0.23:
        it = replace(it, until=it.ended_at)
    elevations.open_elevation(tx, it)
    if it.active_at:
        row = {"id": it.id, "tid": "t", "oid": it.oid, "target": it.target, "target_name": it.target_name}
        row |= {"state": "given_back", "version": 3, "created_at": at, "duration_seconds": 3600, "attempts": 0}
        row |= {"justification": "", "ticket_number": it.ticket, "started_at": at, "ended_at": it.ended_at}
        row |= {"by_hand": fate > 0.97, "usable_at": at if fate < 0.95 else None}
        tx.execute(activations.insert().values(**row))


def _ended(at: datetime, chance: random.Random, n: int) -> Elevation:
    names = ["Technician One", "Technician Two", "Technician Three", LONG]
    roles = ["Password Administrator", "Authentication Administrator", "Reports Reader", "Cloud Device Administrator"]
    who = chance.choices(names, (8, 5, 3, 1))[0]
    role = chance.choices(roles, (8, 5, 3, 1))[0]
    ended = at + timedelta(minutes=chance.randint(8, 50))
    number = str(ULID())
    return Elevation(
        id=number,
        connection="practice",
        ticket=str(7000 + n),
        account="technician",
        pick=number,
        state=State.ENDED,
        version=5,
        due_at=None,
        created_at=at,
        tid="t",
        oid=who,
        technician=who,
        rule=f"{role.split()[0]} tickets",
        target=f"entra-role:{role}@/",
        target_name=role,
        duration_seconds=3600,
        justification=f"Ticket {7000 + n}",
        activation=number,
        active_at=at + timedelta(seconds=4),
        until=at + timedelta(hours=1),
        ended_at=ended,
        end_reason=EndReason.SOLVED,
        outcome="Ended: the ticket was solved.",
        let_go_at=ended - timedelta(minutes=chance.randint(0, 7)),
    )
