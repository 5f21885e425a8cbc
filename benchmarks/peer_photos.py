"""Codes of a folder of photographs by other libraries: contestants for `worker.py`.

All take one ViT-B/32 of CLIP's shape with random weights, which `save_clip` writes once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32


def photographs(path: str) -> list[Path]:
    return sorted(one for one in Path(path).rglob("*.jpg"))


def save_clip(out: str) -> Callable[[], None]:
    """A CLIP of ViT-B/32's shape with random weights, a tokenizer's file left out."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).eval().save_pretrained(out)
    CLIPImageProcessorPil().save_pretrained(out)
    return lambda: None


def hf(model: str, path: str, precision: str = "fp32") -> Callable[[], int]:
    """transformers' own processor and model, in batches."""
    import torch
    from PIL import Image
    from transformers import CLIPImageProcessorPil, CLIPModel

    network = CLIPModel.from_pretrained(model).eval()
    processor = CLIPImageProcessorPil.from_pretrained(model)
    names = photographs(path)

    def work() -> int:
        parts = []
        for start in range(0, len(names), BATCH):
            images = [Image.open(one).convert("RGB") for one in names[start : start + BATCH]]
            inputs = processor(images=images, return_tensors="pt")
            with torch.inference_mode(), torch.autocast("cpu", enabled=precision == "bf16"):
                found = network.get_image_features(**inputs)
            found = getattr(found, "pooler_output", found)
            parts.append(torch.nn.functional.normalize(found.float()).numpy())
        return len(np.concatenate(parts))

    return work


def sentence_transformers(model: str, path: str) -> Callable[[], int]:
    """sentence-transformers' `encode` of opened pictures."""
    from PIL import Image
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import CLIPModel

    network = SentenceTransformer(modules=[CLIPModel(model)], device="cpu")
    names = photographs(path)

    def work() -> int:
        images = [Image.open(one).convert("RGB") for one in names]
        return len(network.encode(images, batch_size=BATCH, normalize_embeddings=True))  # type: ignore[arg-type]

    return work


def timm(path: str) -> Callable[[], int]:
    """timm's network of the same shape and its own transforms."""
    import timm as library
    import torch
    from PIL import Image

    network = library.create_model("vit_base_patch32_clip_224", pretrained=False, num_classes=512)
    network = network.eval()
    transform = library.data.create_transform(
        **library.data.resolve_model_data_config(network), is_training=False
    )
    names = photographs(path)

    def work() -> int:
        parts = []
        for start in range(0, len(names), BATCH):
            opened = [Image.open(one).convert("RGB") for one in names[start : start + BATCH]]
            with torch.inference_mode():
                found = network(torch.stack([transform(one) for one in opened]))
            parts.append(torch.nn.functional.normalize(found).numpy())
        return len(np.concatenate(parts))

    return work


def ours(code: str, path: str, precision: str, scratch: str) -> Callable[..., int]:
    """`neuralcodes index` of the folder into a new collection, the network warm.

    `alone="network"` runs the network only, over pixels that lie ready; `alone="decode"` reads,
    hashes and decodes only.
    """
    import shutil

    from neuralcodes.codes.encoder import Encoder
    from neuralcodes.codes.passes import BATCH as PASS
    from neuralcodes.collection.collection import Collection
    from neuralcodes.collection.pictures import Pictures
    from neuralcodes.collection.reading import Job, Reader
    from neuralcodes.collection.walk import open_root, walk

    encoder = Encoder.open(code, "auto", precision)
    where, empty = Path(scratch), Path(scratch + ".empty")
    shutil.rmtree(empty, ignore_errors=True)
    Collection.create(empty, code, precision=precision).close()  # opens the network: not timed
    preprocessing = encoder.specs[0].preprocessing
    jobs = [Job(found, None) for found in walk(open_root(Path(path)))]

    def anew() -> Path:
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(empty, where)
        return where

    def read() -> list[Any]:
        reader = Reader(anew(), Pictures(where), preprocessing)
        return [one.pixels for one in reader.read(jobs) if one.pixels is not None]

    pixels = np.stack(read())

    def work(alone: str = "") -> int:
        if alone == "network":
            for start in range(0, len(pixels), PASS):
                encoder.encode(pixels[start : start + PASS])
            return len(pixels)
        if alone == "decode":
            return len(read())
        with Collection.open(anew()) as collection:
            collection._coder.adopt(encoder)
            collection.sync([path])
            return collection.info().images

    return work
