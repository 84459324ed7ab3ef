"""A mistake in the rules file is found before a ticket meets it: with its line, and with what was probably meant."""

import hashlib
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.rules import rules as command
from integration import roles, rules_targets
from integration.rule import TEMPLATE_FIELDS, Bundle, Mode, Start, Wanted
from integration.rules import RefusalCode, RulesInvalid, load
from integration.rules_file import parse
from integration.rules_shape import BreakGlassKeys, FileKeys, MatchKeys, RequireKeys, RuleKeys
from integration.targets import Probe, TargetKind

GOOD = """\
[[rule]]
name = "Reset"
match = { category = "Password reset" }
roles = ["Password Administrator"]
"""
DEFAULT = "integration/rules.toml"


@pytest.mark.parametrize(
    ("change", "to", "line", "said"),
    [
        ("[[rule]]", "[[rules]]", 1, 'unknown key "rules". Did you mean "rule"?'),
        ("[[rule]]", "[rule]", 1, "[[rule]]"),
        ("roles =", "role =", 4, 'unknown key "role". Did you mean "roles"?'),
        ("match =", 'category = "x"\nmatch =', 3, "Did you mean match = { category = ... }?"),
        ("category =", "catgory =", 3, 'unknown key "catgory". Did you mean "category"?'),
        ('"Password reset" }', '"x", roles = "x" }', 3, "Write it beside match"),
        ('"Password reset"', "[]", 3, 'at "category", this list is empty'),
        ('"Password reset"', '" "', 3, "empty"),
        ('"Password reset"', "7", 3, '"category" must be'),
        ("{ category", "{ field.Site = 3, category", 3, '"Site" must be'),
        ("{ category", "{ subject = ['ok', '('], category", 3, "not a regular expression"),
        ('{ category = "Password reset" }', '"x"', 3, '"match" must be a table'),
        ('{ category = "Password reset" }', "{}", 1, "every ticket"),
        ("Password Administrator", "Pasword Administrator", 4, 'Did you mean "Password Administrator"?'),
        ("Password Administrator", roles.BUILT_IN[0].id[:-1] + "0", 4, "(Password Administrator)?"),
        ("Password Administrator", "Janitor", 4, 'no role "Janitor". Write a template id'),
        ('["Password Administrator"]', "[]", 4, "empty"),
        ('["Password Administrator"]', "[1]", 4, "names in quotes"),
        ('["Password Administrator"]', '["Global Reader",\n"global reader"]', 4, "twice"),
        ('name = "Reset"\n', "", 1, '"name" is missing'),
        ("match", "start = 'on-pick'\nmatch", 3, 'Did you mean "on_pick"?'),
        ("match", "scope = 'all'\nmatch", 3, 'Write "/"'),
        ("match", "deny = 'yes'\nmatch", 3, "true or false"),
        ("match", "deny = true\nreason = 'x'\nmatch", 1, '"roles" says nothing in a rule that denies'),
        ("match", "reason = 'x'\nmatch", 1, 'Did you mean "help"'),
        ("match", "duration = '90'\nmatch", 3, 'Did you mean "90m"?'),
        ("match", "duration = 60\nmatch", 3, 'Did you mean "60m"?'),
        ("match", "duration = '48h'\nmatch", 3, "from 5 minutes to 24 hours"),
        ("match", "duration = '4m'\nmatch", 3, "from 5 minutes to 24 hours"),
        ("match", "duration = 'PT'\nmatch", 3, "cannot be read"),
        ("match", "duration = true\nmatch", 3, "cannot be read"),
        ("match", "justification = '{tickt}'\nmatch", 3, "Did you mean {ticket}?"),
        ("match", "justification = '{ticket.number}'\nmatch", 3, "unknown field {ticket.number}"),
        ("match", "justification = '{ticket!r:>9}'\nmatch", 3, "unknown field {ticket!r:>9}"),
        ("match", "justification = '{}'\nmatch", 3, "unknown field {}"),
        ("match", "justification = 'a } b'\nmatch", 3, "lone brace"),
        ('"Reset"', '"Reset', 2, "not TOML"),
        ("Reset", "\udcff", 2, "not UTF-8"),
        ("match", f"start = {'9' * 5000}\nmatch", 6, "not TOML"),
        ("match", f"start = {'[' * 5000}\nmatch", 1, "nested"),
        (GOOD, "", 1, "There is no rule"),
        (GOOD, "#" * (1 << 20) + GOOD, 1, "larger than 1 MiB"),
    ],
)
def test_each_mistake_is_named_with_its_line_and_what_was_meant(rules_file, change, to, line, said):
    assert change in GOOD
    path = rules_file(GOOD.replace(change, to, 1))

    with pytest.raises(RulesInvalid) as error:
        load(path)

    first = str(error.value).splitlines()[0]
    assert first.startswith(f"{path}:{line}: ")
    assert said in first


@given(st.text(alphabet="[]{}=.\"'\n rulenamchp1#", max_size=60).map(lambda end: GOOD + end))
def test_whatever_is_in_the_file_the_answer_is_rules_or_a_list_of_mistakes(text):
    contents, problems = parse(text.encode())

    assert bool(contents.rules) or bool(problems)
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in problems)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(rules_file):
    text = GOOD.replace("roles", "rols") + GOOD.replace("Reset", "Other").replace("match", "duration = '2d'\nmatch")

    with pytest.raises(RulesInvalid) as error:
        load(rules_file(text))

    assert [problem.line for problem in error.value.problems] == [4, 7]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (GOOD.replace('"Password reset"', '"Other"').replace("Reset", "RESET"), "already taken by the rule at line 1"),
        (GOOD.replace('"Reset"', '"Second"').replace("Password reset", "PASSWORD RESET"), "always match together"),
        (
            '[[rule]]\nname = "No"\ndeny = true\nreason = "x"\nmatch.category = ["Password reset"]',
            "always match together",
        ),
    ],
)
def test_two_rules_of_one_name_or_one_match_are_a_mistake(rules_file, second, said):
    with pytest.raises(RulesInvalid) as error:
        load(rules_file(GOOD + second))

    assert [(problem.line, said in problem.text) for problem in error.value.problems] == [(5, True)]


@pytest.mark.parametrize(
    ("written", "minutes"),
    [("1h", 60), ("30m", 30), ("1h30m", 90), ("PT1H", 60), ("pt45m", 45), ("24h", 1440), ("5m", 5), ("1h 30m", 90)],
)
def test_a_duration_may_be_written_in_several_ways(rules_file, written, minutes):
    loaded = load(rules_file(GOOD + f'duration = "{written}"'))

    assert loaded.rules[0].duration.total_seconds() == minutes * 60


def test_a_custom_role_is_named_by_its_id(rules_file):
    custom = "11111111-AAAA-4bbb-8ccc-000000000001"

    loaded = load(rules_file(GOOD.replace("Password Administrator", custom)))

    assert loaded.rules[0].targets == (Wanted(TargetKind.DIRECTORY_ROLE, custom.lower(), "/", custom.lower()),)


def test_a_role_may_be_named_in_any_case_or_by_template_id(rules_file):
    text = GOOD.replace('["Password Administrator"]', f'["password administrator", "{roles.BUILT_IN[1].id}"]')

    assert [it.id for it in load(rules_file(text)).rules[0].targets] == [role.id for role in roles.BUILT_IN[:2]]


def test_a_table_of_its_own_is_the_same_as_an_inline_one(rules_file):
    text = GOOD.replace('match = { category = "Password reset" }\n', "") + (
        '[rule.match]\ncategory = "Password reset"\n[rule.match.field]\n"Cost centre" = ["1", "2"]\n'
    )

    match = load(rules_file(text)).rules[0].match

    assert (match.category, match.field) == (("Password reset",), (("Cost centre", ("1", "2")),))


def test_the_digest_is_that_of_the_files_bytes(rules_file):
    path = rules_file(GOOD)

    assert load(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(RulesInvalid, match="cannot be read"):
        load(tmp_path / "rules.toml")


def test_check_passes_the_shipped_rules():
    assert CliRunner().invoke(command, ["check", DEFAULT]).exit_code == 0


def test_check_fails_on_a_mistake_and_prints_it(rules_file):
    result = CliRunner().invoke(command, ["check", str(rules_file(GOOD.replace("roles", "rols")))])

    assert result.exit_code == 1
    assert 'Did you mean "roles"?' in result.output


def test_check_notes_a_rule_that_never_gets_its_turn(rules_file):
    narrow = GOOD.replace('"Reset"', '"Narrow"').replace("{ ", '{ queue = "First line", ')

    result = CliRunner().invoke(command, ["check", str(rules_file(GOOD + narrow))])

    assert result.exit_code == 0
    assert 'rule "Narrow" never gets its turn' in result.output


def test_explain_shows_the_plan_and_what_was_looked_at():
    asked = ["explain", DEFAULT, "--ticket", "7", "--category", "Login error", "--eligible", "Global Reader"]

    said = CliRunner().invoke(command, asked).output

    assert 'Eligible for "Reports Reader" in the whole directory. The technician is not eligible.' in said
    assert "different people. No requester has the technician's account or address." in said
    assert "Ticket 7: Login error (rule login-error)" in said
    assert "Global Reader in the whole directory for 1 h" in said


def test_explain_shows_a_refusal():
    said = CliRunner().invoke(command, ["explain", DEFAULT, "--category", "MFA reset"]).output

    assert "Refused (not_eligible)" in said


def test_every_key_field_role_and_refusal_is_in_the_administrators_page():
    page = Path("docs/rules.md").read_text()
    tables = (RuleKeys, MatchKeys, RequireKeys, BreakGlassKeys, FileKeys)
    keys = [key for table in tables for key in table.model_fields]
    words = [*keys, *TEMPLATE_FIELDS, *RefusalCode, *Start, *Bundle, *Mode, *Probe, *rules_targets.AZURE_ROLES]

    assert [word for word in words if f"`{word}`" not in page and f"`{{{word}}}`" not in page] == []
    assert [role for role in roles.BUILT_IN if role.name not in page or role.id not in page] == []


def test_every_example_on_the_administrators_page_is_a_file_that_loads(rules_file):
    examples = re.findall(r"```toml\n(.*?)```", Path("docs/rules.md").read_text(), re.DOTALL)

    loaded = [load(rules_file(example)) for example in examples]

    assert len(loaded) == 6
    assert set(RuleKeys.model_fields) <= set(re.findall(r"^(\w+) =", "\n".join(examples), re.MULTILINE))
    assert {kind for found in loaded for kind in found.kinds} == set(TargetKind)


@pytest.fixture
def rules_file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "rules.toml"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        return path

    return write
