"""The table of layers, on our networks and on awkward modules."""

from __future__ import annotations

import torch
from torch import nn

from neuralcodes.networks.registry import get_network
from neuralcodes.networks.summary import LayerRow, layer_table, render_table


class Awkward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.norm = nn.BatchNorm2d(3)
        self.sequence = nn.LSTM(3, 4, batch_first=True)
        self.twice = nn.Linear(4, 4)
        self.same = self.twice
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.twice.weight
        self.unused = nn.Linear(5, 6)
        self.windows = Windows()
        self.nothing = nn.Module()
        self.nothing.forward = lambda x: None  # type: ignore[method-assign]
        self.norm.eval()
        self.flags: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.flags.append(self.training or torch.is_grad_enabled())
        steps, _ = self.sequence(self.norm(images).flatten(2).transpose(1, 2))
        steps = self.tied(self.same(self.twice(steps))) + self.token
        self.windows(steps)
        self.nothing(steps)
        return steps


class Windows(nn.Module):
    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        return steps.reshape(-1, 4)


def row(rows: list[LayerRow], name: str) -> LayerRow:
    return next(row for row in rows if row.name == name)


def test_the_reference_without_computing_it() -> None:
    kind = get_network("reference")
    with torch.device("meta"):
        network = kind.build(190)
    rows = layer_table(network, kind.input_size, kind.layers)
    assert sum(row.parameters for row in rows) == 40_516_382
    assert row(rows, "conv1.conv") == LayerRow("conv1.conv", None, "Conv2d", (96, 64, 64), 4704, 1)
    assert row(rows, "flatten") == LayerRow("flatten", "L5", "Flatten", (16384,), 0, 1)
    assert row(rows, "dense6").parameters == 16384 * 2048 + 2048
    assert [row.alias for row in rows if row.alias] == ["L5", "L6", "L7"]
    assert rows[-1].shape == (190,)


def test_an_awkward_module() -> None:
    network = Awkward().train()
    network.norm.eval()
    rows = layer_table(network, (5, 5))
    assert network.flags == [False]
    assert network.training and network.twice.training and not network.norm.training
    assert not any(part._forward_hooks for part in network.modules())
    assert rows[0] == LayerRow("", None, "Awkward", (25, 4), 4, 1)
    assert row(rows, "sequence").shape == (25, 4)  # a tuple's first tensor
    assert (row(rows, "unused").shape, row(rows, "unused").runs) == (None, 0)
    assert (row(rows, "twice").runs, row(rows, "same").runs) == (2, 2)
    assert row(rows, "windows").shape is None  # its first dimension is not the batch
    assert (row(rows, "nothing").shape, row(rows, "nothing").runs) == (None, 1)
    assert row(rows, "same").parameters == 0
    assert row(rows, "tied").parameters == 4  # its bias; its weight is that of `twice`
    assert sum(r.parameters for r in rows) == sum(p.numel() for p in network.parameters())


def test_networks_of_other_types() -> None:
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(3)).to(torch.bfloat16)
    rows = layer_table(network, (4, 4))
    assert [(row.shape, row.parameters) for row in rows] == [((48,), 0), ((3,), 147)]


def test_the_table_as_text() -> None:
    kind = get_network("small")
    text = render_table(layer_table(kind.build(10), kind.input_size, kind.layers))
    lines = text.split("\n")
    assert len({len(line) for line in lines}) == 1  # aligned
    assert " ".join(lines[0].split()) == "layer alias kind output of an image parameters"
    start = lines[0].index("output")
    dense = next(line for line in lines if line.startswith("dense6"))
    assert dense[start:].split() == ["128", "65,664"]
    assert next(line for line in lines if line.startswith("relu7")).split()[1] == "L7"
    network = kind.build(10)
    total = f"{sum(p.numel() for p in network.parameters()):,}"
    assert lines[-1].split() == ["total", total]


def test_oddities_as_text() -> None:
    text = render_table(layer_table(Awkward(), (5, 5)))
    lines = {line.split()[0]: line for line in text.split("\n")}
    assert "does not run" in lines["unused"]
    assert "25×4, runs 2 times" in lines["twice"]
    assert "not per image" in lines["windows"]
    assert "(the network)" in text
