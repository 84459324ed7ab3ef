"""What the product's processes hold: PSS, that is memory with shared pages divided among those who share them."""

import re
from pathlib import Path

NAMES = (
    ("redis", "redis-server"),
    ("web", "gunicorn"),
    ("beat", " beat "),
    ("worker", " worker "),
    ("supervisor", "supervisord"),
)


def of_processes_below(directory: Path) -> dict[str, float]:
    """Megabytes of each process of the product that runs in `directory`, by name and number, and in total."""
    figures: dict[str, float] = {}
    family = _family(directory)
    for name, word in NAMES:
        mine = [pid for pid, line in sorted(family.items()) if word in line]
        for number, pid in enumerate(mine, 1):
            figures[f"pss_mb_{name}_{number}"] = _pss(pid)
            del family[pid]
    figures["pss_mb_total"] = round(sum(figures.values()), 1)
    return figures


def _family(directory: Path) -> dict[int, str]:
    """pid -> command line of the supervisor that was started with our `directory`, and of all below it."""
    lines, parents = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
    found = {pid for pid, line in lines.items() if "supervisord" in line and str(directory) in line}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: lines[pid] for pid in found if pid in lines}


def _pss(pid: int) -> float:
    match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return round(int(match[1]) / 1024, 1) if match else 0.0
