"""No quality is lost by what makes it faster: mAP to 1e-3, on real pictures with labels.

Searched are 600 handwritten digits by the shipped network. `torch.compile` is for training on a GPU
only; here its pass is compared on the CPU.
"""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.codes.transforms.half import Half
from neuralcodes.codes.transforms.int8 import Int8
from neuralcodes.codes.transforms.training import Training
from neuralcodes.evaluation.class_retrieval import class_ranks
from neuralcodes.evaluation.measures import average_precision
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import Runtime

COUNT = 600
LOST = 1e-3


def enlarged(picture, network):
    """A digit at the network's input size."""
    height, width = network.kind.input_size
    return picture.resize((width, height), Image.Resampling.BICUBIC).convert("RGB")


@pytest.fixture(scope="module")
def digits():
    """The shipped network, the digits at its input size and their labels."""
    known, network = load_digits(), open_network("shipped")
    pictures = [Image.fromarray((one * 15).astype(np.uint8)) for one in known.images[:COUNT]]
    pixels = np.stack([np.asarray(enlarged(one, network)) for one in pictures])
    return network, pixels, known.target[:COUNT]


def codes_at(precision, network, pixels):
    """Of the digits, by the shipped network."""
    encoder = Encoder(network, [parse_code("shipped")], Runtime(torch.device("cpu"), precision))
    parts = [encoder.encode(pixels[at : at + 100])[0] for at in range(0, COUNT, 100)]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def made(digits):
    network, pixels, labels = digits
    return codes_at("fp32", network, pixels), labels


def mean_precision(codes, labels):
    return float(average_precision(class_ranks(codes, labels)).mean())


def test_bf16_products_lose_no_precision(digits, made):
    if not any(v for name, v in torch.cpu.get_capabilities().items() if "bf16" in name):
        pytest.skip("this processor has no bf16: 600 images take minutes, and nobody would ask it")
    codes, labels = made
    rounded = codes_at("bf16", *digits[:2])
    assert np.abs(rounded - codes).max() > 1e-5  # they are other numbers
    one, other = (mean_precision(some, labels) for some in (codes, rounded))
    assert 0.3 < one < 0.9  # by chance 0.1
    assert other == pytest.approx(one, abs=LOST)


@pytest.mark.parametrize("kind", [Half, Int8])
def test_stored_in_fewer_bytes(made, kind):
    whole, labels = made
    fitted = kind.fit(Training(whole), None)
    kept = fitted.decode(fitted.encode(whole))
    assert mean_precision(kept, labels) == pytest.approx(mean_precision(whole, labels), abs=LOST)


@pytest.fixture
def compiler():
    """Skips where `torch.compile` has no C++ compiler to call."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        name = get_cpp_compiler()
    except Exception as error:
        pytest.skip(f"torch.compile needs a C++ compiler: {error}")
    if shutil.which(name) is None:
        pytest.skip(f"torch.compile needs a C++ compiler: no {name}")


@pytest.mark.slow
def test_a_compiled_pass_loses_no_precision(compiler, digits):
    """By the network's last layer, which is what a compiled pass gives."""
    from torch._dynamo.utils import counters

    network, pixels, labels = digits
    encoder = Encoder(network, [parse_code("shipped")], Runtime(torch.device("cpu"), "fp32"))
    inputs = encoder.inputs(pixels)
    found = []
    for compiled in (False, True):
        forward = Runtime(torch.device("cpu"), "fp32", compiled).training_forward(encoder.module)
        before = counters["stats"]["unique_graphs"]
        with torch.inference_mode():
            parts = [forward(inputs[at : at + 100]) for at in range(0, COUNT, 100)]
        assert (counters["stats"]["unique_graphs"] > before) == compiled
        codes = torch.nn.functional.normalize(torch.cat(parts), dim=1).numpy()
        found.append(mean_precision(codes, labels))
    assert 0.3 < found[0] < 0.9
    assert found[1] == pytest.approx(found[0], abs=LOST)
