"""The page on the generic adapter cannot fall behind the code."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from integration.helpdesks.generic_settings import GenericSettings

PAGE = (Path(__file__).parents[3] / "docs" / "connect-generic.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", sorted(GenericSettings.model_fields))
def test_every_setting_is_on_the_page_and_describes_itself(setting):
    assert f"`{setting}`" in PAGE
    assert GenericSettings.model_fields[setting].description


def test_the_example_on_the_page_is_valid():
    example = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.S)[1])
    example["token"] = "x"
    example["secrets"] = {"2026-11": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"}

    assert GenericSettings(**example)


def test_the_settings_for_django_helpdesk_on_the_page_are_valid():
    """What they do is held against a real one in tests/helpdesks and tests/end_to_end/test_django_desk_story.py."""
    table = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.S)[1])["helpdesks"]["desk"]
    assert table.pop("kind") == "generic"

    table["secrets"] = {"2026-11": "of-24-characters-or-more"}

    assert GenericSettings(**table)
