from __future__ import annotations

import pytest

from neuralcodes.common.errors import UserError
from neuralcodes.index.choose import EXACT_BELOW, FASTSCAN_UPTO, choose_index

GIB = 2**30


def test_exact_for_few_codes_whatever_the_memory() -> None:
    for count in (0, 1, EXACT_BELOW - 1):
        assert choose_index(count, 2048, memory=1).backend == "exact"


def test_then_the_fastest_that_fits() -> None:
    count, dims = 1_000_000, 128
    whole = choose_index(count, dims, memory=GIB)
    assert whole.backend == "fastscan" and 4 * dims * count < whole.bytes <= GIB
    lists = choose_index(count, dims, memory=GIB // 4)
    assert lists.backend == "ivfpq" and lists.bytes < GIB // 4
    assert "fastscan would take" in lists.reason
    none = choose_index(count, dims, memory=10**6)
    assert none.backend == "exact" and "ivfpq would take" in none.reason


def test_a_graph_beyond_some_millions_where_it_fits() -> None:
    count, dims = FASTSCAN_UPTO + 1, 128
    graph = choose_index(count, dims, memory=2 * GIB)
    assert graph.backend == "hnsw" and graph.bytes <= 2 * GIB
    scanned = choose_index(count, dims, memory=graph.bytes - 1)
    assert scanned.backend == "fastscan" and "hnsw would take" in scanned.reason
    assert choose_index(count, dims, memory=GIB // 2).backend == "ivfpq"


def test_long_codes_are_cut_before_they_are_quantised() -> None:
    chosen = choose_index(100_000, 16_384, memory=GIB)
    assert chosen.backend == "ivfpq"
    assert chosen.parameters.to_json()["reduced"] == 256


@pytest.mark.parametrize("backend", ["fastscan", "ivfpq"])
@pytest.mark.parametrize("dims", [1, 2, 3, 7, 64, 100, 127, 130, 255])
def test_pieces_divide_any_length(dims: int, backend: str) -> None:
    parameters = choose_index(100_000, dims, backend=backend).parameters.to_json()
    assert dims % parameters["pieces"] == 0


def test_one_may_be_asked_for() -> None:
    assert choose_index(10, 8, backend="hnsw").backend == "hnsw"
    with pytest.raises(UserError, match="unknown index"):
        choose_index(10, 8, backend="best")
