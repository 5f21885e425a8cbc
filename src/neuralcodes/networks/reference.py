"""The founding experiment's network for 64×64 images: 40,516,382 parameters at 190 classes."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from neuralcodes.networks.blocks import convolution, glorot
from neuralcodes.networks.registry import register


@register(
    "reference",
    layers={"L5": "flatten", "L6": "relu6", "L7": "relu7"},
    default_layer="L7",
    input_size=(64, 64),
)
def reference(classes: int) -> nn.Module:
    """Five convolutions and three dense layers; input float N×3×64×64 in [0, 1].

    L5 has 16,384 values, L6 and L7 2,048 each, all after ReLU. Returns logits N×classes (the
    softmax is in the loss).
    """
    # ReLU stands behind the pooling: both keep the order of values, so the result and the
    # gradient are the same to the bit, and ReLU has a quarter of the work.
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", convolution(3, 96, 4)),
        ("pool1", nn.MaxPool2d(2, 2)),
        ("relu1", nn.ReLU(inplace=True)),
        ("conv2", convolution(96, 192, 5)),
        ("pool2", nn.MaxPool2d(2, 2)),
        ("relu2", nn.ReLU(inplace=True)),
        ("conv3", convolution(192, 288, 3)),
        ("relu3", nn.ReLU(inplace=True)),
        ("conv4", convolution(288, 288, 3)),
        ("relu4", nn.ReLU(inplace=True)),
        ("conv5", convolution(288, 256, 3)),
        ("pool5", nn.MaxPool2d(2, 2)),
        ("relu5", nn.ReLU(inplace=True)),
        ("flatten", nn.Flatten()),
        ("drop5", nn.Dropout(0.5)),
        ("dense6", nn.Linear(8 * 8 * 256, 2048)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(0.5)),
        ("dense7", nn.Linear(2048, 2048)),
        ("relu7", nn.ReLU()),
        ("dense8", nn.Linear(2048, classes)),
    ]
    return glorot(nn.Sequential(OrderedDict(layers)))
