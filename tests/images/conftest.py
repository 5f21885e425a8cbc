"""Pictures and processes for the image tests, all real files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Encode = Callable[..., bytes]


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture with some noise, no symmetry, uint8 H×W×3."""
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    waves = [
        np.sin(rows / (3 + seed % 5) + columns / 7),
        np.cos(columns / 5 - rows / 11),
        rows / height + columns / (2 * width) - 0.7,
    ]
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    return (128 + 90 * np.stack(waves, -1) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    return _picture


@pytest.fixture(scope="session")
def encode() -> Encode:
    def encode(
        height: int = 24, width: int = 24, seed: int = 0, kind: str = "JPEG",
        mode: str = "RGB", **options: Any,
    ) -> bytes:  # fmt: skip
        file = io.BytesIO()
        Image.fromarray(_picture(height, width, seed)).convert(mode).save(file, kind, **options)
        return file.getvalue()

    return encode


@pytest.fixture
def lay(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Lay files out below a new folder."""

    def lay(files: dict[str, bytes], folder: str = "pictures") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for name, data in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root

    return lay


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    """Pack files into a new zip file."""

    def pack(
        files: dict[str, bytes], name: str = "pictures.zip", method: int = zipfile.ZIP_STORED
    ) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", method) as archive:
            for key, data in files.items():
                archive.writestr(key, data)
        return path

    return pack


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    root = tmp_path / "cache"
    monkeypatch.setenv("NEURALCODES_CACHE", str(root))
    return root


# A job in the background of a shell ignores interrupts, and hands that on to its children.
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


@pytest.fixture
def start(cache: Path) -> Iterable[Callable[..., subprocess.Popen[str]]]:
    """Start Python processes that share this test's cache; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE + code, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "NEURALCODES_CACHE": str(cache)},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def cat_and_dog(encode: Encode) -> dict[str, bytes]:
    """Two classes of six pictures of several kinds and sizes, with names in an awkward order."""
    return {
        f"{folder}/{folder}_{number}.{ending}": encode(
            20 + 7 * number, 50 - 3 * number, seed=10 * which + number, kind=kind
        )
        for which, folder in enumerate(("cat", "dog"))
        for number, (ending, kind) in enumerate([
            ("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("bmp", "BMP"), ("gif", "GIF"),
            ("tif", "TIFF"),
        ])
    }  # fmt: skip
