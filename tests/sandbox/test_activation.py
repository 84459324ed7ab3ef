"""An activation against the practice tenant goes as entra-pim's sheet says that the real one does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.sandbox.driver import MINE, ROLE_PATH, Driver


def test_a_technician_sees_five_eligibilities_with_role_names(practice: Driver) -> None:
    path = ROLE_PATH + "roleEligibilityScheduleInstances" + MINE + "?$expand=roleDefinition"
    rows = practice.graph("technician", "GET", path).json()["value"]
    assert {r["roleDefinition"]["displayName"] for r in rows} >= {"Password Administrator", "Reports Reader"}
    assert len(rows) == 5


def test_an_activation_is_provisioned_and_can_be_read_only_after_the_delay(practice: Driver) -> None:
    answer = practice.activate()
    assert answer.status_code == 201
    asked = answer.json()
    assert asked["status"] == "Provisioned"
    assert practice.active() == []
    practice.later(2)
    [row] = practice.active()
    assert row["roleAssignmentScheduleId"] == asked["targetScheduleId"] == asked["id"]


def test_a_role_is_given_back_only_after_five_minutes(practice: Driver) -> None:
    practice.activate()
    assert practice.deactivate().json()["error"]["code"] == "RoleAssignmentDoesNotExist"
    practice.later(10)
    assert practice.deactivate().json()["error"]["code"] == "ActiveDurationTooShort"
    practice.later(300)
    assert practice.deactivate().json()["status"] == "Revoked"
    assert practice.active() == []


def test_an_activation_ends_by_itself(practice: Driver) -> None:
    practice.activate()
    practice.later(1795)
    assert len(practice.active()) == 1
    practice.later(10)
    assert practice.active() == []


def test_of_many_activations_at_once_exactly_one_is_made(practice: Driver) -> None:
    practice.token("technician")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: practice.activate().status_code, range(16)))
    assert sorted(answers) == [201] + [400] * 15


def test_a_standing_assignment_is_told_from_an_activated_one(practice: Driver) -> None:
    [row] = practice.active("auditor")
    assert (row["assignmentType"], row["endDateTime"]) == ("Assigned", None)
