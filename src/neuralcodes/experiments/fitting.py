"""Fit transforms of a code on a user's images, and keep them beside the network."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import CodeSpec, Preprocessing, parse_code
from neuralcodes.codes.store import Codes
from neuralcodes.codes.transforms.chain import Chain, apply_transforms, fit_transform
from neuralcodes.codes.transforms.fitted import (
    Fitted,
    FittedOn,
    load_fitted,
    save_fitted,
    transform_file,
)
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError
from neuralcodes.experiments.founding import reopen
from neuralcodes.images.classfolders import class_folders
from neuralcodes.images.imageset import ImageSet
from neuralcodes.images.tinyimagenet import holds_tiny_imagenet, tiny_imagenet
from neuralcodes.images.unlabelled import all_images

TRAIN = "train"  # instead of a path: the images that the run's network was trained on


@dataclass(frozen=True)
class Fitting:
    """What is fitted, and on what.

    Attributes:
        code: what the transforms continue, for instance `runs/r1@L6`.
        transforms: one name or several joined by `/` each (`pca128/int8`).
        on: path of a folder or zip file of images, or `train`.
        labels: "folder" where the images' class folders tell which match, "none" where the codes
            themselves shall; None for "folder" exactly if a transform learns from pairs.
        data: where the run's own images are, for `train`.
        sample: use so many of the images, drawn with the seed; None for all.
        seed: of everything drawn.
        refit: overwrite transforms that are there.
        device, precision: see `choose_runtime`.
    """

    code: str
    transforms: tuple[str, ...]
    on: str
    labels: Literal["folder", "none"] | None = None
    data: Path | None = None
    sample: int | None = None
    seed: int = 0
    refit: bool = False
    device: str = "auto"
    precision: str = "fp32"


def fit(fitting: Fitting) -> list[Fitted]:
    """Fit and write the transforms; gives the last step of each asked-for chain, in order.

    Raises:
        UserError: whatever a user can mend (code, images, names, a transform that is there).
    """
    request = parse_code(fitting.code)
    asked = [(*request.transforms, *text.split("/")) for text in fitting.transforms]
    encoder = Encoder.open(fitting.code, fitting.device, fitting.precision)
    for names in asked:
        _refuse_early(encoder.specs[0], names, fitting.refit)
    if fitting.labels not in (None, "folder", "none"):
        raise UserError(f"--labels {fitting.labels}: choose folder or none")
    learns = any(get_transform(name)[0].needs_pairs for names in asked for name in names)
    labelled = learns if fitting.labels is None else fitting.labels == "folder"
    images = _open_images(fitting, request.network, encoder.preprocessing, labelled)
    on = FittedOn(
        images.source, images.fingerprint(), len(images), learns and labelled, fitting.seed
    )
    with tempfile.TemporaryDirectory(prefix="neuralcodes-") as folder:
        codes = encoder.encode_images(images, Path(folder), ["codes"])[0]
        labels = images.label_array() if labelled else None
        tree = _Tree(asked, on, labels)
        tree.codes[request.transforms] = codes
        return [tree.fitted(names) for names in asked]


@dataclass
class _Tree:
    """Chains of transforms that begin with one code; what two begin with alike is made once.

    Attributes:
        asked: the chains to fit; what stands before their ends is taken from its file if it can.
        on: the images.
        labels: theirs, if they are to be used.
        codes: of the images, by chain.
    """

    asked: list[tuple[str, ...]]
    on: FittedOn
    labels: npt.NDArray[np.int64] | None
    codes: dict[tuple[str, ...], Codes] = field(default_factory=dict)
    _trainings: dict[tuple[str, ...], Training] = field(default_factory=dict)
    _fitted: dict[tuple[str, ...], Fitted] = field(default_factory=dict)

    def fitted(self, names: tuple[str, ...]) -> Fitted:
        """The last step of a chain, fitted or read."""
        if names not in self._fitted:
            codes = self._codes(names[:-1])
            path = transform_file(codes.spec, names)
            if names not in self.asked and path.is_file():
                made = load_fitted(path)
            else:
                training = self._training(names[:-1])
                made = fit_transform(codes.spec, names[-1], training, self.on)
                save_fitted(path, made)
            self._fitted[names] = made
        return self._fitted[names]

    def _codes(self, names: tuple[str, ...]) -> Codes:
        if names not in self.codes:
            before = self._codes(names[:-1])
            chain = Chain(before.spec).then(self.fitted(names))
            self.codes[names] = apply_transforms(before, chain)
        return self.codes[names]

    def _training(self, names: tuple[str, ...]) -> Training:
        if names not in self._trainings:
            values = self._codes(names).values
            self._trainings[names] = Training(values, self.labels, self.on.seed)
        return self._trainings[names]


def _refuse_early(code: CodeSpec, names: tuple[str, ...], refit: bool) -> None:
    """Refuse, before any image is looked at, what could not be written in the end."""
    kinds = [get_transform(name)[0] for name in names]
    for place, kind in enumerate(kinds[:-1]):
        if kind.is_quantiser:
            raise UserError(
                f"{names[place]} must be the last transform; {names[place + 1]} cannot follow it"
            )
    if not kinds[-1].is_fitted:
        raise UserError(
            f"{names[-1]} has nothing to learn; give it in --code as it is, for instance "
            f"--code {code.name}/{names[-1]}"
        )
    path = transform_file(code, names)
    if path.is_file() and not refit:
        on = load_fitted(path).on
        raise UserError(
            f"{path}: is there already, fitted on {on.source if on else 'nothing'}; use it, or "
            "give --refit to fit it again (codes made with the old one are then of another kind)"
        )


def _open_images(fitting: Fitting, network: str, pre: Preprocessing, labelled: bool) -> ImageSet:
    if fitting.on == TRAIN:
        run, prepared = reopen(Path(network), fitting.data)
        if prepared.images.fingerprint() != run.read_config()["images"]["fingerprint"]:
            raise UserError(
                f"--data: not the images that {network} was trained on; give the place of those"
            )
        images = prepared.split.train
        if labelled and not prepared.labelled:
            raise UserError(f"{network}: trained without labels; give class folders with --on")
    elif holds_tiny_imagenet(Path(fitting.on)):
        images = tiny_imagenet(Path(fitting.on), pre.size, pre.resize)
    elif labelled:
        images = class_folders(Path(fitting.on), pre.size, pre.resize)
    else:
        images = all_images(Path(fitting.on), pre.size, pre.resize)
    if fitting.sample is None or fitting.sample >= len(images):
        return images
    if fitting.sample < 2:
        raise UserError(f"--sample {fitting.sample}: give at least 2")
    return images.sample(fitting.sample, fitting.seed)
