"""docs/write-an-adapter.md: its example is taken from the page, installed, and held against the contract suite."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "write-an-adapter.md"


def test_the_example_of_the_page_passes_the_contract(tmp_path: Path) -> None:
    page = PAGE.read_text()
    (tmp_path / "practice_desk.py").write_text("\n\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    named = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0]
    known = tmp_path / "practice_desk-1.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: practice-desk\nVersion: 1\n")
    group, entry = re.search(r'"(.+)"\]\n(.+)', named).groups()  # type: ignore[union-attr]
    (known / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    command = re.search(r"```\npytest (.+)\n```", page)
    assert command is not None
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base"),
         *shlex.split(command[1]), "--deselect", "tests/helpdesks/test_the_page.py"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}, capture_output=True, text=True,
        timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\b[5-9]\d passed", done.stdout), done.stdout[-400:]
