"""What is fitted on, chooses and judges never meets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.choosing.task import FEW, deal, label_task, lonely, sample_rows, view_task
from neuralcodes.common.errors import UserError

ROLES = ("fit", "choose", "judge")


@given(st.integers(6, 250), st.integers(0, 5))
def test_each_group_has_each_role_at_most_once_in_a_turn(groups, seed):
    turns = deal(np.arange(groups), seed)
    assert len(turns) == (3 if groups < FEW else 1)
    for turn in turns:
        parts = [getattr(turn, role) for role in ROLES]
        assert sorted(np.concatenate(parts)) == list(range(groups))
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
    for role in ROLES:
        together = np.concatenate([getattr(turn, role) for turn in turns])
        assert len(np.unique(together)) == len(together)
        if len(turns) == 3:
            assert len(together) == groups  # everybody chooses once and judges once


def test_by_labels_only_other_images_of_the_class_are_relevant():
    labels = np.repeat(np.arange(7), 4)
    task = label_task(labels, 3, "pictures")
    for turn in range(3):
        fit = task.fit_rows(turn)
        for role in ("choose", "judge"):
            part = task.part(turn, role)
            assert not set(labels[fit]) & set(labels[part.rows])
            lists = part.relevance.relevant(slice(0, len(part.queries)))
            for query in range(len(part.queries)):
                found = part.rows[lists.rows[lists.starts[query] : lists.starts[query + 1]]]
                itself = part.rows[part.queries[query]]
                wanted = [row for row in np.flatnonzero(labels == labels[itself]) if row != itself]
                assert found.tolist() == wanted


def test_too_few_classes_or_images_are_refused():
    with pytest.raises(UserError, match=r"pictures: 5 class.*--labels none"):
        label_task(np.repeat(np.arange(5), 3), 0, "pictures")
    with pytest.raises(UserError, match="at least 30"):
        view_task(29, 2, 0, "pictures")


def test_by_views_only_an_images_own_views_are_relevant():
    task = view_task(60, 3, 1, "pictures")
    assert task.labels is None
    assert len(task.rotations) == 1
    assert task.fit_rows(0).max() < 60  # no view is learned from
    viewed = task.viewed()
    assert not set(viewed) & set(task.fit_rows(0))
    for role in ("choose", "judge"):
        part = task.part(0, role)
        assert (part.rows[part.queries] < 60).all()
        lists = part.relevance.relevant(slice(0, len(part.queries)))
        for query, place in enumerate(part.queries):
            found = part.rows[lists.rows[lists.starts[query] : lists.starts[query + 1]]]
            assert (found - 60).tolist() == np.flatnonzero(viewed == part.rows[place]).tolist()
            assert len(found) == 3


def test_the_task_depends_on_seed_and_labels():
    labels = np.repeat(np.arange(9), 4)
    prints = {
        label_task(labels, 0, "").fingerprint(0),
        label_task(labels, 1, "").fingerprint(0),
        label_task(labels[::-1].copy(), 0, "").fingerprint(0),
        label_task(labels, 0, "").fingerprint(1),
    }
    assert len(prints) == 4
    assert label_task(labels, 0, "").fingerprint(0) in prints


def test_sampling_keeps_classes_whole_enough_to_be_judged():
    labels = np.repeat(np.arange(100), 10)
    rows = sample_rows(labels, 1000, 300, seed=0)
    assert len(rows) == 300
    assert len(np.unique(labels[rows])) == 30  # ten each, not three of each of a hundred
    few = np.repeat(np.arange(4), 500)
    assert np.bincount(few[sample_rows(few, 2000, 400, seed=0)]).tolist() == [100] * 4
    assert sample_rows(None, 50, 60, seed=0).tolist() == list(range(50))
    assert len(sample_rows(None, 50, 20, seed=0)) == 20
    assert lonely(np.array([0, 0, 1, 2, 2, 3])).tolist() == [2, 5]
