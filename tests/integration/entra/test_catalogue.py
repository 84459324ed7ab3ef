"""Every code of the tenant, and those that it has not invented yet."""

import json
import re
from pathlib import Path

import pytest

from integration.entra import catalogue, refusals
from integration.entra.catalogue import CODES, RULES, Entry, Who
from integration.entra.errors import EntraError, EntraRefused, SetupWrong, StepUpNeeded

ID = "0a1b2c3d-aaaa-4bbb-8ccc-000000000001"
ALL = [*CODES.values(), *RULES.values()]
STATUS = {"InvalidAuthenticationToken": 401, "TooManyRequests": 429, "RoleAssignmentRequestExists": 409}
MESSAGES = {"RoleAssignmentRequestAcrsValidationFailed": "&claims=%7B%22access_token%22%3A%7B%22acrs%22%3A1%7D%7D"}


def answered(code: str, status: int = 400, message: str = "", headers: dict[str, str] | None = None) -> EntraError:
    headers = {"request-id": ID} if headers is None else headers
    text = json.dumps({"error": {"code": code, "message": message}})
    return refusals.error_for(refusals.parse(status, headers, text), headers, changes=True)


@pytest.mark.parametrize("known", CODES.values(), ids=lambda known: known.code)
def test_every_code_becomes_its_error_with_its_sentence(known: Entry) -> None:
    error = answered(known.code, STATUS.get(known.code, 400), MESSAGES.get(known.code, ""))
    assert type(error) is known.kind
    assert str(error) == known.technician
    if isinstance(error, EntraRefused | SetupWrong):
        assert (error.code, error.request_id) == (known.code, ID)


@pytest.mark.parametrize("known", RULES.values(), ids=lambda known: known.code)
def test_every_rule_of_a_policy_says_what_failed(known: Entry) -> None:
    message = f'The following policy rules failed: ["{known.code}"]'
    error = answered("RoleAssignmentRequestPolicyValidationFailed", message=message)
    assert type(error) is known.kind
    if not isinstance(error, StepUpNeeded):
        assert str(error) == known.technician
        assert known.phrase in str(error)


@pytest.mark.parametrize("known", ALL, ids=lambda known: known.code)
def test_every_entry_is_whole(known: Entry) -> None:
    for sentence in (known.meaning, known.technician, known.administrator):
        assert re.fullmatch(r"[A-Z][^|\n]*\.", sentence)
    assert known.who is not Who.ADMINISTRATOR or known.administrator != "Nothing to do."
    assert catalogue.entry(known.code) == known
    assert catalogue.for_administrator(known.code) == known.administrator


def test_several_rules_are_named_together_known_or_not() -> None:
    message = 'The following policy rules failed: ["TicketingRule","NewRule"]'
    error = answered("RoleAssignmentRequestPolicyValidationFailed", message=message)
    assert "a ticket number is missing; the rule NewRule failed" in str(error)


@pytest.mark.parametrize("status", [302, 400, 403, 404, 409, 418, 451])
def test_an_unknown_code_or_status_carries_the_id_to_tell(status: int) -> None:
    assert (
        str(answered("NeverSeen", status))
        == f"Microsoft Entra refused this (NeverSeen). Tell an administrator the id {ID}."
    )
    error = answered("<script>", status)
    assert str(error) == f"Microsoft Entra refused this (status {status}). Tell an administrator the id {ID}."
    assert str(answered("NeverSeen", status, headers={})).endswith("Ask an administrator.")
    assert ID in str(answered("NeverSeen", status, headers={"x-ms-request-id": ID}))
    assert "<" not in str(answered("NeverSeen", status, headers={"request-id": "<b>"}))


def test_the_page_of_errors_has_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "errors.md").read_text(encoding="utf-8")
    assert not [known.code for known in ALL if f"| `{known.code}` |" not in page]
