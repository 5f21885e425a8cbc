"""Contestants in turn (A B A B …), so that a drifting machine drifts for all.

What counts is the ratio round by round: median, least and greatest. No absolute time is a claim.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Clock = Callable[[], float]


class Seconds(float):
    """What a contestant returns that has timed itself: one in another process, say."""


@dataclass(frozen=True)
class Ratio:
    """Ours over a peer in speed: above 1 is faster."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Sequence[float], peer: Sequence[float]) -> Ratio:
        """From the seconds of each, round by round."""
        ratios = [other / own for other, own in zip(peer, ours, strict=True)]
        return cls(statistics.median(ratios), min(ratios), max(ratios))


def take_turns(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Clock = time.perf_counter,
    settle: float = 0.0,
) -> dict[str, list[float]]:
    """Seconds of each contestant in each round.

    Args:
        contestants: each does the same work at each call. One round before the first is not
            counted.
        rounds: so many are counted.
        clock: `time.process_time` for CPU seconds, where other work shares the machine.
        settle: seconds between two contestants, in which the threads of the last come to rest.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, call in contestants.items():
            time.sleep(settle)
            start = clock()
            result = call()
            took = float(result) if isinstance(result, Seconds) else clock() - start
            if number:
                seconds[name].append(took)
    return seconds


def race(
    ours: Callable[[], object],
    peers: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Clock = time.perf_counter,
    settle: float = 0.0,
) -> tuple[float, dict[str, Ratio]]:
    """Our median seconds, and how much faster than each peer that is; see `take_turns`."""
    seconds = take_turns({"ours": ours, **peers}, rounds, clock, settle)
    own = seconds["ours"]
    return statistics.median(own), {name: Ratio.of(own, seconds[name]) for name in peers}
