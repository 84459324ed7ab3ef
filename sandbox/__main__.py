"""`python -m sandbox --dir DIR`: starts the practice tenant and helpdesk, writes DIR/sandbox.json, stops on SIGTERM."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

from sandbox.practice import Practice
from sandbox.vendors import VENDORS

log = logging.getLogger("sandbox")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where sandbox.json and the certificates go")
    parser.add_argument("--webhook-url", default="", help="where the helpdesk sends its events")
    parser.add_argument("--webhook-secret", default="", help="whsec_...; made up when not given")
    parser.add_argument("--helpdesk", choices=sorted(VENDORS), help="a vendor whose API and webhooks the helpdesk has")
    parser.add_argument("--elevate-url", default="", help="template with {connection} and {ticket}")
    parser.add_argument("--redirect-uri", action="append", default=[], help="may be given several times")
    parser.add_argument("--active-minimum", type=float, default=300, help="seconds before a role may be given back")
    parser.add_argument("--instance-delay", type=float, default=2, help="seconds until an activation can be read")
    parser.add_argument(
        "--hosts",
        nargs=3,
        default=(),
        metavar=("LOGIN", "GRAPH", "ARM"),
        help="names to answer for instead of localhost: a national cloud's, reached through a proxy",
    )
    parser.add_argument("--audit-delay", type=float, default=120, help="seconds until an audit row can be read")
    return parser.parse_args()


def write(path: Path, facts: dict[str, Any]) -> None:
    """Writes the whole file or nothing: a reader that sees it may rely on it. It holds secrets: owner only."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        json.dump(facts, out, indent=1)
    draft.replace(path)


def main() -> int:
    args = arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    args.dir.mkdir(parents=True, exist_ok=True)
    target: Path = args.dir / "sandbox.json"
    target.unlink(missing_ok=True)
    practice = Practice(args)
    practice.start()
    write(target, practice.facts())
    log.info("The practice tenant and helpdesk are ready: %s", target)
    stop.wait()
    target.unlink(missing_ok=True)
    practice.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
