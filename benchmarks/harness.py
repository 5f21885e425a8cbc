"""Contestants in turn (A B A B …) in one process, so that a drifting machine drifts for all.

What counts is the ratio pair by pair: median, least and greatest.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuralcodes.common.files import write_json
from neuralcodes.common.machine import describe_machine, versions

RESULTS = Path(__file__).parent.parent / "results" / "bench"


@dataclass(frozen=True)
class Ratio:
    """Ours over a peer in speed: above 1 is faster."""

    median: float
    low: float
    high: float


def race(
    ours: Callable[[], object],
    peers: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, dict[str, Ratio]]:
    """Our median seconds, and for each peer its seconds over ours.

    Args:
        ours, peers: what to time; each does the same work at each call. One round before the
            first is not counted.
        rounds: so many are counted.
        clock: `time.process_time` for CPU seconds, where other work shares the machine.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    for number in range(rounds + 1):
        for name, call in (("ours", ours), *peers.items()):
            start = clock()
            call()
            if number:
                seconds[name].append(clock() - start)
    ratios = {
        name: [peer / own for peer, own in zip(seconds[name], seconds["ours"], strict=True)]
        for name in peers
    }
    return statistics.median(seconds["ours"]), {
        name: Ratio(statistics.median(values), min(values), max(values))
        for name, values in ratios.items()
    }


def record(
    name: str,
    sizes: Mapping[str, Any],
    peers: Mapping[str, Ratio],
    target: str,
    met: bool,
    share_of_limit: float | None = None,
    notes: Mapping[str, Any] | None = None,
    folder: Path = RESULTS,
) -> Path:
    """Write `results/bench/NAME.json`, or into another folder, and print its figures."""
    path = folder / f"{name}.json"
    value = {
        "name": name,
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip(),
        "machine": {**describe_machine(), "versions": versions()},
        "sizes": dict(sizes),
        "peers": {
            peer: {"ratio": r.median, "low": r.low, "high": r.high} for peer, r in peers.items()
        },
        "share_of_limit": share_of_limit,
        "target": target,
        "met": met,
        **dict(notes or {}),
    }
    write_json(path, value)
    for peer, r in peers.items():
        print(f"{name}: {r.median:.2f} × {peer} ({r.low:.2f} to {r.high:.2f})")
    print(f"target {target}: {'met' if met else 'missed'}; {path}")
    return path
