"""Ranks of relevant rows against a loop over float64 distances."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made import unit_rows
from neuralcodes.evaluation import ranks as ranks_module
from neuralcodes.evaluation.ranks import RelevantRanks, ranks_in, relevant_ranks
from neuralcodes.evaluation.relevance import ClassRelevance, ListedRelevance, RowLists
from neuralcodes.index import exact
from neuralcodes.index.exact import search_exact
from neuralcodes.index.ranking import Ranking


def loop(codes: np.ndarray, labels: np.ndarray, query: int) -> list[int]:
    """Written from the definition: order by distance, then by row, without the query."""
    wide = codes.astype(np.float64)
    distances = np.round(((wide - wide[query]) ** 2).sum(axis=1), 10)
    order = [row for row in np.lexsort((np.arange(len(codes)), distances)) if row != query]
    return [rank for rank, row in enumerate(order, 1) if labels[row] == labels[query]]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 10_000))
def test_equals_the_loop_with_duplicates(count, classes, seed):
    generator = np.random.default_rng(seed)
    codes = unit_rows(count, 6, seed)
    copies = generator.integers(count, size=(2, count // 2))
    codes[copies[0]] = codes[copies[1]]
    labels = generator.integers(classes, size=count)
    ranks = relevant_ranks(codes, codes, ClassRelevance.among(labels))
    for query in range(count):
        assert ranks.of(query).tolist() == loop(codes, labels, query)
    assert (ranks.candidates == count - 1).all()


@pytest.mark.parametrize("copies", [0, 3, 150])  # none, a few, and nearly all
@pytest.mark.parametrize("classes", [2, 60])  # many and few relevant rows a query
def test_each_way_of_counting_equals_the_loop(copies, classes):
    generator = np.random.default_rng(copies)
    codes = unit_rows(200, 12)
    codes[generator.choice(200, copies, replace=False)] = codes[0]
    labels = generator.integers(classes, size=200)
    ranks = relevant_ranks(codes, codes, ClassRelevance.among(labels))
    for query in range(200):
        assert ranks.of(query).tolist() == loop(codes, labels, query)


NEAR = np.float32(0.5)
CLOSE_SCORES = [
    NEAR, np.nextafter(NEAR, np.float32(1)), np.nextafter(NEAR, np.float32(0)), np.float32(1e-45),
    np.float32(0), np.float32(-0.0), -NEAR, np.nextafter(-NEAR, np.float32(0)),
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(3, 120), st.floats(0, 1), st.integers(0, 10_000))
def test_scores_that_differ_in_their_last_bit_keep_their_order(queries, database, mixed, seed):
    """Where a mark takes the place of that bit, ranks are still those of a stable sort."""
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((queries, database)).astype(np.float32)
    close = generator.random(scores.shape) < mixed
    scores[close] = generator.choice(np.array(CLOSE_SCORES), close.sum())
    lists = [np.flatnonzero(generator.random(database) < 0.6) for _ in range(queries)]
    for line, rows in zip(scores, lists, strict=True):  # junk, which is never relevant
        line[np.setdiff1d(np.arange(0, database, 5), rows)] = exact.DROPPED
    relevant = RowLists.of(lists)
    found = np.zeros(len(relevant.rows), dtype=np.int64)
    ranks_module._rank_part(scores, relevant, 0, found)
    for query, rows in enumerate(lists):
        order = np.argsort(-scores[query], kind="stable")
        wanted = np.flatnonzero(np.isin(order, rows)) + 1
        begin, end = relevant.starts[query : query + 2]
        assert found[begin:end].tolist() == wanted.tolist()


def listed(generator: np.random.Generator, queries: int, database: int) -> tuple[list, list]:
    """Random relevant and junk rows, some lists empty, with duplicates in them."""
    relevant, junk = [], []
    for _ in range(queries):
        kinds = generator.integers(4, size=database)
        relevant.append(
            np.repeat(np.flatnonzero(kinds == 0), 2) if generator.random() < 0.8 else []
        )
        junk.append(np.flatnonzero(kinds == 1) if generator.random() < 0.8 else [])
    return relevant, junk


def rank_by_definition(order: list[int], relevant: list[int], junk: list[int]) -> list[int]:
    kept = [row for row in order if row not in set(junk)]
    return [rank for rank, row in enumerate(kept, 1) if row in set(relevant)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 10_000))
def test_junk_does_not_count(queries, database, seed):
    generator = np.random.default_rng(seed)
    base, asked = unit_rows(database, 5, seed), unit_rows(queries, 5, seed + 1)
    relevant, junk = listed(generator, queries, database)
    relevance = ListedRelevance.of(relevant, junk, database)
    full = search_exact(asked, base, database)
    for ranks in (relevant_ranks(asked, base, relevance), ranks_in(full, relevance)):
        for query in range(queries):
            order = full.rows[query].tolist()
            expected = rank_by_definition(order, list(relevant[query]), list(junk[query]))
            assert ranks.of(query).tolist() == expected
            assert ranks.candidates[query] == database - len(set(junk[query]))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 10_000))
def test_rows_that_a_truncated_ranking_lacks_are_last(database, depth, seed):
    generator = np.random.default_rng(seed)
    depth = min(depth, database)
    relevant, junk = listed(generator, 3, database)
    relevance = ListedRelevance.of(relevant, junk, database)
    orders = np.array([generator.permutation(database) for _ in range(3)])
    short = Ranking(orders[:, :depth], np.zeros((3, depth), np.float32))
    ranks = ranks_in(short, relevance, missing="last")
    for query in range(3):
        rest = [row for row in range(database) if row not in orders[query, :depth]]
        rest.sort(key=lambda row: row in relevant[query])  # wrong ones first, then relevant ones
        order = [*orders[query, :depth], *rest]
        assert ranks.of(query).tolist() == rank_by_definition(
            order, list(relevant[query]), list(junk[query])
        )


def test_a_truncated_ranking_is_refused_unless_told_otherwise():
    relevance = ListedRelevance.of([[0, 3]], [[]], 4)
    short = Ranking(np.array([[3, 1, -1]]), np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match="query 0: 1 of 2 relevant rows are not among the 2"):
        ranks_in(short, relevance)
    assert ranks_in(short, relevance, "last").of(0).tolist() == [1, 4]


@pytest.mark.parametrize(
    ("rows", "message"), [([[1, 1]], "twice"), ([[0, 7]], "row 7 is not in the database")]
)
def test_rankings_that_are_none_are_refused(rows, message):
    ranking = Ranking(np.array(rows), np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match=message):
        ranks_in(ranking, ListedRelevance.of([[0]], [[]], 3), "last")


def test_query_outside_the_database():
    labels = np.array([0, 1, 0])
    database = np.eye(3, dtype=np.float32)
    queries = np.array([[0, 1, 0], [0, 0, 1]], dtype=np.float32)
    relevance = ClassRelevance(np.array([1, 0]), labels, np.array([-1, -1]))
    ranks = relevant_ranks(queries, database, relevance)
    assert ranks.of(0).tolist() == [1]
    assert ranks.of(1).tolist() == [1, 2]
    assert ranks.candidates.tolist() == [3, 3]


def test_blocks_do_not_change_the_result(monkeypatch):
    codes, labels = unit_rows(150, 8), np.arange(150) % 4
    whole = relevant_ranks(codes, codes, ClassRelevance.among(labels))
    monkeypatch.setattr(exact, "BLOCK_BYTES", 4 * 150 * 7)
    monkeypatch.setattr(exact, "WHOLE_BYTES", 0)
    monkeypatch.setattr(exact, "CHUNK_BYTES", 4 * 150 * 2)
    parts = relevant_ranks(codes, codes, ClassRelevance.among(labels))
    assert np.array_equal(whole.ranks, parts.ranks)
    assert np.array_equal(whole.starts, parts.starts)
    monkeypatch.setattr(ranks_module, "LISTED", 7)
    order = search_exact(codes, codes, 150, exclude=np.arange(150))
    assert np.array_equal(ranks_in(order, ClassRelevance.among(labels)).ranks, whole.ranks)


def test_parts_hold_all_queries_once(monkeypatch):
    monkeypatch.setattr(ranks_module, "PART", 5)
    ranks = RelevantRanks(np.arange(1, 13), np.array([0, 0, 7, 7, 9, 12, 12]), np.full(6, 20))
    parts = list(ranks.parts())
    assert sum(part.queries for part in parts) == 6
    assert np.concatenate([part.ranks for part in parts]).tolist() == list(range(1, 13))
    assert np.concatenate([part.counts for part in parts]).tolist() == [0, 7, 0, 2, 3, 0]
    assert len(parts) == 3


def test_sizes_must_agree():
    codes = unit_rows(4, 3)
    with pytest.raises(ValueError, match="4 queries"):
        relevant_ranks(codes, codes, ClassRelevance.among(np.zeros(5, dtype=np.int64)))


def test_memory_is_bounded_by_the_block_and_the_ranks(monkeypatch):
    """All scores at once would be 160 MB; sorting and looking up must not need them either."""
    codes = unit_rows(20_000, 8)
    labels = np.random.default_rng(0).integers(200, size=20_000)
    relevance = ClassRelevance(labels[:2000], labels, np.arange(2000))
    database = exact.Database.of(codes)
    monkeypatch.setattr(exact, "BLOCK_BYTES", 2**22)
    tracemalloc.start()
    ranks = relevant_ranks(codes[:2000], database, relevance)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22 + 3 * ranks.ranks.nbytes + 8 * exact.CHUNK_BYTES


def test_no_queries():
    ranks = relevant_ranks(
        np.zeros((0, 3), np.float32), unit_rows(4, 3), ListedRelevance.of([], [], 4)
    )
    assert ranks.queries == 0 and len(ranks.ranks) == 0
