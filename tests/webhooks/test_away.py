"""The database is away: a page that says so, changes nothing about who is signed in, and comes back by itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from integration.deployment import Deployment
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser, words
from tests.workers.steps import pick

Opened = Callable[..., Browser]
NOBODY_THERE = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


@contextmanager
def away(deployment: Deployment) -> Iterator[None]:
    there, deployment.records.engine = deployment.records.engine, sa.create_engine(NOBODY_THERE)
    try:
        yield
    finally:
        deployment.records.engine = there


@pytest.mark.parametrize("path", ["/", "/account", "/approvals", "/review", "/elevate/practice/1", "/no-such-page"])
def test_each_page_says_so_and_comes_back_by_itself(browser: Opened, deployment: Deployment, path: str) -> None:
    me = browser("auditor")
    before = me.get(path).status_code
    with away(deployment):
        answer = me.get(path)
    assert answer.status_code == 503
    assert "cannot reach its database" in words(answer)
    assert "give them this number" in words(answer)
    assert '<meta http-equiv="refresh"' in answer.text
    assert me.get(path).status_code == before, "still signed in"


def test_a_button_is_not_called_forged_and_nothing_is_lost(
    browser: Opened, desk: Desk, practice: Practice, deployment: Deployment
) -> None:
    desk.link()
    it = desk.only(pick(desk, practice))
    me = browser("technician")
    token = me.token("/")
    with away(deployment):
        answer = me.client.post(f"/elevations/{it.id}/end", data={"csrf_token": token})
    assert answer.status_code == 503
    assert "press the button again" in words(answer)
    assert "refresh" not in answer.text
    assert me.client.post(f"/elevations/{it.id}/end", data={"csrf_token": token}).status_code == 303


def test_it_may_go_away_in_the_middle_of_a_page(
    browser: Opened, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = browser("auditor")

    def gone(*_args: object, **_more: object) -> None:
        raise sa.exc.OperationalError("", None, Exception())

    for name in ("webhooks.mine.overview.open_of", "webhooks.mine.signins.of", "webhooks.app.reviewed.unreviewed"):
        monkeypatch.setattr(name, gone)
    answer = me.get("/")
    assert answer.status_code == 503
    assert "cannot reach its database" in words(answer)


def test_the_open_page_keeps_asking(browser: Opened, deployment: Deployment) -> None:
    """The script goes on after any answer but 401 and 404, which would reload the page."""
    me = browser("technician")
    with away(deployment):
        assert me.get("/now/status").status_code == 503
    assert me.get("/now/status").status_code == 200
