"""`ImageSet`: ordered, addressable images of one size, with optional class labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

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
    """n images; row i has pixels, key and label number i.

    Attributes:
        pixels: uint8, n×H×W×3, RGB; usually a read-only memory map.
        rows: int64, length n: the rows of `pixels` that make up this set, in its order.
        keys: the images' names (relative paths with "/"), one per row of `pixels`.
        labels: int64, one per row of `pixels`: position in `classes`; None without classes.
        classes: the classes, in sorted folder order.
        bad: files that could not be decoded (they have no row).
        source: where the images came from, for the record.
        content: sha256 that changes with any file's bytes, order or size on decoding.
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
        """The images at these positions of this set, in this order (pixels are not copied)."""
        picked = self.rows[np.asarray(rows, dtype=np.int64)]
        return ImageSet(
            self.pixels, picked, self.keys, self.labels, self.classes, self.source, self.content,
            self.bad,
        )  # fmt: skip

    def read(self, rows: npt.ArrayLike) -> Pixels:
        """Pixels of these positions, uint8 k×H×W×3, copied into memory."""
        return np.asarray(self.pixels[self.rows[np.asarray(rows, dtype=np.int64)]])

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
