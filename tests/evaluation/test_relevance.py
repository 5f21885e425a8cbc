"""Lists of relevant and junk rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.evaluation.relevance import ClassRelevance, ListedRelevance, RowLists


def lists(of: RowLists) -> list[list[int]]:
    return [of.rows[of.starts[i] : of.starts[i + 1]].tolist() for i in range(len(of))]


def test_lists_are_sorted_and_without_duplicates():
    made = RowLists.of([[3, 1, 3], [], [2]])
    assert lists(made) == [[1, 3], [], [2]]
    assert made.queries.tolist() == [0, 0, 2]
    assert lists(made.part(slice(1, 3))) == [[], [2]]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.data())
def test_classes_equal_the_definition(labels, data):
    labels = np.array(labels)
    queries = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    itself = data.draw(
        st.lists(st.integers(-1, len(labels) - 1), min_size=len(queries), max_size=len(queries))
    )
    relevance = ClassRelevance(np.array(queries), labels, np.array(itself))
    block = slice(len(queries) // 2, len(queries))
    expected = [
        [row for row in range(len(labels)) if labels[row] == label and row != mine]
        for label, mine in zip(queries, itself, strict=True)
    ]
    assert lists(relevance.relevant(block)) == expected[block]
    assert lists(relevance.junk(block)) == [[row] if row >= 0 else [] for row in itself[block]]


@pytest.mark.parametrize(
    ("relevant", "junk", "message"),
    [
        ([[0]], [[], []], "1 lists"),
        ([[5]], [[]], "outside"),
        ([[0]], [[-1]], "outside"),
        ([[0], [1, 2]], [[1], [2]], "row 2 is both relevant and junk to query 1"),
    ],
)
def test_wrong_lists_are_refused(relevant, junk, message):
    with pytest.raises(ValueError, match=message):
        ListedRelevance.of(relevant, junk, 5)
