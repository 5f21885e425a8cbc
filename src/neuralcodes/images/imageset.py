"""`ImageSet`: ordered, addressable images of one size, with optional class labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BadImage:
    """An image file that could not be read, and why. It is counted, never dropped silently."""

    key: str
    reason: str


@dataclass(frozen=True)
class ClassName:
    """A class: the name of its folder and, where there is one, a description for people."""

    folder: str
    title: str


@dataclass(frozen=True)
class ImageSet:
    """n images; image i has the pixels, key and label of row `rows[i]`.

    Attributes:
        pixels: uint8, N×H×W×3, RGB; usually a read-only memory map.
        rows: int64, length n: the rows of `pixels` that make up this set, in its order.
        keys: the images' names (relative paths with "/"), one per row of `pixels`.
        labels: int64, one per row of `pixels`: position in `classes`; None without classes.
        classes: the classes, in sorted folder order.
        source: a short name of where the images came from, for the record; never a full path.
        content: digest that changes with any file's bytes, order or size on decoding.
        bad: files that could not be decoded; their rows of `pixels` are in no set.
    """

    pixels: Pixels
    rows: Rows
    keys: Sequence[str]
    labels: Labels | None
    classes: tuple[ClassName, ...]
    source: str
    content: str
    bad: tuple[BadImage, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def select(self, rows: npt.ArrayLike) -> ImageSet:
        """The images at these positions of this set, in this order (pixels are not copied).

        Args:
            rows: integers, or a boolean mask of length n.
        """
        return replace(self, rows=self._rows(rows))

    def sample(self, count: int, seed: int) -> ImageSet:
        """So many of the images, drawn without replacement, in their order; all where there are
        no more."""
        if count >= len(self):
            return self
        drawn = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return self.select(np.sort(drawn))

    def read(self, rows: npt.ArrayLike) -> Pixels:
        """Pixels of these positions, uint8 k×H×W×3, copied into memory."""
        return np.asarray(self.pixels[self._rows(rows)])

    def key(self, row: int) -> str:
        """The name of image `row` of this set."""
        return self.keys[int(self.rows[row])]

    def label_array(self) -> Labels:
        """Labels of this set's images, int64 n.

        Raises:
            ValueError: the set has no classes.
        """
        if self.labels is None:
            raise ValueError(f"{self.source} has no class labels")
        return self.labels[self.rows]

    def fingerprint(self) -> str:
        """sha256 over content and selection: equal exactly if the same images in the same order."""
        digest = hashlib.sha256(self.content.encode())
        digest.update(self.rows.tobytes())
        return digest.hexdigest()

    def _rows(self, positions: npt.ArrayLike) -> Rows:
        index = np.asarray(positions)
        # an empty list is of floats to NumPy; a mask and whole numbers are as they should be
        picked: Rows = self.rows[index if index.size else index.astype(np.int64)]
        return picked
