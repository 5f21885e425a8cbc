"""Exact search over quantisers' bytes against decoded codes, and against loops in float64."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_codes import clustered, true_distances

from neuralcodes.codes.transforms.base import Quantiser, Stored
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.codes.transforms.tables import MANY, Tables
from neuralcodes.codes.transforms.training import Training
from neuralcodes.index import scan
from neuralcodes.index.scan import ScanIndex

NAMES = ["int8", "half", "binary", "pq4", "pq8", "opq8"]
DIMS = 24


@functools.cache
def quantiser(name: str, dims: int = DIMS) -> Quantiser:
    kind, number = get_transform(name)
    made = kind.fit(Training(clustered(400, dims, seed=3)), number)
    assert isinstance(made, Quantiser)
    return made


class Plain(Quantiser):
    """As a plug-in may be: it says nothing of products and lengths."""

    kind = "plain"

    @classmethod
    def fit(cls, training, number):
        return cls(None, {})

    @classmethod
    def stored_bytes(cls, number, dims):
        return 2 * dims

    def encode(self, values):
        return quantiser("half").encode(values)

    def decode(self, stored):
        return quantiser("half").decode(stored)


def by_hand(name: str, tensors: dict[str, np.ndarray], stored: Stored, dims: int) -> np.ndarray:
    """Decoded codes in float64, from the definition of each form."""
    if name == "int8":
        raw = stored.view(np.int8) * tensors["step"].astype(np.float64)
    elif name == "half":
        raw = stored.copy().view("<f2").astype(np.float64)
    elif name == "binary":
        bits = [[byte >> (7 - bit) & 1 for byte in row for bit in range(8)] for row in stored]
        raw = np.array(bits, dtype=np.float64)[:, :dims] * 2 - 1
    else:
        centres = tensors["centres"].astype(np.float64)
        raw = np.array([
            np.concatenate([centres[part, byte] for part, byte in enumerate(row)]) for row in stored
        ])  # fmt: skip
        if "rotation" in tensors:
            raw = raw @ tensors["rotation"].astype(np.float64)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    return np.divide(raw, lengths, out=np.zeros_like(raw), where=lengths > 0)


def indexes(name: str, values: np.ndarray, ids: np.ndarray) -> tuple[ScanIndex, ScanIndex, Stored]:
    """The same codes as bytes and decoded."""
    own = quantiser(name)
    stored = own.encode(values)
    lying, decoded = ScanIndex(DIMS), ScanIndex(DIMS)
    lying.add(StoredRows(stored, own, DIMS), ids)
    decoded.add(own.decode(stored), ids)
    return lying, decoded, stored


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(NAMES),
    st.integers(1, 120),
    st.integers(1, 7),
    st.integers(1, 30),
    st.integers(0, 10_000),
)
def test_finds_what_is_found_among_decoded_codes(
    name: str, count: int, asked: int, k: int, seed: int
) -> None:
    """The same ids at the same distances, to the bit; and both are what float64 says."""
    dice = np.random.default_rng(seed)
    values = clustered(count, DIMS, seed=seed)
    values[dice.random(count) < 0.1] = values[0]
    values[dice.random(count) < 0.1] = 0
    ids = np.sort(dice.choice(10 * count, count, replace=False))
    lying, decoded, stored = indexes(name, values, ids)
    queries = clustered(asked, DIMS, seed=seed + 1)
    queries[: min(asked, count) : 2] = quantiser(name).decode(stored[: min(asked, count) : 2])
    allowed = dice.random(10 * count) < 0.7 if seed % 2 else None
    found = lying.search(queries, k, allowed=allowed)
    other = decoded.search(queries, k, allowed=allowed)
    np.testing.assert_array_equal(found.rows, other.rows)
    np.testing.assert_array_equal(found.distances, other.distances)
    hand = by_hand(name, dict(quantiser(name).tensors), stored, DIMS)
    true = true_distances(queries, hand)
    if allowed is not None:
        true[:, ~allowed[ids]] = np.inf
    expected = np.sort(true, axis=1)[:, :k]
    assert (found.rows >= 0).sum() == np.isfinite(expected).sum()
    for row, distances in enumerate(expected):
        there = np.isfinite(distances)
        measured = found.distances[row, : there.sum()]
        np.testing.assert_allclose(measured, distances[there], atol=2e-6)
        places = np.searchsorted(ids, found.rows[row, : there.sum()])
        np.testing.assert_allclose(measured, true[row, places], atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_code_does_not_depend_on_those_it_is_decoded_with(name: str) -> None:
    own = quantiser(name)
    stored = own.encode(clustered(700, DIMS, seed=5))
    whole = own.decode(stored)
    for rows in (slice(13, 14), slice(5, 90), slice(301, 558), slice(0, 700, 3)):
        np.testing.assert_array_equal(own.decode(stored[rows]), whole[rows])


@pytest.mark.parametrize("name", [*NAMES, "plain"])
def test_products_and_lengths(name: str) -> None:
    own = Plain(None, {}) if name == "plain" else quantiser(name)
    stored = own.encode(clustered(MANY + 50, DIMS, seed=6))
    if name in ("int8", "half"):
        stored[7] = 0
    queries = clustered(3, DIMS, seed=7)
    made, lengths = own.products(queries)(stored), own.lengths(stored)
    few = own.products(queries)(stored[:50])  # bytes one at a time, not by twos
    np.testing.assert_allclose(few, made[:, :50], atol=1e-5 * float(lengths.max()))
    if name in ("int8", "half"):
        assert lengths[7] == 0 and not made[:, 7].any()
        lengths[7] = 1
    np.testing.assert_allclose(made / lengths, queries @ own.decode(stored).T, atol=2e-6)


def test_tables_are_summed_over_bytes() -> None:
    dice = np.random.default_rng(0)
    for width, count in ((3, 40), (4, 40), (4, MANY), (5, MANY)):
        tables = dice.normal(size=(2, width, 256)).astype(np.float32)
        stored = dice.integers(256, size=(count, width), dtype=np.uint8)
        expected = sum(tables[:, m, stored[:, m]].astype(np.float64) for m in range(width))
        np.testing.assert_allclose(Tables(tables)(stored), expected, atol=1e-5)
        strided = np.repeat(stored, 2, axis=0)[::2]
        np.testing.assert_allclose(Tables(tables)(strided), expected, atol=1e-5)


def test_a_quantiser_from_outside_and_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "ROWS", 64)
    values = clustered(1000, DIMS, seed=8)
    own = Plain(None, {})
    lying, decoded = ScanIndex(DIMS), ScanIndex(DIMS)
    monkeypatch.setattr(scan, "KEEP_BYTES", 0)
    lying.add(StoredRows(own.encode(values), own, DIMS), np.arange(1000))
    decoded.add(own.apply(values), np.arange(1000))
    for count in (1, 9):
        queries = clustered(count, DIMS, seed=9)
        found, other = lying.search(queries, 20), decoded.search(queries, 20)
        np.testing.assert_array_equal(found.rows, other.rows)
        np.testing.assert_array_equal(found.distances, other.distances)


def test_few_codes_that_are_asked_for_often_are_kept_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = clustered(500, DIMS, seed=11)
    lying, decoded, stored = indexes("pq8", values, np.arange(500))
    lying.remove(np.arange(0, 500, 9))
    decoded.remove(np.arange(0, 500, 9))
    asked = clustered(30, DIMS, seed=12)
    sizes = []
    for query in asked:
        found, expected = lying.search(query[None], 10), decoded.search(query[None], 10)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.distances, expected.distances)
        sizes.append(lying.memory_bytes())
    assert sizes[: scan.KEEP_AFTER] == [stored.nbytes + 500 * 13] * scan.KEEP_AFTER
    assert set(sizes[scan.KEEP_AFTER :]) == {decoded.memory_bytes()}
    monkeypatch.setattr(scan, "KEEP_BYTES", 4 * DIMS * 499)
    lying, _, stored = indexes("pq8", values, np.arange(500))
    lying.search(asked, 10)
    lying.search(asked, 10)
    assert lying.memory_bytes() == stored.nbytes + 500 * 12  # too many for that


def test_threads_search_while_codes_are_decoded() -> None:
    values = clustered(3000, DIMS, seed=13)
    lying, decoded, _ = indexes("int8", values, np.arange(3000))
    asked = clustered(64, DIMS, seed=14)
    expected = decoded.search(asked, 5)

    def search(row: int) -> bool:
        found = lying.search(asked[row : row + 1], 5)
        same = np.array_equal(found.distances[0], expected.distances[row])
        return same and np.array_equal(found.rows[0], expected.rows[row])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(search, range(64)))


def test_removed_saved_and_counted(tmp_path: Path) -> None:
    values = clustered(300, DIMS, seed=4)
    lying, decoded, stored = indexes("pq8", values, np.arange(300))
    assert lying.remove(np.array([4, 5, 900])) == decoded.remove(np.array([4, 5])) == 2
    lying.save(tmp_path / "index")
    opened = ScanIndex.load(tmp_path / "index")
    queries = clustered(5, DIMS, seed=10)
    for other in (lying, opened):
        found, expected = other.search(queries, 7), decoded.search(queries, 7)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.distances, expected.distances)
    assert lying.memory_bytes() == stored.nbytes + 300 * (8 + 4 + 1)


def test_half_precision_floats_are_widened_to_the_bit() -> None:
    from neuralcodes.codes.transforms.half import widen

    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    bits = widen(finite).view(np.uint32)
    np.testing.assert_array_equal(bits, finite.astype(np.float32).view(np.uint32))


def test_memory_is_bounded_where_many_are_equally_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """All codes the same: each is a candidate; they are decoded a few at a time."""
    from neuralcodes.codes.transforms import rows

    monkeypatch.setattr(rows, "READ_BYTES", 4 * DIMS * 100)
    monkeypatch.setattr(scan, "KEEP_BYTES", 0)
    own = quantiser("int8")
    most = []
    decode = type(own).decode
    monkeypatch.setattr(
        type(own), "decode", lambda self, s: (most.append(len(s)), decode(self, s))[1]
    )
    stored = np.repeat(own.encode(clustered(1, DIMS)), 950, axis=0)
    index = ScanIndex(DIMS)
    index.add(StoredRows(stored, own, DIMS), np.arange(950))
    for count in (1, 6):
        found = index.search(clustered(count, DIMS, seed=2), 950)
        np.testing.assert_array_equal(found.rows, np.tile(np.arange(950), (count, 1)))
    assert 0 < max(most) <= 100
