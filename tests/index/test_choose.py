from __future__ import annotations

import pytest

from neuralcodes.common.errors import UserError
from neuralcodes.index.choose import EXACT_BELOW, choose_index

GIB = 2**30


def test_exact_for_few_codes_whatever_the_memory() -> None:
    for count in (0, 1, EXACT_BELOW - 1):
        assert choose_index(count, 2048, memory=1).backend == "exact"


def test_then_the_fastest_that_fits() -> None:
    count, dims = 1_000_000, 128
    graph = choose_index(count, dims, memory=GIB)
    assert graph.backend == "hnsw" and 4 * dims * count < graph.bytes <= GIB
    lists = choose_index(count, dims, memory=GIB // 4)
    assert lists.backend == "ivfpq" and lists.bytes < GIB // 4
    assert "hnsw would take" in lists.reason
    none = choose_index(count, dims, memory=10**6)
    assert none.backend == "exact" and "ivfpq would take" in none.reason


def test_long_codes_are_cut_before_they_are_quantised() -> None:
    chosen = choose_index(100_000, 16_384, memory=GIB)
    assert chosen.backend == "ivfpq"
    assert chosen.parameters.to_json()["reduced"] == 256


@pytest.mark.parametrize("dims", [1, 2, 3, 7, 64, 100, 127, 130, 255])
def test_pieces_divide_any_length(dims: int) -> None:
    parameters = choose_index(100_000, dims, backend="ivfpq").parameters.to_json()
    assert dims % parameters["pieces"] == 0


def test_one_may_be_asked_for() -> None:
    assert choose_index(10, 8, backend="hnsw").backend == "hnsw"
    with pytest.raises(UserError, match="unknown index"):
        choose_index(10, 8, backend="best")
