"""A collection's speed, room and recall, beside the limits that bound it.

    python benchmarks/collection.py index PICTURES… --code RUN@LAYER [--count 100000]
    python benchmarks/collection.py search COLLECTION PICTURE
    python benchmarks/collection.py duplicates COLLECTION
    python benchmarks/collection.py recall CODES.npy [--sizes 10000 100000 1000000]

`index`: images/s of one `Collection.sync` against the bare network's. The update stops `--turns`
times between two batches for the network to run alone, in the same process on the same threads,
over pixels that lie ready, so that what else the machine does meets both. Then bytes an image and
peak memory. PICTURES are folders, zip or tar files, of which the first `--count` images are taken.

`search`: the time of a search from a fresh process and in a warm one, by an image of the collection
and by PICTURE, which is none of its images.

`duplicates`: what the calibrated threshold does. Altered copies of pictures, drawn with another
seed than the calibration's, look for their own among all contents: recall is the share that finds
it, precision the share of all that is found that is its own picture or looks the same.

`recall`: for each size the automatic choice and the others, tuned to 0.95 and 0.99, measured
against brute force on codes that the index does not hold. Where CODES has fewer rows than the size,
rows are repeated with noise of a tenth of the median distance to the nearest; the result says so.

Writes results/collections/index.json, search.json, duplicates-NAME.json and recall-SIZE-DIMS.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from harness import Ratio, record
from turns import Turns, hooked, peak_memory, seconds

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.passes import BATCH
from neuralcodes.collection import calibration
from neuralcodes.collection.collection import Collection
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.reading import Job, Reader
from neuralcodes.collection.walk import open_root, walk
from neuralcodes.images.decode import decode
from neuralcodes.index.backend import get_backend
from neuralcodes.index.choose import choose_index
from neuralcodes.index.ranking import Ranking
from neuralcodes.index.recall import tune
from neuralcodes.index.scan import ScanIndex

RESULTS = Path(__file__).parent.parent / "results" / "collections"


def measure_index(
    paths: list[Path],
    code: str,
    count: int,
    precision: str,
    number: int,
    keep: Path | None,
    lock: Path | None,
) -> None:
    encoder = Encoder.open(code, "auto", precision)
    spec = encoder.specs[0]
    found = list(islice((f for path in paths for f in walk(open_root(path))), count))
    with tempfile.TemporaryDirectory() as base:
        path = keep or Path(base) / "measured.nc"
        begun = path.exists()
        collection = (
            Collection.open(path) if begun else Collection.create(path, code, precision=precision)
        )
        collection._coder.adopt(encoder)
        reader = Reader(path, Pictures(path), spec.preprocessing)
        pixels = np.stack([r.pixels for r in _read(reader, found[-BATCH:]) if r.pixels is not None])
        turns = Turns(lambda: encoder.encode(pixels), len(found) // number, lock)
        turns.start()
        with hooked(turns, count):
            collection.sync(paths)
        whole_memory = peak_memory()
        decode = len(found[:20_000]) / seconds(lambda: _read(reader, found[:20_000]))
        coding = sum(s for _, s in turns.index)
        images = sum(n for n, _ in turns.index)
        bare = statistics.median(turns.bare)
        about = collection.info()
        notes = {
            "images_per_second": {
                "index": images / coding,
                "index_and_search_index": images / (coding + turns.build),
                "bare_network": bare,
                "read_hash_and_decode": decode,
                "turns": [n / s for n, s in turns.index],
                "bare_network_turns": turns.bare,
            },
            "seconds": {"coding": coding, "search_index": turns.build},
            "share_with_search_index": images / (coding + turns.build) / bare,
            "bytes_per_image": about.bytes_per_image,
            "bytes": about.bytes,
            "index": about.index,
            "peak_memory_mb": {"coding": turns.coded_memory, "search_index_too": whole_memory},
            "collection": {"images": about.images, "begun_by_an_earlier_run": begun},
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "load_average": os.getloadavg(),
        }
        collection.close()
    ratios = turns.ratios()
    middle = statistics.median(ratios)
    record(
        "index",
        {
            "images": images,
            "dims": spec.dims,
            "code": spec.name,
            "precision": spec.precision,
            "turns": len(ratios),
        },
        {"bare network": Ratio(middle, min(ratios), max(ratios))},
        "at least 80 % of the bare network's images/s",
        middle >= 0.8,
        middle,
        notes,
        RESULTS,
    )


def _read(reader: Reader, found: list[Any]) -> list[Any]:
    return list(reader.read([Job(one, None) for one in found]))


def measure_search(path: Path, picture: Path) -> None:
    words = ["-m", "neuralcodes", "search", str(path)]
    fresh = {
        "image_of_the_collection": _fresh([*words, "id:1", "--json"]),
        "picture": _fresh([*words, str(picture), "--json"]),
        "python": _fresh(["-c", "pass"]),
        "python_and_torch": _fresh(["-c", "import torch"]),
    }
    with Collection.open(path) as collection:
        about = collection.info()
        ids = [image.id for image in islice(collection.images(), 101)]
        warm = {
            "image_of_the_collection": _times(lambda i: collection.search(i, 10), ids),
            "image_of_the_collection_exact": _times(
                lambda i: collection.search(i, 10, exact=True), ids
            ),
            "picture": _times(lambda _: collection.search(picture, 10), ids),
        }
    record(
        "search",
        {"images": about.images, "dims": about.dims, "code": about.code},
        {},
        "none was set",
        True,
        notes={
            "fresh_process_s": fresh,
            "warm_ms": warm,
            "index": about.index,
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "load_average": os.getloadavg(),
        },
        folder=RESULTS,
    )


def _times(work: Callable[[int], Any], ids: list[int]) -> dict[str, float]:
    """Milliseconds of a call; the first is not counted."""
    times = [1e3 * seconds(lambda i=i: work(i)) for i in ids][1:]
    return {"median": statistics.median(times), "p95": float(np.quantile(times, 0.95))}


def _fresh(words: list[str]) -> float:
    """Median seconds of a Python process."""
    command = [sys.executable, *words]
    return statistics.median(
        seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        for _ in range(3)
    )


def measure_duplicates(path: Path, count: int) -> None:
    with Collection.open(path) as collection:
        known = collection.calibrate()
        store, snapshot, pictures = (
            collection.store,
            collection.store.snapshot(),
            collection.pictures,
        )
        kinds = calibration.alterations(False)
        pre = collection.spec.preprocessing
        look = calibration.Look(store, pictures, False)
        everything, limit = snapshot.alive, known["threshold"]
        order = np.random.default_rng(1).permutation(everything)
        results = {name: [0, 0, 0] for name in kinds}  # copies, found, all that is found
        own_found = dict.fromkeys(kinds, 0)
        for content in order[:count].tolist():
            picture = calibration.picture_of(store, pictures, content)
            if picture is None:
                continue
            pixels = [
                decode(calibration.file_of(alter(picture)), pre.size, pre.resize)  # type: ignore
                for alter in kinds.values()
            ]
            codes = collection.encode(np.stack(pixels))
            for name, code in zip(kinds, codes, strict=True):
                distances = np.linalg.norm(snapshot.vectors(everything) - code, axis=1)
                near = everything[distances <= limit].tolist()
                right = [one for one in near if one == content or look.same(one, content)]
                results[name][0] += 1
                results[name][1] += content in near
                results[name][2] += len(near)
                own_found[name] += len(right)
    rows = {
        name: {
            "copies": n,
            "recall": hit / n,
            "found": all_,
            "precision": own_found[name] / max(1, all_),
        }
        for name, (n, hit, all_) in results.items()
    }
    copies, hits, found = (sum(column) for column in zip(*results.values(), strict=True))
    record(
        f"duplicates-{path.stem}",
        {"contents": len(everything), "code": collection.spec.name, "pictures_altered": count},
        {},
        "none was set",
        True,
        notes={
            "threshold": limit,
            "recall": hits / copies,
            "precision": sum(own_found.values()) / max(1, found),
            "by_alteration": rows,
            "calibration": known,
        },
        folder=RESULTS,
    )


def measure_recall(path: Path, sizes: list[int], backends: list[str]) -> None:
    real = np.load(path, mmap_mode="r")
    for size in sizes:
        codes, made = _enough(real, size + 1000)
        order = np.random.default_rng(2).permutation(len(codes))
        queries = np.asarray(codes[order[:1000]], dtype=np.float32)
        base = np.asarray(codes[np.sort(order[1000 : size + 1000])], dtype=np.float32)
        exact = ScanIndex(base.shape[1])
        exact.add(base, np.arange(len(base)))
        truth = exact.search(queries, 10)
        choice = choose_index(size, base.shape[1])
        rows = []
        for name in backends:
            for row in _tuned(name, base, queries, truth):
                rows.append({"backend": name, "chosen": name == choice.backend, **row})
                print(json.dumps(rows[-1]), flush=True)
        record(
            f"recall-{size}-{real.shape[1]}d",
            {"codes": size, "dims": int(real.shape[1]), "real": len(real), "perturbed": made},
            {},
            "the measured recall of the automatic choice reaches what was promised",
            all(row["met"] for row in rows if row["chosen"]),
            notes={"chosen": choice.backend, "reason": choice.reason, "rows": rows},
            folder=RESULTS,
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
    index.add_argument("--precision", default="fp32")
    index.add_argument("--turns", type=int, default=20, help="times the bare network runs between")
    index.add_argument("--keep", type=Path, help="where to leave the collection")
    index.add_argument("--lock", type=Path, help="file to lock while measuring, turn by turn")
    search = verbs.add_parser("search")
    search.add_argument("collection", type=Path)
    search.add_argument("picture", type=Path)
    duplicates = verbs.add_parser("duplicates")
    duplicates.add_argument("collection", type=Path)
    duplicates.add_argument("--count", type=int, default=100, help="pictures to alter")
    recall = verbs.add_parser("recall")
    recall.add_argument("codes", type=Path)
    recall.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    recall.add_argument("--backends", nargs="+", default=["exact", "hnsw", "ivfpq"])
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if given.verb == "index":
        measure_index(
            given.pictures,
            given.code,
            given.count,
            given.precision,
            given.turns,
            given.keep,
            given.lock,
        )
    elif given.verb == "search":
        measure_search(given.collection, given.picture)
    elif given.verb == "duplicates":
        measure_duplicates(given.collection, given.count)
    else:
        measure_recall(given.codes, given.sizes, given.backends)


if __name__ == "__main__":
    main()
