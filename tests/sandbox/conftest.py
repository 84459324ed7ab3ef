"""Starts `python -m sandbox` as the program that it is, once for all tests of this folder."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.driver import Driver


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("sandbox")
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "--dir",
        str(folder),
        "--active-minimum",
        "300",
        "--instance-delay",
        "2",
    ]
    program = subprocess.Popen(command)
    try:
        wait_for(folder / "sandbox.json", program)
        yield Driver(folder)
    finally:
        program.terminate()
        assert program.wait(timeout=15) == 0


@pytest.fixture
def practice(running: Driver) -> Driver:
    """The running sandbox, back in its first minute."""
    running.control("reset", {})
    running.forget()
    return running


def wait_for(path: Path, program: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert program.poll() is None, "the sandbox stopped before it was ready"
        assert time.monotonic() < deadline, "the sandbox was not ready in 20 seconds"
        time.sleep(0.02)
