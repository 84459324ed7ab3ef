"""The main job on a real Request Tracker, from the click on RT to the comment on RT.

RT's own scrip sends our webhook, the product's own processes (`init`, `run`) do the rest, and what is asserted was seen
on the ticket, in RT's mail, in the tenant, or in our tables. A step may take as long as the machine needs.
"""

import re
from collections.abc import Iterator

import pytest

from tests.conftest import until
from tests.end_to_end.request_tracker_stage import PATIENCE, REQUESTER, SERVICE_ACCOUNT, Stage, link_in

pytestmark = [pytest.mark.request_tracker, pytest.mark.timeout(300)]

LAST_LINE = r"\[te:[0-9A-Z]{26}:%s\] Journal [0-9]+( [0-9a-f]{8}){4}"


def test_the_first_take_asks_for_one_sign_in_and_goes_on_by_itself(stage: Stage) -> None:
    number = stage.new_ticket("Cannot sign in")
    stage.rt.take(number, by="technician2")
    note = stage.note(number, "sign in once")
    assert stage.practice.activation_requests("technician2") == []
    stage.sign_in(link_in(note), "technician2")
    stage.wait_for({"Authentication Administrator"}, "technician2")
    active = stage.note(number, "is active until")
    assert active.startswith("Authentication Administrator is active until")
    (asked,) = stage.practice.activation_requests("technician2")
    assert number in asked["justification"]


def test_a_later_take_needs_no_page_and_the_resolve_gives_the_role_back(stage: Stage) -> None:
    stage.browser("technician")
    number = stage.new_ticket("Cannot sign in again")
    stage.rt.take(number)
    active = stage.note(number, "is active until")
    assert stage.role_names() == {"Password Administrator"}
    assert re.fullmatch(LAST_LINE % "active", active.splitlines()[-1])
    stage.rt.resolve(number)
    ended = stage.note(number, "Password Administrator was given back at")
    assert re.fullmatch(LAST_LINE % "ended", ended.splitlines()[-1])
    stage.wait_for(set())
    assert not any("sign in" in text for text in stage.notes(number))


def test_our_comments_are_internal_and_the_requester_gets_no_mail_of_them(stage: Stage) -> None:
    stage.browser("technician")
    number = stage.new_ticket("Cannot sign in, and reads mail")
    stage.rt.take(number)
    stage.note(number, "is active until")
    stage.rt.resolve(number)
    stage.note(number, "was given back")
    until(lambda: f"rt.test #{number}" in stage.mail(), "RT sends mail of this ticket at all", patience=PATIENCE)
    mail = stage.mail()
    assert REQUESTER in mail
    assert "[te:" not in mail
    assert "Password Administrator" not in mail
    for transaction in _ours(stage, number):
        assert transaction["Type"] == "Comment"


def test_what_we_write_on_a_ticket_starts_nothing(stage: Stage) -> None:
    """No loop: our own comment must not tell us of a change."""
    stage.browser("technician")
    number = stage.new_ticket("Taken once")
    stage.rt.take(number)
    stage.note(number, "is active until")
    stage.note(number, "is usable since")
    stage.quiet(number)
    assert [d["kind"] for d in stage.deliveries(number)] == ["ticket.owner_changed"]
    assert [e["state"] for e in stage.elevations(number)] == ["active"]
    assert len(stage.notes(number)) == 2
    stage.rt.resolve(number)
    stage.note(number, "was given back")
    stage.quiet(number)
    assert sorted(d["kind"] for d in stage.deliveries(number)) == ["ticket.owner_changed", "ticket.status_changed"]
    assert [e["state"] for e in stage.elevations(number)] == ["ended"]
    steps = [re.findall(r"\[te:[0-9A-Z]{26}:([a-z-]+)\]", text)[0] for text in stage.notes(number)]
    assert len(steps) == len(set(steps))


def test_a_ticket_that_somebody_else_hands_out_gets_only_a_link_and_the_button_on_rt_starts_it(stage: Stage) -> None:
    """Threat 7."""
    browser = stage.browser("technician")
    before = len(stage.practice.activation_requests())
    number = stage.new_ticket("Handed out by the desk's lead")
    stage.rt.assign(number, "technician", by="root")
    stage.note(number, "was assigned by somebody else, so nothing was activated")
    stage.quiet(number)
    assert len(stage.practice.activation_requests()) == before
    assert stage.role_names() == set()

    buttons = re.findall(r'<a class="button btn btn-primary" href="([^"]+)"', stage.rt.page(number, by="technician"))
    assert buttons == [f"{stage.public_url}/elevate/rt/{number}"]
    page = browser.get(buttons[0], timeout=PATIENCE)
    assert page.ok
    assert "Password Administrator" in page.text
    assert f"{stage.rt.url}/Ticket/Display.html?id={number}" in page.text
    form = dict(re.findall(r'name="(csrf_token|shown)" value="([^"]+)"', page.text))
    assert set(form) == {"csrf_token", "shown"}
    pressed = browser.post(buttons[0], data=form, headers={"Referer": buttons[0]}, timeout=PATIENCE)
    assert pressed.ok
    stage.note(number, "Password Administrator is active until")
    stage.wait_for({"Password Administrator"})


def test_a_stolen_ticket_ends_the_first_technicians_elevation(stage: Stage) -> None:
    stage.browser("technician")
    stage.browser("technician2")
    number = stage.new_ticket("To be stolen")
    stage.rt.take(number)
    stage.note(number, "Password Administrator is active until")
    stage.rt.steal(number, by="technician2")
    stage.note(number, "Password Administrator was given back at")
    stage.wait_for(set())
    stage.note(number, "Authentication Administrator is active until")
    stage.wait_for({"Authentication Administrator"}, "technician2")
    assert [(e["account"], e["state"]) for e in stage.elevations(number)] == [
        ("technician", "ended"),
        ("technician2", "active"),
    ]


def test_a_technician_who_is_the_requester_gets_no_role(stage: Stage) -> None:
    """Threat 9."""
    stage.browser("technician")
    number = stage.new_ticket("My own password", Cc="technician@practice.example")
    stage.rt.take(number)
    stage.note(number, "No role was activated.")
    assert stage.role_names() == set()


def test_a_take_while_the_product_is_down_is_made_up_for_when_it_is_back(stage: Stage) -> None:
    stage.browser("technician")
    number = stage.new_ticket("Taken while nobody listens")
    stage.stop()
    try:
        stage.rt.take(number)
        until(
            lambda: any((stage.rt.folder / "var").glob("ticket-elevate-*/body")), "RT keeps the change to tell it again"
        )
        assert stage.notes(number) == []
    finally:
        stage.start()
    # RT tries again after 1, 1, 2, 4, 8, 15, 30 and then 60 seconds: a slow start may just have missed one.
    stage.note(number, "Password Administrator is active until", patience=150)
    stage.quiet(number)
    assert len(stage.elevations(number)) == 1


def test_a_take_does_not_wait_for_a_product_that_hangs(stage: Stage) -> None:
    stage.browser("technician")
    number = stage.new_ticket("Taken while everything hangs")
    with stage.hanging():
        stage.rt.take(number)  # comes back, though nobody can answer before this block ends
        assert stage.rt.owner(number) == "technician"
    stage.note(number, "Password Administrator is active until")
    stage.quiet(number)
    assert len(stage.elevations(number)) == 1


def test_doctor_finds_the_connection_well(stage: Stage) -> None:
    said = stage.command("doctor")
    assert "rt: rt lets us write comments" in said
    assert "FAIL" not in said


def test_no_secret_is_in_our_log_or_in_rts(stage: Stage) -> None:
    """Threat 24."""
    shown = stage.log() + stage.rt.log()
    for secret in (*stage.rt.tokens.values(), stage.practice.facts["client_secret"], "VGhlIHNlY3JldCBvZiBh"):
        assert secret not in shown


def _ours(stage: Stage, number: str) -> list[dict[str, str]]:
    page = stage.rt.call("root", "GET", f"/ticket/{number}/history", fields="Type,Creator", per_page="100")
    found = [one for one in page["items"] if one["Creator"]["id"] == SERVICE_ACCOUNT]
    assert found
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    # Redis listens on a socket in this folder, and a socket's path must be short.
    with Stage(tmp_path_factory.mktemp("s")).raised() as stage:
        yield stage


@pytest.fixture
def stage(whole: Stage) -> Iterator[Stage]:
    yield whole
    whole.tidy()
