"""Takes turns with an update of a collection: some images indexed, then the bare network alone."""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from neuralcodes.codes.passes import BATCH
from neuralcodes.collection import collection as collection_module
from neuralcodes.collection import planning, sync

SETTLE = 0.5  # seconds in which the threads that read ahead come to rest; counted as indexing


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Turns:
    """Lets the bare network run between two batches of an update, and times both.

    Args:
        bare: one pass of the network over `BATCH` images.
        every: images that are indexed in a turn; the network alone gets a sixth of that.
        lock: a file that is locked while anything is timed, and let go between turns.
    """

    def __init__(self, bare: Callable[[], Any], every: int, lock: Path | None) -> None:
        self._bare, self._every = bare, every
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT) if lock else None
        self._begun = 0.0
        self._done = self._now = 0
        self.index: list[tuple[int, float]] = []  # images and seconds of each turn
        self.bare: list[float] = []  # images/s
        self.build = 0.0  # seconds of the search index
        self.coded_memory = 0.0  # peak before it

    def start(self) -> None:
        self._hold()
        self._bare()
        self._begun = time.perf_counter()

    def committed(self, images: int) -> None:
        """Called after each commit with the images so far."""
        self._now = images
        if images - self._done < self._every:
            return
        time.sleep(SETTLE)
        self.index.append((images - self._done, time.perf_counter() - self._begun))
        passes = max(2, self._every // BATCH // 6)
        took = seconds(lambda: [self._bare() for _ in range(passes)])
        self.bare.append(passes * BATCH / took)
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            time.sleep(2)
            self._hold()
        self._done = images
        print(f"{images}: {self.ratios()[-1]:.3f}", flush=True)
        self._begun = time.perf_counter()

    def end(self) -> None:
        """All is coded; what is left of the last turn."""
        if self._now > self._done:
            self.index.append((self._now - self._done, time.perf_counter() - self._begun))

    def ratios(self) -> list[float]:
        return [n / s / b for (n, s), b in zip(self.index, self.bare, strict=False)]

    def _hold(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_EX)


@contextmanager
def hooked(turns: Turns, count: int) -> Iterator[None]:
    """Within it an update takes `count` images at most, and gives way to `turns`."""
    walk, commit, build = planning.walk, sync.Sync._commit, collection_module.update_index
    left = [count]

    def some(root: Any) -> Iterator[Any]:
        for one in islice(walk(root), left[0]):
            left[0] -= 1
            yield one

    def committing(self: Any) -> None:
        commit(self)
        turns.committed(self.report.added)

    def building(writer: Any, *rest: Any) -> None:
        turns.end()
        turns.coded_memory = peak_memory()
        turns.build = seconds(lambda: build(writer, *rest))

    planning.walk, sync.Sync._commit, collection_module.update_index = some, committing, building
    try:
        yield
    finally:
        planning.walk, sync.Sync._commit, collection_module.update_index = walk, commit, build


def peak_memory() -> float:
    """MB, files mapped into memory included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
