"""Learning a projection by a margin between pairs that match and pairs that do not; see `disc`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from neuralcodes.codes.transforms.base import Floats
from neuralcodes.codes.transforms.discriminant import discriminants, scatter
from neuralcodes.codes.transforms.pairs import Pairs
from neuralcodes.codes.transforms.principal import Principal
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.progress import progress

Doubles = npt.NDArray[np.float64]

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
        start: where learning began: "pca", or "shrinkage 1 power 0.5" and the like.
        rounds: after so many rounds of learning; 0 is the start.
        auc_before, auc: how often a matching pair that was held out is nearer than another, as
            codes of unit length, by the PCA and by these weights.
    """

    weights: Doubles
    start: str
    rounds: int
    auc_before: float
    auc: float


def learn_projection(training: Training, inner: Principal, number: int) -> Learned:
    """Learn a projection to `number` dimensions within the principal components `inner`.

    What is held out decides where to start and how long to learn; then all is learned from.

    Raises:
        UserError: there are no pairs to learn from.
    """
    codes = training.projected(inner)
    values = torch.from_numpy(codes)
    start = _best_start(training, codes, number)
    pairs, check = hold_out(training)
    held = held_out(training) & (check is not pairs)
    weights = start_weights(training, codes, ~held, number)[start]
    auc = _auc(values, _numbers32(weights), check)
    pca = _auc(values, torch.eye(number, codes.shape[1]), check)
    best = Learned(weights, start, 0, pca, auc)
    with progress(ROUNDS, f"disc{number}", "round") as bar:
        descent = _descent(values, weights, pairs, training.seed)
        for done, tried in zip(range(1, ROUNDS + 1), descent, strict=False):
            auc = _auc(values, tried, check)
            if auc > best.auc:
                best = replace(best, weights=tried.double().numpy().copy(), rounds=done, auc=auc)
            elif done >= best.rounds + PATIENCE:
                break
            bar.update()
    if check is pairs:
        return best
    weights = start_weights(training, codes, np.ones_like(held), number)[start]
    again = _descent(values, weights, training.pairs(), training.seed)
    for _, learned in zip(range(best.rounds), again, strict=False):
        weights = learned.double().numpy().copy()
    return replace(best, weights=weights)


def _best_start(training: Training, codes: Floats, number: int) -> str:
    """The start that parts pairs of classes best that had no part in it; each is so once.

    The PCA, unless another one's lead is more than two standard errors over the folds.
    """
    values = torch.from_numpy(codes)
    found: dict[str, list[float]] = {}
    for fold in range(HELD_OUT):
        pairs, check = hold_out(training, fold)
        if check is pairs:
            return "pca"
        for name, weights in start_weights(
            training, codes, ~held_out(training, fold), number
        ).items():
            found.setdefault(name, []).append(_auc(values, _numbers32(weights), check))
    leads = {name: np.subtract(aucs, found["pca"]) for name, aucs in found.items()}
    name = max(leads, key=lambda name: float(leads[name].mean()))
    error = float(leads[name].std(ddof=1)) / HELD_OUT**0.5
    return name if leads[name].mean() > 2 * error else "pca"


def start_weights(
    training: Training, codes: Floats, rows: npt.NDArray[np.bool_], number: int
) -> dict[str, Doubles]:
    """The PCA and the discriminants of these rows, by name: float64 number×k each.

    Scaled so that pairs of random images have a mean squared distance of 2.
    """
    labels, pairs = training.labels, training.pairs().matching
    within, between = scatter(
        codes[rows],
        labels[rows] if labels is not None else None,
        (np.cumsum(rows) - 1)[pairs[rows[pairs].all(axis=1)]],
    )
    starts = {"pca": np.eye(number, codes.shape[1]), **discriminants(within, between, number)}
    total = within + between
    return {
        name: matrix / np.sqrt(max(np.einsum("nk,kl,nl->", matrix, total, matrix), 1e-30))
        for name, matrix in starts.items()
    }


def _descent(
    values: torch.Tensor, start: Doubles, pairs: Pairs, seed: int
) -> Iterator[torch.Tensor]:
    """The weights after each round of learning; the same tensor each time."""
    weights = _numbers32(start).requires_grad_()
    threshold = torch.tensor(2.0, requires_grad=True)
    size = float(weights.detach().norm()) / len(weights) ** 0.5
    optimizer = torch.optim.Adam(
        [{"params": [weights], "lr": RATE * size}, {"params": [threshold], "lr": 10 * RATE}]
    )
    generator = torch.Generator().manual_seed(seed)
    while True:
        _round(values, weights, threshold, pairs, optimizer, generator)
        yield weights.detach()


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


def held_out(training: Training, fold: int = 0) -> npt.NDArray[np.bool_]:
    """Rows of the classes (if there are few: the images) that are held out, bool n.

    Args:
        fold: 0 to `HELD_OUT` - 1; no class is in two.
    """
    groups = np.arange(len(training.values))
    if training.labels is not None and len(np.unique(training.labels)) >= CLASSES:
        groups = np.unique(training.labels, return_inverse=True)[1]
    order = np.random.default_rng(training.seed).permutation(groups.max() + 1)
    out: npt.NDArray[np.bool_] = order[groups] % HELD_OUT == fold
    return out


def hold_out(training: Training, fold: int = 0) -> tuple[Pairs, Pairs]:
    """Pairs to learn from, and pairs of classes or images that are in none of those.

    Where so few are held out that they say nothing, both are all pairs.
    """
    out, pairs = held_out(training, fold), training.pairs()
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


def _numbers32(weights: Doubles) -> torch.Tensor:
    return torch.from_numpy(weights.astype(np.float32))
