"""The paper's network at 227×227 (Babenko et al. 2014, section 3, after Krizhevsky et al. 2012)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from neuralcodes.networks.blocks import convolution, glorot
from neuralcodes.networks.registry import register


@register(
    "paper",
    layers={"L5": "flatten", "L6": "relu6", "L7": "relu7"},
    default_layer="L6",
    input_size=(227, 227),
)
def paper(classes: int) -> nn.Module:
    """Five convolutions and three dense layers; input float N×3×227×227 in [0, 1].

    L5 has 6×6×256 = 9,216 values, L6 and L7 4,096 each, all after ReLU.
    """
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(3, 96, 11, stride=4)),
        ("pool1", nn.MaxPool2d(3, 2)),
        ("relu1", nn.ReLU(inplace=True)),
        ("conv2", convolution(96, 192, 5)),
        ("pool2", nn.MaxPool2d(3, 2)),
        ("relu2", nn.ReLU(inplace=True)),
        ("conv3", convolution(192, 288, 3)),
        ("relu3", nn.ReLU(inplace=True)),
        ("conv4", convolution(288, 288, 3)),
        ("relu4", nn.ReLU(inplace=True)),
        ("conv5", convolution(288, 256, 3)),
        ("pool5", nn.MaxPool2d(3, 2)),
        ("relu5", nn.ReLU(inplace=True)),
        ("flatten", nn.Flatten()),
        ("drop5", nn.Dropout(0.5)),
        ("dense6", nn.Linear(6 * 6 * 256, 4096)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(0.5)),
        ("dense7", nn.Linear(4096, 4096)),
        ("relu7", nn.ReLU()),
        ("dense8", nn.Linear(4096, classes)),
    ]
    return glorot(nn.Sequential(OrderedDict(layers)))
