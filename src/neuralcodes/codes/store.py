"""`Codes`: unit-length codes of an image set, and the files they are kept in.

`NAME.npy` holds the codes, `NAME.json` says what they are. The JSON is written last, so a
NAME.json means that NAME.npy is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import check_room, explain_os_errors, read_json, write_json


@dataclass(frozen=True)
class Codes:
    """n codes: row i is the code of the image named `keys[i]`.

    Attributes:
        spec: what the codes are.
        values: float32 n×d, rows of length 1 (or zero), in memory or memory-mapped.
        keys: the images' names.
        images: fingerprint of the image set.
    """

    spec: CodeSpec
    values: npt.NDArray[np.float32]
    keys: tuple[str, ...]
    images: str

    def __len__(self) -> int:
        return len(self.values)


def save_codes(path: Path, codes: Codes) -> Codes:
    """Write codes at hand as `path`.npy and `path`.json; gives them memory-mapped.

    Raises:
        UserError: full disk or no right to write.
    """
    with new_codes(path, codes.spec, codes.keys, codes.images) as values:
        values[:] = codes.values
    return load_codes(path)


@contextmanager
def new_codes(
    path: Path, spec: CodeSpec, keys: tuple[str, ...], images: str
) -> Iterator[npt.NDArray[np.float32]]:
    """A memory-mapped float32 n×d array to be filled, which becomes `path`.npy when it is whole.

    Raises:
        UserError: full disk or no right to write.
    """
    manifest, array = _files(path)
    work = array.with_name(f".{array.name}.{os.getpid()}")
    shape = (len(keys), spec.dims)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remedy = "free some space or choose another --out (for temporary codes: TMPDIR)"
        check_room(path.parent, shape[0] * shape[1] * 4, "codes", remedy)
        try:
            values = np.lib.format.open_memmap(work, mode="w+", dtype=np.float32, shape=shape)
            yield values
            values.flush()
            del values
            manifest.unlink(missing_ok=True)  # it speaks of the older codes
            work.replace(array)
        finally:
            work.unlink(missing_ok=True)
    write_json(
        manifest,
        {
            "code": spec.to_json(),
            "count": len(keys),
            "dtype": "float32",
            "images": images,
            "keys": list(keys),
        },
    )


def load_codes(path: Path) -> Codes:
    """Open codes written by `save_codes`, memory-mapped. `path` may end in .npy or .json or not.

    Raises:
        UserError: absent, unfinished, or the two files do not belong together.
    """
    base = path.with_suffix("") if path.suffix in (".npy", ".json") else path
    manifest, array = _files(base)
    facts = read_json(manifest)
    spec = CodeSpec.from_json(facts["code"])
    try:
        values = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{array}: cannot be read ({error}); extract the codes again") from None
    if values.shape != (facts["count"], spec.dims) or str(values.dtype) != facts["dtype"]:
        raise UserError(
            f"{array}: not the codes that {manifest.name} describes; extract them again"
        )
    return Codes(spec, values, tuple(facts["keys"]), facts["images"])


def _files(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + ".json"), path.with_name(path.name + ".npy")
