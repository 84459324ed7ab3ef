"""The docs cannot fall behind: whatever a person can set, read or meet has its place in docs/."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from cli.connect import connect
from integration import comments, settings, tickets
from integration.elevation import END_WORDS, ActivationState, State
from integration.entra import errors, scopes
from integration.entra.probes import SCOPE
from integration.helpdesks.setup import of_class
from integration.journal import Kind, witness
from integration.marks import WORDS, Mark
from integration.rules import RefusalCode
from webhooks.people import AppRole

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def error_classes():
    for module in (tickets, errors):
        for name, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, Exception) and found.__module__ == module.__name__:
                yield name


def test_the_generated_pages_are_what_the_code_says(generate):
    assert generate.stale() == [], "run `python docs/generate.py`"


def test_a_page_that_somebody_changed_by_hand_or_removed_is_noticed(generate, tmp_path):
    (tmp_path / "settings.md").write_text(page("settings.md") + "by hand\n", encoding="utf-8")

    assert generate.stale(tmp_path) == ["settings.md", "lifecycle.md", "errors.md"]


@pytest.mark.parametrize("name", [*settings.Settings.model_fields, *settings.Entra.model_fields])
def test_every_setting_says_what_it_is(name):
    field = {**settings.Settings.model_fields, **settings.Entra.model_fields}[name]

    assert field.description
    assert f"`{name}`" in page("settings.md") or f"`[{name}" in page("settings.md")


def test_every_setting_of_every_adapter_is_on_the_page(generate):
    for kind in generate.kinds():
        section = page("settings.md").partition(f'kind = "{kind}"')[2]
        for name, field in generate.helpdesks.load(kind).Settings.model_fields.items():
            assert f"| `{name}` |" in section, f"{kind}: {name}"
            assert field.description, f"{kind}: {name}"


def test_a_secret_that_the_page_shows_as_a_file_is_read_from_one(generate, tmp_path):
    (tmp_path / "secret").write_text("s3cret\n", encoding="utf-8")

    (name,) = generate.FROM_A_FILE["entra"]
    read = settings.Entra(authority="a", tenant_id="t", client_id="c", **{f"{name}_file": str(tmp_path / "secret")})

    assert getattr(read, name).get_secret_value() == "s3cret"


@pytest.mark.parametrize("state", [*State, *ActivationState, *END_WORDS])
def test_every_state_and_reason_is_explained(state):
    assert f"| `{state}` |" in page("lifecycle.md")


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_journal_entry_is_explained(kind):
    assert f"| `{kind}` |" in page("journal.md")


def test_a_kind_that_nothing_writes_is_marked_so():
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("workers", "webhooks", "cli", "integration/records")
        for path in (ROOT / folder).rglob("*.py")
    )

    unwritten = {str(kind) for kind in Kind if f"Kind.{kind.name}" not in code}

    assert set(re.findall(r"^\| `([\w.]+)` \| \*not yet:\*", page("journal.md"), re.M)) == unwritten


def test_the_last_line_that_the_pages_show_is_the_one_that_comments_have():
    elevation, head = "01JDEMO0000000000000000001", "23f430da6a901b27f318a26aa0d2a6a0" + "0" * 32
    written = comments.with_witness("", elevation, comments.Step.ACTIVE, witness(18231, head)).strip()

    assert all(written in page(name) for name in ("journal.md", "auditors.md", "technicians.md"))
    assert all(f"`{step}`" in page("journal.md") for step in comments.Step)


def test_the_permissions_that_administrators_grant_are_those_that_are_asked_for():
    section = page("administrators.md").partition("3. **Permissions**")[2].partition("4. **Grant admin consent**")[0]
    always, sometimes = section.split("and these only where")
    named = re.compile(r"`([A-Z]\w+\.[\w.]+)`")
    rules = {*scopes.GROUP_SCOPES, *scopes.UNIT_SCOPES, *scopes.REVOKE_SCOPES, *SCOPE.values()}

    assert sorted(named.findall(always)) == sorted(scopes.GRAPH_SCOPES)
    assert set(named.findall(sometimes)) == rules


def test_the_app_roles_that_administrators_make_are_those_that_open_pages():
    assert all(f"| `{role}` |" in page("administrators.md") for role in AppRole)


@pytest.mark.parametrize("mark", Mark)
def test_every_mark_of_the_unusual_is_explained(mark):
    assert f"| {WORDS[mark]} |" in page("auditors.md")


@pytest.mark.parametrize("name", [*error_classes()])
def test_every_error_says_what_it_means_and_who_must_act(name):
    rows = [line for line in page("errors.md").splitlines() if line.startswith(f"| `{name}` |")]

    assert len(rows) == 1
    assert all(cell.strip() for cell in rows[0].strip("|").split("|"))


@pytest.mark.parametrize("code", RefusalCode)
def test_every_refusal_is_explained(code):
    assert f"| `{code}` |" in page("rules.md")


@pytest.mark.parametrize("name", ["generic", "jira", "servicenow", "zammad"])
def test_what_stands_on_a_ticket_whose_helpdesk_does_not_say_who_assigned_it_is_told(name):
    told = " ".join(page(f"connect-{name}.md").split())
    assert f"*{comments.Offer.UNTOLD}*" in told
    assert "once for each account" in told


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name)
def test_every_link_and_every_file_that_a_page_names_is_there(path):
    text = path.read_text(encoding="utf-8")
    linked = [path.parent / target for target in LINK.findall(text)]
    named = [
        ROOT / name
        for name in re.findall(
            r"`((?:integration|webhooks|workers|cli|sandbox|docs|tests)/[\w./]*|docker-compose.yml)`", text
        )
    ]

    assert [str(target) for target in (*linked, *named) if not target.exists()] == []


@pytest.fixture
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_kind_is_on_the_page_about_connecting_with_what_it_asks_for_once(generate):
    text = page("connect.md")
    for kind in generate.kinds():
        row = next(line for line in text.splitlines() if line.startswith(f"| [`{kind}`]"))
        setup = of_class(generate.helpdesks.load(kind))
        for name in (*setup.stand_ins, *(it.name for it in setup.once)):
            assert f"`{name}`" in row, f"{kind}: {name}"
        start = page(f"connect-{kind.replace('_', '-')}.md").partition("\n## ")[0]
        assert f"ticket-elevate connect {kind}" in start


def test_every_option_of_connecting_is_explained():
    text = page("connect.md")
    for option in connect.params:
        if option.param_type_name == "option":
            assert f"| `{option.opts[0]}" in text
