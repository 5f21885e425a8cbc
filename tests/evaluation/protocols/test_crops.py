"""Boxes cut out of real image files."""

import numpy as np
import pytest
from PIL import Image

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.protocols.crops import write_crops
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth, Lists, Query


@pytest.fixture
def images(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(30, 40, 3), dtype=np.uint8)
    (tmp_path / "images" / "deep").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "images" / "deep" / "a.png")
    return tmp_path / "images", pixels


def truth(*queries: Query) -> GroundTruth:
    empty = tuple(() for _ in queries)
    return GroundTruth("p", queries, None, {"": Lists(empty, empty)}, False, (AVERAGE_PRECISION,))


def test_boxes_are_cut_to_the_pixel(images, tmp_path):
    folder, pixels = images
    queries = (
        Query("one", "a", (3.4, 5.6, 20.5, 29)),
        Query("sub/whole.jpg", "deep/a.jpg"),
        Query("over", "a", (-5, 20, 60, 99)),
    )
    written = write_crops(truth(*queries), folder, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == [
        "one.png", "sub/whole.png", "over.png",
    ]  # fmt: skip
    one, whole, over = (np.asarray(Image.open(path)) for path in written)
    assert np.array_equal(one, pixels[6:29, 3:20])
    assert np.array_equal(whole, pixels)
    assert np.array_equal(over, pixels[20:, :])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query("q", "b"), r"1 of 1 queries have no image in there \(b\)"),
        (Query("q", "a", (50, 0, 60, 10)), "lies outside deep/a.png"),
        (Query("../q", "a"), "must not lead out"),
        (Query("q", "broken"), "broken.png cannot be read"),
    ],
)
def test_what_cannot_be_cut_is_one_line(images, tmp_path, query, message):
    (images[0] / "broken.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(UserError, match=message):
        write_crops(truth(query), images[0], tmp_path / "out")
