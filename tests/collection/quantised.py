"""Quantised codes of the small network, and collections as they were kept before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from painted import picture_file

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.transforms.chain import fit_transform
from neuralcodes.codes.transforms.fitted import FittedOn, save_fitted, transform_file
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.training import Training
from neuralcodes.collection.coding import absolute_code
from neuralcodes.collection.collection import Collection
from neuralcodes.collection.store import create_store
from neuralcodes.images.decode import decode

NAMES = ("int8", "half", "binary", "pq16", "opq16")
BYTES = {"int8": 128, "half": 256, "binary": 16, "pq16": 16, "opq16": 16}


def pixels_of(encoder: Encoder, seeds: range) -> np.ndarray:
    """The network's input for painted pictures."""
    pre = encoder.preprocessing
    return np.stack([decode(picture_file(seed), pre.size, pre.resize) for seed in seeds])


def fit_quantisers(code: str, names: tuple[str, ...] = NAMES) -> None:
    """Fit each on codes of 300 painted pictures; its file goes beside the network."""
    encoder = Encoder.open(code, "cpu", "fp32")
    values = encoder.encode(pixels_of(encoder, range(5000, 5300)))[0]
    on = FittedOn("painted", "painted 5000 to 5300", 300, False, 0)
    for name in names:
        if get_transform(name)[0].is_fitted:
            made = fit_transform(encoder.specs[0], name, Training(values), on)
            save_fitted(transform_file(encoder.specs[0], [name]), made)


def create_old(path: Path, code: str, dtype: str = "float32") -> Collection:
    """As made before quantised codes were kept in bytes: as they are searched."""
    encoder = Encoder.open(code, "cpu", "fp32")
    create_store(path, {
        "code": encoder.specs[0].to_json(),
        "network": absolute_code(code, encoder.network.name),
        "dtype": dtype,
    })  # fmt: skip
    return Collection.open(path, device="cpu")
