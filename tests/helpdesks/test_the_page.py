"""docs/write-an-adapter.md: its example is taken from the page, installed, and held against the contract suite."""

import base64
import hmac
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from integration.tickets import SignatureRefused
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "write-an-adapter.md"


def python_of_the_page() -> str:
    return "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))


def test_the_example_of_the_page_passes_the_contract(tmp_path: Path) -> None:
    page = PAGE.read_text()
    package, site = tmp_path / "practice-desk", tmp_path / "site"
    package.mkdir()
    (package / "practice_desk.py").write_text(python_of_the_page())
    (package / "pyproject.toml").write_text(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0])
    # As the page says, but not into the environment of these tests.
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    ]
    subprocess.run([*install, str(package)], check=True, timeout=120)
    command = re.search(r"```\n\.venv/bin/python -m pytest (.+)\n```", page)
    assert command is not None
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base"),
         *shlex.split(command[1])],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}, capture_output=True, text=True,
        timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\b([5-9]\d|\d{3}) passed", done.stdout), done.stdout[-400:]


def test_the_signature_of_the_page_is_refused_unless_a_secret_made_it() -> None:
    page: dict[str, Any] = {"__name__": "the_page"}
    exec(python_of_the_page(), page)  # noqa: S102  # it is ours
    keys = {"old": b"a" * 32, "new": b"b" * 32}

    def header(key: bytes, body: bytes) -> dict[str, str]:
        return {"x-desk-signature": base64.b64encode(hmac.digest(key, body, "sha256")).decode()}

    assert [page["who_signed"](keys, header(key, b"{}"), b"{}") for key in keys.values()] == ["old", "new"]
    for headers in ({}, header(b"c" * 32, b"{}"), header(keys["old"], b"{} "), {"x-desk-signature": "\ud800\u00e9"}):
        with pytest.raises(SignatureRefused):
            page["who_signed"](keys, headers, b"{}")


@pytest.mark.parametrize(
    ("adapter", "sentence"),
    [
        ("no_such_package:Bench", "write package:Name, with the package on PYTHONPATH. No module named"),
        ("tests.helpdesks.bench:Nobody", "write package:Name"),
        ("tests.helpdesks.bench", "write package:Name"),
        ("tests.helpdesks.test_the_page:Handless", "The bench lacks address_of, assign, "),
        ("tests.helpdesks.test_the_page:Unsecret", "must have url, and a table secrets with one secret in it"),
    ],
)
def test_a_bench_that_cannot_be_tried_is_told_why(tmp_path: Path, adapter: str, sentence: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base")]
    done = subprocess.run(
        [*command, "tests/helpdesks", "--adapter", adapter], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 4, done.stdout[-2000:]
    assert sentence in done.stdout + done.stderr


class Handless:
    settings: Mapping[str, Any] = {"kind": "generic"}


class Unsecret(Handless):
    """Has everything, and yet its secret is called something else."""

    def __getattr__(self, name: str) -> None:
        return None
