"""The indexes of `peer_indexes.py` as contestants for `worker.py`.

`open_index` returns a callable; what it does is its argument `do`:

- build: from the codes, and save where that is possible (the call is timed by the worker);
- load: what an earlier build saved; answers whether there was something;
- memory: bytes of memory since the process had only imported its library and mapped the codes;
- disk: bytes of what was saved;
- search: some queries at an effort, one at a time or all at once; `out` takes the rows found.
"""

from __future__ import annotations

import gc
import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peer_indexes import KINDS, Index, load_scann


def open_index(kind: str, codes: str, path: str) -> Callable[..., Any]:
    """A contestant over a .npy of float32 codes, kept at `path`."""
    mapped = np.load(codes, mmap_mode="r")
    if kind.startswith("ours"):
        import neuralcodes.index.recall  # noqa: F401
    index = KINDS[kind](mapped, Path(path))
    if kind == "ScaNN":
        load_scann()
    else:
        importlib.import_module(index.library)
    before = _memory()

    def work(do: str, **given: Any) -> Any:
        if do == "build":
            index.build()
        elif do == "save":
            index.save()
        elif do == "load":
            if not index.saved or not _kept(path):
                return False
            index.load()
            return True
        elif do == "memory":
            gc.collect()
            return {key: _memory()[key] - value for key, value in before.items()}
        elif do == "disk":
            return sum(map(_size, _kept(path)))
        elif do == "drop":
            for one in _kept(path):
                shutil.rmtree(one) if one.is_dir() else one.unlink()
        elif do == "efforts":
            return list(index.efforts)
        else:
            return _search(index, **given)
        return None

    return work


def _search(index: Index, queries: str, effort: int, count: int, one: bool, out: str = "") -> None:
    wanted = np.ascontiguousarray(np.load(queries)[:count])
    index.set(effort)
    if one:
        rows = np.concatenate([index.search(wanted[at : at + 1]) for at in range(count)])
    else:
        rows = index.search(wanted)
    if out:
        np.save(out, rows)


def _memory() -> dict[str, int]:
    """Bytes of this process: its own, and files that it has mapped and touched."""
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(("RssAnon", "RssFile")):
            key, value = line.split()[:2]
            found["own" if key == "RssAnon:" else "mapped"] = int(value) * 1024
    return found


def _kept(path: str) -> list[Path]:
    """What was saved there; Milvus Lite gives its file an ending."""
    return [one for one in (Path(path), Path(f"{path}.db")) if one.exists()]


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    return path.stat().st_size
