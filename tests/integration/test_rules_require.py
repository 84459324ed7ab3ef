"""What a rule requires of its ticket. Contract: a ticket gets a plan if and only if it has all of it; else each thing
that is missing is said, with what to do, and no value of a field is repeated.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from cli.rules import rules as command
from integration.rule import Match, Require, Rule, Sla, Start
from integration.rules import Plan, Refusal, RefusalCode, RulesInvalid, loads
from integration.rules_diff import as_picked
from integration.rules_require import look, moment
from integration.tickets import Person, Status, Ticket
from tests.integration.test_rules import PASSWORD, TICKET, eligible, rules_of

NOW = TICKET.read_at
HELD = eligible("Password Administrator")
NAMES = st.sampled_from(["Site", "Cost centre", "Change"])
VALUES = st.sampled_from(["", "North", "south", "SOUTH", " ", "\u200b"])
LATE = st.timedeltas(min_value=-timedelta(days=3), max_value=timedelta(days=3))


def asked(ticket: Ticket, **require) -> Plan | Refusal:
    rule = Rule("reset", Match(category=("Password reset",)), (PASSWORD,), require=Require(**require), help="Ask Kim.")
    return rules_of(rule).plan(ticket, eligibilities=HELD)


def with_fields(**fields: str) -> Ticket:
    return replace(TICKET, fields={name.replace("_", " "): value for name, value in fields.items()})


REQUIRES = st.builds(
    Require,
    status=st.lists(st.sampled_from([Status.OPEN, Status.ON_HOLD]), unique=True).map(tuple),
    filled=st.lists(NAMES, unique=True).map(tuple),
    field=st.dictionaries(NAMES, st.just(("South", "West"))).map(lambda it: tuple(it.items())),
    sla=st.none() | st.builds(Sla, st.just("Due"), st.sampled_from([timedelta(), timedelta(hours=2)])),
)


@given(
    REQUIRES,
    st.sampled_from([Status.OPEN, Status.ON_HOLD]),
    st.dictionaries(NAMES, VALUES),
    st.none() | LATE,
)
def test_a_ticket_gets_a_plan_if_and_only_if_it_has_all_that_is_required(require, status, fields, late):
    due = {} if late is None else {"DUE": (NOW - late).isoformat()}
    ticket = replace(TICKET, status=status, fields=fields | due)
    seen = {name: value.strip().strip("\u200b").casefold() for name, value in fields.items()}
    met = [
        *([status in require.status] if require.status else []),
        *(bool(seen.get(name)) for name in require.filled),
        *(seen.get(name) in ("south", "west") for name, _values in require.field),
        *([late is not None and late <= require.sla.overdue] if require.sla else []),
    ]

    answer = asked(ticket, status=require.status, filled=require.filled, field=require.field, sla=require.sla)

    assert isinstance(answer, Plan) == all(met)
    assert [it.condition.met for it in look(require, ticket)] == met
    assert {it.condition for it in look(require, ticket)} <= set(answer.analysis)
    if isinstance(answer, Refusal):
        assert answer.code is RefusalCode.NOT_READY
        steps = [it.step for it in look(require, ticket) if not it.condition.met]
        assert steps
        assert all(step in answer.reason for step in steps)
        assert answer.reason.endswith("Then press Elevate. Ask Kim.")


@given(st.text() | st.datetimes().map(str) | st.dates().map(str), st.timedeltas())
@example("9999-12-31", timedelta(0))
@example("0001-01-01T00:00:00+14:00", timedelta(0))
def test_whatever_stands_in_the_field_with_the_time_is_a_time_or_none(text, overdue):
    (found,) = look(Require(sla=Sla("Due", overdue)), with_fields(Due=text))

    assert moment(text) is None or moment(text).tzinfo is UTC
    assert moment(text) is not None or not found.condition.met


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-24T10:00:00Z", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24T10:00:00.000+0200", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24 10:00:00", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24", datetime(2026, 11, 25, tzinfo=UTC)),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_times_are_read_as_helpdesks_write_them(text, told):
    assert moment(text) == told


@given(st.integers(-12, 14))
def test_the_offset_of_a_time_counts(hours):
    told = (NOW + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=hours))).isoformat()

    assert isinstance(asked(with_fields(Due=told), sla=Sla("due")), Plan)


@pytest.mark.parametrize(
    ("ticket", "require", "said"),
    [
        (replace(TICKET, status=Status.ON_HOLD), {"status": (Status.OPEN,)}, "Set its status to open."),
        (with_fields(), {"filled": ("Cost centre",)}, 'Fill in the field "Cost centre".'),
        (
            with_fields(Change="Draft"),
            {"field": (("change", ("Approved", "Standard")),)},
            'Set the field "change" to "Approved" or "Standard".',
        ),
        (with_fields(), {"sla": Sla("Due")}, 'Fill in the field "Due" with the time it is due.'),
        (with_fields(Due="2020-01-01"), {"sla": Sla("Due")}, 'The time in the field "Due" is over'),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(ticket, require, said):
    answer = asked(ticket, **require)

    assert isinstance(answer, Refusal)
    assert said in answer.reason


def test_how_long_ago_the_time_was_is_in_the_analysis_and_the_time_is_not():
    answer = asked(with_fields(Due="2026-11-23 20:30"), sla=Sla("Due", timedelta(hours=2)))

    (looked,) = [it for it in answer.analysis if '"Due"' in it.what]
    assert (looked.met, looked.detail) == (False, "It was over 3 h 30 min ago.")
    assert "over no longer than 2 h ago" in looked.what


def test_no_value_of_a_field_is_in_an_answer():
    fields = {"Change": "Secret draft", "Due": "2019-08-07T06:05:04Z"}
    answer = asked(replace(TICKET, fields=fields), field=(("Change", ("Approved",)),), sla=Sla("Due"))

    assert "Secret" not in repr(answer)
    assert "2019" not in repr(answer)


def test_whoever_may_not_have_it_anyway_is_not_told_to_fill_in_anything():
    own = replace(TICKET, requesters=(TICKET.assignee,), fields={})

    assert asked(own, filled=("Site",)).code is RefusalCode.OWN_TICKET


def test_requirements_choose_no_rule():
    """Match does: the next rule that fits is not tried for a ticket that lacks something."""
    strict = Rule("strict", Match(category=("Password reset",)), (PASSWORD,), require=Require(filled=("Change",)))
    lax = Rule("lax", Match(queue=("First line",)), (PASSWORD,))

    assert rules_of(strict, lax).plan(TICKET, eligibilities=HELD).rule == "strict"


def test_a_ticket_on_hold_that_is_allowed_still_needs_a_click():
    answer = asked(replace(TICKET, status=Status.ON_HOLD), status=(Status.OPEN, Status.ON_HOLD))

    assert isinstance(answer, Plan)
    assert answer.start is Start.ON_CLICK


def test_a_ticket_of_last_month_is_decided_as_in_time_as_it_was_then():
    then = NOW - timedelta(days=20)
    solved = replace(with_fields(Due=(then + timedelta(hours=1)).isoformat()), status=Status.SOLVED)

    assert isinstance(asked(as_picked(solved, Person("x"), at=then), sla=Sla("Due")), Plan)
    assert isinstance(asked(as_picked(solved, Person("x")), sla=Sla("Due")), Refusal)


RULE = '[[rule]]\nname = "Reset"\nmatch = { category = "Password reset" }\nroles = ["Password Administrator"]\n'


def test_a_file_says_what_it_requires_inline_or_as_a_table():
    inline = RULE + (
        'require = { status = "open", filled = "CI", field = { Change = ["Yes", "No"] }, sla = { field = "Due", '
        'overdue = "1h30m" } }\n'
    )
    table = RULE + (
        '[rule.require]\nstatus = ["open"]\nfilled = ["CI"]\nfield.Change = ["Yes", "No"]\n'
        '[rule.require.sla]\nfield = "Due"\noverdue = "90m"\n'
    )
    one, other = (loads(text.encode(), Path("rules.toml")).rules[0].require for text in (inline, table))

    assert one == other
    assert one == Require((Status.OPEN,), ("CI",), (("Change", ("Yes", "No")),), Sla("Due", timedelta(minutes=90)))


@pytest.mark.parametrize(
    ("require", "said"),
    [
        ("{}", '"require" is empty'),
        ('"open"', '"require" must be a table, like { filled = "Cost centre" }'),
        ('{ status = "opn" }', 'Did you mean "open"?'),
        ('{ status = "solved" }', "a solved ticket gets no role in any case"),
        ('{ statsu = "open" }', 'The require of rule "Reset" has an unknown key "statsu". Did you mean "status"?'),
        ('{ help = "x" }', "Write it beside require"),
        ("{ filled = [] }", 'at "filled", this list is empty'),
        ("{ filled = [3] }", '"filled" must be text in quotes'),
        ("{ field = { Change = 3 } }", '"Change" must be'),
        ('{ sla = "due" }', '"sla" must be a table. Write sla = { field = "<name>" }'),
        ("{ sla = {} }", "does not name the ticket's field"),
        ('{ sla = { field = "Due", until = "2h" } }', '"sla" has an unknown key "until"'),
        ('{ sla = { field = "Due", overdue = 2 } }', 'the time "2" at "overdue" cannot be read'),
        ('{ sla = { field = "Due", overdue = "soon" } }', 'Write "30m", "1h"'),
    ],
)
def test_a_mistake_is_found_with_its_line_and_what_was_meant(require, said):
    with pytest.raises(RulesInvalid) as error:
        loads(f"{RULE}require = {require}\n".encode(), Path("rules.toml"))

    (problem,) = error.value.problems
    assert said in problem.text
    assert problem.line == (1 if require == "{}" else 5)


def test_a_rule_that_denies_requires_nothing():
    text = '[[rule]]\nname = "No"\ndeny = true\nreason = "No."\nrequire = { filled = "CI" }\n'

    with pytest.raises(RulesInvalid, match='"require" says nothing in a rule that denies'):
        loads(text.encode(), Path("rules.toml"))


def test_explain_shows_each_requirement(explain):
    lacks = explain()
    has = explain("--field", "CI=server-7", "--status", "open")

    assert 'The field "CI" is filled in. It is empty, or the ticket has no such field.' in lacks
    assert "Refused (not_ready)" in lacks
    assert "Plan of rule Reset" in has
    assert "Refused (not_ready)" in explain("--field", "CI=server-7", "--status", "on_hold")


@pytest.fixture
def explain(tmp_path) -> Callable[..., str]:
    place = tmp_path / "rules.toml"
    place.write_text(RULE + 'require = { status = "open", filled = "CI" }\n')

    def said(*more: str) -> str:
        asked = ["explain", str(place), "--category", "Password reset", "--eligible", "Password Administrator", *more]
        return CliRunner().invoke(command, asked).output

    return said
