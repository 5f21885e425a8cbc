"""What each engine costs on one machine, against the local one, in one run.

    python benchmarks/engines.py IMAGES_FOLDER [--count 20000] [--code shipped] [--out FILE]

Extraction: the same pictures by the local engine, by Ray on two nodes of this machine, and again
with one node killed in the middle and another one joining; images and codes are compared to the
bit. Index: the local graph, Milvus Lite and, where the package `milvus` is there, a Milvus server.
Training: one process and two under torchrun, on the digits.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "engines"), str(ROOT / "tests" / "index")]

from ray_cluster import two_nodes  # noqa: E402

from milvus_process import MilvusProcess  # noqa: E402
from neuralcodes.collection.collection import Collection  # noqa: E402
from neuralcodes.common.files import write_json  # noqa: E402
from neuralcodes.common.machine import describe_machine  # noqa: E402
from neuralcodes.engines.names import opened_engine  # noqa: E402
from neuralcodes.engines.ray_engine import RayEngine  # noqa: E402
from neuralcodes.index.backend import get_backend  # noqa: E402
from neuralcodes.index.recall import tune  # noqa: E402
from neuralcodes.index.scan import ScanIndex  # noqa: E402


def lay_out(source: Path, target: Path, count: int) -> Path:
    """The first `count` JPEG files below a folder, as links."""
    found = 0
    for path in sorted(source.rglob("*.JPEG")):
        place = target / path.parent.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, place)
        found += 1
        if found == count:
            return target
    raise SystemExit(f"{source}: only {found} pictures")


def content(path: Path) -> tuple[list[Any], bytes]:
    with Collection.open(path) as opened:
        assert opened.verify().whole
        images = [(image.id, image.path) for image in opened.images()]
        return images, opened.codes([image[0] for image in images]).tobytes()


def index(pictures: Path, path: Path, code: str, address: str | None) -> float:
    start = time.perf_counter()
    name = "ray" if address else "local"
    with (
        Collection.create(path, code, device="cpu", backend="exact") as made,
        opened_engine(name, made, address, 2 if address else None) as engine,
    ):
        made.sync([pictures], engine=engine)
    return time.perf_counter() - start


def extraction(pictures: Path, work: Path, code: str, count: int) -> dict[str, Any]:
    seconds = {"local": index(pictures, work / "local", code, None)}
    expected = content(work / "local")
    assert len(expected[0]) == count
    with two_nodes() as (cluster, second):
        seconds["ray, two nodes"] = index(pictures, work / "ray", code, cluster.address)
        same = content(work / "ray") == expected
        whole, seen = RayEngine.read, []

        def read(self: RayEngine, jobs: Sequence[Any]) -> Iterator[Any]:
            for number, ready in enumerate(whole(self, jobs)):
                if number == count // 3:
                    cluster.remove_node(second, allow_graceful=False)
                    seen.append("killed")
                if number == 2 * count // 3:
                    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
                    seen.append("joined")
                yield ready

        RayEngine.read = read  # type: ignore[method-assign]
        try:
            seconds["ray, one node killed"] = index(
                pictures, work / "broken", code, cluster.address
            )
        finally:
            RayEngine.read = whole  # type: ignore[method-assign]
    return {
        "images": count,
        "code": Path(code).name,
        "seconds": seconds,
        "images_per_second": {name: count / value for name, value in seconds.items()},
        "overhead": {name: value / seconds["local"] for name, value in seconds.items()},
        "ray_equal_to_the_bit": same,
        "killed_equal_to_the_bit": content(work / "broken") == expected,
        "events": seen,
    }


def indexes(codes: np.ndarray, work: Path) -> dict[str, Any]:
    held = codes[-200:]
    codes = codes[:-200]
    ids = np.arange(len(codes))
    exact = ScanIndex(codes.shape[1])
    exact.add(codes, ids)
    truth = exact.search(held, 10)
    names = {"hnsw": "hnsw", "milvus lite": f"milvus:{work / 'index.db'}"}
    server = None
    try:
        server = MilvusProcess(work / "milvus")
        server.start()
        names["milvus server"] = f"milvus:{server.uri}"
    except BaseException as error:  # pytest's Skipped
        print(f"no Milvus server: {error}", file=sys.stderr)
    found = {}
    for name, backend in names.items():
        kind = get_backend(backend)
        made = kind(codes.shape[1], kind.suggest(*codes.shape), lambda wanted: codes[wanted])
        start = time.perf_counter()
        made.add(codes, ids)
        made.save(work / f"saved-{name}")
        built = time.perf_counter() - start
        report = tune(made, held, truth, 0.95)
        start = time.perf_counter()
        made.search(held, 10)
        found[name] = {
            "build_seconds": built,
            "codes_per_second": len(codes) / built,
            "recall": report.mean,
            "effort": report.effort,
            "milliseconds_a_query": report.milliseconds,
            "milliseconds_a_query_of_200": (time.perf_counter() - start) * 5,
        }
        made.drop()
    if server is not None:
        server.kill()
    return {"codes": len(codes), "dims": codes.shape[1], "backends": found}


def training(work: Path) -> dict[str, Any]:
    worker = ROOT / "tests" / "training" / "team_worker.py"
    options = {"max_epochs": 3, "count": 400, "optimizer": "sgd", "learning_rate": 0.01}
    tests = os.pathsep.join([str(worker.parent), str(ROOT / "tests")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    found: dict[str, Any] = {}
    histories = []
    for processes in (1, 2):
        folder = work / f"train-{processes}"
        folder.mkdir()
        write_json(folder / "options.json", options)
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [sys.executable, *(launcher if processes > 1 else []), str(worker), str(folder)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        rows = (folder / "history.csv").read_text().splitlines()
        names = rows[0].split(",")
        table = [dict(zip(names, map(float, row.split(",")), strict=True)) for row in rows[1:]]
        histories.append([row["train_loss"] for row in table])
        found[f"{processes} process(es)"] = {
            "images_per_second": table[-1]["images_per_second"],
            "train_loss": histories[-1],
        }
    found["largest_difference_of_loss"] = float(np.abs(np.subtract(*histories)).max())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--code", default="shipped")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "bench" / "engines.json")
    parser.add_argument("--parts", default="extraction,indexes,training")
    given = parser.parse_args()
    results: dict[str, Any] = json.loads(given.out.read_text()) if given.out.is_file() else {}
    results["machine"] = describe_machine()
    work = Path(tempfile.mkdtemp(prefix="engines-"))
    try:
        if "extraction" in given.parts:
            pictures = lay_out(given.images, given.images.parent / f".{work.name}", given.count)
            try:
                results["extraction"] = extraction(pictures, work, given.code, given.count)
            finally:
                shutil.rmtree(pictures)
            write_json(given.out, results)
        if "indexes" in given.parts:
            dice = np.random.default_rng(0)
            if (work / "local").is_dir():
                codes = np.frombuffer(content(work / "local")[1], np.float32)
                codes = codes.reshape(given.count, -1)
            else:
                codes = dice.normal(size=(given.count, 128)).astype(np.float32)
                codes /= np.linalg.norm(codes, axis=1, keepdims=True)
            results["indexes"] = indexes(codes, work)
            write_json(given.out, results)
        if "training" in given.parts:
            results["training"] = training(work)
            write_json(given.out, results)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
