"""The release check: recorded figures of the shipped weights come out of the file again."""

import json
import os
from importlib.resources import files
from pathlib import Path

import pytest

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.evaluation.class_retrieval import evaluate_class_retrieval
from neuralcodes.experiments.configuration import Configuration, prepare
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import choose_runtime

RECORD = json.loads((Path(__file__).parents[2] / "results" / "shipped.json").read_text())


def test_the_record_is_of_this_file():
    network = open_network("shipped")
    folder = files("neuralcodes.networks") / "shipped"
    size = len((folder / "weights.safetensors").read_bytes())
    assert RECORD["weights"] == network.weights
    assert RECORD["weights_bytes"] == size <= 16_000_000
    fitted = network.module.get_submodule("code").buffers()
    values = [*network.module.parameters(), *fitted]
    assert RECORD["parameters"] == sum(value.numel() for value in values)
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert network.weights in card and f"{RECORD['map']:.4f}" in card


@pytest.mark.slow
def test_retrieval_on_unseen_classes_comes_out_again(tmp_path):
    data = os.environ.get("NEURALCODES_TINY_IMAGENET")
    if not data:
        pytest.skip("NEURALCODES_TINY_IMAGENET is not set")
    network = open_network("shipped")
    ood = prepare(Configuration(data=Path(data), network=network.kind.name)).split.ood
    assert ood.fingerprint() == RECORD["images"]
    encoder = Encoder(network, [parse_code("shipped")], choose_runtime("cpu", "fp32"))
    codes = encoder.encode_images(ood, tmp_path)[0]
    found = evaluate_class_retrieval(codes, ood.label_array()).average_precision
    assert codes.spec.dims == RECORD["dims"]
    assert found.mean == pytest.approx(RECORD["map"], abs=1e-4)
    assert found.interval() == pytest.approx((RECORD["map_low"], RECORD["map_high"]), abs=2e-4)
