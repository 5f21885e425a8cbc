"""The founding experiment on a slice of the real Tiny ImageNet, through the command."""

import json

import numpy as np
import pytest

from neuralcodes.codes.store import load_codes


@pytest.mark.slow
def test_reproduce_on_four_classes(command, tiny_imagenet_path, tmp_path):
    out = tmp_path / "run"
    result = command(
        "reproduce", "--data", tiny_imagenet_path, "--out", out, "--classes", 4, "--epochs", 1,
        "--device", "cpu",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    config = json.loads((out / "config.json").read_text())
    assert config["split"] == {"train": 800, "val": 100, "test": 100, "ood": 1000}
    assert config["images"]["kind"] == "tiny-imagenet"
    metrics = json.loads((out / "metrics.json").read_text())
    # two unseen classes of 500: a random order gives about 0.5
    assert all(0.48 < mean < 1 for mean in metrics["map"].values())
    codes = {layer: load_codes(out / "codes" / layer) for layer in ("L5", "L6", "L7")}
    assert [codes[layer].spec.dims for layer in codes] == [16_384, 2_048, 2_048]
    for made in codes.values():
        assert len(made) == 1000
        np.testing.assert_allclose(np.linalg.norm(made.values, axis=1), 1, atol=1e-5)
    page = (out / "report.html").read_text()
    assert "fish" in page or "salamander" in page or "frog" in page  # classes by their words
    assert "L7" in result.stdout and "report:" in result.stdout
