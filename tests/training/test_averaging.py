"""The average of weights against the recurrence written as a loop."""

from __future__ import annotations

import torch
from torch import nn

from neuralcodes.training.averaging import Average


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_against_the_recurrence_with_its_warm_up() -> None:
    trained = network()
    average = Average(trained, decay=0.7)
    wanted = {name: value.clone().double() for name, value in trained.state_dict().items()}
    for step in range(40):
        with torch.no_grad():
            for parameter in trained.parameters():
                parameter.add_(torch.randn_like(parameter))
        trained(torch.randn(5, 3))  # moves the statistics
        average.update(trained, step)
        decay = min(0.7, (1 + step) / (10 + step))
        for name, value in trained.state_dict().items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value.double()
    found = average.network.state_dict()
    for name, value in wanted.items():
        if name.endswith("num_batches_tracked"):
            assert found[name] == 40
        else:
            assert torch.allclose(found[name].double(), value, atol=1e-5), name


def test_it_is_a_network_of_its_own() -> None:
    trained = network().train()
    average = Average(trained, decay=0.9)
    assert trained.training and not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    average.update(trained, 10**6)
    with torch.no_grad():
        trained[0].weight.add_(1)  # type: ignore[union-attr,operator]
    assert not torch.equal(average.network[0].weight, trained[0].weight)  # type: ignore[index]
