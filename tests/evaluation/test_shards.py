"""A database in shards is ranked as one whole."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcodes.evaluation.ranks import relevant_ranks
from neuralcodes.evaluation.relevance import ClassRelevance, ListedRelevance
from neuralcodes.evaluation.shards import Shard, shard_ranks


def codes_of(count: int, dims: int, seed: int) -> np.ndarray:
    """Some rows are equal, some zero."""
    dice = np.random.default_rng(seed)
    values = dice.normal(size=(count, dims)).astype(np.float32)
    values = values[dice.integers(0, count, count)]
    values[dice.random(count) < 0.1] = 0
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths, lengths, 1)


def cut(codes: np.ndarray, at: list[int]) -> list[Shard]:
    bounds = [0, *sorted(at), len(codes)]
    return [
        Shard(range(low, high), lambda low=low, high=high: codes[low:high])
        for low, high in pairwise(bounds)
    ]


def deal(codes: np.ndarray, parts: int, dice: np.random.Generator) -> list[Shard]:
    """Rows here and there, as where the searched images are listed in another order."""
    owner = dice.integers(0, parts, len(codes))
    dealt = [np.flatnonzero(owner == part) for part in range(parts)]
    return [Shard(rows, lambda rows=rows: codes[rows]) for rows in dealt if len(rows)]


@settings(max_examples=60)
@given(st.integers(2, 40), st.integers(2, 6), st.integers(0, 99), st.data())
def test_equal_to_the_whole_with_ties_zeros_and_junk(
    count: int, dims: int, seed: int, data: st.DataObject
) -> None:
    dice = np.random.default_rng(seed)
    codes = codes_of(count, dims, seed)
    at = data.draw(st.lists(st.integers(0, count), max_size=4))
    labels = dice.integers(0, 3, count)
    for relevance in (ClassRelevance.among(labels), _listed(dice, count)):
        queries = codes[: relevance.queries]
        whole = relevant_ranks(queries, codes, relevance)
        for shards in (cut(codes, at), deal(codes, len(at) + 1, dice)):
            parts = shard_ranks(queries, shards, relevance)
            for name in ("ranks", "starts", "candidates"):
                np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def _listed(dice: np.random.Generator, count: int) -> ListedRelevance:
    kinds = [dice.integers(0, 3, count) for _ in range(count // 2)]
    return ListedRelevance.of(
        [np.flatnonzero(kind == 1) for kind in kinds],
        [np.flatnonzero(kind == 2) for kind in kinds],
        count,
    )


def test_other_rows_are_refused() -> None:
    codes = codes_of(10, 4, 0)
    with pytest.raises(ValueError, match="relevance of others"):
        shard_ranks(codes, cut(codes[:9], [3]), ClassRelevance.among(np.zeros(10, np.int64)))
    codes[3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        shard_ranks(codes, cut(codes, [3]), ClassRelevance.among(np.zeros(10, np.int64)))
