"""Images, codes and a command that tests make for themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neuralcodes.cli.main import main
from neuralcodes.codes.spec import CodeSpec, Preprocessing
from neuralcodes.images.imageset import ClassName, ImageSet

Run = Callable[..., tuple[int, str, str]]


def command_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: status, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["neuralcodes", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as left:
            status = int(left.code or 0)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def make_images(count: int, classes: int, size: int = 16, seed: int = 0) -> ImageSet:
    """Noise around one colour a class: learnable, and different for each image."""
    generator = np.random.default_rng(seed)
    labels = np.sort(generator.integers(classes, size=count))
    labels[:classes] = np.arange(classes)
    labels.sort()
    colours = np.random.default_rng(1).integers(40, 215, size=(classes, 3))
    noise = generator.normal(0, 25, size=(count, size, size, 3))
    pixels = (colours[labels][:, None, None, :] + noise).clip(0, 255).astype(np.uint8)
    return ImageSet(
        pixels=pixels,
        rows=np.arange(count),
        keys=tuple(f"{label}/{number}.png" for number, label in enumerate(labels)),
        labels=labels.astype(np.int64),
        classes=tuple(ClassName(str(c), f"class {c}") for c in range(classes)),
        source="made for tests",
        content=f"made {count} {classes} {size} {seed}",
    )


def make_spec(dims: int, layer: str = "L6", **facts: Any) -> CodeSpec:
    """What some code of a layer is, without transforms; `facts` tell of it otherwise."""
    known = {
        "name": f"runs/a@{layer}", "network": "reference", "weights": "ab" * 16, "layer": layer,
        "pooling": "flatten", "transforms": (), "precision": "fp32",
        "preprocessing": Preprocessing((64, 64)), "dims": dims,
    }  # fmt: skip
    return CodeSpec(**{**known, **facts})


def unit_rows(count: int, dims: int, seed: int = 0) -> np.ndarray:
    """Random float32 codes of length 1."""
    values = np.random.default_rng(seed).normal(size=(count, dims)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)
