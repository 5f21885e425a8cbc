"""From the names that protocols use to rows of codes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from neuralcodes.common.errors import UserError
from neuralcodes.images.sources import IMAGE_ENDINGS

SHOWN = 3  # names in an error


def without_ending(name: str) -> str:
    """A name without the ending of an image file."""
    base, ending = os.path.splitext(name)
    return base if ending.lower() in IMAGE_ENDINGS else name


def stem(name: str) -> str:
    """A name without folders and ending."""
    return without_ending(name.rsplit("/", 1)[-1])


class Names:
    """Finds the row of an image by its name.

    A protocol may write less than the key that the code was stored under: `all_souls_000013` is
    `jpg/all_souls_000013.jpg`. Folders that it writes must agree, endings must not.
    """

    def __init__(self, keys: Sequence[str], what: str) -> None:
        """Take the keys in the order of their rows; `what` names them in errors."""
        self._keys = keys
        self._what = what
        self._exact = {key: row for row, key in enumerate(keys)}
        self._by_stem: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            self._by_stem.setdefault(stem(key), []).append(row)
        if len(self._exact) < len(keys):
            twice = next(key for row, key in enumerate(keys) if self._exact[key] != row)
            raise UserError(f"{what}: two images are named {twice}; names must differ")

    def find(self, name: str) -> int:
        """The row of the image of this name; -1 where there is none.

        Raises:
            UserError: the name fits several.
        """
        if name in self._exact:
            return self._exact[name]
        path = without_ending(name.strip("/"))
        fitting = [
            row
            for row in self._by_stem.get(stem(name), [])
            if ("/" + without_ending(self._keys[row])).endswith("/" + path)
        ]
        if len(fitting) > 1:
            raise UserError(
                f"{self._what}: {name} fits {self._keys[fitting[0]]} and {self._keys[fitting[1]]}; "
                "extract codes from a folder where it is one image"
            )
        return fitting[0] if fitting else -1

    def find_all(
        self, names: Iterable[str], role: str, what: str = "code"
    ) -> npt.NDArray[np.int64]:
        """The rows of all these images, int64; `role` and `what` are for the error.

        Raises:
            UserError: some are not there; the message counts them and names the first.
        """
        wanted = list(names)
        rows = np.array([self.find(name) for name in wanted], dtype=np.int64)
        absent = [name for name, row in zip(wanted, rows, strict=True) if row < 0]
        if absent:
            shown = ", ".join(list(dict.fromkeys(absent))[:SHOWN])
            more = ", …" if len(set(absent)) > SHOWN else ""
            raise UserError(
                f"{self._what}: {len(absent)} of {len(wanted)} {role} have no {what} "
                f"({shown}{more}); all images of the protocol are needed"
            )
        return rows
