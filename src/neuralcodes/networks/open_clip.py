"""`open_clip:NAME[#REVISION]`: networks of images and texts from the library open_clip.

NAME is a repository (`laion/CLIP-ViT-B-32-laion2B-s34B-b79K`) or the library's own name of an
architecture and its weights (`ViT-B-32/laion2b_s34b_b79k`), where these are in a repository.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json
from neuralcodes.networks.names import PretrainedName, parse_pretrained
from neuralcodes.networks.opened import OpenNetwork, TextSide
from neuralcodes.networks.pretrained import (
    IMAGE_EMBEDS,
    Found,
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

_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
            "model.safetensors")  # fmt: skip
_FILES = (
    *_WEIGHTS,
    "open_clip_config.json",
    *("config.json", "tokenizer*", "vocab.*", "merges.txt", "*.model", "special_tokens_map.json"),
)


def open_pretrained(name: str) -> OpenNetwork:
    """Open a network of images and texts by repository, the library's name, or local folder.

    Raises:
        UserError: open_clip is not installed; the network is not to be had, has pickled weights
            only, or prepares images in a way that we cannot follow.
    """
    library = load_library("open_clip", "open_clip")
    found = find_files(_repository(library, parse_pretrained(name)), _FILES)
    [weights] = safetensors_of(found, _WEIGHTS)
    config = found.folder / "open_clip_config.json"
    if not config.is_file():
        raise UserError(
            f"{found.name}: has no open_clip_config.json; it is no network of open_clip"
        )
    facts = read_json(config)["model_cfg"]
    with loading(found.name, "open_clip"):
        model = library.create_model(f"local-dir:{found.folder}", require_pretrained=True).eval()
    settings = dict(model.visual.preprocess_cfg)
    kind = _kind(found.name, model, settings)
    network = Pretrained(model, IMAGE_EMBEDS, model.encode_image).eval()
    trial(found.name, network, kind)
    own = library.transform.image_transform_v2(
        library.transform.PreprocessCfg(**settings), is_train=False
    )
    check_preprocessing(found.name, kind, own)
    digest = files_hash([weights], json.dumps(facts, sort_keys=True))
    return OpenNetwork(found.name, kind, network, digest, 0, _text_side(library, found, model))


def _repository(library: Any, asked: PretrainedName) -> str:
    """The network's name with the repository that the library's own name stands for."""
    architecture, slash, tag = asked.place.partition("/")
    if asked.folder is not None or not slash or architecture not in library.list_models():
        return asked.written
    place = library.pretrained.get_pretrained_cfg(architecture, tag).get("hf_hub", "").rstrip("/")
    if not place:
        tags = ", ".join(library.list_pretrained_tags_by_model(architecture))
        raise UserError(
            f"{asked.written}: open_clip has no repository for these weights; of {architecture} it "
            f"knows {tags}"
        )
    return PretrainedName(asked.source, place, asked.revision).written


def _kind(name: str, model: Any, settings: dict[str, Any]) -> NetworkKind:
    size = settings["size"]
    height, width = (
        int(side) for side in (size if isinstance(size, list | tuple) else (size,) * 2)
    )
    if settings["resize_mode"] == "squash":
        resize = f"squash{height}x{width}"
    elif settings["resize_mode"] == "shortest" and height == width:
        resize = f"shorter{height}"
    else:
        raise UserError(f"{name}: pads images, which cannot be followed here; it cannot be used")
    visual = getattr(model.visual, "trunk", model.visual)
    grid = getattr(getattr(visual, "patch_embed", visual), "grid_size", None)
    filter_ = "bilinear" if settings["interpolation"] == "bilinear" else "bicubic"
    return NetworkKind(
        name="open_clip",
        build=not_buildable(name),
        layers={},
        default_layer=IMAGE_EMBEDS,
        input_size=(height, width),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        resize=f"{resize}-{filter_}-round",
        patches=(int(grid[0]), int(grid[1])) if grid else None,
    )


def _text_side(library: Any, found: Found, model: Any) -> TextSide:
    loaded: list[Any] = []

    def embed(texts: Sequence[str]) -> torch.Tensor:
        if not loaded:
            with loading(found.name, "open_clip"):
                loaded.append(library.get_tokenizer(f"local-dir:{found.folder}"))
        device = next(model.parameters()).device
        features: torch.Tensor = model.encode_text(loaded[0](list(texts)).to(device))
        return features

    return embed
