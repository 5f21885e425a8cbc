"""All rows of the speed benchmarks, one after the other; then the table and its picture.

    make bench                      # all, about half an hour on two idle cores
    make bench ROWS="forward cold"  # only these
    python benchmarks/bench.py --list

Each row is one command with a limit of time. What it needs that is not there (unpacked pictures,
codes, indexes of a million) is made first, outside of the clock, into runs/bench.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROWS: dict[str, tuple[str, ...]] = {
    "load": ("load.py", "3"),
    "step": ("network.py", "step", "4", "1"),
    "forward": ("network.py", "forward", "6"),
    "extract": ("extract.py", "layers", "2", "5000"),
    "photos": ("extract.py", "photos", "3", "256"),
    "map": ("map.py", "3"),
    "map_peers": ("map_peers.py", "2"),
    "search-10000": ("search.py", "10000", "4"),
    "search-100000": ("search.py", "100000", "4"),
    "search-1000000": ("search.py", "1000000", "4"),
    "build": ("search.py", "build", "3"),
    "cold": ("cold.py", "7"),
    "growth": ("growth.py",),
}
LIMIT = 600  # seconds a row may take at the very most, but for
LIMITS = {"search-100000": 1500, "search-1000000": 2100}  # what they bound by themselves, and truth
NEEDED = ("NEURALCODES_TINY_IMAGENET", "NEURALCODES_CALTECH")


def main(rows: list[str]) -> int:
    """Run them; the status is 1 if one failed."""
    if rows == ["--list"]:
        for name, command in ROWS.items():
            print(f"{name}: python benchmarks/{' '.join(command)}")
        return 0
    unknown = [name for name in rows if name not in ROWS]
    if unknown:
        print(f"{unknown[0]}: no such row; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    absent = [name for name in NEEDED if name not in os.environ]
    if absent:
        print(f"{absent[0]}: set it to where the images are (README.md)", file=sys.stderr)
        return 2
    failed = []
    for name in rows or ROWS:
        script, *arguments = ROWS[name]
        print(f"== {name}: python benchmarks/{' '.join(ROWS[name])}", flush=True)
        start = time.perf_counter()
        try:
            subprocess.run(
                [sys.executable, str(HERE / script), *arguments],
                check=True,
                timeout=LIMITS.get(name, LIMIT),
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            failed.append(name)
            print(f"{name}: {error}", file=sys.stderr)
        print(f"== {name}: {time.perf_counter() - start:.0f} s", flush=True)
    subprocess.run([sys.executable, str(HERE / "bench_table.py")], check=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
