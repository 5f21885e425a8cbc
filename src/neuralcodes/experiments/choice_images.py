"""The images of a choice: opened at each network's size, their classes picked, and sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuralcodes.choosing.task import Rows, lonely, sample_rows
from neuralcodes.common.errors import UserError
from neuralcodes.experiments.runfolder import RunFolder
from neuralcodes.images.classfolders import class_folders, open_source
from neuralcodes.images.digits import digits
from neuralcodes.images.imageset import ImageSet
from neuralcodes.images.tinyimagenet import holds_tiny_imagenet, tiny_imagenet
from neuralcodes.images.unlabelled import all_images
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import NetworkKind

if TYPE_CHECKING:
    from neuralcodes.experiments.choice import Choosing, Labels

DIGITS = "digits"


@dataclass(frozen=True)
class Chosen:
    """Images that take part.

    Attributes:
        images: by network, the same images in the same order at each network's size.
        label_array: int64 n, their classes; None without.
        labels: how images are judged.
        source: their short name.
        count, classes: how many.
        of_images: how many there were to draw from.
        which: which classes, in words.
        notes: a line for what was left out.
    """

    images: dict[str, ImageSet]
    label_array: Rows | None
    labels: Labels
    source: str
    count: int
    classes: int
    of_images: int
    which: str
    notes: tuple[str, ...]


def choose_images(choosing: Choosing, networks: Sequence[OpenNetwork]) -> Chosen:
    """Open, pick and sample.

    Raises:
        UserError: no such place, no such classes, or networks that see different files.
    """
    if choosing.labels not in (None, "folder", "none", "both"):
        raise UserError(f"--labels {choosing.labels}: choose folder, none or both")
    if choosing.max_images < 2:
        raise UserError(f"--max-images {choosing.max_images}: give at least 2")
    notes: list[str] = []
    labels = choosing.labels
    if labels is None:
        labels = "none" if _is_flat(choosing.place) else "folder"
        if labels == "none":
            notes.append(f"{choosing.place}: no class folders; quality is estimated from views")
    opened = {
        network.name: _open(choosing.place, network.kind, labels != "none") for network in networks
    }
    first = next(iter(opened.values()))
    keys = [first.key(row) for row in range(len(first))]
    for name, images in opened.items():
        if [images.key(row) for row in range(len(images))] != keys:
            raise UserError(
                f"{choosing.place}: not the same images can be read at the size of {name} as at "
                f"that of {networks[0].name}; mend or take away what cannot be read"
            )
    if first.bad:
        notes.append(f"{len(first.bad)} image(s) cannot be read (the first: {first.bad[0].key})")
    rows, which = _pick(choosing, opened, networks)
    if labels != "none":
        alone = lonely(first.label_array()[rows])
        if len(alone):
            notes.append(f"{len(alone)} image(s) are alone in their class; left out")
            rows = np.delete(rows, alone)
    of_images = len(rows)
    known = None if labels == "none" else first.label_array()[rows]
    drawn = sample_rows(known, len(rows), choosing.max_images, choosing.seed)
    if len(drawn) < of_images:
        notes.append(
            f"{len(drawn):,} of {of_images:,} images drawn (--max-images {choosing.max_images})"
        )
    rows = rows[drawn]
    picked = None if known is None else known[drawn]
    return Chosen(
        images={name: images.select(rows) for name, images in opened.items()},
        label_array=picked,
        labels=labels,
        source=first.source,
        count=len(rows),
        classes=0 if picked is None else len(np.unique(picked)),
        of_images=of_images,
        which=which,
        notes=tuple(notes),
    )


def _open(place: str, kind: NetworkKind, labelled: bool) -> ImageSet:
    size = kind.input_size
    if place == DIGITS and not Path(place).exists():
        images = digits()
    elif holds_tiny_imagenet(Path(place)):
        images = tiny_imagenet(Path(place), size, kind.resize)
    elif labelled:
        images = class_folders(Path(place), size, kind.resize)
    else:
        images = all_images(Path(place), size, kind.resize)
    if images.size != size:
        raise UserError(
            f"{images.source}: images of {images.size[0]}×{images.size[1]}, and a network takes "
            f"{size[0]}×{size[1]}; leave that network out"
        )
    return images


def _is_flat(place: str) -> bool:
    """Whether no image lies in a folder of its own."""
    if (place == DIGITS and not Path(place).exists()) or holds_tiny_imagenet(Path(place)):
        return False
    return not any("/" in key for key in open_source(Path(place)).keys)


def _pick(
    choosing: Choosing, opened: dict[str, ImageSet], networks: Sequence[OpenNetwork]
) -> tuple[Rows, str]:
    """Rows of the classes asked for, and which these are in words."""
    first = next(iter(opened.values()))
    everything = np.arange(len(first))
    if first.labels is None:
        if choosing.classes not in ("auto", "all"):
            raise UserError(f"--classes {choosing.classes}: the images have no classes")
        return everything, "all images"
    labels, names = first.label_array(), first.classes
    if choosing.classes == "all":
        return everything, "all classes"
    if choosing.classes == "auto":
        trained = max(_trained_on(network.name, opened[network.name]) for network in networks)
        if not trained:
            return everything, "all classes"
        return np.flatnonzero(labels >= trained), "classes that no network was trained on"
    wanted = _numbers(choosing.classes, [name.folder for name in names])
    return np.flatnonzero(np.isin(labels, wanted)), f"classes {choosing.classes}"


def _numbers(text: str, names: Sequence[str]) -> list[int]:
    start, colon, stop = text.partition(":")
    if colon and all(not part or part.isdigit() for part in (start, stop)):
        numbers = list(range(len(names)))[int(start or 0) : int(stop or len(names))]
        if not numbers:
            raise UserError(f"--classes {text}: there are {len(names)} classes, from 0")
        return numbers
    position = {name: number for number, name in enumerate(names)}
    numbers = []
    for name in text.split(","):
        if name.strip() not in position:
            raise UserError(
                f"--classes: no class folder {name.strip()!r}; there are {', '.join(names[:8])}"
                + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            )
        numbers.append(position[name.strip()])
    return numbers


def _trained_on(network: str, images: ImageSet) -> int:
    """How many first classes of these images the network was trained on; 0 for other images."""
    run = RunFolder(Path(network))
    if not run.config_file.is_file():
        return 0
    config = run.read_config()
    about = config.get("images", {})
    classes = int(about.get("classes", 0))
    if not 2 <= classes <= len(images.classes):
        return 0
    # a run may have used the first classes of a larger set
    same = images.select(np.flatnonzero(images.label_array() < classes))
    if about.get("fingerprint") != same.fingerprint():
        return 0
    return int(config["train_classes"])
