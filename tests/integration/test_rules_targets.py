"""Groups, Azure roles, bundles and break glass in the rules file: what they become, and each mistake in words."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.rule import REQUESTERS_UNIT, Bundle, Mode, Wanted
from integration.rules import RulesInvalid, load
from integration.rules_file import parse
from integration.targets import Probe, TargetKind

GROUP_ID = "22222222-bbbb-4ccc-8ddd-000000000001"
UNIT = "/administrativeUnits/11111111-aaaa-4bbb-8ccc-000000000001"
SUBSCRIPTION = "/subscriptions/33333333-cccc-4ddd-8eee-000000000001"
DESK = f"{SUBSCRIPTION}/resourceGroups/a(b)-c.d_e"
ABOVE = "/providers/Microsoft.Management/managementGroups/desk"
GROUP = f'{{ group = "{GROUP_ID}" }}'
AZURE = f'{{ azure_role = "Reader", scope = "{SUBSCRIPTION}" }}'
GOOD = """\
[[rule]]
name = "Reset"
match = { category = "Password reset" }
roles = [
  "Password Administrator",
  ITEM
]
"""
URGENT = '[break_glass]\nroles = ["Password Administrator"]\n'


def text_of(item: str = "", more: str = "") -> str:
    return GOOD.replace("ITEM", item) + more


def problems_of(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.text) for problem in parse(text.encode())[1]]


@pytest.mark.parametrize(
    ("item", "kind", "target_id", "scope", "name"),
    [
        (GROUP, TargetKind.GROUP, GROUP_ID, "member", GROUP_ID),
        (
            f'{{ group = "{GROUP_ID.upper()}", access = "owner", name = "Helpers" }}',
            TargetKind.GROUP,
            GROUP_ID,
            "owner",
            "Helpers",
        ),
        (AZURE, TargetKind.AZURE_ROLE, "acdd72a7-3385-48ef-bd42-f606fba81ae7", SUBSCRIPTION, "Reader"),
        (
            f'{{ azure_role = "ACDD72A7-3385-48ef-bd42-f606fba81ae7", scope = "{DESK}" }}',
            TargetKind.AZURE_ROLE,
            "acdd72a7-3385-48ef-bd42-f606fba81ae7",
            DESK,
            "Reader",
        ),
        (
            f'{{ azure_role = "{GROUP_ID}", scope = "{ABOVE}", name = "X" }}',
            TargetKind.AZURE_ROLE,
            GROUP_ID,
            ABOVE,
            "X",
        ),
        (
            f'{{ role = "global reader", scope = "{UNIT}" }}',
            TargetKind.DIRECTORY_ROLE,
            "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
            UNIT,
            "Global Reader",
        ),
        (
            '{ role = "Global Reader" }',
            TargetKind.DIRECTORY_ROLE,
            "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
            "/",
            "Global Reader",
        ),
    ],
)
def test_an_entry_of_roles_becomes_a_target(item, kind, target_id, scope, name):
    contents, problems = parse(text_of(item).encode())

    assert problems == []
    assert contents.rules[0].targets[1] == Wanted(kind, target_id, scope, name)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ('{ group = "Exchange helpers" }', "names of groups are not unique"),
        (f'{{ group = "{GROUP_ID}", access = "members" }}', 'Did you mean "member"?'),
        (f'{{ group = "{GROUP_ID}", scope = "/" }}', "a group has no scope"),
        (f'{{ group = "{GROUP_ID}", acess = "member" }}', 'unknown key "acess". Did you mean "access"?'),
        (f'{{ grup = "{GROUP_ID}" }}', 'unknown key "grup". Did you mean "group"?'),
        (f'{{ group = "{GROUP_ID}", name = 7 }}', '"name" must be text in quotes'),
        (f'{{ group = "{GROUP_ID}", name = "{"x" * 101}" }}', "longer than 100 characters"),
        (f'{{ group = "{GROUP_ID}", name = "a\\u200bb" }}', "cannot be seen"),
        (f'{{ group = "{GROUP_ID}", role = "Global Reader" }}', 'both "role" and "group"'),
        ("{}", 'needs one of the keys "role", "group" and "azure_role"'),
        ('{ azure_role = "Reader" }', "an Azure role needs a scope"),
        ('{ azure_role = "Reader", scope = "/" }', "is none of Azure's"),
        (f'{{ azure_role = "Reader", scope = "{SUBSCRIPTION}/" }}', "no slash at the end"),
        (f'{{ azure_role = "Readr", scope = "{SUBSCRIPTION}" }}', 'Did you mean "Reader"?'),
        (f'{{ azure_role = "Owner of all", scope = "{SUBSCRIPTION}" }}', "Write the role definition's id, or one of"),
        ('{ role = "Global Reader", scope = "all" }', 'Write "/"'),
        ('{ role = "Global Reder" }', 'Did you mean "Global Reader"?'),
        ('{ role = "Global Reader", scope = "requesters administrative unit" }', f'Did you mean "{REQUESTERS_UNIT}"?'),
        ("7", "names in quotes"),
    ],
)
def test_each_wrong_entry_of_roles_is_told_with_its_own_line(item, said):
    ((line, text),) = problems_of(text_of(item))

    assert (line, said in text) == (6, True), text
    assert text.startswith('In rule "Reset", ')


@pytest.mark.parametrize(
    ("more", "line", "said"),
    [
        ('bundle = "al"', 8, 'Did you mean "all"?'),
        ('total = "30m"', 1, '"total" is 30 min, shorter than one activation'),
        ('total = "30h"', 8, "from 5 minutes to 24 hours"),
        ('usable = "signin_logs"', 8, 'Did you mean "sign_in_logs"?'),
        ('usable = "x"', 8, 'Write "sign_in_logs" or "audit_logs" or "bitlocker_keys".'),
        ('mode = "wach"', 8, 'Did you mean "watch"?'),
        ("mode = 1", 8, '"mode" must be text in quotes'),
        ('revoke_sessions = "yes"', 8, "true or false"),
    ],
)
def test_each_wrong_value_of_a_new_key_is_told(more, line, said):
    ((where, text),) = problems_of(text_of(more=more))

    assert (where, said in text) == (line, True), text


@pytest.mark.parametrize("key", ["bundle", "mode", "total", "usable", "revoke_sessions"])
def test_a_rule_that_denies_takes_none_of_the_new_keys(key):
    value = {"bundle": '"all"', "mode": '"watch"', "total": '"4h"', "usable": '"audit_logs"'}.get(key, "true")
    deny = f'[[rule]]\nname = "No"\ndeny = true\nreason = "x"\n{key} = {value}\n'

    assert [text for _, text in problems_of(deny)] == [
        f'In rule "No", "{key}" says nothing in a rule that denies. Remove it, or remove deny = true.'
    ]


@pytest.mark.parametrize(
    ("roles", "more", "said"),
    [
        ('["Global Reader"]', 'bundle = "all"', "is for several roles, and here is one"),
        (f"[{GROUP}, {AZURE}]", 'scope = "/"', "counts only for directory roles without a scope of their own"),
        (f"[{GROUP}, {GROUP}]", "", "is there twice"),
        (f'["Global Reader", {{ role = "Global Reader", scope = "{UNIT}" }}]', f'scope = "{UNIT}"', "is there twice"),
        ("7", "", '"roles" must be a list'),
    ],
)
def test_each_wrong_combination_is_told(roles, more, said):
    text = f'[[rule]]\nname = "Reset"\nmatch.queue = "x"\nroles = {roles}\n{more}\n'

    assert [said in found for _, found in problems_of(text)] == [True]


@pytest.mark.parametrize(
    ("table", "line", "said"),
    [
        ("[break_glass]\n", 1, 'In the table break_glass, "roles" is missing'),
        (URGENT + 'duration = "90m"\n', 3, "too long for break glass"),
        (URGENT + 'duration = "1m"\n', 3, "from 5 minutes to 24 hours"),
        (URGENT + 'justification = "Urgent"\n', 3, "must hold {reason} once"),
        (URGENT + 'justification = "{reason} {ticket}"\n', 3, "Without a ticket there is only {reason}"),
        (URGENT + f'justification = "{{reason}} {"x" * 150}"\n', 3, "longer than 150 characters"),
        (URGENT + "justification = '{reason'\n", 3, "lone brace"),
        (URGENT + 'start = "on_pick"\n', 3, 'The table break_glass has an unknown key "start"'),
        (f"[break_glass]\nroles = [{{ role = 'Global Reader', scope = \"{REQUESTERS_UNIT}\" }}]\n", 2, "no requester"),
        ("[break_glass]\nroles = []\n", 2, "empty"),
        ('break_glass = "yes"\n', 1, "Break glass is a table"),
        ('mode = "observe"\n', 1, 'In the file, "mode" cannot be "observe"'),
        ('mod = "watch"\n', 1, 'The file has an unknown key "mod". Did you mean "mode"?'),
    ],
)
def test_each_mistake_outside_the_rules_is_told(table, line, said):
    ((where, text),) = problems_of(table + text_of())

    assert (where, said in text) == (line, True), text


def test_no_rule_may_be_called_as_break_glass_is():
    ((line, text),) = problems_of(text_of().replace('"Reset"', '"Break Glass"'))

    assert (line, "kept for activations without a ticket" in text) == (2, True)


def test_what_the_file_says_of_all_rules_wins_over_each():
    acting = text_of(GROUP, 'mode = "act"\nbundle = "best_effort"\ntotal = "4h"\nusable = "audit_logs"\n')

    (rule,) = parse(acting.encode())[0].rules
    watching = parse(f'mode = "watch"\n{acting}'.encode())[0]

    assert (rule.mode, rule.bundle, rule.total, rule.usable, rule.parts) == (
        Mode.ACT,
        Bundle.BEST_EFFORT,
        timedelta(hours=4),
        Probe.AUDIT_LOGS,
        2,
    )
    assert watching.rules[0].mode is watching.mode is Mode.WATCH


def test_break_glass_is_off_unless_the_file_has_its_table(tmp_path: Path):
    path = tmp_path / "rules.toml"
    path.write_text(text_of())
    without = load(path).break_glass
    path.write_text(URGENT + text_of())
    table = load(path).break_glass

    assert without is None
    assert table is not None
    assert (table.targets[0].scope, table.duration, table.line) == ("/", timedelta(minutes=30), 1)
    path.write_text(URGENT + 'duration = "2h"\n' + text_of())
    with pytest.raises(RulesInvalid, match=r"rules\.toml:3: "):
        load(path)


WORDS = st.sampled_from(["role", "group", "azure_role", "scope", "access", "name", "x"])
VALUES = st.one_of(
    st.sampled_from(["Reader", "Global Reader", GROUP_ID, "member", "/", UNIT, SUBSCRIPTION, REQUESTERS_UNIT, ""]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.dictionaries(WORDS, VALUES, max_size=4))
def test_whatever_an_entry_holds_it_is_a_target_or_one_sentence_on_its_line(entry):
    item = "{ " + ", ".join(f"{key} = {quoted(value)}" for key, value in entry.items()) + " }"

    contents, problems = parse(text_of(item).encode())

    if problems:
        ((line, text),) = [(it.line, it.text) for it in problems]
        assert line == 6
        assert text.endswith((".", "?"))
    else:
        target = contents.rules[0].targets[1]
        assert target.id
        assert target.scope
        assert (target.kind is TargetKind.GROUP) == (target.scope in ("member", "owner"))


@given(st.text(alphabet="[]{}=.\"'\n breakglsomdut", max_size=60))
def test_whatever_stands_above_the_rules_the_answer_is_a_file_or_a_list_of_mistakes(start):
    text = f"{start}\n{text_of()}"

    contents, problems = parse(text.encode())

    assert bool(contents.rules) or bool(problems)
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in problems)
