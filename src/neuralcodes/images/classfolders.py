"""A folder (or zip file) of class folders, with images of any size, as a labelled `ImageSet`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuralcodes.common.errors import UserError
from neuralcodes.images.cache import Decoded, decode_all
from neuralcodes.images.decode import Resize
from neuralcodes.images.imageset import ClassName, ImageSet
from neuralcodes.images.sources import FolderSource, Source, ZipSource


def open_source(path: Path) -> Source:
    """The images below a folder or in a zip file, by the path's kind.

    Raises:
        UserError: no such path, or neither folder nor zip.
    """
    path = Path(path)
    if path.is_dir():
        return FolderSource(path)
    if path.suffix.lower() == ".zip":
        return ZipSource([path])
    if not path.exists():
        raise UserError(f"{path}: no such folder or zip file")
    raise UserError(f"{path}: not a folder and not a zip file")


def class_folders(path: Path, size: tuple[int, int], resize: Resize = "crop") -> ImageSet:
    """Images in class folders: the class is the last folder above the file.

    Classes stand in sorted order of their folders, images within a class in plain string order
    of their names. Unreadable images are listed in `bad`.

    Raises:
        UserError: no such folder, no images, images outside class folders, or a class folder
            without any image.
    """
    source = open_source(path)
    if isinstance(source, FolderSource):
        _refuse_empty_classes(source)
    decoded = decode_all(source, size, resize)
    return labelled(decoded, source.name)


def labelled(
    decoded: Decoded, source: str, titles: dict[str, str] | None = None, below: str = ""
) -> ImageSet:
    """Label decoded images by their folders.

    Args:
        decoded: pixels and keys, in plain string order of the keys.
        source: for the record and for messages.
        titles: descriptions of folders, for people.
        below: a folder name between class folder and file that does not count ("images").
    """
    folders = [_class_of(key, source, below) for key in decoded.keys]
    names = sorted(set(folders))
    emptied = {_class_of(bad.key, source, below) for bad in decoded.bad} - set(names)
    if emptied:
        raise UserError(
            f"{source}: no readable image in class folder {sorted(emptied)[0]}; "
            "mend its files or take the folder away"
        )
    position = {name: number for number, name in enumerate(names)}
    labels = np.array([position[folder] for folder in folders], dtype=np.int64)
    # Sorted by class folder first: "a/b.jpg" and "a-x/c.jpg" sort otherwise as whole strings.
    order = np.lexsort((np.arange(len(labels)), labels))
    titles = titles or {}
    return ImageSet(
        pixels=decoded.pixels,
        rows=order.astype(np.int64),
        keys=decoded.keys,
        labels=labels,
        classes=tuple(ClassName(name, titles.get(name, name)) for name in names),
        source=source,
        content=decoded.content,
        bad=decoded.bad,
    )


def _class_of(key: str, source: str, below: str) -> str:
    parts = key.split("/")[:-1]
    if below and parts and parts[-1] == below:
        parts = parts[:-1]
    if not parts:
        raise UserError(
            f"{source}: {key} lies outside any class folder; put each class's images into a folder"
        )
    return parts[-1]


def _refuse_empty_classes(source: FolderSource) -> None:
    used = {key.split("/", 1)[0] for key in source.keys}
    for entry in sorted(source.root.iterdir()):
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in used:
            raise UserError(
                f"{entry}: a class folder without images; add some or take the folder away"
            )
