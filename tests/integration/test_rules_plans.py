"""Plans for bundles, for the requester's administrative unit and for emergencies keep their bounds whatever is held."""

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.rule import REQUESTERS_UNIT, BreakGlass, Bundle, Match, Mode, Rule, Wanted
from integration.rules import Plan, Refusal, RefusalCode, Rules, analysis_to_json
from integration.targets import Affected, Eligibility, Probe, Target, TargetKind
from integration.tickets import Person, Status, Ticket

ROLE = Wanted(TargetKind.DIRECTORY_ROLE, "966707d0-3269-4727-9be2-8c3a10f19b9d", "/", "Password Administrator")
GROUP = Wanted(TargetKind.GROUP, "22222222-bbbb-4ccc-8ddd-000000000001", "member", "Exchange helpers")
AZURE = Wanted(TargetKind.AZURE_ROLE, "acdd72a7-3385-48ef-bd42-f606fba81ae7", "/subscriptions/s", "Reader")
ALL_THREE = (ROLE, GROUP, AZURE)
USER = "44444444-dddd-4eee-8fff-000000000001"
MINE = "11111111-aaaa-4bbb-8ccc-000000000001"
MINE_TOO = "11111111-aaaa-4bbb-8ccc-000000000002"
OTHER = "11111111-aaaa-4bbb-8ccc-000000000003"
ABOUT = Affected(USER, frozenset({MINE, MINE_TOO}))
SCOPES = (f"/{USER}", f"/administrativeUnits/{MINE}", f"/administrativeUnits/{MINE_TOO}", "/")
ELSEWHERE = (f"/administrativeUnits/{OTHER}", f"/{OTHER}", f"/administrativeUnits/{USER}")
TICKET = Ticket(
    connection="desk",
    number="4821",
    subject="Cannot sign in",
    status=Status.OPEN,
    read_at=datetime(2026, 11, 24, tzinfo=UTC),
    category="Password reset",
    assignee=Person("technician"),
    requesters=(Person("requester"),),
)


def held(*targets: Wanted) -> list[Eligibility]:
    return [Eligibility(Target(it.kind, it.id, it.scope), it.name) for it in targets]


def at(*scopes: str) -> list[Eligibility]:
    return held(*(replace(ROLE, scope=scope) for scope in scopes))


def rules_of(*targets: Wanted, mode: Mode = Mode.ACT, **more) -> Rules:
    return Rules("0" * 64, (Rule("rule", Match(category=("Password reset",)), targets, mode=mode, **more),))


BY_UNIT = rules_of(replace(ROLE, scope=REQUESTERS_UNIT))


@given(st.permutations([*SCOPES, *ELSEWHERE]), st.integers(0, 7))
def test_the_narrowest_scope_that_covers_the_requester_wins_whatever_the_order(scopes, count):
    held_here = scopes[:count]
    covering = [scope for scope in SCOPES if scope in held_here]

    plan = BY_UNIT.plan(TICKET, eligibilities=at(*held_here), affected=ABOUT)

    if covering:
        assert isinstance(plan, Plan)
        assert plan.target.scope == covering[0]
    else:
        assert isinstance(plan, Refusal)
        assert plan.code is RefusalCode.NOT_ELIGIBLE
    assert USER not in analysis_to_json(plan.analysis)


def test_the_analysis_says_which_scope_was_taken_and_why():
    plan = BY_UNIT.plan(TICKET, eligibilities=at("/", SCOPES[1], ELSEWHERE[0]), affected=ABOUT)

    said = next(it.detail for it in plan.analysis if "Eligible" in it.what)
    assert f"Taken at /administrativeUnits/{MINE}, the narrowest of 2 that cover the affected user." in said
    assert "1 of the eligibilities do not cover" in said


def test_where_nobody_knows_whom_a_ticket_is_about_only_the_whole_directory_counts():
    refusal = BY_UNIT.plan(TICKET, eligibilities=at(*SCOPES[:3]))
    plan = BY_UNIT.plan(TICKET, eligibilities=at(*SCOPES))

    assert isinstance(refusal, Refusal)
    assert "must name one requester" in refusal.reason
    assert isinstance(plan, Plan)
    assert plan.target.scope == "/"


def test_an_empty_id_covers_nothing():
    refusal = BY_UNIT.plan(TICKET, eligibilities=at("/administrativeUnits/"), affected=Affected("", frozenset({""})))

    assert isinstance(refusal, Refusal)


@given(st.sets(st.sampled_from(ALL_THREE)))
def test_a_bundle_of_all_is_all_or_nothing_and_best_effort_is_each_for_itself(some):
    eligibilities = held(*some)
    every = rules_of(*ALL_THREE, bundle=Bundle.ALL)
    each = rules_of(*ALL_THREE, bundle=Bundle.BEST_EFFORT)

    together = [every.plan(TICKET, eligibilities=eligibilities, part=part) for part in range(3)]
    alone = [each.plan(TICKET, eligibilities=eligibilities, part=part) for part in range(3)]

    assert [isinstance(it, Plan) for it in together] == [len(some) == 3] * 3
    assert [isinstance(it, Plan) for it in alone] == [it in some for it in ALL_THREE]
    for answers in (together, alone):
        for wanted, answer in zip(ALL_THREE, answers, strict=True):
            if isinstance(answer, Plan):
                assert (answer.target.id, answer.parts) == (wanted.id, 3)
    for refusal in together:
        if isinstance(refusal, Refusal):
            assert {it.name for it in ALL_THREE if f'"{it.name}"' in refusal.reason} == {
                it.name for it in ALL_THREE if it not in some
            }


def test_without_a_bundle_the_first_that_is_held_is_the_only_part():
    rules = rules_of(*ALL_THREE)

    plan = rules.plan(TICKET, eligibilities=held(AZURE, GROUP))

    assert isinstance(plan, Plan)
    assert (plan.target.kind, plan.target_name, plan.parts) == (TargetKind.GROUP, "Exchange helpers", 1)
    assert isinstance(rules.plan(TICKET, eligibilities=held(AZURE, GROUP), part=1), Refusal)


def test_an_owner_is_no_member_and_a_scope_elsewhere_does_not_serve():
    rules = rules_of(GROUP, AZURE)

    refusal = rules.plan(
        TICKET, eligibilities=held(replace(GROUP, scope="owner"), replace(AZURE, scope="/subscriptions/t"))
    )

    assert isinstance(refusal, Refusal)
    assert '"Exchange helpers" as a member or "Reader" at /subscriptions/s' in refusal.reason


def test_a_group_whose_name_the_tenant_does_not_tell_is_called_as_in_the_file():
    plan = rules_of(GROUP).plan(TICKET, eligibilities=held(replace(GROUP, name=GROUP.id.upper())))

    assert plan.target_name == "Exchange helpers"


MINUTES = st.integers(5, 1440).map(lambda minutes: timedelta(minutes=minutes))


@given(MINUTES, MINUTES, st.none() | MINUTES, st.none() | MINUTES, st.none() | MINUTES)
def test_a_plan_never_exceeds_rule_policy_and_total(duration, total, asked, maximum, too_long):
    total = max(duration, total)
    plan = rules_of(ROLE, duration=duration, total=total).plan(
        TICKET, eligibilities=held(ROLE), duration=asked, maximum=lambda _: maximum, too_long=lambda _: too_long
    )

    assert isinstance(plan, Plan)
    assert timedelta(minutes=5) <= plan.duration <= min(duration, plan.total, maximum or duration)
    assert plan.total == total
    if asked is not None:
        assert plan.duration <= asked
    if maximum is None and too_long is not None and too_long > timedelta(minutes=5):
        assert plan.duration < too_long


@pytest.mark.parametrize(
    ("refused", "tried"), [(480, 240), (240, 120), (90, 60), (60, 30), (30, 15), (15, 5), (9999, 240)]
)
def test_after_a_refusal_the_longest_usual_duration_below_it_is_tried(refused, tried):
    plan = rules_of(ROLE, duration=timedelta(hours=8)).plan(
        TICKET, eligibilities=held(ROLE), too_long=lambda _: timedelta(minutes=refused)
    )

    assert plan.duration == timedelta(minutes=tried)
    assert "has refused" in plan.analysis[-1].detail


def test_a_cut_by_the_policy_is_said():
    plan = rules_of(ROLE).plan(TICKET, eligibilities=held(ROLE), maximum=lambda _: timedelta(minutes=20))

    assert "the tenant's maximum is 20 min, and the duration is cut to that." in plan.analysis[-1].detail


@pytest.mark.parametrize(("duration", "total"), [(1, 2), (13, 24), (24, 24)])
def test_more_time_is_once_the_duration_again_unless_the_rule_says_otherwise(duration, total):
    plan = rules_of(ROLE, duration=timedelta(hours=duration)).plan(TICKET, eligibilities=held(ROLE))

    assert plan.total == timedelta(hours=total)


def test_a_plan_carries_what_comes_after_and_a_watched_rule_says_so_in_every_answer():
    rules = rules_of(ROLE, mode=Mode.WATCH, usable=Probe.AUDIT_LOGS, revoke_sessions=True)

    plan = rules.plan(TICKET, eligibilities=held(ROLE))
    refusals = [
        rules.plan(TICKET, eligibilities=[]),
        rules.plan(replace(TICKET, assignee=None), eligibilities=[]),
        rules.plan(replace(TICKET, status=Status.SOLVED), eligibilities=[]),
        rules.plan(replace(TICKET, requesters=(Person("technician"),)), eligibilities=[]),
    ]

    assert (plan.mode, plan.probe, plan.revoke_sessions) == (Mode.WATCH, "audit_logs", True)
    assert [it.mode for it in refusals] == [Mode.WATCH] * 4
    assert rules.probes == {Probe.AUDIT_LOGS}


def test_the_file_says_what_it_needs_of_the_tenant():
    rules = replace(rules_of(ROLE), break_glass=BreakGlass((GROUP,)))

    assert (rules.kinds, rules.by_unit) == ({TargetKind.DIRECTORY_ROLE, TargetKind.GROUP}, False)
    assert BY_UNIT.by_unit


URGENT = Rules("0" * 64, (), break_glass=BreakGlass((ROLE, GROUP)))
REASON = "The mail gateway is down and nobody can file a ticket."


def test_break_glass_plans_what_was_chosen_by_place_or_by_key():
    by_place = URGENT.plan_break_glass(1, REASON, held(ROLE, GROUP))
    by_key = URGENT.plan_break_glass(f"entra-group:{GROUP.id}@member", REASON, held(ROLE, GROUP))

    assert by_place == by_key
    assert (by_place.target.id, by_place.ticket_number) == (GROUP.id, "")
    assert by_place.justification == f"Break glass: {REASON}"
    assert by_place.duration == by_place.total == timedelta(minutes=30)
    assert REASON not in analysis_to_json(by_place.analysis)


@pytest.mark.parametrize(
    ("rules", "wanted", "reason", "code"),
    [
        (rules_of(ROLE), 0, REASON, RefusalCode.NO_BREAK_GLASS),
        (URGENT, 2, REASON, RefusalCode.NO_BREAK_GLASS),
        (URGENT, -1, REASON, RefusalCode.NO_BREAK_GLASS),
        (URGENT, "entra-role:x@/", REASON, RefusalCode.NO_BREAK_GLASS),
        (URGENT, "rubbish", REASON, RefusalCode.NO_BREAK_GLASS),
        (URGENT, 0, "too short", RefusalCode.NO_REASON),
        (URGENT, 0, "\u200b" * 50, RefusalCode.NO_REASON),
        (URGENT, 0, "x" * 301, RefusalCode.NO_REASON),
        (URGENT, 1, REASON, RefusalCode.NOT_ELIGIBLE),
    ],
)
def test_break_glass_is_refused_in_words(rules, wanted, reason, code):
    refusal = rules.plan_break_glass(wanted, reason, held(ROLE))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.rule) == (code, "break glass")
    assert refusal.reason.endswith(".")


@given(st.text(st.characters(exclude_categories=[]), max_size=700), st.none() | MINUTES)
def test_a_reason_is_only_text_and_the_policy_still_counts(reason, maximum):
    answer = URGENT.plan_break_glass(0, reason + "{reason} %s", held(ROLE), lambda _: maximum)

    if isinstance(answer, Plan):
        assert answer.duration <= min(timedelta(minutes=30), maximum or timedelta(minutes=30))
        assert 10 <= len(answer.justification) <= 500
        assert not [c for c in answer.justification if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}]
    else:
        assert answer.code is RefusalCode.NO_REASON


def test_a_file_that_only_watches_breaks_no_glass():
    assert replace(URGENT, mode=Mode.WATCH).plan_break_glass(0, REASON, held(ROLE)).mode is Mode.WATCH
