"""Cross-entropy, accuracy and top-5 accuracy of a classifier."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from neuralcodes.common.progress import progress
from neuralcodes.common.team import ALONE, Team
from neuralcodes.networks.runtime import evaluating
from neuralcodes.training.batches import Batches

TOP = 5
EVALUATION_BATCH = 250


@dataclass(frozen=True)
class ClassifierScore:
    """Means over images; cross-entropy in nats."""

    cross_entropy: float
    accuracy: float
    top5_accuracy: float

    def to_json(self) -> dict[str, float]:
        """A JSON-ready form."""
        return asdict(self)


class Tally:
    """Sums of loss and hits, kept on the device so that the loop need not wait for them."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)
        self._count = 0

    def add(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: its mean loss, logits float k×classes, labels int64 k."""
        with torch.no_grad():
            count = len(labels)
            best = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
            hits = best == labels[:, None]
            batch = torch.stack([loss.detach() * count, hits[:, 0].sum(), hits.sum()])
            self._sums += batch.double()
            self._count += count

    def score(self, team: Team = ALONE) -> ClassifierScore:
        """The means so far, of all ranks' batches together. Waits for the device, and for them."""
        counts = torch.tensor([self._count], dtype=torch.float64, device=self._sums.device)
        *sums, count = team.add_up(torch.cat([self._sums, counts])).tolist()
        return ClassifierScore(*(value / max(count, 1) for value in sums))


def evaluate_classifier(
    network: nn.Module, batches: Batches, what: str | None = None
) -> ClassifierScore:
    """Score `network` on all images, without dropout; each rank of a team takes a part.

    Args:
        what: name for a progress bar; no bar without it.
    """
    tally = Tally(batches.runtime.device)
    with (
        evaluating(network),
        progress(len(batches), what) if what else nullcontext() as bar,
    ):
        parts = torch.split(torch.arange(len(batches)), EVALUATION_BATCH)
        team = Team.current()
        for pixels, labels in batches.stream_parts(parts[team.part(len(parts))]):
            with batches.runtime.autocast():
                logits = network(pixels).float()
            tally.add(F.cross_entropy(logits, labels), logits, labels)
            if bar is not None:
                bar.update(len(labels))
    return tally.score(team)
