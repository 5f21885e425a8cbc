"""Codes of images against a plain forward pass."""

import numpy as np
import pytest
import torch

from made import make_images
from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.common.errors import UserError
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime

CPU = Runtime(torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    kind = get_network("small")
    return OpenNetwork.of("small-run", kind, kind.build(4), 4)


def encoder(network, *codes, runtime=CPU):
    return Encoder(network, [parse_code(code) for code in codes], runtime)


def test_codes_equal_a_plain_forward_pass(network, tmp_path):
    images = make_images(30, 4)
    made = encoder(network, "n@L5", "n@L7").encode_images(images, tmp_path)
    pixels = torch.from_numpy(images.pixels).permute(0, 3, 1, 2).float() / 255
    steps = dict(network.module.named_children())
    values = pixels
    expected = {}
    with torch.no_grad():
        for name, step in steps.items():
            values = step(values)
            expected[name] = values.clone()
    for codes, layer in zip(made, ("flatten", "relu7"), strict=True):
        plain = expected[layer].flatten(1).double().numpy()
        plain /= np.linalg.norm(plain, axis=1, keepdims=True)
        np.testing.assert_allclose(codes.values, plain, atol=2e-6)
        np.testing.assert_allclose(np.linalg.norm(codes.values, axis=1), 1, atol=1e-6)
        assert codes.keys == tuple(images.keys)
        assert codes.images == images.fingerprint()


def test_files_are_named_after_the_layers(network, tmp_path):
    encoder(network, "n@L6", "n@conv1.conv").encode_images(make_images(4, 2), tmp_path)
    assert {p.name for p in tmp_path.glob("*.npy")} == {"L6.npy", "conv1.conv.npy"}


def test_specs_say_what_the_codes_are(network):
    l6, default = encoder(network, "n@L6", "n").specs
    assert (l6.name, l6.layer, l6.dims, l6.pooling) == ("small-run@L6", "relu6", 128, "flatten")
    assert (default.name, default.layer) == ("small-run@L7", "relu7")
    assert l6.weights == network.weights
    assert l6.fingerprint() != default.fingerprint()


def test_other_weights_and_precision_are_other_codes(network):
    torch.manual_seed(1)
    other = OpenNetwork.of("small-run", network.kind, network.kind.build(4), 4)
    bf16 = Runtime(torch.device("cpu"), "bf16")
    prints = {
        encoder(net, "n@L6", runtime=runtime).specs[0].fingerprint()
        for net, runtime in ((network, CPU), (other, CPU), (network, bf16))
    }
    assert len(prints) == 3


def test_a_code_does_not_depend_on_the_batch_it_is_in(network):
    maker, images = encoder(network, "n@L7"), make_images(20, 3)
    whole = maker.encode(images.pixels)[0]
    single = np.concatenate([maker.encode(images.pixels[i : i + 1])[0] for i in range(20)])
    np.testing.assert_allclose(whole, single, atol=1e-6)


def test_a_layer_that_nothing_excites_gives_zeros(network):
    torch.manual_seed(0)
    dead = OpenNetwork.of("dead", network.kind, network.kind.build(4), 4)
    with torch.no_grad():
        dead.module.get_submodule("dense7").bias.fill_(-1e6)
    assert not encoder(dead, "n@L7").encode(make_images(3, 2).pixels)[0].any()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("n@L9", "unknown layer 'L9'; there are: L5, L6, L7"),
        ("n@L6/zip9", "'zip9'"),
        ("n@L6/gem", "gives 128 values, not a map"),
        ("n@L6/pca9", "small-run: no such run folder"),
    ],
)
def test_unknown_parts_are_named(network, code, message):
    with pytest.raises(UserError, match=message):
        encoder(network, code)


def test_images_of_another_size_are_refused(network, tmp_path):
    with pytest.raises(UserError, match="32×32, and small-run takes 16×16"):
        encoder(network, "n").encode_images(make_images(3, 2, size=32), tmp_path)
