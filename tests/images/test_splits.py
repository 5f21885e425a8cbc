from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcodes.common.errors import UserError
from neuralcodes.images.imageset import ClassName, ImageSet
from neuralcodes.images.splits import reference_split


def make(labels: np.ndarray, classes: int) -> ImageSet:
    return ImageSet(
        pixels=np.zeros((len(labels), 1, 1, 3), np.uint8),
        rows=np.arange(len(labels)),
        keys=tuple(map(str, range(len(labels)))),
        labels=labels,
        classes=tuple(ClassName(str(number), str(number)) for number in range(classes)),
        source="made here",
        content="c",
    )


def test_bit_for_bit_the_founding_experiments() -> None:
    """Written out as the founding experiment did it, with NumPy's global generator."""
    images = make(np.repeat(np.arange(200), 500), 200)
    np.random.seed(42)
    order = np.random.permutation(95_000)
    val, test, train = order[:9_500], order[9_500:19_000], order[19_000:]
    ood = 95_000 + np.random.permutation(5_000)
    np.random.seed(None)
    split = reference_split(images, 190)
    np.testing.assert_array_equal(split.train.rows, train)
    np.testing.assert_array_equal(split.val.rows, val)
    np.testing.assert_array_equal(split.test.rows, test)
    np.testing.assert_array_equal(split.ood.rows, ood)
    assert {name: len(part) for name, part in split.named().items()} == {
        "train": 76_000, "val": 9_500, "test": 9_500, "ood": 5_000
    }  # fmt: skip
    # the same numbers, should NumPy ever change its legacy generator
    assert val[:5].tolist() == [43450, 14791, 28617, 60875, 50419]
    assert ood[:5].tolist() == [98289, 96333, 96805, 96752, 96609]


def test_global_generator_is_left_alone() -> None:
    images = make(np.repeat(np.arange(4), 10), 4)
    np.random.seed(7)
    expected = np.random.random(3).tolist()
    np.random.seed(7)
    reference_split(images, 3)
    assert np.random.random(3).tolist() == expected


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=8),
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_set_splits_without_overlap(counts: list[int], data: st.DataObject, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(0).permutation(labels)
    train_classes = data.draw(st.integers(1, len(counts) - 1))
    inside = sum(counts[:train_classes])
    images = make(labels, len(counts))
    if inside < 10 or sum(counts) - inside < 2:
        with pytest.raises(UserError, match="too few to split"):
            reference_split(images, train_classes, seed)
        return
    split = reference_split(images, train_classes, seed)
    parts = split.named()
    everything = np.concatenate([part.rows for part in parts.values()])
    assert sorted(everything) == list(range(len(labels)))
    assert len(parts["val"]) == len(parts["test"]) == inside // 10
    for name, part in parts.items():
        assert ((part.label_array() >= train_classes) == (name == "ood")).all()
    again = reference_split(images, train_classes, seed)
    assert again.train.fingerprint() == split.train.fingerprint()


@pytest.mark.parametrize("asked", [0, -1, 4, 5, 190])
def test_number_of_classes_is_checked(asked: int) -> None:
    images = make(np.repeat(np.arange(4), 10), 4)
    with pytest.raises(UserError) as caught:
        reference_split(images, asked)
    assert str(caught.value) == (
        f"made here: 4 classes, so between 1 and 3 can be trained on (--classes {asked}); "
        "the others are what is searched"
    )


def test_one_class_is_too_few() -> None:
    with pytest.raises(UserError, match="made here: 1 class; give at least 2"):
        reference_split(make(np.zeros(50, np.int64), 1), 1)
