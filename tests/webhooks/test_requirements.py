"""What a rule requires of a ticket, on the pages. Contract: whoever presses Elevate, or tries a rule, reads what is
missing and what to do; nothing is asked for before that is done.
"""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.deployment import Deployment
from integration.elevation import State
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import Browser, words

Open = Callable[..., Browser]
RULE = '[[rule]]\nname = "reset"\nmatch = { category = "Password reset" }\nroles = ["Password Administrator"]\n'
REQUIRES = RULE + 'require = { filled = ["Site"] }\n'
TRY = "/administration/try"


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """The practice helpdesk's queue is the field Site."""
    rules = tmp_path / "rules.toml"
    rules.write_text(REQUIRES)
    helpdesk = {**practice.facts["helpdesk"], "fields": "{Site: queue}"}
    settings = settings_for(practice, database_url, tmp_path, rules_file=rules, helpdesks={"practice": helpdesk})
    made = Deployment(settings)
    made.records.migrate()
    yield made
    made.records.dispose()


@pytest.fixture
def lacking(desk: Desk, practice: Practice) -> str:
    """A picked ticket whose Site is empty."""
    desk.link()
    ticket = practice.new_ticket()
    fill_in(practice, ticket, "")
    practice.assign(ticket)
    return ticket


def fill_in(practice: Practice, ticket: str, site: str) -> None:
    practice.desk("PATCH", f"/api/tickets/{ticket}", {"queue": site})


def form(me: Browser, page: str) -> dict[str, str]:
    """What the button would send."""
    found = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', me.get(page).text))
    assert set(found) == {"csrf_token", "shown"}
    return found


def test_the_button_says_what_to_fill_in_and_works_when_that_is_done(
    browser: Open, desk: Desk, practice: Practice, lacking: str
) -> None:
    page = f"/elevate/practice/{lacking}"
    desk.deliver(lacking)
    me = browser("technician")
    assert desk.only(lacking).state is State.REFUSED
    refused = words(me.get(page))
    assert 'Fill in the field "Site". Then press Elevate.' in refused
    assert 'The field "Site" is filled in It is empty' in refused.replace(": ", " ").replace(". ", " ")

    fill_in(practice, lacking, "North")
    started = me.client.post(page, data=form(me, page))
    assert started.status_code == 303
    desk.sweep()
    assert [it.state for it in desk.elevations(lacking)] == [State.REFUSED, State.ACTIVE]


def test_a_ticket_that_changes_between_the_page_and_the_button_is_refused(
    browser: Open, desk: Desk, practice: Practice, lacking: str
) -> None:
    fill_in(practice, lacking, "North")
    me, page = browser("technician"), f"/elevate/practice/{lacking}"
    agreed = form(me, page)
    fill_in(practice, lacking, "")
    me.client.post(page, data=agreed)
    desk.sweep()

    assert desk.elevations(lacking) == []
    assert practice.activation_requests() == []


def test_a_refused_pick_leads_back_to_the_button(browser: Open, desk: Desk, lacking: str) -> None:
    desk.deliver(lacking)
    seen = browser("technician").get(f"/elevations/{desk.only(lacking).id}")

    assert f'href="/elevate/practice/{lacking}"' in seen.text
    assert 'The field "Site"' in words(seen)


def test_trying_a_file_that_requires_more_shows_what_would_be_missing(
    browser: Open, practice: Practice, lacking: str
) -> None:
    fill_in(practice, lacking, "North")
    me = browser("administrator")
    more = (io.BytesIO(REQUIRES.replace('["Site"]', '["Site", "Change"]').encode()), "edited.toml")
    page = words(me.client.post(TRY, data={"csrf_token": me.token(TRY), "ticket": lacking, "rules": more}))

    assert "The two files answer differently." in page
    assert 'Fill in the field "Change". Then press Elevate.' in page
    assert page.count('The field "Site" is filled in') == 2
