"""Codes of one class nearer to each other than to those of others, beside the classes' own loss.

Cross-entropy asks of a code only that the classifier can tell its class; this asks what retrieval
asks: that images of a class find each other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def contrast_loss(
    codes: torch.Tensor,
    labels: torch.Tensor,
    remembered: torch.Tensor,
    their_labels: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Supervised contrastive loss ("out": Khosla et al., NeurIPS 2020, equation 2) of a batch.

    Every code is compared with all others of the batch and with all remembered ones. The mean is
    over the codes that meet one of their class; 0 where none does.

    Args:
        codes: float k×d.
        labels: int64 k.
        remembered: float m×d, of earlier batches; they get no gradient.
        their_labels: int64 m.
        temperature: that cosines are divided by.
    """
    unit = F.normalize(codes)
    scores = unit @ torch.cat([unit, F.normalize(remembered)]).T / temperature
    itself = torch.eye(len(scores), scores.shape[1], dtype=torch.bool, device=scores.device)
    alike = (labels[:, None] == torch.cat([labels, their_labels])) & ~itself
    shares = scores - scores.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    found = alike.sum(1)
    own = (shares * alike).sum(1) / found.clamp(min=1)
    return -own.sum() / (found > 0).sum().clamp(min=1)


class Contrast:
    """That loss with a memory of the last codes (Wang et al., CVPR 2020: "XBM").

    A batch holds few images of a class, the memory many; codes change so slowly that those of
    some batches ago still serve.

    Args:
        weight: of the loss, beside the classes' own.
        temperature: see `contrast_loss`.
        memory: codes that are remembered.
    """

    def __init__(self, weight: float, temperature: float, memory: int) -> None:
        self._weight = weight
        self._temperature = temperature
        self._memory = memory
        self.forget()

    def forget(self) -> None:
        """Begin without a memory, as every epoch does, so that a resumed run is an unbroken one."""
        self._past: tuple[torch.Tensor, torch.Tensor] | None = None  # codes, labels

    def __call__(self, codes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The weighted loss of a batch, which is remembered for the next ones.

        Args:
            codes: float32 k×d.
            labels: int64 k.
        """
        past, theirs = self._past or (codes.detach()[:0], labels[:0])
        loss = contrast_loss(codes, labels, past, theirs, self._temperature)
        self._past = (
            torch.cat([codes.detach(), past])[: self._memory],
            torch.cat([labels, theirs])[: self._memory],
        )
        return self._weight * loss
