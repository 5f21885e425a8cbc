from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.images.imageset import ClassName, ImageSet


def make(count: int = 12) -> ImageSet:
    """Image i is filled with i, and there is one pixel row more than images, at the front."""
    pixels = np.arange(count + 1, dtype=np.uint8)[:, None, None, None] - np.uint8(1)
    return ImageSet(
        pixels=np.broadcast_to(pixels, (count + 1, 4, 6, 3)).copy(),
        rows=np.arange(1, count + 1),
        keys=tuple(f"{row - 1}.png" for row in range(count + 1)),
        labels=(np.arange(count + 1) - 1) % 3,
        classes=tuple(ClassName(str(number), str(number)) for number in range(3)),
        source="made here",
        content="c",
    )


def test_parts_agree() -> None:
    images = make()
    assert len(images) == 12
    assert images.size == (4, 6)
    assert images.key(7) == "7.png"
    assert images.read([7])[0, 0, 0, 0] == 7
    assert images.label_array().tolist() == [number % 3 for number in range(12)]


@given(st.data())
def test_select_of_select_is_select(data: st.DataObject) -> None:
    images = make()
    positions = st.lists(st.integers(0, 11), max_size=20)
    first = data.draw(positions)
    second = data.draw(
        st.lists(st.integers(0, len(first) - 1), max_size=20) if first else st.just([])
    )
    picked = images.select(first).select(second)
    expected = [first[position] for position in second]
    assert picked.read(range(len(picked)))[:, 0, 0, 0].tolist() == expected
    assert [picked.key(row) for row in range(len(picked))] == [f"{row}.png" for row in expected]
    assert picked.label_array().tolist() == [row % 3 for row in expected]
    assert picked.fingerprint() == images.select(expected).fingerprint()


def test_select_by_mask_and_by_nothing() -> None:
    images = make()
    odd = images.select(np.arange(12) % 2 == 1)
    assert odd.read(range(6))[:, 0, 0, 0].tolist() == [1, 3, 5, 7, 9, 11]
    none = images.select([])
    assert len(none) == 0
    assert none.read([]).shape == (0, 4, 6, 3)
    assert none.label_array().shape == (0,)


def test_a_sample_is_of_the_seed_and_in_order() -> None:
    whole = make(20)
    one, again, other = (whole.sample(7, seed) for seed in (3, 3, 4))
    assert len(one) == len(set(one.rows)) == 7
    assert (np.diff(one.rows) > 0).all()
    assert (one.rows == again.rows).all() and (one.rows != other.rows).any()
    assert whole.sample(20, 3) is whole.sample(21, 3) is whole


def test_positions_that_are_no_rows_are_refused() -> None:
    images = make()
    for wrong in ([0.5], [12], [True, False]):
        with pytest.raises(IndexError):
            images.select(wrong)


def test_read_is_a_copy() -> None:
    images = make()
    images.read([3])[:] = 99
    assert images.read([3])[0, 0, 0, 0] == 3


def test_fingerprint_tells_content_selection_and_order() -> None:
    images = make()
    seen = {
        images.fingerprint(),
        images.select([0, 1]).fingerprint(),
        images.select([1, 0]).fingerprint(),
        images.select([1]).fingerprint(),
        make(11).fingerprint(),
    }
    assert len(seen) == 5
    assert images.select(range(12)).fingerprint() == images.fingerprint()


def test_fingerprint_is_stable() -> None:
    """Checkpoints of trainings are bound to it: it must never change."""
    assert make().fingerprint() == (
        "c00b6cea4248b2e21e52f40f846d371eb959649bd558132df2765328fa3b4697"
    )


def test_no_labels() -> None:
    images = ImageSet(np.zeros((1, 2, 2, 3), np.uint8), np.arange(1), ("a",), None, (), "x", "c")
    with pytest.raises(ValueError, match="x has no class labels"):
        images.label_array()
