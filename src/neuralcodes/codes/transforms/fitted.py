"""A fitted transform with what it belongs to, and its file.

`TRANSFORM.safetensors` holds the tensors; its header says which code the transform was fitted on
and on which images. It lies under the network's folder in the order of the chain: that of
`runs/r1@L6/pca128/int8` is `runs/r1/transforms/L6/pca128/int8.safetensors`, and a pooling other
than `flatten` is one more folder. Networks that are no folder or file of the user's (`shipped`,
`hf:…`) have one under `NEURALCODES_HOME`, named after network and weights.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.transforms.base import Transform
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.common.errors import UserError
from neuralcodes.networks.names import path_of

FORMAT = "1"


@dataclass(frozen=True)
class FittedOn:
    """The images that a transform learned from.

    Attributes:
        source: their short name.
        images: fingerprint of the image set.
        count: how many.
        labels: whether their classes were used.
        seed: of what was drawn.
    """

    source: str
    images: str
    count: int
    labels: bool
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A transform, the code that it continues, and what it learned from (None: nothing)."""

    transform: Transform
    before: CodeSpec
    on: FittedOn | None

    @property
    def spec(self) -> CodeSpec:
        """The code that comes out."""
        transform = self.transform
        return self.before.then(
            transform.name, transform.digest(), transform.dims(self.before.dims)
        )


def transform_file(code: CodeSpec, names: Sequence[str]) -> Path:
    """Where the last of these transforms behind the code `code` is kept.

    Args:
        code: without transforms.
        names: at least one.

    Raises:
        UserError: the code's network is a path that is not there, or there is no home folder.
    """
    folder = _network_folder(code) / _layer(code)
    if code.pooling != "flatten":
        folder /= code.pooling
    return folder.joinpath(*names[:-1], f"{names[-1]}.safetensors")


def _layer(code: CodeSpec) -> str:
    """The layer as people type it: its alias where the network gives it one."""
    from neuralcodes.networks.registry import get_network, network_names

    kind = get_network(code.network) if code.network in network_names() else None
    aliases = {own: alias for alias, own in kind.layers.items()} if kind else {}
    return aliases.get(code.layer, code.layer)


def _network_folder(code: CodeSpec) -> Path:
    network = code.name.rpartition("@")[0]
    place = path_of(network)
    if place is None:
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", network.partition("#")[0])
        return data_folder() / "transforms" / f"{readable}-{code.weights[:16]}"
    if not place.exists():
        raise UserError(
            f"{network}: no such run folder or weights file, so transforms have no place to lie"
        )
    return (place if place.is_dir() else place.with_suffix("")) / "transforms"


def data_folder() -> Path:
    """`NEURALCODES_HOME`, else `XDG_DATA_HOME`/neuralcodes, else ~/.local/share/neuralcodes.

    Raises:
        UserError: there is no home folder.
    """
    try:
        if own := os.environ.get("NEURALCODES_HOME"):
            return Path(own).expanduser()
        shared = os.environ.get("XDG_DATA_HOME")
        return (Path(shared) if shared else Path.home() / ".local" / "share") / "neuralcodes"
    except RuntimeError:
        raise UserError(
            "no home folder for fitted transforms; set NEURALCODES_HOME to a folder"
        ) from None


def fitted_on_any(spec: CodeSpec, images: Collection[str]) -> tuple[str, ...]:
    """The transforms of a code that learned from one of these image sets, as far as can be told.

    Args:
        spec: of a code with transforms. Those whose file is gone or another by now are passed over.
        images: fingerprints. Sets that merely overlap have others.
    """
    names = [entry.partition(":")[0] for entry in spec.transforms]
    base = replace(spec, name=spec.name.removesuffix("/" + "/".join(names)), transforms=())
    found = []
    for place, entry in enumerate(spec.transforms):
        try:
            path = transform_file(base, names[: place + 1])
            fitted = load_fitted(path) if path.is_file() else None
        except UserError:
            continue
        if fitted and fitted.on and f"{names[place]}:{fitted.transform.digest()}" == entry:
            found += [names[place]] if fitted.on.images in images else []
    return tuple(found)


def save_fitted(path: Path, fitted: Fitted) -> None:
    """Write atomically.

    Raises:
        UserError: full disk or no right to write.
    """
    # here, so that transforms are read without torch
    import torch

    from neuralcodes.networks.weights import save_tensors

    assert fitted.on is not None
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(tensor))
        for name, tensor in fitted.transform.tensors.items()
    }
    save_tensors(
        path,
        tensors,
        {
            "transform": fitted.transform.name,
            "format": FORMAT,
            "hash": fitted.transform.digest(),
            "before": json.dumps(fitted.before.to_json()),
            "fitted_on": json.dumps(asdict(fitted.on)),
            "facts": json.dumps(dict(fitted.transform.facts)),
        },
    )


def load_fitted(path: Path) -> Fitted:
    """Read what `save_fitted` wrote.

    Raises:
        UserError: absent, damaged, or not a transform.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such transform")
    try:
        with safe_open(str(path), "np") as file:
            about: Mapping[str, str] = file.metadata() or {}
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from None
    if about.get("format") != FORMAT or "transform" not in about:
        raise UserError(
            f"{path}: not a transform that this version reads; fit it again with `neuralcodes fit`"
        )
    transform, number = get_transform(about["transform"])
    made = transform(number, tensors, json.loads(about["facts"]))
    if made.digest() != about["hash"]:
        raise UserError(f"{path}: damaged, its numbers are not those that were saved")
    before = CodeSpec.from_json(json.loads(about["before"]))
    return Fitted(made, before, FittedOn(**json.loads(about["fitted_on"])))
