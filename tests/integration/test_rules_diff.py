"""Two rules files and one ticket. Contract: what somebody would notice makes a difference, and nothing else does."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integration.rules import Plan, Refusal, RefusalCode, Rules, loads
from integration.rules_diff import Known, answers, as_picked, differ, supposed
from integration.targets import Eligibility, Target, TargetKind
from integration.tickets import Person, Status, Ticket

RULE = '[[rule]]\nname = "reset"\nmatch = { category = "Password reset" }\nroles = ["Password Administrator"]\n'
TICKET = Ticket(
    "desk", "7", "x", Status.SOLVED, datetime(2026, 11, 24, tzinfo=UTC), category="Password reset",
    requesters=(Person("requester"),),
)  # fmt: skip


def rules(text: str) -> Rules:
    return loads(text.encode(), Path("rules.toml"))


def both(text: str, other: str, ticket: Ticket = TICKET) -> bool:
    files = [rules(text), rules(other)]
    before, after = (answers(it, as_picked(ticket), supposed(Known(), files)) for it in files)
    return differ(before, after)


@pytest.mark.parametrize(
    "other",
    [
        RULE.replace('"reset"', '"another name"'),
        RULE + 'justification = "Because of {ticket}"\n',
        RULE + 'help = "Ask."\n',
        '[[rule]]\nname = "a"\nmatch = { category = "MFA reset" }\nroles = ["Global Reader"]\n' + RULE,
    ],
)
def test_names_texts_and_rules_for_other_tickets_make_no_difference(other: str) -> None:
    assert not both(RULE, other)


@pytest.mark.parametrize(
    "other",
    [
        RULE.replace("Password Administrator", "Helpdesk Administrator"),
        RULE + 'duration = "15m"\n',
        RULE + 'start = "on_click"\n',
        RULE + 'mode = "watch"\n',
        RULE + 'total = "4h"\n',
        RULE + "revoke_sessions = true\n",
        RULE + 'scope = "/administrativeUnits/11111111-aaaa-4bbb-8ccc-000000000001"\n',
        RULE.replace("Password reset", "Another"),
        '[[rule]]\nname = "no"\ndeny = true\nreason = "Never."\nmatch = { connection = "desk" }\n' + RULE,
        RULE.replace('["Password Administrator"]', '["Password Administrator", "Global Reader"]') + 'bundle = "all"\n',
    ],
)
def test_what_somebody_would_notice_is_a_difference(other: str) -> None:
    assert both(RULE, other)


def test_where_no_rule_fits_watching_makes_no_difference() -> None:
    other = replace(TICKET, category="Plants")
    assert not both(RULE, 'mode = "watch"\n' + RULE, other)


def test_a_solved_ticket_of_nobody_is_decided_as_if_it_were_open_and_picked() -> None:
    (answer,) = answers(rules(RULE), as_picked(TICKET), supposed(Known(), [rules(RULE)]))
    assert isinstance(answer, Plan)
    assert answer.target_name == "Password Administrator"


def test_the_technician_of_then_is_held_against_the_requesters() -> None:
    (answer,) = answers(rules(RULE), as_picked(TICKET, Person("requester")), supposed(Known(), [rules(RULE)]))
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.OWN_TICKET


def test_what_is_known_counts_and_what_is_not_is_supposed() -> None:
    group = '[[rule]]\nname = "g"\nroles = [{ group = "22222222-bbbb-4ccc-8ddd-000000000001", name = "Desk" }]\n'
    group += 'match = { category = "Lost device" }\n'
    held = Eligibility(Target(TargetKind.DIRECTORY_ROLE, "some-other-role", "/"), "Another")
    known = Known((held,), frozenset({TargetKind.DIRECTORY_ROLE}))
    assert [it.name for it in supposed(known, [rules(RULE), rules(group)])] == ["Desk"]
    (answer,) = answers(rules(RULE), as_picked(TICKET), [held, *supposed(known, [rules(RULE)])])
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.NOT_ELIGIBLE


def test_for_the_requesters_unit_the_whole_directory_is_supposed() -> None:
    by_unit = rules(RULE + 'scope = "requester\'s administrative unit"\n')
    (answer,) = answers(by_unit, as_picked(TICKET), supposed(Known(), [by_unit]))
    assert isinstance(answer, Plan)
    assert answer.target.scope == "/"
