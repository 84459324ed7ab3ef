"""The panel in a helpdesk that signs who presses: what it is told, whom it starts something for, and that once."""

import io
import json
import logging
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from freezegun import freeze_time

from integration.deployment import Deployment
from integration.elevation import State
from integration.logs import JsonLines
from integration.records import administration, people
from integration.records.people import Link
from integration.records.tables import deliveries, elevations
from tests.conftest import Desk, Practice, practice_runs, settings_for
from tests.webhooks.conftest import rows
from tests.webhooks.test_linking import entries
from webhooks.app import create_app
from webhooks.panels import LATER, SOON

PANEL = "/panels/practice"
PASSWORD = "Password Administrator"
Ask = Callable[..., Any]


# What is shown


def test_the_assignee_sees_the_role_and_the_button(ask: Ask, ticket: str) -> None:
    told = ask(ticket)
    assert (told["title"], told["button"]) == (PASSWORD, "Elevate")
    assert any("for this ticket alone" in sentence for sentence in told["sentences"])


def test_looking_changes_nothing(ask: Ask, ticket: str, deployment: Deployment) -> None:
    ask(ticket)  # what the tenant said is kept for a while
    before = rows(deployment)
    for _ in range(3):
        ask(ticket)
    assert rows(deployment) == before


def test_the_reader_is_told_in_their_language(ask: Ask, ticket: str) -> None:
    assert "Nur für dieses Ticket" in " ".join(ask(ticket, language="de-DE")["sentences"])


# The press


def test_a_press_of_a_linked_technician_starts_it(
    ask: Ask, ticket: str, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    told = ask(ticket, "elevate", shown=ask(ticket)["shown"])
    assert (told["label"], told["button"]) == ("Being prepared", None)
    assert told["url"] == deployment.link(told["elevation"])
    it = desk.only(ticket)
    assert (it.id, it.state, it.clicked) == (told["elevation"], State.REQUESTED, True)
    desk.sweep()
    assert len(practice.active_roles()) == 1
    told = ask(ticket, follows=it.id)
    assert (told["title"], told["label"]) == (PASSWORD, "Active")
    assert told["until"] == (desk.only(ticket).until or desk.now()).isoformat()


def test_the_press_is_in_the_journal_and_in_the_log_of_deliveries(
    ask: Ask, ticket: str, deployment: Deployment
) -> None:
    ask(ticket, "elevate", shown=ask(ticket)["shown"])
    with deployment.records.read() as reading:
        (kept,) = reading.execute(deliveries.select()).all()
    assert (kept.ticket, kept.kind, kept.due_at) == (ticket, "panel", None)
    with deployment.records.read() as reading:
        assert administration.traffic(reading, "practice").delivered_at is None  # it shows no webhook that works
    (planned,) = entries(deployment, "pick.planned")
    assert (planned["cause"], planned["proof"]) == ("click", kept.delivery_id)


def test_who_did_not_see_this_plan_starts_nothing(ask: Ask, ticket: str, desk: Desk) -> None:
    for shown in ("", "0" * 64, secrets.token_hex(4000)[:3000]):
        told = ask(ticket, "elevate", shown=shown)
        assert told["button"] == "Elevate"
        assert "Something changed" in told["sentences"][0]
    assert desk.elevations(ticket) == []


def test_two_presses_start_one(ask: Ask, ticket: str, desk: Desk, practice: Practice) -> None:
    shown = ask(ticket)["shown"]
    first, second = (ask(ticket, "elevate", shown=shown) for _ in range(2))
    assert first["elevation"] == second["elevation"] == desk.only(ticket).id
    desk.sweep()
    assert len(practice.activation_requests()) == 1


def test_a_token_that_is_sent_again_starts_nothing_a_second_time(
    ask: Ask, ticket: str, desk: Desk, practice: Practice, token: Callable[..., str]
) -> None:
    once = token(ticket)
    first = ask(ticket, "elevate", shown=ask(ticket)["shown"], bearer=once)
    desk.sweep()
    ended(desk, first["elevation"])
    desk.advance(timedelta(minutes=6))
    desk.sweep()
    assert practice.active_roles() == []
    shown = ask(ticket)["shown"]
    told = ask(ticket, "elevate", shown=shown, bearer=once)
    assert told["button"] == "Elevate"
    assert len(desk.elevations(ticket)) == 1
    assert ask(ticket, "elevate", shown=shown)["elevation"] != first["elevation"]  # a press of its own does
    assert len(desk.elevations(ticket)) == 2


def test_a_token_of_one_ticket_starts_nothing_on_another_one(
    ask: Ask, ticket: str, desk: Desk, practice: Practice, token: Callable[..., str]
) -> None:
    other = new_ticket(practice)
    once, shown = token(ticket), ask(other)["shown"]
    ask(ticket, "elevate", shown=ask(ticket)["shown"], bearer=once)
    ask(other, "elevate", shown=shown, bearer=once)
    assert len(desk.elevations(ticket)) == 1
    assert desk.elevations(other) == []


def test_how_it_ended_is_told_to_the_panel_that_followed_it(
    ask: Ask, ticket: str, desk: Desk, practice: Practice
) -> None:
    started = ask(ticket, "elevate", shown=ask(ticket)["shown"])["elevation"]
    desk.sweep()
    ended(desk, started)
    desk.advance(timedelta(minutes=6))
    desk.sweep()
    assert ask(ticket, follows=started)["sentences"][0].startswith("Ended")
    assert not ask(ticket)["sentences"][0].startswith("Ended")


def test_a_press_that_starts_nothing_says_so(ask: Ask, ticket: str, desk: Desk, token: Callable[..., str]) -> None:
    once, other = token(ticket), token(ticket)
    started = ask(ticket, "elevate", shown=ask(ticket)["shown"], bearer=once)["elevation"]
    desk.sweep()
    ended(desk, started)
    desk.advance(timedelta(minutes=6))
    desk.sweep()
    plan = ask(ticket)
    told = ask(ticket, "elevate", shown=plan["shown"], bearer=once)
    assert told["sentences"][0].startswith("Nothing was started by this press")
    assert (told["button"], told["shown"]) == ("Elevate", plan["shown"])
    assert ask(ticket, "elevate", shown=told["shown"], bearer=other)["label"] == "Being prepared"


# What is on is shown from our own rows


def test_what_is_on_is_shown_while_the_helpdesk_is_away(ask: Ask, ticket: str, desk: Desk, practice: Practice) -> None:
    started = ask(ticket, "elevate", shown=ask(ticket)["shown"])["elevation"]
    desk.sweep()
    practice.control("/faults", {"match": {"side": "helpdesk"}, "kind": "status", "status": 503, "times": 100})
    for action in ("look", "elevate"):
        told = ask(ticket, action, bearer=None, shown="x")
        assert (told["label"], told["elevation"], told["link"]) == ("Active", started, "Details, or end it")
        assert told["again_after"]


def test_looking_at_what_is_on_costs_the_helpdesk_nothing(
    ask: Ask, ticket: str, desk: Desk, practice: Practice
) -> None:
    ask(ticket, "elevate", shown=ask(ticket)["shown"])
    for state in ("Being prepared", "Active"):
        before = readings(practice)
        assert ask(ticket)["label"] == state
        assert readings(practice) == before
        desk.sweep()
    assert readings(practice) > 0


@pytest.mark.parametrize("how", ["solved", "handed over"])
def test_a_role_that_is_still_on_is_shown_on_a_ticket_that_is_theirs_no_more(
    ask: Ask, ticket: str, desk: Desk, practice: Practice, how: str
) -> None:
    started = ask(ticket, "elevate", shown=ask(ticket)["shown"])["elevation"]
    desk.sweep()
    if how == "solved":
        practice.solve(own(ticket))
    else:
        assign(practice, ticket, "technician2")
    told = ask(ticket)
    assert (told["label"], told["elevation"]) == ("Active", started)
    ended(desk, started)
    told = ask(ticket)
    assert (told["label"], told["elevation"], told["again_after"]) == ("Being given back", started, SOON)
    desk.advance(timedelta(minutes=6))
    desk.sweep()
    told = ask(ticket, follows=started)
    assert told["label"] is None
    assert told["sentences"][0].startswith("Ended")
    assert told["again_after"]


def test_a_role_that_is_being_given_back_does_not_hide_the_button(ask: Ask, ticket: str, desk: Desk) -> None:
    first = ask(ticket, "elevate", shown=ask(ticket)["shown"])["elevation"]
    desk.sweep()
    ended(desk, first)
    assert str(desk.only(ticket).state) == "ending"
    told = ask(ticket)
    assert told["button"] == "Elevate"
    second = ask(ticket, "elevate", shown=told["shown"])
    assert second["elevation"] not in (None, first)


def test_a_colleagues_role_is_not_shown(ask: Ask, ticket: str, desk: Desk, practice: Practice) -> None:
    link(desk, practice, "technician2")
    ask(ticket, "elevate", shown=ask(ticket)["shown"])
    desk.sweep()
    told = ask(ticket, who="technician2")
    assert (told["title"], told["elevation"], told["url"]) == ("This is another technician's ticket", None, None)


# When it looks again


def test_what_has_no_button_is_looked_at_again(ask: Ask, ticket: str, practice: Practice) -> None:
    unlinked = new_ticket(practice, "technician2")
    assert ask(ticket)["again_after"] is None
    without = [
        ask(unlinked, who="technician2"),
        ask(unlinked),
        ask(f"IT-{practice.new_ticket()}"),
        ask(new_ticket(practice, category="Coffee machine")),
        ask("IT-9999"),
    ]
    practice.solve(own(ticket))
    without.append(ask(ticket))
    assert [told["button"] for told in without] == [None] * len(without)
    assert all(told["again_after"] >= LATER for told in without)


def test_it_looks_often_for_the_first_minute_alone(
    ask: Ask, ticket: str, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    """Counted from the press: the offer that was pressed may have stood there for hours."""
    practice.desk("POST", f"/api/tickets/{own(ticket)}/assign", {"assignee": "technician2"}, by="technician")
    practice.assign(own(ticket), by="approver")
    desk.deliver(ticket)
    desk.sweep()
    assert desk.only(ticket).state is State.OFFERED
    with deployment.records.write() as tx:
        tx.execute(elevations.update().values(created_at=desk.now() - timedelta(hours=2)))
    told = ask(ticket, "elevate", shown=ask(ticket)["shown"])
    assert (told["label"], told["again_after"]) == ("Being prepared", SOON)
    with freeze_time(datetime.now(UTC) + timedelta(seconds=61)):
        assert ask(ticket, bearer=None)["again_after"] == LATER
    desk.sweep()
    assert ask(ticket)["again_after"] == LATER


# Who it is not for


def test_an_account_that_nobody_linked_is_shown_our_page(
    ask: Ask, ticket: str, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    assign(practice, ticket, "technician2")
    for action in ("look", "elevate"):
        told = ask(ticket, action, who="technician2", shown="x")
        assert told["url"] == f"{deployment.settings.public_url}/elevate/practice/{ticket}"
        assert told["button"] is None
        assert PASSWORD not in str(told)
    assert desk.elevations(ticket) == []


def test_a_colleague_who_is_not_the_assignee_is_told_so(ask: Ask, ticket: str, desk: Desk, practice: Practice) -> None:
    link(desk, practice, "technician2")
    shown = ask(ticket)["shown"]
    for action in ("look", "elevate"):
        told = ask(ticket, action, who="technician2", shown=shown)
        assert told["title"] == "This is another technician's ticket"
        assert (told["button"], told["url"]) == (None, None)
    assert desk.elevations(ticket) == []


def test_what_a_colleague_started_is_not_shown_to_who_names_it(
    ask: Ask, ticket: str, desk: Desk, practice: Practice
) -> None:
    link(desk, practice, "technician2")
    theirs = new_ticket(practice, "technician2")
    started = ask(ticket, "elevate", shown=ask(ticket)["shown"])["elevation"]
    desk.sweep()
    ended(desk, started)
    told = ask(theirs, who="technician2", follows=started)
    assert not any(sentence.startswith(("Ended", "Being")) for sentence in told["sentences"])


def test_whose_sign_in_was_deleted_is_shown_our_page(
    ask: Ask, ticket: str, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    shown, person = ask(ticket)["shown"], practice.people["technician"]
    deployment.tenant.forget(practice.facts["tenant_id"], person["oid"], now=desk.now())
    told = ask(ticket, "elevate", shown=shown)
    assert (told["link"], told["button"]) == ("Open Ticket Elevate", None)
    assert desk.elevations(ticket) == []


def test_a_link_that_is_suspended_counts_for_nothing(
    ask: Ask, ticket: str, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    shown = ask(ticket)["shown"]
    with deployment.records.write() as tx:
        found = people.link_of(tx, "practice", practice.facts["helpdesk_accounts"]["technician"])
        assert found is not None
        people.suspend_link(tx, found, now=desk.now())
    assert ask(ticket, "elevate", shown=shown)["link"] == "Open Ticket Elevate"
    assert desk.elevations(ticket) == []


def test_a_solved_ticket_and_one_of_nobody_give_no_button(ask: Ask, ticket: str, practice: Practice) -> None:
    practice.solve(own(ticket))
    assert ask(ticket)["title"] == "The ticket is solved"
    unassigned = f"IT-{practice.new_ticket()}"
    assert ask(unassigned)["title"] == "The ticket is nobody's"


def test_a_ticket_without_a_role_says_why(ask: Ask, desk: Desk, practice: Practice) -> None:
    link(desk, practice, "technician")
    told = ask(new_ticket(practice, category="Coffee machine"))
    assert (told["title"], told["button"]) == ("No role for this ticket", None)
    assert told["sentences"]


@pytest.mark.parametrize("number", ["IT-9999", "../1", "1", "IT-1?x", "IT-1\u202e", "", "x" * 300])
def test_a_number_that_is_no_ticket_starts_nothing(ask: Ask, ticket: str, deployment: Deployment, number: str) -> None:
    before = rows(deployment)
    answer = ask(number, "elevate", shown="x", raw=True)
    assert answer.status_code in (200, 400)
    assert '"button":"Elevate"' not in answer.text.replace(" ", "")
    assert rows(deployment) == before


# The door


def test_a_call_without_a_good_token_is_refused(
    app: Flask, ticket: str, deployment: Deployment, token: Callable[..., str]
) -> None:
    client, before = app.test_client(), rows(deployment)
    good = token(ticket)
    for bearer in (None, "Bearer x", f"Bearer {good[:-8]}AAAAAAAA", f"Basic {good}", good):
        headers = {"Authorization": bearer} if bearer else {}
        answer = client.post(PANEL, json={"ticket": ticket, "action": "elevate"}, headers=headers)
        assert answer.status_code == 401
        assert PASSWORD not in answer.text
        assert good[:40] not in answer.text
    twice = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")]
    assert client.post(PANEL, json={"ticket": ticket, "action": "look"}, headers=twice).status_code == 401
    assert rows(deployment) == before


@pytest.mark.parametrize(
    ("wrong", "status", "reason"),
    [
        ({"panel_app": "ari:cloud:ecosystem::app/00000000-0000-0000-0000-000000000000"}, 401, "app"),
        ({"panel_app": None}, 401, "settings"),
        ({"cloud_id": "00000000-0000-0000-0000-000000000000"}, 401, "site"),
        ({"panel_keys_url": "http://127.0.0.1:9/jwks.json"}, 503, "keys"),
    ],
)
def test_why_a_panel_is_refused_stands_in_the_log(
    practice: Practice,
    deployment: Deployment,
    tmp_path: Path,
    token: Callable[..., str],
    wrong: dict[str, Any],
    status: int,
    reason: str,
) -> None:
    desks, out = {"practice": {**practice.facts["helpdesk"], **wrong}}, io.StringIO()
    made = Deployment(settings_for(practice, deployment.settings.database_url, tmp_path, helpdesks=desks))
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    try:
        headers = {"Authorization": f"Bearer {token('IT-1')}"}
        answer = create_app(made).test_client().post(PANEL, json={"ticket": "IT-1", "action": "look"}, headers=headers)
    finally:
        logging.getLogger().removeHandler(handler)
    assert answer.status_code == status
    assert "webhook" not in answer.get_json()["detail"]
    (line,) = [json.loads(line) for line in out.getvalue().splitlines() if "panel_not_proven" in line]
    assert (line["connection"], line["status"], line["reason"]) == ("practice", status, reason)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'"x"', b'{"ticket": "IT-1"}', b'{"ticket": ["IT-1"], "action": "look"}', b"\xff\xfe",
     b'{"ticket": "IT-1", "action": "end"}', b'{"ticket": "IT-1", "action": ["look"]}', b"[" * 3000,
     b'{"ticket": "IT-1", "action": "look", "action": "elevate"}'],
)  # fmt: skip
def test_a_body_that_is_no_panels_is_refused(app: Flask, token: Callable[..., str], body: bytes) -> None:
    headers = {"Authorization": f"Bearer {token('IT-1')}", "Content-Type": "application/json"}
    assert app.test_client().post(PANEL, data=body, headers=headers).status_code == 400


def test_a_long_body_is_not_read(app: Flask, token: Callable[..., str]) -> None:
    headers = {"Authorization": f"Bearer {token('IT-1')}"}
    assert app.test_client().post(PANEL, data=b" " * 5000, headers=headers).status_code == 413


def test_no_cookie_is_set_or_needed_and_no_other_connection_answers(
    app: Flask, ticket: str, token: Callable[..., str]
) -> None:
    client, body = app.test_client(), {"ticket": ticket, "action": "look"}
    headers = {"Authorization": f"Bearer {token(ticket)}"}
    answer = client.post(PANEL, json=body, headers=headers)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert client.post("/panels/other", json=body, headers=headers).status_code == 404
    assert client.get(PANEL, headers=headers).status_code == 405


def test_one_account_that_asks_too_often_waits_and_no_other_does(
    practice: Practice, deployment: Deployment, ticket: str, tmp_path: Any, token: Callable[..., str]
) -> None:
    url = deployment.settings.database_url
    client = create_app(Deployment(settings_for(practice, url, tmp_path, posts_per_minute=5))).test_client()

    def too_many(who: str, action: str = "look") -> bool:
        headers = {"Authorization": f"Bearer {token(ticket, who)}"}
        answer = client.post(PANEL, json={"ticket": ticket, "action": action}, headers=headers)
        assert answer.status_code == 200  # a helpdesk shows no other answer
        told = answer.get_json()
        return bool(told["title"] == "Too many tries" and told["again_after"])

    assert [too_many("technician") for _ in range(7)] == [False] * 5 + [True] * 2
    assert not too_many("technician", "elevate")  # looks do not use presses up
    assert not too_many("technician2")


def test_a_helpdesk_that_is_away_is_told_in_words(ask: Ask, ticket: str, practice: Practice) -> None:
    ask(ticket)  # the keys are kept from now on
    practice.control("/faults", {"match": {"side": "helpdesk"}, "kind": "status", "status": 503, "times": 100})
    told = ask(ticket, bearer=None)
    assert told["title"] == "The ticket could not be read"
    assert (told["button"], told["again_after"]) == (None, LATER)


def readings(practice: Practice) -> int:
    """How often the ticket was read there."""
    asked = practice.log()["requests"]
    return sum(it["side"] == "helpdesk" and "/rest/api/3/issue/" in it["path"] for it in asked)


def ended(desk: Desk, elevation: str) -> None:
    from integration.elevation import EndReason
    from workers.ending import let_go
    from workers.run import Run

    for due in let_go(Run(desk.deployment, cause="click", clock=desk.now), elevation, EndReason.END_NOW):
        desk.step(due)
    desk.sweep()


def own(number: str) -> str:
    return number.removeprefix("IT-")


def new_ticket(practice: Practice, to: str = "technician", category: str = "Password reset") -> str:
    number = f"IT-{practice.new_ticket(category)}"
    assign(practice, number, to)
    return number


def assign(practice: Practice, number: str, to: str) -> None:
    practice.assign(own(number), to)


def link(desk: Desk, practice: Practice, who: str) -> None:
    desk.sign_in(who)
    person, account = practice.people[who], practice.facts["helpdesk_accounts"][who]
    made = Link(
        "practice",
        account,
        practice.facts["tenant_id"],
        person["oid"],
        person["name"],
        person["mail"],
        desk.now(),
        None,
    )
    with desk.deployment.records.write() as tx:
        people.make_link(tx, made)


@pytest.fixture(scope="session")
def practice_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    with practice_runs(tmp_path_factory.mktemp("jira"), "--helpdesk", "jira") as running:
        yield running


@pytest.fixture
def ticket(desk: Desk, practice: Practice) -> str:
    """One of the technician, who is linked and signed in."""
    link(desk, practice, "technician")
    return new_ticket(practice)


@pytest.fixture
def token(practice: Practice) -> Callable[..., str]:
    def issued(number: str, who: str = "technician") -> str:
        account = practice.facts["helpdesk_accounts"][who]
        answer = requests.get(f"{practice.facts['helpdesk_url']}/forge/token/{number}/{account}", timeout=10)
        answer.raise_for_status()
        return answer.text

    return issued


@pytest.fixture
def ask(app: Flask, token: Callable[..., str]) -> Ask:
    """Call as Forge does: with a token of its own each time, unless a test has one."""
    client, spare = app.test_client(), token("IT-1")

    def asked(
        number: str,
        action: str = "look",
        *,
        who: str = "technician",
        shown: str = "",
        follows: str = "",
        bearer: str | None = "",
        language: str = "en",
        raw: bool = False,
    ) -> Any:
        bearer = token("IT-1", who) if bearer == "" else bearer or spare
        body = {"ticket": number, "action": action, "shown": shown, "follows": follows}
        headers = {"Authorization": f"Bearer {bearer}", "Accept-Language": language}
        answer = client.post(PANEL, json=body, headers=headers)
        if raw:
            return answer
        assert answer.status_code == 200, answer.text
        return answer.json

    return asked
