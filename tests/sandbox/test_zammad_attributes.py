"""An administrator of the double of Zammad makes a link of an attribute, as docs/connect-zammad.md says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Practice, practice_runs

LINK = "https://elevate.example.org/elevate/zammad/"
ATTRIBUTE = {
    "object": "Ticket",
    "name": "ticket_elevate",
    "display": "Ticket Elevate",
    "data_type": "input",
    "data_option": {"type": "text", "maxlength": 120, "default": "Elevate", "linktemplate": LINK + "#{ticket.id}"},
    "screens": {"edit": {"ticket.agent": {"shown": True}}},
    "active": True,
}


def test_the_link_is_there_once_the_migrations_are_executed(zammad: Practice) -> None:
    ticket = zammad.new_ticket()
    assert LINK not in page_of(zammad, ticket, "technician")
    assert ">Elevate<" not in page_of(zammad, ticket, "technician")  # no button of its own either

    assert called(zammad, "", ATTRIBUTE) == 201
    assert LINK not in page_of(zammad, ticket, "technician")
    assert called(zammad, "_execute_migrations", {}) == 200

    assert LINK not in page_of(zammad, ticket, "technician")  # the column is empty where there was a ticket before
    ticket = zammad.new_ticket()
    assert f'href="{LINK}{ticket}"' in page_of(zammad, ticket, "technician")
    assert LINK not in page_of(zammad, ticket, "requester")
    assert called(zammad, "", ATTRIBUTE) == 422  # a name is taken once
    assert called(zammad, "", {**ATTRIBUTE, "name": "elevate_id"}) == 422


def test_our_own_token_does_not_make_attributes(zammad: Practice) -> None:
    assert called(zammad, "", ATTRIBUTE, token=zammad.facts["helpdesk"]["token"]) == 403


def called(zammad: Practice, path: str, body: dict[str, Any], token: str = "") -> int:
    headers = {"Authorization": f"Token token={token or zammad.facts['helpdesk_once']['admin_token']}"}
    url = f"{zammad.facts['helpdesk_url']}/api/v1/object_manager_attributes{path}"
    return requests.post(url, json=body, headers=headers, timeout=10).status_code


def page_of(zammad: Practice, ticket: str, who: str) -> str:
    with requests.Session() as browser:
        account = zammad.people[who]["helpdesk_account"]
        url = zammad.facts["helpdesk_url"]
        browser.post(f"{url}/sign-in", data={"account": account}, timeout=10).raise_for_status()
        answer = browser.get(f"{url}/tickets/{ticket}", timeout=10)
        answer.raise_for_status()
        return answer.text


@pytest.fixture
def zammad(tmp_path: Path) -> Iterator[Practice]:
    with practice_runs(tmp_path, "--helpdesk", "zammad") as practice:
        yield practice
