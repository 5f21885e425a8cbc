"""`hf:NAME[#REVISION]`: networks of images from the library transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json
from neuralcodes.networks.opened import OpenNetwork, TextSide
from neuralcodes.networks.pretrained import (
    IMAGE_EMBEDS,
    POOLED,
    WEIGHTS,
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

_FILES = (
    *WEIGHTS,
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    *("tokenizer*", "vocab.*", "merges.txt", "*.model", "special_tokens_map.json"),
)
_CHANGING = {"_name_or_path", "architectures", "dtype", "id2label", "label2id", "torch_dtype",
             "transformers_version"}  # fmt: skip
"""Of a configuration: what makes no difference to the outputs."""
_WITHOUT_PILLOW = ("DINOv3ViTImageProcessor", "DINOv3ViTImageProcessorFast")
"""Image processors that transformers has for torchvision only, which resize, scale, normalise."""


def open_pretrained(name: str) -> OpenNetwork:
    """Open a network of images by repository or local folder.

    Raises:
        UserError: transformers is not installed; the network is not to be had, is not one of
            images, has pickled weights only, or prepares images in a way that we cannot follow.
    """
    library = load_library("transformers", "hf")
    found = find_files(name, _FILES)
    weights = safetensors_of(found)
    settings = _settings(found)
    with _quiet(library):
        model = _load(library, found)
        processor = _processor(library, found)
    texts = hasattr(model, "get_text_features") and hasattr(model, "get_image_features")
    if not texts and getattr(model, "main_input_name", "") != "pixel_values":
        raise UserError(f"{name}: a {type(model).__name__} is not a network of images")
    layer = IMAGE_EMBEDS if texts else POOLED
    kind = _kind(found, model, processor, layer)
    network = Pretrained(model, layer, _Code(model, texts, kind.patches)).eval()
    trial(found.name, network, kind)
    if not isinstance(processor, SimpleNamespace):
        exact = getattr(processor, "backend", "pil") == "pil"
        # torchvision rounds a pixel otherwise than Pillow, by one of 255 steps at most
        tolerance = 1e-4 if exact else 1.1 / 255 / min(kind.std)
        check_preprocessing(found.name, kind, _preparation(processor), tolerance)
    side = _text_side(library, found, model) if texts else None
    return OpenNetwork(found.name, kind, network, files_hash(weights, settings), 0, side)


class _Code:
    """The network's own code: what it projects an image to, or its pooled output."""

    def __init__(self, model: Any, texts: bool, patches: tuple[int, int] | None) -> None:
        self._model = model
        self._texts = texts
        self._patches = patches

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        if self._texts:
            return _features(self._model.get_image_features(pixel_values=images))
        output = self._model(pixel_values=images)
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            pooled = self._pool(output.last_hidden_state)
        flat: torch.Tensor = pooled.flatten(1)
        return flat

    def _pool(self, last: torch.Tensor) -> torch.Tensor:
        """The class token where there is one, else the mean over places."""
        if last.ndim == 3:
            rows, columns = self._patches or (0, 0)
            return last[:, 0] if last.shape[1] > rows * columns > 0 else last.mean(1)
        return last.flatten(2).mean(2)


def _features(output: Any) -> torch.Tensor:
    """What `get_image_features` and `get_text_features` give, in any release."""
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the library's remarks and bars; what matters becomes an error of ours."""
    logging = library.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _settings(found: Found) -> str:
    """What shapes the outputs beside the weights, as a text."""
    file = found.folder / "config.json"
    if not file.is_file():
        raise UserError(f"{found.name}: has no config.json, so it is no network of transformers")

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(part) for key, part in value.items() if key not in _CHANGING}
        return value

    return json.dumps(kept(read_json(file)), sort_keys=True)


def _load(library: Any, found: Found) -> nn.Module:
    with loading(found.name, "transformers"):
        model, told = library.AutoModel.from_pretrained(
            found.folder,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    absent = sorted(told["missing_keys"])
    if absent and all(key.startswith("pooler.") for key in absent):
        model.pooler = None  # it would be of random numbers
        absent = []
    if absent:
        raise UserError(
            f"{found.name}: its weights lack {absent[0]}"
            + (f" and {len(absent) - 1} more" if len(absent) > 1 else "")
            + f" of a {type(model).__name__}"
        )
    network: nn.Module = model.eval()
    return network


def _processor(library: Any, found: Found) -> Any:
    """The image processor of Pillow if there is one; of others, what their file says."""
    try:
        return library.AutoImageProcessor.from_pretrained(
            found.folder, local_files_only=True, backend="pil"
        )
    except Exception as error:  # OSError without a file, ImportError without torchvision
        file = found.folder / "preprocessor_config.json"
        if file.is_file():
            facts = read_json(file)
            if facts.get("image_processor_type") in _WITHOUT_PILLOW:
                return SimpleNamespace(**facts)
        raise UserError(
            f"{found.name}: without an image processor that can be used "
            f"({str(error).strip().splitlines()[0]})"
        ) from error


def _kind(found: Found, model: Any, processor: Any, layer: str) -> NetworkKind:
    """The network as one of ours: input size, preprocessing, tokens."""
    config = model.config
    refusal = UserError(
        f"{found.name}: its image processor ({type(processor).__name__}) makes no images of one "
        "size; it cannot be used"
    )
    if not getattr(processor, "do_resize", False):
        raise refusal
    size, crop = (_numbers(getattr(processor, name, None)) for name in ("size", "crop_size"))
    if not getattr(processor, "do_center_crop", False):
        crop = {}
    shorter = size.get("shortest_edge")
    if shorter and size.get("longest_edge"):
        raise refusal
    if shorter:
        square, resize = (shorter, shorter), f"shorter{shorter}"
        if "ConvNext" in type(processor).__name__:
            # their own rule: crop below 384 pixels, squash from there on
            wide = f"squash{shorter}x{shorter}"
            resize = f"shorter{int(shorter / processor.crop_pct)}" if shorter < 384 else wide
    elif size.get("height") and size.get("width"):
        square = (size["height"], size["width"])
        resize = f"squash{square[0]}x{square[1]}"
    else:
        raise refusal
    kind = Image.Resampling(int(getattr(processor, "resample", None) or 0)).name.lower()
    mean, std = _normalisation(processor, refusal)
    input_size = (crop["height"], crop["width"]) if crop else square
    return NetworkKind(
        name=f"hf:{config.model_type}",
        build=not_buildable(found.name),
        layers={},
        default_layer=layer,
        input_size=input_size,
        mean=mean,
        std=std,
        resize=f"{resize}-{kind}",
        patches=_patches(config, input_size),
    )


def _numbers(size: Any) -> dict[str, int]:
    """A size as the library has it, an object or a mapping, as plain numbers."""
    names = ("height", "width", "shortest_edge", "longest_edge")
    if size is None:
        return {}
    found = {n: size.get(n) if isinstance(size, dict) else getattr(size, n, None) for n in names}
    return {name: int(value) for name, value in found.items() if value}


def _normalisation(
    processor: Any, refusal: UserError
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and deviation of pixels in [0, 1], whatever factor the processor scales pixels by."""
    factor = float(processor.rescale_factor) if getattr(processor, "do_rescale", False) else 1.0
    scale = 255 * factor
    mean, std = [0.0] * 3, [1.0] * 3
    if getattr(processor, "do_normalize", False):
        mean, std = list(processor.image_mean), list(processor.image_std)
    if len(mean) != 3 or len(std) != 3:
        raise refusal
    a, b, c = (float(value) / scale for value in mean)
    d, e, f = (float(value) / scale for value in std)
    return (a, b, c), (d, e, f)


def _patches(config: Any, input_size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of a transformer's image tokens; None without patches of one size."""
    side = getattr(getattr(config, "vision_config", config), "patch_size", None)
    rows, columns = side if isinstance(side, list | tuple) and len(side) == 2 else (side, side)
    if not isinstance(rows, int) or not isinstance(columns, int) or min(rows, columns) < 1:
        return None
    return input_size[0] // rows, input_size[1] // columns


def _preparation(processor: Any) -> Any:
    def prepare(image: Image.Image) -> torch.Tensor:
        made = processor(images=[image], return_tensors="pt")["pixel_values"]
        return torch.as_tensor(made[0])

    return prepare


def _text_side(library: Any, found: Found, model: Any) -> TextSide:
    """Texts to the space that the network shares between texts and images."""
    limit = int(getattr(model.config, "text_config", model.config).max_position_embeddings)
    loaded: list[Any] = []

    def embed(texts: Sequence[str]) -> torch.Tensor:
        if not loaded:
            with _quiet(library):
                loaded.append(_tokenizer(library, found.name, found.folder))
        tokenizer = loaded[0]
        with _quiet(library):
            for text in texts:
                if len(tokenizer(text)["input_ids"]) > limit:
                    raise UserError(
                        f"--text {text[:40]!r}…: longer than {limit} tokens; shorten it"
                    )
            # SigLIP was trained with all texts filled up to one length, and CLIP does not mind
            tokens = tokenizer(
                list(texts), padding="max_length", max_length=limit, return_tensors="pt"
            )
        device = next(model.parameters()).device
        known = {name: tokens[name].to(device) for name in tokens if name in _TOKENS}
        return _features(model.get_text_features(**known))

    return embed


_TOKENS = ("input_ids", "attention_mask")


def _tokenizer(library: Any, name: str, folder: Path) -> Any:
    try:
        return library.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a file from elsewhere may lead the library into
        raise UserError(
            f"{name}: has no tokenizer that can be used, so no texts can be searched by "
            f"({str(error).strip().splitlines()[0]})"
        ) from error
