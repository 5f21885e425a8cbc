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
from neuralcodes.images.splits import REFERENCE_SEED, Split, reference_split, unlabelled_split
from neuralcodes.images.tinyimagenet import holds_tiny_imagenet, tiny_imagenet
from neuralcodes.images.unlabelled import all_images
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Precision, Runtime
from neuralcodes.training.recipe import Recipe

Images = Literal["tiny-imagenet", "digits", "folder"]
Labels = Literal["folder", "none"]

FOUNDING_SHARE = 1 / 20  # of the classes that are left out, as 10 of 200
RETRAINING_SHARE = 1 / 5  # of a user's few classes


@dataclass(frozen=True)
class Configuration:
    """The founding experiment, on Tiny ImageNet unless told otherwise.

    Attributes:
        data: place of the images; None for the downloaded Tiny ImageNet.
        images: which kind of image set `data` is; found out when None.
        classes: use only so many first classes; None for all.
        train_classes: of these, how many to train on; None for all but `left_out`.
        left_out: share of the classes that are not trained on but searched, at least 2 classes.
        labels: "none" where the images have no classes, or theirs shall not be looked at.
        network: by name.
        recipe: how it is trained.
        start: the network whose weights it starts with; None for random ones.
        device, precision: where and how it is trained (see `choose_runtime`).
    """

    data: Path | None = None
    images: Images | None = None
    classes: int | None = None
    train_classes: int | None = None
    left_out: float = FOUNDING_SHARE
    labels: Labels = "folder"
    network: str = "reference"
    recipe: Recipe = field(default_factory=Recipe)
    start: OpenNetwork | None = None
    device: str = "auto"
    precision: Precision = "auto"


@dataclass(frozen=True)
class Prepared:
    """Images at hand and split, ready for an experiment.

    Attributes:
        kind: of image set.
        images: all of them.
        split: their parts.
        train_classes: how many classes the network tells apart; of images without labels those
            of the weights that it starts with.
    """

    kind: Images
    images: ImageSet
    split: Split
    train_classes: int

    @property
    def labelled(self) -> bool:
        """Whether the images have classes."""
        return self.images.labels is not None


def prepare(configuration: Configuration) -> Prepared:
    """Find, decode and split the images.

    Raises:
        UserError: images absent or too few classes.
    """
    if configuration.labels not in ("folder", "none"):
        raise UserError(f"--labels {configuration.labels}: choose folder or none")
    kind, images = _open_images(configuration)
    if configuration.labels == "none":
        return _prepare_unlabelled(configuration, kind, images)
    images = _first_classes(images, configuration.classes)
    classes = len(images.classes)
    train_classes = configuration.train_classes
    if train_classes is None:
        left_out = round(classes * configuration.left_out)
        train_classes = classes - min(max(2, left_out), classes - 1)
    if configuration.start is not None:
        _require_left_out(images, train_classes)
    return Prepared(kind, images, reference_split(images, train_classes), train_classes)


def _prepare_unlabelled(configuration: Configuration, kind: Images, images: ImageSet) -> Prepared:
    start = configuration.start
    classes = configuration.train_classes or (start.classes if start is not None else 1)
    images = replace(images, labels=None, classes=())
    return Prepared(kind, images, unlabelled_split(images), classes)


def _require_left_out(images: ImageSet, train_classes: int) -> None:
    """Refuse what before and after cannot be judged by."""
    classes = len(images.classes)
    if classes < 4:
        raise UserError(
            f"{images.source}: {classes} class(es) are too few: at least 2 to train on, and 2 left "
            "out to judge by; give more, or fine-tune without classes by --labels none"
        )
    if not 2 <= train_classes <= classes - 2:
        raise UserError(
            f"--train-classes {train_classes}: {images.source} has {classes} classes; give 2 to "
            f"{classes - 2}, so that at least 2 are left out to judge before and after by"
        )
    left_out = np.bincount(images.label_array(), minlength=classes)[train_classes:]
    if left_out.max() < 2:
        raise UserError(
            f"{images.source}: no class left out has 2 images, so nothing can be found there; give "
            "more images, or fewer --train-classes"
        )


def _open_images(configuration: Configuration) -> tuple[Images, ImageSet]:
    size = get_network(configuration.network).input_size
    if configuration.images == "digits":
        return "digits", digits()
    data = configuration.data
    if configuration.images == "folder" or (data is not None and not holds_tiny_imagenet(data)):
        if data is None:
            raise UserError("--data: give the folder of class folders")
        labelled = configuration.labels == "folder"
        return "folder", (class_folders if labelled else all_images)(data, size)
    return "tiny-imagenet", tiny_imagenet(ensure_tiny_imagenet(data), size)


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
    split, start = prepared.split, configuration.start
    return {
        **({} if prepared.labelled else {"labels": "none"}),
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
        **({} if start is None else {"start": describe_start(start)}),
        "runtime": runtime.describe(),
        "versions": versions(),
        "commit": source_commit(),
        "machine": describe_machine(),
    }


def describe_start(start: OpenNetwork) -> dict[str, Any]:
    """The weights that a run starts with, for the record: what they are, not where."""
    path = Path(start.name)
    return {
        "name": path.resolve().name if path.exists() else start.name,
        "network": start.kind.name,
        "classes": start.classes,
        "weights": start.weights,
    }
