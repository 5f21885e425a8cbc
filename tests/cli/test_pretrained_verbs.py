"""Verbs with a pretrained network from a local folder, in real processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pretrained_models

pytest.importorskip("transformers", reason='needs "neuralcodes[hf]"')


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the networks clip and vit and the photographs pictures/*.jpg."""
    from sklearn.datasets import load_sample_images

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("place")
    pretrained_models.clip(root / "clip")
    pretrained_models.vit(root / "vit")
    (root / "pictures").mkdir()
    for name in map(Path, load_sample_images().filenames):
        with Image.open(name) as picture:
            for part in range(4):
                cut = picture.crop((60 * part, 0, 60 * part + 200, 200 + 30 * part))
                cut.save(root / "pictures" / f"{name.stem}{part}.jpg")
    return root


def test_indexed_and_searched_by_words(command: Callable[..., Any], place: Path) -> None:
    indexed = command("index", "pictures", "--collection", "c", "--code", "hf:./clip", cwd=place)
    assert indexed.returncode == 0, indexed.stderr
    assert "8 new; 8 codes made" in indexed.stdout
    assert "[transformers]" not in indexed.stderr and "Loading weights" not in indexed.stderr
    found = command("search", "c", "--text", "a red boat", "-k", 3, "--json", cwd=place)
    assert found.returncode == 0, found.stderr
    distances = [json.loads(line)["distance"] for line in found.stdout.splitlines()]
    assert len(distances) == 3 and distances == sorted(distances)
    info = json.loads(command("info", "c", "--json", cwd=place).stdout)
    assert "hf:./clip@image_embeds" in json.dumps(info)


def test_layers_and_codes(command: Callable[..., Any], place: Path) -> None:
    layers = command("layers", "hf:./clip", cwd=place)
    assert layers.returncode == 0, layers.stderr
    assert "vision_model.encoder.layers.1 " in layers.stdout
    assert "image_embeds" in layers.stdout
    code = "hf:./clip@vision_model.encoder.layers.1/gem"
    extracted = command("extract", "pictures", "--code", code, "--out", "codes", cwd=place)
    assert extracted.returncode == 0, extracted.stderr
    [file] = (place / "codes").glob("*.npy")
    codes = np.load(file)
    assert codes.shape == (8, 32)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)


def test_what_goes_wrong_is_one_line(command: Callable[..., Any], place: Path) -> None:
    for words, said in (
        (("layers", "hf:./absent"), "no such folder"),
        (("layers", "hf:./pictures"), "no safetensors weights"),
        (("extract", "pictures", "--code", "hf:./vit@encoder.layer.9"), "unknown layer"),
    ):
        refused = command(*words, cwd=place)
        assert refused.returncode == 2
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
        assert said in refused.stderr
