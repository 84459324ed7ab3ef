"""A role without a ticket: only for who may, for a reason, told at once, reviewed by somebody else; and shadow mode."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from integration.deployment import Deployment
from integration.elevation import Elevation, State
from integration.records import elevations, story
from integration.records.tables import elevations as table
from integration.records.tables import notices, tenant_answers
from integration.rules import Mode
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import Browser, rows, words
from tests.workers.steps import PASSWORD_ADMINISTRATOR, fault, mend, pick, said, wait_for
from tests.workers.test_broken_journal import tamper
from webhooks.app import create_app

RULES = """
[break_glass]
roles = ["Password Administrator", "User Administrator"]
duration = "15m"

[[rule]]
name = "Watched"
match = { category = "Password reset" }
roles = ["Password Administrator"]
mode = "watch"
"""
REASON = "The helpdesk is down and the <b>CEO</b> is locked out."
Opened = Callable[..., Browser]


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    notify = {"break_glass": ["json://127.0.0.1:9/hook"]}
    made = Deployment(settings_for(practice, database_url, tmp_path, rules_file=rules, notify=notify))
    made.records.migrate()
    yield made
    made.records.dispose()


@pytest.fixture
def firefighter(practice: Practice, browser: Opened, desk: Desk) -> Browser:
    practice.control("/people/technician", {"app_roles": ["BreakGlass"]})
    return browser("technician")


def broken(desk: Desk) -> Elevation:
    with desk.deployment.records.read() as connection:
        name = connection.execute(sa.select(table.c.id).where(table.c.emergency)).scalar_one()
        found = elevations.elevation(connection, name)
    assert found is not None
    return found


def break_glass(page: Browser, reason: str = REASON, target: str = PASSWORD_ADMINISTRATOR.key) -> object:
    return page.press("/break-glass", page="/break-glass", target=target, reason=reason)


def test_a_role_comes_without_a_ticket_and_while_the_helpdesk_is_down(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    fault(practice, "status", side="helpdesk", status=503, times=99)
    text = firefighter.get("/break-glass").text
    assert "Password Administrator, for 15 min" in text
    assert "User Administrator" not in text  # not eligible
    assert break_glass(firefighter).status_code == 303  # type: ignore[attr-defined]
    desk.sweep()
    it = broken(desk)
    assert it.state is State.ACTIVE
    (asked,) = practice.activation_requests()
    assert asked["justification"] == f"Break glass: {REASON}"
    assert asked["ticketInfo"]["ticketNumber"] == f"BG-{it.id}"
    assert asked["scheduleInfo"]["expiration"]["duration"] == "PT15M"
    page = firefighter.get(f"/elevations/{it.id}").text
    assert "Break glass, without a ticket" in page
    with desk.deployment.records.read() as connection:
        assert story.entries(connection, it.id, None)[0].kind == "breakglass.started"
        assert connection.execute(sa.select(notices.c.kind)).scalars().all() == ["break_glass-1"]

    firefighter.press(f"/elevations/{it.id}/end", page=f"/elevations/{it.id}")
    wait_for(desk, timedelta(minutes=6))
    assert practice.active_roles() == []


@pytest.mark.parametrize(
    ("reason", "target"),
    [
        ("short", PASSWORD_ADMINISTRATOR.key),
        ("x" * 301, PASSWORD_ADMINISTRATOR.key),
        ("\u200b" * 40, PASSWORD_ADMINISTRATOR.key),
        (REASON, "entra-role:62e90394-69f5-4237-9190-012177145e10@/"),
        (REASON, ""),
    ],
)
def test_without_a_reason_or_for_another_role_nothing_happens(
    desk: Desk, practice: Practice, firefighter: Browser, reason: str, target: str
) -> None:
    before = rows(desk.deployment, but=frozenset({"tenant_answers"}))
    answer = break_glass(firefighter, reason, target)
    assert answer.status_code == 400  # type: ignore[attr-defined]
    assert "Nothing was activated" in answer.text  # type: ignore[attr-defined]
    assert rows(desk.deployment, but=frozenset({"tenant_answers"})) == before


def test_who_lacks_the_app_role_finds_no_glass(desk: Desk, practice: Practice, browser: Opened) -> None:
    page = browser("technician")
    assert page.get("/break-glass").status_code == 404
    assert "Break glass" not in page.get("/").text
    assert page.press("/break-glass", target=PASSWORD_ADMINISTRATOR.key, reason=REASON).status_code == 404


def test_it_stays_flagged_until_somebody_else_has_reviewed_it(
    desk: Desk, practice: Practice, firefighter: Browser, browser: Opened
) -> None:
    practice.control("/people/technician", {"app_roles": ["BreakGlass", "Auditor"]})
    firefighter.sign_in("technician")
    break_glass(firefighter)
    desk.sweep()
    it = broken(desk)
    address = f"/review/{it.id}/reviewed"
    assert "Somebody else must review it" in firefighter.press(address, note="Fine.").text

    auditor = browser("auditor")
    assert "1 break glass to review" in auditor.get("/review").text
    listed = auditor.get("/review/break-glass").text
    assert "&lt;b&gt;CEO&lt;/b&gt;" in listed
    assert "<b>CEO</b>" not in listed
    assert auditor.press(address, note=" ").status_code == 400
    assert auditor.press(address, page="/review/break-glass", note="Called the CEO: true.").status_code == 303
    assert broken(desk).reviewed_by == "Auditor One"
    assert "to review" not in auditor.get("/review").text
    twice = auditor.press(address, page="/review/break-glass", note="Called the CEO: true.")
    assert (twice.status_code, twice.location) == (303, "/review/break-glass")
    assert browser("administrator").press(address, note="Called the CEO: true.").status_code == 409
    assert auditor.press(address, note="Again.").status_code == 409


def test_a_ticket_named_afterwards_gets_the_whole_story_and_does_not_end_it(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    break_glass(firefighter)
    desk.sweep()
    it = broken(desk)
    ticket = practice.new_ticket()
    here = f"/elevations/{it.id}"
    assert name(firefighter, here, "999999", sure="yes").status_code == 502
    assert name(firefighter, here, ticket, sure="yes").status_code == 303
    desk.sweep()
    assert said(practice, ticket, "Break glass: Technician One asked for Password Administrator without a ticket") == 1
    assert broken(desk).ticket == ticket
    practice.solve(ticket)
    desk.deliver(ticket)
    assert broken(desk).state is State.ACTIVE
    assert name(firefighter, here, ticket).status_code == 409


def name(page: Browser, here: str, ticket: str, **more: str) -> TestResponse:
    return page.press(f"{here}/ticket", page=here, connection="practice", ticket=ticket, **more)


def test_a_technician_sees_whose_ticket_they_named_before_anything_is_written_on_it(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    desk.link()
    break_glass(firefighter)
    desk.sweep()
    ticket = practice.new_ticket(subject="Not <b>this</b> one")
    practice.assign(ticket, "technician2")
    here = f"/elevations/{broken(desk).id}"
    assert name(firefighter, here, "999999").status_code == 502
    before = rows(desk.deployment)
    answer = name(firefighter, here, ticket)
    assert answer.status_code == 200
    page = words(answer)
    for fact in (f"Ticket{ticket}", "SubjectNot <b>this</b> one", "Assigned toTechnician Two"):
        assert fact in page, page
    assert "&lt;b&gt;this" in answer.text
    assert (rows(desk.deployment), practice.notes(ticket)) == (before, [])
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', answer.text))
    for _ in range(2):  # a button that is pressed twice shows no error
        sent = firefighter.client.post(f"{here}/ticket", data={**fields, "sure": "yes"})
        assert (sent.status_code, sent.location, broken(desk).ticket) == (303, here, ticket)
    desk.sweep()
    assert said(practice, ticket, "Break glass: Technician One asked for Password Administrator without a ticket") == 1


def test_who_is_no_technician_of_the_helpdesk_sees_the_number_alone(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    break_glass(firefighter)
    desk.sweep()
    ticket = practice.new_ticket(subject="canary-subject")
    practice.assign(ticket, "technician2")
    here = f"/elevations/{broken(desk).id}"
    answers = {number: name(firefighter, here, number) for number in (ticket, "999999")}
    for number, answer in answers.items():
        assert answer.status_code == 200
        assert f'name="ticket" value="{number}"' in answer.text
        assert "canary-subject" not in answer.text
        assert "Technician Two" not in answer.text
    assert broken(desk).ticket == ""


def test_a_confirmation_is_given_for_an_emergency_as_for_a_ticket(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    practice.control("/policies/Password Administrator", {"authentication_context": "c1"})
    break_glass(firefighter)
    desk.sweep()
    it = broken(desk)
    assert it.state is State.SIGN_IN_NEEDED
    here = f"/elevations/{it.id}"
    firefighter.get(firefighter.at_microsoft(firefighter.to_microsoft(here, page=here), "technician"))
    desk.sweep()
    assert broken(desk).state is State.ACTIVE


def test_an_emergency_that_could_not_start_in_time_ends_in_words(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    fault(practice, "status", side="graph", method="POST", status=503, times=500)
    break_glass(firefighter)
    wait_for(desk, timedelta(minutes=4), steps=8)
    it = broken(desk)
    assert it.state is State.FAILED
    assert firefighter.get(f"/elevations/{it.id}").status_code == 200


def test_a_second_one_at_the_same_time_is_refused(desk: Desk, practice: Practice, firefighter: Browser) -> None:
    break_glass(firefighter)
    answer = break_glass(firefighter, "For another reason, and soon.")
    assert answer.status_code == 409  # type: ignore[attr-defined]
    assert "End that one first" in answer.text  # type: ignore[attr-defined]


def test_the_same_button_pressed_twice_leads_to_what_the_first_press_began(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    first = break_glass(firefighter)
    second = break_glass(firefighter)
    here = f"/elevations/{broken(desk).id}"
    assert (first.status_code, first.location) == (303, here)  # type: ignore[attr-defined]
    assert (second.status_code, second.location) == (303, here)  # type: ignore[attr-defined]
    with desk.deployment.records.write() as tx:
        it = broken(desk)
        elevations.save_elevation(tx, replace(it, created_at=it.created_at - timedelta(minutes=2)))
    assert break_glass(firefighter).status_code == 409  # type: ignore[attr-defined]


def test_a_second_press_that_overtook_the_first_leads_there_as_well(
    desk: Desk, practice: Practice, firefighter: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_glass(firefighter)
    look, looks = elevations.emergency_of, iter([True, False])
    late = lambda *args: None if next(looks) else look(*args)  # noqa: E731  # the first press ends after the first look
    monkeypatch.setattr(elevations, "emergency_of", late)
    answer = break_glass(firefighter)
    assert (answer.status_code, answer.location) == (303, f"/elevations/{broken(desk).id}")  # type: ignore[attr-defined]


def test_a_ticket_that_was_named_frees_no_second_glass_and_can_be_picked(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    break_glass(firefighter)
    desk.sweep()
    it = broken(desk)
    with desk.deployment.records.write() as tx:  # a helpdesk in which an account is called like the Microsoft account
        named = practice.people["technician"]["helpdesk_account"]
        elevations.save_elevation(tx, replace(it, account=named))
    ticket, here = practice.new_ticket(), f"/elevations/{it.id}"
    name(firefighter, here, ticket, sure="yes")
    assert broken(desk).ticket == ticket
    assert break_glass(firefighter, "For another reason, and soon.").status_code == 409  # type: ignore[attr-defined]
    desk.link()
    practice.assign(ticket)
    desk.deliver(ticket)
    assert [each.state for each in desk.elevations(ticket) if not each.emergency] == [State.WATCHED]


def test_what_was_chosen_stays_chosen_when_the_reason_is_refused(practice: Practice, firefighter: Browser) -> None:
    eligible = ["Password Administrator", "User Administrator"]
    practice.control("/people/technician", {"eligible": eligible})
    second = "entra-role:fe930be7-5e62-47db-91af-98c3a49a38b1@/"
    text = break_glass(firefighter, "short", second).text  # type: ignore[attr-defined]
    assert re.search(rf'value="{second}" checked', text)
    assert text.count(" checked ") == 1


def test_while_all_rules_only_watch_no_glass_is_broken_and_nobody_is_told(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    watching = replace(desk.deployment.rules, mode=Mode.WATCH)
    desk.deployment.__dict__["rules"] = watching
    assert "The rules only watch so far" in firefighter.get("/break-glass").text
    before = rows(desk.deployment, but=frozenset({"tenant_answers"}))
    assert firefighter.press("/break-glass", target=PASSWORD_ADMINISTRATOR.key, reason=REASON).status_code == 409
    assert rows(desk.deployment, but=frozenset({"tenant_answers"})) == before


def test_while_the_journal_is_broken_no_glass_is_broken(desk: Desk, practice: Practice, firefighter: Browser) -> None:
    tamper(desk)
    answer = break_glass(firefighter)
    assert answer.status_code == 503  # type: ignore[attr-defined]
    assert practice.activation_requests() == []


def test_reviewers_see_what_a_watching_rule_would_have_done(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    ticket = pick(desk, practice)
    assert desk.only(ticket).state is State.WATCHED
    auditor = browser("auditor")
    text = auditor.get("/review/watched").text
    assert "It would have activated Password Administrator for 1 h" in text
    assert "Watched" in text
    assert "Nothing was watched yet" not in text
    page = browser("technician").get(f"/elevate/practice/{ticket}").text
    assert "This rule only watches so far: nothing is activated" in page
    assert (practice.notes(ticket), practice.activation_requests()) == ([], [])


@pytest.fixture
def mixed(practice: Practice, desk: Desk, tmp_path: Path) -> Iterator[Browser]:
    """A firefighter, where break glass names a directory role and an Azure role."""
    practice.control("/people/technician", {"app_roles": ["BreakGlass"]})
    azure = practice.people["technician"]["eligible_azure"][0]
    place = tmp_path / "mixed.toml"
    other = f'{{ azure_role = "{azure["roleDefinitionId"]}", scope = "{azure["scope"]}" }}'
    place.write_text(RULES.replace('"User Administrator"', other))
    made = Deployment(settings_for(practice, desk.deployment.settings.database_url, tmp_path, rules_file=place))
    page = Browser(create_app(made).test_client(), practice)
    assert page.sign_in("technician").status_code == 303
    yield page
    made.records.dispose()


def test_what_can_be_read_is_offered_and_what_cannot_is_said(practice: Practice, mixed: Browser) -> None:
    text = mixed.get("/break-glass").text
    assert text.count('type="radio"') == 2
    assert "cannot be shown now" not in text

    with_cache = practice.log()["requests"]
    mixed.get("/break-glass")
    assert [it for it in practice.log()["requests"][len(with_cache) :] if it["side"] != "helpdesk"] == []


@pytest.mark.parametrize(
    ("side", "path", "shown", "silent"),
    [
        ("arm", "", "Password Administrator", "Azure resources"),
        ("graph", "/roleManagement/", "Virtual Machine Administrator Login", "Directory roles"),
    ],
)
@pytest.mark.parametrize("status", [503, 403])
def test_one_source_that_is_away_hides_nothing_of_the_other(
    practice: Practice, mixed: Browser, side: str, path: str, shown: str, silent: str, status: int
) -> None:
    fault(practice, "status", side=side, path=path, status=status, times=1000)
    text = mixed.get("/break-glass").text
    assert shown in text
    assert text.count('type="radio"') == 1
    assert f"{silent} cannot be shown now." in text
    assert break_glass(mixed, target=re.findall(r'value="([^"]+@[^"]+)"', text)[0]).status_code == 303  # type: ignore[attr-defined]


def test_where_no_source_answers_it_is_said_that_entra_did_not(practice: Practice, mixed: Browser) -> None:
    fault(practice, "status", side="arm", status=503, times=1000)
    fault(practice, "status", side="graph", path="/roleManagement/", status=503, times=1000)
    answer = mixed.get("/break-glass")
    assert answer.status_code == 502
    assert "Entra did not answer" in answer.text


def test_a_reason_that_entra_did_not_answer_to_is_kept_and_can_be_sent_again(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    token = firefighter.token("/break-glass")
    with desk.deployment.records.write() as tx:
        tx.execute(tenant_answers.delete())
    fault(practice, "status", side="graph", status=503, times=1000)
    form = {"csrf_token": token, "target": PASSWORD_ADMINISTRATOR.key, "reason": REASON}
    answer = firefighter.client.post("/break-glass", data=form)
    assert answer.status_code == 502
    assert "Nothing was started. Press the button again in a minute." in answer.text
    assert "tried again" not in answer.text
    assert "Password Administrator" in answer.text
    kept = re.search(r"<textarea[^>]*>([^<]*)</textarea>", answer.text)
    again = re.search(r'type="hidden" name="target" value="([^"]+)"', answer.text)
    assert kept
    assert again
    mend(practice)
    form = {**form, "target": again[1], "reason": unescape(kept[1])}
    assert firefighter.client.post("/break-glass", data=form).status_code == 303
    assert broken(desk).reason == REASON


def test_a_ticket_that_cannot_be_read_now_is_not_said_to_be_tried_again(
    desk: Desk, practice: Practice, firefighter: Browser
) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    break_glass(firefighter)
    here = f"/elevations/{broken(desk).id}"
    token = firefighter.token(here)
    fault(practice, "status", side="helpdesk", status=503, times=1000)
    form = {"csrf_token": token, "connection": "practice", "ticket": ticket, "sure": "yes"}
    for answer in (
        firefighter.client.post(f"{here}/ticket", data=form),
        firefighter.get(f"/elevate/practice/{ticket}"),
    ):
        assert answer.status_code == 502
        assert "The helpdesk practice is not answering. Try again in a minute." in words(answer)
        assert "by ourselves" not in words(answer)
