"""What an experiment is made of, and how its images are found and split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuralcodes.common.errors import UserError
from neuralcodes.common.machine import describe_machine, source_commit, versions
from neuralcodes.images.classfolders import class_folders
from neuralcodes.images.digits import digits
from neuralcodes.images.download import ensure_tiny_imagenet
from neuralcodes.images.imageset import ImageSet
from neuralcodes.images.splits import REFERENCE_SEED, Split, reference_split
from neuralcodes.images.tinyimagenet import holds_tiny_imagenet, tiny_imagenet
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Precision, Runtime
from neuralcodes.training.recipe import Recipe

Images = Literal["tiny-imagenet", "digits", "folder"]


@dataclass(frozen=True)
class Configuration:
    """The founding experiment, on Tiny ImageNet unless told otherwise.

    Attributes:
        data: place of the images; None for the downloaded Tiny ImageNet.
        images: which kind of image set `data` is; found out when None.
        classes: use only so many first classes; None for all.
        train_classes: of these, how many to train on; None for 19 of 20, as 190 of 200.
        network: by name.
        recipe: how it is trained.
        start: run folder or weights file whose weights it starts with; None for random ones.
        device, precision: where and how it is trained (see `choose_runtime`).
    """

    data: Path | None = None
    images: Images | None = None
    classes: int | None = None
    train_classes: int | None = None
    network: str = "reference"
    recipe: Recipe = field(default_factory=Recipe)
    start: str | None = None
    device: str = "auto"
    precision: Precision = "auto"


@dataclass(frozen=True)
class Prepared:
    """Images at hand and split, ready for an experiment."""

    kind: Images
    images: ImageSet
    split: Split
    train_classes: int


def prepare(configuration: Configuration) -> Prepared:
    """Find, decode and split the images.

    Raises:
        UserError: images absent or too few classes.
    """
    kind, images = _open_images(configuration)
    images = _first_classes(images, configuration.classes)
    classes = len(images.classes)
    train_classes = configuration.train_classes
    if train_classes is None:
        train_classes = classes - min(max(2, round(classes / 20)), classes - 1)
    return Prepared(kind, images, reference_split(images, train_classes), train_classes)


def _open_images(configuration: Configuration) -> tuple[Images, ImageSet]:
    size = get_network(configuration.network).input_size
    if configuration.images == "digits":
        return "digits", digits()
    data = configuration.data
    if configuration.images == "folder" or (data is not None and not holds_tiny_imagenet(data)):
        if data is None:
            raise UserError("--data: give the folder of class folders")
        return "folder", class_folders(data, size)
    return "tiny-imagenet", tiny_imagenet(ensure_tiny_imagenet(data))


def _first_classes(images: ImageSet, count: int | None) -> ImageSet:
    if count is None:
        return images
    if not 2 <= count <= len(images.classes):
        raise UserError(
            f"--classes {count}: {images.source} has {len(images.classes)} classes; "
            f"give 2 to {len(images.classes)}"
        )
    kept = images.select(np.flatnonzero(images.label_array() < count))
    return replace(kept, classes=images.classes[:count])


def describe(prepared: Prepared, configuration: Configuration, runtime: Runtime) -> dict[str, Any]:
    """The run's `config.json`: all that is needed to repeat it. It holds no path."""
    split = prepared.split
    return {
        "images": {
            "kind": prepared.kind,
            "source": prepared.images.source,
            "fingerprint": prepared.images.fingerprint(),
            "classes": len(prepared.images.classes),
            "bad_images": len(prepared.images.bad),
        },
        "train_classes": prepared.train_classes,
        "split_seed": REFERENCE_SEED,
        "split": {name: len(part) for name, part in split.named().items()},
        "network": configuration.network,
        "recipe": configuration.recipe.to_json(),
        **({} if configuration.start is None else {"start": configuration.start}),
        "runtime": runtime.describe(),
        "versions": versions(),
        "commit": source_commit(),
        "machine": describe_machine(),
    }
