"""Real codes for the benchmarks: all of Tiny ImageNet through the `shipped` network.

    NEURALCODES_TINY_IMAGENET=… python benchmarks/codes.py

Writes 100,000 × 128 codes to runs/bench (ignored by git) once; 5 to 8 minutes on a core.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent.parent / "runs" / "bench"
Floats = npt.NDArray[np.float32]


def real_codes() -> Floats:
    """float32 100,000×128, memory-mapped; made if they are not there."""
    path = FOLDER / "code.npy"
    if not path.is_file():
        from neuralcodes.codes.encoder import Encoder
        from neuralcodes.codes.spec import parse_code
        from neuralcodes.images.tinyimagenet import tiny_imagenet
        from neuralcodes.networks.opened import open_network
        from neuralcodes.networks.runtime import choose_runtime

        images = tiny_imagenet(Path(os.environ["NEURALCODES_TINY_IMAGENET"]))
        request = parse_code("shipped")
        encoder = Encoder(open_network("shipped"), [request], choose_runtime(precision="fp32"))
        encoder.encode_images(images, FOLDER, ["code"])
    codes: Floats = np.load(path, mmap_mode="r")
    return codes


if __name__ == "__main__":
    print(real_codes().shape)
