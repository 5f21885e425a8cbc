"""A new classifier that begins with what the network already knows: the mean code of each class.

A random one sends random gradients into the layers before it, which spoils them before it has
learnt anything (Kumar et al., "Fine-tuning can distort pretrained features", ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from neuralcodes.networks.runtime import evaluating
from neuralcodes.training.batches import Batches
from neuralcodes.training.classification import EVALUATION_BATCH

SCALE = 16.0  # of the cosine between an input of average length and its class's mean


def start_from_class_means(
    network: nn.Module, unfit: Sequence[str], batches: Batches, classes: int
) -> bool:
    """Set the classifier's weights to the classes' mean directions of what it is given.

    Args:
        network: placed where it trains; its other layers have the weights that it starts with.
        unfit: names of the parameters that have none.
        batches: the training images, with labels below `classes`.
        classes: how many the classifier tells apart.

    Returns:
        Whether that was done: not where other layers too begin with random weights, nor where the
        classifier is none that has one row of weights a class.
    """
    owners = {name.rpartition(".")[0] for name in unfit}
    if len(owners) != 1:
        return False
    classifier = network.get_submodule(owners.pop())
    weight = getattr(classifier, "weight", None)
    if not isinstance(weight, nn.Parameter) or weight.ndim != 2 or len(weight) != classes:
        return False
    sums = torch.zeros(weight.shape, dtype=torch.float64, device=weight.device)
    lengths = torch.zeros((), dtype=torch.float64, device=weight.device)
    given: list[torch.Tensor] = []
    handle = classifier.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        with evaluating(network):
            for pixels, labels in batches.stream(torch.arange(len(batches)), EVALUATION_BATCH):
                network(pixels)
                codes = given.pop().double()
                lengths += codes.norm(dim=1).sum()
                sums.index_add_(0, labels, F.normalize(codes))
    finally:
        handle.remove()
    with torch.no_grad():
        weight.copy_(F.normalize(sums) * SCALE * len(batches) / lengths)
        if isinstance(bias := getattr(classifier, "bias", None), nn.Parameter):
            bias.zero_()
    return True
