"""A collection's speed, room and recall, beside the limits that bound it.

    python benchmarks/collection.py index PICTURES… --code RUN@LAYER [--count 100000]
    python benchmarks/collection.py recall CODES.npy [--sizes 10000 100000 1000000]

`index`: images/s of `Collection.sync` against the bare network's on the same batches and against
reading and decoding alone, in turns; then bytes an image, the time of a search from a fresh process
and of one in a warm one, and memory. PICTURES are folders, zip or tar files, of which the first
`--count` images are taken.

`recall`: for each size the automatic choice and the others, tuned to 0.95 and 0.99, measured
against brute force on codes that the index does not hold. Where CODES has fewer rows than the size,
rows are repeated with noise of a tenth of the median distance to the nearest; the result says so.

Writes results/bench/collection-index.json and collection-recall.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from harness import Ratio, record

from neuralcodes.collection.coding import BATCH, make_encoder
from neuralcodes.collection.collection import Collection
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.reading import Job, Reader
from neuralcodes.collection.walk import open_root, walk
from neuralcodes.index.backend import get_backend
from neuralcodes.index.choose import choose_index
from neuralcodes.index.ranking import Ranking
from neuralcodes.index.recall import tune
from neuralcodes.index.scan import ScanIndex

ROUNDS = 3


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_index(paths: list[Path], code: str, count: int) -> None:
    encoder = make_encoder(code, "auto", "fp32")
    spec = encoder.specs[0]
    found = [f for path in paths for f in walk(open_root(path))][:count]
    height, width = spec.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8)
    bare, decode, whole = [], [], []
    with tempfile.TemporaryDirectory() as base:
        for number in range(ROUNDS):
            path = Path(base) / f"collection{number}"
            collection = Collection.create(path, code)
            collection._coder.adopt(encoder)
            bare.append(_bare(encoder, pixels, max(4, len(found) // BATCH // 4)))
            jobs = [Job(one, None) for one in found[: len(found) // 2]]
            decode.append(_decoding(Reader(path, Pictures(path), spec.preprocessing), jobs))
            whole.append(_index(collection, paths, count))
            again = seconds(collection.sync) if count >= len(found) else None
            if number < ROUNDS - 1:
                collection.close()
        limit = [min(pair) for pair in zip(bare, decode, strict=True)]
        shares = [own / most for own, most in zip(whole, limit, strict=True)]
        about = collection.info()
        notes = {
            "images_per_second": {"index": whole, "bare_network": bare, "read_and_decode": decode},
            "bytes_per_image": about.bytes_per_image,
            "bytes": about.bytes,
            "index": about.index,
            "update_without_news_s": again,
            "search_warm_ms": _warm(collection),
            "search_fresh_process_s": _cold(path, ["id:1"]),
            "python_and_torch_s": _median(["-c", "import torch"]),
            "python_s": _median(["-c", "pass"]),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        collection.close()
    own = statistics.median(shares)
    ratios = [w / b for w, b in zip(whole, bare, strict=True)]
    peers = {"bare network": Ratio(statistics.median(ratios), min(ratios), max(ratios))}
    record(
        "collection-index",
        {"images": len(found), "dims": spec.dims, "code": spec.name, "rounds": ROUNDS},
        peers,
        "at least 80 % of the bare network's images/s",
        statistics.median(ratios) >= 0.8,
        own,
        notes,
    )


def _bare(encoder: Any, pixels: np.ndarray, passes: int) -> float:
    """Images/s of the network alone."""
    encoder.encode(pixels)
    return passes * BATCH / seconds(lambda: [encoder.encode(pixels) for _ in range(passes)])


def _decoding(reader: Reader, jobs: list[Job]) -> float:
    """Images/s of reading, hashing and decoding alone."""
    return len(jobs) / seconds(lambda: [None for _ in reader.read(jobs)])


def _index(collection: Collection, paths: list[Path], count: int) -> float:
    """Images/s of `sync` of the first `count` images."""
    from neuralcodes.collection import sync

    plain = sync.walk
    left = [count]

    def some(root: Any) -> Any:
        for one in islice(plain(root), left[0]):
            left[0] -= 1
            yield one

    sync.walk = some
    try:
        took = seconds(lambda: collection.sync(paths))
    finally:
        sync.walk = plain
    return len(collection) / took


def _warm(collection: Collection) -> dict[str, float]:
    ids = [image.id for image in islice(collection.images(), 200)]
    times = [1e3 * seconds(lambda i=i: collection.search(i, 10)) for i in ids]
    return {"median": statistics.median(times), "p95": float(np.quantile(times, 0.95))}


def _cold(path: Path, query: list[str]) -> float:
    return _median(["-m", "neuralcodes", "search", str(path), *query, "--json"])


def _median(words: list[str]) -> float:
    command = [sys.executable, *words]
    return statistics.median(
        seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        for _ in range(5)
    )


def measure_recall(path: Path, sizes: list[int]) -> None:
    real = np.load(path, mmap_mode="r")
    rows = []
    for size in sizes:
        codes, made = _enough(real, size + 1000)
        order = np.random.default_rng(2).permutation(len(codes))
        queries = np.asarray(codes[order[:1000]], dtype=np.float32)
        base = np.asarray(codes[np.sort(order[1000 : size + 1000])], dtype=np.float32)
        exact = ScanIndex(base.shape[1])
        exact.add(base, np.arange(len(base)))
        truth = exact.search(queries, 10)
        chosen = choose_index(size, base.shape[1]).backend
        for name in ("exact", "hnsw", "ivfpq"):
            facts = {"codes": size, "perturbed": made, "backend": name, "chosen": name == chosen}
            for row in _tuned(name, base, queries, truth):
                rows.append({**facts, **row})
                print(json.dumps(rows[-1]), flush=True)
    record(
        "collection-recall",
        {"sizes": sizes, "dims": int(real.shape[1])},
        {},
        "the measured recall of each automatic choice reaches what was promised",
        all(row["met"] for row in rows if row["chosen"]),
        notes={"rows": rows},
    )


def _tuned(
    name: str, base: np.ndarray, queries: np.ndarray, truth: Ranking
) -> Iterator[dict[str, Any]]:
    """One backend at each promise."""
    kind, ids = get_backend(name), np.arange(len(base))
    index = kind(base.shape[1], kind.suggest(*base.shape), lambda wanted: base[wanted])

    def build() -> None:
        index.train(base)
        index.add(base, ids)

    took = seconds(build)
    for target in (0.95, 0.99):
        recall = tune(index, queries, truth, target).to_json()
        yield {"build_s": round(took, 2), "memory_bytes": index.memory_bytes(), **recall}


def _enough(real: np.ndarray, count: int) -> tuple[np.ndarray, bool]:
    """At least `count` codes, made from real ones by noise where there are fewer."""
    if len(real) >= count:
        return real[:count], False
    sample = np.asarray(real[:: max(1, len(real) // 2000)], dtype=np.float32)
    index = ScanIndex(sample.shape[1])
    index.add(sample, np.arange(len(sample)))
    nearest = index.search(sample, 1, exclude=np.arange(len(sample))).distances
    spread = 0.1 * float(np.median(nearest)) / np.sqrt(real.shape[1])
    generator = np.random.default_rng(1)
    picked = generator.integers(len(real), size=count)
    made = np.asarray(real, dtype=np.float32)[picked]
    made += spread * generator.standard_normal(made.shape, dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True), True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    index = verbs.add_parser("index")
    index.add_argument("pictures", nargs="+", type=Path)
    index.add_argument("--code", required=True)
    index.add_argument("--count", type=int, default=100_000)
    recall = verbs.add_parser("recall")
    recall.add_argument("codes", type=Path)
    recall.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if given.verb == "index":
        measure_index(given.pictures, given.code, given.count)
    else:
        measure_recall(given.codes, given.sizes)


if __name__ == "__main__":
    main()
