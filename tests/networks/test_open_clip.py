"""Networks of open_clip: the same codes of images and texts as by the library's own steps.

open_clip imports torchvision; where there is none that fits the installed torch, this is skipped.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.common.errors import UserError
from neuralcodes.images.unlabelled import all_images
from neuralcodes.networks.names import parse_pretrained
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import Runtime

try:
    import open_clip
except Exception as error:  # torchvision beside another torch raises a RuntimeError
    pytest.skip(f"open_clip cannot be imported here ({error})", allow_module_level=True)

CPU = Runtime(torch.device("cpu"), "fp32")
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module", params=["shortest", "squash"])
def model(request, tmp_path_factory) -> Path:
    """Random weights, saved as the library saves them."""
    import safetensors.torch

    folder = tmp_path_factory.mktemp("open_clip")
    torch.manual_seed(0)
    made = open_clip.CLIP(**CONFIG)
    safetensors.torch.save_file(made.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bicubic"}
    facts = {"model_cfg": CONFIG, "preprocess_cfg": {**preprocess, "resize_mode": request.param}}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp("photos")
    for name in map(Path, load_sample_images().filenames):
        with Image.open(name) as picture:
            picture.save(folder / f"{name.stem}.png")
            picture.crop((0, 0, 211, 307)).save(folder / f"{name.stem}.part.png")
    return folder


def test_images_and_texts_equal_the_librarys(model, photos, tmp_path) -> None:
    network = open_network(f"open_clip:{model}")
    encoder = Encoder(network, [parse_code("n")], CPU)
    pre = encoder.preprocessing
    [codes] = encoder.encode_images(all_images(photos, pre.size, pre.resize), tmp_path)
    texts = ["a red boat", "two houses"]
    [told] = encoder.encode_texts(texts)
    own, _, transform = open_clip.create_model_and_transforms(f"local-dir:{model}")
    tokens = open_clip.get_tokenizer(f"local-dir:{model}")(texts)
    pictures = torch.stack([transform(Image.open(path)) for path in sorted(photos.iterdir())])
    own.eval()
    with torch.no_grad():
        images = own.encode_image(pictures, normalize=True).numpy()
        expected = own.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(codes.values, images, atol=1e-4)
    np.testing.assert_allclose(told, expected, atol=1e-5)
    assert np.abs(images[0] - images[-1]).max() > 1e-3
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_tokens(model) -> None:
    name = f"open_clip:{model}"
    network = open_network(name)
    assert network.kind.patches == (4, 4)
    layer = "visual.transformer.resblocks.1"
    encoder = Encoder(network, [parse_code(f"{name}@{layer}/{p}") for p in ("cls", "gem")], CPU)
    assert [spec.dims for spec in encoder.specs] == [64, 64]


def test_the_librarys_own_names_lead_to_repositories() -> None:
    from neuralcodes.networks.open_clip import _repository

    for name, expected in {
        "open_clip:ViT-B-32/laion2b_s34b_b79k": "open_clip:laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "open_clip:laion/CLIP-ViT-B-32-laion2B-s34B-b79K#main": None,
    }.items():
        assert _repository(open_clip, parse_pretrained(name)) == (expected or name)
    with pytest.raises(UserError, match="has no repository for these weights; of ViT-B-32"):
        _repository(open_clip, parse_pretrained("open_clip:ViT-B-32/nonesuch"))
