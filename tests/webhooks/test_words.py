"""The pages in their reader's language: no sentence is missing in a catalogue, and none lost what is filled in."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from integration.elevation import END_WORDS, LABELS, Activation, ActivationState
from integration.marks import WORDS
from integration.timeline import ENDS, KINDS, SOURCES, TOLD_APART, Note, timeline
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser
from tests.workers.steps import pick
from webhooks.language import LANGUAGES

Opened = Callable[..., Browser]
HOME = Path(__file__).parents[2]
CATALOGUES = HOME / "webhooks" / "translations"
FILLED_IN = re.compile(r"%\(\w+\)[sd]")
OTHERS = LANGUAGES[1:]


def catalogue(language: str) -> Catalog:
    with (CATALOGUES / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language)


def forms(message: str | tuple[str, ...] | list[str]) -> list[str]:
    return [message] if isinstance(message, str) else list(message)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Every sentence of the pages, as it stands in code and templates; found as `make words` does."""
    found = tmp_path_factory.mktemp("words") / "messages.pot"
    options = ["-F", "pyproject.toml", "-k", "N_", "-k", "lazy_gettext", "--no-location", "-o", str(found), "."]
    subprocess.run([sys.executable, "-m", "babel.messages.frontend", "-q", "extract", *options], cwd=HOME, check=True)
    with found.open("rb") as file:
        return read_po(file)


def each(it: Catalog) -> list[Message]:
    return [message for message in it if message.id]


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_translated_and_none_is_left_over(written: Catalog, language: str) -> None:
    there = catalogue(language)
    missing = [
        message.id
        for message in each(written)
        if not (found := there.get(message.id)) or found.fuzzy or not all(forms(found.string))
    ]
    assert not missing, "run `make words` and translate them"
    assert {str(message.id) for message in each(there)} == {str(message.id) for message in each(written)}


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_filled_in_is_filled_into_every_translation(language: str) -> None:
    for message in each(catalogue(language)):
        wanted = {name for form in forms(message.id) for name in FILLED_IN.findall(form)}
        for form in forms(message.string):
            assert set(FILLED_IN.findall(form)) <= wanted, message.id
            assert wanted - {"%(num)s", "%(num)d"} <= set(FILLED_IN.findall(form)), message.id
            assert form.count("%%") == forms(message.id)[0].count("%%"), message.id


@pytest.mark.parametrize("language", OTHERS)
def test_the_compiled_catalogue_is_of_the_written_one(language: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(language))
    there = (CATALOGUES / language / "LC_MESSAGES" / "messages.mo").read_bytes()
    assert compiled.getvalue() == there, "run `make words`"


def test_each_word_for_a_state_and_an_end_can_be_translated(written: Catalog) -> None:
    assert all(words in written for words in (*LABELS.values(), *END_WORDS.values()))


def test_each_title_of_a_timeline_can_be_translated(written: Catalog) -> None:
    now = datetime.now(UTC)
    note = Note("", now, now, None, None)
    asked = Activation(
        id="A",
        tid="t",
        oid="o",
        target="entra-role:x@/",
        target_name="A role",
        state=ActivationState.GIVEN_BACK,
        version=1,
        due_at=None,
        created_at=now,
        duration_seconds=60,
        justification="",
        ticket_number="1",
        pending_at=now,
        started_at=now,
        ended_at=now,
    )
    shown = [it.title for each in (asked, replace(asked, by_hand=True)) for it in timeline([], [note], each)]
    told_apart = [title for _name, titles in TOLD_APART.values() for title in titles.values()]
    every = [*shown, *told_apart, *KINDS.values(), *ENDS.values(), *SOURCES.values(), *WORDS.values()]
    assert [title for title in every if title not in written] == []


def in_german(page: Browser, path: str) -> str:
    return page.get(path, headers={"Accept-Language": "de-CH,de;q=0.9,en;q=0.5"}).text


def test_a_browser_that_asks_for_german_gets_it(desk: Desk, practice: Practice, browser: Opened) -> None:
    desk.link()
    it = desk.only(pick(desk, practice))
    page = browser("technician")
    for path, words in {
        "/": "Jetzt",
        f"/elevations/{it.id}": "Jetzt beenden",
        "/account": "Mein Konto",
        "/approvals": "Genehmigungen",
        "/no-such-page": "Hier ist nichts",
    }.items():
        text = in_german(page, path)
        assert '<html lang="de" dir="ltr">' in text
        assert words in text, path
    assert "End now" in page.get(f"/elevations/{it.id}", headers={"Accept-Language": "fr, en;q=0.5"}).text
    assert '<html lang="en"' in page.get("/", headers={"Accept-Language": "fr"}).text
