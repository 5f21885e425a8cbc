"""How time grows: each piece at three or more sizes, and the exponent that fits.

    python benchmarks/growth.py

Seconds of the least of three tries; log seconds are fitted by a straight line in log size. What
the exponents mean for 10⁸ to 10⁹ images stands in docs/performance.md.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import SCRATCH, record
from peer_load import unpack
from peer_torch import our_encoder

from codes import real_codes
from neuralcodes.evaluation.class_retrieval import class_ranks
from neuralcodes.index.backend import get_backend
from neuralcodes.index.scan import ScanIndex

TRIES = 3
SEARCHED = (10_000, 30_000, 90_000)


def least(work: Callable[[], Any], tries: int = TRIES) -> float:
    work()
    seconds = []
    for _ in range(tries):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def loading() -> dict[int, float]:
    """Reading class folders for the first time, by images."""
    from neuralcodes.images.tinyimagenet import tiny_imagenet

    archives, found = Path(os.environ["NEURALCODES_TINY_IMAGENET"]), {}
    for classes in (4, 13, 40):
        path, cache = unpack(archives, SCRATCH, classes), SCRATCH / "cache-growth"
        os.environ["NEURALCODES_CACHE"] = str(cache)

        def work(path: Path = path, cache: Path = cache) -> None:
            shutil.rmtree(cache, ignore_errors=True)
            tiny_imagenet(path)

        found[500 * classes] = least(work)
    return found


def extraction() -> dict[int, float]:
    """The shipped network, by images."""
    encoder = our_encoder("auto", ["code"], shipped=True)
    pixels = np.random.default_rng(0).integers(
        0, 256, size=(1000, *encoder.preprocessing.size, 3), dtype=np.uint8
    )

    def work(count: int) -> None:
        for start in range(0, count, 250):
            encoder.encode(pixels[start : start + 250])

    return {count: least(lambda c=count: work(c), 2) for count in (250, 500, 1000)}  # type: ignore[misc]


def mean_precision(codes: Any) -> dict[int, float]:
    """Average precision of every image, by images."""
    labels = np.arange(len(codes)) // 500
    return {
        count: least(lambda c=count: class_ranks(codes[:c], labels[:c]), 2)  # type: ignore[misc]
        for count in (2_500, 5_000, 10_000, 20_000)
    }


def exact_search(codes: Any) -> dict[int, float]:
    """One exact query, by codes."""
    found = {}
    for count in SEARCHED:
        index = ScanIndex(codes.shape[1])
        index.add(codes[:count], np.arange(count))
        found[count] = least(lambda i=index: [i.search(q[None], 10) for q in codes[-50:]]) / 50  # type: ignore[misc]
    return found


def graph(codes: Any) -> tuple[dict[int, float], dict[int, float]]:
    """Building the graph, and one query at an effort that keeps recall near 0.97, by codes."""
    build, search = {}, {}
    for count in SEARCHED:
        kind = get_backend("hnsw")
        index = kind(codes.shape[1], kind.suggest(count, codes.shape[1]))
        start = time.perf_counter()
        index.add(codes[:count], np.arange(count))
        build[count] = time.perf_counter() - start
        index.effort = 64
        search[count] = least(lambda i=index: [i.search(q[None], 10) for q in codes[-200:]]) / 200  # type: ignore[misc]
    return build, search


def fit(seconds: dict[int, float]) -> float:
    sizes, values = np.log(list(seconds)), np.log(list(seconds.values()))
    return float(np.polyfit(sizes, values, 1)[0])


def main() -> None:
    """Measure and record."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    codes = np.ascontiguousarray(real_codes()[np.random.default_rng(0).permutation(100_000)])
    in_order = np.ascontiguousarray(real_codes()[:20_000])
    build, search = graph(codes)
    pieces = {
        "load": loading(), "extract": extraction(), "map": mean_precision(in_order),
        "exact search": exact_search(codes), "graph: build": build, "graph: search": search,
    }  # fmt: skip
    exponents = {name: fit(seconds) for name, seconds in pieces.items()}
    expected = {
        "load": 1.0, "extract": 1.0, "map": 2.0, "exact search": 1.0, "graph: build": 1.2,
        "graph: search": 0.5,
    }  # fmt: skip
    over = [name for name, value in exponents.items() if value > expected[name] + 0.15]
    record(
        "growth", {"sizes": {name: list(map(int, s)) for name, s in pieces.items()}}, {},
        "no piece grows faster than by its algorithm (exponent within 0.15)", met=not over,
        notes={
            "seconds": {n: {str(k): v for k, v in s.items()} for n, s in pieces.items()},
            "exponents": exponents, "expected": expected, "faster_than_expected": over,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
