"""Pictures that tests paint, and small networks with weights, for collections."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from neuralcodes.networks.opened import OpenNetwork, save_network
from neuralcodes.networks.registry import get_network


def paint(seed: int, width: int = 60, height: int = 40) -> Image.Image:
    """A smooth coloured picture, another for each seed."""
    dice = np.random.default_rng(seed)
    coarse = dice.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def picture_file(seed: int, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    paint(seed).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def lay_pictures(root: Path, count: int, folders: int = 3, first: int = 0) -> Path:
    """`count` JPEG files in folders a, b, c…"""
    for number in range(first, first + count):
        folder = root / "abcdefgh"[number % folders]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04}.jpg").write_bytes(picture_file(number))
    return root


def zip_pictures(path: Path, count: int, first: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(first, first + count):
            archive.writestr(f"in/{number:04}.jpg", picture_file(number))
    return path


def save_small(path: Path, seed: int = 0) -> Path:
    """The network "small" with seeded weights, untrained."""
    torch.manual_seed(seed)
    kind = get_network("small")
    save_network(path, OpenNetwork.of(path.stem, kind, kind.build(10), 10))
    return path
