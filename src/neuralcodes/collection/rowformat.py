"""`RowFormat`: how codes lie in a collection's files.

A code that ends in a quantiser lies there in the quantiser's bytes, uint8 n×bytes. What decodes
them, a copy of the quantiser, lies beside them, so that nothing but the collection is needed to
read it. Other codes lie there as they are searched, float32 or float16 n×d; so do quantised ones in
collections that were made before codes were kept in bytes.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.transforms.base import Quantiser
from neuralcodes.codes.transforms.fitted import Fitted, load_fitted, save_fitted
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.collection.segments import Array
from neuralcodes.common.errors import UserError

QUANTISER = "quantiser.safetensors"
DTYPES = ("float32", "float16")  # of codes as they are searched
STORED = np.dtype(np.uint8)


class RowFormat:
    """A row of a file of codes.

    Args:
        folder: the collection's.
        spec: what its codes are.
        dtype: of the files; uint8 for a quantiser's bytes.

    Attributes:
        stored: whether rows are a quantiser's bytes.
        width: numbers in a row.
        row_bytes: bytes of a row.
        name: in words: a number type, or the quantiser's name.
    """

    def __init__(self, folder: Path, spec: CodeSpec, dtype: str) -> None:
        self._spec = spec
        self.quantiser_file = folder / QUANTISER
        self.dims = spec.dims
        self.dtype = np.dtype(dtype)
        self.stored = self.dtype == STORED
        self.width = spec.bytes_per_code if self.stored else spec.dims
        self.row_bytes = self.width * self.dtype.itemsize
        self.name = _last(spec)[0] if self.stored else dtype

    @cached_property
    def quantiser(self) -> Quantiser:
        """What rows in bytes are decoded by; read when it is first needed, without torch.

        Raises:
            UserError: its file is absent or damaged.
        """
        return self.read_quantiser()

    def read_quantiser(self) -> Quantiser:
        """The same, read again.

        Raises:
            UserError: its file is absent or damaged.
        """
        name, digest = _last(self._spec)
        kind, number = get_transform(name)
        path = self.quantiser_file
        try:
            transform = load_fitted(path).transform if kind.is_fitted else kind(number, {})
        except UserError as error:
            raise UserError(f"{error}; mend it with: neuralcodes verify --repair") from None
        if not isinstance(transform, Quantiser) or transform.digest() != digest:
            raise UserError(
                f"{path}: not the {name} that these codes were stored by; mend it with: "
                "neuralcodes verify --repair"
            )
        return transform

    def readable(self, rows: Array) -> Array | StoredRows:
        """Rows of a file as codes: what gives float codes when rows of it are taken."""
        return StoredRows(rows, self.quantiser, self.dims) if self.stored else rows

    def keep_quantiser(self, last: Fitted) -> None:
        """Write the copy, where rows are in bytes and there is something to know of them.

        Raises:
            UserError: full disk or no right to write.
        """
        if self.stored and last.transform.is_fitted:
            save_fitted(self.quantiser_file, last)


def dtype_of(spec: CodeSpec, asked: str | None) -> str:
    """The number type of a new collection's files.

    Args:
        spec: of its codes.
        asked: float32 or float16; None for what fits the code.

    Raises:
        UserError: something else, or a number type for codes that a quantiser stores.
    """
    quantised = bool(spec.transforms) and get_transform(_last(spec)[0])[0].is_quantiser
    if asked is None:
        return str(STORED) if quantised else DTYPES[0]
    if asked not in DTYPES:
        raise UserError(f"--dtype {asked}: choose {' or '.join(DTYPES)}")
    if quantised:
        raise UserError(
            f"--dtype {asked}: {spec.name} is stored as {_last(spec)[0]}, {spec.bytes_per_code:,} "
            "bytes a code; leave --dtype out"
        )
    return asked


def _last(spec: CodeSpec) -> tuple[str, str]:
    """Name and hash of the last transform."""
    name, _, digest = spec.transforms[-1].partition(":")
    return name, digest
