"""Layers of arbitrary modules, tapped by name."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.taps import Tap, layer_names, resolve_layer


class Odd(nn.Module):
    """Nested, shared, repeated, skipped, with outputs of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), act=nn.ReLU(inplace=True)))
        self.block = nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)))
        self.twice = nn.Conv2d(4, 4, 1)
        self.same = self.twice
        self.unused = nn.Linear(2, 2)
        self.sequence = nn.LSTM(4, 5, batch_first=True)
        self.mapping = Gives(lambda x: OrderedDict(text="no tensor", hidden=x * 2, last=x * 3))
        self.nothing = Gives(lambda x: None)
        self.number = Gives(lambda x: {"n": 3})
        self.head = nn.Linear(5, 2)
        self.passes: list[str] = []

    def forward(self, images: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        values = self.block(self.stem(images * scale))
        values = self.same(self.twice(values))
        steps, _ = self.sequence(values.flatten(2).transpose(1, 2))
        self.passes.append("sequence")
        steps = self.mapping(steps)["hidden"]
        self.nothing(steps)
        self.number(steps)
        self.passes.append("head")
        return self.head(steps.mean(1))


class Gives(nn.Module):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: torch.Tensor) -> Any:
        return self.make(x)


@pytest.fixture
def odd() -> Odd:
    torch.manual_seed(0)
    return Odd().eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_nested_layers(odd: Odd, images: torch.Tensor) -> None:
    seen = Tap(odd, ["block.0.1", "block", "stem.conv"])(images)
    assert list(seen) == ["block.0.1", "block", "stem.conv"]
    stem = odd.stem(images)
    assert torch.equal(seen["block"], odd.block(stem))
    assert torch.equal(seen["block.0.1"], seen["block"])


def test_an_in_place_layer_behind_does_not_change_the_value(odd: Odd, images: torch.Tensor) -> None:
    before = nn.functional.conv2d(images, odd.stem.conv.weight, odd.stem.conv.bias)
    assert (before < 0).any()
    for layers in (["stem.conv"], ["stem.conv", "block"], ["stem.conv", "stem.act"]):
        assert torch.equal(Tap(odd, layers)(images)["stem.conv"], before)


def test_tuples_and_mappings_give_their_first_tensor(odd: Odd, images: torch.Tensor) -> None:
    seen = Tap(odd, ["sequence", "mapping"])(images)
    assert seen["sequence"].shape == (2, 16, 5)
    assert torch.equal(seen["mapping"], seen["sequence"] * 2)


def test_a_layer_that_runs_twice_gives_its_first_output(odd: Odd, images: torch.Tensor) -> None:
    first = odd.twice(odd.block(odd.stem(images)))
    seen = Tap(odd, ["twice", "same", "sequence"])(images)
    assert torch.equal(seen["twice"], first)
    assert torch.equal(seen["same"], first)
    assert not torch.equal(first, odd.twice(first))


def test_a_layer_that_does_not_run_is_named(odd: Odd, images: torch.Tensor) -> None:
    with pytest.raises(UserError, match="'unused' does not run"):
        Tap(odd, ["head", "unused"])(images)


@pytest.mark.parametrize("layer", ["nothing", "number"])
def test_a_layer_without_a_tensor_is_named(odd: Odd, images: torch.Tensor, layer: str) -> None:
    with pytest.raises(UserError, match=f"'{layer}' gives a .* without a tensor"):
        Tap(odd, [layer])(images)
    assert not odd.get_submodule(layer)._forward_hooks


def test_the_pass_stops_at_the_deepest(odd: Odd, images: torch.Tensor) -> None:
    Tap(odd, ["sequence", "stem"])(images)
    assert odd.passes == []
    Tap(odd, ["mapping"])(images)
    assert odd.passes == ["sequence"]
    Tap(odd, ["head"])(images)
    assert odd.passes == ["sequence", "sequence", "head"]


def test_the_pass_stops_even_where_exceptions_are_caught(images: torch.Tensor) -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Flatten()
            self.went_on = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            try:
                x = self.layer(x)
            except Exception:
                x = x.flatten(1)
            self.went_on = True
            return x

    careful = Careful()
    assert torch.equal(Tap(careful, ["layer"])(images)["layer"], images.flatten(1))
    assert not careful.went_on


def test_errors_of_the_network_come_through_and_hooks_leave(odd: Odd) -> None:
    with pytest.raises(RuntimeError):
        Tap(odd, ["head"])(torch.rand(2, 7, 6, 6))
    assert not any(part._forward_hooks for part in odd.modules())


def test_named_inputs_are_passed_on(odd: Odd, images: torch.Tensor) -> None:
    one = Tap(odd, ["block"])(images, scale=0.5)["block"]
    assert torch.equal(one, Tap(odd, ["block"])(images * 0.5)["block"])


SMALL = get_network("small").build(4).eval()
NAMES = layer_names(SMALL)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=8), st.integers(0, 2**20))
def test_all_layers_at_once_equal_separate_passes(layers: list[str], seed: int) -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    together = Tap(SMALL, layers)(images)
    assert list(together) == list(dict.fromkeys(layers))
    for layer in layers:
        # the network cut off behind this layer, without any hook
        top, _, inner = layer.partition(".")
        place = list(dict(SMALL.named_children())).index(top)
        values = SMALL[:place](images) if place else images
        values = SMALL.get_submodule(layer if inner == "pad" else top)(values)
        assert torch.equal(together[layer], values)


def test_threads_do_not_see_each_others_passes() -> None:
    batches = [torch.rand(3, 3, 16, 16) for _ in range(4)]
    layers = ["relu5", "relu7"]
    wanted = [Tap(SMALL, layers)(batch) for batch in batches]
    wrong: list[str] = []

    def work(number: int) -> None:
        tap = Tap(SMALL, layers)
        for _ in range(40):
            seen = tap(batches[number])
            wrong.extend(n for n in layers if not torch.equal(seen[n], wanted[number][n]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not any(part._forward_hooks for part in SMALL.modules())


def test_nothing_is_kept_alive() -> None:
    def tensors() -> int:
        return sum(issubclass(type(value), torch.Tensor) for value in gc.get_objects())

    images = torch.rand(2, 3, 16, 16)
    tap = Tap(SMALL, ["flatten", "relu6"])
    tap(images)
    gc.collect()
    gc.disable()  # a reference cycle would hold a batch's activations until the next collection
    try:
        before = tensors()
        for _ in range(5):
            tap(images)
        assert tensors() == before
    finally:
        gc.enable()


def test_aliases_and_names() -> None:
    aliases = get_network("small").layers
    assert resolve_layer(SMALL, "L5", aliases) == "flatten"
    assert resolve_layer(SMALL, "conv1.pad", aliases) == "conv1.pad"
    shared = Odd()
    assert resolve_layer(shared, "same", {}) == "same"


def test_an_unknown_layer_names_those_there_are() -> None:
    with pytest.raises(UserError) as caught:
        resolve_layer(SMALL, "L8", get_network("small").layers)
    message = str(caught.value)
    assert message.startswith("unknown layer 'L8'; there are: L5, L6, L7, conv1, conv1.pad")
    assert message.endswith("dense8")
    many = nn.Sequential(*(nn.ReLU() for _ in range(100)))
    with pytest.raises(UserError, match=r"0, 1, 2.* 39 and 60 more \(see `neuralcodes layers`\)$"):
        resolve_layer(many, "100", {})
    with pytest.raises(UserError, match="unknown layer 'L5'"):  # an alias that leads nowhere
        resolve_layer(many, "L5", {"L5": "flatten"})
