"""Networks of timm: the same codes as by the library's own steps.

timm imports torchvision; where there is none that fits the installed torch, this is skipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.common.errors import UserError
from neuralcodes.images.unlabelled import all_images
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import Runtime

try:
    import timm
    from timm.data import create_transform, resolve_model_data_config
    from timm.models import save_for_hf
except Exception as error:  # torchvision beside another torch raises a RuntimeError
    pytest.skip(f"timm cannot be imported here ({error})", allow_module_level=True)

CPU = Runtime(torch.device("cpu"), "fp32")
SETTINGS = {
    "resnet10t": ({}, {"input_size": (3, 64, 64), "crop_pct": 0.9, "interpolation": "bicubic"}),
    "vit_tiny_patch16_224": (
        {"img_size": 64, "depth": 2},
        {"input_size": (3, 64, 64), "crop_pct": 1.0, "crop_mode": "squash"},
    ),
    "convnext_atto": ({}, {"input_size": (3, 64, 64), "crop_pct": 0.875}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """Random weights, saved by the library."""
    made = {}
    for name, (arguments, data) in SETTINGS.items():
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=5, **arguments)
        config = {**resolve_model_data_config(model), **data}
        made[name] = tmp_path_factory.mktemp(name)
        save_for_hf(
            model,
            str(made[name]),
            model_args=arguments,
            safe_serialization=True,
            data_config=config,
        )
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Real photographs; at odd sizes torchvision's middle is not the middle rounded down."""
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp("photos")
    for name in map(Path, load_sample_images().filenames):
        with Image.open(name) as picture:
            picture.save(folder / f"{name.stem}.png")
            for width in (301, 303, 305, 307):
                picture.crop((0, 0, width, 211)).save(folder / f"{name.stem}.{width}.png")
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_codes_equal_the_librarys(name, models, photos, tmp_path) -> None:
    network = open_network(f"timm:{models[name]}")
    assert network.kind.name == f"timm:{name}"
    encoder = Encoder(network, [parse_code("n")], CPU)
    pre = encoder.preprocessing
    [codes] = encoder.encode_images(all_images(photos, pre.size, pre.resize), tmp_path)
    model = timm.create_model(f"local-dir:{models[name]}", pretrained=True, num_classes=0).eval()
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    pictures = [transform(Image.open(path)) for path in sorted(photos.iterdir())]
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model(torch.stack(pictures)), dim=1).numpy()
    np.testing.assert_allclose(codes.values, expected, atol=1e-4)
    assert np.abs(expected[0] - expected[-1]).max() > 1e-3


def test_tokens(models, photos, tmp_path) -> None:
    name = f"timm:{models['vit_tiny_patch16_224']}"
    network = open_network(name)
    assert network.kind.patches == (4, 4)
    encoder = Encoder(
        network, [parse_code(f"{name}@norm/spoc"), parse_code(f"{name}@norm/cls")], CPU
    )
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    mean, cls = encoder.encode(pixels)
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    scaled = (values - torch.tensor(network.kind.mean).view(3, 1, 1)) / torch.tensor(
        network.kind.std
    ).view(3, 1, 1)
    model = timm.create_model(name.replace("timm:", "local-dir:"), pretrained=True).eval()
    with torch.no_grad():
        tokens = model.forward_features(scaled)
    unit = torch.nn.functional.normalize
    np.testing.assert_allclose(mean, unit(tokens[:, 1:].mean(1), dim=1), atol=1e-4)
    np.testing.assert_allclose(cls, unit(tokens[:, 0], dim=1), atol=1e-4)


def test_what_is_refused(models, tmp_path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        open_network(f"timm:{tmp_path}/absent")
    with pytest.raises(UserError, match="no safetensors weights"):
        open_network(f"timm:{tmp_path}")
    model = timm.create_model("resnet10t", num_classes=5)
    config = {**resolve_model_data_config(model), "crop_mode": "border"}
    save_for_hf(model, str(tmp_path), safe_serialization=True, data_config=config)
    with pytest.raises(UserError, match="pads images"):
        open_network(f"timm:{tmp_path}")
