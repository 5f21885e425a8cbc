"""`timm:NAME[#REVISION]`: networks of images from the library timm."""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.pretrained import (
    POOLED,
    WEIGHTS,
    Pretrained,
    check_preprocessing,
    find_files,
    load_library,
    loading,
    not_buildable,
    safetensors_of,
    trial,
)
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.weights import files_hash

_SHAPING = ("architecture", "num_classes", "num_features", "global_pool", "model_args")
"""Of a network's config.json: what its outputs depend on."""


def open_pretrained(name: str) -> OpenNetwork:
    """Open a network of images by repository (of owner timm, if none is named) or local folder.

    Raises:
        UserError: timm is not installed; the network is not to be had, has pickled weights only, or
            prepares images in a way that we cannot follow.
    """
    library = load_library("timm", "timm")
    found = find_files(name, (*WEIGHTS, "config.json"), default_owner="timm")
    weights = safetensors_of(found)
    config = found.folder / "config.json"
    if not config.is_file():
        raise UserError(f"{found.name}: has no config.json, so it is no network of timm")
    facts = read_json(config)
    with loading(found.name, "timm"):
        model = library.create_model(f"local-dir:{found.folder}", pretrained=True).eval()
    settings = library.data.resolve_model_data_config(model)
    kind = _kind(found.name, str(facts.get("architecture", "")), model, settings)

    def code(images: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
        return pooled.flatten(1)

    network = Pretrained(model, POOLED, code).eval()
    trial(found.name, network, kind)
    check_preprocessing(found.name, kind, library.data.create_transform(**settings))
    shaping = json.dumps({key: facts.get(key) for key in _SHAPING}, sort_keys=True)
    return OpenNetwork(found.name, kind, network, files_hash(weights, shaping), 0)


def _kind(name: str, architecture: str, model: Any, settings: dict[str, Any]) -> NetworkKind:
    _, height, width = settings["input_size"]
    tall, wide = (math.floor(side / settings["crop_pct"]) for side in (height, width))
    if settings.get("crop_mode") == "squash":
        resize = f"squash{tall}x{wide}"
    elif settings.get("crop_mode") in (None, "center") and tall == wide:
        resize = f"shorter{tall}"
    else:
        raise UserError(f"{name}: pads images, which cannot be followed here; it cannot be used")
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    return NetworkKind(
        name=f"timm:{architecture}",
        build=not_buildable(name),
        layers={},
        default_layer=POOLED,
        input_size=(height, width),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        resize=f"{resize}-{settings['interpolation']}-round",
        patches=(int(grid[0]), int(grid[1])) if grid else None,
    )
