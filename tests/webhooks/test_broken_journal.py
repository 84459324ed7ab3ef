"""What web says while the journal is broken: nothing starts, giving back goes on, and whoever watches hears of it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from integration import checkpoints
from integration.deployment import Deployment
from integration.elevation import State
from integration.records import heartbeats
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import Browser
from tests.workers.test_broken_journal import tamper
from webhooks.app import create_app

Open = Callable[..., Browser]


@pytest.fixture
def scrape(practice: Practice, deployment: Deployment, tmp_path: Path) -> Callable[[], dict[str, str]]:
    given = settings_for(practice, deployment.settings.database_url, tmp_path, metrics_token="scrape-me")
    client: FlaskClient = create_app(Deployment(given)).test_client()

    def look() -> dict[str, str]:
        text = client.get("/metrics", headers={"Authorization": "Bearer scrape-me"}).text
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    return look


def test_ready_means_that_the_tables_are_there(practice: Practice, tmp_path: Path) -> None:
    empty = Deployment(settings_for(practice, f"sqlite:///{tmp_path}/empty.sqlite", tmp_path))
    client = create_app(empty).test_client()

    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, "ticket-elevate init" in answer.text) == (503, True)
    empty.records.dispose()


def test_a_broken_journal_is_told_and_does_not_take_the_pages_down(
    elevated: str, browser: Open, desk: Desk, scrape: Callable[[], dict[str, str]]
) -> None:
    it = browser()
    assert it.get("/readyz").text == "ok\n"
    assert scrape()["ticket_elevate_journal_whole"] == "1.0"

    tamper(desk)

    answer = it.get("/readyz")
    assert (answer.status_code, "no role is activated" in answer.text) == (200, True)
    assert scrape()["ticket_elevate_journal_whole"] == "0.0"


def test_a_click_is_refused_in_words_and_starts_nothing(browser: Open, desk: Desk, practice: Practice) -> None:
    """Invariant 18, by the page."""
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket, "technician", by="technician2")
    desk.deliver(ticket)
    it = browser("technician")
    page = f"/elevate/practice/{ticket}"
    form = dict(_hidden(it.get(page).text))
    tamper(desk)

    answer = it.client.post(page, data=form)

    assert answer.status_code == 503
    assert "until an administrator has looked into it" in answer.text
    desk.sweep()
    assert desk.only(ticket).state is State.OFFERED
    assert practice.activation_requests() == []


def test_end_now_gives_the_role_back_all_the_same(elevated: str, browser: Open, desk: Desk, practice: Practice) -> None:
    it = browser("technician")
    desk.advance(timedelta(minutes=6))
    tamper(desk)

    assert it.press(f"/elevations/{elevated}/end", page=f"/elevations/{elevated}").status_code == 303
    desk.sweep()

    assert practice.active_roles() == []


def test_whoever_watches_sees_what_is_late(
    elevated: str, deployment: Deployment, scrape: Callable[[], dict[str, str]]
) -> None:
    before = scrape()
    assert before["ticket_elevate_sweep_age_seconds"] == before["ticket_elevate_checkpoint_age_seconds"] == "NaN"
    now = datetime.now(UTC)
    with deployment.records.write() as tx:
        heartbeats.beat(tx, heartbeats.SWEEP, now=now - timedelta(seconds=90))
        heartbeats.beat(tx, heartbeats.SWEEP, now=now - timedelta(seconds=60))
    deployment.settings.checkpoint_dir.rmdir()
    checkpoints.keep(deployment, now=now - timedelta(hours=30))

    found = scrape()

    assert 60 <= float(found["ticket_elevate_sweep_age_seconds"]) < 90
    assert float(found["ticket_elevate_checkpoint_age_seconds"]) >= 30 * 3600
    assert found["ticket_elevate_checkpoints_unstored"] == "1.0"


def _hidden(page: str) -> list[tuple[str, str]]:

    found = re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page)
    return [(name, unescape(value)) for name, value in found]
