"""What the FAISS backends share: ids, tombstones, exact distances, files.

FAISS knows a code by its position. Positions lead to ids, and a removed code keeps its position
with a tombstone that no search finds, since not every FAISS index can remove. Who owns the index
builds it anew when many are dead. FAISS is imported when an index is first made or opened.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_folder, write_json
from neuralcodes.index.backend import (
    ABOUT,
    Floats,
    Ids,
    IndexBackend,
    Mask,
    Parameters,
    Vectors,
    id_mask,
    read_about,
)
from neuralcodes.index.ranking import Ranking
from neuralcodes.index.refining import nearest_of

ADD_ROWS = 65_536


@cache
def load_faiss() -> Any:
    """The FAISS module, without the types that its wheel carries: they lack half of it."""
    return importlib.import_module("faiss")


class FaissIndex(IndexBackend):
    """A FAISS index (`_make`) searched with a selector of what may be found (`_parameters`)."""

    def __init__(self, dims: int, parameters: Parameters, vectors: Vectors | None = None) -> None:
        super().__init__(dims, parameters, vectors)
        self._faiss: Any = None
        self._ids: Ids = np.empty(0, dtype=np.int64)
        self._alive: Mask = np.empty(0, dtype=np.bool_)

    @abstractmethod
    def _make(self) -> Any:
        """A new FAISS index by squared Euclidean distance, not trained."""

    @abstractmethod
    def _search_parameters(self, selector: Any, k: int) -> Any:
        """FAISS's search parameters at the present effort, for k neighbours."""

    @abstractmethod
    def _code_bytes(self) -> int:
        """Bytes a code takes in memory."""

    def _depth(self, k: int) -> int:
        """How many candidates FAISS is asked for, to have the k nearest among them."""
        return k

    def train(self, codes: Floats) -> None:
        """See `IndexBackend.train`."""
        self._faiss = self._make()
        if not self._faiss.is_trained:
            codes = np.ascontiguousarray(codes, dtype=np.float32)
            self._prepare(codes)
            self._faiss.train(codes)

    def _prepare(self, codes: Floats) -> None:
        """What comes before FAISS's own training."""

    def add(self, codes: Floats, ids: Ids) -> None:
        """See `IndexBackend.add`."""
        if codes.shape != (len(ids), self.dims):
            raise ValueError(f"codes of shape {codes.shape} for {len(ids)} ids of {self.dims}")
        if not len(ids):
            return
        if self._faiss is None:
            self.train(codes)
        for start in range(0, len(ids), ADD_ROWS):
            part = codes[start : start + ADD_ROWS]
            self._faiss.add(np.ascontiguousarray(part, dtype=np.float32))
        self._ids = np.concatenate([self._ids, np.asarray(ids, dtype=np.int64)])
        self._alive = np.concatenate([self._alive, np.ones(len(ids), dtype=np.bool_)])

    def search(
        self, queries: Floats, k: int, exclude: Ids | None = None, allowed: Mask | None = None
    ) -> Ranking:
        """See `IndexBackend.search`."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        usable = self._alive if allowed is None else self._alive & id_mask(self._ids, allowed)
        wanted = min(self._depth(k) + (exclude is not None), int(usable.sum()))
        if not wanted or not len(queries):
            return Ranking.nothing(len(queries), k)
        faiss = load_faiss()

        selector, bits = None, None
        if not usable.all():
            bits = np.packbits(usable, bitorder="little")  # FAISS points into it while it searches
            selector = faiss.IDSelectorBitmap(bits)
        parameters = self._search_parameters(selector, wanted)
        squared, positions = self._ask(queries, wanted, parameters)
        del parameters, selector, bits
        ids = np.where(positions >= 0, self._ids[positions], -1)
        if exclude is not None:
            ids[ids == exclude[:, None]] = -1
            positions = np.where(ids >= 0, positions, -1)
        return self._rank(queries, squared, positions, ids, k)

    def _ask(self, queries: Floats, k: int, parameters: Any) -> tuple[Floats, Ids]:
        """FAISS's answer: squared distances and positions, q×k, nearest first; -1 for none."""
        squared, positions = self._faiss.search(queries, k, params=parameters)
        return squared, positions

    def _rank(self, queries: Floats, squared: Floats, places: Ids, ids: Ids, k: int) -> Ranking:
        """The k nearest of FAISS's candidates, q×c: squared distances, positions and ids."""
        return nearest_of(
            queries, ids, k, lambda part, real: self._codes(places[part][real], ids[part][real])
        )

    def _codes(self, positions: Ids, ids: Ids) -> Floats:
        """The candidates' codes: the stored ones, else what the index itself keeps of them."""
        if self.vectors is not None:
            return self.vectors(ids)
        kept: Floats = self._faiss.reconstruct_batch(positions)
        return kept

    def remove(self, ids: Ids) -> int:
        """See `IndexBackend.remove`; leaves tombstones."""
        dying = self._alive & np.isin(self._ids, ids)
        self._alive = self._alive & ~dying
        return int(dying.sum())

    @property
    def dead(self) -> int:
        """Tombstones: removed codes that still take room."""
        return len(self._alive) - len(self)

    def save(self, path: Path) -> None:
        """See `IndexBackend.save`."""
        faiss = load_faiss()

        with atomic_folder(path) as work:
            if self._faiss is not None:
                faiss.write_index(self._faiss, str(work / "index.faiss"))
            np.save(work / "ids.npy", self._ids)
            np.save(work / "alive.npy", self._alive)
            write_json(work / ABOUT, self.describe())

    @classmethod
    def load(cls, path: Path, vectors: Vectors | None = None) -> FaissIndex:
        """See `IndexBackend.load`."""
        faiss = load_faiss()

        about = read_about(path)
        index = cls(int(about["dims"]), cls.parameters_kind(**about["parameters"]), vectors)
        index.effort = int(about["effort"])
        try:
            index._ids = np.load(path / "ids.npy")
            index._alive = np.load(path / "alive.npy")
            if len(index._ids):
                index._faiss = faiss.read_index(str(path / "index.faiss"))
        except (OSError, ValueError, EOFError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: a damaged index ({reason}); build it again") from None
        if len(index._ids) != len(index._alive) or (
            index._faiss is not None and index._faiss.ntotal != len(index._ids)
        ):
            raise UserError(f"{path}: a damaged index (its files disagree); build it again")
        return index

    def ids(self) -> Ids:
        """See `IndexBackend.ids`."""
        return self._ids[self._alive]

    def memory_bytes(self) -> int:
        """See `IndexBackend.memory_bytes`."""
        return len(self._ids) * (self._code_bytes() + 9)
