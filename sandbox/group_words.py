"""Memberships and ownerships of groups in Graph's words: lower-case enums, groupId and accessId (sheet, section 5)."""

from __future__ import annotations

from sandbox import refusals, views
from sandbox.clock import plain, seven_digits
from sandbox.odata import Row
from sandbox.people import Eligibility, Person
from sandbox.schedules import Words, texts
from sandbox.targets import ACCESS, Target
from sandbox.tenant import Instance, ScheduleRequest

TYPE = "#microsoft.graph.privilegedAccessGroup"
WIDE = ("PrivilegedAccess.Read.AzureADGroup", "PrivilegedAccess.ReadWrite.AzureADGroup")
CHANGE = ("PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup", WIDE[1])
READ = ("PrivilegedAssignmentSchedule.Read.AzureADGroup", *CHANGE, WIDE[0])


def _target(body: Row) -> Target:
    _, group, access = texts(body, "principalId", "groupId", "accessId")
    # Enum names are taken in any case and answered in their own.
    what = Target("group", group, access.lower())
    if what.scope not in ACCESS:
        raise refusals.bad_request("The property 'accessId' is not one of privilegedAccessGroupRelationships.")
    if not what.exists():
        raise refusals.not_found(group)
    return what


def _schedule_id(what: Target, number: str) -> str:
    return f"{what.id}_{what.scope}_{number}"


def _whose(principal: str, what: Target) -> Row:
    return {"principalId": principal, "accessId": what.scope, "groupId": what.id}


def _eligibility(person: Person, row: Eligibility) -> Row:
    return {
        "@odata.type": TYPE + "EligibilityScheduleInstance",
        "id": row.id,
        "startDateTime": plain(row.start),
        "endDateTime": seven_digits(row.end) if row.end else None,
        "memberType": row.member_type.lower(),
        **_whose(person.oid, row.target),
        "eligibilityScheduleId": _schedule_id(row.target, row.schedule_id),
    }


def _instance(row: Instance) -> Row:
    return {
        "@odata.type": TYPE + "AssignmentScheduleInstance",
        "id": row.id,
        "startDateTime": seven_digits(row.start),
        "endDateTime": seven_digits(row.end),
        "memberType": "direct",
        "assignmentType": "activated",
        **_whose(row.principal, row.what),
        "assignmentScheduleId": _schedule_id(row.what, row.request_id),
    }


def _request(row: ScheduleRequest) -> Row:
    return {
        **views.any_request(row),
        **_whose(row.principal, row.what),
        "targetScheduleId": _schedule_id(row.what, row.schedule_id or row.id),
    }


GROUP_WORDS = Words(
    kind="group",
    base="/v1.0/identityGovernance/privilegedAccess/group",
    prefix="",
    types=(
        "privilegedAccessGroupEligibilityScheduleInstance",
        "privilegedAccessGroupAssignmentScheduleInstance",
        "privilegedAccessGroupAssignmentScheduleRequest",
    ),
    may_see_eligible=(
        "PrivilegedEligibilitySchedule.Read.AzureADGroup",
        "PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup",
        *WIDE,
    ),
    may_see_active=READ,
    may_see_requests=READ,
    may_ask=CHANGE,
    target=_target,
    eligible=lambda person: person.groups,
    eligibility=_eligibility,
    standing=lambda _: [],
    instance=_instance,
    request=_request,
)
