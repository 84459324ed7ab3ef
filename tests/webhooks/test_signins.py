"""What a person is told about the sign-in that is kept for them, and how they are shut out when it is revoked."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from integration.deployment import Deployment
from integration.records import journal
from integration.records.tables import token_caches, web_sessions
from tests.conftest import Practice
from tests.webhooks.conftest import Browser, words
from webhooks.app import create_app
from workers import signins as work

Open = Callable[..., Browser]
DAY = timedelta(days=1)
BANNER, SECTION = "Your sign-in for activating roles", "My Microsoft sign-in"


def age(deployment: Deployment, by: timedelta, **more: object) -> datetime:
    """The kept sign-in, as if it had been made so long ago."""
    at = datetime.now(UTC) - by
    with deployment.records.write() as tx:
        tx.execute(token_caches.update().values(signed_in_at=at, renewed_at=None, **more))
    return at


def of_day(at: datetime, deployment: Deployment) -> str:
    return f"{at.astimezone(deployment.settings.zone):%Y-%m-%d %H:%M:%S}"


def test_a_sign_in_in_order_says_when_it_was_used_and_is_no_news_elsewhere(
    browser: Open, deployment: Deployment
) -> None:
    me = browser("technician")
    at = age(deployment, 79 * DAY)
    page = words(me.get("/account"))
    assert f"It is in order: Microsoft last accepted it at {of_day(at, deployment)}" in page
    assert BANNER not in page
    assert "Sign in again" not in page


def test_a_sign_in_that_is_about_to_end_says_when_on_each_page_and_is_mended_by_one_button(
    browser: Open, deployment: Deployment
) -> None:
    me = browser("auditor")
    at = age(deployment, 80 * DAY)
    ends = of_day(at + 90 * DAY, deployment)
    assert f"It ends at {ends}" in words(me.get("/account"))
    assert f"{BANNER} ends at {ends}" in words(me.get("/review"))
    me.sign_in("auditor", back_to="/review")
    assert BANNER not in me.get("/review").text
    assert "It is in order" in me.get("/account").text


def test_a_sign_in_that_ended_says_since_when_and_why(browser: Open, deployment: Deployment) -> None:
    me = browser("auditor")
    lost = datetime.now(UTC) - timedelta(hours=2)
    age(deployment, DAY, lost_at=lost, lost_why="Your organisation asks <you> again.")
    page = me.get("/account")
    assert f"It ended at {of_day(lost, deployment)}" in words(page)
    assert "Your organisation asks &lt;you&gt; again." in page.text
    banner = me.get("/review")
    assert f"{BANNER} ended at {of_day(lost, deployment)}" in words(banner)
    assert 'name="back_to" value="/review"' in banner.text


def test_of_a_sign_in_that_nothing_was_heard_of_for_ninety_days_the_page_says_so(
    browser: Open, deployment: Deployment
) -> None:
    me = browser("technician")
    age(deployment, 91 * DAY)
    assert "Microsoft has not accepted it for 90 days." in me.get("/account").text


def test_who_has_none_is_told_so_and_nobody_else_hears_of_anybodys(browser: Open, deployment: Deployment) -> None:
    me = browser("technician")
    me.press("/forget-sign-in")
    assert "Ticket Elevate keeps none of yours" in me.get("/account").text
    age(deployment, 95 * DAY)
    for who in (None, "technician2"):
        assert BANNER not in browser(who).get("/").text
    with deployment.records.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(token_caches)).scalar_one() == 2
        entries = [json.loads(line)["entry"] for line in journal.export(connection)]
    (purged,) = [it for it in entries if it["kind"] == "signin.purged"]
    assert (purged["cause"], purged["facts"]["why"]) == ("click", "forgotten")


def test_a_revoked_person_is_off_every_page_with_one_look_of_the_worker(both: Deployment, practice: Practice) -> None:
    app = create_app(both)
    me, colleague = Browser(app.test_client(), practice), Browser(app.test_client(), practice)
    me.sign_in("technician")
    colleague.sign_in("auditor")
    practice.control("/people/technician", {"revoke_sign_ins": True})
    assert me.get("/").status_code == 200
    work.look(both, clock=lambda: datetime.now(UTC) + timedelta(minutes=5))

    assert me.get("/").status_code == 401
    assert me.get("/elevations/01M86JXAYCC19MB5T8HMDN68SC/status").status_code == 401
    assert colleague.get("/review").status_code == 200
    assert me.sign_in("technician").status_code == 303
    assert me.get("/").status_code == 200


@pytest.mark.parametrize("change", [{"revoke_sign_ins": True}, {"enabled": False}])
def test_the_page_that_finds_it_out_leads_to_a_sign_in_that_works(
    browser: Open, deployment: Deployment, practice: Practice, change: dict[str, bool]
) -> None:
    """Its own session ended while it was made."""
    me = browser("technician")
    ticket = practice.new_ticket()
    practice.assign(ticket)
    practice.control("/people/technician", change)
    asked = me.get(f"/elevate/practice/{ticket}")
    assert asked.status_code == 401
    assert "Sign out" not in asked.text
    with deployment.records.read() as connection:
        assert list(connection.execute(sa.select(web_sessions))) == []

    form_token = asked.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    pressed = me.client.post("/sign-in", data={"csrf_token": form_token, "back_to": "/"})
    assert pressed.status_code == 200, pressed.text
