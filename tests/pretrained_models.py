"""Small networks of random weights, saved by their own library as it saves any network.

No weights can be downloaded where these tests run; the loading is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SIDE = 32
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
WORDS = ("a", "red", "blue", "green", "boat", "house", "tree", "photo", "of", "on", "water")


def _save(folder: Path, model: Any, processor: Any) -> Path:
    with torch.no_grad():
        # as initialised, tokens differ so little that any mistake would stay small
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def vit(folder: Path) -> Path:
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    config = ViTConfig(**TOWER, image_size=SIDE, patch_size=8)
    size = {"height": SIDE, "width": SIDE}
    return _save(folder, ViTModel(config), ViTImageProcessorPil(size=size, resample=2))


def vit_classifier(folder: Path) -> Path:
    """Its pooler has no weights: a classifier has none."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    config = ViTConfig(**TOWER, image_size=SIDE, patch_size=8)
    processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return _save(folder, ViTForImageClassification(config), processor)


def dinov2(folder: Path) -> Path:
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    small = {k: v for k, v in TOWER.items() if k != "intermediate_size"}
    processor = BitImageProcessorPil(
        size={"shortest_edge": 36},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=MEAN,
        image_std=STD,
        resample=3,
    )
    config = Dinov2Config(**small, image_size=SIDE, patch_size=8)
    return _save(folder, Dinov2Model(config), processor)


def registers(folder: Path) -> Path:
    """DINOv2 with four registers, 48×32 pixels: patches in 6 rows and 4 columns."""
    from transformers import (
        BitImageProcessorPil,
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersModel,
    )

    small = {k: v for k, v in TOWER.items() if k != "intermediate_size"}
    config = Dinov2WithRegistersConfig(**small, image_size=SIDE, patch_size=8)
    processor = BitImageProcessorPil(
        size={"height": 54, "width": 40},
        crop_size={"height": 48, "width": 32},
        image_mean=MEAN,
        image_std=STD,
    )
    return _save(folder, Dinov2WithRegistersModel(config), processor)


def convnext(folder: Path) -> Path:
    from transformers import ConvNextConfig, ConvNextImageProcessorPil, ConvNextModel

    config = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 64}, crop_pct=0.9)
    return _save(folder, ConvNextModel(config), processor)


def resnet(folder: Path) -> Path:
    from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 384}, resample=2)
    return _save(folder, ResNetModel(config), processor)


def clip(folder: Path) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    config = CLIPConfig(
        text_config={**TOWER, **_text_settings()},
        vision_config={**TOWER, "image_size": SIDE, "patch_size": 8},
        projection_dim=24,
    )
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    _tokenizer(folder, ["input_ids", "attention_mask"])
    return _save(folder, CLIPModel(config), processor)


def siglip(folder: Path) -> Path:
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    config = SiglipConfig(
        text_config={**TOWER, **_text_settings()},
        vision_config={**TOWER, "image_size": SIDE, "patch_size": 8},
    )
    processor = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    _tokenizer(folder, ["input_ids"])
    return _save(folder, SiglipModel(config), processor)


MAKERS: dict[str, Callable[[Path], Path]] = {
    made.__name__: made
    for made in (vit, vit_classifier, dinov2, registers, convnext, resnet, clip, siglip)
}


def _text_settings() -> dict[str, int]:
    return {
        "vocab_size": len(WORDS) + 3,
        "max_position_embeddings": 12,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }


def _tokenizer(folder: Path, inputs: list[str]) -> None:
    """Whole words of a small vocabulary between begin and end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: place for place, word in enumerate(("<begin>", "<end>", "<other>", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<other>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", 0), ("<end>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<begin>",
        eos_token="<end>",
        pad_token="<end>",
        unk_token="<other>",
        model_input_names=inputs,
    ).save_pretrained(folder)
