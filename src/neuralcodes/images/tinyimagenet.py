"""Tiny ImageNet (200 classes × 500 training images of 64×64) in its official layout.

Read from the unpacked folder, the official zip file, or several zip files that each hold a part
of the classes; nothing is unpacked. Layout: `tiny-imagenet-200/train/WNID/images/WNID_N.JPEG`,
with descriptions of the classes in `words.txt`.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.images.cache import decode_all, find_decoded
from neuralcodes.images.classfolders import labelled, refuse_empty_classes
from neuralcodes.images.imageset import ImageSet
from neuralcodes.images.resizing import Resize
from neuralcodes.images.sources import FolderSource, Source, ZipSource, archive_stamp

SIZE = (64, 64)
CLASSES = 200
FOLDER = "tiny-imagenet-200"

_CLASS_FOLDER = re.compile(r"(?:.*/)?train/([^/]+)/(?:images/)?[^/]*")


def tiny_imagenet(path: Path, size: tuple[int, int] = SIZE, resize: Resize = "crop") -> ImageSet:
    """The training images, in the order of the founding experiment.

    Args:
        path: the folder `tiny-imagenet-200`, a folder that holds it, a zip file of it, or a
            folder that holds one or more such zip files.
        size: height and width of the pixels wanted; the images' own unless given.
        resize: how they become so; see `neuralcodes.images.resizing.Resize`.

    Returns:
        100,000 images (fewer where some are absent), classes in sorted folder order,
        images of a class in plain string order of their names; grey ones have equal channels.

    Raises:
        UserError: nothing of the kind is there, or a class folder has no image.
    """
    path = Path(path)
    folder = _folder_in(path)
    archives = [] if folder else _archives_in(path)
    if not folder and not archives:
        raise UserError(
            f"{path}: no {FOLDER} folder and no tiny-imagenet zip file there; "
            "give its place with --data, or leave --data out to download it"
        )
    short = f"{FOLDER} ({'folder' if folder else 'zip'})"
    # known by its stamp, an archive need not even be opened
    decoded = find_decoded(archive_stamp(archives), size, resize) if archives else None
    if decoded is None:
        source = _open(folder, archives)
        decoded = decode_all(source, size, resize, texts=("words.txt",))
    return labelled(decoded, str(path), short, _class_of, _titles(decoded.texts))


def holds_tiny_imagenet(path: Path) -> bool:
    """Whether `tiny_imagenet` can be had from this path; False also when there is nothing."""
    path = Path(path)
    if path.is_dir():
        return _folder_in(path) is not None or bool(_archives_in(path))
    if path.name.startswith(FOLDER):
        return path.is_file()
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_is_training_image(name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError):
        return False


def _open(folder: Path | None, archives: list[Path]) -> Source:
    source: Source
    if folder:
        source = FolderSource(folder, _is_training_image)
    else:
        source = ZipSource(archives, _is_training_image)
    if not source.keys:
        raise UserError(f"{source.name}: no {FOLDER}/train/WNID/images/*.JPEG in it")
    refuse_empty_classes(source, _class_of)
    # the same keys, and one cache entry, wherever the folder lies and whatever it is called
    source.keys = ["/".join((FOLDER, *key.split("/")[-4:])) for key in source.keys]
    return source


def _is_training_image(name: str) -> bool:
    parts = name.split("/")
    return (
        len(parts) >= 4
        and parts[-4] == "train"
        and parts[-2] == "images"
        and parts[-1].endswith(".JPEG")
    )


def _class_of(key: str) -> str | None:
    match = _CLASS_FOLDER.fullmatch(key)
    return match[1] if match else None


def _folder_in(path: Path) -> Path | None:
    for candidate in (path, path / FOLDER):
        if next(candidate.glob("train/*/images"), None):
            return candidate
    return None


def _archives_in(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(path.glob("tiny-imagenet-200*.zip")) if path.is_dir() else []


def _titles(texts: dict[str, str]) -> dict[str, str]:
    """`words.txt`: a line a class, WordNet id and description with a tab between."""
    titles = {}
    for line in texts.get("words.txt", "").splitlines():
        wnid, _, words = line.partition("\t")
        titles[wnid.strip()] = words.strip()
    return titles
