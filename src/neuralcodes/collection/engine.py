"""`Engine`: what reads images and makes their codes, for `Sync`, which decides all the rest.

Which images are new, which contents go through the network together and in which order, and what
is written is decided in one place. So every engine makes the same codes, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from neuralcodes.collection.coding import Coder
from neuralcodes.collection.reading import Job, Reader, Ready
from neuralcodes.collection.segments import Array


class Engine(Protocol):
    """Reads images and makes their codes.

    Attributes:
        commit_seconds: what `Sync` has read is written after so long at the latest.
        groups_ahead: of images that are written together, whose codes may be under way while
            others are read.
    """

    commit_seconds: float
    groups_ahead: int

    def read(self, jobs: Sequence[Job]) -> Iterator[Ready]:
        """Each job's image, in order. `Ready.pixels` is what `encode` takes."""

    def encode(self, pixels: Sequence[Any]) -> Callable[[], Array]:
        """Begin to make the codes of one pass of the network.

        Args:
            pixels: of the images, from `read`; as many as a pass takes, or fewer.

        Returns:
            What waits for them and gives them, n rows as the collection keeps them.
        """


class LocalEngine:
    """All in this process: threads read ahead of the network."""

    commit_seconds = 5.0
    groups_ahead = 0

    def __init__(self, reader: Reader, coder: Coder) -> None:
        self._reader = reader
        self._coder = coder

    def read(self, jobs: Sequence[Job]) -> Iterator[Ready]:
        """See `Engine`."""
        return self._reader.read(jobs)

    def encode(self, pixels: Sequence[Any]) -> Callable[[], Array]:
        """See `Engine`."""
        codes = self._coder.encode_rows(np.stack(pixels))
        return lambda: codes
