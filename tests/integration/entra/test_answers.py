"""What the tenant's answers mean: challenges, refusals, statuses, times. All of it is read from hostile text."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.entra import claims, refusals, words
from integration.entra.errors import (
    EntraError,
    EntraRefused,
    EntraUnavailable,
    Loss,
    NotActive,
    PendingRequestExists,
    RoleAssignmentExists,
    SetupWrong,
    SignInNeeded,
    StepUpNeeded,
    TooEarlyToGiveBack,
)
from integration.entra.pim import Request, RequestKind
from integration.entra.roles import Roles
from integration.entra.times import format_duration, parse_duration, parse_time
from integration.entra.transport import Transport
from integration.targets import Target, TargetKind

ACRS = '{"access_token":{"acrs":{"essential":true, "value":"c1"}}}'
ASKED = "&claims=" + quote(ACRS)
NAME = "RoleAssignmentRequestAcrsValidationFailed"


def answered(status: int, code: str, message: str, *, changes: bool = True, **headers: str) -> EntraError:
    body = json.dumps({"error": {"code": code, "message": message}})
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusals.error_for(refusals.parse(status, names, body), names, changes=changes)


@pytest.mark.parametrize(
    ("code", "message"),
    [(NAME, ASKED), ("UnknownError", json.dumps({"errorCode": NAME, "message": ASKED}))],
)
def test_both_shapes_of_a_context_challenge_are_read(code: str, message: str) -> None:
    error = answered(400, code, message)
    assert isinstance(error, StepUpNeeded)
    assert json.loads(error.claims or "") == json.loads(ACRS)
    assert error.silently


@pytest.mark.parametrize("strip", ["", "="])
def test_a_header_challenge_is_read_with_and_without_padding(strip: str) -> None:
    encoded = base64.urlsafe_b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1?>"}}}').decode()
    header = f'Bearer realm="", error="insufficient_claims", claims="{encoded.rstrip(strip) if strip else encoded}"'
    error = answered(401, "InvalidAuthenticationToken", "x", WWW_Authenticate=header)
    assert isinstance(error, StepUpNeeded)
    assert '"nbf"' in str(error.claims)


def test_a_plain_401_asks_for_a_token_and_carries_no_challenge() -> None:
    error = answered(401, "InvalidAuthenticationToken", "expired", WWW_Authenticate='Bearer error="invalid_token"')
    assert type(error) is SignInNeeded
    assert error.claims is None


@given(st.text())
def test_no_text_breaks_the_challenge_parsers(text: str) -> None:
    for found in (
        claims.from_message(text),
        claims.from_message("&claims=" + text),
        claims.from_header(text),
        claims.from_header(f'error="insufficient_claims", claims="{text}"'),
    ):
        assert found is None or isinstance(json.loads(found), dict)


@given(st.integers(400, 599), st.text(), st.text(), st.text(max_size=20))
def test_no_answer_breaks_the_reader_or_speaks_through_it(status: int, code: str, message: str, raw: str) -> None:
    answered(status, code, message, WWW_Authenticate=raw, Retry_After=raw)
    assert refusals.parse(status, {}, raw).code == "unreadable"


def test_deep_nesting_is_not_an_error_of_ours() -> None:
    assert refusals.parse(400, {}, "[" * 100_000).code == "unreadable"
    assert claims.checked('{"a":' * 1500) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RoleAssignmentExists", RoleAssignmentExists),
        ("PendingRoleAssignmentRequest", PendingRequestExists),
        ("ActiveDurationTooShort", TooEarlyToGiveBack),
        ("RoleAssignmentDoesNotExist", NotActive),
        ("SomethingNew", EntraRefused),
        ("AadPremiumLicenseRequired", SetupWrong),
    ],
)
def test_codes_become_our_errors(code: str, kind: type[EntraError]) -> None:
    assert type(answered(400, code, "vendor words")) is kind
    assert "vendor" not in str(answered(400, code, "vendor words"))


def test_the_wrapped_code_of_a_missing_consent_is_an_administrators_matter() -> None:
    inner = json.dumps({"errorCode": "PermissionScopeNotGranted", "message": "Authorization failed"})
    error = answered(403, "UnknownError", inner)
    assert isinstance(error, SetupWrong)
    assert error.status == 403


def test_all_failed_rules_are_named_and_a_lone_mfa_rule_is_a_step_up() -> None:
    code = "RoleAssignmentRequestPolicyValidationFailed"
    both = answered(400, code, 'The following policy rules failed: ["JustificationRule","ExpirationRule"]')
    assert isinstance(both, EntraRefused)
    assert both.rules == ("JustificationRule", "ExpirationRule")
    lone = answered(400, code, 'The following policy rules failed: ["MfaRule"]')
    assert isinstance(lone, StepUpNeeded)
    assert not lone.silently


def test_who_was_throttled_knows_that_nothing_was_done() -> None:
    slow = answered(429, "TooManyRequests", "x", Retry_After="12")
    assert isinstance(slow, EntraUnavailable)
    assert (slow.after, slow.outcome_unknown) == (12, False)
    broken = answered(503, "x", "x")
    assert isinstance(broken, EntraUnavailable)
    assert broken.outcome_unknown


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": "invalid_grant", "error_codes": [50173]}, SignInNeeded),
        ({"error": "interaction_required", "claims": ACRS}, StepUpNeeded),
        ({"error": "invalid_grant", "claims": "not json"}, SignInNeeded),
        ({"error": "invalid_client", "error_codes": [7000215]}, SetupWrong),
        ({"error": "temporarily_unavailable"}, EntraUnavailable),
        ({"error": "something_new", "error_description": "<b>"}, EntraUnavailable),
    ],
)
def test_refused_refreshes_say_who_must_act(answer: dict[str, object], kind: type[EntraError]) -> None:
    error = words.refused(answer)
    assert type(error) is kind
    assert "<" not in str(error)


def test_an_unknown_status_is_tolerated() -> None:
    assert Request("1", "Provisioned", "1").kind is RequestKind.ACTIVE
    assert Request("1", "Revoked", "1").kind is RequestKind.ENDED_OK
    assert Request("1", "SomethingNew", "1").kind is RequestKind.UNKNOWN


@pytest.mark.parametrize("digits", ["", ".1", ".11", ".1034871", ".123456789"])
def test_timestamps_with_any_number_of_digits_are_read(digits: str) -> None:
    time = parse_time(f"2026-11-24T09:00:02{digits}Z")
    assert time is not None
    assert time.replace(microsecond=0) == datetime(2026, 11, 24, 9, 0, 2, tzinfo=UTC)


@given(st.text())
def test_no_text_breaks_times(text: str) -> None:
    parse_time(text)
    parse_duration(text)


@given(st.integers(1, 1440))
def test_durations_survive_the_way_out_and_back(minutes: int) -> None:
    assert parse_duration(format_duration(timedelta(minutes=minutes))) == timedelta(minutes=minutes)


class _Instances:
    """A Graph that shows these instances of one role."""

    def __init__(self, *rows: tuple[str, str]) -> None:
        self._rows = rows

    def items(self, *_: object, **__: object) -> Iterator[dict[str, object]]:
        for schedule, kind in self._rows:
            yield {
                "roleAssignmentScheduleId": schedule,
                "assignmentType": kind,
                "roleDefinitionId": "r",
                "directoryScopeId": "/",
            }


@pytest.mark.parametrize(
    ("rows", "asked", "found"),
    [
        ([("old", "Activated"), ("new", "Activated")], "new", "new"),
        ([("new", "Activated"), ("old", "Activated")], "new", "new"),
        ([("standing", "Assigned"), ("other", "Activated")], "new", "other"),
        ([("standing", "Assigned")], None, "standing"),
        ([], "new", None),
    ],
)
def test_the_instance_that_was_asked_for_is_told_from_one_that_is_still_shown(
    rows: list[tuple[str, str]], asked: str | None, found: str | None
) -> None:
    target = Target(TargetKind.DIRECTORY_ROLE, "r", "/")
    active = Roles(graph := cast(Transport, _Instances(*rows)), graph).active("token", target, schedule_id=asked)
    assert (active.schedule_id if active else None) == found


@pytest.mark.parametrize(
    ("error", "number", "loss"),
    [
        ("invalid_grant", 50173, Loss.REVOKED),
        ("invalid_grant", 99999, Loss.REVOKED),
        ("invalid_grant", 50057, Loss.DISABLED),
        ("invalid_grant", 700082, Loss.AGE),
        ("invalid_grant", 70043, Loss.AGE),
        ("invalid_grant", 65001, None),
        ("invalid_grant", 53003, None),
        ("invalid_grant", 50196, None),
        ("interaction_required", 50173, None),
    ],
)
def test_a_refused_refresh_says_whether_the_sign_in_is_lost_for_good(
    error: str, number: int, loss: Loss | None
) -> None:
    """Consent, Conditional Access and a stopped loop are refusals of one request: the refresh token lives on."""
    refused = words.refused({"error": error, "error_codes": [number]})
    assert isinstance(refused, SignInNeeded)
    assert refused.loss is loss


def test_a_challenge_is_no_loss() -> None:
    refused = words.refused({"error": "invalid_grant", "error_codes": [50076], "claims": ACRS})
    assert isinstance(refused, StepUpNeeded)
    assert refused.loss is None


@pytest.mark.parametrize(
    ("challenge", "newer"),
    [
        ('{"access_token":{"nbf":{"essential":true,"value":"1764000000"}}}', True),
        ('{"access_token":{"nbf":{"value":"1"},"xms_rp_ipaddr":{"value":"192.0.2.1"}}}', True),
        (ACRS, False),
        ('{"access_token":{"nbf":{"value":"1"},"acrs":{"value":"c1"}}}', False),
        ('{"id_token":{"nbf":{}}}', False),
        ('{"access_token":["nbf"]}', False),
    ],
)
def test_a_challenge_for_a_newer_token_is_told_from_one_for_more(challenge: str, newer: bool) -> None:
    assert claims.asks_only_for_newer(challenge) is newer
