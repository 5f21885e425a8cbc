"""Views are like their image, unlike each other, and the same each time."""

import numpy as np

from made import make_images
from neuralcodes.choosing.views import KINDS, view_content, view_images, views_of


def test_views_are_variations_of_the_image():
    images = make_images(40, 8, size=32)
    pixels = images.read(np.arange(40))
    views = np.stack([np.stack(views_of(p, np.random.default_rng(5))) for p in pixels])
    assert views.shape == (40, len(KINDS), 32, 32, 3)
    assert views.dtype == np.uint8
    means = pixels.mean((1, 2))
    for kind in range(len(KINDS)):
        assert not (views[:, kind] == pixels).all((1, 2, 3)).any()
    # the colour jitter is bounded: most views lie nearer to their image than to a random other
    apart = np.abs(views.mean((2, 3)) - means[:, None]).sum(2)
    shuffled = np.abs(views.mean((2, 3)) - means[::-1][:, None]).sum(2)
    assert np.median(apart) < np.median(shuffled)


def test_views_depend_on_seed_and_image_alone(tmp_path):
    images = make_images(20, 4, size=16)
    viewed = np.repeat([3, 7, 12], len(KINDS))
    first = view_images(images, viewed, tmp_path / "a", seed=1)
    other = view_images(images, np.repeat([7], len(KINDS)), tmp_path / "b", seed=1)
    seeded = view_images(images, viewed, tmp_path / "c", seed=2)
    size = len(KINDS)
    everything = np.arange(len(viewed))
    np.testing.assert_array_equal(first.read(everything[size : 2 * size]), other.read(range(size)))
    assert not np.array_equal(first.read(everything), seeded.read(everything))
    assert first.key(size) == f"{images.key(7)}#crop"
    assert first.labels is None
    assert len({first.content, seeded.content, view_content(images, viewed[:6], 1)}) == 3
