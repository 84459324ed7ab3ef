"""What a tenant's policies make of the rules is told before a technician meets it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from integration.rule import REQUESTERS_UNIT, BreakGlass, Bundle, Match, Rule, Start, Wanted
from integration.rules import Rules
from integration.rules_policy import Weight, findings
from integration.targets import PolicyFacts, TargetKind

ROLE = Wanted(TargetKind.DIRECTORY_ROLE, "966707d0-3269-4727-9be2-8c3a10f19b9d", "/", "Password Administrator")
GROUP = Wanted(TargetKind.GROUP, "22222222-bbbb-4ccc-8ddd-000000000001", "member", "Exchange helpers")
ROLE_KEY = f"entra-role:{ROLE.id}@/"
GROUP_KEY = f"entra-group:{GROUP.id}@member"
RULE = Rule("Reset", Match(category=("Password reset",)), (ROLE, GROUP), duration=timedelta(hours=1), line=3)
PLAIN = PolicyFacts(maximum=timedelta(hours=8))


def told(rule=RULE, policies=None, **known) -> list[tuple[Weight, str]]:
    found = findings(Rules("0" * 64, (rule,)), policies or {}, **known)
    assert {(it.rule, it.line) for it in found} <= {("Reset", 3)}
    return [(it.weight, it.text) for it in found]


def test_a_policy_that_asks_for_nothing_and_one_that_nobody_knows_say_nothing():
    assert told(policies={ROLE_KEY: PLAIN}, eligible=[ROLE_KEY, GROUP_KEY]) == []
    assert told() == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (PolicyFacts(maximum=timedelta(minutes=30)), "the tenant's policy allows 30 min, to which it is cut"),
        (PolicyFacts(approval=True, approvers=("Identity team",)), "each pick asks Identity team"),
        (PolicyFacts(approval=True), "asks Privileged Role Administrators and Global Administrators"),
        (PolicyFacts(mfa=True), "needs MFA"),
        (PolicyFacts(mfa=True, context="c1"), "needs the authentication context c1"),
    ],
)
def test_what_technicians_will_notice_is_a_note(facts, said):
    ((weight, text),) = told(policies={ROLE_KEY.upper(): facts})

    assert weight is Weight.NOTE
    assert said in text
    assert '"Password Administrator" in the whole directory' in text


def test_an_approval_after_a_click_asks_nobody_by_surprise():
    ((_, text),) = told(replace(RULE, start=Start.ON_CLICK), {GROUP_KEY: PolicyFacts(approval=True)})

    assert 'waits for an approval of "Exchange helpers" as a member' in text


@pytest.mark.parametrize(
    ("bundle", "eligible", "said"),
    [
        (None, [], "nothing that anybody is eligible for"),
        (Bundle.ALL, [], "nothing that anybody is eligible for"),
        (Bundle.ALL, [ROLE_KEY], 'nobody is eligible for "Exchange helpers" as a member'),
        (None, [ROLE_KEY], None),
        (Bundle.BEST_EFFORT, [GROUP_KEY], None),
        (Bundle.ALL, None, None),
    ],
)
def test_a_rule_that_can_only_refuse_is_wrong(bundle, eligible, said):
    found = told(replace(RULE, bundle=bundle), eligible=eligible)

    assert [(weight, said in text) for weight, text in found] == ([(Weight.WRONG, True)] if said else [])


def test_a_total_shorter_than_one_activation_is_wrong():
    ((weight, text),) = told(replace(RULE, total=timedelta(minutes=30)))

    assert weight is Weight.WRONG
    assert "30 min in all, less than one activation of 1 h" in text


def test_an_eligibility_in_any_unit_keeps_a_rule_by_unit_possible():
    rule = replace(RULE, targets=(replace(ROLE, scope=REQUESTERS_UNIT),))
    in_unit = f"entra-role:{ROLE.id}@/administrativeUnits/11111111-aaaa-4bbb-8ccc-000000000001"

    assert told(rule, eligible=[in_unit]) == []
    assert told(rule, eligible=[GROUP_KEY])[0][0] is Weight.WRONG


def test_break_glass_that_waits_for_somebody_is_told():
    rules = Rules("0" * 64, (), break_glass=BreakGlass((ROLE, GROUP), line=7))
    facts = PolicyFacts(maximum=timedelta(minutes=15), approval=True, mfa=True)

    found = findings(rules, {ROLE_KEY: facts}, eligible=[ROLE_KEY])

    assert [(it.weight, it.rule, it.line) for it in found] == [
        *[(Weight.NOTE, "break glass", 7)] * 3,
        (Weight.WRONG, "break glass", 7),
    ]
    assert "in an emergency it waits for" in found[1].text
    assert "nobody is eligible" in found[3].text
