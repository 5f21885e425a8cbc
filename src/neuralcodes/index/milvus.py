"""An index kept by Milvus: `milvus:FILE.db` (Milvus Lite) or `milvus:http://HOST:PORT`.

The codes stay in the collection's own files, which are the truth: Milvus finds candidates, and
the stored codes rank them. A saved folder names a Milvus collection and lists the ids that count
in it. Rows beyond those (of a writer that was killed, or removed since) are never shown, and every
write may be done twice, so that after any crash either the folder still fits or the index is
built anew.

An access token is read from NEURALCODES_MILVUS_TOKEN and written nowhere.
"""

from __future__ import annotations

import functools
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

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
    efforts_upto,
    id_mask,
    read_about,
    register,
)
from neuralcodes.index.milvus_condition import Condition, conditions, partition_name
from neuralcodes.index.milvus_server import READ_PATIENCE, Server
from neuralcodes.index.ranking import Ranking
from neuralcodes.index.refining import nearest_of

FLAT_BELOW = 10_000  # codes; a graph over fewer gains nothing
GRAPH_BYTES = 128 * 2**30  # of codes and links; beyond it one byte a number
LINKS = 24  # of the graph, as in our own; 48 on the lowest level
PARTITIONED_FROM = 4_000_000  # codes; each partition should hold whole segments
PARTITIONS = 64  # at most
DEEPEST = 16_384  # results that Milvus gives a query
OPENLY = 0.5  # of the rows; where more are wanted, the others are dropped here
WRITE_BYTES = 8 * 2**20  # of codes a request; Milvus takes 64 MiB
QUERIES, RESULTS = 1000, 2_000_000  # a request
SETTLED_BELOW = 2048  # new rows that need no index yet


@dataclass(frozen=True)
class MilvusParameters(Parameters):
    """How Milvus keeps the codes.

    Attributes:
        kind: Milvus's index type: FLAT, HNSW or IVF_SQ8.
        build: its parameters.
        span: ids a partition, one behind the other; 0 for a single one.
    """

    kind: str = "FLAT"
    build: dict[str, int] = field(default_factory=dict)
    span: int = 0


@register("milvus")
class MilvusIndex(IndexBackend):
    """Codes in a Milvus collection of their own; made for one place by `at`.

    `effort` is ef of HNSW and nprobe of IVF_SQ8; FLAT has none. Memory is that of this process:
    the ids. The server's is `server_bytes`.

    Raises:
        UserError: from every method, where Milvus cannot be reached or refuses.
    """

    elsewhere = True
    parameters_kind = MilvusParameters
    parameters: MilvusParameters
    place: ClassVar[str] = ""

    def __init__(
        self, dims: int, parameters: Parameters | None = None, vectors: Vectors | None = None
    ) -> None:
        super().__init__(dims, parameters or self.suggest(0, dims), vectors)
        self._server = Server(self.place)
        self._collection = f"neuralcodes_{secrets.token_hex(8)}"
        self._made = False
        self._ids: Ids = np.empty(0, dtype=np.int64)  # rising
        self._rows = 0  # in Milvus, those included that do not count
        self._new = 0  # rows written since Milvus built its index
        self.effort = self.efforts()[0]

    @classmethod
    def at(cls, place: str) -> type[IndexBackend]:
        """This backend at a file or server.

        Raises:
            UserError: no place, or neither a file of Milvus Lite nor an address.
        """
        return _bound(Server.canonical(place))

    @classmethod
    def suggest(cls, count: int, dims: int) -> MilvusParameters:
        """Exact below `FLAT_BELOW`, a graph while it takes `GRAPH_BYTES` at most, else lists."""
        span = 0
        if count >= PARTITIONED_FROM:
            parts = min(PARTITIONS, count // (PARTITIONED_FROM // 4))
            span = 2 ** int(np.ceil(np.log2(count / parts)))
        if count < FLAT_BELOW:
            return MilvusParameters(span=span)
        if count * (4 * dims + 8 * LINKS) <= GRAPH_BYTES:
            graph = {"M": LINKS, "efConstruction": 200}
            return MilvusParameters("HNSW", graph, span)
        # Milvus builds an index a segment, of about a million codes
        lists = 2 ** round(np.log2(4 * np.sqrt(min(count, 2**20))))
        return MilvusParameters("IVF_SQ8", {"nlist": int(lists)}, span)

    @classmethod
    def estimate_bytes(cls, count: int, dims: int) -> int:
        """The ids, in this process."""
        return count * 8

    @classmethod
    def server_bytes(cls, count: int, dims: int) -> int:
        """Memory that so many codes take in Milvus, all its query nodes together."""
        graph = cls.suggest(count, dims).kind == "HNSW"
        each = {True: 4 * dims + 8 * LINKS, False: dims}[graph]
        return count * ((4 * dims if count < FLAT_BELOW else each) + 8)

    def begin(self, owner: str) -> None:
        """See `IndexBackend.begin`."""
        for name in self._server.collections():
            if name.startswith(f"neuralcodes_{owner}_"):
                self._server.drop(name)
        self._collection = f"neuralcodes_{owner}_{secrets.token_hex(4)}"

    def add(self, codes: Floats, ids: Ids) -> None:
        """See `IndexBackend.add`. Codes that are there already are overwritten."""
        if codes.shape != (len(ids), self.dims):
            raise ValueError(f"codes of shape {codes.shape} for {len(ids)} ids of {self.dims}")
        self._make()
        # what a killed writer or a removal has left may be of the same ids
        certain = self._rows == len(self._ids)
        step = max(1, WRITE_BYTES // (4 * self.dims))
        for part, rows in self._by_partition(np.asarray(ids, dtype=np.int64)):
            for start in range(0, len(rows), step):
                some = rows[start : start + step]
                values = np.ascontiguousarray(codes[some], dtype=np.float32)
                self._server.write(self._collection, part, ids[some], values, fresh=certain)
        self._rows += len(ids)
        self._new += len(ids)
        self._ids = np.union1d(self._ids, np.asarray(ids, dtype=np.int64))

    def search(
        self, queries: Floats, k: int, exclude: Ids | None = None, allowed: Mask | None = None
    ) -> Ranking:
        """See `IndexBackend.search`. Which ids are allowed is said to Milvus where that is short,
        else more are asked for and the others dropped.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if not len(queries) or not len(self._ids):
            return Ranking.nothing(len(queries), k)
        if self._new >= SETTLED_BELOW:
            self._settle()
        found = self._candidates(queries, k + (exclude is not None), allowed)
        if exclude is not None:
            found[found == exclude[:, None]] = -1
        return nearest_of(queries, found, k, lambda part, real: self._codes(found[part][real]))

    def _candidates(self, queries: Floats, wanted: int, allowed: Mask | None) -> Ids:
        """Ids that count and are allowed, int64 q×c, among them the `wanted` nearest."""
        share = len(self._ids) / max(1, self._rows)
        if allowed is not None:
            share *= min(1.0, np.count_nonzero(allowed) / len(self._ids))
        if share >= OPENLY:
            found = self._ask_openly(queries, wanted, share, allowed)
            if found is not None:
                return found
        usable = np.ones(len(self._ids), dtype=np.bool_)
        if allowed is not None:
            usable = id_mask(self._ids, allowed)
        named = conditions(self._ids, usable, deep=wanted > DEEPEST // 2)
        if len(named) > 1 and share:
            found = self._ask_openly(queries, wanted, share, allowed)
            if found is not None:
                return found
        stray = self._rows - len(self._ids)  # may lie in a range of ids
        asked = [
            self._ask(queries, min(DEEPEST, one.count + stray, wanted + stray), one)
            for one in named
        ]
        found = np.concatenate([np.full((len(queries), 0), -1, dtype=np.int64), *asked], axis=1)
        self._drop_others(found, allowed)
        return found

    def _ask_openly(
        self, queries: Floats, wanted: int, share: float, allowed: Mask | None
    ) -> Ids | None:
        """Candidates among all rows, those not wanted dropped; None where that does not do.

        Args:
            share: of all rows that are wanted, about.
        """
        depth = wanted if share == 1 else int(1.5 * wanted / share) + 8
        if wanted > DEEPEST // 2 or depth > DEEPEST:
            return None
        while True:
            found = self._ask(queries, depth)
            short = (found >= 0).sum(axis=1) < depth  # there are no more
            self._drop_others(found, allowed)
            if (short | ((found >= 0).sum(axis=1) >= wanted)).all():
                return found
            if depth == DEEPEST:
                return None
            depth = min(4 * depth, DEEPEST)

    def _ask(self, queries: Floats, depth: int, among: Condition | None = None) -> Ids:
        """int64 q×depth ids from Milvus, nearest first; -1 where there are fewer."""
        effort: dict[str, int] = {}
        if self.parameters.kind == "HNSW":
            effort = {"ef": max(self.effort, depth)}
        elif self.parameters.kind != "FLAT":
            effort = {"nprobe": self.effort}
        text, parts = "", None
        if among is not None:
            text = among.text
            parts = among.partitions(self.parameters.span) if self.parameters.span else None
        found = np.full((len(queries), depth), -1, dtype=np.int64)
        step = max(1, min(QUERIES, RESULTS // depth))
        for start in range(0, len(queries), step):
            rows = self._server.search(
                self._collection, queries[start : start + step], depth, effort, text, parts,
                strong=self._new > 0,
            )  # fmt: skip
            for number, ids in enumerate(rows, start):
                found[number, : len(ids)] = ids
        return found

    def _drop_others(self, found: Ids, allowed: Mask | None) -> None:
        """Set to -1 what does not count or is not allowed."""
        places = np.minimum(np.searchsorted(self._ids, found), len(self._ids) - 1)
        keep = self._ids[places] == found
        if allowed is not None:
            keep &= id_mask(found.ravel(), allowed).reshape(found.shape) & (found >= 0)
        found[~keep] = -1

    def _codes(self, ids: Ids) -> Floats:
        if self.vectors is not None:
            return self.vectors(ids)
        return self._server.codes(self._collection, ids, self.dims)

    def _make(self) -> None:
        if not self._made:
            chosen = self.parameters
            self._server.make(self._collection, self.dims, chosen.kind, chosen.build)
            self._made = True

    def _by_partition(self, ids: Ids) -> Iterator[tuple[str, Ids]]:
        """Partition by partition its name and the rows of `ids` that go there."""
        if not self.parameters.span:
            yield "", np.arange(len(ids))
            return
        numbers = ids // self.parameters.span
        for number in np.unique(numbers):
            self._server.partition(self._collection, partition_name(number))
            yield partition_name(number), np.flatnonzero(numbers == number)

    def _settle(self) -> None:
        if self._new:
            rows = 0 if self.parameters.kind == "FLAT" else self._rows
            self._server.settle(self._collection, rows)
            self._new = 0

    def remove(self, ids: Ids) -> int:
        """See `IndexBackend.remove`. They are not shown any more; Milvus keeps them until the index
        is built anew, as readers of the saved folder may still search.
        """
        gone = np.isin(self._ids, ids)
        self._ids = self._ids[~gone]
        return int(gone.sum())

    def save(self, path: Path) -> None:
        """See `IndexBackend.save`. All codes are on Milvus's disk, indexed, when this returns."""
        self._make()
        self._settle()
        with atomic_folder(path) as work:
            np.save(work / "ids.npy", self._ids)
            write_json(work / ABOUT, self.describe())

    @classmethod
    def load(cls, path: Path, vectors: Vectors | None = None) -> MilvusIndex:
        """See `IndexBackend.load`."""
        about = read_about(path)
        index = cls(int(about["dims"]), MilvusParameters(**about["parameters"]), vectors)
        index.effort = int(about["effort"])
        try:
            index._ids = np.load(path / "ids.npy")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: a damaged index ({error}); build it again") from None
        index._collection, index._made = str(about["collection"]), True
        index._rows = replace(index._server, patience=READ_PATIENCE).count(index._collection)
        if index._rows < len(index._ids):
            found = f"{index._rows:,} of its {len(index._ids):,} codes" if index._rows else "none"
            raise UserError(f"{path}: a damaged index ({cls.name} holds {found}); build it again")
        return index

    def drop(self) -> None:
        """See `IndexBackend.drop`."""
        self._server.drop(self._collection)
        self._made = False

    @classmethod
    def discard(cls, path: Path) -> None:
        """See `IndexBackend.discard`. While Milvus cannot be reached the folder stays."""
        name = read_about(path)["collection"]
        # an index that has grown goes on in the same collection, under the next folder
        others = [p.parent for p in path.parent.glob(f"*/{ABOUT}") if p.parent != path]
        if all(read_about(other).get("collection") != name for other in others):
            Server(cls.place, patience=0).drop(name)
        shutil.rmtree(path, ignore_errors=True)

    def ids(self) -> Ids:
        """See `IndexBackend.ids`."""
        return self._ids.copy()

    def __len__(self) -> int:
        return len(self._ids)

    def memory_bytes(self) -> int:
        """See `IndexBackend.memory_bytes`: without what Milvus itself holds."""
        return self._ids.nbytes

    def efforts(self) -> list[int]:
        """Of ef from 16 to 2,048, of nprobe from 1 to all lists."""
        if self.parameters.kind == "HNSW":
            return [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048]
        if self.parameters.kind == "FLAT":
            return [1]
        return efforts_upto(self.parameters.build["nlist"])

    def describe(self) -> dict[str, Any]:
        """See `IndexBackend.describe`."""
        return {**super().describe(), "collection": self._collection}


@functools.cache
def _bound(place: str) -> type[MilvusIndex]:
    """One class a place, so that all that goes by a backend's name knows the place too."""
    return type("MilvusIndex", (MilvusIndex,), {"place": place, "name": f"milvus:{place}"})
