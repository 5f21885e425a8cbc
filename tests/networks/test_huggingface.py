"""Networks of transformers: the same codes as by the library's own steps, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pretrained_models
from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import CodeSpec, parse_code
from neuralcodes.common.errors import UserError
from neuralcodes.images.unlabelled import all_images
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.summary import layer_table

transformers = pytest.importorskip("transformers", reason='needs "neuralcodes[hf]"')

CPU = Runtime(torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    return {name: make(folder / name) for name, make in pretrained_models.MAKERS.items()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two real photographs, also upright, small and odd in size."""
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp("photos")
    names = [Path(name) for name in load_sample_images().filenames]
    for name in names:
        shutil.copy(name, folder / name.name)
        with Image.open(name) as picture:
            picture.rotate(90, expand=True).crop((0, 0, 301, 555)).save(folder / f"{name.stem}.png")
            picture.resize((41, 53)).save(folder / f"{name.stem}.small.png")
            picture.resize((32, 32)).save(folder / f"{name.stem}.right.jpg")
    return folder


def ours(model: Path, photos: Path, out: Path, code: str = "") -> np.ndarray:
    network = open_network(f"hf:{model}")
    encoder = Encoder(network, [parse_code(f"hf:{model}{code}")], CPU)
    pre = encoder.preprocessing
    [codes] = encoder.encode_images(all_images(photos, pre.size, pre.resize), out)
    return np.array(codes.values)


def theirs(model: Path, photos: Path) -> tuple[Any, torch.Tensor]:
    """The library's model, and what its image processor makes of the photographs."""
    loaded = transformers.AutoModel.from_pretrained(model).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(model, backend="pil")
    pictures = [Image.open(path).convert("RGB") for path in sorted(photos.iterdir())]
    return loaded, processor(images=pictures, return_tensors="pt")["pixel_values"]


def unit(values: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(values.flatten(1), dim=1).numpy()


@pytest.mark.parametrize("name", [n for n in pretrained_models.MAKERS if n != "vit_classifier"])
def test_the_networks_own_code_equals_the_librarys(name, models, photos, tmp_path) -> None:
    model, pixels = theirs(models[name], photos)
    with torch.no_grad():
        if name in ("clip", "siglip"):
            expected = model.get_image_features(pixel_values=pixels).pooler_output
        else:
            expected = model(pixel_values=pixels).pooler_output
    made = ours(models[name], photos, tmp_path)
    np.testing.assert_allclose(made, unit(expected), atol=1e-4)
    # and the photographs are told apart, so that this says something
    assert np.abs(made[0] - made[-1]).max() > 0.01


def test_without_weights_of_a_pooler_the_class_token_is_the_code(models, photos, tmp_path) -> None:
    model, pixels = theirs(models["vit_classifier"], photos)
    with torch.no_grad():
        expected = model(pixel_values=pixels).last_hidden_state[:, 0]
    made = ours(models["vit_classifier"], photos, tmp_path)
    np.testing.assert_allclose(made, unit(expected), atol=1e-4)


def test_dinov3_whose_image_processor_is_for_torchvision_only(photos, tmp_path) -> None:
    """By its file alone: squashed with Pillow's filter, scaled, normalised."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    torch.manual_seed(0)
    config = DINOv3ViTConfig(
        **pretrained_models.TOWER, image_size=32, patch_size=8, num_register_tokens=4
    )
    model = DINOv3ViTModel(config).eval()
    model.save_pretrained(tmp_path / "model")
    facts = {
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        **{"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 2},
        **{"image_mean": pretrained_models.MEAN, "image_std": pretrained_models.STD},
        **{"rescale_factor": 1 / 255, "size": {"height": 48, "width": 32}},
    }
    (tmp_path / "model/preprocessor_config.json").write_text(json.dumps(facts))
    network = open_network(f"hf:{tmp_path}/model")
    assert network.kind.patches == (6, 4)
    pictures = [Image.open(path).convert("RGB") for path in sorted(photos.iterdir())]
    small = [np.asarray(p.resize((32, 48), Image.Resampling.BILINEAR)) / 255 for p in pictures]
    scaled = (np.stack(small) - pretrained_models.MEAN) / pretrained_models.STD
    with torch.no_grad():
        pixels = torch.from_numpy(scaled).float().permute(0, 3, 1, 2)
        output = model(pixel_values=pixels)
    made = ours(tmp_path / "model", photos, tmp_path / "a")
    np.testing.assert_allclose(made, unit(output.pooler_output), atol=1e-4)
    made = ours(tmp_path / "model", photos, tmp_path / "b", "@norm/spoc")
    np.testing.assert_allclose(made, unit(output.last_hidden_state[:, 5:].mean(1)), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "layer", "grid", "special"),
    [
        ("vit", "layers.0", (4, 4), 1),
        ("dinov2", "encoder.layer.0", (4, 4), 1),
        ("registers", "encoder.layer.0", (6, 4), 5),
        ("siglip", "vision_model.encoder.layers.0", (4, 4), 0),
    ],
)
def test_poolings_of_tokens(name, layer, grid, special, models, photos, tmp_path) -> None:
    model, pixels = theirs(models[name], photos)
    with torch.no_grad():
        model = getattr(model, "vision_model", model)
        tokens = model(pixel_values=pixels, output_hidden_states=True).hidden_states[1]
    assert tokens.shape[1] == special + grid[0] * grid[1]
    patches = tokens[:, special:].double()
    expected = {
        "spoc": patches.mean(1),
        "mac": patches.amax(1),
        "gem": patches.clamp(min=1e-6).pow(3).mean(1).pow(1 / 3),
    }
    if special:
        expected["cls"] = tokens[:, 0].double()
    for pooling, values in expected.items():
        made = ours(models[name], photos, tmp_path, f"@{layer}/{pooling}")
        np.testing.assert_allclose(made, unit(values), atol=1e-4, err_msg=pooling)


def test_the_grid_is_that_of_the_image(models, photos, tmp_path) -> None:
    """6 rows and 4 columns: R-MAC of the map, region by region."""
    from neuralcodes.codes.pooling import pool

    model, pixels = theirs(models["registers"], photos)
    with torch.no_grad():
        tokens = model(pixel_values=pixels, output_hidden_states=True).hidden_states[1][:, 5:]
    maps = torch.stack([tokens[:, 4 * row : 4 * row + 4] for row in range(6)], 1).permute(
        0, 3, 1, 2
    )
    made = ours(models["registers"], photos, tmp_path, "@encoder.layer.0/rmac")
    np.testing.assert_allclose(made, unit(pool("rmac", maps, "")), atol=1e-4)


def test_a_map_of_a_convolutional_network(models, photos, tmp_path) -> None:
    model, pixels = theirs(models["convnext"], photos)
    with torch.no_grad():
        expected = model(pixel_values=pixels, output_hidden_states=True).hidden_states[-1]
    made = ours(models["convnext"], photos, tmp_path, "@encoder.stages.3/spoc")
    np.testing.assert_allclose(made, unit(expected.mean((2, 3))), atol=1e-4)


def test_texts(models, photos, tmp_path) -> None:
    texts = ["a red boat", "a photo of a house on water"]
    for name in ("clip", "siglip"):
        network = open_network(f"hf:{models[name]}")
        made = Encoder(network, [parse_code("n")], CPU).encode_texts(texts)[0]
        model, _ = theirs(models[name], photos)
        tokenizer = transformers.AutoTokenizer.from_pretrained(models[name])
        tokens = tokenizer(texts, padding="max_length", max_length=12, return_tensors="pt")
        with torch.no_grad():
            expected = model.get_text_features(**tokens).pooler_output
        np.testing.assert_allclose(made, unit(expected), atol=1e-5)
        assert np.abs(made[0] - made[1]).max() > 0.01


def test_what_texts_cannot_do(models) -> None:
    def encode(code: str, text: str = "a boat") -> None:
        request = parse_code(code)
        Encoder(open_network(request.network), [request], CPU).encode_texts([text])

    with pytest.raises(UserError, match="knows no texts; networks that do are CLIP"):
        encode(f"hf:{models['vit']}")
    with pytest.raises(UserError, match=r"no code of texts; only .*@image_embeds"):
        encode(f"hf:{models['clip']}@vision_model.encoder.layers.1/cls")
    with pytest.raises(UserError, match="longer than 12 tokens"):
        encode(f"hf:{models['clip']}", "a boat " * 12)


def test_no_class_token(models) -> None:
    name = f"hf:{models['siglip']}"
    with pytest.raises(UserError, match="without a class token; use spoc or gem"):
        Encoder(open_network(name), [parse_code(f"{name}@vision_model.encoder.layers.1/cls")], CPU)


def test_the_spec_says_what_was_done(models) -> None:
    network = open_network(f"hf:{models['dinov2']}")
    [spec] = Encoder(network, [parse_code(f"hf:{models['dinov2']}")], CPU).specs
    assert (spec.network, spec.layer, spec.pooling, spec.dims) == (
        "hf:dinov2",
        "pooled",
        "flatten",
        32,
    )
    pre = spec.preprocessing
    assert (pre.size, pre.resize) == ((32, 32), "shorter36-bicubic")
    assert pre.mean == tuple(pretrained_models.MEAN)
    assert pre.std == tuple(pretrained_models.STD)
    assert CodeSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_the_hash_covers_weights_and_settings(models, tmp_path) -> None:
    known = open_network(f"hf:{models['vit']}").weights
    copy = tmp_path / "copy"
    shutil.copytree(models["vit"], copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "transformers_version": "9"}))
    assert open_network(f"hf:{copy}").weights == known
    (copy / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.1}))
    assert open_network(f"hf:{copy}").weights != known


def test_weights_in_parts_are_the_same_network(models, tmp_path) -> None:
    model = transformers.AutoModel.from_pretrained(models["vit"])
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    shutil.copy(models["vit"] / "preprocessor_config.json", tmp_path)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 1
    assert open_network(f"hf:{tmp_path}").weights == open_network(f"hf:{models['vit']}").weights


def test_layers_have_the_names_and_parameters_of_the_library(models) -> None:
    network = open_network(f"hf:{models['vit']}")
    model = transformers.AutoModel.from_pretrained(models["vit"])
    rows = layer_table(network.module, network.kind.input_size)
    assert [r.name for r in rows] == [n for n, _ in model.named_modules() if n] + ["pooled"]
    assert sum(row.parameters for row in rows) == model.num_parameters()
    assert dict(network.module.named_parameters()).keys() == dict(model.named_parameters()).keys()


def test_pickled_weights_are_refused(models, tmp_path) -> None:
    shutil.copytree(models["vit"], tmp_path / "vit")
    (tmp_path / "vit/model.safetensors").rename(tmp_path / "vit/pytorch_model.bin")
    with pytest.raises(UserError, match="pickled weights only, which can run any program"):
        open_network(f"hf:{tmp_path}/vit")
    (tmp_path / "vit/pytorch_model.bin").unlink()
    with pytest.raises(UserError, match="has no safetensors weights"):
        open_network(f"hf:{tmp_path}/vit")


def _edited(models: dict[str, Path], name: str, folder: Path, **facts: object) -> str:
    shutil.copytree(models[name], folder)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **facts}))
    return f"hf:{folder}"


def test_preprocessing_that_cannot_be_followed_is_refused(models, tmp_path) -> None:
    kind = "MobileViTImageProcessor"  # swaps red and blue
    other = {"image_processor_type": kind, "do_center_crop": False, "do_normalize": False}
    flipped = _edited(models, "vit", tmp_path / "a", **other)
    with pytest.raises(UserError, match="prepares images in a way that cannot be followed"):
        open_network(flipped)
    with pytest.raises(UserError, match="makes no images of one size"):
        open_network(_edited(models, "vit", tmp_path / "b", do_resize=False))


def test_pixels_scaled_otherwise(models, photos, tmp_path) -> None:
    scaled = _edited(models, "vit", tmp_path / "a", rescale_factor=1 / 127.5, image_mean=[1, 1, 1])
    model, pixels = theirs(tmp_path / "a", photos)
    with torch.no_grad():
        expected = model(pixel_values=pixels).pooler_output
    made = ours(Path(scaled[3:]), photos, tmp_path / "out")
    np.testing.assert_allclose(made, unit(expected), atol=1e-4)


def test_networks_that_are_not_of_images_or_not_whole(models, tmp_path) -> None:
    from transformers import BertConfig, BertModel

    small = {**pretrained_models.TOWER, "vocab_size": 20}
    BertModel(BertConfig(**small)).save_pretrained(tmp_path / "bert")
    shutil.copy(models["vit"] / "preprocessor_config.json", tmp_path / "bert")
    with pytest.raises(UserError, match="a BertModel is not a network of images"):
        open_network(f"hf:{tmp_path}/bert")
    shutil.copytree(models["vit"], tmp_path / "deeper")
    config = tmp_path / "deeper/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_hidden_layers": 3}))
    with pytest.raises(UserError, match=r"its weights lack layers\.2\..* and 15 more"):
        open_network(f"hf:{tmp_path}/deeper")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no safetensors weights"):
        open_network(f"hf:{tmp_path}/empty")
    with pytest.raises(UserError, match="no such folder"):
        open_network(f"hf:{tmp_path}/absent")


def test_random_networks_are_refused(models, tmp_path) -> None:
    """A masked autoencoder draws what it looks at anew each time."""
    from transformers import ViTMAEConfig, ViTMAEModel

    config = ViTMAEConfig(**pretrained_models.TOWER, image_size=32, patch_size=8)
    ViTMAEModel(config).save_pretrained(tmp_path)
    shutil.copy(models["vit"] / "preprocessor_config.json", tmp_path)
    with pytest.raises(UserError, match="another code each time"):
        open_network(f"hf:{tmp_path}")


@pytest.fixture
def hub(models, tmp_path, monkeypatch) -> str:
    """The hub's cache as its client leaves it after a download; no network. Gives the commit."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub/models--someone--vit"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    shutil.copytree(models["vit"], repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return commit


def test_the_commit_is_part_of_the_name(hub, models) -> None:
    network = open_network("hf:someone/vit")
    assert network.name == f"hf:someone/vit#{hub}"
    assert open_network(network.name).name == network.name
    assert open_network("hf:someone/vit#main").name == network.name
    assert network.weights == open_network(f"hf:{models['vit']}").weights
    [spec] = Encoder(network, [parse_code("hf:someone/vit")], CPU).specs
    assert spec.name == f"hf:someone/vit#{hub}@pooled"


def test_what_is_not_on_this_machine(hub) -> None:
    for name in ("hf:someone/other", "hf:someone/vit#newer"):
        with pytest.raises(UserError, match=r"not on this machine, and the hub cannot be reached"):
            open_network(name)
    with pytest.raises(UserError, match="not a repository's name"):
        open_network("hf:some/one/else")
    with pytest.raises(UserError, match="no revisions"):
        open_network("hf:./here#main")
    with pytest.raises(UserError, match="write hf:NAME"):
        open_network("hf:")
