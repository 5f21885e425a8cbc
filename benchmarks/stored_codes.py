"""What quantised codes take and cost in a collection, beside the same codes as floats.

    python benchmarks/stored_codes.py disk COLLECTION [--forms …]
    python benchmarks/stored_codes.py scan CODES.npy [--rows 100000]

`disk`: the pictures of a collection of float32 codes of the shipped network (made by `neuralcodes
index`) are indexed again into one collection a form: float32, float16, and each quantiser, fitted
on 2,000 of the codes. The network's codes are taken from COLLECTION, all else is done. Bytes an
image by part, of the collection as `compact` leaves it.

`scan`: one warm query by exact search, in turns: codes as floats in a mapped file, as a collection
of quantised codes kept them before; the same codes in the quantiser's bytes, as the first queries
and larger collections meet them; as later queries do, decoded and kept; and those decoded at each
query, which is the obvious way. Rows of CODES are repeated with a little noise up to `--rows`.

Writes results/collections/stored-disk.json and stored-scan.json.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import Ratio, record, take_turns

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.transforms.chain import fit_transform
from neuralcodes.codes.transforms.fitted import FittedOn, save_fitted, transform_file
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.codes.transforms.training import Training
from neuralcodes.collection.collection import Collection
from neuralcodes.images.decode import decode
from neuralcodes.index.scan import KEEP_AFTER, ScanIndex

RESULTS = Path(__file__).parent.parent / "results" / "collections"
FORMS = ("float32", "float16", "half", "int8", "opq32", "pq32", "binary")
LEARN = 2000  # codes to fit quantisers on
ROUNDS = 25


def fit(values: np.ndarray, spec: CodeSpec, forms: list[str]) -> None:
    """Quantisers beside the network, which for `shipped` is below NEURALCODES_HOME."""
    on = FittedOn("its own codes", "", LEARN, False, 0)
    for form in forms:
        if not form.startswith("float") and get_transform(form)[0].is_fitted:
            made = fit_transform(spec, form, Training(values[:LEARN]), on)
            save_fitted(transform_file(spec, [form]), made)


def known_codes(collection: Collection) -> dict[bytes, np.ndarray]:
    """The collection's codes by the pixels that the network would see."""
    pre = collection.spec.preprocessing
    found = {}
    for image in collection.images():
        with open(image.path, "rb") as file:
            pixels = decode(file.read(), pre.size, pre.resize)
        found[hashlib.sha256(pixels.tobytes()).digest()] = collection.codes([image.id])[0]
    return found


def disk(path: Path, forms: list[str]) -> None:
    rows = {}
    with tempfile.TemporaryDirectory() as base, Collection.open(path) as floats:
        os.environ["NEURALCODES_HOME"] = base
        known = known_codes(floats)
        roots = [root["path"] for root in floats.info().roots]
        code = floats.spec.name
        fit(floats.codes([image.id for image in floats.images()]), floats.spec, forms)

        def pool(encoder: Encoder, pixels: np.ndarray) -> dict:
            codes = [
                known.get(hashlib.sha256(np.ascontiguousarray(one).tobytes()).digest())
                for one in pixels
            ]
            if any(code is None for code in codes):  # the blank picture that tells a code's length
                return network(encoder, pixels)
            return {own: np.stack(codes) for own in encoder.pooled}

        network, Encoder._pool_all = Encoder._pool_all, pool
        for form in forms:
            dtype = form if form.startswith("float") else None
            spec = code if dtype else f"{code}/{form}"
            with Collection.create(Path(base) / form, spec, dtype=dtype) as collection:
                collection.sync(roots)
                collection.compact()
                about = collection.info()
            rows[form] = {
                "code_bytes": about.code_bytes,
                "images": about.images,
                "contents": about.contents,
                "codes": about.bytes["codes"],
                "parts_per_image": about.to_json()["parts_per_image"],
            }
            print(form, rows[form], flush=True)
    exact = all(row["codes"] == row["contents"] * row["code_bytes"] + 128 for row in rows.values())
    record(
        "stored-disk", {"images": len(known), "code": code}, {}, "codes on disk are their bytes "
        "and a header", exact, notes={"forms": rows}, folder=RESULTS,
    )  # fmt: skip


def scan(path: Path, count: int) -> None:
    own = np.load(path).astype(np.float32)
    values = own[np.arange(count) % len(own)]
    generator = np.random.default_rng(0)
    values[len(own) :] += generator.normal(0, 0.02, values[len(own) :].shape).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    forms, ratios = {}, {}
    for form in (form for form in FORMS if not form.startswith("float")):
        forms[form], ratios[f"floats ({form})"] = scan_form(form, own, values)
        print(form, forms[form], flush=True)
    record(
        "stored-scan", {"rows": count, "dims": values.shape[1]}, ratios,
        "the same results to the bit, in at most 10 ms",
        all(all(f["same"]) and f["least_ms"]["bytes"] <= 10 for f in forms.values()),
        notes={"forms": forms}, folder=RESULTS,
    )  # fmt: skip


def scan_form(form: str, own: np.ndarray, values: np.ndarray) -> tuple[dict, Ratio]:
    kind, number = get_transform(form)
    quantiser = kind.fit(Training(own), number)
    stored = quantiser.encode(values)
    count, dims = values.shape
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("bytes", stored), ("floats", quantiser.decode(stored))):
            np.save(Path(folder) / f"{name}.npy", array)
        mapped = np.load(Path(folder) / "bytes.npy", mmap_mode="r")
        lying, kept, floats = ScanIndex(dims), ScanIndex(dims), ScanIndex(dims)
        for index in (lying, kept):
            index.add(StoredRows(mapped, quantiser, dims), np.arange(count))
        lying._keep_decoded = lambda asked: None  # as where they are too many for that
        floats.add(np.load(Path(folder) / "floats.npy", mmap_mode="r"), np.arange(count))
        queries = iter(np.arange(10**9))

        def ask(index: ScanIndex) -> None:
            index.search(values[[next(queries) * 997 % count]], 10)

        def decode() -> None:
            for start in range(0, count, 65_536):
                quantiser.decode(mapped[start : start + 65_536])

        start = time.perf_counter()
        ask(lying)
        first = time.perf_counter() - start
        kept.search(values[:KEEP_AFTER], 10)
        start = time.perf_counter()
        ask(kept)
        keeping = time.perf_counter() - start
        turns = {
            "bytes": lambda: ask(lying),
            "kept": lambda: ask(kept),
            "floats": lambda: ask(floats),
            "decoding": decode,
        }
        seconds = take_turns(turns, ROUNDS)
        found, expected = lying.search(values[:20], 10), floats.search(values[:20], 10)
    return {
        "bytes": stored.shape[1],
        "median_ms": {n: round(statistics.median(s) * 1e3, 2) for n, s in seconds.items()},
        "least_ms": {n: round(min(s) * 1e3, 2) for n, s in seconds.items()},
        "first_ms": round(first * 1e3, 2),
        "keeping_ms": round(keeping * 1e3, 2),
        "memory_bytes": lying.memory_bytes(),
        "kept_memory_bytes": kept.memory_bytes(),
        "same": [
            np.array_equal(found.rows, expected.rows),
            np.array_equal(found.distances, expected.distances),
        ],
    }, Ratio.of(seconds["kept"], seconds["floats"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("disk")
    one.add_argument("collection", type=Path)
    one.add_argument("--forms", nargs="+", default=list(FORMS))
    two = verbs.add_parser("scan")
    two.add_argument("codes", type=Path)
    two.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    if given.verb == "disk":
        disk(given.collection, given.forms)
    else:
        scan(given.codes, given.rows)


if __name__ == "__main__":
    main()
