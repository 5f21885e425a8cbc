"""`Searcher`: the nearest contents among those allowed, by index and by exact search together."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralcodes.codes.probability import (
    MatchProbability,
    load_probability,
    probability_file,
)
from neuralcodes.collection.indexing import exact_index, open_index
from neuralcodes.collection.segments import Ids
from neuralcodes.collection.snapshot import Floats, Mask, Snapshot
from neuralcodes.collection.store import Store
from neuralcodes.common.errors import UserError
from neuralcodes.index.backend import IndexBackend
from neuralcodes.index.ranking import Ranking
from neuralcodes.index.scan import ScanIndex

FEW = 20_000  # where no more are allowed, they are looked at one by one
FEW_BYTES = 2**26


@dataclass(frozen=True)
class _View:
    """What is searched at one moment: an index, and what it lacks."""

    snapshot: Snapshot
    index: IndexBackend | None
    rest: ScanIndex
    alive: Mask


class Searcher:
    """Finds contents (codes) by id. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen: _View | None = None
        self._read: _View | None = None  # without the index
        self._opened: tuple[str, IndexBackend] | None = None
        self._known: tuple[tuple[int, int], MatchProbability] | None = None
        self.warning = ""

    def probability(self) -> MatchProbability | None:
        """How likely results match, by distance; None where that was not calibrated.

        Raises:
            UserError: its file is damaged.
        """
        path = probability_file(self._store.path, self._store.spec)
        with self._lock:
            try:
                info = path.stat()
            except OSError:
                return None
            stamp = (info.st_mtime_ns, info.st_ino)
            if self._known is None or self._known[0] != stamp:
                known = load_probability(path)
                known.require_code(self._store.spec)
                self._known = (stamp, known)
            return self._known[1]

    def means(self) -> str:
        """What a probability beside a distance means, in words; empty where there is none."""
        known = self.probability()
        if known is None:
            return ""
        return f"%: how often a result at this distance {known.match} ({known.curve.method})"

    def stale(self) -> str:
        """Why the probabilities should be measured again; empty if they need not be."""
        known = self.probability()
        return known.stale(len(self._store.snapshot().alive)) if known else ""

    def search(
        self, queries: Floats, k: int, allowed: Mask | None = None, exact: bool = False
    ) -> Ranking:
        """The k nearest contents in use; the ranking's rows are their ids.

        Args:
            queries: float32 q×d.
            k: how many.
            allowed: a bool an id; None for all.
            exact: do without the index.
        """
        view = self._view(exact)
        usable = view.alive
        if allowed is not None:
            common = min(len(usable), len(allowed))
            usable = usable[:common] & allowed[:common]
        if exact or view.index is None or int(usable.sum()) <= self._few():
            return self._scan(view, queries, k, usable)
        try:
            found = view.index.search(queries, k, allowed=usable)
        except UserError as error:  # of one that a server keeps
            self.warning = f"searching without the index: {error}"
            return self._scan(view, queries, k, usable)
        if (found.rows[:, min(k, len(view.index)) - 1] < 0).any():
            return self._scan(view, queries, k, usable)
        if not len(view.rest):
            return found
        return merge(found, view.rest.search(queries, k, allowed=usable), k)

    def _scan(self, view: _View, queries: Floats, k: int, usable: Mask) -> Ranking:
        """Exact search of what may be found, over all codes or, where it is few, over a copy."""
        count = int(usable.sum())
        everything = count == len(view.snapshot)
        if not everything and count <= self._few() and len(view.snapshot) > 2 * FEW:
            few = exact_index(view.snapshot, np.flatnonzero(usable).astype(np.int64))
            return few.search(queries, k)
        whole = view.rest if view.index is None else exact_index(view.snapshot)
        return whole.search(queries, k, allowed=None if everything else usable)

    def _few(self) -> int:
        return max(1000, min(FEW, FEW_BYTES // (4 * self._store.spec.dims)))

    def vectors(self, ids: Ids) -> Floats:
        """Stored codes by id."""
        return self._store.snapshot().vectors(ids)

    def _view(self, exact: bool) -> _View:
        with self._lock:
            snapshot = self._store.snapshot()
            if self._seen is not None and self._seen.snapshot is snapshot:
                return self._seen
            if not exact:
                self._seen = self._look(snapshot)
                return self._seen
            # opening an index takes longer than reading all codes once
            if self._read is None or self._read.snapshot is not snapshot:
                alive = snapshot.mask(snapshot.alive)
                self._read = _View(snapshot, None, exact_index(snapshot), alive)
            return self._read

    def _look(self, snapshot: Snapshot) -> _View:
        self.warning = ""
        alive = snapshot.mask(snapshot.alive)
        state = self._store.setting("index")
        index = self._open(state, snapshot) if state else None
        if index is None:
            return _View(snapshot, None, exact_index(snapshot), alive)
        lacking = np.setdiff1d(snapshot.alive, index.ids())
        rest = exact_index(snapshot, lacking) if len(lacking) else ScanIndex(snapshot.dims)
        return _View(snapshot, index, rest, alive)

    def _open(self, state: dict[str, Any], snapshot: Snapshot) -> IndexBackend | None:
        if self._opened is not None and self._opened[0] == state["checksum"]:
            self._opened[1].vectors = snapshot.vectors
            return self._opened[1]
        try:
            index = open_index(self._store.path, state, snapshot)
        except UserError as error:
            # all codes are there still: slower, but nothing is missed
            self.warning = f"searching without the index: {error}"
            return None
        self._opened = (state["checksum"], index)
        return index


def merge(one: Ranking, other: Ranking, k: int) -> Ranking:
    """The k nearest of two rankings of the same queries that share no row."""
    rows = np.concatenate([one.rows, other.rows], axis=1)
    distances = np.concatenate([one.distances, other.distances], axis=1)
    order = np.lexsort((np.where(rows < 0, np.iinfo(np.int64).max, rows), distances), axis=1)[:, :k]
    return Ranking(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)
    )
