"""A database in shards is ranked as one whole."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcodes.evaluation.measures import AVERAGE_PRECISION
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
        Shard(low, high - low, lambda low=low, high=high: codes[low:high])
        for low, high in pairwise(bounds)
    ]


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
        parts = shard_ranks(queries, cut(codes, at), relevance)
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


@pytest.mark.lengthy
def test_by_ray_on_two_nodes(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs neuralcodes[cluster]")
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
    from ray_cluster import two_nodes

    from neuralcodes.engines.ray_evaluation import ray_ranks

    dice = np.random.default_rng(0)
    codes = dice.normal(size=(3000, 32)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    relevance = ClassRelevance.among(dice.integers(0, 20, len(codes)))
    files = []
    for number, part in enumerate(np.array_split(codes, 7)):
        files.append(tmp_path / f"{number}.npy")
        np.save(files[-1], part)
    whole = relevant_ranks(codes, codes, relevance)
    with two_nodes() as (cluster, _):
        parts = ray_ranks(codes, files, relevance, cluster.address)
    one, other = AVERAGE_PRECISION.score(whole), AVERAGE_PRECISION.score(parts)
    assert one.mean == pytest.approx(other.mean, abs=1e-7)
    # the whole is ranked by float32 products, which swap a few neighbours
    assert (whole.ranks == parts.ranks).mean() > 0.99
