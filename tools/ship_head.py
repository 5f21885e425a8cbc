"""The code layer and classifier of `compact`, fitted anew behind its pooled map.

The projection learns the training classes by heart, and the mean of several runs' projections is
none of them. What other classes need is kept better by a projection that never saw the classifier:
the principal components of the pooled map after half-whitening by its spread within classes
(measured in results/EXPERIMENTS.md). The classifier then learns these codes.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from neuralcodes.codes.transforms.discriminant import scatter
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.runtime import Runtime, evaluating
from neuralcodes.networks.taps import Tap
from neuralcodes.training.batches import Batches
from neuralcodes.training.classification import EVALUATION_BATCH

POWER = 0.5  # of whitening: 0 leaves the spread as it is, 1 makes it round
SHRINK = 0.2  # of the spread within classes, towards a round one
STEPS = 100  # of the classifier's learning
SMOOTHING = 0.1  # of its labels, as in training

NO_PAIRS = np.empty((0, 2), np.int64)  # classes tell the spread

Doubles = npt.NDArray[np.float64]


def refit_head(network: OpenNetwork, images: ImageSet, runtime: Runtime) -> OpenNetwork:
    """The same network with another `project`, `code` and `classifier`.

    Args:
        network: a `compact`.
        images: of the classes it was trained on, at its input size.
    """
    module = copy.deepcopy(network.module)
    pooled = _pooled(module, network, images, runtime)
    labels = images.label_array()
    matrix, centre = half_whitened(pooled, labels, len(module.get_parameter("code.weight")))
    matrix /= ((pooled - centre) @ matrix).std()
    codes = (pooled - centre) @ matrix
    with torch.no_grad():
        project, code = module.get_submodule("project"), module.get_submodule("code")
        assert isinstance(project, nn.Linear) and isinstance(code, nn.BatchNorm1d)
        project.weight.copy_(torch.from_numpy(matrix.T))
        assert code.running_mean is not None and code.running_var is not None
        # It only centres, and so it does with a batch's own statistics if training goes on.
        code.running_mean.copy_(torch.from_numpy(centre @ matrix))
        code.running_var.copy_(torch.from_numpy(codes.var(0)))
        code.weight.copy_((code.running_var + code.eps).sqrt())
        code.bias.zero_()
    classifier = module.get_submodule("classifier")
    fit_classifier(classifier, torch.from_numpy(codes).float(), torch.from_numpy(labels))
    return OpenNetwork.of(network.name, network.kind, module, network.classes)


def half_whitened(
    values: Doubles, labels: npt.NDArray[np.int64], count: int
) -> tuple[Doubles, Doubles]:
    """Matrix d×count and centre d: (values − centre) @ matrix are the first principal components
    of the values after their spread within classes was evened out by `POWER`.

    Args:
        values: n×d.
        labels: n.
    """
    spread, _ = scatter(values, labels, NO_PAIRS)
    spread += SHRINK * np.trace(spread) / len(spread) * np.eye(len(spread))
    sizes, axes = np.linalg.eigh(spread)
    even = axes * sizes ** (-POWER / 2) @ axes.T
    _, components = np.linalg.eigh(np.cov((values @ even).T))  # the largest last
    return even @ components[:, ::-1][:, :count], values.mean(0)


def fit_classifier(classifier: nn.Module, codes: torch.Tensor, labels: torch.Tensor) -> None:
    """Let a classifier with one row of weights a class learn these codes, from the classes' means.

    Args:
        codes: float32 n×d.
        labels: int64 n.
    """
    weight = classifier.get_parameter("weight")
    with torch.no_grad():
        weight.zero_().index_add_(0, labels, F.normalize(codes))
        weight.copy_(F.normalize(weight))
    weight.requires_grad_()
    steps = torch.optim.LBFGS([weight], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        steps.zero_grad()
        found = F.cross_entropy(classifier(codes), labels, label_smoothing=SMOOTHING)
        found.backward()
        return found

    steps.step(loss)
    weight.requires_grad_(False)


def _pooled(module: nn.Module, network: OpenNetwork, images: ImageSet, runtime: Runtime) -> Doubles:
    placed = runtime.place(module)
    tap = Tap(placed, ["pool"])
    batches = Batches(images, network.kind, runtime)
    found = []
    with evaluating(placed):
        for pixels, _ in batches.stream(torch.arange(len(images)), EVALUATION_BATCH):
            with runtime.autocast():
                found.append(tap(pixels)["pool"].float().flatten(1).cpu())
    return torch.cat(found).double().numpy()
