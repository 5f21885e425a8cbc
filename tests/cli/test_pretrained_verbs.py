"""Verbs with a pretrained network from a local folder; one of them in a real process."""

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
from made import Run, command_here

pytest.importorskip("transformers", reason='needs "neuralcodes[hf]"')


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process and in the folder `place`: status, output, errors."""
    monkeypatch.chdir(place)
    monkeypatch.delenv("NEURALCODES_TINY_IMAGENET", raising=False)

    return command_here(monkeypatch, capsys)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the networks clip and vit and photographs in pictures/, two classes."""
    from sklearn.datasets import load_sample_images

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("place")
    pretrained_models.clip(root / "clip")
    pretrained_models.vit(root / "vit")
    for name in map(Path, load_sample_images().filenames):
        (root / "pictures" / name.stem).mkdir(parents=True)
        with Image.open(name) as picture:
            for part in range(4):
                cut = picture.crop((60 * part, 0, 60 * part + 200, 200 + 30 * part))
                cut.save(root / "pictures" / name.stem / f"{part}.jpg")
    return root


def test_indexed_and_searched_by_words(command: Callable[..., Any], run: Run, place: Path) -> None:
    indexed = command("index", "pictures", "--collection", "c", "--code", "hf:./clip", cwd=place)
    assert indexed.returncode == 0, indexed.stderr
    assert "8 new; 8 codes made" in indexed.stdout
    assert "[transformers]" not in indexed.stderr and "Loading weights" not in indexed.stderr
    status, out, err = run("search", "c", "--text", "a red boat", "-k", 3, "--json")
    assert status == 0, err
    distances = [json.loads(line)["distance"] for line in out.splitlines()]
    assert len(distances) == 3 and distances == sorted(distances)
    assert "hf:./clip@image_embeds" in run("info", "c", "--json")[1]


def test_layers(run: Run) -> None:
    status, out, err = run("layers", "hf:./clip")
    assert status == 0, err
    assert "vision_model.encoder.layers.1 " in out
    assert "image_embeds" in out
    assert "hf:NAME" in run("layers")[2]


def test_codes(run: Run, place: Path) -> None:
    code = "hf:./clip@vision_model.encoder.layers.1/gem"
    status, _, err = run("extract", "pictures", "--code", code, "--out", "codes")
    assert status == 0, err
    [file] = (place / "codes").glob("*.npy")
    codes = np.load(file)
    assert codes.shape == (8, 32)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
    protocol = ("--protocol", "class-retrieval", "--json")
    stored = run("evaluate", file.with_suffix(""), *protocol)
    made = run("evaluate", code, "--data", "pictures", *protocol)
    assert made[0] == 0, made[2]
    assert json.loads(made[1]) == json.loads(stored[1])
    status, _, err = run("evaluate", code, *protocol)
    assert status == 2 and "--data: give the folder" in err


def test_fitted_transforms_lie_beside_the_network(run: Run, place: Path) -> None:
    status, _, err = run("fit", "pca4", "--code", "hf:./clip", "--on", "pictures")
    assert status == 0, err
    assert (place / "clip/transforms/image_embeds/pca4.safetensors").is_file()
    code = "hf:./clip@image_embeds/pca4"
    assert run("index", "pictures", "--collection", "short", "--code", code)[0] == 0
    status, out, err = run("search", "short", "--text", "a red boat", "-k", 8, "--json")
    assert status == 0, err
    assert len(out.splitlines()) == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("layers", "hf:./absent"), "no such folder"),
        (("layers", "hf:./pictures"), "no safetensors weights"),
        (("extract", "pictures", "--code", "hf:./vit@encoder.layer.9"), "unknown layer"),
    ],
)
def test_what_goes_wrong_is_one_line(run: Run, words: tuple[str, ...], said: str) -> None:
    status, _, err = run(*words)
    assert status == 2
    assert said in err.strip().splitlines()[-1]
    assert "Traceback" not in err
