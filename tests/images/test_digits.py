from __future__ import annotations

import subprocess
import sys

import numpy as np

from neuralcodes.images.digits import CLASSES, TRAIN_CLASSES, digits
from neuralcodes.images.splits import reference_split


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    images, found = digits(), load_digits()
    assert len(images) == 1797
    assert images.size == (16, 16)
    assert [name.folder for name in images.classes] == list("0123456789")
    assert np.bincount(images.label_array()).tolist() == np.bincount(found.target).tolist()
    assert (np.diff(images.label_array()) >= 0).all()
    pixels = images.read(range(len(images)))
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[..., :1]).all()
    order = [int(images.key(row).split("/")[1]) for row in range(len(images))]
    np.testing.assert_array_equal(found.target[order], images.label_array())
    # scaled up: each 2×2 block is about the pixel that it came from
    small = pixels[..., 0].reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4)) * (16 / 255)
    assert np.abs(small - found.images[order]).mean() < 0.8  # of 16 grey levels
    assert np.corrcoef(small.ravel(), found.images[order].ravel())[0, 1] > 0.99


def test_digits_split() -> None:
    split = reference_split(digits(), TRAIN_CLASSES)
    assert {name: len(part) for name, part in split.named().items()} == {
        "train": 1012, "val": 126, "test": 126, "ood": 533
    }  # fmt: skip
    assert set(split.ood.label_array()) == set(range(TRAIN_CLASSES, CLASSES))


def test_digits_are_the_same_each_time() -> None:
    assert digits().fingerprint() == digits().fingerprint()


def test_scikit_learn_is_imported_only_when_asked_for() -> None:
    code = "import sys, neuralcodes.images.digits; sys.exit('sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
