"""Search among real codes at the same recall: our backends against the peers'.

    make .venv-bench/ready
    NEURALCODES_TINY_IMAGENET=ZIPS python benchmarks/search.py SIZE [ROUNDS] [CONTESTANT…]
    NEURALCODES_TINY_IMAGENET=ZIPS python benchmarks/search.py build [ROUNDS]

`SIZE`: 10000, 100000 (99,000 real codes of `shipped`, 128 dimensions, 1,000 others are the queries)
or 1000000 (the same ones with seeded noise of half the median distance to the nearest; the queries
stay real). Each contestant gets the least effort of its ladder with recall@10 of at least 0.90,
0.95 and 0.99 over the 1,000 queries, counted by distance. Then they take turns: 200 queries one at
a time, and all 1,000 in one call. Ours is whichever of our backends is fastest in that cell; which
it was, and its memory, stand beside. Indexes are built once, kept in runs/bench, and opened by
another process before they race, so that memory is that of searching.

A run takes at most 10, 20 and 30 minutes at the three sizes (`LIMITS`): two thirds of it may go
into building. Who takes longer for its own build than `BUILD_SECONDS`, or comes too late, is left
out, and the reason recorded under `absent`. Rounds become fewer where time runs out.

`build`: seconds to build among 10,000 and 99,000, memory in use and bytes on disk.

Bytes: an exact query reads 512 bytes a code, so 51 MB among 100,000: 2 to 4 ms at what one core
reads (about 12 to 25 GB/s). A graph at recall 0.95 looks at some 500 to 1,000 codes and their
links, 0.5 MB in random places.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from harness import (
    OURS,
    PEERS,
    SCRATCH,
    Ratio,
    Seconds,
    Worker,
    WorkerError,
    peer_versions,
    record,
    start_workers,
    take_turns,
)
from peer_indexes import K

from codes import real_codes
from neuralcodes.common.files import atomic_folder
from neuralcodes.index.choose import choose_index
from neuralcodes.index.scan import ScanIndex

QUERIES, ONE_BY_ONE = 1000, 200
RECALLS = (0.9, 0.95, 0.99)
LIMITS = {10_000: 600.0, 100_000: 1200.0, 1_000_000: 1800.0}  # seconds a whole run may take
BUILDING = 2 / 3  # of it at most
BUILD_SECONDS = {10_000: 120.0, 100_000: 240.0, 1_000_000: 400.0}  # one contestant's build
SETTLE = 0.15  # seconds; OpenBLAS's threads spin 0.1 s after a product on several of them
SECONDS = 0.25  # that a call may take; those that would take longer are asked fewer queries
TOO_SLOW = {
    "Milvus Lite": (10_000, "25 ms of processor a query among 10,000"),
    "LanceDB": (100_000, "64 s to build among 99,000, and 150 queries a second"),
}
PACKAGES = {
    "scikit-learn": OURS, "FAISS HNSW": OURS, "FAISS flat": OURS, "hnswlib": PEERS,
    "usearch": PEERS, "usearch bf16": PEERS, "ScaNN": PEERS, "Milvus Lite": PEERS, "LanceDB": PEERS,
}  # fmt: skip
SCANS = ("scikit-learn", "FAISS flat")  # build nothing
BACKENDS = ("ours exact", "ours fastscan", "ours hnsw", "ours ivfpq")


class Data:
    """Codes to be searched, queries, and the true distances; made once and kept."""

    def __init__(self, size: int) -> None:
        self.folder = SCRATCH / f"search-{size}"
        if not (self.folder / "truth.npy").is_file():
            self._make(size)
        self.codes = np.load(self.folder / "codes.npy", mmap_mode="r")
        self.queries = np.load(self.folder / "queries.npy")
        self.truth = np.load(self.folder / "truth.npy")

    def _make(self, size: int) -> None:
        real = real_codes()
        order = np.random.default_rng(2).permutation(len(real))
        queries = np.ascontiguousarray(real[np.sort(order[:QUERIES])])
        base = np.asarray(real[np.sort(order[QUERIES : QUERIES + size])])
        if size > len(base):
            generator = np.random.default_rng(1)
            index = ScanIndex(base.shape[1])
            index.add(base, np.arange(len(base)))
            some = np.arange(0, len(base), 100)
            nearest = index.search(base[some], 1, exclude=some).distances
            spread = 0.5 * float(np.median(nearest)) / np.sqrt(base.shape[1])
            base = base[generator.integers(len(base), size=size)]
            base += spread * generator.standard_normal(base.shape, dtype=np.float32)
            base /= np.linalg.norm(base, axis=1, keepdims=True)
        exact = ScanIndex(base.shape[1])
        exact.add(base, np.arange(len(base)))
        truth = exact.search(queries, K).distances
        with atomic_folder(self.folder) as work:
            np.save(work / "codes.npy", base)
            np.save(work / "queries.npy", queries)
            np.save(work / "truth.npy", truth)

    def recall(self, rows: np.ndarray) -> float:
        """Share of the true nearest that were found, by distance: any of equals will do."""
        apart = self.codes[np.maximum(rows, 0)] - self.queries[: len(rows), None]
        found = np.where(rows < 0, np.inf, np.linalg.norm(apart, axis=2))
        limit = self.truth[: len(rows), -1:] * (1 + 1e-5) + 1e-6
        return float(np.minimum((found <= limit).sum(axis=1), K).mean() / K)

    def start(self, name: str) -> Worker:
        python = OURS if name.startswith("ours") else PACKAGES[name]
        path = self.folder / name.replace(" ", "-")
        return Worker(
            "peer_search:open_index", python, kind=name,
            codes=str(self.folder / "codes.npy"), path=str(path),
        )  # fmt: skip


def ready(data: Data, name: str, until: float, most: float) -> Worker:
    """A contestant with its index, from an earlier build if there was one.

    Args:
        data: what is searched.
        name: of the contestant.
        until: `time.monotonic` at which no build may be going on any more.
        most: seconds that its build may take.

    Raises:
        WorkerError: it cannot run here, or its build takes too long.
    """
    worker = data.start(name)
    if worker.ask(do="load")["result"]:
        return worker
    left = min(most, until - time.monotonic())
    try:
        if left < 1:
            raise WorkerError(f"{name}: the time for building was used up by others")
        took = worker.ask(within=left, do="build")
        worker.ask(do="save")
    except WorkerError as error:
        with data.start(name) as other:
            other.ask(do="drop")
        raise WorkerError(f"left out, building among {len(data.codes):,}: {error}") from None
    finally:
        worker.close()
    print(f"{name}: built in {took['seconds']:.1f} s, {took['cpu_seconds']:.1f} s of processor")
    worker = data.start(name)
    if not worker.ask(do="load")["result"]:  # one that keeps nothing is built in no time
        worker.ask(do="build")
    return worker


def tune(data: Data, worker: Worker) -> dict[float, tuple[int, float]]:
    """The least effort, and its recall, for each recall that can be had."""
    efforts = worker.ask(do="efforts")["result"]
    out = str(data.folder / "found.npy")
    known: dict[int, float] = {}
    given = {"do": "search", "queries": str(data.folder / "queries.npy"), "one": False}
    # the slow ones are tuned on fewer queries
    took = worker.ask(count=20, effort=efforts[0], **given)["seconds"] / 20
    count = int(np.clip(SECONDS / max(took, 1e-9), 50, QUERIES))

    def measured(place: int) -> float:
        if place not in known:
            worker.ask(count=count, effort=efforts[place], out=out, **given)
            known[place] = data.recall(np.load(out))
        return known[place]

    chosen = {}
    for recall in RECALLS:
        low, high = 0, len(efforts) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if measured(middle) >= recall else (middle + 1, high)
        if measured(low) >= recall:
            chosen[recall] = (efforts[low], measured(low))
    return chosen


def main(size: int, rounds: int, only: Sequence[str] = ()) -> None:
    """Race and record."""
    data = Data(size)
    start = time.monotonic()
    until, most = start + BUILDING * LIMITS[size], BUILD_SECONDS[size]
    wanted = [name for name in (*BACKENDS, *PACKAGES) if not only or name in only]
    slow = {n: f"left out: {why}" for n, (upto, why) in TOO_SLOW.items() if size > upto}
    running, absent = start_workers(
        {n: (lambda n=n: ready(data, n, until, most)) for n in wanted if n not in slow}  # type: ignore[misc]
    )
    absent |= {name: why for name, why in slow.items() if name in wanted}
    efforts: dict[str, dict[float, tuple[int, float]]] = {}
    for name, worker in list(running.items()):
        try:
            efforts[name] = tune(data, worker)
        except WorkerError as error:
            absent[name] = str(error)
            del running[name]
    cells: list[dict[str, Any]] = []
    ratios: dict[str, Ratio] = {}
    places = [(recall, one) for recall in RECALLS for one in (True, False)]
    for number, (recall, one) in enumerate(places):
        left = (start + LIMITS[size] - time.monotonic()) / (len(places) - number)
        _cell(data, running, efforts, recall, one, rounds, left, cells, ratios)
    memory = {name: worker.ask(do="memory")["result"] for name, worker in running.items()}
    for worker in running.values():
        worker.close()
    behind = sorted(name for name, ratio in ratios.items() if ratio.median < 1)
    heavier = _heavier(cells, memory)
    choice = choose_index(len(data.codes), data.codes.shape[1])
    record(
        f"search-{size}",
        {"codes": len(data.codes), "dims": data.codes.shape[1], "queries": QUERIES,
         "real": size <= 100_000},
        ratios, "as many queries a second as the best peer at the same recall, and no more memory",
        met=not behind and not heavier,
        share_of_limit=_share(data, cells),
        notes={
            "cells": cells, "memory_bytes": memory, "slower_than": behind,
            "more_memory_than_the_best_peer": heavier, "automatic_choice": choice.backend,
            "absent": absent, "seconds": time.monotonic() - start,
            "peer_versions": peer_versions(
                ["hnswlib", "usearch", "scann", "milvus-lite", "pymilvus", "lancedb"]),
        },
    )  # fmt: skip


def _cell(
    data: Data, running: dict[str, Worker], efforts: dict[str, dict[float, tuple[int, float]]],
    recall: float, one: bool, rounds: int, left: float, cells: list[dict[str, Any]],
    ratios: dict[str, Ratio],
) -> None:  # fmt: skip
    """One recall, one manner of asking: all contestants that reach it, in turns, for so long."""
    names = [name for name in running if recall in efforts[name]]
    count = ONE_BY_ONE if one else QUERIES
    calls, round_takes = {}, 0.0
    for name in names:
        given = {"do": "search", "queries": str(data.folder / "queries.npy"), "one": one,
                 "effort": efforts[name][recall][0]}  # fmt: skip
        first = running[name].ask(count=min(count, 20), **given)["seconds"] / min(count, 20)
        # seconds are for one query
        asked = int(np.clip(SECONDS / max(first, 1e-9), 10, count))
        round_takes += asked * first + SETTLE

        def call(w: Worker = running[name], a: int = asked, g: Any = given) -> Any:
            return Seconds(w.ask(count=a, **g)["seconds"] / a)

        calls[name] = call
    rounds = max(1, min(rounds, int(left / round_takes) - 1))  # one goes before the first
    seconds = take_turns(calls, rounds, settle=SETTLE)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    own = [name for name in names if name.startswith("ours")]
    best = min(own, key=lambda n: middle[n])
    manner = "1 query" if one else f"{QUERIES} queries"
    for name in names:
        cells.append({
            "recall_wanted": recall, "queries": 1 if one else QUERIES, "name": name,
            "effort": efforts[name][recall][0], "recall": efforts[name][recall][1],
            "queries_per_second": 1 / middle[name], "ours": name == best, "rounds": rounds,
        })  # fmt: skip
        if not name.startswith("ours"):
            ratios[f"{name}, {manner}, {recall}"] = Ratio.of(seconds[best], seconds[name])


def _heavier(cells: list[dict[str, Any]], memory: dict[str, Any]) -> list[str]:
    """Cells in which our fastest takes more memory than the fastest peer."""
    found = []
    for recall in RECALLS:
        for queries in (1, QUERIES):
            here = [c for c in cells if (c["recall_wanted"], c["queries"]) == (recall, queries)]
            peers = [c for c in here if not c["name"].startswith("ours")]
            own = next((c for c in here if c["ours"]), None)
            if own is None or not peers:
                continue
            best = max(peers, key=lambda c: c["queries_per_second"])
            total = {n: sum(memory[n].values()) for n in (own["name"], best["name"])}
            if total[own["name"]] > 1.02 * total[best["name"]]:
                found.append(f"{queries} queries, {recall}: {own['name']} "
                             f"{total[own['name']] / 1e6:.0f} MB, {best['name']} "
                             f"{total[best['name']] / 1e6:.0f} MB")  # fmt: skip
    return found


def _share(data: Data, cells: list[dict[str, Any]]) -> float:
    """Of one exact query: bytes of the codes over its seconds, against what memory gives."""
    exact = [c for c in cells if c["name"] == "ours exact" and c["queries"] == 1]
    rate = statistics.median(c["queries_per_second"] for c in exact)
    return rate * data.codes.nbytes / _bandwidth()


def _bandwidth() -> float:
    """Bytes a second that one core reads of what its cache does not hold."""
    values = np.ones(2**26, dtype=np.float32)
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        values.max()
        best = max(best, values.nbytes / (time.perf_counter() - start))
    return best


def build(rounds: int) -> None:
    """Building, memory and room; ours is the index that the size alone would be given."""
    notes: dict[str, Any] = {}
    ratios: dict[str, Ratio] = {}
    heavier: list[str] = []
    absent: dict[str, str] = {}
    for size in (10_000, 100_000):
        data = Data(size)
        chosen = f"ours {choose_index(len(data.codes), data.codes.shape[1]).backend}"
        seconds: dict[str, list[float]] = {}
        about: dict[str, Any] = {}
        for _ in range(rounds if size == 10_000 else max(1, rounds // 2)):
            for name in (*BACKENDS, *PACKAGES):
                if name in absent or name in SCANS:
                    continue
                try:
                    _build(data, name, seconds, about)
                except WorkerError as error:
                    absent[name] = str(error)
        notes[str(size)] = {
            n: {"seconds": statistics.median(seconds[n]), **about[n]} for n in seconds
        } | {"chosen": chosen}
        own = seconds[chosen]
        for name, values in seconds.items():
            if not name.startswith("ours") and len(values) == len(own):
                ratios[f"{name}, {size}"] = Ratio.of(own, values)
        peers = [n for n in about if not n.startswith("ours")]
        for what in ("memory_bytes", "disk_bytes"):
            least = min(peers, key=lambda n: _total(about[n][what]))
            if _total(about[chosen][what]) > 1.1 * _total(about[least][what]):
                heavier.append(f"{what} at {size}: {chosen} {_total(about[chosen][what]):,}, "
                               f"{least} {_total(about[least][what]):,}")  # fmt: skip
    record(
        "build", {"codes": [10_000, 99_000], "dims": 128}, ratios,
        "no slower than the best peer, and within 10 % of the least memory and disk",
        met=min(r.median for r in ratios.values()) >= 1 and not heavier,
        notes={"by_size": notes, "heavier_than_the_lightest": heavier, "absent": absent},
    )  # fmt: skip


def _total(size: int | dict[str, int]) -> int:
    return size if isinstance(size, int) else sum(size.values())


def _build(data: Data, name: str, seconds: dict[str, list[float]], about: dict[str, Any]) -> None:
    with data.start(name) as worker:
        worker.ask(do="drop")
        took = worker.ask(do="build")["seconds"]
        memory = worker.ask(do="memory")["result"]
        worker.ask(do="save")
        seconds.setdefault(name, []).append(took)
        about[name] = {"memory_bytes": memory, "disk_bytes": worker.ask(do="disk")["result"]}


if __name__ == "__main__":
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if sys.argv[1] == "build":
        build(rounds)
    else:
        main(int(sys.argv[1]), rounds, sys.argv[3:])
