"""A helpdesk that sends every edit with the whole ticket: what no rule is for is put behind what may be a pick."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from integration.deployment import Deployment
from integration.records.tables import deliveries
from tests.conftest import Practice, settings_for
from webhooks.app import create_app

SECRET = "secret-of-the-webhook-of-a-test"
HANDS = "10000000-0000-4000-8000-00000000000a"
TICKET = {
    "ID": 7,
    "AppID": 42,
    "TypeName": "Password reset",
    "StatusClass": 2,
    "ResponsibleUid": HANDS,
    "ModifiedDate": "2026-11-24T09:59:58Z",
    "Attributes": [],
}


@pytest.fixture
def tdx(practice: Practice, sqlite_url: str, tmp_path: Path) -> Iterator[Deployment]:
    table = {
        "kind": "teamdynamix",
        "url": "https://tdx.example",
        "app_id": "42",
        "username": "elevate",
        "password": "x",
        "service_account": "20000000-0000-4000-8000-00000000000a",
        "secrets": {"first": SECRET},
    }
    made = Deployment(settings_for(practice, sqlite_url, tmp_path, helpdesks={"tdx": table}))
    made.records.migrate()
    yield made
    made.records.dispose()


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, False),
        ({"TypeName": "Printer"}, True),
        ({"TypeName": "Printer", "Attributes": None}, False),  # what a rule looks at may be what is left out
    ],
)
def test_what_shows_a_ticket_that_no_rule_is_for_is_kept_as_what_waits(
    tdx: Deployment, changes: dict[str, Any], waits: bool
) -> None:
    assert called(tdx, changes) == [waits]


def test_a_mistake_in_the_rules_costs_no_call(tdx: Deployment, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("[[rules]]\nnobody = 1\n")
    broken = Deployment(tdx.settings.model_copy(update={"rules_file": rules}))
    assert called(broken, {"TypeName": "Printer"}) == [False]
    broken.records.dispose()


def called(deployment: Deployment, changes: dict[str, Any]) -> list[bool]:
    """What is kept of a call about `TICKET` with these changes: whether it waits."""
    body = json.dumps({"ItemID": 7, "Item": {**TICKET, **changes}}).encode()
    headers = {"X-Tdx-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}

    answer = create_app(deployment).test_client().post("/webhooks/tdx", data=body, headers=headers)

    assert answer.status_code == 202
    with deployment.records.read() as connection:
        return list(connection.execute(sa.select(deliveries.c.waits)).scalars())
