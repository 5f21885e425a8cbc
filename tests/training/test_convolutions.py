"""Convolutions by products: their numbers are those of PyTorch's own convolutions."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.training import convolutions
from neuralcodes.training.convolutions import neighbourhoods, use_products

BF16 = Runtime(torch.device("cpu"), "bf16")
AMX = {"amx_bf16": True}


@pytest.fixture(autouse=True)
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """The products are the same everywhere; only their speed depends on the processor."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: AMX)


def learnt(layer: nn.Conv2d, maps: torch.Tensor, slope: torch.Tensor) -> list[torch.Tensor]:
    """Output, and gradients by maps and weights."""
    maps = maps.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(maps)
    weight_slope, map_slope = torch.autograd.grad(out, [layer.weight, maps], slope.to(out.dtype))
    return [out.detach().float(), weight_slope.float(), map_slope.float()]


def rounded(values: torch.Tensor) -> torch.Tensor:
    return values.bfloat16().float()


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def by_library(layer: nn.Conv2d, maps: torch.Tensor, slope: torch.Tensor) -> list[torch.Tensor]:
    """The gradient by maps: as autocast gets it, and from the same tensors as the products'."""
    cast = (
        tensor.bfloat16().contiguous(memory_format=torch.channels_last) for tensor in (slope, maps)
    )
    alone = torch.ops.aten.convolution_backward(
        *cast, layer.weight.bfloat16(), None, layer.stride, [1, 1], [1, 1], False, [0, 0], 1,
        [True, False, False],
    )[0]  # fmt: skip
    return [learnt(layer, maps, slope)[2], alone.float()]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 5),
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 26), st.integers(1, 26)),
    stride=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_outputs_and_gradients_are_those_of_the_convolution(
    count: int, channels: tuple[int, int], size: tuple[int, int], stride: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = nn.Conv2d(*channels, 3, stride, 1, bias=False)
    layer.weight.data = rounded(layer.weight.data)
    maps = rounded(torch.randn(count, channels[0], *size))
    exact = layer(maps.contiguous(memory_format=torch.channels_last))
    slope = rounded(torch.randn_like(exact))
    own = copy.deepcopy(layer)
    assert use_products(own, BF16) == 1
    found = learnt(own, maps, slope)
    wanted_maps = maps.clone().requires_grad_()
    wanted = [
        exact.detach(),
        *torch.autograd.grad(layer(wanted_maps), [layer.weight, wanted_maps], slope),
    ]
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
    # only the results are rounded, to 8 bits
    assert apart(found[0], wanted[0]) < 0.004
    assert apart(found[1], wanted[1]) < 0.004
    # of larger maps the gradient is the library's, which is less exact where it emulates bf16
    assert apart(found[2], wanted[2]) < 0.004 or any(
        torch.equal(found[2], usual) for usual in by_library(layer, maps, slope)
    )


def test_the_whole_network_learns_the_same() -> None:
    torch.manual_seed(0)
    plain = BF16.place(get_network("compact").build(7)).train()
    for name, gain in plain.named_parameters():
        if name.endswith("norm2.weight"):  # at 0 nothing of a block is learnt in the first step
            nn.init.ones_(gain)
    own = copy.deepcopy(plain)
    exact = copy.deepcopy(plain)
    assert use_products(own, BF16) == 12
    pixels = torch.randn(16, 3, 48, 48).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(16) % 7
    for network in (plain, own):
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(pixels)
        nn.functional.cross_entropy(logits.float(), labels).backward()
    nn.functional.cross_entropy(exact(pixels), labels).backward()
    for name, true in exact.named_parameters():
        if true.ndim != 4:
            continue
        found, usual = (network.get_parameter(name).grad for network in (own, plain))
        assert found is not None and usual is not None and true.grad is not None
        # as near to the exact gradient as PyTorch's own bf16 is
        assert apart(found, true.grad) < 1.2 * apart(usual, true.grad) + 0.002, name


def test_only_training_changes() -> None:
    torch.manual_seed(0)
    plain = get_network("compact").build(7).eval()
    own = copy.deepcopy(plain)
    use_products(own, BF16)
    assert list(own.state_dict()) == list(plain.state_dict())
    pixels = torch.randn(2, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(own(pixels), plain(pixels))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1),  # with a bias
        nn.Conv2d(4, 4, 3, bias=False),
        nn.Conv2d(4, 4, 5, padding=2, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", bias=False),
        nn.Conv2d(4, 4, 3, 3, 1, bias=False),
    ],
)
def test_other_layers_stay_as_they_are(layer: nn.Conv2d) -> None:
    assert use_products(layer, BF16) == 0
    assert type(layer) is nn.Conv2d


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    assert use_products(layer, Runtime(torch.device("cpu"), "fp32")) == 0
    assert use_products(layer, Runtime(torch.device("cuda"), "bf16")) == 0
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert use_products(layer, BF16) == 0
    assert type(layer) is nn.Conv2d


def test_large_maps_are_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False).train()
    use_products(layer, BF16)
    monkeypatch.setattr(convolutions, "_Products", None)  # must not be asked
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(1, 4, 9, 9))


def test_neighbourhoods_are_what_a_kernel_sees() -> None:
    maps = torch.arange(2 * 3 * 5 * 4.0).view(2, 3, 5, 4).contiguous(
        memory_format=torch.channels_last
    )  # fmt: skip
    for stride in (1, 2):
        seen = nn.functional.unfold(maps, 3, padding=1, stride=stride)  # 2×(3·9)×places
        wanted = seen.view(2, 3, 9, -1).permute(0, 3, 2, 1).flatten(0, 1).flatten(1)
        assert torch.equal(neighbourhoods(maps, stride), wanted)
