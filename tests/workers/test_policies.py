"""What `doctor` says of rules and policies, read from the practice tenant with a technician's own sign-in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.deployment import Deployment
from integration.tickets import Finding
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import fault
from workers.policies import examine

RULES = """
[[rule]]
name = "Password reset"
match = { category = "Password reset" }
roles = ["Password Administrator"]
duration = "4h"

[[rule]]
name = "Nobody's"
match = { category = "MFA reset" }
roles = ["Intune Administrator"]
duration = "30m"
"""


@pytest.fixture
def desk(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    deployment = Deployment(settings_for(practice, database_url, tmp_path, rules_file=rules))
    deployment.records.migrate()
    yield Desk(deployment, practice)
    deployment.records.dispose()


def found(desk: Desk, about: str) -> list[Finding]:
    return [it for it in examine(desk.deployment) if about in it.what]


def test_before_anybody_signed_in_the_policies_are_not_known(desk: Desk) -> None:
    (only,) = examine(desk.deployment)
    assert only.ok
    assert "nobody has signed in yet" in only.what


def test_a_rule_that_can_only_refuse_is_wrong_and_a_duration_that_is_cut_is_told(
    desk: Desk, practice: Practice
) -> None:
    practice.control("/policies/Password Administrator", {"maximum_duration": "PT1H"})
    desk.sign_in()

    (wrong,) = found(desk, "Nobody's")
    assert not wrong.ok
    assert "nothing that anybody is eligible for" in wrong.what
    assert wrong.fix

    (note,) = found(desk, "Password reset")
    assert note.ok
    assert 'asks for 4 h of "Password Administrator" in the whole directory' in note.what
    assert "allows 1 h" in note.what


def test_what_a_policy_asks_for_is_told(desk: Desk, practice: Practice) -> None:
    practice.control("/policies/Password Administrator", {"approval_required": True, "authentication_context": "c1"})
    desk.sign_in()

    approval, context = found(desk, "Password reset")
    assert approval.ok
    assert context.ok
    assert "each pick asks" in approval.what
    assert "authentication context c1" in context.what


def test_policies_that_may_not_be_read_say_nothing_of_a_rule(desk: Desk, practice: Practice) -> None:
    fault(practice, "status", method="GET", path="roleManagementPolicyAssignments", status=403, times=60)
    desk.sign_in()
    assert found(desk, "Password reset") == []
