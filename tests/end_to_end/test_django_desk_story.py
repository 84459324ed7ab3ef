"""The main job on a real django-helpdesk, which we know only by the settings in docs/connect-generic.md.

Its own webhooks call us, the product's own processes (`init`, `run`) do the rest, and what is asserted was seen on the
ticket, in its mail, in the tenant, or in our tables. The limits that the page tells of are shown here too.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import requests
import tomlkit

from integration.helpdesks import connect
from integration.tickets import Ticket
from tests.end_to_end.desk_stage import PATIENCE, DeskStage, link_in
from tests.helpdesks.django_desk.bench import settings_for
from tests.helpdesks.django_desk.django_desk import SERVICE_ACCOUNT, site_runs

pytestmark = [pytest.mark.stories, pytest.mark.timeout(300)]

SECRET = "a-secret-of-the-story-0123456789"
LAST_LINE = r"\[te:[0-9A-Z]{26}:%s\] Journal [0-9]+( [0-9a-f]{8}){4}"
ROLES = {"technician": "Password Administrator", "technician2": "Authentication Administrator"}


class Stage(DeskStage):
    """`site`, `practice` (its tenant) and the product between them."""

    @contextmanager
    def raised(self) -> Iterator["Stage"]:
        place = self._folder / "desk"
        place.mkdir()
        hook = f"http://elevate:{SECRET}@127.0.0.1:{self._port}/webhooks/desk"
        with site_runs(place, webhook_url=hook) as self.site, self.running():
            yield self

    @property
    def connection(self) -> str:
        table = settings_for(self.site, url=self.site.url, secret=SECRET)
        return tomlkit.dumps({"helpdesks": {"desk": table}})

    def new_ticket(self, subject: str, requester: str = "requester") -> str:
        number = self.site.new_ticket(subject, "Password reset", requester)
        self._tickets.append(number)
        return number

    def take(self, number: str, *, by: str) -> None:
        self.site.take(number, by=by)

    def hand(self, number: str, to: str, *, by: str) -> None:
        self.site.update(number, by=by, owner=self.site.accounts[to]["id"])

    def solve(self, number: str) -> None:
        self.site.update(number, by="technician2", new_status="3")

    def notes(self, number: str) -> Sequence[str]:
        return [it["comment"] for it in self.site.follow_ups(number) if "[te:" in (it["comment"] or "")]

    def sending(self) -> bool:
        return False  # whoever changes a ticket waits until we have answered

    def read(self, number: str) -> Ticket:
        """What our adapter reads."""
        table = settings_for(self.site, url=self.site.url, secret=SECRET)
        return connect("desk", table).ticket(number, now=datetime.now(UTC))


def test_the_first_take_asks_for_one_sign_in_and_the_solved_ticket_gives_the_role_back(stage: Stage) -> None:
    number = stage.new_ticket("Cannot sign in")
    stage.take(number, by="technician")
    note = stage.note(number, "sign in once")
    assert stage.practice.activation_requests("technician") == []
    stage.sign_in(link_in(note), "technician")
    active = stage.note(number, "is active until")
    assert active.startswith("Password Administrator is active until")
    stage.wait_for({ROLES["technician"]})
    (asked,) = stage.practice.activation_requests("technician")
    assert number in asked["justification"]
    stage.solve(number)
    ended = stage.note(number, "Password Administrator was given back at")
    assert re.fullmatch(LAST_LINE % "ended", ended.splitlines()[-1])
    stage.wait_for(set())


def test_a_later_take_needs_no_page(stage: Stage) -> None:
    stage.browser("technician")
    number = stage.new_ticket("Cannot sign in again")
    stage.take(number, by="technician")
    active = stage.note(number, "Password Administrator is active until")
    assert re.fullmatch(LAST_LINE % "active", active.splitlines()[-1])
    stage.wait_for({ROLES["technician"]})
    assert not any("sign in" in text for text in stage.notes(number))


def test_a_ticket_that_somebody_else_hands_out_gets_only_a_link(stage: Stage) -> None:
    """Threat 7."""
    browser = stage.browser("technician")
    before = len(stage.practice.activation_requests())
    number = stage.new_ticket("Handed out by the desk's lead")
    stage.hand(number, "technician", by="technician2")
    stage.note(number, "was assigned by somebody else, so nothing was activated")
    stage.quiet(number)
    assert len(stage.practice.activation_requests()) == before
    assert stage.role_names() == set()
    page = browser.get(f"{stage.public_url}/elevate/desk/{number}", timeout=PATIENCE)
    assert f"{stage.site.url}/tickets/{number}/" in page.text
    assert "Password Administrator" in page.text


def test_a_ticket_that_is_taken_over_ends_the_first_technicians_elevation(stage: Stage) -> None:
    stage.browser("technician")
    stage.browser("technician2")
    number = stage.new_ticket("To be taken over")
    stage.take(number, by="technician")
    stage.note(number, "Password Administrator is active until")
    stage.take(number, by="technician2")
    stage.note(number, "Password Administrator was given back at")
    stage.note(number, "Authentication Administrator is active until")
    stage.wait_for(set())
    stage.wait_for({ROLES["technician2"]}, "technician2")


def test_a_technician_who_is_the_requester_gets_no_role(stage: Stage) -> None:
    """Threat 9."""
    stage.browser("technician")
    number = stage.new_ticket("My own password", requester="technician")
    stage.take(number, by="technician")
    stage.note(number, "No role was activated.")
    assert stage.role_names() == set()


def test_what_we_write_is_internal_starts_nothing_and_is_mailed_to_nobody(stage: Stage) -> None:
    stage.browser("technician")
    number = stage.new_ticket("Taken once, and reads mail")
    stage.take(number, by="technician")
    stage.note(number, "is active until")
    stage.note(number, "is usable since")
    stage.quiet(number)
    assert len(stage.elevations(number)) == 1
    assert len(stage.notes(number)) == 2
    ours = [it for it in stage.site.follow_ups(number) if str(it["user"]) == stage.site.accounts[SERVICE_ACCOUNT]["id"]]
    assert [it["public"] for it in ours] == [False, False]
    assert stage.read(number).subject == "Taken once, and reads mail"  # a note with a title of its own would rename it
    stage.site.update(number, by="technician", comment="We are working on it.", public="1")
    assert "We are working on it." in stage.site.mail()
    assert "[te:" not in stage.site.mail()


def test_a_title_that_reads_like_a_pick_is_none(stage: Stage) -> None:
    """A comment has the title of its ticket, and requesters write titles."""
    number = stage.new_ticket("Assigned to technician")
    stage.hand(number, "technician", by="technician2")
    stage.site.comment(number, "Called back.", by="technician")
    assert stage.read(number).assigned_by is None
    stage.site.update(number, by="technician2", title="Cannot sign in")
    assert stage.read(number).assigned_by is None


def test_a_change_over_the_api_is_nobodys_pick(stage: Stage) -> None:
    """It leaves no trace, so the last trace that there is belongs to another change."""
    number = stage.new_ticket("Handed back without a trace")
    stage.take(number, by="technician")
    assert stage.read(number).assigned_by == stage.site.accounts["technician"]["id"]
    stage.hand(number, "technician2", by="technician")
    stage.quiet(number)
    told = len(stage.deliveries(number))
    stage.site.api(
        "technician2", "PATCH", f"/tickets/{number}/", {"assigned_to": stage.site.accounts["technician"]["id"]}
    )
    ticket = stage.read(number)
    assert ticket.assignee is not None
    assert ticket.assignee.account == stage.site.accounts["technician"]["id"]
    assert ticket.assigned_by is None
    assert len(stage.deliveries(number)) == told


def test_a_take_while_the_product_is_down_fails_and_counts_with_the_next_word(stage: Stage) -> None:
    stage.browser("technician")
    number = stage.new_ticket("Taken while nobody listens")
    stage.stop()
    try:
        with pytest.raises(requests.HTTPError, match="500"):
            stage.take(number, by="technician")
    finally:
        stage.start()
    assert [it["kind"] for it in stage.deliveries(number)] == ["new ticket"]
    stage.site.comment(number, "Did that work?", by="technician")
    stage.note(number, "Password Administrator is active until")


def test_doctor_finds_the_connection_well(stage: Stage) -> None:
    said = stage.command("doctor")
    assert "desk knows us as 1" in said
    assert "FAIL" not in said


def test_no_secret_is_in_our_log(stage: Stage) -> None:
    """Threat 24."""
    secrets = [SECRET, stage.practice.facts["client_secret"], stage.site.accounts[SERVICE_ACCOUNT]["token"]]
    assert [secret for secret in secrets if secret in stage.log()] == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    # Redis listens on a socket in this folder, and a socket's path must be short.
    with Stage(tmp_path_factory.mktemp("s")).raised() as stage:
        yield stage


@pytest.fixture
def stage(whole: Stage) -> Iterator[Stage]:
    yield whole
    whole.tidy()
