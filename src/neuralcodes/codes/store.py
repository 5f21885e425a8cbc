"""`Codes`: unit-length codes of an image set, and the files they are kept in.

`NAME.npy` holds the codes, `NAME.json` says what they are. The JSON is written last, so a
NAME.json means that NAME.npy is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_write, read_json, write_json


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


def save_codes(path: Path, codes: Codes) -> None:
    """Write `path`.npy and `path`.json, each atomically.

    Raises:
        UserError: full disk or no right to write.
    """
    manifest, array = path.with_name(path.name + ".json"), path.with_name(path.name + ".npy")
    manifest.unlink(missing_ok=True)  # it speaks of the older codes
    with atomic_write(array) as file:
        np.save(file, codes.values, allow_pickle=False)
    write_json(
        manifest,
        {
            "code": codes.spec.to_json(),
            "count": len(codes),
            "dtype": str(codes.values.dtype),
            "images": codes.images,
            "keys": list(codes.keys),
        },
    )


def load_codes(path: Path) -> Codes:
    """Open codes written by `save_codes`, memory-mapped. `path` may end in .npy or .json or not.

    Raises:
        UserError: absent, unfinished, or the two files do not belong together.
    """
    base = path.with_suffix("") if path.suffix in (".npy", ".json") else path
    manifest, array = base.with_name(base.name + ".json"), base.with_name(base.name + ".npy")
    facts = read_json(manifest)
    spec = CodeSpec.from_json(facts["code"])
    try:
        values = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{array}: cannot be read ({error}); extract the codes again") from None
    if values.shape != (facts["count"], spec.dims) or str(values.dtype) != facts["dtype"]:
        raise UserError(f"{array}: not the codes that {manifest.name} describes; extract them again")
    return Codes(spec, values, tuple(facts["keys"]), facts["images"])
