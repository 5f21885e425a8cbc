"""Segments: files of codes, `codes/000001.npy`, plain arrays, a row a code, never changed."""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_write, check_room, explain_os_errors

FOLDER = "codes"

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
Sums = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Segment:
    """One file of codes as the database has it.

    Attributes:
        id: its number.
        file: its name below `codes/`.
        ids: int64 n, the code of each row.
        crcs: uint32 n, CRC-32 of each row's bytes.
        checksum: sha256 of the file, hex.
    """

    id: int
    file: str
    ids: Ids
    crcs: Sums
    checksum: str


def segment_name(number: int) -> str:
    """The file name of segment `number`."""
    return f"{number:06}.npy"


def write_segment(
    path: Path, shape: tuple[int, int], dtype: np.dtype[Any], blocks: Iterable[Array]
) -> tuple[str, Sums]:
    """Write codes as a .npy file: whole, synced and under its name when this returns.

    Args:
        path: the file; it must not exist.
        shape: n and the numbers of a row.
        dtype: float32 or float16; uint8 for a quantiser's bytes.
        blocks: together n rows; floats, or of that type.

    Returns:
        The file's sha256 and the CRC-32 of each row.

    Raises:
        UserError: full disk or no right to write.
    """
    check_room(path.parent, shape[0] * shape[1] * dtype.itemsize, "codes", "free some space")
    header = io.BytesIO()
    about = np.lib.format.header_data_from_array_1_0(np.empty((0, shape[1]), dtype))
    np.lib.format.write_array_header_1_0(header, {**about, "shape": shape})
    digest = hashlib.sha256(header.getvalue())
    sums = []
    with atomic_write(path) as file:
        file.write(header.getvalue())
        for part in blocks:
            assert part.dtype == dtype or dtype.kind == part.dtype.kind == "f"
            block = np.ascontiguousarray(part, dtype=dtype)
            file.write(block.data)
            digest.update(block.data)
            sums.append(row_sums(block))
    sync_folder(path.parent)
    crcs = np.concatenate([*sums, np.empty(0, np.uint32)])
    assert len(crcs) == shape[0]
    return digest.hexdigest(), crcs


def open_segment(path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Map a segment's codes, read-only.

    Raises:
        FileNotFoundError: it has just been compacted away.
        UserError: damaged or cut short.
    """
    try:
        codes: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path}: damaged ({error}); mend it with: neuralcodes verify --repair"
        ) from None
    if codes.shape != shape or codes.dtype != dtype:
        raise UserError(
            f"{path}: {codes.shape} of {codes.dtype} where {shape} of {dtype} belong; "
            "mend it with: neuralcodes verify --repair"
        )
    return codes


def row_sums(codes: Array) -> Sums:
    """CRC-32 of each row's bytes, uint32 n."""
    rows = np.ascontiguousarray(codes)
    return np.fromiter((zlib.crc32(row.data) for row in rows), dtype=np.uint32, count=len(rows))


def file_sum(path: Path) -> str:
    """sha256 of a file, hex.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    with explain_os_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
