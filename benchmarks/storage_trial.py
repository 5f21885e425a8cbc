"""Which store for a collection: Lance, Parquet, or SQLite with .npy files, on the same work.

    python benchmarks/storage_trial.py [--rows 100000] [--dims 128] [--out FILE]

Needs `pylance` and `pyarrow` beside NumPy; what is not installed is left out. Each store appends
codes with metadata in durable batches, is opened and read in a fresh process, answers a filter,
deletes, and is killed (SIGKILL) while it appends. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH = 2000
KILLS = 10


def facts(start: int, count: int) -> dict[str, list]:
    rows = range(start, start + count)
    return {
        "id": list(rows),
        "path": [f"folder{row % 50}/picture{row:07}.jpg" for row in rows],
        "size": [10_000 + row % 9973 for row in rows],
        "hash": [f"{row * 2654435761 % 2**64:016x}" * 2 for row in rows],
    }


class Npy:
    """SQLite for the metadata, one .npy file a batch, written before the row that names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.db = sqlite3.connect(folder / "collection.sqlite")
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute("CREATE TABLE IF NOT EXISTS segments (id INTEGER PRIMARY KEY, rows INT)")
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS images (id INTEGER PRIMARY KEY, path TEXT, size INT, "
            "hash TEXT, segment INT, row INT)"
        )

    def append(self, codes: np.ndarray, about: dict[str, list]) -> None:
        (number,) = self.db.execute("SELECT coalesce(max(id), 0) + 1 FROM segments").fetchone()
        path = self.folder / f"{number:06}.npy"
        with open(path.with_suffix(".tmp"), "wb") as file:
            np.save(file, codes)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".tmp").rename(path)
        with self.db:
            self.db.execute("INSERT INTO segments VALUES (?, ?)", (number, len(codes)))
            rows = zip(*about.values(), [number] * len(codes), range(len(codes)), strict=True)
            self.db.executemany("INSERT INTO images VALUES (?,?,?,?,?,?)", rows)

    def codes(self) -> np.ndarray:
        numbers = self.db.execute("SELECT id FROM segments ORDER BY id").fetchall()
        return np.concatenate(
            [np.load(self.folder / f"{n:06}.npy", mmap_mode="r") for (n,) in numbers]
        )

    def filter(self) -> int:
        return len(self.db.execute("SELECT id FROM images WHERE size < 10100").fetchall())

    def delete(self, ids: list[int]) -> None:
        with self.db:
            self.db.executemany("DELETE FROM images WHERE id = ?", [(i,) for i in ids])

    def count(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM images").fetchone()[0])


class Parquet:
    """One Parquet file a batch in a folder; deleting rewrites the files that hold the rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def append(self, codes: np.ndarray, about: dict[str, list]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({**about, "code": fixed(codes)})
        path = self.folder / f"{about['id'][0]:09}.parquet"
        with open(path.with_suffix(".tmp"), "wb") as file:
            pq.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".tmp").rename(path)

    def _read(self, columns: list[str]):
        import pyarrow as pa
        import pyarrow.parquet as pq

        files = sorted(self.folder.glob("*.parquet"))
        return pa.concat_tables(pq.read_table(file, columns=columns) for file in files)

    def codes(self) -> np.ndarray:
        return flat(self._read(["code"]))

    def filter(self) -> int:
        import pyarrow.compute as pc

        table = self._read(["id", "size"])
        return int(table.filter(pc.less(table["size"], 10100)).num_rows)

    def delete(self, ids: list[int]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        gone = pa.array(ids)
        for file in sorted(self.folder.glob("*.parquet")):
            table = pq.read_table(file)
            kept = table.filter(pc.invert(pc.is_in(table["id"], gone)))
            if kept.num_rows < table.num_rows:
                pq.write_table(kept, file.with_suffix(".tmp"))
                file.with_suffix(".tmp").rename(file)

    def count(self) -> int:
        return int(self._read(["id"]).num_rows)


class Lance:
    """A Lance data set: versions, transactions, deletion vectors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, codes: np.ndarray, about: dict[str, list]) -> None:
        import lance
        import pyarrow as pa

        mode = "append" if self.folder.exists() else "create"
        lance.write_dataset(pa.table({**about, "code": fixed(codes)}), self.folder, mode=mode)

    def _open(self):
        import lance

        return lance.dataset(self.folder)

    def codes(self) -> np.ndarray:
        return flat(self._open().to_table(columns=["code"]))

    def filter(self) -> int:
        return int(self._open().to_table(columns=["id"], filter="size < 10100").num_rows)

    def delete(self, ids: list[int]) -> None:
        self._open().delete(f"id IN ({', '.join(map(str, ids))})")

    def count(self) -> int:
        return int(self._open().count_rows())


def fixed(codes: np.ndarray):
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), codes.shape[1])


def flat(table) -> np.ndarray:
    column = table["code"].combine_chunks()
    return column.values.to_numpy().reshape(len(column), -1)


STORES = {"sqlite+npy": Npy, "parquet": Parquet, "lance": Lance}
PACKAGES = {"sqlite+npy": [], "parquet": ["pyarrow"], "lance": ["lance", "pyarrow"]}


def timed(work) -> float:
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 4)


def megabytes(folder: Path) -> float:
    return round(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6, 2)


def fresh(name: str, folder: Path, what: str) -> float:
    """Seconds a new process takes to open the store and do one thing, imports included."""
    command = [sys.executable, __file__, "--child", name, str(folder), what]
    seconds = [timed(lambda: subprocess.run(command, check=True)) for _ in range(5)]
    nothing = [timed(lambda: subprocess.run([*command[:-1], "nothing"], check=True)) for _ in "123"]
    return round(sorted(seconds)[2] - sorted(nothing)[1], 4)


def child(name: str, folder: Path, what: str) -> None:
    if what == "nothing":
        return
    store = STORES[name](folder)
    if what == "append":
        codes = np.random.default_rng(0).normal(size=(BATCH, 128)).astype(np.float32)
        start = store.count()
        while True:
            store.append(codes, facts(start, BATCH))
            start += BATCH
            print(start, flush=True)
    print({"codes": lambda: store.codes().shape, "filter": store.filter}[what]())


def kills(name: str, folder: Path) -> str:
    """Kill the appending process at random moments; what was said to be stored must be there."""
    shutil.rmtree(folder, ignore_errors=True)
    STORES[name](folder).append(np.zeros((BATCH, 128), np.float32), facts(0, BATCH))
    dice, lost, torn = random.Random(0), 0, 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", name, str(folder), "append"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = [process.stdout.readline()]
        time.sleep(dice.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[0].splitlines()
        last = max(int(line) for line in said if line.strip())
        store = STORES[name](folder)
        lost += store.count() < last
        torn += len(store.codes()) < store.count() or bool(store.count() % BATCH)
    return f"{KILLS} kills: {lost} lost a finished batch, {torn} left a part of one"


def trial(name: str, rows: int, dims: int, folder: Path) -> dict[str, object]:
    codes = np.random.default_rng(0).normal(size=(rows, dims)).astype(np.float32)
    path = folder / name
    store = STORES[name](path)

    def fill() -> None:
        for start in range(0, rows, BATCH):
            part = codes[start : start + BATCH]
            store.append(part, facts(start, len(part)))

    result: dict[str, object] = {"append_all_s": timed(fill), "megabytes": megabytes(path)}
    result["append_one_batch_s"] = timed(lambda: store.append(codes[:BATCH], facts(rows, BATCH)))
    assert np.array_equal(store.codes()[:rows], codes)
    result["fresh_process_codes_s"] = fresh(name, path, "codes")
    result["fresh_process_filter_s"] = fresh(name, path, "filter")
    result["filter_s"] = timed(store.filter)
    gone = list(range(0, rows, rows // 1000))
    result["delete_1000_s"] = timed(lambda: store.delete(gone))
    assert store.count() == rows + BATCH - len(gone)
    result["megabytes_after_delete"] = megabytes(path)
    result["killed"] = kills(name, folder / f"{name}-killed")
    result["package_megabytes"] = round(sum(
        megabytes(Path(importlib.util.find_spec(package).submodule_search_locations[0]))
        for package in PACKAGES[name]
    ), 0)  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=3)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]), given.child[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        results = {
            name: trial(name, given.rows, given.dims, Path(folder))
            for name in STORES
            if all(importlib.util.find_spec(package) for package in PACKAGES[name])
        }
    text = json.dumps({"rows": given.rows, "dims": given.dims, "stores": results}, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
