"""The story of `make demo` on the double of each hosted helpdesk, with all processes of the product."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.helpdesks.conftest import KINDS

pytestmark = [pytest.mark.stories, pytest.mark.timeout(300)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_story_of_the_demo(kind: str) -> None:
    command = [sys.executable, "-m", "cli", "demo", "--once", "--helpdesk", kind]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-2000:]
    assert "Every step was observed" in told.stdout
