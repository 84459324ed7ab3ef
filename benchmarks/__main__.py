"""`make bench`: prints the figures and writes benchmarks/results.json (flat; not committed)."""

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import adapters, flood, pages, picks, receiver, review, roles

RESULTS = Path(__file__).with_name("results.json")
GOALS = {
    "receiver_ratio_sqlite": "at least 0.30",
    "receiver_p99_ms_sqlite": "under 50",
    "receiver_ratio_postgresql": "at least 0.30",
    "receiver_p99_ms_postgresql": "under 50",
    **{f"receiver_ratio_of_{kind}": "at least 0.30" for kind in adapters.KINDS},
    "overhead_p50_ms": "under 60",
    "overhead_p99_ms": "under 250",
    "sustained_ratio": "at least 0.50",
    "upstream_calls": "4",
    "flood_other_connection_ratio": "under 3",
    "flood_own_connection_ratio": "under 3",
    "review_worst_p95_ms_sqlite": "under 150",
    "review_worst_p95_ms_postgresql": "under 150",
    "my_roles_p95_ms_sqlite": "under 300",
    "my_roles_p95_ms_postgresql": "under 300",
    "my_roles_kb_compressed": "under 150",
    "first_paint_ms_slowest": "under 200",
    "page_kb_heaviest": "under 150",
}
PARTS = {
    "receiver": receiver.measure,
    "picks": picks.measure,
    "flood": flood.measure,
    "roles": roles.measure,
    "review": review.measure,
    "pages": pages.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=tuple(PARTS), help="one part alone")
    parser.add_argument("--quick", action="store_true", help="short rounds: to see that it works, not to quote")
    given = parser.parse_args()
    results: dict[str, float] = {}
    for name, measure in PARTS.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="te-bench-") as place:
                results |= measure(Path(place), quick=given.quick)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    _show(results)


def _show(results: dict[str, float]) -> None:
    table = Table("figure", "value", "goal")
    for name, value in results.items():
        table.add_row(name, f"{value:g}", GOALS.get(name, ""))
    Console().print(table)


if __name__ == "__main__":
    main()
