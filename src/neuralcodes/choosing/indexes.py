"""Index backends measured on the few best codes: recall, time of a search, bytes on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.choosing.timing import NEAREST
from neuralcodes.codes.transforms.base import Floats
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.common.errors import UserError
from neuralcodes.index.backend import IndexBackend, backend_names, get_backend
from neuralcodes.index.choose import choose_index
from neuralcodes.index.exact import search_exact
from neuralcodes.index.recall import measure, tune
from neuralcodes.index.scan import ScanIndex

ALL = "all"  # stands for every backend that is installed and needs no place
TARGET = 0.95
HELD_OUT = 200  # queries, at most
SLOW = 5.0  # milliseconds; a search that is faster needs no approximation
GAIN = 2.0  # times as fast, or another index is not worth it


@dataclass(frozen=True)
class Indexed:
    """An index over one code.

    Attributes:
        code: the short form.
        backend: by name.
        images: codes in it.
        recall, low, high: share of the true 10 nearest found, with its 95 % interval.
        milliseconds: a query, one at a time, median.
        bytes: an image on disk, of the stored code and the index together.
        met: whether recall reaches the target.
    """

    code: str
    backend: str
    images: int
    recall: float
    low: float
    high: float
    milliseconds: float
    bytes: float
    met: bool

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Indexed:
        """Read what `to_json` wrote."""
        return cls(**value)


def expand_backends(names: Sequence[str]) -> tuple[str, ...]:
    """Backends by name, each once, with `ALL` written out: ours and those of other packages.

    Raises:
        UserError: there is no such backend, or it wants a place; for `ALL`, an installed plug-in
            cannot be loaded.
    """
    found: dict[str, None] = {}
    for name in names:
        if name == ALL:
            found.update(dict.fromkeys(backend_names(local=True)))
        else:
            get_backend(name)
            found[name] = None
    return tuple(found)


def measure_index(
    code: str,
    stored_bytes: int,
    values: Floats,
    queries: Floats,
    backend: str,
    seed: int,
    stored: StoredRows | None = None,
) -> Indexed | None:
    """Build an index over codes and search it by some that are held out; None where it cannot be.

    Args:
        code: the short form.
        stored_bytes: of a code in the collection.
        values: float32 n×d as they are searched.
        queries: float32 n×d, the same images' codes as queries.
        backend: by name.
        seed: of the choice of queries.
        stored: `values` in a quantiser's bytes, where the code ends in one: what a collection
            keeps, and searches where it searches exactly.
    """
    count = len(values)
    generator = np.random.default_rng(seed)
    held = generator.permutation(count)[: max(2, min(HELD_OUT, count // 5))]
    inside = np.setdiff1d(np.arange(count), held)
    base = np.ascontiguousarray(values[inside])
    kind = get_backend(backend)
    try:
        chosen = choose_index(len(base), base.shape[1], backend=backend)
        index: IndexBackend = kind(base.shape[1], chosen.parameters, lambda ids: base[ids])
        if kind.trained:
            index.train(base)
        if isinstance(index, ScanIndex) and stored is not None:
            kept = StoredRows(stored.stored[inside], stored.quantiser, stored.dims)
            index.add(kept, np.arange(len(base)))
        else:
            index.add(base, np.arange(len(base)))
    except (UserError, StopIteration):  # too few codes, or of a length that cannot be cut
        return None
    wanted = np.ascontiguousarray(queries[held])
    truth = search_exact(wanted, base, min(NEAREST, len(base)))
    if kind.exact:
        found = measure(index, wanted, truth, TARGET)
    else:
        found = tune(index, wanted, truth, TARGET, seed)
    index.drop()
    return Indexed(
        code=code,
        backend=backend,
        images=len(base),
        recall=found.mean,
        low=found.low,
        high=found.high,
        milliseconds=found.milliseconds,
        bytes=stored_bytes + _bytes_on_disk(index) / len(base),
        met=found.met,
    )


def _bytes_on_disk(index: IndexBackend) -> int:
    if isinstance(index, ScanIndex):
        return 0  # a collection searches its codes as they lie
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder) / "index")
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def choose_backend(measured: Sequence[Indexed], code: str) -> Indexed | None:
    """Exact search while a query takes less than `SLOW` milliseconds; else the fastest index that
    keeps the promised recall and is `GAIN` times as fast. None where nothing was measured."""
    mine = [one for one in measured if one.code == code and one.met]
    if not mine:
        return None
    exact = min(
        (one for one in mine if get_backend(one.backend).exact),
        key=lambda one: (one.backend != "exact", one.milliseconds),
        default=None,
    )
    fastest = min(mine, key=lambda one: one.milliseconds)
    if exact is None:
        return fastest
    slow = exact.milliseconds >= SLOW and fastest.milliseconds * GAIN <= exact.milliseconds
    return fastest if slow else exact
