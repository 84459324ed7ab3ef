"""The page on the generic adapter cannot fall behind the code."""

import json
import re
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
