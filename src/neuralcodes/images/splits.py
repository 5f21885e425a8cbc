"""Reproducible splits into train, validation, test and out-of-domain images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodes.common.errors import UserError
from neuralcodes.images.imageset import ImageSet, Rows

REFERENCE_SEED = 42
LEAST_UNLABELLED = 50  # images: a tenth of fewer says nothing


@dataclass(frozen=True)
class Split:
    """Four disjoint image sets. `ood` holds only classes that the other three never show, or of
    images without classes some that they do not show."""

    train: ImageSet
    val: ImageSet
    test: ImageSet
    ood: ImageSet

    def named(self) -> dict[str, ImageSet]:
        """The sets by name, in the order of use."""
        return {"train": self.train, "val": self.val, "test": self.test, "ood": self.ood}


def reference_split(images: ImageSet, train_classes: int, seed: int = REFERENCE_SEED) -> Split:
    """The founding experiment's split, bit for bit.

    The images of the first `train_classes` classes are permuted by NumPy's legacy generator
    (MT19937 behind `numpy.random.seed`): the first tenth is validation, the next tenth test, the
    rest train. The same generator then permutes the images of the other classes.

    Args:
        images: any labelled set, of images of any size.
        train_classes: how many classes, from the first, make train, val and test.
        seed: of the generator, below 2³².

    Raises:
        UserError: fewer classes than asked for, or too few images to fill each part.
        ValueError: the set has no classes.
    """
    labels = images.label_array()
    classes = len(images.classes)
    if classes < 2:
        raise UserError(
            f"{images.source}: {classes} class; give at least 2, to train on one and search another"
        )
    if not 1 <= train_classes < classes:
        raise UserError(
            f"{images.source}: {classes} classes, so between 1 and {classes - 1} can be trained on "
            f"(--classes {train_classes}); the others are what is searched"
        )
    inside: Rows = np.flatnonzero(labels < train_classes)
    outside: Rows = np.flatnonzero(labels >= train_classes)
    generator = np.random.RandomState(seed)
    inside = inside[generator.permutation(len(inside))]
    outside = outside[generator.permutation(len(outside))]
    tenth = len(inside) // 10
    if tenth == 0 or len(outside) < 2:
        raise UserError(
            f"{images.source}: {len(inside)} images to train on and {len(outside)} to search are "
            "too few to split; give at least 10 and 2"
        )
    parts: list[npt.NDArray[np.int64]] = [
        inside[2 * tenth :], inside[:tenth], inside[tenth : 2 * tenth], outside,
    ]  # fmt: skip
    return Split(*(images.select(rows) for rows in parts))


def unlabelled_split(images: ImageSet, seed: int = REFERENCE_SEED) -> Split:
    """A split of images without classes: a tenth validation, a tenth to be searched, no test.

    Args:
        images: any set; its labels, if it has some, are not looked at.
        seed: of the permutation, below 2³².

    Raises:
        UserError: too few images.
    """
    if len(images) < LEAST_UNLABELLED:
        raise UserError(
            f"{images.source}: {len(images)} images are too few to learn from and to hold some "
            f"out; give at least {LEAST_UNLABELLED}"
        )
    order = np.random.RandomState(seed).permutation(len(images))
    tenth = len(order) // 10
    parts = order[2 * tenth :], order[:tenth], order[:0], order[tenth : 2 * tenth]
    return Split(*(images.select(rows) for rows in parts))
