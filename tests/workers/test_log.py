"""What our processes log. Contract: one line of JSON each, with our ids, and with nothing that no caller may say."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from integration.logs import FIELDS
from integration.settings import SETTINGS_VARIABLE
from tests.conftest import ROOT, Practice
from tests.end_to_end.product import settings_file

SAYS = """
import logging
from workers.main import app

app.log.setup("INFO")  # as a worker and beat do when they start
log = logging.getLogger("workers.activations")
log.warning("activation_hindered", extra={"activation": "A1", "raised": "EntraUnavailable", "subject": "canary"})
try:
    raise ValueError("canary of a tenant")
except ValueError:
    logging.getLogger("celery.app.trace").error("Task raised: canary", exc_info=True)
logging.getLogger("celery.worker.strategy").info("Task sweep received")
"""


def test_a_worker_logs_our_ids_and_nothing_else(practice: Practice, tmp_path: Path) -> None:
    settings = settings_file(practice, tmp_path)
    environment = {**os.environ, SETTINGS_VARIABLE: str(settings)}
    done = subprocess.run(
        [sys.executable, "-c", SAYS], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    ours, theirs = [json.loads(line) for line in done.stderr.splitlines()]
    assert (ours["event"], ours["activation"]) == ("activation_hindered", "A1")
    assert ours["raised"] == "EntraUnavailable"
    assert theirs["error"] == ["ValueError at <string>:9"]
    assert "canary" not in done.stderr + done.stdout


def test_whatever_we_say_with_an_event_is_in_the_log() -> None:
    """What is not on the list is left out of the line, and nobody would notice before they need it."""
    said = [it for root in ("cli", "integration", "webhooks", "workers") for it in _said(ROOT / root)]
    assert len(said) > 20
    assert {name for _, name in said} <= set(FIELDS), [it for it in said if it[1] not in FIELDS]


def _said(folder: Path) -> list[tuple[str, str]]:
    """The keys of each `extra`, and the file it is in. A dict alone can be looked into."""
    found: list[tuple[str, str]] = []
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        named = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in (it for it in ast.walk(tree) if isinstance(it, ast.Call)):
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            if not isinstance(owner, ast.Name) or owner.id != "log":
                continue
            for it in (it.value for it in node.keywords if it.arg == "extra"):
                told = named.get(it.id) if isinstance(it, ast.Name) else it
                assert isinstance(told, ast.Dict), f"{path}:{node.lineno}: give extra a dict"
                found += [(str(path), key.value) for key in told.keys if isinstance(key, ast.Constant)]
    return found
