"""A folder (or zip file) of class folders, with images of any size, as a labelled `ImageSet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from neuralcodes.common.errors import UserError
from neuralcodes.images.cache import Decoded, decode_all
from neuralcodes.images.imageset import ClassName, ImageSet
from neuralcodes.images.resizing import Resize
from neuralcodes.images.sources import FolderSource, Source, ZipSource

PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
"""Names of folders that hold class folders rather than being one."""


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


def short_name(path: Path) -> str:
    """A source's name for the record, without its place: `photos (folder)`."""
    path = Path(path)
    return f"{path.resolve().name} (folder)" if path.is_dir() else f"{path.stem} (zip)"


def class_folders(path: Path, size: tuple[int, int], resize: Resize = "crop") -> ImageSet:
    """Images in class folders: the class is the first folder that not all images share.

    `photos/cat/1.jpg`, `photos/cat/garden/2.jpg` and, in a zip, `Photos 2024/cat/1.jpg` are all
    of class `cat`. Folders called train, val or test (and the like), when there are no others
    beside them, are looked through: their images are pooled.

    Classes stand in sorted order of their folders, images within a class in plain string order
    of their names. Unreadable images are listed in `bad`.

    Args:
        path: a folder or a zip file.
        size: height and width of the pixels wanted.
        resize: how images of another shape become so; see `neuralcodes.images.resizing.Resize`.

    Raises:
        UserError: no such folder, no images, images outside class folders, or a class folder
            without any (readable) image.
    """
    source = open_source(path)
    head = _shared_folders(source.keys)
    # without it a folder, its parent and a zip file of it have the same keys and one cache entry
    source.keys = [key[len(head) :] for key in source.keys]
    source.folders = [name[len(head) :] for name in source.folders if name.startswith(head)]
    level = _class_level(source.keys)

    def class_of(key: str) -> str | None:
        folders = key.split("/")[:-1]
        return folders[level] if len(folders) > level else None

    refuse_empty_classes(source, class_of)
    return labelled(decode_all(source, size, resize), source.name, short_name(path), class_of)


def labelled(
    decoded: Decoded,
    place: str,
    source: str,
    class_of: Callable[[str], str | None],
    titles: dict[str, str] | None = None,
) -> ImageSet:
    """Label decoded images by their keys.

    Args:
        decoded: pixels and keys, in plain string order of the keys.
        place: where they came from, for messages.
        source: the same in short, for the record.
        class_of: the class folder of a key; None outside of any.
        titles: descriptions of class folders, for people.

    Raises:
        UserError: an image is outside any class, or a class has no image that could be read.
    """
    folders = [_demand_class(key, class_of, place) for key in decoded.keys]
    good = decoded.good()
    names = sorted(set(folders))
    position = {name: number for number, name in enumerate(names)}
    labels = np.array([position[folder] for folder in folders], dtype=np.int64)
    emptied = np.flatnonzero(np.bincount(labels[good], minlength=len(names)) == 0)
    if len(emptied):
        first = next(image for image in decoded.bad if class_of(image.key) == names[emptied[0]])
        raise UserError(
            f"{place}: no readable image in class folder {names[emptied[0]]} "
            f"({first.key}: {first.reason}); mend its files or take the folder away"
        )
    # Sorted by class folder first: "a/b.jpg" and "a-x/c.jpg" sort otherwise as whole strings.
    order = np.argsort(labels, kind="stable")
    titles = titles or {}
    return ImageSet(
        pixels=decoded.pixels,
        rows=order[good[order]].astype(np.int64),
        keys=decoded.keys,
        labels=labels,
        classes=tuple(ClassName(name, titles.get(name, name)) for name in names),
        source=source,
        content=decoded.content,
        bad=decoded.bad,
    )


def refuse_empty_classes(source: Source, class_of: Callable[[str], str | None]) -> None:
    """Raise a `UserError` that names the first class folder in which there is no image.

    A source without any image passes: `decode_all` says so in its own words.
    """
    if not source.keys:
        return
    used = {class_of(key) for key in source.keys}
    for folder in source.folders:
        name = class_of(f"{folder}/")
        if name is not None and name not in used:
            raise UserError(
                f"{source.name}: no image in class folder {folder}; add some or take it away"
            )


def _demand_class(key: str, class_of: Callable[[str], str | None], place: str) -> str:
    name = class_of(key)
    if name is None:
        raise UserError(
            f"{place}: {key} lies outside any class folder; put each class's images into a folder"
        )
    return name


def _shared_folders(keys: Sequence[str]) -> str:
    """The leading folders that all keys have in common, `a/b/`, leaving each a class folder."""
    if not keys:
        return ""
    # of sorted names the first and the last differ earliest
    first, last = (key.split("/")[:-1] for key in (keys[0], keys[-1]))
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    if all(key.count("/") == depth for key in keys):  # all in one folder: the only class
        depth = max(0, depth - 1)
    return "".join(f"{name}/" for name in first[:depth])


def _class_level(keys: Sequence[str]) -> int:
    """1 where the folders at the top are parts of a split, with class folders in them; else 0."""
    folders = [key.split("/")[:-1] for key in keys]
    apart = all(len(names) > 1 and names[0].lower() in PARTS for names in folders)
    return 1 if apart and folders else 0
