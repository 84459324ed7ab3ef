"""Administration in a real browser, against the running product: each state of its pages, and what one can do there."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from cli.stage import Stage
from integration.records.store import Records
from integration.records.tables import deliveries, token_caches
from integration.rules import SHIPPED
from tests.conftest import Practice, until
from tests.end_to_end.conftest import Someone
from tests.end_to_end.test_pages import elevate, offered

pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]
PATIENCE = 60.0  # seconds for a worker to look at every part


@pytest.fixture
def worked(live_practice: Practice, someone: Arrive) -> tuple[Someone, str]:
    """The technician, signed in, and a ticket of theirs whose role is active."""
    me = someone("technician")
    ticket = offered(live_practice, "Password reset", "technician", "Cannot sign in since Monday")
    elevate(me, ticket)
    return me, ticket


def test_findings_are_asked_for_with_one_button_and_come_by_themselves(someone: Arrive) -> None:
    me = someone("administrator")
    me.comes_to("/")
    me.page.get_by_role("link", name="Administration").click()
    me.reads("Work goes on")
    me.reads("Nobody has asked yet")
    me.is_accessible("administration-fresh")
    me.page.get_by_role("button", name="Look now").click()

    def found() -> bool:
        me.at("/administration")
        return "as of" in me.page.inner_text("main")

    until(found, "a worker brought its findings", patience=PATIENCE)
    me.page.get_by_text("in order").first.click()
    me.reads("practice: ")
    me.is_accessible("administration-findings")


def test_what_waits_for_a_helpdesk_and_whose_sign_in_ended_is_said_in_words(someone: Arrive, stage: Stage) -> None:
    me, technician = someone("administrator"), someone("technician2")
    technician.comes_to("/")
    me.comes_to("/administration")
    now, desk = datetime.now(UTC), "practice"
    row = {"id": "0", "connection": desk, "delivery_id": "0", "ticket": "7", "kind": "ticket.assigned.by.automation"}
    later = {"received_at": now - timedelta(hours=3), "due_at": now + timedelta(hours=1), "version": 1, "attempts": 9}
    why = f"The helpdesk {desk} refused our call (HTTP 403). An administrator must check our service account's rights."
    theirs = token_caches.c.oid == technician.person["oid"]
    records = Records(f"sqlite:///{stage.directory}/elevate.sqlite")
    with records.write() as tx:
        tx.execute(deliveries.insert().values(**row, **later, secret="first", outcome=why))
        tx.execute(token_caches.update().where(theirs).values(lost_at=now, lost_why="Your sessions were revoked."))
    try:
        me.at("/administration")
        me.reads(re.compile("1 delivery waits for it. The oldest came 3 hours ago"))
        me.reads("1 has ended.")
        me.is_accessible("administration-errors")
        me.at("/administration/sign-ins")
        me.reads("Your sessions were revoked.")
        me.is_accessible("administration-sign-ins-ended")
    finally:
        with records.write() as tx:
            tx.execute(deliveries.delete().where(deliveries.c.id == "0"))
        records.dispose()


def test_a_sign_in_is_deleted_after_a_page_that_names_its_person(someone: Arrive, worked: tuple[Someone, str]) -> None:
    technician, _ = worked
    me = someone("administrator")
    me.comes_to("/administration/sign-ins")
    me.is_accessible("administration-sign-ins")
    me.page.get_by_label("Name, address or object id").fill("technician one")
    me.page.get_by_role("button", name="Search").click()
    me.page.get_by_role("link", name="Delete the sign-in of Technician One").click()
    me.sees(me.page.get_by_role("heading", name="Delete the sign-in of Technician One?"))
    me.reads("Without the sign-in it is not given back early")
    me.is_accessible("administration-purge")
    me.page.get_by_role("button", name="Delete the sign-in of Technician One").click()
    me.reads("The sign-in was deleted")
    technician.at("/")
    technician.sees(technician.page.get_by_role("button", name="Sign in with Microsoft"))


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_rule_is_tried_with_a_ticket_a_mistake_and_a_file(
    someone: Arrive, worked: tuple[Someone, str], tmp_path: Path, script: bool
) -> None:
    _, ticket = worked
    file = tmp_path / "rules-with-a-rather-long-name-2026-11.toml"
    me = someone("administrator", java_script_enabled=script)
    me.at("/administration/try")
    me.page.get_by_role("button", name="Sign in with Microsoft").click()
    me.page.get_by_role("button", name=me.person["upn"], exact=False).click()
    me.page.get_by_label("Ticket number or address").fill(f"#{ticket}")
    me.page.get_by_role("button", name="Try").click()
    me.reads("Password Administrator in the whole directory")
    me.reads("eligibilities are those that Entra told")
    if script:
        me.is_accessible("try-analysis")

    file.write_text(SHIPPED.read_text().replace("duration =", "durration =", 1))
    me.page.get_by_label("A rules file that you are editing").set_input_files(file)
    me.page.get_by_role("button", name="Try").click()
    me.reads(re.compile(r'Line \d+:.*Did you mean "duration"'))
    if script:
        me.is_accessible("try-mistake")

    file.write_text(SHIPPED.read_text().replace('"Password Administrator",\n', "", 1))
    me.page.get_by_label("A rules file that you are editing").set_input_files(file)
    me.page.get_by_role("button", name="Try").click()
    me.reads("The two files answer differently")
    me.reads("would have got another answer")
    expect(me.page.locator("tbody tr").first).to_contain_text("Helpdesk Administrator")
    if script:
        me.page.get_by_text("What was compared, and what could not be").click()
        me.is_accessible("try-diff")


def test_what_each_rule_did_is_on_a_page_of_its_own(someone: Arrive, worked: tuple[Someone, str]) -> None:
    me = someone("administrator")
    me.comes_to("/administration")
    me.page.get_by_role("link", name="Rules", exact=True).click()
    row = me.page.locator("tbody tr", has_text="password-reset")
    expect(row.locator("td").nth(1)).not_to_have_text("0")
    me.is_accessible("administration-rules")
