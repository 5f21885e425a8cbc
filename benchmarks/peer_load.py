"""Ways to load class folders of 64×64 JPEG files: contestants for `worker.py`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np


def ours(path: str, cache: str) -> Callable[..., int]:
    """`tiny_imagenet`: with `again` from the cache that the last call left, else without one."""
    os.environ["NEURALCODES_CACHE"] = cache
    from neuralcodes.images.tinyimagenet import tiny_imagenet

    def work(again: bool = False) -> int:
        if not again:
            shutil.rmtree(cache, ignore_errors=True)
        images = tiny_imagenet(Path(path))
        return int(images.read(np.array([0, len(images) - 1])).sum()) and len(images)

    return work


def files(path: str) -> list[Path]:
    """All pictures, in the founding experiment's order."""
    return sorted(Path(path).rglob("*.JPEG"))


def growing(path: str) -> Callable[[], int]:
    """The reference's way: imread of each file, and an array that grows by concatenation."""
    import imageio.v3 as imageio

    def work() -> int:
        images = np.empty((0, 64, 64, 3), dtype=np.uint8)
        for name in files(path):
            one = imageio.imread(name)
            if one.ndim == 2:
                one = np.stack([one] * 3, axis=2)
            images = np.concatenate([images, one[None]])
        return len(images)

    return work


def pillow(path: str) -> Callable[[], int]:
    """A loop over Pillow into a list, then one array."""
    from PIL import Image

    def work() -> int:
        return len(np.stack([np.asarray(Image.open(one).convert("RGB")) for one in files(path)]))

    return work


def decode_alone(path: str) -> Callable[[], int]:
    """The limit: JPEG decoding of bytes that lie in memory, on all cores."""
    import simplejpeg

    if Path(path).is_dir() and not list(Path(path).glob("*.zip")):
        data = [one.read_bytes() for one in files(path)]
    else:
        data = _from_zips(Path(path))
    cores = len(os.sched_getaffinity(0))

    def some(part: list[bytes]) -> int:
        return sum(int(simplejpeg.decode_jpeg(one, "RGB")[0, 0, 0] >= 0) for one in part)

    def work() -> int:
        parts = [data[start : start + 256] for start in range(0, len(data), 256)]
        with ThreadPoolExecutor(cores) as pool:
            return sum(pool.map(some, parts))

    return work


def _from_zips(path: Path) -> list[bytes]:
    import zipfile

    found: list[bytes] = []
    for archive in sorted(path.glob("tiny-imagenet-200*.zip")):
        with zipfile.ZipFile(archive) as opened:
            names = [n for n in opened.namelist() if n.endswith(".JPEG") and "/train/" in n]
            found += [opened.read(name) for name in names]
    return found


def unpack(archives: Path, out: Path, classes: int, each: int = 500) -> Path:
    """Some classes of Tiny ImageNet as files, `each` of a class; done once."""
    import zipfile

    target = out / f"tiny-{classes}x{each}"
    if target.is_dir():
        return target
    work: Any = out / f".tiny-{classes}x{each}"
    left = classes
    for archive in sorted(archives.glob("tiny-imagenet-200*.zip")):
        with zipfile.ZipFile(archive) as opened:
            by_class: dict[str, list[str]] = {}
            for name in sorted(opened.namelist()):
                if name.endswith(".JPEG") and "/train/" in name:
                    by_class.setdefault(name.split("/train/")[1].split("/")[0], []).append(name)
            for wnid in sorted(by_class)[:left]:
                folder = work / "tiny-imagenet-200" / "train" / wnid / "images"
                folder.mkdir(parents=True, exist_ok=True)
                for name in by_class[wnid][:each]:
                    (folder / Path(name).name).write_bytes(opened.read(name))
            left -= min(left, len(by_class))
    work.rename(target)
    return target
