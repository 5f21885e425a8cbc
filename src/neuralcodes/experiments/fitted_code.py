"""The code of `compact`, fitted behind a body that has been trained (networks/compact.py: Mixture).

Three parts, of images of the training classes: the principal components of the pooled values after
half-whitening by their spread within classes; the learnt code, as it is; and the likeness of these
two to a vector a class. Principal components of all of it become the code. What each part gains on
classes held out is in results/EXPERIMENTS.md, "A code of three parts".
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from neuralcodes.codes.transforms.discriminant import scatter
from neuralcodes.codes.transforms.principal import principal_components
from neuralcodes.common.progress import progress
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.compact import ANCHORS, CODE, CosineClassifier, Mixture
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.runtime import Runtime, evaluating
from neuralcodes.networks.taps import Tap
from neuralcodes.training.batches import Batches
from neuralcodes.training.classification import EVALUATION_BATCH

FIT = 20_000  # images at most that the code is fitted to
SEED = 0  # draws them
LEAST = 2 * CODE  # fewer tell no covariance
POWER = 0.5  # of whitening: 0 leaves the spread as it is, 1 makes it round
SHRINK = 0.2  # of the spread within classes, towards a round one
STEPS = 30  # of the anchors' learning
SMOOTHING = 0.1  # of its labels, as in training
LIKENESS = 0.8  # what the likeness to the anchors counts beside the fitted code
UNUSED = -30_000.0  # bias of an anchor that is none; half precision holds it

NO_SPREAD = 1e-6  # of likenesses that are all the same
NO_PAIRS = np.empty((0, 2), np.int64)  # classes tell the spread

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """Of n images: pooled values n×d and learnt codes n×128, float32, and labels, int64 n."""

    pooled: torch.Tensor
    learnt: torch.Tensor
    labels: torch.Tensor


def refit_code(network: OpenNetwork, images: ImageSet, runtime: Runtime) -> OpenNetwork:
    """The same network with its code fitted to these images.

    Where the network has no such code, or there are fewer than `LEAST` images, it stays as it is.

    Args:
        network: wherever it lies; what is given back lies on the CPU.
        images: of the classes it was trained on, with labels, at its input size; of more than
            `FIT` so many are drawn, always the same.
        runtime: to compute what they make of the images.
    """
    mixed = any(isinstance(part, Mixture) for part in network.module.modules())
    if not mixed or len(images) < LEAST:
        return network
    module = copy.deepcopy(network.module)
    seen = _seen(module, network, images.sample(FIT, SEED), runtime)
    module = module.cpu().eval()
    [code] = (part for part in module.modules() if isinstance(part, Mixture))
    fit_mixture(code, seen, network.classes)
    return OpenNetwork.of(network.name, network.kind, module, network.classes)


def fit_mixture(code: Mixture, seen: Seen, classes: int) -> None:
    """Fit the parts in their order, each behind those before it.

    With more classes than there are anchors there is no likeness.
    """
    pooled, labels = seen.pooled.double().numpy(), seen.labels.numpy()
    matrix, centre = half_whitened(pooled, labels, CODE)
    _set(code, "components", matrix.T)
    _set(code, "offset", centre @ matrix)
    if classes <= ANCHORS:
        classifier = CosineClassifier(2 * CODE, classes)
        nn.init.normal_(classifier.weight, generator=torch.Generator().manual_seed(SEED))
        fit_classifier(classifier, code.both(seen.pooled, seen.learnt), seen.labels)
        anchors = F.normalize(classifier.weight)
        _set(code, "anchors", F.pad(anchors, (0, 0, 0, ANCHORS - classes)))
        _set(code, "biases", np.where(np.arange(ANCHORS) < classes, 0.0, UNUSED))
    parts = code.parts(seen.pooled, seen.learnt).double().numpy()
    parts -= (mean := parts.mean(0))
    # the likeness varies little about its mean; it shall count as much as the codes do
    scale = np.ones(parts.shape[1])
    spread = float(np.linalg.norm(parts[:, 2 * CODE :], axis=1).mean())
    scale[2 * CODE :] = LIKENESS / spread if spread > NO_SPREAD else 0.0
    components = principal_components(parts * scale, CODE, SEED).components
    mix = scale[:, None] * components.T
    _set(code, "mix", mix.T)
    _set(code, "shift", mean @ mix)


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
    components = principal_components(values @ even, count, SEED).components
    return even @ components.T, values.mean(0)


def fit_classifier(classifier: nn.Module, codes: torch.Tensor, labels: torch.Tensor) -> None:
    """Let a classifier with one row of weights a class learn these codes, from the classes' means.

    Args:
        codes: float32 n×d.
        labels: int64 n.
    """
    weight = classifier.get_parameter("weight")
    with torch.no_grad():
        means = torch.zeros_like(weight).index_add_(0, labels, F.normalize(codes))
        there = means.any(dim=1)  # a class without images keeps its random vector
        weight[there] = F.normalize(means[there])
    weight.requires_grad_()
    steps = torch.optim.LBFGS([weight], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        steps.zero_grad()
        found = F.cross_entropy(classifier(codes), labels, label_smoothing=SMOOTHING)
        found.backward()
        return found

    steps.step(loss)
    weight.requires_grad_(False)


def _set(code: Mixture, name: str, value: Doubles | torch.Tensor) -> None:
    code.get_buffer(name).copy_(torch.as_tensor(value))


def _seen(module: nn.Module, network: OpenNetwork, images: ImageSet, runtime: Runtime) -> Seen:
    placed = runtime.place(module)
    layers = ["pool", "learnt"]
    tap = Tap(placed, layers)
    found: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    batches = Batches(images, network.kind, runtime)
    with evaluating(placed), progress(len(images), "fitting the code") as bar:
        for pixels, _ in batches.stream(torch.arange(len(images)), EVALUATION_BATCH):
            with runtime.autocast():
                values = tap(pixels)
            for layer in layers:
                found[layer].append(values[layer].float().flatten(1).cpu())
            bar.update(len(pixels))
    pooled, learnt = (torch.cat(found[layer]) for layer in layers)
    return Seen(pooled, learnt, torch.from_numpy(images.label_array()))
