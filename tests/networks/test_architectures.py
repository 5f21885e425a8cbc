"""The networks' forms, against definitions written here on their own."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from neuralcodes.networks.blocks import convolution
from neuralcodes.networks.compact import RegionalMeans, region_shares
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.taps import Tap

Array = npt.NDArray[np.float64]


def meta_network(name: str, classes: int) -> nn.Module:
    with torch.device("meta"):
        return get_network(name).build(classes).eval()


def sizes(name: str) -> dict[str, int]:
    kind = get_network(name)
    tap = Tap(meta_network(name, 10), list(kind.layers.values()))
    height, width = kind.input_size
    seen = tap(torch.zeros(2, 3, height, width, device="meta"))
    return {alias: seen[layer].shape[1] for alias, layer in kind.layers.items()}


def test_compact_is_as_compact_as_it_says() -> None:
    """At most 12 M parameters, 1.2 GMAC at 64×64 and 128 values a code; counted by hooks."""
    network = meta_network("compact", 190)
    assert sum(p.numel() for p in network.parameters()) == 6_793_344
    assert sum(b.numel() for b in network.get_submodule("code").buffers()) == 500_160
    products = 0

    def count(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal products
        if isinstance(module, nn.Conv2d | nn.Linear):
            products += output[0].numel() * module.weight[0].numel()

    for module in network.modules():
        module.register_forward_hook(count)
    network(torch.zeros(1, 3, 64, 64, device="meta"))
    assert 0.40e9 < products < 0.41e9
    assert sizes("compact") == {"map": 512, "pooled": 3072, "learnt": 128, "code": 128}


def test_compact_runs_at_other_sizes_and_its_logits_are_scaled_cosines() -> None:
    network = get_network("compact").build(7).eval()
    images = torch.rand(3, 3, 97, 60)
    code = Tap(network, ["learnt"])(images)["learnt"].double()
    weight = network.classifier.weight.double()  # type: ignore[union-attr,operator]
    cosines = (code @ weight.mT) / code.norm(dim=1)[:, None] / weight.norm(dim=1)  # type: ignore[operator]
    assert torch.allclose(network(images).double(), 16 * cosines, atol=1e-4)


def test_regional_means_against_their_definition() -> None:
    levels = [torch.randn(2, 3, 5, 6, dtype=torch.float64), torch.randn(2, 4, 3, 3)]
    wanted = []
    for maps in levels:
        cubes = np.maximum(maps.double().numpy(), 1e-6) ** 3
        fine = cubes.repeat(4, 2).repeat(4, 3)  # so that quarters end between places
        high, wide = (side // 4 for side in fine.shape[2:])
        centre = fine[:, :, high : 3 * high, wide : 3 * wide]
        regions = [fine, centre, fine[:, :, : 2 * high], fine[:, :, 2 * high :]]
        part = np.hstack([np.cbrt(region.mean((2, 3))) for region in regions])
        wanted.append(32 * part / np.linalg.norm(part, axis=1, keepdims=True))
    assert np.allclose(RegionalMeans()(*levels).numpy(), np.hstack(wanted), atol=1e-4)


def test_what_an_explanation_shares_out_is_all_of_a_level() -> None:
    """Gradient times map adds up to the values, once the length counts as a constant."""
    pool = RegionalMeans().eval()
    maps = torch.rand(2, 5, 4, 3, dtype=torch.float64).requires_grad_()
    weights = torch.randn(20)
    (pool(maps) @ weights).sum().backward()
    assert maps.grad is not None
    shared = (maps.grad * maps).sum((1, 2, 3))
    assert torch.allclose(shared.float(), pool(maps) @ weights, rtol=1e-4, atol=1e-4)
    maps.grad = None
    (pool.train()(maps) @ weights).sum().backward()  # learning knows that length does not matter
    assert torch.allclose((maps.grad * maps).sum((1, 2, 3)).float(), torch.zeros(2), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (7, 5), (64, 3)])
def test_every_region_of_every_size_has_a_mean(size: tuple[int, int]) -> None:
    shares = region_shares(*size)
    assert torch.allclose(shares.sum((1, 2)), torch.ones(4))
    assert (shares >= 0).all()
    constant = RegionalMeans()(torch.full((1, 2, *size), 3.0))
    assert torch.allclose(constant, torch.full((1, 8), 32 * 8**-0.5))


def test_the_reference_has_its_parameters() -> None:
    network = meta_network("reference", 190)
    assert sum(p.numel() for p in network.parameters()) == 40_516_382
    weights = [p.numel() for name, p in network.named_parameters() if name.endswith("weight")]
    assert weights == [
        3 * 96 * 16, 96 * 192 * 25, 192 * 288 * 9, 288 * 288 * 9, 288 * 256 * 9,
        16384 * 2048, 2048 * 2048, 2048 * 190,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("reference", {"L5": 16_384, "L6": 2_048, "L7": 2_048}),
        ("paper", {"L5": 9_216, "L6": 4_096, "L7": 4_096}),
        ("small", {"L5": 512, "L6": 128, "L7": 128}),
    ],
)
def test_layer_sizes(name: str, wanted: dict[str, int]) -> None:
    assert sizes(name) == wanted


def test_the_papers_convolution_maps() -> None:
    seen = Tap(meta_network("paper", 10), ["conv1", "pool1", "pool2", "pool5"])(
        torch.zeros(1, 3, 227, 227, device="meta")
    )
    assert [tuple(value.shape[1:]) for value in seen.values()] == [
        (96, 55, 55), (96, 27, 27), (192, 13, 13), (256, 6, 6),
    ]  # fmt: skip


def same_convolution(image: Array, weight: Array, bias: Array) -> Array:
    """Keras's "same" padding at stride 1: of k − 1 zeros, the smaller half goes before."""
    outgoing, _, kernel, _ = weight.shape
    before = (kernel - 1) // 2
    _, height, width = image.shape
    out = np.zeros((outgoing, height, width))
    for o in range(outgoing):
        for y in range(height):
            for x in range(width):
                total = bias[o]
                for i in range(kernel):
                    for j in range(kernel):
                        row, column = y + i - before, x + j - before
                        if 0 <= row < height and 0 <= column < width:
                            total += weight[o, :, i, j] @ image[:, row, column]
                out[o, y, x] = total
    return out


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6])
def test_convolutions_pad_as_keras_does(kernel: int) -> None:
    torch.manual_seed(kernel)
    layer = convolution(2, 3, kernel).double()
    image = torch.rand(2, 7, 6, dtype=torch.float64)
    weight, bias = (p.detach().numpy() for p in layer.parameters())
    with torch.no_grad():
        ours = layer(image[None])[0].numpy()
    np.testing.assert_allclose(ours, same_convolution(image.numpy(), weight, bias), atol=1e-12)


def test_the_4x4_kernel_reaches_one_back_and_two_ahead() -> None:
    layer = get_network("reference").build(2).get_submodule("conv1")
    lit = torch.zeros(1, 3, 64, 64)
    lit[0, :, 30, 40] = 1.0
    with torch.no_grad():
        seen = (layer(lit) - layer(torch.zeros_like(lit))).abs().sum(1)[0].nonzero()
    # an output sees inputs from 1 before to 2 behind it, so an input is seen from 2 before to 1
    # behind it
    assert seen.min(0).values.tolist() == [28, 38]
    assert seen.max(0).values.tolist() == [31, 41]


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2, 2), nn.MaxPool2d(3, 2)])
def test_pooling_before_relu_is_relu_before_pooling(pool: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(4, 5, 17, 17, generator=generator)
    values[0, 0, :4, :4] = -1.0  # a window that is negative throughout
    upstream = None
    results = []
    for layers in ((pool, nn.ReLU()), (nn.ReLU(), pool)):
        inputs = values.clone().requires_grad_()
        out = nn.Sequential(*layers)(inputs)
        if upstream is None:
            upstream = torch.randn(out.shape, generator=generator)
        out.backward(upstream)
        results.append((out.detach(), inputs.grad))
    (one, one_grad), (other, other_grad) = results
    assert torch.equal(one, other)
    assert one_grad is not None and other_grad is not None
    assert torch.equal(one_grad, other_grad)


def test_weights_are_glorot_uniform_and_biases_zero() -> None:
    torch.manual_seed(0)
    network = get_network("small").build(10)
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(layers) == 8
    for layer in layers:
        weight = layer.weight.detach()
        field = weight[0, 0].numel()  # 1 for a dense layer
        bound = math.sqrt(6.0 / ((weight.shape[0] + weight.shape[1]) * field))
        largest = float(weight.abs().max())
        assert largest <= bound
        assert largest > 0.95 * bound
        # uniform on ±bound: deviation bound/√3, mean 0
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert abs(float(weight.mean())) < 5 * bound / math.sqrt(3 * weight.numel())
        assert layer.bias is not None
        assert not layer.bias.any()


def test_the_seed_alone_decides_the_weights() -> None:
    def built(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(get_network("small").build(5).parameters())

    assert torch.equal(built(1), built(1))
    assert not torch.equal(built(1), built(2))


@pytest.mark.parametrize("name", ["reference", "paper", "small"])
def test_declared_layers_are_there(name: str) -> None:
    kind = get_network(name)
    network = meta_network(name, 3)
    names = {layer for layer, _ in network.named_modules()}
    assert set(kind.layers.values()) <= names
    assert kind.default_layer in kind.layers
    out = network(torch.zeros(1, 3, *kind.input_size, device="meta"))
    assert out.shape == (1, 3)
