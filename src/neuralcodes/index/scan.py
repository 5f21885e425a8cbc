"""Exact search by reading every code, straight from memory-mapped arrays: no copy, no build.

Needs neither torch nor FAISS, so the first search of a small collection starts at once. Products
find the candidates, differences give the distances: |q - x|² from a product alone has an error of
about 1e-7, which near zero is a distance of 3e-4, and exact copies should be at zero.

Codes in a quantiser's bytes are multiplied as they lie, and only the candidates are decoded: the
same codes are found, at the same distances, as among decoded ones. Where they are few and are
searched again and again, they are decoded once and kept.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.transforms.base import Products, Quantiser
from neuralcodes.codes.transforms.half import widen
from neuralcodes.codes.transforms.rows import StoredRows
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
    register,
)
from neuralcodes.index.ranking import Ranking

ROWS = 65_536  # of codes at a time
SCORES = 2**24  # products at a time (64 MiB)
FEW = 4  # queries that are compared one by one
KEEP_BYTES = 2**26  # of stored codes that are decoded for good, at most
KEEP_AFTER = 8  # queries; decoding takes about as long as so many
SLACK = np.float32(2e-5)  # more than rounding can move a squared distance between unit codes


@dataclass
class _Block:
    codes: Floats | StoredRows
    ids: Ids
    lengths: Floats | None = None  # |x|², of stored codes 1/|x| before decoding; once needed
    alive: Mask | None = None  # None: all of them


@register("exact")
class ScanIndex(IndexBackend):
    """All codes, compared one by one.

    `add` keeps the array, or the stored rows, that it is given (a memory map stays one) and does
    not copy it.
    """

    exact = True

    def __init__(
        self, dims: int, parameters: Parameters | None = None, vectors: Vectors | None = None
    ) -> None:
        super().__init__(dims, parameters or Parameters(), vectors)
        self._blocks: list[_Block] = []
        self._asked = 0
        self._keeping = threading.Lock()

    @classmethod
    def estimate_bytes(cls, count: int, dims: int) -> int:
        """Ids and lengths; the codes are mapped."""
        return count * 12

    def add(self, codes: Floats | StoredRows, ids: Ids) -> None:
        """See `IndexBackend.add`."""
        if codes.shape != (len(ids), self.dims):
            raise ValueError(f"codes of shape {codes.shape} for {len(ids)} ids of {self.dims}")
        for start in range(0, len(ids), ROWS):
            part = slice(start, start + ROWS)
            some = codes.part(part) if isinstance(codes, StoredRows) else codes[part]
            self._blocks.append(_Block(some, np.asarray(ids[part], dtype=np.int64)))

    def search(
        self, queries: Floats, k: int, exclude: Ids | None = None, allowed: Mask | None = None
    ) -> Ranking:
        """See `IndexBackend.search`."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        found = Ranking.nothing(len(queries), k)
        step = max(1, SCORES // ROWS)
        self._keep_decoded(len(queries))
        blocks = self._blocks
        for start in range(0, len(queries), step):
            part = slice(start, min(start + step, len(queries)))
            best = _Best(queries[part], k)
            for block in blocks:
                best.meet(block, None if exclude is None else exclude[part], allowed)
            best.into(found.rows[part], found.distances[part])
        return found

    def _keep_decoded(self, asked: int) -> None:
        """Decode all codes once they have been asked for often, if that takes little memory."""
        with self._keeping:
            self._asked += asked
            stored = [b.codes for b in self._blocks if isinstance(b.codes, StoredRows)]
            if self._asked <= KEEP_AFTER or not stored:
                return
            if 4 * self.dims * sum(map(len, stored)) <= KEEP_BYTES:
                # other blocks, not other codes in them: another thread may be at these
                self._blocks = [
                    _Block(b.codes[:], b.ids, alive=b.alive)
                    if isinstance(b.codes, StoredRows)
                    else b
                    for b in self._blocks
                ]

    def remove(self, ids: Ids) -> int:
        """See `IndexBackend.remove`."""
        removed = 0
        for block in self._blocks:
            found = np.isin(block.ids, ids)
            if block.alive is not None:
                found &= block.alive
            if found.any():
                block.alive = ~found if block.alive is None else block.alive & ~found
                removed += int(found.sum())
        return removed

    def save(self, path: Path) -> None:
        """See `IndexBackend.save`."""
        keep = [np.ones(len(b.ids), bool) if b.alive is None else b.alive for b in self._blocks]
        ids = [block.ids[mask] for block, mask in zip(self._blocks, keep, strict=True)]
        total = sum(map(len, ids))
        kinds = {block.codes.dtype for block in self._blocks}
        with atomic_folder(path) as work:
            np.save(work / "ids.npy", np.concatenate([*ids, np.empty(0, np.int64)]))
            codes = np.lib.format.open_memmap(
                work / "codes.npy",
                mode="w+",
                dtype=kinds.pop() if len(kinds) == 1 else np.float32,
                shape=(total, self.dims),
            )
            start = 0
            for block, mask in zip(self._blocks, keep, strict=True):
                count = int(mask.sum())
                codes[start : start + count] = block.codes[mask]
                start += count
            codes.flush()
            write_json(work / ABOUT, self.describe())

    @classmethod
    def load(cls, path: Path, vectors: Vectors | None = None) -> ScanIndex:
        """See `IndexBackend.load`. The codes are memory-mapped."""
        about = read_about(path)
        index = cls(int(about["dims"]), Parameters(), vectors)
        try:
            # NumPy cannot map an array without rows
            empty = (path / "ids.npy").stat().st_size <= 128
            codes = np.load(path / "codes.npy", mmap_mode=None if empty else "r")
            index.add(codes, np.load(path / "ids.npy"))
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: a damaged index ({error}); build it again") from None
        return index

    def ids(self) -> Ids:
        """See `IndexBackend.ids`."""
        parts = [b.ids if b.alive is None else b.ids[b.alive] for b in self._blocks]
        return np.concatenate([*parts, np.empty(0, np.int64)])

    def memory_bytes(self) -> int:
        """See `IndexBackend.memory_bytes`."""
        total = 0
        for block in self._blocks:
            parts: list[npt.NDArray[Any] | None] = [block.ids, block.lengths, block.alive]
            codes = block.codes.stored if isinstance(block.codes, StoredRows) else block.codes
            if not isinstance(codes, np.memmap):
                parts.append(codes)
            total += sum(part.nbytes for part in parts if part is not None)
        return total


def _products(queries: Floats, codes: Floats) -> Floats:
    """Products of all queries with all codes, float32 q×n."""
    if len(queries) > FEW:
        products: Floats = queries @ codes.T
        return products
    # One thread reads memory as fast as two; on a busy machine waiting for a second one costs
    # more than all the work.
    return np.stack([np.vecdot(codes, query) for query in queries])


def _measure(codes: Floats | StoredRows, rows: Ids, query: Floats) -> Floats:
    """Squared distances of some codes, float32."""
    step = codes.at_once if isinstance(codes, StoredRows) else len(rows)
    squared = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), step):
        difference = codes[rows[start : start + step]] - query
        np.einsum("ij,ij->i", difference, difference, out=squared[start : start + step])
    return squared


class _Best:
    """The nearest so far of a few queries: a little more than k each, to be measured exactly."""

    def __init__(self, queries: Floats, k: int) -> None:
        self.queries = queries
        self.k = k
        self.lengths = np.einsum("ij,ij->i", queries, queries)
        self.limits = np.full(len(queries), np.inf, dtype=np.float32)
        self.found: list[list[tuple[Ids, Floats]]] = [[] for _ in queries]
        self._products: dict[Quantiser, Products] = {}

    def meet(self, block: _Block, exclude: Ids | None, allowed: Mask | None) -> None:
        """Look at some more codes."""
        codes = block.codes
        if isinstance(codes, StoredRows):
            squared = self._meet_stored(block, codes)
        else:
            half = codes.dtype == np.float16
            codes = widen(codes.view(np.float16)) if half else np.asarray(codes, np.float32)
            if block.lengths is None:
                block.lengths = np.vecdot(codes, codes)
            squared = _products(self.queries, codes)
            squared *= -2
            squared += block.lengths
        squared += self.lengths[:, None]
        usable = block.alive
        if allowed is not None:
            mask = id_mask(block.ids, allowed)
            usable = mask if usable is None else usable & mask
        if usable is not None:
            squared[:, ~usable] = np.inf
        if exclude is not None:
            squared[exclude[:, None] == block.ids] = np.inf
        for row, values in enumerate(squared):
            if self.k <= len(values):
                kth = np.partition(values, self.k - 1)[self.k - 1]
                self.limits[row] = min(self.limits[row], kth + SLACK)
            near = np.flatnonzero((values <= self.limits[row]) & np.isfinite(values))
            if len(near):
                self.found[row].append((block.ids[near], _measure(codes, near, self.queries[row])))

    def _meet_stored(self, block: _Block, codes: StoredRows) -> Floats:
        """|x|² - 2 q·x of all queries and the block's codes, float32 q×n."""
        if block.lengths is None:
            lengths = codes.quantiser.lengths(codes.stored)
            block.lengths = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        if len(self.queries) > FEW:
            products = np.empty((len(self.queries), len(codes)), dtype=np.float32)
            for start in range(0, len(codes), codes.at_once):
                part = slice(start, start + codes.at_once)
                np.matmul(self.queries, codes[part].T, out=products[:, part])
        else:
            if codes.quantiser not in self._products:
                self._products[codes.quantiser] = codes.quantiser.products(self.queries)
            products = self._products[codes.quantiser](codes.stored)
            products *= block.lengths
        products *= -2
        products += block.lengths > 0
        return products

    def into(self, rows: Ids, distances: Floats) -> None:
        """Write the k nearest of each query, with their distances."""
        for row, parts in enumerate(self.found):
            if not parts:
                continue
            ids = np.concatenate([ids for ids, _ in parts])
            squared = np.concatenate([squared for _, squared in parts])
            order = np.lexsort((ids, squared))[: self.k]
            rows[row, : len(order)] = ids[order]
            distances[row, : len(order)] = np.sqrt(squared[order])
