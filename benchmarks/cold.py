"""From nothing to an answer: `neuralcodes search` in a fresh process among 100,000 images.

    NEURALCODES_TINY_IMAGENET=ZIPS NEURALCODES_CALTECH=ZIP python benchmarks/cold.py [ROUNDS]

The collection is Tiny ImageNet by `shipped` (128 dimensions), indexed once from the zip files with
the codes of `codes.py` in place of the network's pass, found by pixels. Searches are by an image of
the collection (no torch needed) and by a photograph that it does not hold (the network is opened).
Beside them in turn: a Python that does nothing, one that imports torch, one that also opens the
shipped network from its file. Files are in the system's cache.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import SCRATCH, Ratio, record, take_turns

from codes import real_codes
from neuralcodes.codes.encoder import Encoder
from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.networks.names import shipped_file

BY_ID = 0.4  # seconds
OVER_TORCH = 1.3


def collection() -> Path:
    """The collection, made if it is not there or of another version."""
    path = SCRATCH / "tiny.nc"
    try:
        with Collection.open(path) as found:
            if len(found) > 99_000:
                return path
    except UserError:
        pass
    from neuralcodes.images.tinyimagenet import tiny_imagenet

    archives = Path(os.environ["NEURALCODES_TINY_IMAGENET"])
    images, codes = tiny_imagenet(archives), real_codes()
    known = {}
    for start in range(0, len(images), 1000):
        rows = np.arange(start, min(start + 1000, len(images)))
        for row, pixels in zip(rows, images.read(rows), strict=True):
            known[hash(pixels.tobytes())] = row
    encoder = Encoder.open("shipped", "auto", "fp32")
    encoder.encode = lambda pixels, form="searched": [  # type: ignore[method-assign]
        np.asarray(codes[[known[hash(one.tobytes())] for one in pixels]])
    ]
    shutil.rmtree(path, ignore_errors=True)
    shutil.copy(str(shipped_file()), SCRATCH / "weights.safetensors")
    made = Collection.create(path, "shipped")
    made._coder.adopt(encoder)
    made.sync(sorted(archives.glob("tiny-imagenet-200*.zip")))
    made.close()
    return path


def fresh(*words: str) -> Callable[[], None]:
    """A Python process from start to end."""
    command = [sys.executable, *words]
    return lambda: _run(command)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main(rounds: int) -> None:
    """Race and record."""
    path = str(collection())
    picture = SCRATCH / "photograph.jpg"
    if not picture.is_file():
        with zipfile.ZipFile(os.environ["NEURALCODES_CALTECH"]) as archive:
            name = sorted(one for one in archive.namelist() if one.endswith(".jpg"))[0]
            picture.write_bytes(archive.read(name))
    search = ("-m", "neuralcodes", "search", path)
    # the shipped weights may have been replaced since the codes were made
    weights = ("--code", f"{SCRATCH / 'weights.safetensors'}@code")
    opening = "from neuralcodes.networks.opened import open_network; open_network('shipped')"
    seconds = take_turns({
        "by an image of the collection": fresh(*search, "id:1", "--json"),
        "by a photograph": fresh(*search, str(picture), *weights, "--json"),
        "python": fresh("-c", "pass"),
        "python and torch": fresh("-c", "import torch"),
        "python, torch and the network": fresh("-c", opening),
        "neuralcodes --version": fresh("-m", "neuralcodes", "--version"),
    }, rounds)  # fmt: skip
    by_id, torch = seconds["by an image of the collection"], seconds["python and torch"]
    by_photograph = Ratio.of(torch, seconds["by a photograph"])
    middle: dict[str, Any] = {name: statistics.median(values) for name, values in seconds.items()}
    record(
        "cold", {"images": 100_000, "dims": 128},
        {
            "importing torch, by an image of the collection": Ratio.of(by_id, torch),
            "importing torch, by a photograph": Ratio.of(seconds["by a photograph"], torch),
        },
        "by a photograph at most 1.3 times a Python that imports torch; by an image of the "
        "collection at most 0.4 s",
        met=by_photograph.median <= OVER_TORCH and middle["by an image of the collection"] <= BY_ID,
        notes={
            "seconds": middle,
            "times_the_import_of_torch_by_a_photograph": by_photograph.median,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
