"""Rows that are equal to the bit, found by hashing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CHUNK_BYTES = 8 * 2**20  # hashed or compared at a time


def first_of_equals(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """For each row the first row equal to it to the bit (itself, as a rule).

    Rows are hashed in one pass (a sum of the row's bits times random odd numbers, modulo 2⁶⁴);
    only rows that share a hash are compared.

    Args:
        values: float32 n×d, contiguous.

    Returns:
        int64 n.
    """
    first = np.arange(len(values))
    if values.shape[1] == 0:
        return np.zeros_like(first)
    hashes = _hash_rows(values)
    ordered = np.sort(hashes)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(shared):
        return first
    suspects = np.flatnonzero(np.isin(hashes, shared))
    _, position, group = np.unique(hashes[suspects], return_index=True, return_inverse=True)
    guess = suspects[position][group]  # the first row of the same hash
    if _all_equal(values, suspects, guess):
        first[suspects] = guess
        return first
    known: dict[bytes, int] = {}  # two different rows share a hash, once in ages
    for row in suspects:
        first[row] = known.setdefault(values[row].tobytes(), int(row))
    return first


def _hash_rows(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    width = values.shape[1]
    odd = np.random.default_rng(0).integers(2**63, size=width // 2 + 1, dtype=np.uint64) * 2 + 1
    hashes = np.empty(len(values), dtype=np.uint64)
    for part in _parts(values):
        bits = values[part].view(np.uint32)
        even = np.ascontiguousarray(bits[:, : width - width % 2]).view(np.uint64)
        hashes[part] = np.einsum("ij,j->i", even, odd[:-1])
        if width % 2:
            hashes[part] += bits[:, -1] * odd[-1]
    return hashes


def _all_equal(
    values: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], others: npt.NDArray[np.int64]
) -> bool:
    bits = values.view(np.uint32)
    step = max(1, CHUNK_BYTES // (4 * values.shape[1]))
    pairs = ((rows[at : at + step], others[at : at + step]) for at in range(0, len(rows), step))
    return all(np.array_equal(bits[some], bits[first]) for some, first in pairs)


def _parts(values: npt.NDArray[np.float32]) -> list[slice]:
    step = max(1, CHUNK_BYTES // (4 * values.shape[1]))
    return [slice(at, at + step) for at in range(0, len(values), step)]
