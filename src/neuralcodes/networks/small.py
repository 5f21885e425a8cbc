"""A small network of the reference's form for 16×16 images, for the demo and for tests."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from neuralcodes.networks.blocks import convolution, glorot
from neuralcodes.networks.registry import register


@register(
    "small",
    layers={"L5": "flatten", "L6": "relu6", "L7": "relu7"},
    default_layer="L7",
    input_size=(16, 16),
)
def small(classes: int) -> nn.Module:
    """Five convolutions and three dense layers; input float N×3×16×16 in [0, 1].

    L5 has 512 values, L6 and L7 128 each, all after ReLU.
    """
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", convolution(3, 16, 4)),
        ("relu1", nn.ReLU(inplace=True)),
        ("conv2", convolution(16, 32, 5)),
        ("pool2", nn.MaxPool2d(2, 2)),
        ("relu2", nn.ReLU(inplace=True)),
        ("conv3", convolution(32, 48, 3)),
        ("relu3", nn.ReLU(inplace=True)),
        ("conv4", convolution(48, 48, 3)),
        ("relu4", nn.ReLU(inplace=True)),
        ("conv5", convolution(48, 32, 3)),
        ("pool5", nn.MaxPool2d(2, 2)),
        ("relu5", nn.ReLU(inplace=True)),
        ("flatten", nn.Flatten()),
        ("drop5", nn.Dropout(0.5)),
        ("dense6", nn.Linear(4 * 4 * 32, 128)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(0.5)),
        ("dense7", nn.Linear(128, 128)),
        ("relu7", nn.ReLU()),
        ("dense8", nn.Linear(128, classes)),
    ]
    return glorot(nn.Sequential(OrderedDict(layers)))
