"""Who a helpdesk account belongs to: how a link is made, what ends one, and what nobody is told on the way."""

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from integration.deployment import Deployment
from integration.elevation import Elevation, State
from integration.entra.errors import SignInNeeded
from integration.records import elevations, journal, people
from integration.records.elevations import Overtaken
from integration.records.people import Link
from integration.records.tables import elevations as elevations_table
from integration.records.tables import token_caches, web_sessions
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import SIGNED_IN, Browser, onward, rows
from tests.workers.test_sign_in_lost import asked_and_not_seen
from webhooks import linking
from webhooks.app import create_app

Open = Callable[..., Browser]
OTHER = "technician2@practice.example"


def waiting(desk: Desk, practice: Practice, to: str = "technician") -> Elevation:
    """An elevation that waits for its technician to sign in."""
    ticket = practice.new_ticket(subject="canary-subject-7f3a")
    practice.assign(ticket, to)
    desk.deliver(ticket)
    it = desk.only(ticket)
    assert it.state is State.SIGN_IN_NEEDED
    return it


def linked(deployment: Deployment) -> dict[str, str]:
    """Account -> oid of every link."""
    with deployment.records.read() as connection:
        return {link.account: link.oid for link in people.all_links(connection)}


def entries(deployment: Deployment, kind: str) -> list[dict[str, Any]]:
    """Facts and private values of the journal's entries of this kind."""
    with deployment.records.read() as connection:
        lines = [json.loads(line) for line in journal.export(connection)]
    return [
        {"cause": line["entry"]["cause"], **line["entry"]["facts"]}
        | {name: it["value"] for name, it in line["private"].items()}
        for line in lines
        if line["entry"]["kind"] == kind
    ]


def let_time_pass(deployment: Deployment, minutes: int) -> None:
    """Every sign-in becomes older; the sessions stay in use."""
    with deployment.records.write() as tx:
        for row in list(tx.execute(sa.select(web_sessions))):
            data = json.loads(row.data)
            then = datetime.fromisoformat(data["signed_in_at"]) - timedelta(minutes=minutes)
            data["signed_in_at"] = then.isoformat()
            mine = web_sessions.c.id == row.id
            tx.execute(web_sessions.update().where(mine).values(data=json.dumps(data)))


def agreed(page: str) -> str:
    found = re.search(r'name="agreed" value="([0-9a-f]{64})"', page)
    assert found, page
    return found[1]


def test_the_sign_in_page_of_a_ticket_says_that_it_links_and_nothing_of_the_ticket(
    browser: Open, desk: Desk, practice: Practice
) -> None:
    """Threat 20."""
    it = waiting(desk, practice)
    for path in (f"/elevations/{it.id}", f"/elevate/practice/{it.ticket}", f"/link/practice/{it.ticket}"):
        page = browser().get(path)
        assert page.status_code == 401
        words = re.sub(r"<[^>]+>", "", page.text)
        assert "links the helpdesk account of this ticket's technician to your Microsoft account" in words, path
        for fact in ("canary-subject", "Technician One", "technician@", "Password"):
            assert fact not in page.text
    assert "links the helpdesk account" not in browser().get("/").text


def test_the_first_sign_in_links_the_account_and_the_elevation_goes_on_by_itself(
    browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    it = waiting(desk, practice)
    answer = browser().sign_in("technician", back_to=f"/elevations/{it.id}")
    assert answer.headers["Location"] == f"/elevations/{it.id}"
    assert linked(deployment) == {"technician": practice.people["technician"]["oid"]}
    desk.sweep()
    assert desk.only(it.ticket).state is State.ACTIVE
    assert entries(deployment, "link.ended") == []


def taken_over(desk: Desk, practice: Practice, how: str) -> tuple[Elevation, str]:
    """An elevation that waits for the second technician, and the account of the live link that stands in their way."""
    practice.control("/people/technician", {"helpdesk_mail": OTHER})
    it = waiting(desk, practice)
    desk.link("technician" if how == "of the account to another user" else "technician2")
    return it, "technician" if how == "of the account to another user" else "technician2"


IN_THE_WAY = ("of the account to another user", "of the user to another account")


@pytest.mark.parametrize("how", IN_THE_WAY)
def test_a_live_link_is_replaced_by_the_button_of_a_page_that_names_both_accounts_and_by_nothing_else(
    how: str, browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    """Threats 10 and 11."""
    it, old = taken_over(desk, practice, how)
    before = rows(deployment)["links"]
    place = f"/link/practice/{it.ticket}"
    other = browser()
    assert other.sign_in("technician2", back_to=f"/elevations/{it.id}").headers["Location"] == place
    assert other.get(f"/elevate/practice/{it.ticket}").headers["Location"] == place
    assert other.press(f"/elevate/practice/{it.ticket}").headers["Location"] == place
    assert other.press(place).headers["Location"] == place  # without having seen what ends
    page = other.get(place)
    for words in (f"{OTHER} in practice", "Technician Two", f"({OTHER})", "This link ends", f"{old}@practice.example"):
        assert words in page.text, words
    assert rows(deployment)["links"] == before
    assert entries(deployment, "link.ended") == []

    answer = other.press(place, agreed=agreed(page.text))

    mine, owner = practice.people["technician2"]["oid"], practice.people[old]["oid"]
    assert answer.headers["Location"] == f"/elevate/practice/{it.ticket}"
    assert linked(deployment) == {"technician": mine}
    said = {"cause": "click", "helpdesk": "practice", "why": "replaced", "actor": mine}
    assert entries(deployment, "link.ended") == [{**said, "account": old, "linked_to": owner}]
    assert [made["actor"] for made in entries(deployment, "link.made")] == [mine]
    assert desk.only(it.ticket).state is State.REQUESTED
    assert desk.only(it.ticket).oid == mine


def test_a_live_link_is_not_replaced_on_an_old_sign_in(
    browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    """Threat 12: a cookie that was stolen in the morning moves no account. Section 5, Re-auth."""
    it, _ = taken_over(desk, practice, IN_THE_WAY[0])
    before = linked(deployment)
    place = f"/link/practice/{it.ticket}"
    other = browser("technician2")
    token, seen = other.token("/"), agreed(other.get(place).text)
    let_time_pass(deployment, 16)

    for page in (other.get(place), other.client.post(place, data={"csrf_token": token, "agreed": seen})):
        assert page.status_code == 401
        assert "Sign in once more" in page.text
        assert 'name="fresh" value="1"' in page.text
    assert linked(deployment) == before

    microsoft = onward(other.press("/sign-in", page=place, back_to=place, fresh="1"))
    assert "max_age=900" in microsoft
    assert other.get(other.at_microsoft(microsoft, "technician2")).headers["Location"] == place
    assert other.press(place, page=place, agreed=agreed(other.get(place).text)).status_code == 303
    assert linked(deployment) == {"technician": practice.people["technician2"]["oid"]}


def test_a_sign_in_by_somebody_else_on_the_way_to_the_button_moves_no_link(
    browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    """Threat 19: whoever answers gets their own session and their own row, and the ticket is not theirs."""
    it, _ = taken_over(desk, practice, IN_THE_WAY[0])
    place = f"/link/practice/{it.ticket}"
    browser_of_both = browser("technician2")
    seen = agreed(browser_of_both.get(place).text)
    with deployment.records.read() as connection:
        before = list(connection.execute(sa.select(token_caches).order_by(token_caches.c.oid)))
    links = rows(deployment)["links"]
    microsoft = onward(browser_of_both.press("/sign-in", page=place, back_to=place, fresh="1"))
    browser_of_both.get(browser_of_both.at_microsoft(microsoft, "auditor"))
    assert browser_of_both.get(place).status_code == 403
    assert browser_of_both.press(place, agreed=seen).status_code == 403
    assert rows(deployment)["links"] == links
    others = token_caches.c.oid != practice.people["auditor"]["oid"]
    with deployment.records.read() as connection:
        after = list(connection.execute(sa.select(token_caches).where(others).order_by(token_caches.c.oid)))
    assert after == before


def test_a_sign_in_that_microsoft_remembers_from_the_morning_is_an_old_one(
    browser: Open, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single sign-on brings people back without asking them anything; the ID token says when it last did."""

    finish = deployment.tenant.finish_sign_in
    morning = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    monkeypatch.setattr(
        deployment.tenant, "finish_sign_in", lambda *a, **k: replace(finish(*a, **k), auth_time=morning)
    )
    browser("technician")
    with deployment.records.read() as connection:
        (data,) = connection.execute(sa.select(web_sessions.c.data)).scalars()
    assert datetime.fromisoformat(json.loads(data)["signed_in_at"]) == morning


@pytest.mark.parametrize("way", ["page", "button"])
def test_a_sign_in_of_which_the_tenant_does_not_say_when_it_was_replaces_no_live_link(
    way: str, browser: Open, desk: Desk, practice: Practice, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 12. It makes a link where none is in the way, as every sign-in does."""
    it, _ = taken_over(desk, practice, IN_THE_WAY[0])
    before, place = linked(deployment), f"/link/practice/{it.ticket}"
    other = browser("technician2")
    seen = agreed(other.get(place).text)
    finish = deployment.tenant.finish_sign_in
    monkeypatch.setattr(deployment.tenant, "finish_sign_in", lambda *a, **k: replace(finish(*a, **k), auth_time=None))
    other.sign_in("technician2", back_to=place)
    token = other.token("/")

    answer = other.get(place) if way == "page" else other.client.post(place, data={"csrf_token": token, "agreed": seen})

    assert answer.status_code == 403
    assert "must add the optional claim auth_time" in answer.text
    assert linked(deployment) == before
    me = waiting(desk, practice, "approver")
    browser().sign_in("approver", back_to=f"/elevations/{me.id}")
    assert "approver" in linked(deployment)


def test_a_page_that_was_opened_before_another_link_was_made_ends_nothing(
    browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    it, _ = taken_over(desk, practice, IN_THE_WAY[0])
    place = f"/link/practice/{it.ticket}"
    other = browser("technician2")
    seen = agreed(other.get(place).text)
    with deployment.records.write() as tx:
        link = people.link_of(tx, "practice", "technician")
        assert link is not None
        people.end_link(tx, link, now=desk.now(), cause="cli", why="removed")
    desk.link("technician")

    assert other.press(place, agreed=seen).headers["Location"] == place
    assert linked(deployment) == {"technician": practice.people["technician"]["oid"]}


def test_a_suspended_link_gives_way_to_a_sign_in_and_its_end_is_written_down(
    browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    """Threat 10: the address went to somebody else, who finds no dead end."""
    desk.link()
    practice.control("/people/technician", {"helpdesk_mail": OTHER})
    it = waiting(desk, practice)
    old, new = practice.people["technician"]["oid"], practice.people["technician2"]["oid"]
    assert it.oid is None

    answer = browser().sign_in("technician2", back_to=f"/elevations/{it.id}")

    assert answer.headers["Location"] == f"/elevations/{it.id}"
    assert linked(deployment) == {"technician": new}
    (ended,) = entries(deployment, "link.ended")
    assert (ended["actor"], ended["linked_to"]) == (new, old)
    assert desk.only(it.ticket).oid == new


def test_a_suspended_link_gives_way_to_a_technician_who_is_signed_in_already(
    browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    desk.link()
    practice.control("/people/technician", {"helpdesk_mail": OTHER})
    it = waiting(desk, practice)
    other = browser("technician2")
    place = other.get(f"/elevate/practice/{it.ticket}").headers["Location"]
    assert place == f"/link/practice/{it.ticket}"
    page = other.get(place)
    assert "This link ends" not in page.text
    assert other.press(place, page=place).status_code == 303
    assert desk.only(it.ticket).state is State.REQUESTED
    assert linked(deployment) == {"technician": practice.people["technician2"]["oid"]}


def test_a_stranger_who_signs_in_for_an_elevation_with_an_owner_learns_no_more_than_from_a_wrong_link(
    browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    """Threat 20."""
    desk.link()
    practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})
    it = waiting(desk, practice)
    before = rows(deployment, but=SIGNED_IN)
    for path in (f"/elevations/{it.id}", "/elevations/01M86JXAYCC19MB5T8HMDN68SC"):
        stranger = browser()
        assert stranger.sign_in("technician2", back_to=path).headers["Location"] == path
        assert stranger.get(path).status_code == 404
    assert rows(deployment, but=SIGNED_IN) == before


@pytest.mark.parametrize("round_", range(5))
def test_two_people_who_link_one_account_at_the_same_moment_do_not_replace_each_other(
    round_: int, both: Deployment
) -> None:
    """Threat 11, on both databases."""
    app, now = create_app(both), datetime.now(UTC)
    links = [Link("practice", "shared", "T", f"o{n}", f"Technician {n}", "a@b", now, None) for n in range(4)]

    def make(link: Link) -> bool:
        with app.app_context():
            return linking.make(link)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, links))

    assert made.count(True) == 1
    assert linked(both) == {"shared": links[made.index(True)].oid}
    assert len(entries(both, "link.made")) == 1
    assert entries(both, "link.ended") == []


def test_two_links_of_one_user_at_the_same_moment_do_not_wait_for_each_other(
    practice: Practice, postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One ends a link before, and so has something to write down, when the other has made its own."""
    deployment = Deployment(settings_for(practice, postgres_database, tmp_path))
    deployment.records.migrate()
    app, now = create_app(deployment), datetime.now(UTC)
    old = Link("practice", "first", "T", "o1", "Technician 1", "a@b", now, now)
    with deployment.records.write() as tx:
        people.make_link(tx, old)
    wanted = [Link("practice", account, "T", "o2", "Technician 2", "a@b", now, None) for account in ("first", "second")]
    make_link, both_there = people.make_link, threading.Barrier(2, timeout=20)

    def at_the_same_moment(tx: sa.Connection, link: Link) -> None:
        if link.account == "second":
            make_link(tx, link)
            both_there.wait()
        else:
            both_there.wait()
            make_link(tx, link)

    def make(link: Link) -> bool:
        with app.app_context():
            return linking.make(link)

    monkeypatch.setattr(people, "make_link", at_the_same_moment)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(make, wanted)) == [False, True]
    assert linked(deployment) == {"first": "o1", "second": "o2"}
    deployment.records.dispose()


def test_a_technician_sees_their_accounts_and_unlinks_one(
    browser: Open, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    """Threat 11: whoever finds a link that they did not want ends it."""
    desk.link()
    desk.link("technician2")
    me = browser("technician")
    page = me.get("/account").text
    assert "technician@practice.example" in page
    assert "in use" in page
    assert OTHER not in page
    assert me.press("/links/end", connection="practice", account="technician2").status_code == 404
    assert me.press("/links/end", connection="practice", account="nobody").status_code == 404

    assert me.press("/links/end", connection="practice", account="technician").headers["Location"] == "/account"

    oid = practice.people["technician"]["oid"]
    assert linked(deployment) == {"technician2": practice.people["technician2"]["oid"]}
    said = {"cause": "click", "helpdesk": "practice", "why": "unlinked", "actor": oid, "linked_to": oid}
    assert entries(deployment, "link.ended") == [{**said, "account": "technician"}]
    assert "No helpdesk account is linked to you" in me.get("/account").text


def test_a_suspended_link_is_shown_as_one(browser: Open, desk: Desk, practice: Practice) -> None:
    desk.link()
    practice.control("/people/technician", {"helpdesk_mail": "somebody.else@practice.example"})
    waiting(desk, practice)
    assert "suspended" in browser("technician").get("/account").text


def test_unlinking_leaves_what_runs_alone_and_parks_what_has_not_started(
    browser: Open, desk: Desk, practice: Practice, elevated: str, deployment: Deployment
) -> None:
    started = practice.new_ticket()
    practice.assign(started, by="approver")
    desk.deliver(started)
    offer = desk.only(started)
    with deployment.records.write() as tx:
        now = desk.now()
        values = {"state": State.REQUESTED, "due_at": now, "pick": "click:1"}
        tx.execute(elevations_table.update().where(elevations_table.c.id == offer.id).values(values))
    me = browser("technician")
    me.press("/links/end", connection="practice", account="technician")

    desk.sweep()

    assert desk.only(started).state is State.SIGN_IN_NEEDED
    with deployment.records.read() as connection:
        running = elevations.elevation(connection, elevated)
    assert running is not None
    assert running.state is State.ACTIVE
    assert "End now" in me.get(f"/elevations/{elevated}").text
    me.sign_in("technician", back_to=f"/elevations/{offer.id}")
    desk.sweep()
    assert desk.only(started).state is State.ACTIVE


def test_forgetting_the_sign_in_deletes_it_and_says_what_that_does_not_do(
    browser: Open, deployment: Deployment, practice: Practice
) -> None:
    me = browser("technician")
    page = me.press("/forget-sign-in")
    assert "Nothing was revoked at Entra" in page.text
    with deployment.records.read() as connection:
        assert list(connection.execute(sa.select(token_caches.c.sealed, token_caches.c.home_account_id))) == [(b"", "")]
    assert "Forget my sign-in" not in me.get("/account").text
    ticket = practice.new_ticket()
    practice.assign(ticket)
    asked = me.get(f"/elevate/practice/{ticket}")
    assert asked.status_code == 401
    assert "needs a valid Microsoft sign-in of yours" in asked.text


def sealed(deployment: Deployment) -> tuple[bytes, int]:
    with deployment.records.read() as connection:
        ((blob, version),) = connection.execute(sa.select(token_caches.c.sealed, token_caches.c.version))
    return blob, version


def test_another_process_does_not_go_on_with_a_token_of_before_it_was_forgotten(
    browser: Open, deployment: Deployment, practice: Practice
) -> None:
    tid, oid = practice.facts["tenant_id"], practice.people["technician"]["oid"]
    other, me = Deployment(deployment.settings), browser("technician")
    assert other.tenant.addresses(tid, oid, datetime.now(UTC))
    me.press("/forget-sign-in")
    with pytest.raises(SignInNeeded):
        other.tenant.addresses(tid, oid, datetime.now(UTC))
    practice.control("/people/technician", {"expire_access_tokens": True})
    me.sign_in("technician")
    before = sealed(deployment)
    assert other.tenant.addresses(tid, oid, datetime.now(UTC))
    assert sealed(deployment) == before, "the old token was tried, and had to be renewed"
    other.records.dispose()


def test_a_sign_in_of_before_it_was_forgotten_does_not_open_when_it_is_put_back(
    browser: Open, deployment: Deployment, practice: Practice
) -> None:
    """Threat 23."""
    tid, oid = practice.facts["tenant_id"], practice.people["technician"]["oid"]
    me = browser("technician")
    old, _ = sealed(deployment)
    for again in (False, True):
        me.press("/forget-sign-in")
        if again:
            me.sign_in("technician")
        with deployment.records.write() as tx:
            tx.execute(token_caches.update().values(sealed=old))
        other = Deployment(deployment.settings)
        with pytest.raises(SignInNeeded):
            other.tenant.addresses(tid, oid, datetime.now(UTC))
        other.records.dispose()


def test_a_parked_elevation_that_somebody_else_changes_holds_up_no_other(
    both: Deployment, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker cancels one in the very moment in which its technician comes back from the sign-in."""
    desk = Desk(both, practice)
    first, second = waiting(desk, practice), waiting(desk, practice)
    parked_for = elevations.parked_for

    def changed_meanwhile(*asked: Any) -> list[Elevation]:
        found = parked_for(*asked)
        with both.records.write() as tx:
            elevations.save_elevation(tx, next((it for it in found if it.id == first.id), desk.only(first.ticket)))
        return found

    monkeypatch.setattr(elevations, "parked_for", changed_meanwhile)
    it = Browser(create_app(both).test_client(), practice)
    assert it.sign_in("technician", back_to=f"/elevations/{second.id}").status_code == 303
    assert desk.only(first.ticket).state is State.SIGN_IN_NEEDED
    assert desk.only(second.ticket).state is State.REQUESTED
    assert len(entries(both, "signin.done")) == 1
    with pytest.raises(Overtaken), both.records.write() as tx:
        elevations.save_elevation(tx, first)


def picked_earlier(desk: Desk, it: Elevation, by: timedelta) -> None:
    with desk.deployment.records.write() as tx:
        then = {"created_at": it.created_at - by, "acted_at": it.acted_at and it.acted_at - by}
        tx.execute(elevations_table.update().where(elevations_table.c.id == it.id).values(then))


def test_a_sign_in_for_something_else_starts_no_pick_of_hours_ago(
    browser: Open, desk: Desk, practice: Practice
) -> None:
    """Its technician finds the link on the ticket, and the button behind it still works."""
    old, new = waiting(desk, practice), waiting(desk, practice)
    desk.link()
    picked_earlier(desk, old, timedelta(minutes=16))
    me = browser("technician")

    desk.sweep()

    assert (desk.only(old.ticket).state, desk.only(new.ticket).state) == (State.OFFERED, State.ACTIVE)
    assert any(
        "could not be started within a quarter of an hour of the pick" in note for note in practice.notes(old.ticket)
    )
    assert len(practice.activation_requests()) == 1
    place = f"/elevate/practice/{old.ticket}"
    assert me.get(f"/elevations/{old.id}").headers["Location"] == place
    shown = re.search(r'name="shown" value="([0-9a-f]{64})"', me.get(place).text)
    assert shown is not None
    assert me.press(place, shown=shown[1]).headers["Location"] == f"/elevations/{old.id}"
    desk.sweep()
    assert desk.only(old.ticket).state is State.ACTIVE


def test_a_pick_that_goes_on_with_a_sign_in_for_something_else_grows_no_younger(
    browser: Open, desk: Desk, practice: Practice
) -> None:
    """Or a technician whose sign-ins never last would keep an old pick alive by each of them."""
    it = waiting(desk, practice)
    desk.link()
    picked_earlier(desk, it, timedelta(minutes=14))
    then = desk.only(it.ticket).acted_at
    browser("technician")
    assert desk.only(it.ticket).state is State.REQUESTED
    assert desk.only(it.ticket).acted_at == then


@pytest.mark.parametrize("linked_before", [True, False])
def test_a_pick_of_hours_ago_goes_on_by_the_sign_in_that_was_started_from_it(
    linked_before: bool, browser: Open, desk: Desk, practice: Practice
) -> None:
    it, other = waiting(desk, practice), waiting(desk, practice)
    if linked_before:
        desk.link()
    for each in (it, other):
        picked_earlier(desk, each, timedelta(hours=20))

    browser().sign_in("technician", back_to=f"/elevations/{it.id}")

    desk.sweep()
    assert (desk.only(it.ticket).state, desk.only(other.ticket).state) == (State.ACTIVE, State.OFFERED)


def test_a_pick_of_hours_ago_goes_on_by_the_button_that_replaces_a_link_for_it(
    browser: Open, desk: Desk, practice: Practice
) -> None:
    it, _ = taken_over(desk, practice, IN_THE_WAY[0])
    picked_earlier(desk, it, timedelta(hours=20))
    other = browser("technician2")
    place = f"/link/practice/{it.ticket}"
    other.press(place, agreed=agreed(other.get(place).text))
    assert desk.only(it.ticket).state is State.REQUESTED
    desk.sweep()
    assert desk.only(it.ticket).state is State.ACTIVE


def test_a_sign_in_wakes_what_was_asked_of_entra_and_could_not_be_seen(
    browser: Open, desk: Desk, practice: Practice
) -> None:
    """The note leads to a page with the button, also for somebody whose session here goes on."""
    me = browser("technician")
    ticket = asked_and_not_seen(desk, practice)
    page = f"/elevations/{desk.only(ticket).id}"
    assert "Sign in with Microsoft" in me.get(page).text
    assert me.get(me.at_microsoft(me.to_microsoft(page, page=page), "technician")).headers["Location"] == page

    desk.sweep()

    assert desk.only(ticket).state is State.ACTIVE
    assert "Sign in with Microsoft" not in me.get(page).text


def test_a_sign_in_wakes_a_give_back_that_was_stuck(
    browser: Open, desk: Desk, practice: Practice, elevated: str
) -> None:
    desk.advance(timedelta(minutes=6))
    practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})
    with desk.deployment.records.read() as connection:
        it = elevations.elevation(connection, elevated)
    assert it is not None
    practice.solve(it.ticket)
    desk.deliver(it.ticket)
    assert practice.active_roles() != []

    browser("technician")

    desk.sweep()
    assert practice.active_roles() == []


@pytest.mark.parametrize("linked_before", [True, False])
def test_the_page_of_a_pick_that_no_worker_has_looked_at_goes_on_by_itself(
    linked_before: bool, browser: Open, desk: Desk, practice: Practice
) -> None:
    """And shows no fact of it: it may be anybody's."""
    it = waiting(desk, practice)
    if linked_before:
        desk.link()
    with desk.deployment.records.write() as tx:
        mine = elevations_table.c.id == it.id
        tx.execute(elevations_table.update().where(mine).values(state=State.REQUESTED, due_at=desk.now()))
    me = browser("technician")
    page = me.get(f"/elevate/practice/{it.ticket}").headers["Location"]
    shown = me.get(page)
    assert (shown.status_code, "Being prepared" in shown.text) == (200, True)
    assert "canary-subject" not in shown.text
    onward = re.search(r'<meta http-equiv="refresh" content="2;url=([^"]+)">', shown.text)
    assert onward is not None

    desk.sweep()

    after = me.get(onward[1])
    assert (after.status_code, desk.only(it.ticket).state) == (
        (200, State.ACTIVE) if linked_before else (401, State.SIGN_IN_NEEDED)
    )


def without_id(page: str) -> str:
    return re.sub(r"<code>[0-9A-Z]{26}</code>|nonce=\"[^\"]+\"|value=\"[^\"]{40,}\"", "", page)


def test_a_stranger_gets_one_page_whatever_the_ticket_is(browser: Open, practice: Practice, desk: Desk) -> None:
    """Threat 20: nobody's, solved, another technician's or not there at all, all the same."""
    assigned, solved, nobodys, open_solved = (practice.new_ticket(subject="canary-subject-7f3a") for _ in range(4))
    practice.assign(assigned)
    practice.assign(solved)
    practice.solve(solved)
    practice.solve(open_solved)
    for who in ("technician2", "requester", "auditor"):
        stranger, seen = browser(who), set()
        for number in (assigned, solved, nobodys, open_solved, "999999"):
            for answer in (
                stranger.get(f"/elevate/practice/{number}"),
                stranger.press(f"/elevate/practice/{number}"),
                stranger.get(f"/link/practice/{number}"),
            ):
                assert answer.status_code == 403
                seen.add(without_id(answer.text))
        assert len(seen) == 1, who
        assert "assign it to yourself in the helpdesk" in seen.pop()


def test_a_technician_of_the_helpdesk_is_told_what_a_ticket_lacks(
    browser: Open, practice: Practice, desk: Desk
) -> None:
    desk.link("technician2")
    colleague = browser("technician2")
    assigned, solved, nobodys = (practice.new_ticket(subject="canary-subject-7f3a") for _ in range(3))
    practice.assign(assigned)
    practice.assign(solved, "technician2")
    practice.solve(solved)
    for number, status, words in (
        (assigned, 403, "another technician"),
        (solved, 409, "solved"),
        (nobodys, 409, "Nobody is assigned"),
        ("999999", 404, "in practice that our account may see"),
    ):
        answer = colleague.get(f"/elevate/practice/{number}")
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
        assert "canary-subject" not in answer.text


def test_the_button_says_that_it_links_and_a_link_that_went_meanwhile_is_not_made_again_unseen(
    browser: Open, practice: Practice, desk: Desk, deployment: Deployment
) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)
    me = browser("technician")
    assert "Elevate also links your account in practice" in me.get(f"/elevate/practice/{ticket}").text
    desk.link()
    page = me.get(f"/elevate/practice/{ticket}").text
    assert "Elevate also links" not in page
    shown = re.search(r'name="shown" value="([0-9a-f]{64})"', page)
    assert shown is not None
    me.press("/links/end", connection="practice", account="technician")
    assert me.press(f"/elevate/practice/{ticket}", shown=shown[1]).status_code == 409
    assert linked(deployment) == {}
