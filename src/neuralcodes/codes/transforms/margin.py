"""Learning a projection by a margin between pairs that match and pairs that do not; see `disc`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from neuralcodes.codes.transforms.pairs import Pairs
from neuralcodes.codes.transforms.principal import Principal
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.progress import progress

BATCH = 500  # pairs of each sort a step
ROUNDS = 20  # over all pairs, at most
PATIENCE = 3  # rounds without a better result on the pairs held out
RATE = 1e-3  # of Adam, relative to the size of the weights
HELD_OUT = 5  # every so manieth class, or image
CLASSES = 10  # with fewer classes, images are held out
ENOUGH = 100  # pairs of each sort, to learn from or to judge by


@dataclass(frozen=True)
class Learned:
    """The best projection found.

    Attributes:
        weights: float64 N×k, of the principal components.
        rounds: after so many rounds; 0 is the PCA.
        auc_before, auc: how often a matching pair that was held out is nearer than another, as
            codes of unit length, by the PCA and by these weights.
    """

    weights: npt.NDArray[np.float64]
    rounds: int
    auc_before: float
    auc: float


def learn_projection(training: Training, inner: Principal, number: int) -> Learned:
    """Learn a projection to `number` dimensions within the principal components `inner`.

    Raises:
        UserError: there are no pairs to learn from.
    """
    values = torch.from_numpy(training.projected(inner))
    variance = float(inner.variances[:number].sum())
    pairs, check = hold_out(training)
    # pairs of random images have a mean squared distance of 2 at this scale
    weights = torch.eye(number, values.shape[1]) / variance**0.5
    weights.requires_grad_()
    threshold = torch.tensor(2.0, requires_grad=True)
    rate = RATE / variance**0.5
    optimizer = torch.optim.Adam(
        [{"params": [weights], "lr": rate}, {"params": [threshold], "lr": 10 * RATE}]
    )
    generator = torch.Generator().manual_seed(training.seed)
    auc = _auc(values, weights, check)
    best = Learned(_numbers(weights), 0, auc, auc)
    with progress(ROUNDS, f"disc{number}", "round") as bar:
        for done in range(1, ROUNDS + 1):
            _round(values, weights, threshold, pairs, optimizer, generator)
            auc = _auc(values, weights, check)
            if auc > best.auc:
                best = Learned(_numbers(weights), done, best.auc_before, auc)
            elif done >= best.rounds + PATIENCE:
                break
            bar.update()
    return best


def _round(
    values: torch.Tensor,
    weights: torch.Tensor,
    threshold: torch.Tensor,
    pairs: Pairs,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Adam over all pairs once, in random order, as many of each sort in each step."""
    sorts = [
        rows[torch.randperm(len(rows), generator=generator)]
        for rows in (torch.from_numpy(pairs.matching), torch.from_numpy(pairs.other))
    ]
    for start in range(0, min(map(len, sorts)), BATCH):
        losses = []
        for rows, sign in zip(sorts, (1.0, -1.0), strict=True):
            batch = rows[start : start + BATCH]
            difference = (values[batch[:, 0]] - values[batch[:, 1]]) @ weights.T
            margin = sign * (threshold - difference.square().sum(1))
            losses.append((1 - margin).clamp(min=0).mean())
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def hold_out(training: Training) -> tuple[Pairs, Pairs]:
    """Pairs to learn from, and pairs of classes or images that are in none of those.

    Where so few are held out that they say nothing, both are all pairs.
    """
    groups = np.arange(len(training.values))
    if training.labels is not None and len(np.unique(training.labels)) >= CLASSES:
        groups = np.unique(training.labels, return_inverse=True)[1]
    order = np.random.default_rng(training.seed).permutation(groups.max() + 1)
    out = order[groups] % HELD_OUT == 0
    pairs = training.pairs()
    sorts = (pairs.matching, pairs.other)
    learn = Pairs(*(rows[~out[rows].any(axis=1)] for rows in sorts))
    check = Pairs(*(rows[out[rows].all(axis=1)] for rows in sorts))
    least = min(len(rows) for part in (learn, check) for rows in (part.matching, part.other))
    return (learn, check) if least >= ENOUGH else (pairs, pairs)


@torch.no_grad()
def _auc(values: torch.Tensor, weights: torch.Tensor, pairs: Pairs) -> float:
    """How often a matching pair is nearer than another, both of unit-length codes."""
    from sklearn.metrics import roc_auc_score

    codes = F.normalize(values @ weights.T, dim=1)
    products = [
        (codes[rows[:, 0]] * codes[rows[:, 1]]).sum(1).numpy()
        for rows in (pairs.matching, pairs.other)
    ]
    truth = np.repeat([1, 0], [len(product) for product in products])
    return float(roc_auc_score(truth, np.concatenate(products)))


def _numbers(weights: torch.Tensor) -> npt.NDArray[np.float64]:
    return weights.detach().double().numpy()
