"""A browser of each kind of person, before our pages with the real practice tenant behind them."""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from markupsafe import Markup
from werkzeug.test import TestResponse

from integration.deployment import Deployment
from integration.records.tables import metadata
from sandbox.sender import signature
from tests.conftest import Desk, Practice, settings_for
from tests.workers.test_more_answers import RULES
from webhooks.app import create_app

# What a sign-in alone leaves behind.
SIGNED_IN = frozenset({"token_caches", "tenant_answers", "journal", "journal_private"})
NOT_STATE = {"web_sessions", "sign_in_flows"}


def rows(deployment: Deployment, *, but: frozenset[str] = frozenset(), sessions: bool = False) -> dict[str, list[Any]]:
    """Everything in the database, apart from the pages' own `sessions`."""
    left_out = but if sessions else but | NOT_STATE
    with deployment.records.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table))))
            for table in metadata.sorted_tables
            if table.name not in left_out
        }


def words(answer: TestResponse) -> str:
    """What a page says, without its tags."""
    return Markup(answer.text).striptags()  # noqa: S704  # its tags are taken away


def onward(answer: TestResponse) -> str:
    """Where the page that goes on to Microsoft leads, by itself and by its link."""
    by_itself = re.search(r'<meta http-equiv="refresh" content="0;url=([^"]+)">', answer.text)
    link = re.search(r'id="onward" href="([^"]+)"', answer.text)
    assert by_itself, answer.text
    assert link, answer.text
    assert by_itself[1] == link[1]
    return unescape(link[1])


@dataclass
class Browser:
    """A person's browser at our pages: presses the buttons that are on them, as a browser would."""

    client: FlaskClient
    practice: Practice

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, **more)

    def token(self, path: str = "/no-such-page") -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(path).text)
        assert found, f"no form on {path}"
        return found.group(1)

    def press(self, path: str, *, page: str = "/", **fields: str) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.token(page), **fields})

    def to_microsoft(self, back_to: str = "/", *, page: str = "/") -> str:
        answer = self.press("/sign-in", page=page, back_to=back_to)
        assert answer.status_code == 200, answer.text
        return onward(answer)

    def at_microsoft(self, url: str, who: str) -> str:
        """What the tenant's sign-in page sends the browser back to: our callback's path and query."""
        upn = self.practice.people[who]["upn"]
        answer = requests.get(
            f"{url}&practice_person={upn}",
            allow_redirects=False,
            timeout=10,
            verify=self.practice.facts["ca_bundle"],
        )
        parts = urlsplit(answer.headers["Location"])
        return f"{parts.path}?{parts.query}"

    def sign_in(self, who: str, back_to: str = "/") -> TestResponse:
        return self.get(self.at_microsoft(self.to_microsoft(back_to), who))

    @property
    def cookie(self) -> str | None:
        found = self.client.get_cookie("te")
        return found.value if found else None


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The pages are the same on both databases; where it matters, a test takes `both`."""
    return f"sqlite:///{tmp_path}/elevate.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, practice: Practice, tmp_path: Path) -> Iterator[Deployment]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/elevate.sqlite"
    else:
        server = sa.make_url(request.getfixturevalue("postgres_url")).set(drivername="postgresql+psycopg")
        name = f"web{secrets.token_hex(6)}"
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        url = server.set(database=name).render_as_string(hide_password=False)
    made = Deployment(settings_for(practice, url, tmp_path))
    made.records.migrate()
    yield made
    made.records.dispose()


@pytest.fixture
def bundled(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Its second rule is for two roles together."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES.format(more="", bundle="all"))
    made = Deployment(settings_for(practice, database_url, tmp_path, rules_file=rules))
    made.records.migrate()
    yield made
    made.records.dispose()


@pytest.fixture
def app(deployment: Deployment) -> Flask:
    return create_app(deployment)


@pytest.fixture
def browser(app: Flask, practice: Practice) -> Callable[..., Browser]:
    """A new browser; signed in as this person when one is named."""

    def opened(who: str | None = None) -> Browser:
        made = Browser(app.test_client(), practice)
        if who is not None:
            assert made.sign_in(who).status_code == 303
        return made

    return opened


@pytest.fixture
def elevated(desk: Desk, practice: Practice) -> str:
    """The id of an elevation of the technician that is active."""
    desk.link()
    ticket = practice.new_ticket(subject="canary-subject-7f3a")
    practice.assign(ticket)
    desk.deliver(ticket)
    desk.sweep()
    it = desk.only(ticket)
    assert it.state == "active", it
    return it.id


@dataclass
class Sender:
    """Signs deliveries as the practice helpdesk does."""

    secret: str

    def headers(self, body: bytes, *, number: str | None = None, at: float | None = None) -> dict[str, str]:
        number = number or f"msg_{secrets.token_hex(8)}"
        time = int(datetime.now(UTC).timestamp() if at is None else at)
        return {
            "Content-Type": "application/json",
            "webhook-id": number,
            "webhook-timestamp": str(time),
            "webhook-signature": signature(self.secret, number, time, body),
        }


@pytest.fixture
def sender(practice: Practice) -> Sender:
    return Sender(practice.facts["webhook_secret"])
