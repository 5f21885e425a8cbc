"""Matching and other pairs, from labels and from the codes alone."""

import numpy as np
import pytest
from transform_data import class_codes

from made import unit_rows
from neuralcodes.codes.transforms.pairs import (
    SHARED,
    class_pairs,
    graph_pairs,
    mutual_neighbours,
)
from neuralcodes.common.errors import UserError


def test_class_pairs_match_by_class_and_each_class_alike():
    labels = np.repeat([3, 7, 8, 20], [2, 300, 50, 1])
    labels = np.random.default_rng(0).permutation(labels)
    pairs = class_pairs(labels, 30_000, 0)
    for rows in (pairs.matching, pairs.other):
        assert rows.shape == (30_000, 2)
        assert (rows[:, 0] != rows[:, 1]).all()
    same = labels[pairs.matching]
    assert (same[:, 0] == same[:, 1]).all()
    shares = [(same[:, 0] == label).mean() for label in (3, 7, 8)]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.02)
    different = labels[pairs.other]
    assert (different[:, 0] != different[:, 1]).all()
    shares = [(different[:, 0] == label).mean() for label in (3, 7, 8, 20)]
    np.testing.assert_allclose(shares, 1 / 4, atol=0.02)
    # within a class every ordered pair is as likely
    large = pairs.matching[same[:, 0] == 8]
    assert len(np.unique(large, axis=0)) > 0.95 * 50 * 49


def test_seeded():
    labels = np.arange(100) % 5
    assert np.array_equal(class_pairs(labels, 50, 1).other, class_pairs(labels, 50, 1).other)
    assert not np.array_equal(class_pairs(labels, 50, 1).other, class_pairs(labels, 50, 2).other)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 2]])
def test_labels_without_pairs(labels):
    with pytest.raises(UserError, match="at least 2 classes"):
        class_pairs(np.array(labels), 10, 0)


def test_mutual_neighbours_equal_a_loop():
    values = unit_rows(70, 5)
    distances = np.linalg.norm(values[:, None] - values[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    near = [set(row) for row in np.argsort(distances, axis=1)[:, :6]]
    expected = np.zeros((70, 70))
    for i in range(70):
        for j in near[i]:
            expected[i, j] = i in near[j]
    assert np.array_equal(mutual_neighbours(values, 6).toarray(), expected)


def test_graph_pairs_follow_the_rule():
    values, labels = class_codes(400, 16, classes=8, noise=0.25)
    pairs = graph_pairs(values, 2000, 0)
    graph = mutual_neighbours(values, 10).toarray()
    shared = graph @ graph
    one, two = pairs.matching.T
    assert (graph[one, two] == 0).all()
    assert (shared[one, two] >= SHARED).all()
    one, two = pairs.other.T
    assert (graph[one, two] == 0).all()
    assert (shared[one, two] == 0).all()
    assert (one != two).all()
    # and what it tells apart without labels is mostly what the labels do
    match = labels[pairs.matching]
    assert (match[:, 0] == match[:, 1]).mean() > 0.95
    differ = labels[pairs.other]
    assert (differ[:, 0] != differ[:, 1]).mean() > 0.85


def test_a_graph_of_a_choice_of_rows(monkeypatch):
    values, labels = class_codes(500, 16, classes=4, noise=0.25)
    monkeypatch.setattr("neuralcodes.codes.transforms.pairs.GRAPH_ROWS", 200)
    pairs = graph_pairs(values, 500, 0)
    assert len(np.unique(pairs.matching)) <= 200
    assert pairs.matching.max() > 250  # rows of the whole, not of the choice
    match = labels[pairs.matching]
    assert (match[:, 0] == match[:, 1]).mean() > 0.9


def test_too_few_for_a_graph():
    with pytest.raises(UserError, match="no matching pairs can be told from 4 images"):
        graph_pairs(unit_rows(4, 3), 10, 0)
